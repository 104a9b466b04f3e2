// Four field elements at once, one in each 64-bit lane, in limbs of 26 and 25 bits so that products fit a lane.
#pragma once
#include <immintrin.h>

#include "field.hpp"

namespace OCTRA_VARIANT {

constexpr int HASH_LANES = 4;

// pair[j] holds limb 2j (26 bits) in the low and limb 2j + 1 (25 bits) in the high half of each lane: together the
// 51-bit limb j of Element. Reduced: even limbs below 2^26 + 2^14, odd ones below 2^25 + 2^14. `multiply` and `square`
// take sums of three reduced elements, so that 19 times a limb stays below 2^32 and a column of products below 2^63.
struct alignas(32) Four {
  __m256i pair[5];
};

constexpr u64 split(u64 limb) { return (limb & 0x3ffffff) | (limb >> 26 << 32); }

OCTRA_INLINE Four constant(const Element& a, const Element& b, const Element& c, const Element& d) {
  Four r;
  for (int j = 0; j < 5; j++)
    r.pair[j] = _mm256_setr_epi64x(split(a.limb[j]), split(b.limb[j]), split(c.limb[j]), split(d.limb[j]));
  return r;
}

inline Four load(const u8* a, const u8* b, const u8* c, const u8* d) {
  return constant(load_element(a), load_element(b), load_element(c), load_element(d));
}

inline void store(u8 (*bytes)[32], const Four& a) {
  alignas(32) u64 pairs[5][4];
  for (int j = 0; j < 5; j++) _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[j]), a.pair[j]);
  for (int i = 0; i < 4; i++) {
    Element element;
    for (int j = 0; j < 5; j++) element.limb[j] = (pairs[j][i] & 0xffffffff) + (pairs[j][i] >> 32 << 26);
    store_element(bytes[i], element);
  }
}

OCTRA_INLINE Four add(const Four& a, const Four& b) {
  Four r;
  for (int j = 0; j < 5; j++) r.pair[j] = _mm256_add_epi32(a.pair[j], b.pair[j]);
  return r;
}

// a - b + 2p, so that no limb is negative. b must be reduced.
OCTRA_INLINE Four subtract(const Four& a, const Four& b) {
  constexpr u64 first = (u64{0x3fffffe} << 32) | 0x7ffffda, others = (u64{0x3fffffe} << 32) | 0x7fffffe;
  Four r;
  for (int j = 0; j < 5; j++) {
    const __m256i twice_p = _mm256_set1_epi64x(j ? others : first);
    r.pair[j] = _mm256_add_epi32(a.pair[j], _mm256_sub_epi32(twice_p, b.pair[j]));
  }
  return r;
}

// Every limb hands its carry to the next one at the same time; takes any limbs of 32 bits.
OCTRA_INLINE Four reduce(const Four& a) {
  const __m256i widths = _mm256_set1_epi64x((u64{25} << 32) | 26);
  const __m256i mask = _mm256_set1_epi64x((u64{0x1ffffff} << 32) | 0x3ffffff);
  __m256i carries[5];
  Four r;
  for (int j = 0; j < 5; j++) carries[j] = _mm256_srlv_epi32(a.pair[j], widths);
  for (int j = 0; j < 5; j++) {
    __m256i from_odd = _mm256_srli_epi64(carries[j ? j - 1 : 4], 32);
    if (j == 0) from_odd = _mm256_mul_epu32(from_odd, _mm256_set1_epi64x(19));
    const __m256i in = _mm256_or_si256(_mm256_slli_epi64(carries[j], 32), from_odd);
    r.pair[j] = _mm256_add_epi32(_mm256_and_si256(a.pair[j], mask), in);
  }
  return r;
}

// Columns below 2^63 to reduced limbs: two interleaved chains, then the top carry comes around times 19.
OCTRA_INLINE Four carry_columns(__m256i z[10]) {
  const __m256i mask26 = _mm256_set1_epi64x(0x3ffffff), mask25 = _mm256_set1_epi64x(0x1ffffff);
  const auto hand_on = [&](int i) __attribute__((always_inline)) {
    z[i + 1] = _mm256_add_epi64(z[i + 1], _mm256_srli_epi64(z[i], i & 1 ? 25 : 26));
    z[i] = _mm256_and_si256(z[i], i & 1 ? mask25 : mask26);
  };
  hand_on(0), hand_on(4), hand_on(1), hand_on(5), hand_on(2), hand_on(6), hand_on(3), hand_on(7);
  hand_on(4), hand_on(8);
  const __m256i top = _mm256_srli_epi64(z[9], 25);  // below 2^39: 19 times it takes shifts
  z[9] = _mm256_and_si256(z[9], mask25);
  z[0] = _mm256_add_epi64(_mm256_add_epi64(z[0], top),
                          _mm256_add_epi64(_mm256_slli_epi64(top, 1), _mm256_slli_epi64(top, 4)));
  hand_on(0);
  Four r;
  for (int j = 0; j < 5; j++) r.pair[j] = _mm256_or_si256(z[2 * j], _mm256_slli_epi64(z[2 * j + 1], 32));
  return r;
}

// z + product, here and now: GCC would form all products before the first sum and run out of registers.
OCTRA_INLINE __m256i accumulate(__m256i z, __m256i product) {
  __m256i sum = _mm256_add_epi64(z, product);
  __asm__("" : "+x"(sum));
  return sum;
}

// Limb i weighs 2^ceil(25.5 i): a product of two odd limbs counts twice, one past limb 9 counts 19 times.
inline Four multiply(const Four& a, const Four& b) {
  __m256i y[10], y19[10], z[10];
  for (int j = 0; j < 5; j++) {
    y[2 * j] = b.pair[j];  // products read the low halves only
    y[2 * j + 1] = _mm256_srli_epi64(b.pair[j], 32);
  }
  for (int j = 1; j < 10; j++) y19[j] = _mm256_mul_epu32(y[j], _mm256_set1_epi64x(19));
#pragma GCC unroll 10
  for (int i = 0; i < 10; i++) {
    const __m256i x = i & 1 ? _mm256_srli_epi64(a.pair[i / 2], 32) : a.pair[i / 2];
    const __m256i twice = _mm256_add_epi64(x, x);
#pragma GCC unroll 10
    for (int j = 0; j < 10; j++) {
      const int k = (i + j) % 10;
      const __m256i product = _mm256_mul_epu32(i & j & 1 ? twice : x, i + j >= 10 ? y19[j] : y[j]);
      z[k] = i == 0 ? product : accumulate(z[k], product);
    }
  }
  return carry_columns(z);
}

inline Four square(const Four& a) {
  __m256i x[10], x19[10], z[10];
  for (int j = 0; j < 5; j++) {
    x[2 * j] = a.pair[j];
    x[2 * j + 1] = _mm256_srli_epi64(a.pair[j], 32);
  }
  for (int j = 5; j < 10; j++) x19[j] = _mm256_mul_epu32(x[j], _mm256_set1_epi64x(19));
#pragma GCC unroll 10
  for (int i = 0; i < 10; i++) {
    const __m256i twice = _mm256_add_epi64(x[i], x[i]), four_times = _mm256_add_epi64(twice, twice);
#pragma GCC unroll 10
    for (int j = i; j < 10; j++) {
      const int k = (i + j) % 10, times = (i == j ? 1 : 2) * (i & j & 1 ? 2 : 1);
      const __m256i product =
          _mm256_mul_epu32(times == 1 ? x[i] : times == 2 ? twice : four_times, i + j >= 10 ? x19[j] : x[j]);
      z[k] = i == 0 ? product : accumulate(z[k], product);
    }
  }
  return carry_columns(z);
}

template <int A, int B, int C, int E> OCTRA_INLINE Four permute(const Four& a) {
  Four r;
  for (int j = 0; j < 5; j++) r.pair[j] = _mm256_permute4x64_epi64(a.pair[j], A | B << 2 | C << 4 | E << 6);
  return r;
}

// Lanes of `b` where the bit of MASK is set, else of `a`.
template <int MASK> OCTRA_INLINE Four blend(const Four& a, const Four& b) {
  constexpr int halves = (MASK & 1) * 3 | (MASK & 2) * 6 | (MASK & 4) * 12 | (MASK & 8) * 24;
  Four r;
  for (int j = 0; j < 5; j++) r.pair[j] = _mm256_blend_epi32(a.pair[j], b.pair[j], halves);
  return r;
}

// Row i of the result is lane i of every input.
inline void transpose(Four rows[4]) {
  for (int j = 0; j < 5; j++) {
    const __m256i ab = _mm256_unpacklo_epi64(rows[0].pair[j], rows[1].pair[j]);
    const __m256i AB = _mm256_unpackhi_epi64(rows[0].pair[j], rows[1].pair[j]);
    const __m256i cd = _mm256_unpacklo_epi64(rows[2].pair[j], rows[3].pair[j]);
    const __m256i CD = _mm256_unpackhi_epi64(rows[2].pair[j], rows[3].pair[j]);
    rows[0].pair[j] = _mm256_permute2x128_si256(ab, cd, 0x20);
    rows[1].pair[j] = _mm256_permute2x128_si256(AB, CD, 0x20);
    rows[2].pair[j] = _mm256_permute2x128_si256(ab, cd, 0x31);
    rows[3].pair[j] = _mm256_permute2x128_si256(AB, CD, 0x31);
  }
}

}  // namespace OCTRA_VARIANT
