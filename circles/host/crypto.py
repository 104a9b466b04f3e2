"""Hashes and signatures that would be slow in wasm."""

from __future__ import annotations

from hashlib import blake2b, sha3_256, sha256

from octra.circles.host.call import Call
from octra.circles.state import BAD_ARGUMENT
from octra.crypto.ed25519 import KEY_SIZE, SIGNATURE_SIZE, verify

_HASH_BYTE_GAS, _VERIFY_GAS, _VERIFY_BYTE_GAS = 3, 40_000, 3


def hash_(call: Call, algorithm: int, start: int, size: int, out: int) -> int:
    """32 bytes: 0 SHA-256, 1 BLAKE2b-256, 2 SHA3-256."""
    data = call.read(start, size, per_byte=_HASH_BYTE_GAS)
    assert data is not None
    match algorithm:
        case 0:
            digest = sha256(data).digest()
        case 1:
            digest = blake2b(data, digest_size=32).digest()
        case 2:
            digest = sha3_256(data).digest()
        case _:
            return BAD_ARGUMENT
    return call.answer(digest, out, len(digest))


def ed25519_verify(call: Call, key: int, signature: int, message: int, size: int) -> int:
    """1 when the signature holds under ZIP-215, else 0."""
    content = call.read(message, size, extra=_VERIFY_GAS, per_byte=_VERIFY_BYTE_GAS)
    public_key, proof = call.read(key, KEY_SIZE), call.read(signature, SIGNATURE_SIZE)
    assert content is not None
    assert public_key is not None
    assert proof is not None
    return int(verify(public_key, proof, content))
