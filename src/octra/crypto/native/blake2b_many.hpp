// Many hashes of one kind: the same as `Blake2b`, four at a time in the lanes of a vector.
#pragma once
#include "blake2b.hpp"

#if defined(__x86_64__) && defined(__GNUC__)  // GCC or Clang
#define OCTRA_WIDE __attribute__((target("avx2")))
#define OCTRA_IS_WIDE __builtin_cpu_supports("avx2")
#else  // as pairs of words the lanes would only cost more
#define OCTRA_WIDE
#define OCTRA_IS_WIDE false
#endif

// Collects messages, and hashes them whenever there are four, the rest at the end. Messages must stay until then.
class Blake2bMany {
 public:
  explicit Blake2bMany(const char* person) : person_(person) {}
  Blake2bMany(const Blake2bMany&) = delete;
  ~Blake2bMany() { flush(); }

  void add(const void* message, std::size_t size, std::uint8_t* out) {
    lanes_[count_++] = {static_cast<const std::uint8_t*>(message), size, out};
    if (count_ == LANES) flush();
  }

  // Room for the next message, if it has to be put together first.
  std::uint8_t* room() { return rooms_[count_]; }

  void flush() {
    if (count_ > 1 && OCTRA_IS_WIDE) {
      for (; count_ < LANES; count_++) lanes_[count_] = {nullptr, 0, nullptr};
      hash(person_, lanes_);
    } else {
      for (std::size_t i = 0; i < count_; i++) Blake2b(person_).add(lanes_[i].message, lanes_[i].size).finish(lanes_[i].out);
    }
    count_ = 0;
  }

  static constexpr std::size_t ROOM = 128;

 private:
  static constexpr std::size_t LANES = 4, BLOCK = 128, WORDS = 16;
  typedef std::uint64_t Lanes __attribute__((vector_size(8 * LANES)));

  struct Lane {
    const std::uint8_t* message;
    std::size_t size;
    std::uint8_t* out;  // null: nobody wants it
  };

  OCTRA_WIDE static void hash(const char* person, const Lane* lanes);

  static constexpr std::uint64_t IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                          0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                          0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static constexpr std::uint8_t SIGMA[12][WORDS] = {
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

  const char* person_;
  Lane lanes_[LANES];
  std::uint8_t rooms_[LANES][ROOM];
  std::size_t count_ = 0;
};

#define OCTRA_MIX(a, b, c, d, x, y)          \
  a += b + x, d ^= a, d = d >> 32 | d << 32; \
  c += d, b ^= c, b = b >> 24 | b << 40;     \
  a += b + y, d ^= a, d = d >> 16 | d << 48; \
  c += d, b ^= c, b = b >> 63 | b << 1

inline void Blake2bMany::hash(const char* person, const Lane* lanes) {
  std::uint64_t tag[2] = {};
  std::memcpy(tag, person, std::strlen(person));
  Lanes h[8], m[WORDS], v[16];
  for (int i = 0; i < 8; i++) h[i] = Lanes{} + IV[i];
  h[0] ^= Lanes{} + (0x01010000 ^ 32);  // fanout 1, depth 1, no key, 32 bytes
  h[6] ^= Lanes{} + tag[0];
  h[7] ^= Lanes{} + tag[1];
  std::size_t longest = 0;
  for (std::size_t lane = 0; lane < LANES; lane++) longest = std::max(longest, lanes[lane].size);
  for (std::size_t start = 0; start == 0 || start < longest; start += BLOCK) {
    std::uint64_t words[LANES][WORDS] = {};
    Lanes total = {}, last = {};
    for (std::size_t lane = 0; lane < LANES; lane++) {
      const std::size_t size = lanes[lane].size, end = std::min(size, start + BLOCK);
      if (start < end) std::memcpy(words[lane], lanes[lane].message + start, end - start);
      total[lane] = end, last[lane] = end == size ? ~std::uint64_t{0} : 0;
    }
    for (std::size_t i = 0; i < WORDS; i++) m[i] = Lanes{words[0][i], words[1][i], words[2][i], words[3][i]};
    for (int i = 0; i < 8; i++) v[i] = h[i], v[i + 8] = Lanes{} + IV[i];
    v[12] ^= total, v[14] ^= last;
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
      const std::uint8_t* s = SIGMA[round];
      OCTRA_MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
      OCTRA_MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
      OCTRA_MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
      OCTRA_MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
      OCTRA_MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
      OCTRA_MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
      OCTRA_MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
      OCTRA_MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    for (std::size_t lane = 0; lane < LANES; lane++) {
      const std::size_t size = lanes[lane].size;
      if (!lanes[lane].out || size > start + BLOCK || (start && size <= start)) continue;  // its end is elsewhere
      const std::uint64_t words[4] = {h[0][lane], h[1][lane], h[2][lane], h[3][lane]};
      std::memcpy(lanes[lane].out, words, sizeof words);
    }
  }
}

#undef OCTRA_MIX
#undef OCTRA_WIDE
#undef OCTRA_IS_WIDE
