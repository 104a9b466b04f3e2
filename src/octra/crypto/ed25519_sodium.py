"""Ed25519 with ZIP-215 acceptance by libsodium alone, where the compiled library is missing.

libsodium is stricter: what it accepts ZIP-215 accepts, its refusal says nothing. So a refused signature is checked
again with libsodium's group operations.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import sha512
from itertools import pairwise
from typing import Final

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError
from nacl.exceptions import RuntimeError as SodiumRuntimeError

ORDER: Final = 2**252 + 27742317777372353535851937790883648493  # of the prime subgroup
_IDENTITY: Final = (1).to_bytes(32, "little")


class SodiumEngine:
    """Verdicts one by one; sizes of keys and signatures are the caller's promise."""

    name: Final = "libsodium"

    def verify(self, key: bytes, signature: bytes, message: bytes) -> bool:
        try:
            sodium.crypto_sign_open(signature + message, key)
        except BadSignatureError:
            return _verify_slow(key, signature, message)
        return True

    def verify_many(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        return [self.verify(*item) for item in items]

    def verify_joined(self, keys: bytes, signatures: bytes, messages: bytes, offsets: array[int]) -> list[bool]:
        return [
            self.verify(keys[32 * i : 32 * i + 32], signatures[64 * i : 64 * i + 64], messages[start:end])
            for i, (start, end) in enumerate(pairwise(offsets))
        ]


def _verify_slow(key: bytes, signature: bytes, message: bytes) -> bool:
    commitment, scalar = signature[:32], signature[32:]
    if int.from_bytes(scalar, "little") >= ORDER:
        return False
    try:
        key_8, commitment_8 = _times_8(key), _times_8(commitment)
    except SodiumRuntimeError:
        return False  # not a point
    challenge = sodium.crypto_core_ed25519_scalar_reduce(sha512(commitment + key + message).digest())
    # libsodium refuses to multiply or return the identity, so these two cases are named here.
    product = (
        _IDENTITY
        if key_8 == _IDENTITY or not any(challenge)
        else sodium.crypto_scalarmult_ed25519_noclamp(challenge, key_8)
    )
    scalar_8 = (8 * int.from_bytes(scalar, "little") % ORDER).to_bytes(32, "little")
    left = sodium.crypto_scalarmult_ed25519_base_noclamp(scalar_8) if any(scalar_8) else _IDENTITY
    return left == sodium.crypto_core_ed25519_add(commitment_8, product)


def _times_8(point: bytes) -> bytes:
    for _ in range(3):
        point = sodium.crypto_core_ed25519_add(point, point)
    return point
