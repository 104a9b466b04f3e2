// Batch update of the state tree in arrays. `storage/tree/merge.py` is the reference: same recursion, same rows.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#define OCTRA_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int HASH = 32, REF = 12, LINK = REF + HASH, BRANCH_ROW = 123, LEAF_HEAD = 67, PATH_BITS = 256;
constexpr u8 LEAF = 1, BRANCH = 2;

u64 load_little(const u8* at) {
  u64 value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

// BLAKE2b-256 with a person tag (RFC 7693).
class Blake2b {
 public:
  explicit Blake2b(const char* person) {
    u8 tag[16] = {};
    std::memcpy(tag, person, std::strlen(person));
    for (int i = 0; i < 8; i++) h_[i] = IV[i];
    h_[0] ^= 0x01010000 ^ HASH;  // fanout 1, depth 1, no key
    h_[6] ^= load_little(tag);
    h_[7] ^= load_little(tag + 8);
  }

  Blake2b& add(const u8* message, std::size_t size) {
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

  void finish(u8* out) {
    std::memset(block_ + held_, 0, BLOCK - held_);
    compress(true);
    for (int i = 0; i < 4; i++)
      for (int b = 0; b < 8; b++) out[8 * i + b] = static_cast<u8>(h_[i] >> (8 * b));
  }

 private:
  static constexpr std::size_t BLOCK = 128;
  static constexpr u64 IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static constexpr u8 SIGMA[10][16] = {
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

  void compress(bool last) {
    u64 m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = load_little(block_ + 8 * i);
    for (int i = 0; i < 8; i++) v[i] = h_[i], v[i + 8] = IV[i];
    v[12] ^= total_;
    if (last) v[14] = ~v[14];
    auto rotated = [](u64 x, int count) { return x >> count | x << (64 - count); };
    auto mix = [&](int a, int b, int c, int d, u64 x, u64 y) {
      v[a] += v[b] + x, v[d] = rotated(v[d] ^ v[a], 32), v[c] += v[d], v[b] = rotated(v[b] ^ v[c], 24);
      v[a] += v[b] + y, v[d] = rotated(v[d] ^ v[a], 16), v[c] += v[d], v[b] = rotated(v[b] ^ v[c], 63);
    };
    for (int round = 0; round < 12; round++) {
      const u8* s = SIGMA[round % 10];
      for (int i = 0; i < 4; i++) mix(i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
      for (int i = 0; i < 4; i++)
        mix(i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12, m[s[2 * i + 8]], m[s[2 * i + 9]]);
    }
    for (int i = 0; i < 8; i++) h_[i] ^= v[i] ^ v[i + 8];
  }

  u64 h_[8];
  u8 block_[BLOCK];
  std::size_t held_ = 0;
  u64 total_ = 0;
};

int bit_of(const u8* path, int bit) { return path[bit >> 3] >> (7 - (bit & 7)) & 1; }

int common_bits(const u8* one, const u8* other) {
  for (int i = 0; i < HASH; i++)
    if (const int difference = one[i] ^ other[i]) return 8 * i + __builtin_clz(difference) - 24;
  return PATH_BITS;
}

struct Ref {
  u8 bytes[REF];
  bool operator==(const Ref& other) const { return !std::memcmp(bytes, other.bytes, REF); }
};
struct RefHash {
  std::size_t operator()(const Ref& ref) const {
    u64 version;
    u32 sequence;
    std::memcpy(&version, ref.bytes, 8);
    std::memcpy(&sequence, ref.bytes + 8, 4);
    return (version * 0x9e3779b97f4a7c15 ^ sequence) * 0xff51afd7ed558ccd >> 7;
  }
};

struct Link {
  Ref ref;
  u8 hash[HASH];
};
static_assert(sizeof(Link) == LINK, "links are copied as bytes");

struct Node {
  u8 kind;
  u16 bit;               // branch
  u8 path[HASH];         // leaf: its own; branch: any below
  u8 value_hash[HASH];   // leaf
  Link left, right;      // branch
};

enum class Action : u8 { remove, set, keep };

struct Change {
  const u8* path;
  Action action;
  const u8* value_hash;  // set
  int index;             // set: place among the writes of the commit
  Link kept;             // keep: a leaf of the tree that only gets a new place
};

// One write of a commit, as hashed for its tree; key and value make the row of its leaf.
struct Write {
  u8 path[HASH], value_hash[HASH];
  std::string key, value;
  bool present;
};

Write write_of(bool circle, const u8* key, std::size_t key_size, const u8* value, std::size_t value_size,
               bool present) {
  Write write{};
  write.present = present;
  write.key.assign(reinterpret_cast<const char*>(key), key_size);
  write.value.assign(reinterpret_cast<const char*>(value), value_size);
  Blake2b(circle ? "octra.c.key" : "octra.st.key").add(key, key_size).finish(write.path);
  if (present && circle) {
    u8 size[4];
    for (int i = 0; i < 4; i++) size[i] = static_cast<u8>(key_size >> (24 - 8 * i));
    Blake2b("octra.c.val").add(size, 4).add(key, key_size).add(value, value_size).finish(write.value_hash);
  } else if (present) {
    Blake2b("octra.st.value").add(value, value_size).finish(write.value_hash);
  }
  return write;
}

// A subtree, or nothing.
struct Subtree {
  bool exists;
  Link link;
};
constexpr Subtree NOTHING{false, {}};

struct Added {
  Node node;
  int write;  // of a leaf: the write whose key and value its row holds; of a branch: -1
};

class Tree {
 public:
  explicit Tree(std::size_t nodes_max) : generation_max_(nodes_max / 2 + 1) {}

  void begin(u64 version) {
    for (int i = 0; i < 8; i++) version_[i] = static_cast<u8>(version >> (56 - 8 * i));
    added_.clear();
    dead_.clear();
    writes_.clear();
    // Two generations instead of a list of uses: a full young one becomes the old, but never within a commit, which
    // needs all that it has read.
    if (young_.size() > generation_max_) old_ = std::move(young_), young_.clear();
  }

  void feed(const Ref& ref, const Node& node) { remember(ref, node); }

  // The writes of one tree, each key once: the next `update` applies them.
  void take(std::vector<Write>&& writes) {
    first_ = writes_.size();
    for (Write& write : writes) writes_.push_back(std::move(write));
    std::sort(writes_.begin() + static_cast<std::ptrdiff_t>(first_), writes_.end(),
              [](const Write& a, const Write& b) { return std::memcmp(a.path, b.path, HASH) < 0; });
  }

  // Nodes on the way of what was taken that are not in memory, at most `limit`: below them the tree is still unknown.
  int missing(const Link& root, Ref* out, int limit) {
    int found = 0;
    walk(root, static_cast<int>(first_), static_cast<int>(writes_.size()), out, limit, found);
    return found;
  }

  // Where `failed` afterwards, a node was not in memory and nothing happened.
  Subtree update(const Subtree& root) {
    std::vector<Change> changes;
    changes.reserve(writes_.size() - first_);
    for (std::size_t i = first_; i < writes_.size(); i++) {
      const Action action = writes_[i].present ? Action::set : Action::remove;
      changes.push_back({writes_[i].path, action, writes_[i].value_hash, static_cast<int>(i), {}});
    }
    const std::size_t added = added_.size(), dead = dead_.size();
    failed_ = false;
    const Subtree after = merge(root, changes, 0, static_cast<int>(changes.size()));
    if (failed_) added_.resize(added), dead_.resize(dead);
    return after;
  }

  // Join the rows of the new nodes.
  void make_rows() {
    rows_.clear();
    ends_.clear();
    for (const Added& added : added_) {
      put_row(added, rows_);
      ends_.push_back(static_cast<u32>(rows_.size()));
    }
  }

  const std::string& rows() const { return rows_; }
  const std::vector<u32>& ends() const { return ends_; }

  // The commit is on disk: its nodes may be read, those it replaced are of no use to an update any more.
  void publish() {
    for (const Ref& ref : dead_) young_.erase(ref), old_.erase(ref);
    for (std::size_t i = 0; i < added_.size(); i++) remember(ref_of(i), added_[i].node);
    added_.clear();
    dead_.clear();
    writes_.clear();
  }

  const std::vector<Ref>& dead() const { return dead_; }
  bool failed() const { return failed_; }

 private:
  Ref ref_of(std::size_t sequence) const {
    Ref ref;
    std::memcpy(ref.bytes, version_, 8);
    for (int i = 0; i < 4; i++) ref.bytes[8 + i] = static_cast<u8>(sequence >> (24 - 8 * i));
    return ref;
  }

  void put_row(const Added& added, std::string& out) const {
    const Node& node = added.node;
    auto put = [&](const void* at, std::size_t size) { out.append(static_cast<const char*>(at), size); };
    if (node.kind == BRANCH) {
      const u8 head[3] = {BRANCH, static_cast<u8>(node.bit >> 8), static_cast<u8>(node.bit)};
      put(head, 3), put(node.path, HASH), put(&node.left, LINK), put(&node.right, LINK);
    } else {
      const Write& write = writes_[static_cast<std::size_t>(added.write)];
      const u8 size[2] = {static_cast<u8>(write.key.size() >> 8), static_cast<u8>(write.key.size())};
      put(&LEAF, 1), put(node.path, HASH), put(node.value_hash, HASH), put(size, 2);
      out += write.key;
      out += write.value;
    }
  }

  void remember(const Ref& ref, const Node& node) { young_.insert_or_assign(ref, node); }

  const Node* find(const Ref& ref) {
    if (auto at = young_.find(ref); at != young_.end()) return &at->second;
    auto at = old_.find(ref);
    if (at == old_.end()) return nullptr;
    return &young_.emplace(ref, at->second).first->second;
  }

  Link add(const Node& node, int write) {
    Link link;
    link.ref = ref_of(added_.size());
    u8 message[2 + 2 * HASH];
    if (node.kind == LEAF) {
      std::memcpy(message, node.path, HASH);
      std::memcpy(message + HASH, node.value_hash, HASH);
      Blake2b("octra.st.leaf").add(message, 2 * HASH).finish(link.hash);
    } else {
      message[0] = static_cast<u8>(node.bit >> 8), message[1] = static_cast<u8>(node.bit);
      std::memcpy(message + 2, node.left.hash, HASH);
      std::memcpy(message + 2 + HASH, node.right.hash, HASH);
      Blake2b("octra.st.node").add(message, sizeof message).finish(link.hash);
    }
    added_.push_back({node, write});
    return link;
  }

  // First of the sorted changes whose path has this bit set.
  static int first_high(const std::vector<Change>& changes, int start, int end, int bit) {
    while (start < end) {
      const int middle = (start + end) / 2;
      if (bit_of(changes[middle].path, bit)) end = middle;
      else start = middle + 1;
    }
    return start;
  }

  void walk(const Link& link, int start, int end, Ref* out, int limit, int& found) {
    if (start == end || found == limit) return;
    const Node* node = find(link.ref);
    if (!node) {
      out[found++] = link.ref;
      return;
    }
    if (node->kind == LEAF) return;
    const Node branch = *node;
    auto path = [&](int index) { return writes_[static_cast<std::size_t>(index)].path; };
    const int shared = std::min(common_bits(path(start), branch.path), common_bits(path(end - 1), branch.path));
    const int bit = std::min<int>(branch.bit, shared);
    int cut = start;
    while (cut < end && !bit_of(path(cut), bit)) cut++;
    if (bit == branch.bit) {
      walk(branch.left, start, cut, out, limit, found);
      walk(branch.right, cut, end, out, limit, found);
    } else if (bit_of(branch.path, bit)) {
      walk(link, cut, end, out, limit, found);
    } else {
      walk(link, start, cut, out, limit, found);
    }
  }

  Subtree merge(const Subtree& subtree, const std::vector<Change>& changes, int start, int end) {
    if (start == end) return subtree;
    if (!subtree.exists) return build(changes, start, end);
    const Node* node = find(subtree.link.ref);
    if (!node) {
      failed_ = true;
      return subtree;
    }
    if (node->kind == LEAF) return merge_leaf(subtree.link, *node, changes, start, end);
    return merge_branch(subtree.link, *node, changes, start, end);
  }

  Subtree merge_leaf(const Link& link, const Node& leaf, const std::vector<Change>& changes, int start, int end) {
    std::vector<Change> all;
    all.reserve(end - start + 1);
    bool placed = false;
    for (int i = start; i < end; i++) {
      const int order = placed ? 1 : std::memcmp(leaf.path, changes[i].path, HASH);
      if (order < 0) all.push_back({leaf.path, Action::keep, nullptr, -1, link}), placed = true;
      all.push_back(changes[i]);
      if (order == 0) {
        placed = true;
        if (changes[i].action == Action::set && !std::memcmp(changes[i].value_hash, leaf.value_hash, HASH))
          all.back() = {changes[i].path, Action::keep, nullptr, -1, link};
        else
          dead_.push_back(link.ref);
      }
    }
    if (!placed) all.push_back({leaf.path, Action::keep, nullptr, -1, link});
    return build(all, 0, static_cast<int>(all.size()));
  }

  Subtree merge_branch(const Link& link, const Node& branch, const std::vector<Change>& changes, int start, int end) {
    // The slice is sorted, so its ends bound how early any of its paths leaves the subtree.
    const int shared =
        std::min(common_bits(changes[start].path, branch.path), common_bits(changes[end - 1].path, branch.path));
    const int bit = std::min<int>(branch.bit, shared), cut = first_high(changes, start, end, bit);
    if (bit == branch.bit) {
      const Subtree left = merge({true, branch.left}, changes, start, cut);
      const Subtree right = merge({true, branch.right}, changes, cut, end);
      if (left.exists && right.exists && left.link.ref == branch.left.ref && right.link.ref == branch.right.ref)
        return {true, link};
      dead_.push_back(link.ref);
      return join(bit, branch.path, left, right);
    }
    Subtree left, right;
    if (bit_of(branch.path, bit)) {
      left = build(changes, start, cut);
      right = merge({true, link}, changes, cut, end);
    } else {
      left = merge({true, link}, changes, start, cut);
      right = build(changes, cut, end);
    }
    return join(bit, branch.path, left, right);
  }

  Subtree build(const std::vector<Change>& changes, int start, int end) {
    if (start == end) return NOTHING;
    const Change& first = changes[start];
    if (end - start == 1) {
      if (first.action == Action::remove) return NOTHING;
      if (first.action == Action::keep) return {true, first.kept};
      Node leaf{};
      leaf.kind = LEAF;
      std::memcpy(leaf.path, first.path, HASH);
      std::memcpy(leaf.value_hash, first.value_hash, HASH);
      return {true, add(leaf, first.index)};
    }
    const int bit = common_bits(first.path, changes[end - 1].path), cut = first_high(changes, start, end, bit);
    const Subtree left = build(changes, start, cut), right = build(changes, cut, end);
    return join(bit, first.path, left, right);
  }

  Subtree join(int bit, const u8* path, const Subtree& left, const Subtree& right) {
    if (!left.exists) return right;
    if (!right.exists) return left;
    Node branch{};
    branch.kind = BRANCH;
    branch.bit = static_cast<u16>(bit);
    std::memcpy(branch.path, path, HASH);
    branch.left = left.link, branch.right = right.link;
    return {true, add(branch, -1)};
  }

  std::size_t generation_max_;
  std::unordered_map<Ref, Node, RefHash> young_, old_;
  std::vector<Added> added_;
  std::vector<Ref> dead_;
  std::vector<Write> writes_;  // of the commit, over all trees; each tree's part is sorted by path
  std::size_t first_ = 0;      // of the tree that is being updated
  std::string rows_;
  std::vector<u32> ends_;
  u8 version_[8] = {};
  bool failed_ = false;
};

Tree& of(void* handle) { return *static_cast<Tree*>(handle); }

}  // namespace

OCTRA_EXPORT void* octra_tree_new(u64 nodes_max) { return new Tree(nodes_max); }

OCTRA_EXPORT void octra_tree_free(void* handle) { delete static_cast<Tree*>(handle); }

// Start of a commit: what an earlier one left unpublished is forgotten.
OCTRA_EXPORT void octra_tree_begin(void* handle, u64 version) { of(handle).begin(version); }

// Take the writes of one tree: joined keys and values with the end of each; `present`: 0 removes the key.
OCTRA_EXPORT void octra_tree_take(void* handle, int circle, int count, const u8* keys, const u32* key_ends,
                                  const u8* values, const u32* value_ends, const u8* present) {
  std::vector<Write> writes;
  writes.reserve(static_cast<std::size_t>(count));
  u32 key = 0, value = 0;
  for (int i = 0; i < count; i++) {
    writes.push_back(write_of(circle, keys + key, key_ends[i] - key, values + value, value_ends[i] - value, present[i]));
    key = key_ends[i], value = value_ends[i];
  }
  of(handle).take(std::move(writes));
}

OCTRA_EXPORT int octra_tree_missing(void* handle, const u8* root, u8* out, int limit) {
  Link link;
  std::memcpy(static_cast<void*>(&link), root, LINK);
  return of(handle).missing(link, reinterpret_cast<Ref*>(out), limit);
}

// Take a node row from disk. 0 if it is none.
OCTRA_EXPORT int octra_tree_feed(void* handle, const u8* ref, const u8* row, int size) {
  Node node{};
  if (size == BRANCH_ROW && row[0] == BRANCH) {
    node.kind = BRANCH;
    node.bit = static_cast<u16>(row[1] << 8 | row[2]);
    std::memcpy(node.path, row + 3, HASH);
    std::memcpy(static_cast<void*>(&node.left), row + 35, LINK);
    std::memcpy(static_cast<void*>(&node.right), row + 35 + LINK, LINK);
  } else if (size >= LEAF_HEAD && row[0] == LEAF && LEAF_HEAD + (row[65] << 8 | row[66]) <= size) {
    node.kind = LEAF;
    std::memcpy(node.path, row + 1, HASH);
    std::memcpy(node.value_hash, row + 1 + HASH, HASH);
  } else {
    return 0;
  }
  Ref at;
  std::memcpy(at.bytes, ref, REF);
  of(handle).feed(at, node);
  return 1;
}

// Apply what was taken to the tree under `root` (null: empty). Answers 1 with the new root in `out`, 0 for an empty
// tree, -1 if a node is not in memory: then nothing happened, and `missing` tells which ones to feed.
OCTRA_EXPORT int octra_tree_update(void* handle, const u8* root, u8* out) {
  Tree& tree = of(handle);
  Subtree before = NOTHING;
  if (root) {
    before.exists = true;
    std::memcpy(static_cast<void*>(&before.link), root, LINK);
  }
  const Subtree after = tree.update(before);
  if (tree.failed()) return -1;
  if (after.exists) std::memcpy(out, &after.link, LINK);
  return after.exists;
}

// How many nodes are new. Their rows are made here; nothing may be added before they are fetched.
OCTRA_EXPORT int octra_tree_added(void* handle) {
  of(handle).make_rows();
  return static_cast<int>(of(handle).ends().size());
}

OCTRA_EXPORT int octra_tree_dead(void* handle) { return static_cast<int>(of(handle).dead().size()); }

// Bytes that the rows of the new nodes take together.
OCTRA_EXPORT u64 octra_tree_rows_size(void* handle) { return of(handle).rows().size(); }

// The joined rows of the new nodes, in the order of their refs, with the end of each. `dead` gets the refs of the nodes
// that this commit replaced.
OCTRA_EXPORT void octra_tree_rows(void* handle, u8* rows, u32* ends, u8* dead) {
  Tree& tree = of(handle);
  std::memcpy(rows, tree.rows().data(), tree.rows().size());
  std::memcpy(ends, tree.ends().data(), 4 * tree.ends().size());
  for (const Ref& ref : tree.dead()) std::memcpy(dead, ref.bytes, REF), dead += REF;
}

OCTRA_EXPORT void octra_tree_publish(void* handle) { of(handle).publish(); }
