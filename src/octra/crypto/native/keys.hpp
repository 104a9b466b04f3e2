// Public keys: the distinct ones of a batch, and a bounded cache of the square roots that decoding them took.
#pragma once
#include <atomic>

#include "array.hpp"

namespace OCTRA_VARIANT {

constexpr u32 NONE = ~u32{0};

// Keyed, so that nobody outside can choose keys that crowd one place of a table.
class KeyHash {
 public:
  explicit KeyHash(const u8 secret[32]) { std::memcpy(secret_, secret, sizeof secret_); }

  u64 operator()(const u8* key) const {
    u64 w[4];
    std::memcpy(w, key, sizeof w);
    return fold(w[0] ^ secret_[0], w[1] ^ secret_[1]) ^ fold(w[2] ^ secret_[2], w[3] ^ secret_[3]);
  }

 private:
  static u64 fold(u64 a, u64 b) {
    const u128 product = u128(a) * b;
    return u64(product) ^ u64(product >> 64);
  }
  u64 secret_[4];
};

// Numbers the distinct keys of a batch in order of appearance.
class KeyIndex {
 public:
  KeyIndex(const KeyHash& hash, u32 capacity) : hash_(hash), keys_(capacity), slots_(table_size(capacity), NONE) {}

  u32 number(const u8* key) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = hash_(key) & mask;; at = (at + 1) & mask) {
      if (slots_[at] == NONE) {
        keys_[count_] = key;
        return slots_[at] = count_++;
      }
      if (!std::memcmp(keys_[slots_[at]], key, 32)) return slots_[at];
    }
  }
  u32 count() const { return count_; }
  const u8* key(u32 number) const { return keys_[number]; }

 private:
  static std::size_t table_size(u32 capacity) {
    std::size_t size = 4;
    while (size < 2 * std::size_t{capacity}) size *= 2;
    return size;
  }
  const KeyHash& hash_;
  Array<const u8*> keys_;
  Array<u32> slots_;
  u32 count_ = 0;
};

// Least recently used keys leave first, within sets of eight cache lines. It only ever holds keys that are points.
class RootCache {
 public:
  // `capacity` is rounded down to a power of two.
  RootCache(const KeyHash& hash, u32 capacity) : hash_(hash), lines_(table_size(capacity)) {
    std::memset(&lines_[0], 0, lines_.size() * sizeof(Line));
  }

  // Nobody waits: who finds the cache busy does without, and so does the child of a process forked in that moment.
  bool try_lock() { return !busy_.test_and_set(std::memory_order_acquire); }
  void unlock() { busy_.clear(std::memory_order_release); }

  // Copies the x of `key`, or says that it is not there.
  bool find(const u8* key, u8 x[32]) {
    Line* set = set_of(key);
    for (int way = 0; way < WAYS; way++)
      if ((set[way].x[31] & HELD) && !std::memcmp(set[way].key, key, 32)) {
        const Line line = set[way];
        std::memmove(set + 1, set, way * sizeof(Line));
        set[0] = line;
        std::memcpy(x, line.x, 32);
        x[31] &= ~HELD;
        return true;
      }
    return false;
  }

  // Puts a key that is not there in front of its set.
  void insert(const u8* key, const u8 x[32]) {
    Line* set = set_of(key);
    std::memmove(set + 1, set, (WAYS - 1) * sizeof(Line));
    std::memcpy(set[0].key, key, 32);
    std::memcpy(set[0].x, x, 32);
    set[0].x[31] |= HELD;
  }

 private:
  static constexpr int WAYS = 8;
  static constexpr u8 HELD = 0x80;  // x < p < 2^255 leaves this bit free
  struct alignas(64) Line {
    u8 key[32], x[32];
  };
  static std::size_t table_size(u32 capacity) {
    std::size_t size = WAYS;
    while (2 * size <= capacity) size *= 2;
    return size;
  }
  Line* set_of(const u8* key) { return &lines_[(hash_(key) >> 32) % (lines_.size() / WAYS) * WAYS]; }

  const KeyHash& hash_;
  Array<Line> lines_;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace OCTRA_VARIANT
