// Number-theoretic transform over Q = 2^27 - 2^11 + 1 with lazy reduction. Bounds are multiples of Q; 32 Q < 2^32.
#pragma once
#include "lanes.hpp"

namespace OCTRA_VARIANT {

constexpr u32 Q = (1u << 27) - (1u << 11) + 1;

constexpr u32 power(u64 base, u64 exponent) {
  u64 result = 1;
  for (base %= Q; exponent; exponent >>= 1, base = base * base % Q)
    if (exponent & 1) result = result * base % Q;
  return static_cast<u32>(result);
}
constexpr u32 negated_inverse_of_q() {  // -1/Q modulo 2^32, by Newton's iteration
  u32 x = 1;
  for (int i = 0; i < 5; i++) x *= 2 - Q * x;
  return 0u - x;
}
constexpr u32 shoup(u32 factor) { return static_cast<u32>((static_cast<u64>(factor) << 32) / Q); }
constexpr u32 MONTGOMERY = (u64{1} << 32) % Q;
OCTRA_INLINE u32 to_montgomery(u32 value) { return static_cast<u32>(u64{value % Q} * MONTGOMERY % Q); }

// Q in all lanes, in disguise: a compiler that knew it would multiply by shifts and additions, which is slower.
template <int W> OCTRA_INLINE Vec<W> prime() { return opaque(all<W>(Q)); }
// x * w modulo Q in [0, 2Q) for any x < 2^32 and w < Q, with w' = floor(2^32 w / Q).
template <int W> OCTRA_INLINE Vec<W> multiply(Vec<W> x, Vec<W> w, Vec<W> shoup_w) {
  const Vec<W> high =
      join_high<W>(multiply_even<W>(x, shoup_w), multiply_even<W>(odd<W>(x), odd<W>(shoup_w)));
  return x * w - high * prime<W>();
}
// The same for one factor in all lanes.
template <int W> OCTRA_INLINE Vec<W> multiply(Vec<W> x, u32 w, u32 shoup_w) {
  const Vec<W> quotient = all<W>(shoup_w);
  const Vec<W> high = join_high<W>(multiply_even<W>(x, quotient), multiply_even<W>(odd<W>(x), quotient));
  return x * all<W>(w) - high * prime<W>();
}
// Any x < 2^32 to below 2Q: 2^27 = Q + 2047.
template <int W> OCTRA_INLINE Vec<W> reduce(Vec<W> x) {
  const Vec<W> high = x >> 27;
  return (x & ((1u << 27) - 1)) + ((high << 11) - high);
}
// s + mQ, divisible by 2^32; its high half is s / 2^32 modulo Q, below s / 2^32 + Q.
template <int W> OCTRA_INLINE Wide<W> montgomery(Wide<W> s) {
  const Vec<W> m = (Vec<W>)multiply_even<W>((Vec<W>)s, all<W>(negated_inverse_of_q()));
  return s + multiply_even<W>(m, all<W>(Q));
}

constexpr int log2_of(int value) { return value == 1 ? 0 : 1 + log2_of(value / 2); }

template <int LOG_N, int W> struct Ntt {
  static constexpr int N = 1 << LOG_N, VECTORS = N / W, BLOCKS = VECTORS / W;
  static constexpr int LANE_LEVELS = log2_of(W), VECTOR_LEVELS = LOG_N - LANE_LEVELS;
  static_assert(N >= W * W, "a block of W vectors must fit");

  u32 root[N], root_shoup[N], inverse_root[N], inverse_root_shoup[N];
  // Roots of the levels inside a block, one for each lane: entry 2^s - 1 + g serves group g of level s.
  u32 lane_root[BLOCKS][W][W], lane_root_shoup[BLOCKS][W][W];
  u32 lane_inverse[BLOCKS][W][W], lane_inverse_shoup[BLOCKS][W][W];
  u32 monomial[2 * N][N];  // transform of X^e - 1, Montgomery form, canonical

  Ntt() {
    u32 candidate = 3;
    while (power(candidate, (Q - 1) / 2) == 1) candidate++;
    const u32 generator = power(candidate, (Q - 1) / (2 * N));
    for (int i = 0; i < N; i++) {
      int reversed = 0;
      for (int bit = 0; bit < LOG_N; bit++) reversed |= (i >> bit & 1) << (LOG_N - 1 - bit);
      root[i] = power(generator, static_cast<u64>(reversed));
      inverse_root[i] = power(root[i], Q - 2);
      root_shoup[i] = shoup(root[i]);
      inverse_root_shoup[i] = shoup(inverse_root[i]);
    }
    for (int block = 0; block < BLOCKS; block++)
      for (int s = 0; s < LANE_LEVELS; s++)
        for (int g = 0; g < 1 << s; g++)
          for (int lane = 0; lane < W; lane++) {
            const int from = (1 << (VECTOR_LEVELS + s)) + ((W * block + lane) << s) + g, to = (1 << s) - 1 + g;
            lane_root[block][to][lane] = root[from];
            lane_root_shoup[block][to][lane] = root_shoup[from];
            lane_inverse[block][to][lane] = inverse_root[from];
            lane_inverse_shoup[block][to][lane] = inverse_root_shoup[from];
          }
    for (int e = 0; e < 2 * N; e++) {
      u32* row = monomial[e];
      std::memset(row, 0, sizeof monomial[e]);
      row[e % N] = e < N ? 1 : Q - 1;
      forward(row);
      for (int j = 0; j < N; j++) row[j] = to_montgomery(row[j] % Q + Q - 1);
    }
  }

  // Input below 2Q, output below (2 + 2 LOG_N) Q in the order of this width; nothing is reduced on the way.
  void forward(u32* values) const {
    forward_passes<0>(values);
    for (int block = 0; block < BLOCKS; block++) {
      u32* at = values + block * W * W;
      Vec<W> x[W];
      each<W>([&](auto i) OCTRA_HOT { x[i] = load<W>(at + i * W); });
      transpose<W>(x);
      each<LANE_LEVELS>([&](auto i) OCTRA_HOT {
        forward_level<W, i>(x, [&](int g, Vec<W> value) OCTRA_HOT {
          const int entry = (1 << i) - 1 + g;
          return multiply<W>(value, load<W>(lane_root[block][entry]), load<W>(lane_root_shoup[block][entry]));
        });
      });
      each<W>([&](auto i) OCTRA_HOT { store<W>(at + i * W, x[i]); });
    }
  }

  // Adds N times what `forward` made `values` of (below 2Q, used up) to canonical values, which stay canonical.
  void inverse_add(u32* values, u32* onto) const {
    for (int block = 0; block < BLOCKS; block++) {
      u32* at = values + block * W * W;
      Vec<W> x[W];
      each<W>([&](auto i) OCTRA_HOT { x[i] = load<W>(at + i * W); });
      inverse_levels<LANE_LEVELS, 2>(x, [&](auto s, int g, Vec<W> value) OCTRA_HOT {
        const int entry = (1 << s) - 1 + g;
        return multiply<W>(value, load<W>(lane_inverse[block][entry]), load<W>(lane_inverse_shoup[block][entry]));
      });
      transpose<W>(x);
      each<W>([&](auto i) OCTRA_HOT { store<W>(at + i * W, x[i]); });
    }
    inverse_passes<VECTOR_LEVELS, largest_bound(LANE_LEVELS, 2)>(values, onto);
  }

 private:
  // Level S of a transform of COUNT vectors in registers: 2^s groups, `times_root(g, x)` multiplies by the root of one.
  template <int COUNT, int S, class F> OCTRA_INLINE void forward_level(Vec<W>* x, F times_root) {
    each<COUNT / 2>([&](auto i) OCTRA_HOT {
      constexpr int half = COUNT >> (S + 1), g = i / half, low = 2 * half * g + i % half;
      const Vec<W> product = opaque(times_root(g, x[low + half]));
      x[low + half] = x[low] + (2 * Q - product);
      x[low] = x[low] + product;
    });
  }
  // Levels of an inverse leave 2Q in the upper half of a group and double the bound of its lower half. This is the bound
  // of register i after so many levels from `bound`, where a pair is reduced when its sum could pass 32Q.
  static constexpr int bound_of(int i, int levels, int bound) {
    if (levels == 0) return bound;
    if (i >> (levels - 1) & 1) return 2;
    const int before = bound_of(i, levels - 1, bound);
    return before > 16 ? 4 : 2 * before;
  }
  static constexpr int largest_bound(int levels, int bound) {
    int largest = 0;
    for (int i = 0; i < 1 << levels; i++) {
      const int found = bound_of(i, levels, bound);
      largest = found > largest ? found : largest;
    }
    return largest;
  }
  // The last LEVELS levels of an inverse over 2^LEVELS vectors; `times_root(s, g, x)` serves group g of level s.
  template <int LEVELS, int BOUND, class F> OCTRA_INLINE void inverse_levels(Vec<W>* x, F times_root) {
    each<LEVELS>([&](auto level) OCTRA_HOT {
      each<(1 << LEVELS) / 2>([&](auto i) OCTRA_HOT {
        constexpr int half = 1 << level, g = i / half, low = 2 * half * g + i % half, high = low + half;
        constexpr int before = bound_of(low, level, BOUND), bound = before > 16 ? 2 : before;
        if constexpr (before > 16) x[low] = reduce<W>(x[low]), x[high] = reduce<W>(x[high]);
        const Vec<W> difference = x[low] + (u32{bound} * Q - x[high]);
        x[low] = x[low] + x[high];
        x[high] = times_root(std::integral_constant<int, LEVELS - 1 - level>{}, g, difference);
      });
    });
  }

  // Up to three levels at a time stay in registers.
  template <int FIRST> void forward_passes(u32* values) const {
    if constexpr (FIRST < VECTOR_LEVELS) {
      constexpr int LEVELS = VECTOR_LEVELS - FIRST >= 3 ? 3 : VECTOR_LEVELS - FIRST, COUNT = 1 << LEVELS;
      constexpr int STRIDE = VECTORS >> (FIRST + LEVELS);
      for (int block = 0; block < 1 << FIRST; block++)
        for (int offset = 0; offset < STRIDE; offset++) {
          u32* at = values + (block * COUNT * STRIDE + offset) * W;
          Vec<W> x[COUNT];
          each<COUNT>([&](auto i) OCTRA_HOT { x[i] = load<W>(at + i * STRIDE * W); });
          each<LEVELS>([&](auto i) OCTRA_HOT {
            const int index = (1 << (FIRST + i)) + (block << i);
            forward_level<COUNT, i>(x, [&](int g, Vec<W> value) OCTRA_HOT {
              return multiply<W>(value, root[index + g], root_shoup[index + g]);
            });
          });
          each<COUNT>([&](auto i) OCTRA_HOT { store<W>(at + i * STRIDE * W, x[i]); });
        }
      forward_passes<FIRST + LEVELS>(values);
    }
  }

  // Levels END - 1, END - 2, ..., 0; BOUND is that of the values at entry.
  template <int END, int BOUND> void inverse_passes(u32* values, u32* onto) const {
    constexpr int LEVELS = END >= 3 ? 3 : END, COUNT = 1 << LEVELS, FIRST = END - LEVELS;
    constexpr int STRIDE = VECTORS >> END;
    for (int block = 0; block < 1 << FIRST; block++)
      for (int offset = 0; offset < STRIDE; offset++) {
        const int at = (block * COUNT * STRIDE + offset) * W;
        Vec<W> x[COUNT];
        each<COUNT>([&](auto i) OCTRA_HOT { x[i] = load<W>(values + at + i * STRIDE * W); });
        inverse_levels<LEVELS, BOUND>(x, [&](auto s, int g, Vec<W> value) OCTRA_HOT {
          const int index = (1 << (FIRST + s)) + (block << s) + g;
          return multiply<W>(value, inverse_root[index], inverse_root_shoup[index]);
        });
        each<COUNT>([&](auto i) OCTRA_HOT {
          const int here = at + i * STRIDE * W;
          if constexpr (FIRST > 0) {
            store<W>(values + here, x[i]);
          } else {
            if constexpr (bound_of(i, LEVELS, BOUND) > 2) x[i] = reduce<W>(x[i]);
            store<W>(onto + here, subtract_once<W>(subtract_once<W>(load<W>(onto + here) + x[i], Q), Q));
          }
        });
      }
    if constexpr (FIRST > 0) inverse_passes<FIRST, largest_bound(LEVELS, BOUND)>(values, onto);
  }
};

// The tables of one size, made at first use.
template <int LOG_N, int W> const Ntt<LOG_N, W>& ntt() {
  alignas(64) static const Ntt<LOG_N, W> tables;
  return tables;
}

}  // namespace OCTRA_VARIANT
