"""Random values from seeds: public uniform streams (SHAKE-128) and secret streams (SHAKE-256, Gaussian by table).

Nothing here draws entropy. A seed that enters a secret stream must never be used twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.crypto.hash import H
from octra.hfhe.params import Q_BITS, Q, Sigma

U16Array = npt.NDArray[np.uint16]
U32Array = npt.NDArray[np.uint32]
I64Array = npt.NDArray[np.int64]

SEED_SIZE: Final = 32
SECRET_TAG: Final = b"octra.fhe.secret"


class Stream(IntEnum):
    """Kinds of public streams."""

    BOOTSTRAP = 1
    SWITCH = 2
    PACKING = 3
    PUBLIC_KEY = 4
    SEEDED = 5
    ENTRY = 6


class Use(IntEnum):
    """Uses of secret streams."""

    RING_SECRET = 1
    LWE_SECRET = 2
    BOOTSTRAP = 3
    SWITCH = 4
    PACKING = 5
    PUBLIC_KEY = 6
    ENCRYPTION = 7


def public_seed(master: bytes, kind: Stream, number: int = 0) -> bytes:
    """The `number`-th seed of public streams that belongs to the secret seed `master`; reveals nothing about it."""
    return H("octra.fhe.seed", master, bytes([kind]), number.to_bytes(4, "little") if number else b"")


def _public_stream(seed: bytes, kind: Stream, set_id: int, row: int, column: int) -> Callable[[int], bytes]:
    """The first so many bytes of a stream."""
    assert len(seed) == SEED_SIZE
    return hashlib.shake_128(seed + bytes([kind, set_id]) + row.to_bytes(4, "little") + bytes([column])).digest


def uniform_ring(seed: bytes, kind: Stream, set_id: int, row: int, column: int, count: int) -> U32Array:
    """`count` uniform values below Q from one public stream: 27 bits of each 4 bytes, values >= Q skipped."""
    stream = _public_stream(seed, kind, set_id, row, column)
    words = count + 8  # 1.5e-5 of all values are skipped, so a second look is rare
    while True:
        raw = np.frombuffer(stream(4 * words), "<u4") & np.uint32((1 << Q_BITS) - 1)
        accepted = raw[raw < Q]
        if accepted.size >= count:
            return accepted[:count].astype(np.uint32)
        words *= 2


def uniform_power(seed: bytes, kind: Stream, set_id: int, row: int, bits: int, count: int) -> U16Array:
    """`count` uniform values below 2^`bits` (at most 16) from one public stream, column 0."""
    stream = _public_stream(seed, kind, set_id, row, 0)
    raw = np.frombuffer(stream(2 * count), "<u2") & np.uint16((1 << bits) - 1)
    return raw.astype(np.uint16)


class SecretStream:
    """Bytes known only to the holder of the seed, read in order."""

    __slots__ = ("_buffer", "_position", "_stream")

    def __init__(self, seed: bytes, use: Use, index: int) -> None:
        assert len(seed) == SEED_SIZE
        self._stream = hashlib.shake_256(seed + SECRET_TAG + bytes([use]) + index.to_bytes(4, "little"))
        self._buffer = b""
        self._position = 0

    def __repr__(self) -> str:
        return "SecretStream(<sealed>)"

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self._position + size
        if end > len(self._buffer):
            self._buffer = self._stream.digest(max(end, 2 * len(self._buffer)))
        taken = self._buffer[self._position : end]
        self._position = end
        return taken

    def bits(self, count: int) -> I64Array:
        """`count` uniform bits, the lowest of one byte each."""
        return (np.frombuffer(self.take(count), np.uint8) & np.uint8(1)).astype(np.int64)

    def ternary(self, count: int) -> I64Array:
        """`count` uniform values of -1, 0, 1: one byte below 255 each, modulo 3, minus 1."""
        values = np.empty(0, np.int64)
        while values.size < count:
            raw = np.frombuffer(self.take(count - values.size), np.uint8)
            values = np.concatenate([values, raw[raw < 255].astype(np.int64) % 3 - 1])
        return values

    def gaussian(self, sigma: Sigma, count: int) -> I64Array:
        """`count` values of the discrete Gaussian of standard deviation `sigma`/100: 8 bytes each."""
        raw = np.frombuffer(self.take(8 * count), "<u8")
        magnitude = np.searchsorted(gaussian_table(sigma), raw >> np.uint64(1), side="right").astype(np.int64)
        return np.where(raw & np.uint64(1), -magnitude, magnitude)

    def below_power(self, bits: int, count: int) -> I64Array:
        """`count` uniform values below 2^`bits`, the low bits of 4 bytes each."""
        raw = np.frombuffer(self.take(4 * count), "<u4")
        return (raw & np.uint32((1 << bits) - 1)).astype(np.int64)


@lru_cache(maxsize=16)
def gaussian_table(sigma: Sigma) -> npt.NDArray[np.uint64]:
    """floor(2^63 Pr(|X| <= j)) for j = 0, 1, ..., up to the last value that 63 bits can tell from 1.

    Decimal arithmetic of 80 digits is exact to the last bit and the same on every machine; vectors freeze the result.
    """
    with localcontext() as context:
        context.prec = 80
        twice_variance = 2 * (Decimal(sigma) / 100) ** 2
        weights: list[Decimal] = []
        while not weights or weights[-1] > Decimal(2) ** -140:
            j = len(weights)
            weights.append((2 if j else 1) * (-Decimal(j * j) / twice_variance).exp())
        total, sum_so_far, table = sum(weights), Decimal(0), []
        for weight in weights:
            sum_so_far += weight
            threshold = int((sum_so_far / total * 2**63).to_integral_value(ROUND_FLOOR))
            if threshold >= 2**63 - 1:
                break
            table.append(threshold)
    frozen = np.array(table, np.uint64)
    frozen.flags.writeable = False
    return frozen
