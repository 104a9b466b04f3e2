"""Names that the chain and the Circles share: a Circle's id, blobs, and the roots over files."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from octra.codec import encode
from octra.crypto.hash import EMPTY_ROOT, H
from octra.primitives import base58_decode, base58_encode, print_address

CIRCLE_ID_SIZE = 33  # 44 base58 digits may pass 2^256
CHUNK_SIZE = 256 * 1024


def legacy_hash(tag: str, *parts: bytes) -> bytes:
    """`S(tag, parts)` of existing tools: SHA-256 over the tag, a zero byte and each part behind its 32-bit length."""
    digest = sha256(tag.encode("ascii") + b"\0")
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def circle_id(deployer: bytes, nonce: int, payload_hash: bytes) -> bytes:
    """The 33-byte id of the Circle that `deployer` (32 bytes) creates in his transaction `nonce`.

    `payload_hash` is the package root; its hexadecimal text enters the formula, as in existing tools.
    """
    account, payload = print_address(deployer).encode("ascii"), payload_hash.hex().encode("ascii")
    digest = legacy_hash("octra:circle_deploy_id:v1", account, nonce.to_bytes(8, "big"), payload)
    digits = fit44(base58_encode(int.from_bytes(digest, "big")))
    return base58_decode(digits).to_bytes(CIRCLE_ID_SIZE, "big")


def fit44(digits: str) -> str:
    """Exactly 44 digits: cut, or repeated from the own start. (Addresses are padded instead.)"""
    assert digits
    return (digits * (44 // len(digits) + 1))[:44]


def blob_hash(data: bytes) -> bytes:
    """Name of a blob: its size and the tree over its chunks."""
    chunks = [data[start : start + CHUNK_SIZE] for start in range(0, len(data), CHUNK_SIZE)]
    root = tree_root([H("octra.c.chunk", chunk) for chunk in chunks])
    return H("octra.c.blob", len(data).to_bytes(8, "big"), root)


def file_leaf(path: str, media: str, encoding: str, blob: bytes) -> bytes:
    """Leaf of one file in a package or a site."""
    return H("octra.c.file", encode([path, media, encoding, blob]))


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes (files in the order of their path bytes); an odd node is promoted; empty is zero."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        paired = [H("octra.c.node", level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]
