"""Bit arithmetic on 256-bit paths, and the two ways in which a tree hashes its keys and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from octra.consensus.statetree import (
    PATH_BITS,
    Path,
    bit_of,
    circle_path_of,
    circle_value_hash,
    path_of,
    value_hash,
)
from octra.crypto.hash import H

GLOBAL_TREE: Final = bytes(32)  # a storage key, never hashed into a root
CIRCLE_KEYS, CIRCLE_ACL = 0, 1  # which of a Circle's trees


class TreeRules(NamedTuple):
    """How a tree turns keys and values into hashes; the tree itself only sees paths and value hashes."""

    path: Callable[[bytes], Path]
    value_hash: Callable[[bytes, bytes], bytes]  # of (key, value)


GLOBAL_RULES: Final = TreeRules(path_of, lambda key, value: value_hash(value))
CIRCLE_RULES: Final = TreeRules(circle_path_of, circle_value_hash)


def circle_tree(circle: bytes, which: int = CIRCLE_KEYS) -> bytes:
    """Local name of one of a Circle's trees. `circle` is the 33-byte id."""
    return H("octra.st.tree", circle, bytes([which]))


def rules_of(tree: bytes) -> TreeRules:
    """The hashing rules of a tree by its local name."""
    return GLOBAL_RULES if tree == GLOBAL_TREE else CIRCLE_RULES


def common_bits(one: bytes, other: bytes) -> int:
    """How many leading bits two different paths share; 256 for equal ones."""
    return PATH_BITS - (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_length()


def first_high(paths: Sequence[bytes], start: int, end: int, bit: int) -> int:
    """In `paths[start:end]`, sorted and equal before `bit`: index of the first whose `bit` is 1, or `end`."""
    while start < end:
        middle = (start + end) // 2
        if bit_of(paths[middle], bit):
            end = middle
        else:
            start = middle + 1
    return start
