// `H` of octra/crypto/hash.py: BLAKE2b-256 with a person tag (RFC 7693). The rounds are written out: 16 words of message
// at indices the compiler knows.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are copied as they lie in memory");

class Blake2b {
 public:
  explicit Blake2b(const char* person) {
    std::uint64_t tag[2] = {};
    std::memcpy(tag, person, std::strlen(person));
    std::memcpy(h_, IV, sizeof h_);
    h_[0] ^= 0x01010000 ^ SIZE;  // fanout 1, depth 1, no key
    h_[6] ^= tag[0];
    h_[7] ^= tag[1];
  }

  Blake2b& add(const void* message, std::size_t size) {
    const auto* from = static_cast<const std::uint8_t*>(message);
    while (size) {
      if (held_ == BLOCK) {  // only now is it known not to be the last
        compress(false);
        held_ = 0;
      }
      const std::size_t part = std::min(size, BLOCK - held_);
      std::memcpy(block_ + held_, from, part);
      held_ += part, total_ += part, from += part, size -= part;
    }
    return *this;
  }

  void finish(std::uint8_t* out) {
    std::memset(block_ + held_, 0, BLOCK - held_);
    compress(true);
    std::memcpy(out, h_, SIZE);
  }

 private:
  static constexpr std::size_t BLOCK = 128, SIZE = 32;
  static constexpr std::uint64_t IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                          0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                          0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

  static void mix(std::uint64_t& a, std::uint64_t& b, std::uint64_t& c, std::uint64_t& d, std::uint64_t x,
                  std::uint64_t y) {
    auto rotated = [](std::uint64_t word, int count) { return word >> count | word << (64 - count); };
    a += b + x, d = rotated(d ^ a, 32), c += d, b = rotated(b ^ c, 24);
    a += b + y, d = rotated(d ^ a, 16), c += d, b = rotated(b ^ c, 63);
  }

  // One round; the numbers are its row of SIGMA.
  template <int s0, int s1, int s2, int s3, int s4, int s5, int s6, int s7, int s8, int s9, int s10, int s11, int s12,
            int s13, int s14, int s15>
  static inline __attribute__((always_inline)) void round(std::uint64_t* v, const std::uint64_t* m) {
    mix(v[0], v[4], v[8], v[12], m[s0], m[s1]);
    mix(v[1], v[5], v[9], v[13], m[s2], m[s3]);
    mix(v[2], v[6], v[10], v[14], m[s4], m[s5]);
    mix(v[3], v[7], v[11], v[15], m[s6], m[s7]);
    mix(v[0], v[5], v[10], v[15], m[s8], m[s9]);
    mix(v[1], v[6], v[11], v[12], m[s10], m[s11]);
    mix(v[2], v[7], v[8], v[13], m[s12], m[s13]);
    mix(v[3], v[4], v[9], v[14], m[s14], m[s15]);
  }

  void compress(bool last) {
    std::uint64_t m[16], v[16];
    std::memcpy(m, block_, BLOCK);
    std::memcpy(v, h_, sizeof h_);
    std::memcpy(v + 8, IV, sizeof IV);
    v[12] ^= total_;
    if (last) v[14] = ~v[14];
    round<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(v, m);
    round<14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3>(v, m);
    round<11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4>(v, m);
    round<7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8>(v, m);
    round<9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13>(v, m);
    round<2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9>(v, m);
    round<12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11>(v, m);
    round<13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10>(v, m);
    round<6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5>(v, m);
    round<10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0>(v, m);
    round<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(v, m);
    round<14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3>(v, m);
    for (int i = 0; i < 8; i++) h_[i] ^= v[i] ^ v[i + 8];
  }

  std::uint64_t h_[8];
  std::uint8_t block_[BLOCK];
  std::size_t held_ = 0;
  std::uint64_t total_ = 0;
};
