"""Ed25519 by the compiled library: one random linear combination answers for a whole batch, ZIP-215 in every case.

The library frees the interpreter while it works. `python -m octra.native_build` compiles it in place; wheels bring it.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Final

from octra.compiled import Room
from octra.errors import Unavailable

VARIANTS: Final = ("avx2", "portable")  # fastest first
LIBRARY: Final = Path(__file__).with_name("_ed25519.so")
CACHED_KEYS: Final = 65_536  # 4 MiB: the senders of several batches
_UNUSED_SEED: Final = bytes(32)  # a lone signature is checked by its own equation


class NativeUnavailable(Unavailable):
    """The library was not built, is switched off by OCTRA_NO_KERNEL=1, or this processor cannot run the variant."""

    oct_code = 8012

    def __init__(self, reason: str) -> None:
        super().__init__(f"compiled signatures are unavailable: {reason}")
        self.reason = reason


class NativeEngine:
    """One compiled variant with its cache of decoded keys. Threads may share it. Raises `NativeUnavailable`."""

    def __init__(self, variant: str, cached_keys: int = CACHED_KEYS) -> None:
        self._library = _library()
        self._variant = self._library.octra_ed25519_variant(variant.encode())
        if not self._variant:
            raise NativeUnavailable(f"this processor cannot run {variant}")
        self._verifier = self._library.octra_ed25519_create(self._variant, cached_keys, os.urandom(32))
        if not self._verifier:
            raise MemoryError
        self.name = f"native-{variant}"

    def __del__(self) -> None:
        if getattr(self, "_verifier", None):
            self._library.octra_ed25519_destroy(self._variant, self._verifier)

    def verify(self, key: bytes, signature: bytes, message: bytes) -> bool:
        """The verdict on one signature; 32 and 64 bytes of key and signature are the caller's promise."""
        return self._verify(key, signature, message, array("Q", (0, len(message))), _UNUSED_SEED) == b"\x01"

    def verify_many(self, items: Sequence[tuple[bytes, bytes, bytes]], seed: bytes | None = None) -> list[bool]:
        """Verdicts on (key, signature, message); sizes as for `verify`. Only tests bring their own 32-byte seed."""
        if not items:
            return []
        keys, signatures, messages = zip(*items, strict=True)
        offsets = array("Q", accumulate(map(len, messages), initial=0))
        return self.verify_joined(b"".join(keys), b"".join(signatures), b"".join(messages), offsets, seed)

    def verify_joined(
        self, keys: bytes, signatures: bytes, messages: bytes, offsets: array[int], seed: bytes | None = None
    ) -> list[bool]:
        """The same for joined columns; message i is [offsets[i], offsets[i + 1])."""
        # Whoever signs must not foresee the coefficients, so they come from the system at the last moment.
        seed = os.urandom(32) if seed is None else seed
        return [verdict == 1 for verdict in self._verify(keys, signatures, messages, offsets, seed)]

    def sum_of_multiples(self, points: Sequence[bytes], scalars: Sequence[int]) -> bytes | None:
        """The encoding of sum scalar * point, or None if a point is none or a scalar not below the order: for tests."""
        out = Room(32)
        flat = b"".join(scalar.to_bytes(32, "little") for scalar in scalars)
        done = self._library.octra_ed25519_sum(self._variant, self._verifier, b"".join(points), flat, len(points), out)
        return out.first(32) if done else None

    def _verify(self, keys: bytes, signatures: bytes, messages: bytes, offsets: array[int], seed: bytes) -> bytes:
        count = len(offsets) - 1
        verdicts = Room(count)
        address, _ = offsets.buffer_info()
        if not self._library.octra_ed25519_verify(
            self._variant, self._verifier, keys, signatures, messages, address, count, seed, verdicts
        ):
            raise MemoryError
        return verdicts.first(count)


def available() -> tuple[str, ...]:
    """The variants that were built and that this processor can run, fastest first."""
    try:
        library = _library()
    except NativeUnavailable:
        return ()
    return tuple(name for name in VARIANTS if library.octra_ed25519_variant(name.encode()))


def _library() -> ctypes.CDLL:
    if os.environ.get("OCTRA_NO_KERNEL") == "1":
        raise NativeUnavailable("switched off by OCTRA_NO_KERNEL")
    return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise NativeUnavailable("not built: run python -m octra.native_build") from error
    pointer, data, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32
    library.octra_ed25519_variant.argtypes = [data]
    library.octra_ed25519_variant.restype = pointer
    library.octra_ed25519_create.argtypes = [pointer, number, data]
    library.octra_ed25519_create.restype = pointer
    library.octra_ed25519_destroy.argtypes = [pointer, pointer]
    library.octra_ed25519_destroy.restype = None
    library.octra_ed25519_verify.argtypes = [pointer, pointer, data, data, data, pointer, number, data, data]
    library.octra_ed25519_sum.argtypes = [pointer, pointer, data, data, number, data]
    return library
