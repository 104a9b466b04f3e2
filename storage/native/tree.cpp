// Batch update of the state tree in arrays. `storage/tree/merge.py` is the reference: same recursion, same rows.
#include <algorithm>
#include <cstdint>
#include <cstring>
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

// BLAKE2b-256 with a person tag, of a message that fits one block (RFC 7693).
void blake2b_one_block(const char* person, const u8* message, int size, u8* out) {
  static constexpr u64 IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static constexpr u8 SIGMA[10][16] = {
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
  u8 block[128] = {}, tag[16] = {};
  std::memcpy(block, message, size);
  std::memcpy(tag, person, std::strlen(person));
  u64 m[16], h[8], v[16];
  for (int i = 0; i < 16; i++) m[i] = load_little(block + 8 * i);
  for (int i = 0; i < 8; i++) h[i] = IV[i];
  h[0] ^= 0x01010000 ^ HASH;  // fanout 1, depth 1, no key
  h[6] ^= load_little(tag);
  h[7] ^= load_little(tag + 8);
  for (int i = 0; i < 8; i++) v[i] = h[i], v[i + 8] = IV[i];
  v[12] ^= static_cast<u64>(size);
  v[14] = ~v[14];  // the last block
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
  for (int i = 0; i < 4; i++) {
    const u64 word = h[i] ^ v[i] ^ v[i + 8];
    for (int b = 0; b < 8; b++) out[8 * i + b] = static_cast<u8>(word >> (8 * b));
  }
}

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
  int index;             // set: place among the caller's changes
  Link kept;             // keep: a leaf of the tree that only gets a new place
};

// A subtree, or nothing.
struct Subtree {
  bool exists;
  Link link;
};
constexpr Subtree NOTHING{false, {}};

struct Added {
  Node node;
  int change;  // of a leaf: whose key and value its row holds; of a branch: -1
};

class Tree {
 public:
  explicit Tree(std::size_t nodes_max) : generation_max_(nodes_max / 2 + 1) {}

  void begin(u64 version) {
    for (int i = 0; i < 8; i++) version_[i] = static_cast<u8>(version >> (56 - 8 * i));
    added_.clear();
    dead_.clear();
    failed_ = false;
    // Two generations instead of a list of uses: a full young one becomes the old, but never within a commit, which
    // needs all that it has read.
    if (young_.size() > generation_max_) old_ = std::move(young_), young_.clear();
  }

  void feed(const Ref& ref, const Node& node) { remember(ref, node); }

  // Nodes on the way of these paths that are not in memory, at most `limit`: the tree below them is still unknown.
  int missing(const Link& root, const u8* paths, int count, Ref* out, int limit) {
    int found = 0;
    walk(root, paths, 0, count, out, limit, found);
    return found;
  }

  Subtree update(const Subtree& root, const std::vector<Change>& changes) {
    return merge(root, changes, 0, static_cast<int>(changes.size()));
  }

  // The commit is on disk: its nodes may be read, those it replaced are of no use to an update any more.
  void publish() {
    for (const Ref& ref : dead_) young_.erase(ref), old_.erase(ref);
    for (std::size_t i = 0; i < added_.size(); i++) remember(ref_of(i), added_[i].node);
    added_.clear();
    dead_.clear();
  }

  const std::vector<Added>& added() const { return added_; }
  const std::vector<Ref>& dead() const { return dead_; }
  bool failed() const { return failed_; }

 private:
  Ref ref_of(std::size_t sequence) const {
    Ref ref;
    std::memcpy(ref.bytes, version_, 8);
    for (int i = 0; i < 4; i++) ref.bytes[8 + i] = static_cast<u8>(sequence >> (24 - 8 * i));
    return ref;
  }

  void remember(const Ref& ref, const Node& node) { young_.insert_or_assign(ref, node); }

  const Node* find(const Ref& ref) {
    if (auto at = young_.find(ref); at != young_.end()) return &at->second;
    auto at = old_.find(ref);
    if (at == old_.end()) return nullptr;
    return &young_.emplace(ref, at->second).first->second;
  }

  Link add(const Node& node, int change) {
    Link link;
    link.ref = ref_of(added_.size());
    u8 message[2 + 2 * HASH];
    if (node.kind == LEAF) {
      std::memcpy(message, node.path, HASH);
      std::memcpy(message + HASH, node.value_hash, HASH);
      blake2b_one_block("octra.st.leaf", message, 2 * HASH, link.hash);
    } else {
      message[0] = static_cast<u8>(node.bit >> 8), message[1] = static_cast<u8>(node.bit);
      std::memcpy(message + 2, node.left.hash, HASH);
      std::memcpy(message + 2 + HASH, node.right.hash, HASH);
      blake2b_one_block("octra.st.node", message, sizeof message, link.hash);
    }
    added_.push_back({node, change});
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

  void walk(const Link& link, const u8* paths, int start, int end, Ref* out, int limit, int& found) {
    if (start == end || found == limit) return;
    const Node* node = find(link.ref);
    if (!node) {
      out[found++] = link.ref;
      return;
    }
    if (node->kind == LEAF) return;
    const Node branch = *node;
    const u8 *first = paths + HASH * start, *last = paths + HASH * (end - 1);
    const int shared = std::min(common_bits(first, branch.path), common_bits(last, branch.path));
    const int bit = std::min<int>(branch.bit, shared);
    int cut = start;
    while (cut < end && !bit_of(paths + HASH * cut, bit)) cut++;
    if (bit == branch.bit) {
      walk(branch.left, paths, start, cut, out, limit, found);
      walk(branch.right, paths, cut, end, out, limit, found);
    } else if (bit_of(branch.path, bit)) {
      walk(link, paths, cut, end, out, limit, found);
    } else {
      walk(link, paths, start, cut, out, limit, found);
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
  u8 version_[8] = {};
  bool failed_ = false;
};

Tree& of(void* handle) { return *static_cast<Tree*>(handle); }

}  // namespace

OCTRA_EXPORT void* octra_tree_new(u64 nodes_max) { return new Tree(nodes_max); }

OCTRA_EXPORT void octra_tree_free(void* handle) { delete static_cast<Tree*>(handle); }

// Start of a commit: what an earlier one left unpublished is forgotten.
OCTRA_EXPORT void octra_tree_begin(void* handle, u64 version) { of(handle).begin(version); }

OCTRA_EXPORT int octra_tree_missing(void* handle, const u8* root, const u8* paths, int count, u8* out, int limit) {
  Link link;
  std::memcpy(static_cast<void*>(&link), root, LINK);
  return of(handle).missing(link, paths, count, reinterpret_cast<Ref*>(out), limit);
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

// Apply changes, sorted by path, to the tree under `root` (null: empty). `actions`: 0 remove, 1 set.
// Answers 1 with the new root in `out`, 0 for an empty tree, -1 if a node is not in memory.
OCTRA_EXPORT int octra_tree_update(void* handle, const u8* root, const u8* paths, const u8* value_hashes,
                                   const u8* actions, int count, int first_change, u8* out) {
  Tree& tree = of(handle);
  Subtree before = NOTHING;
  if (root) {
    before.exists = true;
    std::memcpy(static_cast<void*>(&before.link), root, LINK);
  }
  std::vector<Change> changes(count);
  for (int i = 0; i < count; i++)
    changes[i] = {paths + HASH * i, actions[i] ? Action::set : Action::remove, value_hashes + HASH * i,
                  first_change + i, {}};
  const Subtree after = tree.update(before, changes);
  if (tree.failed()) return -1;
  if (after.exists) std::memcpy(out, &after.link, LINK);
  return after.exists;
}

OCTRA_EXPORT int octra_tree_added(void* handle) { return static_cast<int>(of(handle).added().size()); }
OCTRA_EXPORT int octra_tree_dead(void* handle) { return static_cast<int>(of(handle).dead().size()); }

// Rows of the new nodes, 123 bytes each: whole for a branch; of a leaf nothing, its number among the changes is in
// `changes` (branch: -1). `dead` gets the refs of the nodes that this commit replaced.
OCTRA_EXPORT void octra_tree_rows(void* handle, u8* rows, std::int32_t* changes, u8* dead) {
  const Tree& tree = of(handle);
  for (const Added& added : tree.added()) {
    const Node& node = added.node;
    *changes++ = added.change;
    if (node.kind == BRANCH) {
      rows[0] = BRANCH, rows[1] = static_cast<u8>(node.bit >> 8), rows[2] = static_cast<u8>(node.bit);
      std::memcpy(rows + 3, node.path, HASH);
      std::memcpy(rows + 35, &node.left, LINK);
      std::memcpy(rows + 35 + LINK, &node.right, LINK);
    }
    rows += BRANCH_ROW;
  }
  for (const Ref& ref : tree.dead()) std::memcpy(dead, ref.bytes, REF), dead += REF;
}

OCTRA_EXPORT void octra_tree_publish(void* handle) { of(handle).publish(); }
