// Four field elements at once, for any 64-bit processor: one after the other, 51-bit limbs and 128-bit products.
#pragma once
#include "field.hpp"

namespace OCTRA_VARIANT {

constexpr int HASH_LANES = 1;

// Bounds as for Element: `multiply` and `square` take sums of up to five reduced elements, and give reduced ones.
struct Four {
  Element lane[4];
};

OCTRA_INLINE Four load(const u8* a, const u8* b, const u8* c, const u8* d) {
  return {{load_element(a), load_element(b), load_element(c), load_element(d)}};
}

inline void store(u8 (*bytes)[32], const Four& a) {
  for (int i = 0; i < 4; i++) store_element(bytes[i], a.lane[i]);
}

OCTRA_INLINE Four constant(const Element& a, const Element& b, const Element& c, const Element& d) {
  return {{a, b, c, d}};
}

OCTRA_INLINE Four add(const Four& a, const Four& b) {
  Four r;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 5; j++) r.lane[i].limb[j] = a.lane[i].limb[j] + b.lane[i].limb[j];
  return r;
}

// a - b + 2p, so that no limb is negative. b must be reduced.
OCTRA_INLINE Four subtract(const Four& a, const Four& b) {
  return add(a, {{negate(b.lane[0]), negate(b.lane[1]), negate(b.lane[2]), negate(b.lane[3])}});
}

OCTRA_INLINE Four reduce(const Four& a) {
  return {{carry(a.lane[0]), carry(a.lane[1]), carry(a.lane[2]), carry(a.lane[3])}};
}

OCTRA_INLINE Element carry_wide(u128 t[5]) {
  Element r;
  for (int i = 0; i < 4; i++) {
    t[i + 1] += u64(t[i] >> 51);
    r.limb[i] = u64(t[i]) & MASK51;
  }
  r.limb[4] = u64(t[4]) & MASK51;
  r.limb[0] += 19 * u64(t[4] >> 51);
  r.limb[1] += r.limb[0] >> 51;
  r.limb[0] &= MASK51;
  return r;
}

OCTRA_INLINE Element multiply(const Element& x, const Element& y) {
  const u64 *a = x.limb, *b = y.limb;
  const u64 b1 = 19 * b[1], b2 = 19 * b[2], b3 = 19 * b[3], b4 = 19 * b[4];
  u128 t[5] = {u128(a[0]) * b[0] + u128(a[1]) * b4 + u128(a[2]) * b3 + u128(a[3]) * b2 + u128(a[4]) * b1,
               u128(a[0]) * b[1] + u128(a[1]) * b[0] + u128(a[2]) * b4 + u128(a[3]) * b3 + u128(a[4]) * b2,
               u128(a[0]) * b[2] + u128(a[1]) * b[1] + u128(a[2]) * b[0] + u128(a[3]) * b4 + u128(a[4]) * b3,
               u128(a[0]) * b[3] + u128(a[1]) * b[2] + u128(a[2]) * b[1] + u128(a[3]) * b[0] + u128(a[4]) * b4,
               u128(a[0]) * b[4] + u128(a[1]) * b[3] + u128(a[2]) * b[2] + u128(a[3]) * b[1] + u128(a[4]) * b[0]};
  return carry_wide(t);
}

OCTRA_INLINE Element square(const Element& x) {
  const u64* a = x.limb;
  const u64 d0 = 2 * a[0], d1 = 2 * a[1], a3 = 19 * a[3], a4 = 19 * a[4];
  u128 t[5] = {u128(a[0]) * a[0] + u128(d1) * a4 + u128(2 * a[2]) * a3,
               u128(d0) * a[1] + u128(2 * a[2]) * a4 + u128(a[3]) * a3,
               u128(d0) * a[2] + u128(a[1]) * a[1] + u128(2 * a[3]) * a4,
               u128(d0) * a[3] + u128(d1) * a[2] + u128(a[4]) * a4,
               u128(d0) * a[4] + u128(d1) * a[3] + u128(a[2]) * a[2]};
  return carry_wide(t);
}

inline Four multiply(const Four& a, const Four& b) {
  Four r;
  for (int i = 0; i < 4; i++) r.lane[i] = multiply(a.lane[i], b.lane[i]);
  return r;
}

inline Four square(const Four& a) {
  Four r;
  for (int i = 0; i < 4; i++) r.lane[i] = square(a.lane[i]);
  return r;
}

template <int A, int B, int C, int E> OCTRA_INLINE Four permute(const Four& a) {
  return {{a.lane[A], a.lane[B], a.lane[C], a.lane[E]}};
}

// Lanes of `b` where the bit of MASK is set, else of `a`.
template <int MASK> OCTRA_INLINE Four blend(const Four& a, const Four& b) {
  return {{(MASK & 1 ? b : a).lane[0], (MASK & 2 ? b : a).lane[1], (MASK & 4 ? b : a).lane[2],
           (MASK & 8 ? b : a).lane[3]}};
}

// Row i of the result is lane i of every input.
inline void transpose(Four rows[4]) {
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < i; j++) {
      const Element saved = rows[i].lane[j];
      rows[i].lane[j] = rows[j].lane[i];
      rows[j].lane[i] = saved;
    }
}

}  // namespace OCTRA_VARIANT
