"""Rows of the trees on disk: one for each branch, found by where the branch stands, and one for each root.

A branch is stored under the tree's name, its bit, and the bits of its path that all paths below share. So a newer
branch at the same place takes the row of the older one. The hash that its parent holds proves the row.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from octra.consensus.statetree import PATH_BITS, hash_branch
from octra.storage.errors import CorruptStore
from octra.storage.kv import Family, ReadView

LEAF_BIT: Final = PATH_BITS  # in place of the bit of a branch
LINK_SIZE: Final = 66  # bytes of a root row; the row of a branch has two


class Link(Struct, frozen=True, gc=False):
    """A subtree as its parent knows it: where it stands, and its hash."""

    bit: int  # of a branch, the first in which the paths below differ; of a leaf `LEAF_BIT`
    path: bytes  # leaf: its own; branch: any below tells the common prefix
    hash: bytes


Children = tuple[Link, Link]


def position(tree: bytes, link: Link) -> bytes:
    """The key of a branch's row."""
    size, rest = divmod(link.bit, 8)
    prefix = link.path[:size]
    if rest:
        prefix += bytes([link.path[size] & 0xFF00 >> rest & 0xFF])
    return tree + bytes([link.bit]) + prefix


def encode_link(link: Link) -> bytes:
    """Two bytes of bit, path, hash."""
    return link.bit.to_bytes(2, "big") + link.path + link.hash


def decode_link(row: bytes) -> Link:
    """The link of a root row; `CorruptStore` when it is none."""
    bit = int.from_bytes(row[:2], "big")
    if len(row) != LINK_SIZE or bit > LEAF_BIT:
        raise CorruptStore("the root of a tree does not decode")
    return Link(bit, row[2:34], row[34:])


def encode_children(children: Children) -> bytes:
    """The row of a branch."""
    return encode_link(children[0]) + encode_link(children[1])


def decode_children(row: bytes, link: Link) -> Children:
    """The children of a branch; `CorruptStore` when the row is not the one whose hash the parent holds."""
    if len(row) != 2 * LINK_SIZE:
        raise CorruptStore("a tree node does not decode")
    left, right = decode_link(row[:LINK_SIZE]), decode_link(row[LINK_SIZE:])
    if hash_branch(link.bit, left.hash, right.hash) != link.hash:
        raise CorruptStore("a tree node is not the one that its parent names")
    return left, right


def find_root(view: ReadView, tree: bytes) -> Link | None:
    """The root of a tree at the height that the disk has all trees of; `None` when it is empty."""
    row = view.get(Family.ROOT, tree)
    return None if row is None else decode_link(row)
