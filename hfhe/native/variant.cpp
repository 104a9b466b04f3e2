// One variant of the kernel. Compiled once for each instruction set, with OCTRA_VARIANT and OCTRA_LANES defined.
#include "kernel.hpp"
#include "ntt.hpp"
#include "shake.hpp"

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
    constexpr u32 factor = u64{MONTGOMERY} * power(N, Q - 2) % Q;  // inverse transforms leave the factor N
    alignas(64) u32 values[N];
    for (int message = 0; message < messages; message++)
      for (int row = 0; row < count; row++)
        for (int c = 0; c < POLYNOMIALS; c++) {
          std::memcpy(values, rows + std::size_t{N} * ((message * count + row) * POLYNOMIALS + c), sizeof values);
          transform().forward(values);
          for (int v = 0; v < VECTORS; v++)
            store<W>(key + (((std::size_t(v) * messages + message) * count + row) * POLYNOMIALS + c) * W,
                     subtract_once<W>(multiply<W>(load<W>(values + v * W), factor, shoup(factor)), Q));
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

  // Adds (X^e - 1) times the sum over rows of digits times key, for all polynomials of the even lanes of a vector (the
  // odd ones with pointers one coefficient on) of A accumulators, which share every load of the key.
  template <int A>
  OCTRA_INLINE void add_products(const u32* const* digits, const u32* key, const Vec<W>* factors,
                                 Wide<W> (*totals)[POLYNOMIALS]) {
    Wide<W> sums[A][POLYNOMIALS] = {};  // below 256 Q^2 < 2^62
    each<ROWS>([&](auto row) OCTRA_HOT {
      Vec<W> digit[A];
      each<A>([&](auto a) OCTRA_HOT { digit[a] = opaque(load<W>(digits[a] + row * ROW)); });
      each<POLYNOMIALS>([&](auto c) OCTRA_HOT {
        const Vec<W> k = opaque(load<W>(key + (row * POLYNOMIALS + c) * W));
        // Opaque, or GCC forms all products before the first sum and runs out of registers.
        each<A>([&](auto a) OCTRA_HOT { sums[a][c] = opaque(sums[a][c] + multiply_even<W>(digit[a], k)); });
      });
    });
    each<A>([&](auto a) OCTRA_HOT {
      each<POLYNOMIALS>([&](auto c) OCTRA_HOT {  // below 9Q after reduction, so three terms stay below 27 Q^2
        totals[a][c] += multiply_even<W>(odd<W>((Vec<W>)montgomery<W>(sums[a][c])), factors[a]);
      });
    });
  }

  // Sum over messages of (X^e - 1) times the product of the digits with the message's key, for A accumulators.
  template <int A>
  static void multiply_add(const u32* const* digits, const u32* const (*monomials)[MESSAGES], const u32* key,
                           u32* const* out) {
    for (int v = 0; v < VECTORS; v++) {
      const u32 *even_digits[A], *odd_digits[A];
      each<A>([&](auto a) OCTRA_HOT { odd_digits[a] = 1 + (even_digits[a] = digits[a] + v * W); });
      Wide<W> even_totals[A][POLYNOMIALS] = {}, odd_totals[A][POLYNOMIALS] = {};
      for (int message = 0; message < MESSAGES; message++, key += POLYNOMIALS * ROWS * W) {
        Vec<W> factors[A];
        each<A>([&](auto a) OCTRA_HOT { factors[a] = load<W>(monomials[a][message] + v * W); });
        add_products<A>(even_digits, key, factors, even_totals);
        each<A>([&](auto a) OCTRA_HOT { factors[a] = odd<W>(factors[a]); });
        add_products<A>(odd_digits, key + 1, factors, odd_totals);
      }
      each<A>([&](auto a) OCTRA_HOT {
        each<POLYNOMIALS>([&](auto c) OCTRA_HOT {
          store<W>(out[a] + c * N + v * W,
                   join_high<W>(montgomery<W>(even_totals[a][c]), montgomery<W>(odd_totals[a][c])));
        });
      });
    }
  }

  // One group's step of A accumulators that lie one after the other.
  template <int A> static void step(u32* accumulators, const u32* key, const u16* exponents, int lwe, int group) {
    alignas(64) u32 digits[A][ROWS * ROW + 16], products[A][POLYNOMIALS * N];
    const u32 *digits_of[A], *monomials[A][MESSAGES];
    u32* products_of[A];
    for (int a = 0; a < A; a++, exponents += lwe + 1) {
      digits_of[a] = digits[a];
      products_of[a] = products[a];
      for (int c = 0; c < POLYNOMIALS; c++)
        decompose(accumulators + (a * POLYNOMIALS + c) * N, digits[a] + c * DIGITS * ROW);
      for (int row = 0; row < ROWS; row++) transform().forward(digits[a] + row * ROW);
      if constexpr (MESSAGES == 3) {
        const unsigned first = exponents[2 * group], second = exponents[2 * group + 1];
        monomials[a][0] = transform().monomial[first];
        monomials[a][1] = transform().monomial[second];
        monomials[a][2] = transform().monomial[(first + second) % (2 * N)];
      } else {
        monomials[a][0] = transform().monomial[exponents[group]];
        monomials[a][1] = transform().monomial[(2 * N - exponents[group]) % (2 * N)];
      }
    }
    multiply_add<A>(digits_of, monomials, key, products_of);
    for (int a = 0; a < A; a++)
      for (int c = 0; c < POLYNOMIALS; c++)
        transform().inverse_add(products[a] + c * N, accumulators + (a * POLYNOMIALS + c) * N);
  }

  static void rotate(u32* accumulators, const u32* key, const u16* exponents, int batch, int lwe, int start) {
    const int groups = MESSAGES == 3 ? lwe / 2 : lwe;
    const std::size_t size = std::size_t{POLYNOMIALS} * N;
    for (int turn = 0; turn < groups; turn++) {  // key-stationary: every accumulator takes this step
      const int group = (start + turn) % groups;
      const u32* group_key = key + GROUP * group;
      int b = 0;
      for (; b + 1 < batch; b += 2)
        step<2>(accumulators + b * size, group_key, exponents + std::size_t(b) * (lwe + 1), lwe, group);
      if (b < batch) step<1>(accumulators + b * size, group_key, exponents + std::size_t(b) * (lwe + 1), lwe, group);
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
        Wide<W> even_sum[POLYNOMIALS] = {}, odd_sum[POLYNOMIALS] = {};
        for (int i = 0; i < DIGITS; i++)
          each<POLYNOMIALS>([&](auto c) OCTRA_HOT {
            const Vec<W> digit = load<W>(digits + i * ROW + v * W);
            const Vec<W> k = load<W>(key + ((v * DIGITS + i) * POLYNOMIALS + c) * W);
            even_sum[c] += multiply_even<W>(digit, k);
            odd_sum[c] += multiply_even<W>(odd<W>(digit), odd<W>(k));
          });
        for (int c = 0; c < POLYNOMIALS; c++) {
          const Vec<W> value = join_high<W>(montgomery<W>(even_sum[c]), montgomery<W>(odd_sum[c]));  // below 9Q
          u32* at = total + c * N + v * W;
          store<W>(at, reduce<W>(load<W>(at) + value));  // below 2Q + 9Q < 2^32, then below 2Q
        }
      }
    }
    std::memset(result, 0, sizeof total);
    for (int c = 0; c < POLYNOMIALS; c++) transform().inverse_add(total + c * N, result + c * N);
    for (int j = 0; j < POLYNOMIALS * N; j++) result[j] = result[j] ? Q - result[j] : 0;
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
const OctraVariant variant = {OCTRA_TEXT(OCTRA_VARIANT), ENGINES, sizeof ENGINES / sizeof *ENGINES, key_switch,
                               Shake<OCTRA_LANES>::streams};

}  // namespace OCTRA_VARIANT
