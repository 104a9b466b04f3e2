"""Batch update of a tree: the reference that a faster one must agree with, root for root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from octra.consensus.statetree import bit_of
from octra.storage.kv import Batch
from octra.storage.tree.nodes import Branch, Leaf, Link, NodeWriter
from octra.storage.tree.path import TreeRules, common_bits, first_high


class _Kept(NamedTuple):
    """A leaf that is in the tree already and only gets a new place in it."""

    path: bytes
    link: Link


_Change = Leaf | _Kept | None  # None: the key goes


class TreeWriter(Protocol):
    """Updates trees in one commit and collects the rows; here in Python, in `native` compiled."""

    version: int

    def apply(self, root: Link | None, rules: TreeRules, writes: Mapping[bytes, bytes | None]) -> Link | None:
        """The root after setting, or with None removing, these keys."""
        ...

    def write_rows(self, batch: Batch) -> None:
        """Put the new and stale rows into the commit's batch."""
        ...

    def publish(self) -> None:
        """The batch is written: later commits may use its nodes."""
        ...


class MergeWriter(NodeWriter):
    """The reference."""

    def apply(self, root: Link | None, rules: TreeRules, writes: Mapping[bytes, bytes | None]) -> Link | None:
        """The root after setting, or with None removing, these keys."""
        changes: dict[bytes, Leaf | None] = {}
        for key, value in writes.items():
            path = rules.path(key)
            changes[path] = None if value is None else Leaf(path, rules.value_hash(key, value), key, value)
        paths = sorted(changes)
        return _Merge(self, paths, [changes[path] for path in paths]).merge(root, 0, len(paths))


class _Merge:
    """One batch of changes, sorted by path. A slice `start:end` of it goes down each subtree."""

    def __init__(self, writer: NodeWriter, paths: Sequence[bytes], changes: Sequence[_Change]) -> None:
        self._writer, self._paths, self._changes = writer, paths, changes

    def merge(self, link: Link | None, start: int, end: int) -> Link | None:
        """The subtree `link` after the changes of the slice; the same object when nothing changed."""
        if start == end:
            return link
        if link is None:
            return self.build(start, end)
        node = self._writer.load(link)
        if isinstance(node, Leaf):
            return self._merge_leaf(link, node, start, end)
        return self._merge_branch(link, node, start, end)

    def _merge_leaf(self, link: Link, leaf: Leaf, start: int, end: int) -> Link | None:
        paths, changes = list(self._paths[start:end]), list(self._changes[start:end])
        for index, path in enumerate(paths):
            if path == leaf.path:
                change = changes[index]
                if isinstance(change, Leaf) and change.value_hash == leaf.value_hash:
                    changes[index] = _Kept(path, link)
                else:
                    self._writer.kill(link)
                break
            if path > leaf.path:
                paths.insert(index, leaf.path)
                changes.insert(index, _Kept(leaf.path, link))
                break
        else:
            paths.append(leaf.path)
            changes.append(_Kept(leaf.path, link))
        return _Merge(self._writer, paths, changes).build(0, len(paths))

    def _merge_branch(self, link: Link, node: Branch, start: int, end: int) -> Link | None:
        # The slice is sorted, so its ends bound how early any of its paths leaves the subtree.
        first, last = self._paths[start], self._paths[end - 1]
        bit = min(node.bit, common_bits(first, node.path), common_bits(last, node.path))
        cut = first_high(self._paths, start, end, bit)
        if bit == node.bit:
            left = self.merge(node.left, start, cut)
            right = self.merge(node.right, cut, end)
            if left is node.left and right is node.right:
                return link
            self._writer.kill(link)
            return self._join(bit, node.path, left, right)
        if bit_of(node.path, bit):
            left, right = self.build(start, cut), self.merge(link, cut, end)
        else:
            left, right = self.merge(link, start, cut), self.build(cut, end)
        if left is None:
            return right
        if right is None:
            return left
        return self._join(bit, node.path, left, right)

    def build(self, start: int, end: int) -> Link | None:
        """A subtree of the slice alone."""
        if start == end:
            return None
        if end - start == 1:
            change = self._changes[start]
            if isinstance(change, Leaf):
                return self._writer.add(change)
            return None if change is None else change.link
        bit = common_bits(self._paths[start], self._paths[end - 1])
        cut = first_high(self._paths, start, end, bit)
        return self._join(bit, self._paths[start], self.build(start, cut), self.build(cut, end))

    def _join(self, bit: int, path: bytes, left: Link | None, right: Link | None) -> Link | None:
        if left is None:
            return right
        if right is None:
            return left
        return self._writer.add(Branch(bit, path, left, right))
