"""A whole tree at once, from leaves in the order of their paths: as many nodes in memory as it has levels."""

from __future__ import annotations

from collections.abc import Callable

from octra.storage.tree.nodes import Branch, Leaf, Link, Node
from octra.storage.tree.path import common_bits


class TreeBuilder:
    """Gives every node to `add` once, children before their parents."""

    def __init__(self, add: Callable[[Node], Link]) -> None:
        self._add = add
        self._left: list[tuple[int, Link]] = []  # left subtrees without their right ones, by ascending branch bit
        self._link: Link | None = None  # the subtree that the newest leaf ends
        self._path = b""

    def push(self, leaf: Leaf) -> None:
        """The next leaf: its path is above all before it."""
        if self._link is not None:
            assert leaf.path > self._path, "leaves come in the order of their paths"
            bit = common_bits(self._path, leaf.path)
            self._join(bit)
            self._left.append((bit, self._link))
        self._path, self._link = leaf.path, self._add(leaf)

    def finish(self) -> Link | None:
        """The root; None without leaves."""
        self._join(-1)
        return self._link

    def _join(self, above: int) -> None:
        """Close every subtree that branches below bit `above`: no later leaf belongs to it."""
        while self._left and self._left[-1][0] > above:
            bit, left = self._left.pop()
            assert self._link is not None
            self._link = self._add(Branch(bit, self._path, left, self._link))
