// Integers modulo the group order L = 2^252 + 27742317777372353535851937790883648493.
#pragma once
#include "field.hpp"

namespace OCTRA_VARIANT {

struct Scalar {
  u64 word[4];
};

constexpr Scalar ORDER = {{0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0, 0x1000000000000000}};
constexpr u64 MINUS_ORDER_INVERSE = 0xd2b51da312547e1b;  // -1 / L modulo 2^64
// R = 2^256 and R^2 modulo L.
constexpr Scalar R1 = {{0xd6ec31748d98951d, 0xc6ef5bf4737dcf70, 0xfffffffffffffffe, 0x0fffffffffffffff}};
constexpr Scalar R2 = {{0xa40611e3449c0f01, 0xd00e1ba768859347, 0xceec73d217f5be65, 0x0399411b7c309a3d}};

inline Scalar load_scalar(const u8* bytes) {
  Scalar a;
  std::memcpy(a.word, bytes, sizeof a.word);
  return a;
}

// a - L, and whether that is negative.
OCTRA_INLINE Scalar minus_order(const Scalar& a, bool& negative) {
  Scalar r;
  u64 borrow = 0;
  for (int i = 0; i < 4; i++) {
    const u128 difference = u128(a.word[i]) - ORDER.word[i] - borrow;
    r.word[i] = u64(difference);
    borrow = u64(difference >> 64) & 1;
  }
  negative = borrow;
  return r;
}

inline bool is_below_order(const Scalar& a) {
  bool negative;
  minus_order(a, negative);
  return negative;
}

// a below 2L becomes a mod L.
OCTRA_INLINE Scalar subtract_order_once(const Scalar& a) {
  bool negative;
  const Scalar less = minus_order(a, negative);
  return negative ? a : less;
}

inline Scalar add(const Scalar& a, const Scalar& b) {
  Scalar r;
  u128 sum = 0;
  for (int i = 0; i < 4; i++) {
    sum += u128(a.word[i]) + b.word[i];
    r.word[i] = u64(sum);
    sum >>= 64;
  }
  return subtract_order_once(r);
}

inline Scalar negate(const Scalar& a) {
  bool negative;
  Scalar r = minus_order(a, negative);  // a - L, so -r is L - a
  u64 carry = 1;
  for (int i = 0; i < 4; i++) {
    const u128 sum = u128(~r.word[i]) + carry;
    r.word[i] = u64(sum);
    carry = u64(sum >> 64);
  }
  return subtract_order_once(r);  // 0 gave L
}

// a b / 2^256 mod L (Montgomery), for b < L and any a.
inline Scalar multiply_montgomery(const Scalar& a, const Scalar& b) {
  u64 t[5] = {};
  for (int i = 0; i < 4; i++) {
    u128 sum = 0;
    for (int j = 0; j < 4; j++) {
      sum += u128(a.word[i]) * b.word[j] + t[j];
      t[j] = u64(sum);
      sum >>= 64;
    }
    t[4] += u64(sum);
    const u64 m = t[0] * MINUS_ORDER_INVERSE;
    sum = (u128(m) * ORDER.word[0] + t[0]) >> 64;
    for (int j = 1; j < 4; j++) {
      sum += u128(m) * ORDER.word[j] + t[j];
      t[j - 1] = u64(sum);
      sum >>= 64;
    }
    sum += t[4];
    t[3] = u64(sum);
    t[4] = u64(sum >> 64);
  }
  return subtract_order_once({{t[0], t[1], t[2], t[3]}});
}

inline Scalar to_montgomery(const Scalar& a) { return multiply_montgomery(a, R2); }

// The 512-bit little-endian number modulo L.
inline Scalar reduce_wide(const u8 bytes[64]) {
  return add(multiply_montgomery(load_scalar(bytes), R1), multiply_montgomery(load_scalar(bytes + 32), R2));
}

// `count` <= 32 bits from bit `first`.
OCTRA_INLINE u64 bits(const Scalar& a, unsigned first, unsigned count) {
  const unsigned word = first / 64, shift = first % 64;
  if (word > 3) return 0;
  u64 value = a.word[word] >> shift;
  if (shift + count > 64 && word < 3) value |= a.word[word + 1] << (64 - shift);
  return value & ((u64{1} << count) - 1);
}

}  // namespace OCTRA_VARIANT
