"""The trees of the newest height over an older one on disk: the reference that a faster one must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from octra.consensus.statetree import EMPTY_TREE, bit_of, hash_branch, hash_leaf
from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family, ReadView
from octra.storage.tree.nodes import (
    LEAF_BIT,
    Children,
    Link,
    decode_children,
    encode_children,
    encode_link,
    find_root,
    position,
)
from octra.storage.tree.path import common_bits, first_high, rules_of

Writes = Mapping[bytes, bytes | None]  # None: the key goes


class Way(NamedTuple):
    """From a root to the leaf where a path ends; the leaf may be another one's."""

    bits: bytes  # branch bits from the root down
    siblings: bytes  # the hash not taken, for each bit
    path: bytes
    hash: bytes


class Trees(Protocol):
    """All trees as the newest commit left them. The disk may hold those of an older height: `rows` brings it up.

    One commit: `begin`, `apply` for each tree, perhaps `rows`, and `publish` after the write. Here in Python, in
    `native` compiled. For one thread.
    """

    def begin(self) -> None:
        """Start a commit; an earlier one that was not published is forgotten."""
        ...

    def apply(self, tree: bytes, writes: Writes) -> bytes:
        """The root hash of a tree after setting, or with None removing, these keys. Once for each tree of a commit."""
        ...

    def root(self, tree: bytes) -> bytes:
        """The root hash, of the commit that is being made."""
        ...

    def prove(self, tree: bytes, path: bytes) -> Way | None:
        """The way to a path; `None` for an empty tree."""
        ...

    @property
    def changed(self) -> int:
        """How many branches, published ones, have another row on disk or none."""
        ...

    def rows(self, batch: Batch) -> None:
        """Put in all that the disk does not hold yet, the commit that is being made included."""
        ...

    def publish(self, *, flushed: bool) -> None:
        """The commit's batch is written; `flushed` when `rows` were part of it."""
        ...


class MergeTrees:
    """The reference: what differs from the disk, in dictionaries."""

    def __init__(self, view: ReadView) -> None:
        self._view = view
        # By position, `None` for a branch that is gone; and roots by tree. Published ones, and those of this commit.
        self._branches: dict[bytes, Children | None] = {}
        self._roots: dict[bytes, Link | None] = {}
        self._new_branches: dict[bytes, Children | None] = {}
        self._new_roots: dict[bytes, Link | None] = {}

    def begin(self) -> None:
        """Start a commit; an earlier one that was not published is forgotten."""
        self._new_branches.clear()
        self._new_roots.clear()

    def apply(self, tree: bytes, writes: Writes) -> bytes:
        """The root hash of a tree after setting, or with None removing, these keys. Once for each tree of a commit."""
        assert tree not in self._new_roots
        rules = rules_of(tree)
        changes: dict[bytes, Link | None] = {}
        for key, value in writes.items():
            path = rules.path(key)
            hashed = None if value is None else hash_leaf(path, rules.value_hash(key, value))
            changes[path] = None if hashed is None else Link(LEAF_BIT, path, hashed)
        paths = sorted(changes)
        root = _Merge(self, tree, paths, [changes[path] for path in paths]).merge(self._root(tree), 0, len(paths))
        self._new_roots[tree] = root
        return self.root(tree)

    def root(self, tree: bytes) -> bytes:
        """The root hash, of the commit that is being made."""
        link = self._root(tree)
        return EMPTY_TREE if link is None else link.hash

    def prove(self, tree: bytes, path: bytes) -> Way | None:
        """The way to a path; `None` for an empty tree."""
        link = self._root(tree)
        bits, siblings = bytearray(), bytearray()
        while link is not None and link.bit < LEAF_BIT:
            left, right = self.load(tree, link)
            bits.append(link.bit)
            taken, other = (right, left) if bit_of(path, link.bit) else (left, right)
            siblings += other.hash
            link = taken
        return None if link is None else Way(bytes(bits), bytes(siblings), link.path, link.hash)

    @property
    def changed(self) -> int:
        """How many branches, published ones, have another row on disk or none."""
        return len(self._branches)

    def rows(self, batch: Batch) -> None:
        """Put in all that the disk does not hold yet, the commit that is being made included."""
        for key, children in (self._branches | self._new_branches).items():
            if children is None:
                batch.delete(Family.NODE, key)
            else:
                batch.put(Family.NODE, key, encode_children(children))
        for tree, link in (self._roots | self._new_roots).items():
            if link is None:
                batch.delete(Family.ROOT, tree)
            else:
                batch.put(Family.ROOT, tree, encode_link(link))

    def publish(self, *, flushed: bool) -> None:
        """The commit's batch is written; `flushed` when `rows` were part of it."""
        self._branches |= self._new_branches
        self._roots |= self._new_roots
        self.begin()
        if flushed:
            self._branches.clear()
            self._roots.clear()

    def load(self, tree: bytes, link: Link) -> Children:
        """The children of a branch."""
        key = position(tree, link)
        if (children := self._new_branches.get(key)) and _hash(link, children) == link.hash:
            return children
        if children := self._branches.get(key):
            return children
        row = self._view.get(Family.NODE, key)
        if row is None:
            raise CorruptStore("a tree node is missing")
        return decode_children(row, link)

    def put(self, tree: bytes, link: Link, children: Children | None) -> None:
        """A branch has these children from now on, or is gone."""
        self._new_branches[position(tree, link)] = children

    def _root(self, tree: bytes) -> Link | None:
        for roots in (self._new_roots, self._roots):
            if tree in roots:
                return roots[tree]
        return find_root(self._view, tree)


def _hash(link: Link, children: Children) -> bytes:
    return hash_branch(link.bit, children[0].hash, children[1].hash)


class _Merge:
    """One batch of changes, sorted by path. A slice `start:end` of it goes down each subtree."""

    def __init__(self, trees: MergeTrees, tree: bytes, paths: Sequence[bytes], changes: Sequence[Link | None]) -> None:
        self._trees, self._tree, self._paths, self._changes = trees, tree, paths, changes

    def merge(self, link: Link | None, start: int, end: int) -> Link | None:
        """The subtree `link` after the changes of the slice; the same object when nothing changed."""
        if start == end:
            return link
        if link is None:
            return self.build(start, end)
        if link.bit == LEAF_BIT:
            return self._merge_leaf(link, start, end)
        return self._merge_branch(link, start, end)

    def _merge_leaf(self, leaf: Link, start: int, end: int) -> Link | None:
        paths, changes = list(self._paths[start:end]), list(self._changes[start:end])
        for index, path in enumerate(paths):
            if path == leaf.path:
                if changes[index] == leaf:
                    changes[index] = leaf  # the same object: its parents stay
                break
            if path > leaf.path:
                paths.insert(index, leaf.path)
                changes.insert(index, leaf)
                break
        else:
            paths.append(leaf.path)
            changes.append(leaf)
        return _Merge(self._trees, self._tree, paths, changes).build(0, len(paths))

    def _merge_branch(self, link: Link, start: int, end: int) -> Link | None:
        # The slice is sorted, so its ends bound how early any of its paths leaves the subtree.
        first, last = self._paths[start], self._paths[end - 1]
        bit = min(link.bit, common_bits(first, link.path), common_bits(last, link.path))
        cut = first_high(self._paths, start, end, bit)
        if bit == link.bit:
            before = self._trees.load(self._tree, link)
            left = self.merge(before[0], start, cut)
            right = self.merge(before[1], cut, end)
            if left is before[0] and right is before[1]:
                return link
            if left is None or right is None:
                self._trees.put(self._tree, link, None)
        elif bit_of(link.path, bit):
            left, right = self.build(start, cut), self.merge(link, cut, end)
        else:
            left, right = self.merge(link, start, cut), self.build(cut, end)
        return self._join(bit, link.path, left, right)

    def build(self, start: int, end: int) -> Link | None:
        """A subtree of the slice alone."""
        if start == end:
            return None
        if end - start == 1:
            return self._changes[start]
        bit = common_bits(self._paths[start], self._paths[end - 1])
        cut = first_high(self._paths, start, end, bit)
        return self._join(bit, self._paths[start], self.build(start, cut), self.build(cut, end))

    def _join(self, bit: int, path: bytes, left: Link | None, right: Link | None) -> Link | None:
        if left is None:
            return right
        if right is None:
            return left
        link = Link(bit, path, hash_branch(bit, left.hash, right.hash))
        self._trees.put(self._tree, link, (left, right))
        return link
