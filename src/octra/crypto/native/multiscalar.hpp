// Sums of multiples of points: Straus with odd multiples for few terms, Pippenger with signed windows for many.
// Running times depend on the scalars: everything here is public.
#pragma once
#include "array.hpp"
#include "point.hpp"
#include "scalar.hpp"

namespace OCTRA_VARIANT {

constexpr unsigned FULL_BITS = 253, SHORT_BITS = 128;

// Terms of one sum; the first `full` scalars are below L, the others below 2^128.
struct Terms {
  Array<const Addend*> points;
  Array<Scalar> scalars;
  u32 full = 0, count = 0;

  explicit Terms(u32 capacity) : points(capacity), scalars(capacity) {}
  void push(const Addend* point, const Scalar& scalar) {
    points[count] = point;
    scalars[count++] = scalar;
  }
};

// P, 3P, 5P, ... : `count` odd multiples.
inline void odd_multiples(const Addend& p, int count, Addend* out) {
  Point multiple = add(identity(), p);
  const Addend two = addend(twice(multiple));
  out[0] = p;
  for (int i = 1; i < count; i++) {
    multiple = add(multiple, two);
    out[i] = addend(multiple);
  }
}

// Digits d[i], each zero or odd and below 2^(width - 1) in size, with sum d[i] 2^i = a; nonzero ones `width` apart.
constexpr int DIGITS = 256;
inline void sparse_digits(const Scalar& a, unsigned width, std::int8_t d[DIGITS]) {
  std::memset(d, 0, DIGITS);
  u64 carry = 0;
  for (unsigned i = 0; i < DIGITS;) {
    const u64 window = bits(a, i, width) + carry;
    if (!(window & 1)) {
      i++;
      continue;
    }
    carry = window >> (width - 1);
    d[i] = std::int8_t(int(window) - int(carry << width));
    i += width;
  }
}

// The base point with its own, wider table: it takes part in every sum.
struct Base {
  static constexpr unsigned WIDTH = 8;
  Addend odd[1 << (WIDTH - 2)];

  Base() {
    u8 encoding[32];  // y = 4/5
    std::memset(encoding, 0x66, sizeof encoding);
    encoding[0] = 0x58;
    Decoding point = {encoding, {}, false}, *const points[1] = {&point};
    recover_x(points, 1);
    Addend base;
    addends(&point, 1, &base);
    odd_multiples(base, 1 << (WIDTH - 2), odd);
  }
};

OCTRA_INLINE Point add_digit(const Point& p, const Addend* odd, int digit) {
  return digit > 0 ? add(p, odd[digit / 2]) : subtract(p, odd[-digit / 2]);
}

inline Point straus(const Terms& terms, const Base& base, const Scalar& base_scalar) {
  constexpr unsigned WIDTH = 5, ODD = 1 << (WIDTH - 2);
  struct Digits {
    std::int8_t d[DIGITS];
  };
  Array<Addend> odd(std::size_t{terms.count} * ODD);
  Array<Digits> digits(terms.count + 1);
  for (u32 t = 0; t < terms.count; t++) {
    odd_multiples(*terms.points[t], ODD, &odd[std::size_t{t} * ODD]);
    sparse_digits(terms.scalars[t], WIDTH, digits[t].d);
  }
  sparse_digits(base_scalar, Base::WIDTH, digits[terms.count].d);
  Point sum = identity();
  bool started = false;
  for (int i = DIGITS - 1; i >= 0; i--) {
    if (started) sum = twice(sum);
    const u32 count = i <= int(SHORT_BITS) ? terms.count : terms.full;
    for (u32 t = 0; t < count; t++)
      if (const int digit = digits[t].d[i]) {
        sum = add_digit(sum, &odd[std::size_t{t} * ODD], digit);
        started = true;
      }
    if (const int digit = digits[terms.count].d[i]) {
      sum = add_digit(sum, base.odd, digit);
      started = true;
    }
  }
  return sum;
}

// Bits of a window by number of terms: measured, flat around the best.
inline unsigned window_of(u32 terms) {
  return terms < 256 ? 6 : terms < 1024 ? 7 : terms < 4096 ? 8 : terms < 8192 ? 9 : 10;
}

inline Point pippenger(const Terms& terms, const Base& base, const Scalar& base_scalar) {
  const unsigned width = window_of(terms.count), windows = FULL_BITS / width + 1;
  const unsigned short_windows = SHORT_BITS / width + 1;
  const u32 half = 1u << (width - 1), count = terms.count + 1;
  const auto at = [&](u32 t) { return t == 0 ? base.odd : terms.points[t - 1]; };
  // Signed digits, window by window; the base point comes first, the short scalars last.
  Array<std::int16_t> digits(std::size_t{windows} * count, 0);
  for (u32 t = 0; t < count; t++) {
    const Scalar& scalar = t == 0 ? base_scalar : terms.scalars[t - 1];
    u32 carry = 0;
    for (unsigned w = 0; w < (t <= terms.full ? windows : short_windows); w++) {
      const u32 digit = u32(bits(scalar, w * width, width)) + carry;
      carry = digit > half;
      digits[std::size_t{w} * count + t] = std::int16_t(int(digit) - int(carry << width));
    }
  }
  Array<Point> buckets(half);
  Point sum = identity();
  for (unsigned w = windows; w-- > 0;) {
    if (w + 1 < windows)
      for (unsigned i = 0; i < width; i++) sum = twice(sum);
    for (u32 b = 0; b < half; b++) buckets[b] = identity();
    const std::int16_t* digit = &digits[std::size_t{w} * count];
    const u32 end = w < short_windows ? count : terms.full + 1;
    for (u32 t = 0; t < end; t++) {
      if (digit[t] > 0) buckets[digit[t] - 1] = add(buckets[digit[t] - 1], *at(t));
      if (digit[t] < 0) buckets[-digit[t] - 1] = subtract(buckets[-digit[t] - 1], *at(t));
    }
    // sum of (b + 1) buckets[b]: every running sum is added once.
    Point running = identity(), window_sum = identity();
    for (u32 b = half; b-- > 0;) {
      running = add(running, addend(buckets[b]));
      window_sum = add(window_sum, addend(running));
    }
    sum = add(sum, addend(window_sum));
  }
  return sum;
}

constexpr u32 PIPPENGER_MIN = 256;  // terms: below it Straus is faster (measured)

inline Point sum_of_multiples(const Terms& terms, const Base& base, const Scalar& base_scalar) {
  return terms.count < PIPPENGER_MIN ? straus(terms, base, base_scalar) : pippenger(terms, base, base_scalar);
}

}  // namespace OCTRA_VARIANT
