// One variant of the kernel. Compiled once for each instruction set, with OCTRA_VARIANT and OCTRA_LANES defined.
#include "kernel.hpp"
#include "ntt.hpp"

namespace OCTRA_VARIANT {

// Exact blind rotation and packing for one shape. Every stored coefficient is canonical, so order and grouping of
// operations cannot show in a result.
template <int LOG_N, int K, int DIGITS, int BASE_LOG, int MESSAGES> struct Engine {
  static constexpr int W = (1 << LOG_N) >= OCTRA_LANES * OCTRA_LANES ? OCTRA_LANES : OCTRA_LANES / 2;
  static constexpr int N = 1 << LOG_N, VECTORS = N / W, POLYNOMIALS = K + 1, ROWS = POLYNOMIALS * DIGITS;
  static constexpr int ROW = N + 16;  // between rows of digits: a power of two would crowd a few cache sets
  static constexpr int DROP = 27 - DIGITS * BASE_LOG;
  static constexpr std::size_t GROUP = std::size_t{N} * MESSAGES * POLYNOMIALS * ROWS;
  static_assert(ROWS * (2 + 2 * LOG_N) <= 256, "a sum of lazy products must stay below 2^62");

  static const Ntt<LOG_N, W>& transform() { return ntt<LOG_N, W>(); }

  // Key order: [vector][message][row][polynomial][lane], so that one sum reads forward through memory.
  static void load_rows(const u32* rows, u32* key, int messages, int count) {
    alignas(64) u32 values[N];
    for (int message = 0; message < messages; message++)
      for (int row = 0; row < count; row++)
        for (int c = 0; c < POLYNOMIALS; c++) {
          std::memcpy(values, rows + std::size_t{N} * ((message * count + row) * POLYNOMIALS + c), sizeof values);
          transform().forward(values);
          for (int j = 0; j < N; j++)
            key[(((std::size_t(j / W) * messages + message) * count + row) * POLYNOMIALS + c) * W + j % W] =
                to_montgomery(values[j]);
        }
  }
  static void load_group(const u32* rows, u32* key) { load_rows(rows, key, MESSAGES, ROWS); }
  static void load_packing(const u32* rows, u32* key) { load_rows(rows, key, 1, DIGITS); }

  // Signed digits of one polynomial, each plus Q, at digits[i][ROW].
  OCTRA_INLINE void decompose(const u32* polynomial, u32* digits) {
    constexpr u32 half = 1u << (BASE_LOG - 1);
    constexpr u32 offset = (1u << (DROP - 1)) + half * (((1u << (27 - DROP)) - 1) / ((1u << BASE_LOG) - 1) << DROP);
    for (int v = 0; v < VECTORS; v++) {
      const Vec<W> x = load<W>(polynomial + v * W);
      const Vec<W> shifted = (x > all<W>(Q >> 1) ? x - Q : x) + offset;
      each<DIGITS>([&](auto i) OCTRA_HOT {
        Vec<W> digit = shifted >> (DROP + i * BASE_LOG);
        if constexpr (i < DIGITS - 1) digit &= 2 * half - 1;
        store<W>(digits + i * ROW + v * W, digit + (Q - half));
      });
    }
  }

  // Sums over LENGTH rows of digits times key rows, for every polynomial of a vector; even and odd lanes apart.
  template <int LENGTH>
  OCTRA_INLINE void sum(const u32* digits, const Vec<W>* odd_digits, const u32* key, Wide<W>* even_sum,
                        Wide<W>* odd_sum) {
    each<POLYNOMIALS>([&](auto c) OCTRA_HOT { even_sum[c] = odd_sum[c] = Wide<W>{}; });
#pragma GCC unroll 1  // unrolled, GCC forms all products before the first sum and runs out of registers
    for (int row = 0; row < LENGTH; row++) {
      const Vec<W> digit = load<W>(digits + row * ROW), odd_digit = odd_digits[row];
      each<POLYNOMIALS>([&](auto c) OCTRA_HOT {
        const Vec<W> k = load<W>(key + (row * POLYNOMIALS + c) * W);
        even_sum[c] += multiply_even<W>(digit, k);
        odd_sum[c] += multiply_even<W>(odd_digit, odd<W>(k));
      });
    }
  }

  // Sum over messages of (X^e - 1) times the product of the digits with the message's key.
  static void multiply_add(const u32* digits, const u32* const* monomials, const u32* key, u32* out) {
    for (int v = 0; v < VECTORS; v++) {
      Vec<W> odd_digits[ROWS];
      for (int row = 0; row < ROWS; row++) odd_digits[row] = odd<W>(load<W>(digits + row * ROW + v * W));
      Wide<W> even_total[POLYNOMIALS] = {}, odd_total[POLYNOMIALS] = {};
      for (int message = 0; message < MESSAGES; message++, key += POLYNOMIALS * ROWS * W) {
        const Vec<W> factor = load<W>(monomials[message] + v * W), odd_factor = odd<W>(factor);
        Wide<W> even_sum[POLYNOMIALS], odd_sum[POLYNOMIALS];  // below 256 Q^2 < 2^62
        sum<ROWS>(digits + v * W, odd_digits, key, even_sum, odd_sum);
        each<POLYNOMIALS>([&](auto c) OCTRA_HOT {  // below 9Q after reduction, so three terms stay below 27 Q^2
          even_total[c] += multiply_even<W>(odd<W>((Vec<W>)montgomery<W>(even_sum[c])), factor);
          odd_total[c] += multiply_even<W>(odd<W>((Vec<W>)montgomery<W>(odd_sum[c])), odd_factor);
        });
      }
      each<POLYNOMIALS>([&](auto c) OCTRA_HOT {
        store<W>(out + c * N + v * W, join_high<W>(montgomery<W>(even_total[c]), montgomery<W>(odd_total[c])));
      });
    }
  }

  // One group's step of one accumulator.
  static void step(u32* accumulator, const u32* key, const u16* exponents, int group) {
    alignas(64) u32 digits[ROWS * ROW], products[POLYNOMIALS * N];
    for (int c = 0; c < POLYNOMIALS; c++) decompose(accumulator + c * N, digits + c * DIGITS * ROW);
    for (int row = 0; row < ROWS; row++) transform().forward(digits + row * ROW);
    const u32* monomials[MESSAGES];
    if constexpr (MESSAGES == 3) {
      const unsigned first = exponents[2 * group], second = exponents[2 * group + 1];
      monomials[0] = transform().monomial[first];
      monomials[1] = transform().monomial[second];
      monomials[2] = transform().monomial[(first + second) % (2 * N)];
    } else {
      monomials[0] = transform().monomial[exponents[group]];
      monomials[1] = transform().monomial[(2 * N - exponents[group]) % (2 * N)];
    }
    multiply_add(digits, monomials, key, products);
    for (int c = 0; c < POLYNOMIALS; c++) transform().inverse(products + c * N);
    for (int v = 0; v < POLYNOMIALS * N; v += W)
      store<W>(accumulator + v, subtract_once<W>(load<W>(accumulator + v) + load<W>(products + v), Q));
  }

  static void rotate(u32* accumulators, const u32* key, const u16* exponents, int batch, int lwe, int start) {
    const int groups = MESSAGES == 3 ? lwe / 2 : lwe;
    const std::size_t size = std::size_t{POLYNOMIALS} * N;
    for (int turn = 0; turn < groups; turn++) {  // key-stationary: every accumulator takes this step
      const int group = (start + turn) % groups;
      const u32* group_key = key + GROUP * group;
      for (int b = 0; b < batch; b++)
        step(accumulators + b * size, group_key, exponents + std::size_t(b) * (lwe + 1), group);
    }
  }

  static void pack(const u32* masks, int count, const u32* key, u32* result) {
    alignas(64) u32 polynomial[N], digits[DIGITS * ROW], total[POLYNOMIALS * N];
    std::memset(total, 0, sizeof total);
    std::memset(polynomial, 0, sizeof polynomial);
    for (int j = 0; j < K * N; j++, key += std::size_t{N} * POLYNOMIALS * DIGITS) {
      std::memcpy(polynomial, masks + std::size_t(j) * count, sizeof(u32) * count);
      decompose(polynomial, digits);
      for (int i = 0; i < DIGITS; i++) transform().forward(digits + i * ROW);
      for (int v = 0; v < VECTORS; v++) {
        Vec<W> odd_digits[DIGITS];
        for (int i = 0; i < DIGITS; i++) odd_digits[i] = odd<W>(load<W>(digits + i * ROW + v * W));
        Wide<W> even_sum[POLYNOMIALS], odd_sum[POLYNOMIALS];
        sum<DIGITS>(digits + v * W, odd_digits, key + v * POLYNOMIALS * DIGITS * W, even_sum, odd_sum);
        for (int c = 0; c < POLYNOMIALS; c++) {
          const Vec<W> value = join_high<W>(montgomery<W>(even_sum[c]), montgomery<W>(odd_sum[c]));  // below 9Q
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
