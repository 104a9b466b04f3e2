// The rows by which a block's transactions are found again: storage/index.py is the reference.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace octra {

inline void put_big(std::uint64_t value, int size, std::uint8_t* out) {
  for (int i = 0; i < size; i++) out[i] = static_cast<std::uint8_t>(value >> 8 * (size - 1 - i));
}

// Keys and values of fixed sizes, given out in the order of the keys; their first eight bytes nearly always decide.
class SortedRows {
 public:
  SortedRows(std::size_t count, std::size_t key_size, std::size_t value_size)
      : key_size_(key_size), value_size_(value_size), keys_(count * key_size), values_(count * value_size) {
    order_.reserve(count);
  }

  std::uint8_t* key(std::size_t at) { return &keys_[at * key_size_]; }
  std::uint8_t* value(std::size_t at) { return &values_[at * value_size_]; }

  template <class Take>
  void in_order(Take take) {
    for (std::size_t at = 0; at * key_size_ < keys_.size(); at++) {
      std::uint64_t head = 0;
      for (int i = 0; i < 8; i++) head = head << 8 | key(at)[i];
      order_.push_back({head, at});
    }
    std::sort(order_.begin(), order_.end(), [this](const Row& one, const Row& other) {
      return one.head != other.head ? one.head < other.head : std::memcmp(key(one.at), key(other.at), key_size_) < 0;
    });
    for (const Row& row : order_) take(key(row.at), value(row.at));
  }

 private:
  struct Row {
    std::uint64_t head;
    std::size_t at;
  };

  std::size_t key_size_, value_size_;
  std::vector<std::uint8_t> keys_, values_;
  std::vector<Row> order_;
};

}  // namespace octra
