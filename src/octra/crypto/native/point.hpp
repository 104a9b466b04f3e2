// Points of edwards25519, four field elements at a time (Hisil, Wong, Carter, Dawson 2008, formulas for a = -1).
#pragma once
#include OCTRA_FOUR

namespace OCTRA_VARIANT {

// Extended coordinates in lanes (X, Y, T, Z): x = X/Z, y = Y/Z, xy = T/Z.
struct Point {
  Four xytz;
};

// A point ready to be added: lanes (Y - X, Y + X, 2dT, 2Z), reduced.
struct Addend {
  Four value;
};

inline Point identity() { return {constant(ZERO, ONE, ZERO, ONE)}; }

// (b - a, b + a, d - c, d + c)
OCTRA_INLINE Four differences_and_sums(const Four& abcd) {
  const Four badc = permute<1, 0, 3, 2>(abcd);
  return blend<0b1010>(subtract(badc, abcd), add(badc, abcd));
}

template <bool NEGATIVE> OCTRA_INLINE Point add_signed(const Point& p, const Addend& q) {
  const Four left = blend<0b0011>(p.xytz, differences_and_sums(p.xytz));
  const Four product = multiply(left, NEGATIVE ? permute<1, 0, 2, 3>(q.value) : q.value);
  const Four ehfg = differences_and_sums(product);  // -q swaps F and G, as its T has the other sign
  if constexpr (NEGATIVE) return {multiply(permute<0, 2, 0, 3>(ehfg), permute<3, 1, 1, 2>(ehfg))};
  return {multiply(permute<0, 3, 0, 2>(ehfg), permute<2, 1, 1, 3>(ehfg))};
}

inline Point add(const Point& p, const Addend& q) { return add_signed<false>(p, q); }
inline Point subtract(const Point& p, const Addend& q) { return add_signed<true>(p, q); }

inline Point twice(const Point& p) {
  const Four zero = constant(ZERO, ZERO, ZERO, ZERO);
  const Four y_last = blend<0b1000>(zero, permute<0, 0, 0, 1>(p.xytz));
  const Four s = square(add(permute<0, 1, 3, 0>(p.xytz), y_last));  // XX, YY, ZZ, (X + Y)^2
  const Four xx = permute<0, 0, 0, 0>(s), yy = permute<1, 1, 1, 1>(s), zz = permute<2, 2, 2, 2>(s);
  const Four plus = add(xx, blend<0b0011>(blend<0b0100>(zero, add(zz, zz)), yy));
  const Four minus = blend<0b1100>(blend<0b0001>(zero, permute<3, 3, 3, 3>(s)), yy);
  const Four ehfg = reduce(subtract(plus, minus));  // XX + YY - (X + Y)^2, XX + YY, XX - YY + 2 ZZ, XX - YY
  return {multiply(permute<0, 3, 0, 2>(ehfg), permute<2, 1, 1, 3>(ehfg))};
}

inline Addend addend(const Point& p) {
  const Four left = blend<0b0011>(p.xytz, differences_and_sums(p.xytz));
  return {multiply(left, constant(ONE, ONE, TWICE_D, TWO))};
}

// Is 8p the identity? That forgives the small-order part of p, as ZIP-215 wants.
inline bool is_torsion(const Point& p) {
  u8 bytes[4][32];
  static const u8 zero[32] = {};
  store(bytes, twice(twice(twice(p))).xytz);
  return !std::memcmp(bytes[0], zero, 32) && !std::memcmp(bytes[1], bytes[3], 32);
}

template <int N> struct Group {
  Four of[N];
};

template <int N> OCTRA_INLINE Group<N> multiply(const Group<N>& a, const Group<N>& b) {
  Group<N> r;
  for (int i = 0; i < N; i++) r.of[i] = multiply(a.of[i], b.of[i]);
  return r;
}

// a^(2^times). A processor overlaps the squares of a group: alone, each would wait for the one before.
template <int N> inline Group<N> squared(Group<N> a, int times) {
  while (times--)
    for (int i = 0; i < N; i++) a.of[i] = square(a.of[i]);
  return a;
}

// a^(2^252 - 3): the exponent (p - 5) / 8 of the square root.
template <int N> inline Group<N> power_of_root(const Group<N>& a) {
  const Group<N> a2 = squared(a, 1), a9 = multiply(a, squared(a2, 2)), a11 = multiply(a2, a9);
  const Group<N> b5 = multiply(a9, squared(a11, 1));  // a^(2^5 - 1), and so on
  const Group<N> b10 = multiply(squared(b5, 5), b5), b20 = multiply(squared(b10, 10), b10);
  const Group<N> b40 = multiply(squared(b20, 20), b20), b50 = multiply(squared(b40, 10), b10);
  const Group<N> b100 = multiply(squared(b50, 50), b50), b200 = multiply(squared(b100, 100), b100);
  const Group<N> b250 = multiply(squared(b200, 50), b50);
  return multiply(squared(b250, 2), a);
}

inline void encode(const Point& p, u8 out[32]) {
  // 1 / Z = Z^(p - 2), and p - 2 = 8 (2^252 - 3) + 3.
  const Four z = permute<3, 3, 3, 3>(p.xytz), z3 = multiply(square(z), z);
  const Four affine = multiply(p.xytz, multiply(squared(power_of_root(Group<1>{{z}}), 3).of[0], z3));
  u8 bytes[4][32];
  store(bytes, affine);
  std::memcpy(out, bytes[1], 32);
  out[31] |= u8(bytes[0][0] << 7);
}

// An encoded point and what decoding finds.
struct Decoding {
  const u8* encoding;
  u8 x[32];
  bool is_point;
};

// Writes x and is_point of 4 N points: RFC 8032, 5.1.3, but y >= p and a sign at x = 0 are accepted (ZIP-215).
template <int N> inline void recover_x(Decoding* const points[4 * N]) {
  const Four one = constant(ONE, ONE, ONE, ONE), d = constant(D, D, D, D);
  const Four i = constant(SQRT_MINUS_ONE, SQRT_MINUS_ONE, SQRT_MINUS_ONE, SQRT_MINUS_ONE);
  Group<N> u, v, uv3, uv7;
  for (int g = 0; g < N; g++) {
    Decoding* const* four = points + 4 * g;
    const Four yy = square(load(four[0]->encoding, four[1]->encoding, four[2]->encoding, four[3]->encoding));
    u.of[g] = reduce(subtract(yy, one));
    v.of[g] = reduce(add(multiply(yy, d), one));
    const Four v2 = square(v.of[g]);
    uv3.of[g] = multiply(multiply(u.of[g], v.of[g]), v2);
    uv7.of[g] = multiply(uv3.of[g], square(v2));
  }
  const Group<N> root = multiply(uv3, power_of_root(uv7));
  static const u8 zero[32] = {};
  for (int g = 0; g < N; g++) {
    const Four check = multiply(v.of[g], square(root.of[g]));
    u8 roots[2][4][32], difference[4][32], sum[4][32];
    store(roots[0], root.of[g]);
    store(roots[1], multiply(root.of[g], i));
    store(difference, subtract(check, u.of[g]));
    store(sum, add(check, u.of[g]));
    for (int lane = 0; lane < 4; lane++) {
      Decoding& point = *points[4 * g + lane];
      const bool plus = !std::memcmp(difference[lane], zero, 32), minus = !std::memcmp(sum[lane], zero, 32);
      point.is_point = plus || minus;
      std::memcpy(point.x, roots[plus ? 0 : 1][lane], 32);
      if ((point.x[0] & 1) != point.encoding[31] >> 7) store_element(point.x, negate(load_element(point.x)));
    }
  }
}

inline void recover_x(Decoding* const* points, u32 count) {
  Decoding unused;
  while (count) {
    Decoding* eight[8];
    const u32 taken = count < 8 ? count : 8;
    for (u32 i = 0; i < 8; i++) eight[i] = i < taken ? points[i] : &unused;
    unused.encoding = eight[0]->encoding;
    if (taken > 4) recover_x<2>(eight);
    else recover_x<1>(eight);
    points += taken, count -= taken;
  }
}

// Addends of decoded points.
inline void addends(const Decoding* points, u32 count, Addend* out) {
  for (u32 i = 0; i < count; i += 4) {
    const Decoding* four[4];
    for (u32 lane = 0; lane < 4; lane++) four[lane] = &points[i + lane < count ? i + lane : i];
    const Four x = load(four[0]->x, four[1]->x, four[2]->x, four[3]->x);
    const Four y = load(four[0]->encoding, four[1]->encoding, four[2]->encoding, four[3]->encoding);
    Four rows[4] = {reduce(subtract(y, x)), reduce(add(y, x)),
                    multiply(multiply(x, y), constant(TWICE_D, TWICE_D, TWICE_D, TWICE_D)),
                    constant(TWO, TWO, TWO, TWO)};
    transpose(rows);
    for (u32 lane = 0; lane < 4 && i + lane < count; lane++) out[i + lane].value = rows[lane];
  }
}

}  // namespace OCTRA_VARIANT
