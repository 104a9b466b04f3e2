// The C interface that octra/consensus/ledger/native.py calls. Buffers are the caller's, as large as he was told.
#include "accounts.hpp"
#include "merkle.hpp"
#include "transfers.hpp"

#define OCTRA_EXPORT extern "C" __attribute__((visibility("default")))

using namespace octra;

namespace {

Accounts& of(void* handle) { return *static_cast<Accounts*>(handle); }

void copy(const std::string& from, u8* to) { std::memcpy(to, from.data(), from.size()); }

}  // namespace

// Which items are plain transfers by a key that may sign, and what remains to be verified of those: keys (32 bytes
// each), signatures (64), joined messages with count + 1 offsets. Answers how many, or -1 if the framing lies.
OCTRA_EXPORT int octra_ledger_signed(const u8* framed, u64 size, const u8* chain, u64 minimum_fee, u8* plain, u8* keys,
                                     u8* signatures, u8* messages, u64* offsets) {
  std::vector<Item> items;
  if (!read_items(framed, size, {chain, minimum_fee}, items)) return -1;
  int count = 0;
  u64 end = offsets[0] = 0;
  for (const Item& item : items) {
    const bool taken = item.plain && is_usable_signer(item.key);
    *plain++ = taken;
    if (!taken) continue;
    std::memcpy(keys + 32 * count, item.key, 32);
    std::memcpy(signatures + 64 * count, item.signature, 64);
    std::memcpy(messages + end, TAG, 16);
    std::memcpy(messages + end + 16, item.body, item.body_size);
    offsets[++count] = end += 16 + item.body_size;
  }
  return count;
}

// Root over joined leaves of these sizes.
OCTRA_EXPORT void octra_ledger_root(const u8* leaves, const u32* sizes, u64 count, u8* out) {
  merkle_root(leaves, sizes, count, out);
}

// The address of a public key; `portable`: without the processor's own instructions.
OCTRA_EXPORT void octra_ledger_address(const u8* key, int portable, u8* out) {
  portable ? sha256::portable(key, out) : sha256_of_key(key, out);
}

// What joined rows of accounts hold together: low and high word. 0 if one is no account.
OCTRA_EXPORT int octra_ledger_balances(const u8* rows, u64 size, u64* words) {
  return sum_of_balances(rows, size, words[0], words[1]);
}

// An account table for one block.
OCTRA_EXPORT void* octra_ledger_new(u64 height, u64 epoch, u64 required_fee, u64 secret) {
  return new Accounts({height, epoch, required_fee}, secret);
}

OCTRA_EXPORT void octra_ledger_free(void* handle) { delete static_cast<Accounts*>(handle); }

// Take the next batch, whose bytes must stay. 0 if its framing lies.
OCTRA_EXPORT int octra_ledger_add(void* handle, const u8* framed, u64 size, const u8* chain, u64 minimum_fee,
                                  const u8* operator_address) {
  return of(handle).take(framed, size, {chain, minimum_fee}, operator_address);
}

// How many accounts the batches need; with `keys`: also their keys, 33 bytes each.
OCTRA_EXPORT u64 octra_ledger_needed(void* handle, u8* keys) {
  for (const Account* account : of(handle).missing()) {
    if (!keys) break;
    *keys = 1;
    std::memcpy(keys + 1, account->address, 32);
    keys += 33;
  }
  return of(handle).missing().size();
}

// The rows of these accounts as the state has them now: joined, with the size of each; none: empty.
OCTRA_EXPORT void octra_ledger_load(void* handle, u64 count, const u8* keys, const u8* rows, const u32* sizes) {
  for (u64 i = 0; i < count; rows += sizes[i++]) of(handle).put(keys + 33 * i + 1, rows, sizes[i]);
}

// Execute from item `from` on; answers the first one that must go the general way. Tells the bytes of the receipts.
OCTRA_EXPORT u64 octra_ledger_execute(void* handle, u64 from, u64 number, u64* receipts_size) {
  const u64 at = of(handle).run(from, number);
  *receipts_size = of(handle).reports().receipts.size();
  return at;
}

// What was executed reports: ids, sender and receiver (64 bytes), and encoded receipts with the size of each.
OCTRA_EXPORT void octra_ledger_report(void* handle, u8* ids, u8* parties, u8* receipts, u32* sizes) {
  const Reports& reports = of(handle).reports();
  copy(reports.ids, ids), copy(reports.parties, parties), copy(reports.receipts, receipts);
  std::memcpy(sizes, reports.sizes.data(), 4 * reports.sizes.size());
}

// Settle what was executed; answers how many accounts changed, and tells the bytes of their rows.
OCTRA_EXPORT u64 octra_ledger_settle(void* handle, u64* rows_size) {
  const Changes& changes = of(handle).settle();
  *rows_size = changes.rows.size();
  return changes.sizes.size();
}

// What was settled: keys of the state (33 bytes each, ascending), joined rows with the size of each; and the tips of
// each batch.
OCTRA_EXPORT void octra_ledger_settled(void* handle, u8* keys, u8* rows, u32* sizes, u64* tips) {
  const Changes& changes = of(handle).changes();
  copy(changes.keys, keys), copy(changes.rows, rows);
  std::memcpy(sizes, changes.sizes.data(), 4 * changes.sizes.size());
  of(handle).take_tips(tips);
}
