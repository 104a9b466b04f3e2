"""Ed25519 with ZIP-215 acceptance: one verdict on every machine, whatever library checks it.

Accepted iff s < L, A and R are points (any encoding of y), and `8 s B = 8 R + 8 h A`. libsodium is stricter: what
it accepts ZIP-215 accepts, its refusal says nothing. So a refused signature is checked again with libsodium's
group operations (ZIP-215, https://zips.z.cash/zip-0215).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha512

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError
from nacl.exceptions import RuntimeError as SodiumRuntimeError

KEY_SIZE, SIGNATURE_SIZE, SEED_SIZE = 32, 64, 32
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the prime subgroup
_IDENTITY = (1).to_bytes(32, "little")


class SigningKey:
    """A secret key. Prints as `<secret>` and refuses to be pickled, so it cannot reach a log by accident."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_SIZE
        self.public, self._secret = sodium.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """The 64 signature bytes over `message`."""
        return sodium.crypto_sign(message, self._secret)[:SIGNATURE_SIZE]

    def seed(self) -> bytes:
        """The 32 bytes the key was made from: for the keystore only."""
        return self._secret[:SEED_SIZE]

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a signing key is never pickled")


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Does `signature` verify under ZIP-215? Never raises for any bytes."""
    if len(key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        sodium.crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return _verify_slow(key, signature, message)
    return True


def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """Verdict of each (key, signature, message)."""
    return [verify(*item) for item in items]


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
