"""The ring Z_Q[X] / (X^N + 1): exact products three ways, and rotation.

`multiply_plain` is the definition, `Transform` (number-theoretic) the oracle in NumPy, and `multiply_small` a complex
FFT rounded to integers for one factor with coefficients in {-1, 0, 1}, where the rounding is far from any doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.hfhe.errors import RoundingGuardTripped
from octra.hfhe.params import Q
from octra.hfhe.sampling import I64Array, U32Array

U64Array = npt.NDArray[np.uint64]
F64Array = npt.NDArray[np.float64]
C128Array = npt.NDArray[np.complex128]

ROUNDING_GUARD: Final = 0.25  # a correct product is within 0.001 of an integer; past this the machine is broken


def multiply_plain(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """The negacyclic product modulo Q of two coefficient lists, by its definition."""
    size = len(left)
    product = [0] * size
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            if i + j < size:
                product[i + j] += a * b
            else:
                product[i + j - size] -= a * b
    return [value % Q for value in product]


def rotate(values: I64Array, exponents: npt.ArrayLike) -> I64Array:
    """`values` [..., N] times X^e, e in [0, 2N) of shape `values.shape[:-1]` or broadcastable to it; signed result."""
    size = values.shape[-1]
    source = np.arange(size) - np.asarray(exponents, np.int64)[..., None]
    source = np.broadcast_to(source % (2 * size), values.shape)
    taken = np.take_along_axis(values, source % size, axis=-1)
    return np.where(source < size, taken, -taken)


def centred(values: U32Array) -> I64Array:
    """Canonical values as integers of the smallest absolute value."""
    signed = values.astype(np.int64)
    return np.where(signed > Q >> 1, signed - Q, signed)


def _root(size: int) -> int:
    """The 2N-th root of unity all transforms use: from the smallest non-residue at or above 3."""
    candidate = 3
    while pow(candidate, (Q - 1) // 2, Q) == 1:
        candidate += 1
    return pow(candidate, (Q - 1) // (2 * size), Q)


class Transform:
    """Negacyclic number-theoretic transform of size N over canonical `uint64` values, results in bit-reversed order."""

    def __init__(self, size: int) -> None:
        bits = size.bit_length() - 1
        root = _root(size)
        powers = [pow(root, int(f"{i:0{bits}b}"[::-1], 2), Q) for i in range(size)]
        self.size = size
        self._twiddles = np.array(powers, np.uint64)
        self._inverses = np.array([pow(power, Q - 2, Q) for power in powers], np.uint64)
        self._size_inverse = np.uint64(pow(size, Q - 2, Q))

    def forward(self, values: npt.NDArray[np.unsignedinteger] | I64Array) -> U64Array:
        """Transforms along the last axis; signed input is reduced first."""
        q = np.uint64(Q)
        flat = (values % Q).astype(np.uint64).reshape(-1, self.size)
        blocks = 1
        while blocks < self.size:
            half = self.size // (2 * blocks)
            view = flat.reshape(-1, blocks, 2, half)
            low = view[:, :, 0].copy()
            high = view[:, :, 1] * self._twiddles[blocks : 2 * blocks, None] % q
            view[:, :, 0] = (low + high) % q
            view[:, :, 1] = (low + q - high) % q
            blocks *= 2
        return flat.reshape(values.shape)

    def inverse(self, values: U64Array) -> U32Array:
        """The inverse of `forward`, canonical."""
        q = np.uint64(Q)
        flat = values.reshape(-1, self.size).copy()
        blocks = self.size // 2
        while blocks:
            half = self.size // (2 * blocks)
            view = flat.reshape(-1, blocks, 2, half)
            low, high = view[:, :, 0].copy(), view[:, :, 1].copy()
            view[:, :, 0] = (low + high) % q
            view[:, :, 1] = (low + q - high) * self._inverses[blocks : 2 * blocks, None] % q
            blocks //= 2
        return (flat * self._size_inverse % q).astype(np.uint32).reshape(values.shape)

    def multiply(self, left: npt.NDArray[np.unsignedinteger], right: npt.NDArray[np.unsignedinteger]) -> U32Array:
        """Products modulo Q along the last axis."""
        return self.inverse(self.forward(left) * self.forward(right) % np.uint64(Q))


@lru_cache(maxsize=8)
def transform(size: int) -> Transform:
    """The number-theoretic transform of size N."""
    return Transform(size)


@lru_cache(maxsize=8)
def fold_twiddles(size: int) -> C128Array:
    """exp(i pi j / N) for j < N/2: the factors that turn a negacyclic product into a cyclic one of half the size."""
    twiddles: C128Array = np.exp(1j * np.pi * np.arange(size // 2) / size)
    twiddles.flags.writeable = False
    return twiddles


def spectrum(values: F64Array) -> C128Array:
    """Values of real polynomials [..., N] at N/2 of the roots of X^N + 1, one of each conjugate pair."""
    half = values.shape[-1] // 2
    folded = (values[..., :half] + 1j * values[..., half:]) * fold_twiddles(2 * half)
    transformed: C128Array = np.fft.fft(folded, axis=-1)
    return transformed


def from_spectrum(values: C128Array) -> F64Array:
    """The inverse of `spectrum`."""
    half = values.shape[-1]
    folded = np.fft.ifft(values, axis=-1) * fold_twiddles(2 * half).conj()
    return np.concatenate([folded.real, folded.imag], axis=-1)


def round_exactly(values: F64Array) -> I64Array:
    """The integers that `values` are within a small error of; `RoundingGuardTripped` if one is not."""
    rounded = np.rint(values)
    distance = float(np.max(np.abs(values - rounded), initial=0.0))
    if not distance <= ROUNDING_GUARD:  # also true for NaN
        raise RoundingGuardTripped(distance)
    return rounded.astype(np.int64)


def multiply_small(values: U32Array, small: I64Array) -> I64Array:
    """Products along the last axis with a factor of coefficients in {-1, 0, 1}; signed and not reduced."""
    assert np.abs(small).max(initial=0) <= 1
    return round_exactly(
        from_spectrum(spectrum(centred(values).astype(np.float64)) * spectrum(small.astype(np.float64)))
    )
