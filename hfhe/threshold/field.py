"""Arithmetic modulo Q on uint64 arrays, packed rows of 27-bit elements, and uniform elements from an XOF.

The field is the prime of the ring itself, so shares and ciphertext coefficients are added without conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from octra.crypto.hash import tag16
from octra.hfhe.bitstream import pack_values, packed_size, padding_is_zero, unpack_values
from octra.hfhe.params import Q_BITS, Q
from octra.hfhe.threshold.errors import MalformedShare

U64Array = npt.NDArray[np.uint64]
AnyArray = npt.NDArray[np.integer[Any]]  # any integer dtype, of which only the values count

_INNER_MAX: Final = 512  # 512 products below 2^54 sum to less than 2^63
_MASK: Final = np.uint32((1 << Q_BITS) - 1)


def element(values: AnyArray | Sequence[int]) -> U64Array:
    """Signed or unsigned integers (below 2^63 in size) as field elements."""
    return np.mod(np.asarray(values).astype(np.int64), Q).astype(np.uint64)


def centred(values: U64Array) -> npt.NDArray[np.int64]:
    """Elements as signed integers of least absolute value."""
    signed = values.astype(np.int64)
    return np.where(signed > Q // 2, signed - Q, signed)


def subtract(left: U64Array, right: U64Array) -> U64Array:
    """left - right, both below Q."""
    return np.asarray((left + np.uint64(Q) - right) % np.uint64(Q), dtype=np.uint64)


def matmul(left: U64Array, right: U64Array) -> U64Array:
    """Matrix product mod Q."""
    inner = left.shape[-1]
    total = np.zeros((*left.shape[:-1], *right.shape[1:]), dtype=np.uint64)
    for start in range(0, inner, _INNER_MAX):
        stop = start + _INNER_MAX
        total = (total + left[..., start:stop] @ right[start:stop] % Q) % Q
    return total


def inverse(values: U64Array) -> U64Array:
    """Inverses by Fermat's theorem; the inverse of 0 comes out as 0."""
    result = np.ones_like(values)
    for bit in bin(Q - 2)[2:]:
        result = result * result % Q
        if bit == "1":
            result = result * values % Q
    return result


def product(values: U64Array) -> U64Array:
    """Product along the last axis."""
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        paired = values[..., :half] * values[..., half : 2 * half] % Q
        values = np.concatenate([paired, values[..., 2 * half :]], axis=-1)
    return values[..., 0]


def lagrange(nodes: Sequence[int] | AnyArray, at: int | AnyArray = 0) -> U64Array:
    """Weights that turn a polynomial's values at distinct `nodes` into its value at `at`, which is no node.

    For an array of places, one row of weights for each.
    """
    points = element(np.asarray(nodes))
    apart = subtract(points[:, None], points[None, :])
    np.fill_diagonal(apart, 1)
    away = subtract(element(np.asarray(at))[..., None], points)
    return product(away)[..., None] * inverse(away * product(apart) % Q) % Q


def row_size(count: int) -> int:
    """Bytes of a packed row of `count` elements."""
    return packed_size(count, Q_BITS)


def pack(values: AnyArray) -> bytes:
    """Elements as a stream of 27-bit numbers, least significant bit first, zero padding at the end."""
    assert (values < Q).all(), "only field elements are packed"
    return pack_values(values.astype(np.uint32), Q_BITS)


def unpack(data: bytes, count: int, what: str = "share") -> U64Array:
    """The elements of a packed row; raises `MalformedShare` for any bytes that `pack` would not have written."""
    if len(data) != row_size(count):
        raise MalformedShare(what, f"{len(data)} bytes, expected {row_size(count)}")
    if not padding_is_zero(data, Q_BITS, count):
        raise MalformedShare(what, "padding is not zero")
    values = unpack_values(data, Q_BITS, count)
    if (values >= Q).any():
        raise MalformedShare(what, f"element {int(np.argmax(values >= Q))} is not below Q")
    return values.astype(np.uint64)


def xof(tag: str, context: bytes, size: int) -> bytes:
    """The first `size` bytes of SHAKE-256 over the tag (padded to 16 bytes) and the context."""
    return shake_256(tag16(tag) + context).digest(size)


def uniform(tag: str, context: bytes, count: int) -> U64Array:
    """`count` uniform elements from the XOF: 4 bytes each, little-endian, 27 bits kept, values >= Q skipped."""
    size = count + 8  # a word is skipped with probability 2^-16
    while True:
        words = np.frombuffer(xof(tag, context, 4 * size), dtype="<u4") & _MASK
        accepted = words[words < Q]
        if len(accepted) >= count:
            return accepted[:count].astype(np.uint64)
        size += 64
