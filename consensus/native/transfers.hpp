// Plain transfers in the framing of a batch: what `decode_item`, `admit_attested` and `check_op` say about them, in one
// pass. An item that is anything else, or breaks a rule, is left to those functions: they know which rule.
#pragma once
#include <vector>

#include "msgpack.hpp"
#include "sha256.hpp"

namespace octra {

constexpr u64 AMOUNT_MAX = (u64{1} << 60) - 1, NONCE_MAX = AMOUNT_MAX, EXPIRY_MAX = 0xffffffff;
constexpr char TAG[17] = "octra.tx.v2\0\0\0\0\0";  // before signed bytes; and the hash's person

// An item of a batch. `body` and `signature` lie in the batch's bytes.
struct Item {
  bool plain;
  const u8 *body, *signature, *key, *to;
  std::size_t body_size;
  u64 nonce, expiry, fee, amount;
  u8 sender[32];
};

// What every transfer of a chain must satisfy.
struct Rules {
  const u8* chain;  // 32 bytes
  u64 minimum_fee;
};

// `is_usable_signer` of consensus/ledger/points.py: y is below p = 2^255 - 19 and of none of the points of small order.
inline bool is_usable_signer(const u8 key[32]) {
  static constexpr u8 ORDER_EIGHT[2][32] = {
      {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
       0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
      {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
       0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}};
  u8 y[32];
  std::memcpy(y, key, 32);
  y[31] &= 0x7f;
  for (const u8* small : ORDER_EIGHT)
    if (!std::memcmp(y, small, 32)) return false;
  auto middle_is = [&](u8 byte) {
    for (int i = 1; i < 31; i++)
      if (y[i] != byte) return false;
    return true;
  };
  if (y[31] == 0x7f && middle_is(0xff)) return y[0] < 0xec;  // p - 1 has order two; from p on it is not canonical
  return !(y[31] == 0 && middle_is(0) && y[0] <= 1);
}

inline bool read_transfer(const u8* data, std::size_t size, const Rules& rules, Item& item) {
  Reader wire(data, size);
  std::size_t signature_size = 0, sponsor_size = 0;
  wire.expect(0x93);
  item.body = wire.bytes(item.body_size);
  item.signature = wire.bytes(signature_size);
  wire.bytes(sponsor_size);
  if (!wire.at_end() || signature_size != 64 || sponsor_size) return false;

  Reader body(item.body, item.body_size);
  std::size_t sponsored = 0, memo_size = 0;
  body.expect(0x98);  // fields of `Body`
  body.expect(2);     // version
  const u8* chain = body.bytes32();
  item.key = body.bytes32();
  item.nonce = body.number();
  item.expiry = body.number();
  item.fee = body.number();
  body.bytes(sponsored);
  body.expect(0x94);  // fields of `Transfer`, with its kind
  body.expect(1);
  item.to = body.bytes32();
  item.amount = body.number();
  body.bytes(memo_size);
  if (!body.at_end() || sponsored) return false;
  if (!item.nonce || item.nonce > NONCE_MAX || item.expiry > EXPIRY_MAX) return false;
  if (!item.amount || item.amount > AMOUNT_MAX || item.fee > AMOUNT_MAX || item.fee < rules.minimum_fee) return false;
  if (std::memcmp(chain, rules.chain, 32)) return false;
  sha256_of_key(item.key, item.sender);
  return std::memcmp(item.sender, item.to, 32) != 0;
}

// Adds the items of `framed` (octra/consensus/batch.py); false if the framing lies, which no caller should let happen.
inline bool read_items(const u8* framed, std::size_t size, const Rules& rules, std::vector<Item>& items) {
  auto word = [&](std::size_t at) {
    return u32(framed[at]) | u32(framed[at + 1]) << 8 | u32(framed[at + 2]) << 16 | u32(framed[at + 3]) << 24;
  };
  if (size < 4) return false;
  const std::size_t count = word(0), start = 4 + 4 * (count + 1);
  if (size < start) return false;
  const std::size_t held = items.size();
  items.resize(held + count);
  for (std::size_t i = 0; i < count; i++) {
    const std::size_t from = word(4 + 4 * i), to = word(8 + 4 * i);
    if (from > to || to > size - start) return false;
    Item& item = items[held + i];
    item.plain = read_transfer(framed + start + from, to - from, rules, item);
  }
  return true;
}

}  // namespace octra
