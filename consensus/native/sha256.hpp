// SHA-256 (FIPS 180-4) of exactly 32 bytes: the address of a public key.
#pragma once
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace octra {

namespace sha256 {

using u8 = std::uint8_t;
using u32 = std::uint32_t;

alignas(16) constexpr u32 ROUNDS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
constexpr u32 START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// The one block: the key, the mark of its end, its bits.
inline void block_of(const u8 key[32], u32 w[16]) {
  for (int i = 0; i < 16; i++) w[i] = 0;
  for (int i = 0; i < 32; i++) w[i / 4] |= u32(key[i]) << (24 - 8 * (i % 4));
  w[8] = 0x80000000, w[15] = 256;
}

inline void write(const u32 sum[8], u8 out[32]) {
  for (int i = 0; i < 32; i++) out[i] = static_cast<u8>(sum[i / 4] >> (24 - 8 * (i % 4)));
}

inline void portable(const u8 key[32], u8 out[32]) {
  const u32* h = START;
  auto rotated = [](u32 x, int count) { return x >> count | x << (32 - count); };
  u32 w[64];
  block_of(key, w);
  for (int i = 16; i < 64; i++) {
    const u32 low = rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3;
    const u32 high = rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + low + w[i - 7] + high;
  }
  u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], last = h[7];
  for (int i = 0; i < 64; i++) {
    const u32 t1 = last + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (g ^ (e & (f ^ g))) + ROUNDS[i] + w[i];
    const u32 t2 = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) | (c & (a | b)));
    last = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const u32 sum[8] = {h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e, h[5] + f, h[6] + g, h[7] + last};
  write(sum, out);
}

#if defined(__x86_64__) && defined(__GNUC__)  // GCC or Clang

inline bool has_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
}

// By the processor's own instructions: four rounds at a time.
__attribute__((target("sha,sse4.1"))) inline void instructed(const u8 key[32], u8 out[32]) {
  u32 w[16];
  block_of(key, w);
  __m128i m[4];
  for (int i = 0; i < 4; i++) m[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 4 * i));
  auto words = [](int one, int two, int three, int four) {
    return _mm_set_epi32(int(START[one]), int(START[two]), int(START[three]), int(START[four]));
  };
  const __m128i abef = words(0, 1, 4, 5), cdgh = words(2, 3, 6, 7);
  __m128i low = abef, high = cdgh;
  for (int i = 0; i < 16; i++) {
    if (i >= 4) {
      const __m128i mixed = _mm_sha256msg1_epu32(m[i % 4], m[(i + 1) % 4]);
      const __m128i before = _mm_alignr_epi8(m[(i + 3) % 4], m[(i + 2) % 4], 4);
      m[i % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(mixed, before), m[(i + 3) % 4]);
    }
    const __m128i k = _mm_load_si128(reinterpret_cast<const __m128i*>(ROUNDS + 4 * i));
    const __m128i both = _mm_add_epi32(m[i % 4], k);
    high = _mm_sha256rnds2_epu32(high, low, both);
    low = _mm_sha256rnds2_epu32(low, high, _mm_shuffle_epi32(both, 0x0e));
  }
  u32 l[4], h[4];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(l), _mm_add_epi32(low, abef));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(h), _mm_add_epi32(high, cdgh));
  const u32 sum[8] = {l[3], l[2], h[3], h[2], l[1], l[0], h[1], h[0]};
  write(sum, out);
}

#endif

}  // namespace sha256

inline void sha256_of_key(const std::uint8_t key[32], std::uint8_t out[32]) {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool instructions = sha256::has_instructions();
  if (instructions) return sha256::instructed(key, out);
#endif
  sha256::portable(key, out);
}

}  // namespace octra
