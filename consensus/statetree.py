"""Hashes and proofs of the state tree: all that a light node or a rule needs, without any storage.

A binary sparse Merkle tree over 256-bit paths, compressed to its branching points: n leaves, n-1 branches. Its shape
depends on the set of keys alone, so any order and batching of the same updates gives the same root.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import NewType

from msgspec import Struct

from octra.crypto.hash import HASH_SIZE, H

Path = NewType("Path", bytes)  # 32 bytes: the place of a key in the tree

EMPTY_TREE = bytes(HASH_SIZE)
PATH_BITS = 256

PRESENT, OTHER_LEAF, EMPTY = 0, 1, 2  # TreeProof.kind

_LEAF = b"octra.st.leaf"
_NODE = b"octra.st.node"
_BIT_BYTES = tuple(bit.to_bytes(2, "big") for bit in range(PATH_BITS))


class TreeProof(Struct, array_like=True, frozen=True):
    """Why a key has a value under a root, or why it has none."""

    kind: int  # PRESENT; OTHER_LEAF: another leaf stands in its place; EMPTY: the tree is empty
    bits: bytes  # branch bits from the root down, one byte each, strictly increasing
    siblings: bytes  # 32 bytes for each bit, in the same order
    other: bytes = b""  # OTHER_LEAF: path and value hash of the leaf that was found


def path_of(key: bytes) -> Path:
    """Place of a key of the global state."""
    return Path(H("octra.st.key", key))


def value_hash(value: bytes) -> bytes:
    """What a leaf of the global state commits to."""
    return H("octra.st.value", value)


def circle_path_of(key: bytes) -> Path:
    """Place of a Circle's own key in its tree."""
    return Path(H("octra.c.key", key))


def circle_value_hash(key: bytes, value: bytes) -> bytes:
    """What a leaf of a Circle's tree commits to: the raw key too, so that a leaf tells which key it is."""
    return H("octra.c.val", len(key).to_bytes(4, "big"), key, value)


def hash_leaf(path: bytes, hash_of_value: bytes) -> bytes:
    """Hash of a leaf."""
    return blake2b(path + hash_of_value, digest_size=HASH_SIZE, person=_LEAF).digest()


def hash_branch(bit: int, left: bytes, right: bytes) -> bytes:
    """Hash of a branch; `bit` (0 is the top bit of byte 0) is the first at which the paths below differ."""
    return blake2b(_BIT_BYTES[bit] + left + right, digest_size=HASH_SIZE, person=_NODE).digest()


def bit_of(path: bytes, bit: int) -> int:
    """The bit of a path, counted from the most significant bit of byte 0."""
    return path[bit >> 3] >> (7 - (bit & 7)) & 1


def verify_key(root: bytes, key: bytes, value: bytes | None, proof: TreeProof) -> bool:
    """True when the global tree under `root` holds exactly `value` at `key`; `None` claims that the key is absent."""
    return verify_proof(root, path_of(key), None if value is None else value_hash(value), proof)


def verify_circle_key(root: bytes, key: bytes, value: bytes | None, proof: TreeProof) -> bool:
    """The same for a Circle's tree, whose root stands in the Circle's record."""
    return verify_proof(root, circle_path_of(key), None if value is None else circle_value_hash(key, value), proof)


def verify_proof(root: bytes, path: bytes, hash_of_value: bytes | None, proof: TreeProof) -> bool:
    """True when `proof` shows that the leaf at `path` has this value hash, or with `None` that there is no leaf.

    Exclusion is sound because a path in the tree would itself be the end of the walk that the proof describes.
    """
    bits, siblings, other = proof.bits, proof.siblings, proof.other
    if len(path) != HASH_SIZE or len(siblings) != HASH_SIZE * len(bits):
        return False
    if any(low >= high for low, high in pairwise(bits)):  # a byte is below 256 by itself
        return False
    if proof.kind == EMPTY:
        return hash_of_value is None and root == EMPTY_TREE and not (bits or siblings or other)
    if proof.kind == PRESENT:
        if hash_of_value is None or other:
            return False
        node = hash_leaf(path, hash_of_value)
    elif proof.kind == OTHER_LEAF:
        if hash_of_value is not None or len(other) != 2 * HASH_SIZE or other[:HASH_SIZE] == path:
            return False
        if any(bit_of(path, bit) != bit_of(other, bit) for bit in bits):
            return False
        node = hash_leaf(other[:HASH_SIZE], other[HASH_SIZE:])
    else:
        return False
    for level in range(len(bits) - 1, -1, -1):
        sibling, bit = siblings[HASH_SIZE * level : HASH_SIZE * (level + 1)], bits[level]
        node = hash_branch(bit, sibling, node) if bit_of(path, bit) else hash_branch(bit, node, sibling)
    return node == root
