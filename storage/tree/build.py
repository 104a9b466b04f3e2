"""A whole tree at once, from leaves in the order of their paths: as many links in memory as it has levels."""

from __future__ import annotations

from collections.abc import Callable

from octra.consensus.statetree import hash_branch
from octra.storage.tree.nodes import LEAF_BIT, Children, Link
from octra.storage.tree.path import common_bits


class TreeBuilder:
    """Gives every branch to `put` once, children before their parents."""

    def __init__(self, put: Callable[[Link, Children], None]) -> None:
        self._put = put
        self._left: list[tuple[int, Link]] = []  # left subtrees without their right ones, by ascending branch bit
        self._link: Link | None = None  # the subtree that the newest leaf ends
        self._path = b""

    def push(self, path: bytes, leaf_hash: bytes) -> None:
        """The next leaf: its path is above all before it."""
        if self._link is not None:
            assert path > self._path, "leaves come in the order of their paths"
            bit = common_bits(self._path, path)
            self._join(bit)
            self._left.append((bit, self._link))
        self._path, self._link = path, Link(LEAF_BIT, path, leaf_hash)

    def finish(self) -> Link | None:
        """The root; None without leaves."""
        self._join(-1)
        return self._link

    def _join(self, above: int) -> None:
        """Close every subtree that branches below bit `above`: no later leaf belongs to it."""
        while self._left and self._left[-1][0] > above:
            bit, left = self._left.pop()
            right = self._link
            assert right is not None
            self._link = Link(bit, self._path, hash_branch(bit, left.hash, right.hash))
            self._put(self._link, (left, right))
