// The trees of the newest height in memory, updated batch by batch. `storage/tree/merge.py` is the reference: the same
// recursion, the same rows on disk.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "blake2b_many.hpp"
#include "index.hpp"

#define OCTRA_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int HASH = 32, LINK_ROW = 2 + 2 * HASH, BRANCH_ROW = 2 * LINK_ROW, PATH_BITS = 256;
constexpr u16 LEAF = PATH_BITS;  // in place of the bit of a branch

int bit_of(const u8* path, int bit) { return path[bit >> 3] >> (7 - (bit & 7)) & 1; }

int common_bits(const u8* one, const u8* other) {
  for (int i = 0; i < HASH; i++)
    if (const int difference = one[i] ^ other[i]) return 8 * i + __builtin_clz(difference) - 24;
  return PATH_BITS;
}

struct Node {
  u8 hash[HASH];
  u8 path[HASH];        // leaf: its own; branch: any below
  Node *left, *right;   // of a branch that is loaded
  u16 bit;              // of a branch, the first in which the paths below differ; of a leaf LEAF
  bool changed;         // branch: its row on disk is another one, or none
  bool stored;          // branch: there is a row at its position, of itself or of the one that it replaced
  bool loaded;          // branch: its children are known
  bool young;           // branch: made since the last sweep
  u16 pending;          // branch: 0 if its hash is known, else how far above one whose is
};

// Most of the time here is waiting for memory: what is needed soon is asked for early. A node spans two lines.
void prefetch(const Node* node) {
  __builtin_prefetch(node->hash), __builtin_prefetch(&node->bit);
}

// What the hash of a branch covers.
constexpr std::size_t BRANCH_MESSAGE = 2 + 2 * HASH;

void put_branch(int bit, const u8* left, const u8* right, u8* message) {
  message[0] = static_cast<u8>(bit >> 8), message[1] = static_cast<u8>(bit);
  std::memcpy(message + 2, left, HASH);
  std::memcpy(message + 2 + HASH, right, HASH);
}

void hash_branch(int bit, const u8* left, const u8* right, u8* out) {
  u8 message[BRANCH_MESSAGE];
  put_branch(bit, left, right, message);
  Blake2b("octra.st.node").add(message, sizeof message).finish(out);
}

// One write of a tree: where its leaf stands, and what it hashes to.
struct Write {
  u8 path[HASH], leaf_hash[HASH];
  bool present;
};

// Joined keys and values, with the size of each; where `present` is 0 the key goes.
struct Rows {
  int count;
  const u8 *keys, *values, *present;
  const u32 *key_sizes, *value_sizes;
};

std::vector<Write> writes_of(bool circle, Rows rows) {
  std::vector<Write> writes(static_cast<std::size_t>(rows.count));
  {
    Blake2bMany paths(circle ? "octra.c.key" : "octra.st.key"), values("octra.st.value");
    for (Write& write : writes) {
      const std::size_t key_size = *rows.key_sizes++, value_size = *rows.value_sizes++;
      write.present = *rows.present++;
      paths.add(rows.keys, key_size, write.path);
      if (circle) {
        u8 size[4];
        for (int i = 0; i < 4; i++) size[i] = static_cast<u8>(key_size >> (24 - 8 * i));
        Blake2b hash("octra.c.val");
        hash.add(size, 4).add(rows.keys, key_size).add(rows.values, value_size).finish(write.leaf_hash);
      } else {
        values.add(rows.values, value_size, write.leaf_hash);
      }
      rows.keys += key_size, rows.values += value_size;
    }
  }
  Blake2bMany leaves("octra.st.leaf");
  for (Write& write : writes) {
    u8* message = leaves.room();
    std::memcpy(message, write.path, HASH);
    std::memcpy(message + HASH, write.leaf_hash, HASH);
    leaves.add(message, 2 * HASH, write.leaf_hash);
  }
  return writes;
}

enum class Action : u8 { remove, set, keep };

struct Change {
  const u8* path;
  Action action;
  const u8* leaf_hash;  // set
  Node* kept;           // keep: a leaf of the tree that only gets a new place
};

// Nodes in large pieces; those given back are used again.
class Pool {
 public:
  Node* take() {
    live_++;
    if (!free_.empty()) {
      Node* node = free_.back();
      free_.pop_back();
      if (free_.size() >= AHEAD) prefetch(free_[free_.size() - AHEAD]);
      return node;
    }
    if (used_ == PIECE || pieces_.empty()) pieces_.push_back(std::make_unique<Node[]>(PIECE)), used_ = 0;
    return &pieces_.back()[used_++];
  }

  void give(Node* node) { free_.push_back(node), live_--; }

  void clear() { pieces_.clear(), free_.clear(), used_ = live_ = 0; }

  std::size_t live() const { return live_; }

 private:
  static constexpr std::size_t PIECE = 4096, AHEAD = 4;
  std::vector<std::unique_ptr<Node[]>> pieces_;
  std::vector<Node*> free_;
  std::size_t used_ = 0, live_ = 0;
};

struct Tree {
  Node* root = nullptr;   // of the newest commit
  Node* fresh = nullptr;  // of the commit that is being made
  bool pending = false;   // `fresh` holds
  bool changed = false;   // since the last flush
};

using Named = std::pair<const std::string, Tree>;

class Trees {
 public:
  Trees(std::size_t nodes_max, std::size_t sweep_flushes) : nodes_max_(nodes_max), sweep_flushes_(sweep_flushes) {}

  // Start of a commit: what an earlier one left unpublished is forgotten.
  void begin() {
    undo({0, 0, 0, 0});
    for (Named* tree : pending_) tree->second.pending = false;
    pending_.clear();
  }

  // The tree that the next calls are about; false while its root is not known.
  bool select(const std::string& name) {
    const auto found = trees_.find(name);
    at_ = found == trees_.end() ? nullptr : &*found;
    return at_ != nullptr;
  }

  bool put_root(const std::string& name, const u8* row) {
    Tree tree;
    if (row && !(tree.root = stub(row))) return false;
    at_ = &*trees_.insert_or_assign(name, tree).first;
    return true;
  }

  // The writes of the selected tree, each key once: the next `update` applies them.
  void take(std::vector<Write>&& writes) {
    writes_ = std::move(writes);
    std::sort(writes_.begin(), writes_.end(),
              [](const Write& a, const Write& b) { return std::memcmp(a.path, b.path, HASH) < 0; });
  }

  // Branches on the way of what was taken whose children are not known, at most `limit`: below them nothing is.
  const std::vector<Node*>& missing(std::size_t limit) {
    missing_.clear();
    walk(current(), 0, static_cast<int>(writes_.size()), limit);
    return missing_;
  }

  std::string missing_key(std::size_t index) const { return position(*missing_[index]); }

  // The row of a missing branch; false when it is none, or another one.
  bool feed(std::size_t index, const u8* row) {
    Node* node = missing_[index];
    u8 hash[HASH];
    hash_branch(node->bit, row + 2 + HASH, row + LINK_ROW + 2 + HASH, hash);
    if (std::memcmp(hash, node->hash, HASH)) return false;
    Node *left = stub(row), *right = stub(row + LINK_ROW);
    if (!left || !right) return false;
    node->left = left, node->right = right, node->loaded = true;
    return true;
  }

  // Apply what was taken; false, with nothing done, if a branch on the way is missing.
  bool update() {
    std::vector<Change> changes;
    changes.reserve(writes_.size());
    for (const Write& write : writes_)
      changes.push_back({write.path, write.present ? Action::set : Action::remove, write.leaf_hash, nullptr});
    const Mark mark{added_.size(), dead_.size(), gone_.size(), more_changed_};
    failed_ = false;
    warm(current());
    for (auto& level : levels_) level.clear();
    Node* root = merge(current(), changes, 0, static_cast<int>(changes.size()));
    if (failed_) {
      undo(mark);
      return false;
    }
    hash_branches();
    Tree& tree = at_->second;
    if (!tree.pending) tree.pending = true, pending_.push_back(at_);
    tree.fresh = root;
    return true;
  }

  Node* current() const { return at_->second.pending ? at_->second.fresh : at_->second.root; }

  // The branches from the root of the selected tree towards a path, and the leaf at their end, which may be another
  // one; null for an empty tree. False if a branch is missing: then it is the one to feed.
  bool way(const u8* path, std::vector<const Node*>& branches, const Node*& leaf) {
    Node* node = current();
    branches.clear();
    while (node && node->bit != LEAF) {
      if (!node->loaded) {
        missing_.assign(1, node);
        return false;
      }
      branches.push_back(node);
      node = bit_of(path, node->bit) ? node->right : node->left;
    }
    leaf = node;
    return true;
  }

  std::size_t live() const { return pool_.live(); }

  // How many branches the disk does not hold yet.
  std::size_t changed() const { return changed_; }

  // Everything that the disk has to learn, the commit that is being made included.
  void make_rows() {
    keys_.clear(), key_sizes_.clear(), rows_.clear();
    gone_count_ = gone_.size();
    for (const std::string& key : gone_) add_key(key);
    roots_.clear();
    for (Named& tree : trees_) {
      if (!tree.second.changed && !tree.second.pending) continue;
      at_ = &tree;
      roots_.append(tree.first);
      if (const Node* root = current()) {
        roots_.push_back(1), put_link(*root, roots_), collect(*root);
      } else {
        roots_.append(1 + LINK_ROW, 0);
      }
    }
  }

  const std::string& keys() const { return keys_; }
  const std::vector<u32>& key_sizes() const { return key_sizes_; }
  std::size_t gone_count() const { return gone_count_; }
  const std::string& rows() const { return rows_; }
  const std::string& roots() const { return roots_; }

  // The commit is on disk; `flushed`: with all that `make_rows` gave.
  void publish(bool flushed) {
    for (Named* tree : pending_) {
      Tree& done = tree->second;
      done.changed |= done.root != done.fresh;
      done.root = done.fresh, done.fresh = nullptr, done.pending = false;
    }
    pending_.clear();
    for (Node* node : dead_) pool_.give(node);
    added_.clear(), dead_.clear();
    changed_ += more_changed_, more_changed_ = 0;
    gone_published_ = gone_.size();
    if (!flushed) return;
    for (Named& tree : trees_) {
      if (tree.second.changed && tree.second.root) settle(*tree.second.root);
      tree.second.changed = false;
    }
    gone_.clear(), gone_published_ = 0, changed_ = 0;
    at_ = nullptr;
    if (++flushes_ >= sweep_flushes_ || full()) sweep();
    if (full()) trees_.clear(), pool_.clear();
  }

  // The key of a branch's row: tree, bit, and the bits of its path that all below share.
  std::string position(const Node& node) const {
    std::string key = at_->first;
    key.push_back(static_cast<char>(node.bit));
    key.append(reinterpret_cast<const char*>(node.path), (node.bit + 7) / 8);
    if (node.bit % 8) key.back() = static_cast<char>(key.back() & 0xff00 >> node.bit % 8);
    return key;
  }

 private:
  // How much of the lists belongs to what came before.
  struct Mark {
    std::size_t added, dead, gone, more_changed;
  };

  void undo(Mark mark) {
    while (added_.size() > mark.added) pool_.give(added_.back()), added_.pop_back();
    dead_.resize(mark.dead);
    more_changed_ = mark.more_changed;
    gone_.resize(std::max(mark.gone, gone_published_));
  }

  // A node of which only the link is known.
  Node* stub(const u8* row) {
    const int bit = row[0] << 8 | row[1];
    if (bit > LEAF) return nullptr;
    Node* node = pool_.take();
    node->bit = static_cast<u16>(bit);
    std::memcpy(node->path, row + 2, HASH);
    std::memcpy(node->hash, row + 2 + HASH, HASH);
    node->left = node->right = nullptr;
    node->changed = node->loaded = node->young = false, node->stored = true;
    node->pending = 0;
    return node;
  }

  static void put_link(const Node& node, std::string& out) {
    const u8 bit[2] = {static_cast<u8>(node.bit >> 8), static_cast<u8>(node.bit)};
    out.append(reinterpret_cast<const char*>(bit), 2);
    out.append(reinterpret_cast<const char*>(node.path), HASH);
    out.append(reinterpret_cast<const char*>(node.hash), HASH);
  }

  void add_key(const std::string& key) { keys_ += key, key_sizes_.push_back(static_cast<u32>(key.size())); }

  // Rows of the changed branches: below one that did not change, none did.
  void collect(const Node& node) {
    if (node.bit == LEAF || !node.changed) return;
    add_key(position(node));
    put_link(*node.left, rows_), put_link(*node.right, rows_);
    collect(*node.left), collect(*node.right);
  }

  void settle(Node& node) {
    if (node.bit == LEAF || !node.changed) return;
    node.changed = false, node.stored = true;
    settle(*node.left), settle(*node.right);
  }

  bool full() const { return pool_.live() + trees_.size() > nodes_max_; }

  // Forget what no commit since the last sweep went through. A commit makes all branches on its ways anew, so below an
  // old one all are old; the disk holds them.
  void sweep() {
    flushes_ = 0;
    for (auto tree = trees_.begin(); tree != trees_.end();) {
      Node* root = tree->second.root;
      if (root && root->bit != LEAF && root->young) {
        sweep(*root), ++tree;
      } else {
        if (root) forget(root);
        tree = trees_.erase(tree);
      }
    }
  }

  void sweep(Node& node) {
    if (node.bit == LEAF || !node.loaded) return;
    if (node.young) {
      node.young = false;
      sweep(*node.left), sweep(*node.right);
    } else {
      forget(node.left), forget(node.right);
      node.loaded = false;
    }
  }

  void forget(Node* node) {
    if (node->bit != LEAF && node->loaded) forget(node->left), forget(node->right);
    pool_.give(node);
  }

  // A node is in the tree no more. Its row goes, unless a branch at the same position replaces it.
  void kill(Node* node, bool replaced) {
    dead_.push_back(node);
    more_changed_ -= node->bit != LEAF && node->changed;
    if (node->bit != LEAF && node->stored && !replaced) gone_.push_back(position(*node));
  }

  Node* add_leaf(const u8* path, const u8* leaf_hash) {
    Node* node = pool_.take();
    node->bit = LEAF;
    std::memcpy(node->path, path, HASH);
    std::memcpy(node->hash, leaf_hash, HASH);
    node->changed = node->stored = false;
    node->pending = 0;
    added_.push_back(node);
    return node;
  }

  Node* add_branch(int bit, const u8* path, Node* left, Node* right, bool stored) {
    Node* node = pool_.take();
    node->bit = static_cast<u16>(bit);
    std::memcpy(node->path, path, HASH);
    node->left = left, node->right = right;
    node->changed = node->loaded = node->young = true, node->stored = stored;
    node->pending = static_cast<u16>(1 + std::max(left->pending, right->pending));
    if (levels_.size() < node->pending) levels_.resize(node->pending);
    levels_[node->pending - 1].push_back(node);
    added_.push_back(node);
    more_changed_++;
    return node;
  }

  // The hashes of the new branches, from below: those of one level do not need each other.
  void hash_branches() {
    for (auto& level : levels_) {
      Blake2bMany hashes("octra.st.node");
      for (Node* node : level) {
        u8* message = hashes.room();
        put_branch(node->bit, node->left->hash, node->right->hash, message);
        hashes.add(message, BRANCH_MESSAGE, node->hash);
        node->pending = 0;
      }
    }
  }

  // First of the sorted changes whose path has this bit set.
  template <typename Item>
  static int first_high(const std::vector<Item>& sorted, int start, int end, int bit) {
    while (start < end) {
      const int middle = (start + end) / 2;
      if (bit_of(sorted[middle].path, bit)) end = middle;
      else start = middle + 1;
    }
    return start;
  }

  void walk(Node* node, int start, int end, std::size_t limit) {
    if (start == end || !node || node->bit == LEAF || missing_.size() == limit) return;
    if (!node->loaded) {
      missing_.push_back(node);
      return;
    }
    const int shared =
        std::min(common_bits(writes_[start].path, node->path), common_bits(writes_[end - 1].path, node->path));
    const int bit = std::min<int>(node->bit, shared), cut = first_high(writes_, start, end, bit);
    if (bit == node->bit) {
      walk(node->left, start, cut, limit);
      walk(node->right, cut, end, limit);
    } else if (bit_of(node->path, bit)) {
      walk(node, cut, end, limit);
    } else {
      walk(node, start, cut, limit);
    }
  }

  // Brings what `merge` will visit into the processor's memory: all branches of a level are waited for together.
  void warm(Node* root) {
    struct Visit {
      Node* node;
      int start, end;
    };
    std::vector<Visit> level{{root, 0, static_cast<int>(writes_.size())}}, below;
    for (; !level.empty(); level.swap(below), below.clear()) {
      for (const Visit& at : level) {
        if (!at.node || at.node->bit == LEAF || !at.node->loaded) continue;
        prefetch(at.node->left), prefetch(at.node->right);
        const int cut = first_high(writes_, at.start, at.end, at.node->bit);
        if (at.start < cut) below.push_back({at.node->left, at.start, cut});
        if (cut < at.end) below.push_back({at.node->right, cut, at.end});
      }
    }
  }

  // The subtree after the changes `start:end`; the same node when nothing changed, null when nothing is left.
  Node* merge(Node* node, const std::vector<Change>& changes, int start, int end) {
    if (start == end) return node;
    if (!node) return build(changes, start, end);
    if (node->bit == LEAF) return merge_leaf(node, changes, start, end);
    if (!node->loaded) {
      failed_ = true;
      return node;
    }
    return merge_branch(node, changes, start, end);
  }

  Node* merge_leaf(Node* leaf, const std::vector<Change>& changes, int start, int end) {
    if (end - start == 1 && !std::memcmp(leaf->path, changes[start].path, HASH)) {  // as nearly always
      const Change& change = changes[start];
      if (change.action == Action::set && !std::memcmp(change.leaf_hash, leaf->hash, HASH)) return leaf;
      kill(leaf, false);
      return build(changes, start, end);
    }
    std::vector<Change> all;
    all.reserve(static_cast<std::size_t>(end - start) + 1);
    const Change kept{leaf->path, Action::keep, nullptr, leaf};
    bool placed = false;
    for (int i = start; i < end; i++) {
      const int order = placed ? 1 : std::memcmp(leaf->path, changes[i].path, HASH);
      if (order < 0) all.push_back(kept);
      all.push_back(changes[i]);
      if (order == 0) {
        if (changes[i].action == Action::set && !std::memcmp(changes[i].leaf_hash, leaf->hash, HASH))
          all.back() = kept;
        else
          kill(leaf, false);
      }
      placed |= order <= 0;
    }
    if (!placed) all.push_back(kept);
    return build(all, 0, static_cast<int>(all.size()));
  }

  Node* merge_branch(Node* branch, const std::vector<Change>& changes, int start, int end) {
    // The slice is sorted, so its ends bound how early any of its paths leaves the subtree.
    const int shared =
        std::min(common_bits(changes[start].path, branch->path), common_bits(changes[end - 1].path, branch->path));
    const int bit = std::min<int>(branch->bit, shared), cut = first_high(changes, start, end, bit);
    if (bit == branch->bit) {
      Node* left = merge(branch->left, changes, start, cut);
      Node* right = merge(branch->right, changes, cut, end);
      if (left == branch->left && right == branch->right) return branch;
      kill(branch, left && right);
      return join(bit, branch->path, left, right, branch->stored);
    }
    if (bit_of(branch->path, bit)) {
      Node* left = build(changes, start, cut);
      return join(bit, branch->path, left, merge(branch, changes, cut, end), false);
    }
    Node* left = merge(branch, changes, start, cut);
    return join(bit, branch->path, left, build(changes, cut, end), false);
  }

  // A subtree of the slice alone.
  Node* build(const std::vector<Change>& changes, int start, int end) {
    if (start == end) return nullptr;
    const Change& first = changes[start];
    if (end - start == 1) {
      if (first.action == Action::remove) return nullptr;
      return first.action == Action::keep ? first.kept : add_leaf(first.path, first.leaf_hash);
    }
    const int bit = common_bits(first.path, changes[end - 1].path), cut = first_high(changes, start, end, bit);
    Node* left = build(changes, start, cut);
    return join(bit, first.path, left, build(changes, cut, end), false);
  }

  Node* join(int bit, const u8* path, Node* left, Node* right, bool stored) {
    if (!left) return right;
    if (!right) return left;
    return add_branch(bit, path, left, right, stored);
  }

  std::size_t nodes_max_, sweep_flushes_;
  std::size_t flushes_ = 0;  // since the last sweep
  Pool pool_;
  std::map<std::string, Tree> trees_;
  Named* at_ = nullptr;
  std::vector<Named*> pending_;   // touched by the commit
  std::vector<Node*> added_, dead_;  // by the commit
  std::vector<std::vector<Node*>> levels_;  // new branches of one update, by `pending` - 1
  std::vector<std::string> gone_;    // keys of rows that have to go, since the last flush
  std::size_t gone_published_ = 0, changed_ = 0;
  std::size_t more_changed_ = 0;  // by the commit; may be negative, modulo 2^64
  std::vector<Write> writes_;  // of the selected tree, sorted by path
  std::vector<Node*> missing_;
  bool failed_ = false;
  std::string keys_, rows_, roots_;  // of a flush
  std::vector<u32> key_sizes_;
  std::size_t gone_count_ = 0;
};

Trees& of(void* handle) { return *static_cast<Trees*>(handle); }

std::string name_of(const u8* tree) { return {reinterpret_cast<const char*>(tree), HASH}; }

}  // namespace

OCTRA_EXPORT void* octra_trees_new(u64 nodes_max, u64 sweep_flushes) { return new Trees(nodes_max, sweep_flushes); }

OCTRA_EXPORT void octra_trees_free(void* handle) { delete static_cast<Trees*>(handle); }

// How many nodes are in memory.
OCTRA_EXPORT u64 octra_trees_live(void* handle) { return of(handle).live(); }

OCTRA_EXPORT void octra_trees_begin(void* handle) { of(handle).begin(); }

OCTRA_EXPORT int octra_trees_select(void* handle, const u8* tree) { return of(handle).select(name_of(tree)); }

// The root row of a tree as it is on disk, null for an empty tree. 0 if it is no root.
OCTRA_EXPORT int octra_trees_put_root(void* handle, const u8* tree, const u8* row, int size) {
  return (!row || size == LINK_ROW) && of(handle).put_root(name_of(tree), row);
}

// Take the writes of the selected tree: joined keys and values with the size of each; `present`: 0 removes the key.
OCTRA_EXPORT void octra_trees_hold(void* handle, int circle, int count, const u8* keys, const u32* key_sizes,
                                   const u8* values, const u32* value_sizes, const u8* present) {
  of(handle).take(writes_of(circle, {count, keys, values, present, key_sizes, value_sizes}));
}

// How many branches have to be fed before `octra_trees_update` succeeds, at most `limit` at a time.
OCTRA_EXPORT int octra_trees_missing(void* handle, int limit) {
  return static_cast<int>(of(handle).missing(static_cast<std::size_t>(limit)).size());
}

// The keys of the first `count` missing branches, joined, with the size of each; at most 65 bytes for one.
OCTRA_EXPORT void octra_trees_wanted_keys(void* handle, int count, u8* keys, u32* sizes) {
  for (int i = 0; i < count; keys += sizes[i++]) {
    const std::string key = of(handle).missing_key(static_cast<std::size_t>(i));
    std::memcpy(keys, key.data(), key.size());
    sizes[i] = static_cast<u32>(key.size());
  }
}

// The joined rows of the first `count` missing branches. 0 if one is none, or another one.
OCTRA_EXPORT int octra_trees_feed(void* handle, int count, const u8* rows) {
  for (int i = 0; i < count; i++)
    if (!of(handle).feed(static_cast<std::size_t>(i), rows + static_cast<std::size_t>(i) * BRANCH_ROW)) return 0;
  return 1;
}

// Apply what was taken. 0 if a branch is missing: then nothing happened.
OCTRA_EXPORT int octra_trees_update(void* handle) { return of(handle).update(); }

// Root of the selected tree, in the commit that is being made; 0 for an empty tree.
OCTRA_EXPORT int octra_trees_root(void* handle, u8* out) {
  const Node* root = of(handle).current();
  if (root) std::memcpy(out, root->hash, HASH);
  return root != nullptr;
}

// The way to a path: branch bits, the hashes not taken, path and hash of the leaf at the end. Answers the number of
// branches, -1 for an empty tree, -2 if one is missing: then it is the first of the missing ones.
OCTRA_EXPORT int octra_trees_prove(void* handle, const u8* path, u8* bits, u8* siblings, u8* leaf) {
  std::vector<const Node*> branches;
  const Node* end = nullptr;
  if (!of(handle).way(path, branches, end)) return -2;
  if (!end) return -1;
  for (const Node* branch : branches) {
    *bits++ = static_cast<u8>(branch->bit);
    std::memcpy(siblings, (bit_of(path, branch->bit) ? branch->left : branch->right)->hash, HASH);
    siblings += HASH;
  }
  std::memcpy(leaf, end->path, HASH);
  std::memcpy(leaf + HASH, end->hash, HASH);
  return static_cast<int>(branches.size());
}

OCTRA_EXPORT u64 octra_trees_changed(void* handle) { return of(handle).changed(); }

// Make the rows of a flush. `sizes` gets: keys, of them to delete (they come first), bytes of all keys, bytes of roots.
OCTRA_EXPORT void octra_trees_make_rows(void* handle, u64* sizes) {
  Trees& trees = of(handle);
  trees.make_rows();
  sizes[0] = trees.key_sizes().size(), sizes[1] = trees.gone_count();
  sizes[2] = trees.keys().size(), sizes[3] = trees.roots().size();
}

// The rows just made: joined keys with the size of each, the joined rows of those that are not deleted, and the roots:
// name of the tree, 0 or 1, link.
OCTRA_EXPORT void octra_trees_take_rows(void* handle, u8* keys, u32* key_sizes, u8* rows, u8* roots) {
  const Trees& trees = of(handle);
  std::memcpy(keys, trees.keys().data(), trees.keys().size());
  std::memcpy(key_sizes, trees.key_sizes().data(), 4 * trees.key_sizes().size());
  std::memcpy(rows, trees.rows().data(), trees.rows().size());
  std::memcpy(roots, trees.roots().data(), trees.roots().size());
}

OCTRA_EXPORT void octra_trees_publish(void* handle, int flushed) { of(handle).publish(flushed); }

// --- the index of transactions ---

// Rows of `count` transactions of a height, sorted by key: id -> height, index, status; and for each of the accounts
// (32 bytes each, `counts` of every transaction) address, all heights less this one -> index and id of each of them.
// Answers how many accounts there are; `account_sizes` gets the bytes of each one's value.
OCTRA_EXPORT u64 octra_index_rows(u64 height, u64 count, const u8* ids, const u32* indices, const u8* statuses,
                                  const u8* accounts, const u32* counts, u8* keys, u8* values, u8* account_keys,
                                  u8* account_values, u32* account_sizes) {
  std::size_t concerned = 0;
  for (u64 i = 0; i < count; i++) concerned += counts[i];
  octra::SortedRows places(count, 32, 13), histories(concerned, 36, 32);
  std::size_t at = 0;
  for (u64 i = 0; i < count; i++, ids += 32) {
    std::memcpy(places.key(i), ids, 32);
    octra::put_big(height, 8, places.value(i));
    octra::put_big(indices[i], 4, places.value(i) + 8);
    places.value(i)[12] = statuses[i];
    for (u32 account = 0; account < counts[i]; account++, at++, accounts += 32) {
      std::memcpy(histories.key(at), accounts, 32);
      octra::put_big(indices[i], 4, histories.key(at) + 32);
      std::memcpy(histories.value(at), ids, 32);
    }
  }
  places.in_order([&](const u8* key, const u8* value) {
    std::memcpy(keys, key, 32), keys += 32;
    std::memcpy(values, value, 13), values += 13;
  });
  u64 found = 0;
  const u8* last = nullptr;
  histories.in_order([&](const u8* key, const u8* id) {
    if (!last || std::memcmp(last, key, 32) != 0) {
      std::memcpy(account_keys, key, 32);
      octra::put_big(~height, 8, account_keys + 32);
      account_keys += 40, account_sizes[found++] = 0;
    }
    last = key;
    std::memcpy(account_values, key + 32, 4);
    std::memcpy(account_values + 4, id, 32);
    account_values += 36, account_sizes[found - 1] += 36;
  });
  return found;
}
