// One variant of the kernel. Compiled once for each instruction set, with OCTRA_VARIANT and OCTRA_LANES defined.
#include "kernel.hpp"
#include "ntt.hpp"

namespace OCTRA_VARIANT {

// Exact blind rotation and packing for one shape. Every stored coefficient is canonical, so order and grouping of
// operations cannot show in a result.
template <int LOG_N, int K, int DIGITS, int BASE_LOG, int MESSAGES> struct Engine {
  static constexpr int W = (1 << LOG_N) >= OCTRA_LANES * OCTRA_LANES ? OCTRA_LANES : OCTRA_LANES / 2;
  static constexpr int N = 1 << LOG_N, VECTORS = N / W, POLYNOMIALS = K + 1, ROWS = POLYNOMIALS * DIGITS;
  static constexpr int DROP = 27 - DIGITS * BASE_LOG;
  static constexpr std::size_t GROUP = std::size_t{N} * MESSAGES * POLYNOMIALS * ROWS;
  static_assert(ROWS * (2 + 2 * LOG_N) <= 256, "a sum of lazy products must stay below 2^62");

  static const Ntt<LOG_N, W>& transform() { return ntt<LOG_N, W>(); }

  // Key order: [vector][message][polynomial][row][lane], so that one sum reads forward through memory.
  static void load_rows(const u32* rows, u32* key, int messages, int count) {
    alignas(64) u32 values[N];
    for (int message = 0; message < messages; message++)
      for (int row = 0; row < count; row++)
        for (int c = 0; c < POLYNOMIALS; c++) {
          std::memcpy(values, rows + std::size_t{N} * ((message * count + row) * POLYNOMIALS + c), sizeof values);
          transform().forward(values);
          for (int j = 0; j < N; j++)
            key[(((std::size_t(j / W) * messages + message) * POLYNOMIALS + c) * count + row) * W + j % W] =
                to_montgomery(values[j]);
        }
  }
  static void load_group(const u32* rows, u32* key) { load_rows(rows, key, MESSAGES, ROWS); }
  static void load_packing(const u32* rows, u32* key) { load_rows(rows, key, 1, DIGITS); }

  // Signed digits of one polynomial, each plus Q, at digits[i][N].
  OCTRA_INLINE void decompose(const u32* polynomial, u32* digits) {
    constexpr u32 half = 1u << (BASE_LOG - 1);
    u32 offset = 1u << (DROP - 1);
    for (int i = 0; i < DIGITS; i++) offset += half << (DROP + i * BASE_LOG);
    for (int v = 0; v < VECTORS; v++) {
      const Vec<W> x = load<W>(polynomial + v * W);
      const Vec<W> shifted = (x > all<W>(Q >> 1) ? x - Q : x) + offset;
      for (int i = 0; i < DIGITS; i++) {
        Vec<W> digit = shifted >> (DROP + i * BASE_LOG);
        if (i < DIGITS - 1) digit &= 2 * half - 1;
        store<W>(digits + i * N + v * W, digit + (Q - half));
      }
    }
  }

  // Sums of products of one vector's digits with one polynomial's key rows, even and odd lanes.
  template <int COUNT, int LENGTH>
  OCTRA_INLINE void sum(const u32* const* digits, const Vec<W> (*odd_digits)[LENGTH], const u32* key, int v,
                        Wide<W>* even_sum, Wide<W>* odd_sum) {
    for (int t = 0; t < COUNT; t++) even_sum[t] = odd_sum[t] = Wide<W>{};
    for (int row = 0; row < LENGTH; row++) {
      const Vec<W> k = load<W>(key + row * W), odd_k = odd<W>(k);
      for (int t = 0; t < COUNT; t++) {
        even_sum[t] += multiply_even<W>(load<W>(digits[t] + row * N + v * W), k);
        odd_sum[t] += multiply_even<W>(odd_digits[t][row], odd_k);
      }
    }
  }

  // COUNT accumulators, sharing each load of the key: sum over messages of (X^e - 1) times the message's product.
  template <int COUNT>
  static void multiply_add(const u32* const* digits, const u32* const (*monomials)[MESSAGES], const u32* key,
                           u32* const* out) {
    for (int v = 0; v < VECTORS; v++) {
      Vec<W> odd_digits[COUNT][ROWS];
      for (int t = 0; t < COUNT; t++)
        for (int row = 0; row < ROWS; row++) odd_digits[t][row] = odd<W>(load<W>(digits[t] + row * N + v * W));
      Wide<W> even_total[COUNT][POLYNOMIALS] = {}, odd_total[COUNT][POLYNOMIALS] = {};
      for (int message = 0; message < MESSAGES; message++) {
        Vec<W> factor[COUNT], odd_factor[COUNT];
        for (int t = 0; t < COUNT; t++) {
          factor[t] = load<W>(monomials[t][message] + v * W);
          odd_factor[t] = odd<W>(factor[t]);
        }
        for (int c = 0; c < POLYNOMIALS; c++, key += ROWS * W) {
          Wide<W> even_sum[COUNT], odd_sum[COUNT];  // below 256 Q^2 < 2^62
          sum<COUNT, ROWS>(digits, odd_digits, key, v, even_sum, odd_sum);
          for (int t = 0; t < COUNT; t++) {  // after the reduction below 9Q, so three terms stay below 27 Q^2
            even_total[t][c] += multiply_even<W>(odd<W>((Vec<W>)montgomery<W>(even_sum[t])), factor[t]);
            odd_total[t][c] += multiply_even<W>(odd<W>((Vec<W>)montgomery<W>(odd_sum[t])), odd_factor[t]);
          }
        }
      }
      for (int t = 0; t < COUNT; t++)
        for (int c = 0; c < POLYNOMIALS; c++)
          store<W>(out[t] + c * N + v * W,
                   join_high<W>(montgomery<W>(even_total[t][c]), montgomery<W>(odd_total[t][c])));
    }
  }

  template <int COUNT> static void step(u32* accumulators, const u32* key, const u16* exponents, int lwe, int group) {
    alignas(64) u32 digits[COUNT][ROWS * N], products[COUNT][POLYNOMIALS * N];
    const u32 *digit_rows[COUNT], *monomials[COUNT][MESSAGES];
    u32* product_rows[COUNT];
    for (int t = 0; t < COUNT; t++) {
      u32* accumulator = accumulators + std::size_t(t) * POLYNOMIALS * N;
      for (int c = 0; c < POLYNOMIALS; c++) decompose(accumulator + c * N, digits[t] + c * DIGITS * N);
      for (int row = 0; row < ROWS; row++) transform().forward(digits[t] + row * N);
      const u16* e = exponents + std::size_t(t) * (lwe + 1);
      if constexpr (MESSAGES == 3) {
        const unsigned first = e[2 * group], second = e[2 * group + 1];
        monomials[t][0] = transform().monomial[first];
        monomials[t][1] = transform().monomial[second];
        monomials[t][2] = transform().monomial[(first + second) % (2 * N)];
      } else {
        monomials[t][0] = transform().monomial[e[group]];
        monomials[t][1] = transform().monomial[(2 * N - e[group]) % (2 * N)];
      }
      digit_rows[t] = digits[t];
      product_rows[t] = products[t];
    }
    multiply_add<COUNT>(digit_rows, monomials, key, product_rows);
    for (int t = 0; t < COUNT; t++)
      for (int c = 0; c < POLYNOMIALS; c++) {
        transform().inverse(products[t] + c * N);
        u32* accumulator = accumulators + (std::size_t(t) * POLYNOMIALS + c) * N;
        for (int v = 0; v < N; v += W)
          store<W>(accumulator + v,
                   subtract_once<W>(load<W>(accumulator + v) + load<W>(products[t] + c * N + v), Q));
      }
  }

  static void rotate(u32* accumulators, const u32* key, const u16* exponents, int batch, int lwe, int start) {
    const int groups = MESSAGES == 3 ? lwe / 2 : lwe;
    const std::size_t size = std::size_t{POLYNOMIALS} * N;
    for (int turn = 0; turn < groups; turn++) {  // key-stationary: every accumulator takes this step
      const int group = (start + turn) % groups;
      const u32* group_key = key + GROUP * group;
      int b = 0;
      for (; b + 2 <= batch; b += 2)
        step<2>(accumulators + b * size, group_key, exponents + std::size_t(b) * (lwe + 1), lwe, group);
      if (b < batch) step<1>(accumulators + b * size, group_key, exponents + std::size_t(b) * (lwe + 1), lwe, group);
    }
  }

  static void pack(const u32* masks, int count, const u32* key, u32* result) {
    alignas(64) u32 polynomial[N], digits[DIGITS * N], total[POLYNOMIALS * N];
    std::memset(total, 0, sizeof total);
    std::memset(polynomial, 0, sizeof polynomial);
    const u32* digit_rows[1] = {digits};
    for (int j = 0; j < K * N; j++, key += std::size_t{N} * POLYNOMIALS * DIGITS) {
      std::memcpy(polynomial, masks + std::size_t(j) * count, sizeof(u32) * count);
      decompose(polynomial, digits);
      for (int i = 0; i < DIGITS; i++) transform().forward(digits + i * N);
      for (int v = 0; v < VECTORS; v++) {
        Vec<W> odd_digits[1][DIGITS];
        for (int i = 0; i < DIGITS; i++) odd_digits[0][i] = odd<W>(load<W>(digits + i * N + v * W));
        for (int c = 0; c < POLYNOMIALS; c++) {
          Wide<W> even_sum[1], odd_sum[1];
          sum<1, DIGITS>(digit_rows, odd_digits, key + (v * POLYNOMIALS + c) * DIGITS * W, v, even_sum, odd_sum);
          const Vec<W> value = join_high<W>(montgomery<W>(even_sum[0]), montgomery<W>(odd_sum[0]));  // below 9Q
          u32* at = total + c * N + v * W;
          store<W>(at, reduce<W>(load<W>(at) + value));  // below 2Q + 9Q < 2^32, then below 2Q
        }
      }
    }
    for (int c = 0; c < POLYNOMIALS; c++) {
      transform().inverse(total + c * N);
      for (int j = 0; j < N; j++) result[c * N + j] = total[c * N + j] ? Q - total[c * N + j] : 0;
    }
  }

  static constexpr OctraEngine engine() {
    return {LOG_N, K, DIGITS, BASE_LOG, MESSAGES, load_group, load_packing, rotate, pack};
  }
};

// Tables outside, forms inside: a table is read from memory once for a whole batch.
static void key_switch(const OctraSwitch* shape, const u32* forms, const u16* tables, u16* out, int batch) {
  const int half = 1 << (shape->base_log - 1), mask = 2 * half - 1, stride = shape->stride;
  const std::size_t form_size = std::size_t(shape->dimension) + 1;
  auto rounded = [&](u32 x) {
    return static_cast<u32>(((u64{x} << (shape->log + 1)) + Q) / (2 * u64{Q})) & ((1u << shape->log) - 1);
  };
  for (int b = 0; b < batch; b++) {
    std::memset(out + std::size_t(b) * stride, 0, sizeof(u16) * stride);
    out[std::size_t(b) * stride + shape->lwe] = static_cast<u16>(rounded(forms[b * form_size + shape->dimension]));
  }
  for (int i = 0; i < shape->dimension; i++)
    for (int b = 0; b < batch; b++) {
      const u32 x = rounded(forms[b * form_size + i]);
      u16* accumulator = out + std::size_t(b) * stride;
      int carry = 0;
      for (int j = 0; j < shape->digits; j++) {
        int digit = static_cast<int>(x >> (j * shape->base_log) & mask) + carry;
        carry = digit >= half;
        digit -= carry * 2 * half;
        if (digit == 0) continue;
        const int magnitude = digit < 0 ? -digit : digit;
        const u16* row = tables + ((std::size_t(i) * shape->digits + j) * half + magnitude - 1) * stride;
        if (digit > 0)
          for (int t = 0; t < stride; t++) accumulator[t] = static_cast<u16>(accumulator[t] - row[t]);
        else
          for (int t = 0; t < stride; t++) accumulator[t] = static_cast<u16>(accumulator[t] + row[t]);
      }
    }
}

static const OctraEngine ENGINES[] = {
    Engine<9, 2, 3, 6, 3>::engine(),   // S
    Engine<9, 2, 2, 8, 3>::engine(),   // F
    Engine<9, 2, 4, 5, 3>::engine(),   // T, and packing of S, F and T
    Engine<10, 1, 3, 7, 2>::engine(),  // STD128
    Engine<6, 1, 3, 6, 3>::engine(),   // TEST
    Engine<6, 1, 4, 5, 3>::engine(),   // packing of TEST
};

#define OCTRA_TEXT_(x) #x
#define OCTRA_TEXT(x) OCTRA_TEXT_(x)
extern const OctraVariant variant;
const OctraVariant variant = {OCTRA_TEXT(OCTRA_VARIANT), ENGINES, sizeof ENGINES / sizeof *ENGINES, key_switch};

}  // namespace OCTRA_VARIANT
