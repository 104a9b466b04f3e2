"""Random values from seeds: public uniform streams (SHAKE-128) and secret streams (SHAKE-256, Gaussian by table).

Nothing here draws entropy. A seed that enters a secret stream must never be used twice.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_FLOOR, Decimal, localcontext
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.crypto.hash import H
from octra.hfhe import shake
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


def uniform_rings(seed: bytes, kind: Stream, set_id: int, rows: range, columns: int, count: int) -> U32Array:
    """`count` uniform values below Q from one public stream for each row and column, [rows, columns, count].

    27 bits of each 4 bytes, values >= Q skipped.
    """
    words, prefix = count + 8, _public(seed, kind, set_id)
    places = [shake.numbered(prefix, rows, bytes([column])) for column in range(columns)]
    messages = np.stack(places, axis=1).reshape(len(rows) * columns, -1)
    raw = _ring_words(messages, words)
    found: U32Array = np.ascontiguousarray(raw[:, :count])
    for stream in np.flatnonzero((found >= Q).any(axis=1)):  # 1.5e-5 of all values
        accepted, longer = raw[stream][raw[stream] < Q], words
        while accepted.size < count:
            longer *= 2
            again = _ring_words(messages[stream : stream + 1], longer)[0]
            accepted = again[again < Q]
        found[stream] = accepted[:count]
    return found.reshape(len(rows), columns, count)


def uniform_ring(seed: bytes, kind: Stream, set_id: int, row: int, column: int, count: int) -> U32Array:
    """`count` uniform values below Q from one public stream."""
    found: U32Array = uniform_rings(seed, kind, set_id, range(row, row + 1), column + 1, count)[0, column]
    return found


def uniform_powers(seed: bytes, kind: Stream, set_id: int, rows: range, bits: int, count: int) -> U16Array:
    """`count` uniform values below 2^`bits` (at most 16) from the stream of each row, column 0: [rows, count]."""
    messages = shake.numbered(_public(seed, kind, set_id), rows, b"\0")
    raw = shake.streams(128, messages, 2 * count).view("<u2")
    found: U16Array = (raw & np.uint16((1 << bits) - 1)).astype(np.uint16, copy=False)
    return found


def uniform_power(seed: bytes, kind: Stream, set_id: int, row: int, bits: int, count: int) -> U16Array:
    """`count` uniform values below 2^`bits` from one public stream."""
    found: U16Array = uniform_powers(seed, kind, set_id, range(row, row + 1), bits, count)[0]
    return found


def _public(seed: bytes, kind: Stream, set_id: int) -> bytes:
    """How the message of a public stream begins; row and column follow."""
    assert len(seed) == SEED_SIZE
    return seed + bytes([kind, set_id])


def _ring_words(messages: shake.U8Array, words: int) -> U32Array:
    raw = shake.streams(128, messages, 4 * words).view("<u4")
    found: U32Array = (raw & np.uint32((1 << Q_BITS) - 1)).astype(np.uint32, copy=False)
    return found


def gaussian_rows(seed: bytes, use: Use, indices: range, sigma: Sigma, count: int) -> I64Array:
    """The first `count` Gaussian values of the secret stream of each index, [indices, count]."""
    raw = shake.streams(256, shake.numbered(_secret(seed, use), indices), 8 * count)
    return _gaussian(raw.view("<u8"), sigma)


def _secret(seed: bytes, use: Use) -> bytes:
    """How the message of a secret stream begins; the index follows."""
    assert len(seed) == SEED_SIZE
    return seed + SECRET_TAG + bytes([use])


def _gaussian(raw: npt.NDArray[np.uint64], sigma: Sigma) -> I64Array:
    """Bit 0 of each value is the sign, the others are searched in the table."""
    magnitude = np.searchsorted(gaussian_table(sigma), raw >> np.uint64(1), side="right").astype(np.int64)
    return np.where(raw & np.uint64(1), -magnitude, magnitude)


class SecretStream:
    """Bytes known only to the holder of the seed, read in order."""

    __slots__ = ("_buffer", "_position", "_stream")

    def __init__(self, seed: bytes, use: Use, index: int) -> None:
        self._stream = hashlib.shake_256(_secret(seed, use) + index.to_bytes(4, "little"))
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
        return _gaussian(np.frombuffer(self.take(8 * count), "<u8"), sigma)

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
