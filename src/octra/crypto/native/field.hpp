// One element of GF(2^255 - 19) as five limbs of 51 bits, so that sums need no carry before a product.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bytes are read as little-endian words; other machines use libsodium"
#endif
#define OCTRA_INLINE inline __attribute__((always_inline))

namespace OCTRA_VARIANT {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using u128 = unsigned __int128;

constexpr u64 MASK51 = (u64{1} << 51) - 1;

// Reduced: limbs below 2^51 + 2^13. Products take limbs below 2^54.
struct Element {
  u64 limb[5];
};

constexpr Element from_words(u64 w0, u64 w1, u64 w2, u64 w3) {
  return {{w0 & MASK51, ((w0 >> 51) | (w1 << 13)) & MASK51, ((w1 >> 38) | (w2 << 26)) & MASK51,
           ((w2 >> 25) | (w3 << 39)) & MASK51, (w3 >> 12) & MASK51}};
}

constexpr Element ZERO = {{0, 0, 0, 0, 0}}, ONE = {{1, 0, 0, 0, 0}}, TWO = {{2, 0, 0, 0, 0}};
// The curve is -x^2 + y^2 = 1 + D x^2 y^2 with D = -121665 / 121666.
constexpr Element D = from_words(0x75eb4dca135978a3, 0x00700a4d4141d8ab, 0x8cc740797779e898, 0x52036cee2b6ffe73);
constexpr Element TWICE_D = from_words(0xebd69b9426b2f159, 0x00e0149a8283b156, 0x198e80f2eef3d130, 0x2406d9dc56dffce7);
constexpr Element SQRT_MINUS_ONE =
    from_words(0xc4ee1b274a0ea0b0, 0x2f431806ad2fe478, 0x2b4d00993dfbd7a7, 0x2b8324804fc1df0b);

// The sign bit is dropped, and y >= p stands for y - p: ZIP-215 takes every spelling.
inline Element load_element(const u8* bytes) {
  u64 w[4];
  std::memcpy(w, bytes, sizeof w);
  return from_words(w[0], w[1], w[2], w[3]);
}

// 2p - a, for reduced a.
OCTRA_INLINE Element negate(const Element& a) {
  Element r;
  for (int i = 0; i < 5; i++) r.limb[i] = 2 * MASK51 - (i ? 0 : 36) - a.limb[i];
  return r;
}

OCTRA_INLINE Element carry(const Element& a) {
  Element r;
  u64 c = 0;
  for (int i = 0; i < 5; i++) {
    const u64 x = a.limb[i] + c;
    r.limb[i] = x & MASK51;
    c = x >> 51;
  }
  r.limb[0] += 19 * c;
  return r;
}

// The one encoding below p, sign bit clear. Takes limbs below 2^60.
inline void store_element(u8* bytes, const Element& a) {
  Element r = carry(carry(a));
  u64 q = (r.limb[0] + 19) >> 51;  // 1 if r >= p
  for (int i = 1; i < 5; i++) q = (r.limb[i] + q) >> 51;
  r.limb[0] += 19 * q;
  for (int i = 0; i < 4; i++) {
    r.limb[i + 1] += r.limb[i] >> 51;
    r.limb[i] &= MASK51;
  }
  r.limb[4] &= MASK51;
  const u64 w[4] = {r.limb[0] | (r.limb[1] << 51), (r.limb[1] >> 13) | (r.limb[2] << 38),
                    (r.limb[2] >> 26) | (r.limb[3] << 25), (r.limb[3] >> 39) | (r.limb[4] << 12)};
  std::memcpy(bytes, w, sizeof w);
}

}  // namespace OCTRA_VARIANT
