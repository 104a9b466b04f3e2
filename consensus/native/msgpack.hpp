// MessagePack as octra/codec.py writes it: every number and every byte string in its shortest form.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>

namespace octra {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// Reads from a buffer. After anything that is not canonical, or not there, `good` is false and stays so.
class Reader {
 public:
  Reader(const u8* data, std::size_t size) : at_(data), end_(data + size) {}

  bool good() const { return good_; }
  bool at_end() const { return good_ && at_ == end_; }

  bool expect(u8 byte) {
    const u8* found = take(1);
    return good_ = found && *found == byte;
  }

  // Byte strings below 256 bytes: `data` of `size` bytes.
  const u8* bytes(std::size_t& size) {
    if (!expect(0xc4)) return nullptr;
    const u8* head = take(1);
    size = head ? *head : 0;
    return head ? take(size) : nullptr;
  }

  const u8* bytes32() {
    std::size_t size = 0;
    const u8* found = bytes(size);
    good_ = good_ && size == 32;
    return found;
  }

  u64 number() {
    const u8* head = take(1);
    if (!head) return 0;
    if (*head < 0x80) return *head;
    if (*head < 0xcc || *head > 0xcf) return fail();
    const int size = 1 << (*head - 0xcc);
    const u8* digits = take(static_cast<std::size_t>(size));
    if (!digits) return 0;
    u64 value = 0;
    for (int i = 0; i < size; i++) value = value << 8 | digits[i];
    const bool shortest = size == 1 ? value >= 0x80 : value >> (4 * size);
    return shortest ? value : fail();
  }

 private:
  const u8* take(std::size_t size) {
    if (!good_ || static_cast<std::size_t>(end_ - at_) < size) {
      good_ = false;
      return nullptr;
    }
    const u8* found = at_;
    at_ += size;
    return found;
  }

  u64 fail() {
    good_ = false;
    return 0;
  }

  const u8 *at_, *end_;
  bool good_ = true;
};

inline void put_number(std::string& out, u64 value) {
  int size = 0;  // 0: in the head itself
  if (value >= 0x80) size = value < 0x100 ? 1 : value < 0x10000 ? 2 : value >> 32 ? 8 : 4;
  if (size) out += static_cast<char>(size == 1 ? 0xcc : size == 2 ? 0xcd : size == 4 ? 0xce : 0xcf);
  else size = 1;
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

inline void put_bytes32(std::string& out, const u8* data) {
  out.append("\xc4\x20", 2).append(reinterpret_cast<const char*>(data), 32);
}

}  // namespace octra
