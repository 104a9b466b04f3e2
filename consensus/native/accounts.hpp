// Transfers in a row on an account table: the rule of consensus/ledger/transfers.py, which says what is left to Python.
#pragma once
#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "blake2b_many.hpp"
#include "transfers.hpp"

namespace octra {

constexpr int NONCE_WINDOW = 64;
constexpr u64 EXPIRY_EPOCHS_MAX = 1'024;
constexpr u64 TIPS_MAX = u64{1} << 62;  // of one batch: far above all money

struct Account {
  u64 balance = 0, nonce = 0, used = 0;
  bool usable = true;  // else its row is none that a transfer may touch
  bool changed = false;
  const u8* address = nullptr;  // in the table's key

  bool read(const u8* row, std::size_t size) {
    balance = nonce = used = 0;
    if (!size) return true;  // nobody ever paid it
    Reader reader(row, size);
    reader.expect(0x93);
    balance = reader.number(), nonce = reader.number(), used = reader.number();
    return reader.at_end() && balance <= AMOUNT_MAX && nonce <= NONCE_MAX;
  }

  void write(std::string& out) const {
    out += '\x93';
    put_number(out, balance), put_number(out, nonce), put_number(out, used);
  }

  bool is_free(u64 wanted) const {
    return wanted > nonce && wanted - nonce <= NONCE_WINDOW && !(used >> (wanted - nonce - 1) & 1);
  }

  // The window slides past every used nonce.
  void use(u64 wanted) {
    used |= u64{1} << (wanted - nonce - 1);
    while (used & 1) used >>= 1, nonce++;
  }
};

// What joined rows of accounts hold together, in 128 bits; false if one is no account.
inline bool sum_of_balances(const u8* rows, std::size_t size, u64& low, u64& high) {
  low = high = 0;
  for (Reader reader(rows, size); !reader.at_end();) {
    reader.expect(0x93);
    const u64 balance = reader.number();
    reader.number(), reader.number();
    if (!reader.good()) return false;
    low += balance, high += low < balance;
  }
  return true;
}

struct Address {
  u8 bytes[32];
  bool operator==(const Address& other) const { return !std::memcmp(bytes, other.bytes, 32); }
};
struct AddressHash {  // keyed: a receiver may be any 32 bytes, so he could aim at one bucket
  u64 key;
  std::size_t operator()(const Address& address) const {
    u64 words[4], mixed = key;
    std::memcpy(words, address.bytes, 32);
    for (u64 word : words) mixed = (mixed ^ word) * 0x9e3779b97f4a7c15, mixed ^= mixed >> 32;
    return mixed;
  }
};

// Where and when transfers execute.
struct Block {
  u64 height, epoch;
  u64 required_fee;  // what is above it is the author's tip
};

// What transfers that were executed report, in the order of execution.
struct Reports {
  std::string ids;          // 32 bytes each
  std::string parties;      // sender and receiver of each, 64 bytes
  std::string receipts;     // joined encodings
  std::vector<u32> sizes;   // of the receipts

  void clear() { ids.clear(), parties.clear(), receipts.clear(), sizes.clear(); }
};

// Accounts for the state, by key: keys (33 bytes each), joined rows with the size of each.
struct Changes {
  std::string keys, rows;
  std::vector<u32> sizes;

  void clear() { keys.clear(), rows.clear(), sizes.clear(); }
};

// The accounts of one block. Its batches are taken first; then their items are executed in a row, numbered through.
// Only between `settle` and the next `run` may `put` bring what others wrote.
class Accounts {
 public:
  Accounts(const Block& block, u64 secret) : block_(block), table_(1024, AddressHash{secret}) {}

  // Take the next batch, whose bytes must stay. What the table lacks so far comes to `missing`.
  bool take(const u8* framed, std::size_t size, const Rules& rules, const u8* operator_address) {
    std::size_t at = items_.size();
    if (!read_items(framed, size, rules, items_)) return false;
    bool tips = false;
    for (; at < items_.size(); at++) {
      const Item& item = items_[at];
      places_.push_back({nullptr, nullptr, static_cast<u32>(authors_.size())});
      if (!item.plain) continue;
      places_[at].sender = find(item.sender), places_[at].receiver = find(item.to);
      tips = tips || item.fee > block_.required_fee;
    }
    authors_.push_back({tips ? find(operator_address) : nullptr, 0});
    return true;
  }

  // Accounts whose rows nobody has put yet.
  const std::vector<Account*>& missing() const { return missing_; }

  // The account's row as the state has it now, empty if it has none; only of accounts in the table.
  void put(const u8* address, const u8* row, std::size_t size) {
    const auto at = table_.find(address_of(address));
    if (at != table_.end()) at->second.usable = at->second.read(row, size);
  }

  // Execute items from `from` on, whose receipts have numbers from `number` on; answers the first not executed.
  std::size_t run(std::size_t from, u64 number) {
    missing_.clear();
    std::size_t end = from;
    while (end < items_.size() && execute(items_[end], places_[end])) end++;
    report(from, end, number);
    return end;
  }

  const Reports& reports() const { return reports_; }

  // What changed since the last call.
  const Changes& settle() {
    changes_.clear();
    std::sort(touched_.begin(), touched_.end());
    for (const Touched& touched : touched_) {
      Account* account = touched.account;
      account->changed = false;
      changes_.keys += '\x01';
      changes_.keys.append(reinterpret_cast<const char*>(account->address), 32);
      const std::size_t start = changes_.rows.size();
      account->write(changes_.rows);
      changes_.sizes.push_back(static_cast<u32>(changes_.rows.size() - start));
    }
    touched_.clear();
    return changes_;
  }

  const Changes& changes() const { return changes_; }

  // The tips of each batch since the last call.
  void take_tips(u64* tips) {
    for (Author& author : authors_) *tips++ = author.tips, author.tips = 0;
  }

 private:
  // The accounts of an item, and the number of its batch.
  struct Place {
    Account *sender, *receiver;
    u32 batch;
  };

  // An account that changed. They are sorted by address, of which the head nearly always decides.
  struct Touched {
    u64 head;
    Account* account;

    explicit Touched(Account* changed) : head(0), account(changed) {
      for (int i = 0; i < 8; i++) head = head << 8 | changed->address[i];
    }
    bool operator<(const Touched& other) const {
      return head != other.head ? head < other.head : std::memcmp(account->address, other.account->address, 32) < 0;
    }
  };

  // Who gets the tips of a batch: null if there are none.
  struct Author {
    Account* account;
    u64 tips;
  };

  static Address address_of(const u8* bytes) {
    Address address;
    std::memcpy(address.bytes, bytes, 32);
    return address;
  }

  Account* find(const u8* address) {
    const auto [at, fresh] = table_.try_emplace(address_of(address));
    if (fresh) at->second.address = at->first.bytes, missing_.push_back(&at->second);
    return &at->second;
  }

  void touch(Account& account) {
    if (!account.changed) touched_.emplace_back(&account);
    account.changed = true;
  }

  // True if the transfer is done; else nothing has changed, and the general way takes it.
  bool execute(const Item& item, const Place& place) {
    if (!item.plain || item.expiry < block_.epoch || item.expiry > block_.epoch + EXPIRY_EPOCHS_MAX) return false;
    if (item.fee < block_.required_fee) return false;
    const u64 tip = item.fee - block_.required_fee;
    Account &sender = *place.sender, &receiver = *place.receiver;
    if (!sender.usable || !receiver.usable || !sender.is_free(item.nonce)) return false;
    if (sender.balance < item.fee + item.amount || receiver.balance + item.amount > AMOUNT_MAX) return false;
    if (tip) {
      Author& author = authors_[place.batch];
      Account& paid = *author.account;
      if (!paid.usable || paid.balance + item.amount + tip > AMOUNT_MAX || author.tips + tip > TIPS_MAX) return false;
      touch(paid), paid.balance += tip, author.tips += tip;
    }
    touch(sender), sender.balance -= item.fee + item.amount;
    touch(receiver), receiver.balance += item.amount;
    sender.use(item.nonce);
    return true;
  }

  void report(std::size_t from, std::size_t end, u64 number) {
    reports_.clear();
    reports_.ids.resize(32 * (end - from));
    u8* id = reinterpret_cast<u8*>(&reports_.ids[0]);
    {
      Blake2bMany ids(TAG);
      for (std::size_t i = from; i < end; i++) ids.add(items_[i].body, items_[i].body_size, id + 32 * (i - from));
    }
    for (; from < end; from++, id += 32) {
      const Item& item = items_[from];
      const std::size_t start = reports_.receipts.size();
      put_receipt(id, number++, item.fee);
      reports_.sizes.push_back(static_cast<u32>(reports_.receipts.size() - start));
      reports_.parties.append(reinterpret_cast<const char*>(item.sender), 32);
      reports_.parties.append(reinterpret_cast<const char*>(item.to), 32);
    }
  }

  // The encoding of `Receipt`: nothing but what is written here differs between transfers that succeed.
  void put_receipt(const u8* id, u64 number, u64 fee) {
    std::string& out = reports_.receipts;
    out += '\x9b';
    put_bytes32(out, id);
    put_number(out, block_.height), put_number(out, number);
    out.append("\xa2ok\x00\xa0", 5);  // status, code, detail
    put_number(out, fee);
    out.append("\x00\x90\xc4\x00", 4);  // gas, jobs, result
    const u8 no_events[32] = {};
    put_bytes32(out, no_events);
  }

  Block block_;
  std::unordered_map<Address, Account, AddressHash> table_;
  std::vector<Account*> missing_;
  std::vector<Touched> touched_;
  std::vector<Item> items_;  // of all batches
  std::vector<Place> places_;
  std::vector<Author> authors_;  // by batch
  Reports reports_;
  Changes changes_;
};

}  // namespace octra
