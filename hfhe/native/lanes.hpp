// Vectors of W unsigned 32-bit lanes in plain GCC/Clang vector extensions: one source for 128, 256 and 512 bits.
// Only the widening product needs an instruction by name; everything else the compiler lowers to what it may use.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define OCTRA_HOT __attribute__((always_inline))
#define OCTRA_INLINE static inline OCTRA_HOT

namespace OCTRA_VARIANT {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX2__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif

template <int W> struct Lanes;
template <> struct Lanes<4> {
  typedef u32 narrow __attribute__((vector_size(16)));
  typedef u64 wide __attribute__((vector_size(16)));
};
template <> struct Lanes<8> {
  typedef u32 narrow __attribute__((vector_size(32)));
  typedef u64 wide __attribute__((vector_size(32)));
};
template <> struct Lanes<16> {
  typedef u32 narrow __attribute__((vector_size(64)));
  typedef u64 wide __attribute__((vector_size(64)));
};
template <int W> using Vec = typename Lanes<W>::narrow;   // W lanes of 32 bits
template <int W> using Wide = typename Lanes<W>::wide;    // the same register as W/2 lanes of 64 bits

// f(0), f(1), ..., each with its number as a constant: loops over registers must leave no loop behind.
template <class F, int... I> OCTRA_INLINE void each(std::integer_sequence<int, I...>, F&& f) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int COUNT, class F> OCTRA_INLINE void each(F&& f) { each(std::make_integer_sequence<int, COUNT>{}, f); }

template <int W> OCTRA_INLINE Vec<W> load(const u32* from) {
  Vec<W> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <int W> OCTRA_INLINE void store(u32* to, Vec<W> value) { std::memcpy(to, &value, sizeof value); }
template <int W> OCTRA_INLINE Vec<W> all(u32 value) { return value - Vec<W>{}; }
// The same value, of which the compiler knows nothing: it may not regroup what made it, nor load or make it again.
template <class V> OCTRA_INLINE V opaque(V value) {
#if defined(__x86_64__)
  if constexpr (sizeof value <= REGISTER_BYTES) asm("" : "+x"(value));
#endif
  return value;
}

// Products of the even 32-bit lanes, 64 bits each.
template <int W> OCTRA_INLINE Wide<W> multiply_even(Vec<W> left, Vec<W> right) {
#if defined(__AVX512F__)
  if constexpr (W == 16) return (Wide<W>)_mm512_mul_epu32((__m512i)left, (__m512i)right);
#endif
#if defined(__AVX2__)
  if constexpr (W == 8) return (Wide<W>)_mm256_mul_epu32((__m256i)left, (__m256i)right);
#endif
#if defined(__x86_64__)
  if constexpr (W == 4) return (Wide<W>)_mm_mul_epu32((__m128i)left, (__m128i)right);
#elif defined(__aarch64__)
  if constexpr (W == 4)
    return (Wide<W>)vmull_u32(vmovn_u64((uint64x2_t)left), vmovn_u64((uint64x2_t)right));
#endif
  return ((Wide<W>)left & 0xffffffffu) * ((Wide<W>)right & 0xffffffffu);
}

// The odd lanes, moved to the even places.
template <int W> OCTRA_INLINE Vec<W> odd(Vec<W> value) { return (Vec<W>)((Wide<W>)value >> 32); }

template <int W, int... I> OCTRA_INLINE Vec<W> join_high(Wide<W> even, Wide<W> odd, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector((Vec<W>)even, (Vec<W>)odd, (I % 2 ? W + I : I + 1)...);
}
// The high halves of 64-bit results of even and odd lanes, each back in its place.
template <int W> OCTRA_INLINE Vec<W> join_high(Wide<W> even, Wide<W> odd) {
  return join_high<W>(even, odd, std::make_integer_sequence<int, W>{});
}

template <int W> OCTRA_INLINE Vec<W> smaller(Vec<W> left, Vec<W> right) { return left < right ? left : right; }
// x - m if that does not borrow, else x.
template <int W> OCTRA_INLINE Vec<W> subtract_once(Vec<W> x, u32 m) { return smaller<W>(x, x - m); }

template <int W, int S, int... I>
OCTRA_INLINE void exchange(Vec<W>& low, Vec<W>& high, std::integer_sequence<int, I...>) {
  const Vec<W> a = low, b = high;
  low = __builtin_shufflevector(a, b, (I & S ? W + I - S : I)...);
  high = __builtin_shufflevector(a, b, (I & S ? W + I : I + S)...);
}
template <int W, int S> OCTRA_INLINE void transpose_from(Vec<W>* rows) {
  if constexpr (S < W) {
    each<W>([&](auto i) OCTRA_HOT {
      if constexpr (!(i & S)) exchange<W, S>(rows[i], rows[i + S], std::make_integer_sequence<int, W>{});
    });
    transpose_from<W, 2 * S>(rows);
  }
}
// A W x W matrix, one vector a row, by log2 W rounds of exchanges.
template <int W> OCTRA_INLINE void transpose(Vec<W>* rows) { transpose_from<W, 1>(rows); }

}  // namespace OCTRA_VARIANT
