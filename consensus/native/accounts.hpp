// Transfers in a row on an account table: the rule of consensus/ledger/transfers.py, which says what is left to Python.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "transfers.hpp"

namespace octra {

constexpr int NONCE_WINDOW = 64;
constexpr u64 EXPIRY_EPOCHS_MAX = 1'024;
constexpr u64 TIPS_MAX = u64{1} << 62;  // of one run: far above all money

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

// What `run` did since the reports were last fetched.
struct Reports {
  std::string ids, receipts;  // 32 bytes each; encodings
  std::string parties;        // sender and receiver of each, 64 bytes
  std::vector<u32> ends;      // of the receipts
  u64 tips = 0;

  void clear() { ids.clear(), receipts.clear(), parties.clear(), ends.clear(), tips = 0; }
};

// Accounts for the state: keys (33 bytes each), and rows with the end of each.
struct Changes {
  std::string keys, rows;
  std::vector<u32> ends;

  void clear() { keys.clear(), rows.clear(), ends.clear(); }
};

// Only between `settle` and the next `run` may `put` bring what others wrote.
class Accounts {
 public:
  Accounts(const Block& block, u64 secret) : block_(block), table_(64, AddressHash{secret}) {}

  // Take a batch. Its bytes stay the caller's until the next one. `missing` has then the addresses not in the table.
  bool take(const u8* framed, std::size_t size, const Rules& rules, const u8* operator_address) {
    missing_.clear();
    if (!read_items(framed, size, rules, items_)) return false;
    std::memcpy(operator_.bytes, operator_address, 32);
    senders_.assign(items_.size(), nullptr), receivers_.assign(items_.size(), nullptr);
    bool tips = false;
    for (std::size_t i = 0; i < items_.size(); i++) {
      if (!items_[i].plain) continue;
      senders_[i] = find(items_[i].sender), receivers_[i] = find(items_[i].to);
      tips = tips || items_[i].fee > block_.required_fee;
    }
    paid_ = tips ? find(operator_.bytes) : nullptr;
    return true;
  }

  const std::vector<Account*>& missing() const { return missing_; }

  // The account's row as the state has it now, empty if it has none; only of accounts in the table.
  void put(const u8* address, const u8* row, std::size_t size) {
    Address wanted;
    std::memcpy(wanted.bytes, address, 32);
    const auto at = table_.find(wanted);
    if (at == table_.end()) return;
    at->second.usable = at->second.read(row, size);
  }

  // Execute items from `from` on, whose receipts have numbers from `number` on; answers the first not executed.
  std::size_t run(std::size_t from, u64 number) {
    reports_.clear();
    for (; from < items_.size() && execute(from); from++) report(items_[from], number++);
    return from;
  }

  const Reports& reports() const { return reports_; }

  // What changed since the last call.
  const Changes& settle() {
    changes_.clear();
    for (Account* account : touched_) {
      account->changed = false;
      changes_.keys += '\x01';
      changes_.keys.append(reinterpret_cast<const char*>(account->address), 32);
      account->write(changes_.rows);
      changes_.ends.push_back(static_cast<u32>(changes_.rows.size()));
    }
    touched_.clear();
    return changes_;
  }

  const Changes& changes() const { return changes_; }

 private:
  Account* find(const u8* address) {
    Address wanted;
    std::memcpy(wanted.bytes, address, 32);
    const auto [at, fresh] = table_.try_emplace(wanted);
    if (fresh) at->second.address = at->first.bytes, missing_.push_back(&at->second);
    return &at->second;
  }

  void touch(Account& account) {
    if (!account.changed) touched_.push_back(&account);
    account.changed = true;
  }

  // True if the transfer is done; else nothing has changed, and the general way takes it.
  bool execute(std::size_t index) {
    const Item& item = items_[index];
    if (!item.plain || item.expiry < block_.epoch || item.expiry > block_.epoch + EXPIRY_EPOCHS_MAX) return false;
    if (item.fee < block_.required_fee) return false;
    const u64 tip = item.fee - block_.required_fee;
    Account &sender = *senders_[index], &receiver = *receivers_[index];
    if (!sender.usable || !receiver.usable || !sender.is_free(item.nonce)) return false;
    if (sender.balance < item.fee + item.amount || receiver.balance + item.amount > AMOUNT_MAX) return false;
    if (tip) {
      Account& author = *paid_;
      if (!author.usable || author.balance + item.amount + tip > AMOUNT_MAX || reports_.tips + tip > TIPS_MAX)
        return false;
      touch(author), author.balance += tip, reports_.tips += tip;
    }
    touch(sender), sender.balance -= item.fee + item.amount;
    touch(receiver), receiver.balance += item.amount;
    sender.use(item.nonce);
    return true;
  }

  // The encoding of `Receipt`: nothing but what is written here differs between transfers that succeed.
  void report(const Item& item, u64 number) {
    u8 id[32];
    item.id(id);
    std::string& out = reports_.receipts;
    out += '\x9b';
    put_bytes32(out, id);
    put_number(out, block_.height), put_number(out, number);
    out.append("\xa2ok\x00\xa0", 5);  // status, code, detail
    put_number(out, item.fee);
    out.append("\x00\x90\xc4\x00", 4);  // gas, jobs, result
    const u8 no_events[32] = {};
    put_bytes32(out, no_events);
    reports_.ends.push_back(static_cast<u32>(out.size()));
    reports_.ids.append(reinterpret_cast<const char*>(id), 32);
    reports_.parties.append(reinterpret_cast<const char*>(item.sender), 32);
    reports_.parties.append(reinterpret_cast<const char*>(item.to), 32);
  }

  Block block_;
  std::unordered_map<Address, Account, AddressHash> table_;
  std::vector<Account*> missing_, touched_;
  std::vector<Item> items_;  // of the batch
  std::vector<Account*> senders_, receivers_;
  Address operator_;
  Account* paid_ = nullptr;  // the operator's account, if a transfer of the batch has a tip
  Reports reports_;
  Changes changes_;
};

}  // namespace octra
