// BLAKE2b-256 with a person tag (RFC 7693): `H` of octra/crypto/hash.py.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace octra {

class Blake2b {
 public:
  static constexpr int SIZE = 32;

  // `person`: 16 ASCII characters at most.
  explicit Blake2b(const char* person) {
    std::uint8_t tag[16] = {};
    std::memcpy(tag, person, std::strlen(person));
    for (int i = 0; i < 8; i++) h_[i] = IV[i];
    h_[0] ^= 0x01010000 ^ SIZE;  // fanout 1, depth 1, no key
    h_[6] ^= load(tag);
    h_[7] ^= load(tag + 8);
  }

  Blake2b& add(const std::uint8_t* message, std::size_t size) {
    while (size) {
      if (held_ == BLOCK) {  // only now is it known not to be the last
        compress(false);
        held_ = 0;
      }
      const std::size_t part = std::min(size, BLOCK - held_);
      std::memcpy(block_ + held_, message, part);
      held_ += part, total_ += part, message += part, size -= part;
    }
    return *this;
  }

  void finish(std::uint8_t* out) {
    std::memset(block_ + held_, 0, BLOCK - held_);
    compress(true);
    for (int i = 0; i < 4; i++)
      for (int b = 0; b < 8; b++) out[8 * i + b] = static_cast<std::uint8_t>(h_[i] >> (8 * b));
  }

 private:
  using u64 = std::uint64_t;
  static constexpr std::size_t BLOCK = 128;
  static constexpr u64 IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

  static u64 load(const std::uint8_t* at) {
    u64 value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
    return value;
  }

  static inline u64 rotated(u64 x, int count) { return x >> count | x << (64 - count); }

  static inline void mix(u64& a, u64& b, u64& c, u64& d, u64 x, u64 y) {
    a += b + x, d = rotated(d ^ a, 32), c += d, b = rotated(b ^ c, 24);
    a += b + y, d = rotated(d ^ a, 16), c += d, b = rotated(b ^ c, 63);
  }

  // The order of message words stands in the code: with a table, every word would be looked up at run time.
  template <int S0, int S1, int S2, int S3, int S4, int S5, int S6, int S7, int S8, int S9, int SA, int SB, int SC,
            int SD, int SE, int SF>
  static inline void round(u64* v, const u64* m) {
    mix(v[0], v[4], v[8], v[12], m[S0], m[S1]), mix(v[1], v[5], v[9], v[13], m[S2], m[S3]);
    mix(v[2], v[6], v[10], v[14], m[S4], m[S5]), mix(v[3], v[7], v[11], v[15], m[S6], m[S7]);
    mix(v[0], v[5], v[10], v[15], m[S8], m[S9]), mix(v[1], v[6], v[11], v[12], m[SA], m[SB]);
    mix(v[2], v[7], v[8], v[13], m[SC], m[SD]), mix(v[3], v[4], v[9], v[14], m[SE], m[SF]);
  }

  void compress(bool last) {
    u64 m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = load(block_ + 8 * i);
    for (int i = 0; i < 8; i++) v[i] = h_[i], v[i + 8] = IV[i];
    v[12] ^= total_;
    if (last) v[14] = ~v[14];
    for (int turn = 0; turn < 2; turn++) {
      round<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(v, m);
      round<14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3>(v, m);
      if (turn) break;  // twelve rounds: all ten orders, then the first two again
      round<11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4>(v, m);
      round<7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8>(v, m);
      round<9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13>(v, m);
      round<2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9>(v, m);
      round<12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11>(v, m);
      round<13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10>(v, m);
      round<6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5>(v, m);
      round<10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0>(v, m);
    }
    for (int i = 0; i < 8; i++) h_[i] ^= v[i] ^ v[i + 8];
  }

  u64 h_[8];
  std::uint8_t block_[BLOCK];
  std::size_t held_ = 0;
  u64 total_ = 0;
};

}  // namespace octra
