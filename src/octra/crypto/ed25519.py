"""Ed25519 with ZIP-215 acceptance: one verdict on every machine, whatever library checks it.

Accepted iff s < L, A and R are points (any encoding of y), and `8 s B = 8 R + 8 h A` (https://zips.z.cash/zip-0215).
The compiled library checks many signatures at once; without it libsodium reaches the same verdicts one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import nacl.bindings as sodium

from octra.crypto import ed25519_native
from octra.crypto.ed25519_native import NativeEngine
from octra.crypto.ed25519_sodium import ORDER, SodiumEngine

__all__ = [
    "KEY_SIZE",
    "ORDER",
    "SEED_SIZE",
    "SIGNATURE_SIZE",
    "SigningKey",
    "engine",
    "verify",
    "verify_joined",
    "verify_many",
]

KEY_SIZE, SIGNATURE_SIZE, SEED_SIZE = 32, 64, 32


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
    return _engine_of_one().verify(key, signature, message)


def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """Verdict of each (key, signature, message), as `verify` gives them; one call frees the interpreter for all."""
    whole = [i for i, item in enumerate(items) if len(item[0]) == KEY_SIZE and len(item[1]) == SIGNATURE_SIZE]
    if len(whole) == len(items):
        return _engine().verify_many(items)
    verdicts = [False] * len(items)
    for i, verdict in zip(whole, _engine().verify_many([items[i] for i in whole]), strict=True):
        verdicts[i] = verdict
    return verdicts


def verify_joined(keys: bytes, signatures: bytes, messages: bytes, offsets: array[int]) -> list[bool]:
    """The same for joined keys, signatures and messages: message i is [offsets[i], offsets[i + 1]), u64 each."""
    return _engine().verify_joined(keys, signatures, messages, offsets) if len(offsets) > 1 else []


def engine() -> str:
    """What checks signatures in this process: `native-avx2`, `native-portable` or `libsodium`."""
    return _engine().name


@lru_cache(maxsize=1)
def _engine() -> NativeEngine | SodiumEngine:
    variants = ed25519_native.available()
    return NativeEngine(variants[0]) if variants else SodiumEngine()


@lru_cache(maxsize=1)
def _engine_of_one() -> NativeEngine | SodiumEngine:
    """The portable variant gains by batches only: alone, it takes twice as long as libsodium."""
    return SodiumEngine() if engine() == "native-portable" else _engine()
