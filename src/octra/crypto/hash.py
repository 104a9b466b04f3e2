"""`H(tag, ...)`, the internal hash, and the binary Merkle tree built from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

HASH_SIZE = 32
EMPTY_ROOT = bytes(HASH_SIZE)


def H(tag: str, *parts: bytes) -> bytes:  # noqa: N802 - the name on every page of the specification
    """BLAKE2b-256 of the joined `parts`, with `tag` (16 ASCII bytes at most) in the `person` field.

    Parts are joined without lengths: a caller that hashes two variable parts must delimit them himself.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return blake2b(data, digest_size=HASH_SIZE, person=_person(tag)).digest()


@cache
def _person(tag: str) -> bytes:
    """The tag as bytes; there are a few dozen tags."""
    return tag.encode("ascii")


def tag16(tag: str) -> bytes:
    """The tag as it stands before signed bytes: ASCII, padded with zeros to 16 bytes."""
    raw = tag.encode("ascii")
    assert len(raw) <= 16, tag
    return raw.ljust(16, b"\0")


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root over raw leaf contents; split at the largest power of two below the count; empty is 32 zero bytes."""
    if not leaves:
        return EMPTY_ROOT
    level = _leaf_hashes(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def _leaf_hashes(leaves: Sequence[bytes]) -> list[bytes]:
    person = _person("octra.leaf")
    return [blake2b(leaf, digest_size=HASH_SIZE, person=person).digest() for leaf in leaves]


def _above(level: Sequence[bytes]) -> list[bytes]:
    """The next level. To pair neighbours and promote an odd last node gives the tree of the power-of-two split."""
    person = _person("octra.node")
    pairs = zip(level[::2], level[1::2], strict=False)
    found = [blake2b(left + right, digest_size=HASH_SIZE, person=person).digest() for left, right in pairs]
    return found if len(level) % 2 == 0 else [*found, level[-1]]


def merkle_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Sibling hashes from leaf `index` to the root; levels where the node is promoted have no sibling."""
    assert 0 <= index < len(leaves)
    level = _leaf_hashes(leaves)
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _above(level), index // 2
    return tuple(path)


def merkle_verify(root: bytes, leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """True when `leaf` stands at `index` among `count` leaves under `root`; uses every hash of `path` exactly once."""
    if not 0 <= index < count:
        return False
    node, steps = H("octra.leaf", leaf), iter(path)
    while count > 1:
        sibling = index ^ 1
        if sibling < count:
            other = next(steps, None)
            if other is None or len(other) != HASH_SIZE:
                return False
            node = H("octra.node", other, node) if index % 2 else H("octra.node", node, other)
        index, count = index // 2, (count + 1) // 2
    return next(steps, None) is None and node == root
