"""The backend that needs no compiler: exact products by a complex FFT whose rounding error is proven to be small.

Two ways through one blind rotation give the same bytes. *Fused*: monomials multiply in the Fourier domain and one
inverse transform serves all messages; its bound holds for sets S and T. *Plain*: every product is rounded to integers
before monomials touch it; its bound holds for every set. `docs/decisions/fft-rounding-bound.md` derives both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from octra.hfhe import bootstrap as steps
from octra.hfhe.backend import PreparedKey
from octra.hfhe.ciphertext import EntryBits, U16Array, U32Array
from octra.hfhe.errors import RoundingGuardTripped
from octra.hfhe.keys import EvaluationKey, PublicKey
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.ring import (
    ROUNDING_GUARD,
    C128Array,
    F64Array,
    centred,
    fold_twiddles,
    from_spectrum,
    rotate,
    round_exactly,
    spectrum,
)
from octra.hfhe.sampling import I64Array

_UNIT_ROUNDOFF: Final = 2.0**-53
_ERROR_MAX: Final = 1 - ROUNDING_GUARD  # an error below this rounds to the right integer or trips the guard
_KEY_NORM_MAX: Final = 0.6  # of 2^26 sqrt(N): a uniform polynomial has 0.577, and 4 % above is 11 standard deviations
_BLOCK: Final = 32  # accumulators advanced together: their digits and products stay in the second-level cache
_PACKING_ROWS: Final = 16  # rows summed before one rounding


def error_bound(params: ParameterSet, *, fused: bool) -> float:
    """How far from an integer one rounded coefficient can be in a blind rotation of this set."""
    levels = (params.N // 2).bit_length() - 1
    transform = 4.65 * levels + 3.66  # relative error of one transform with its folding factors, in roundoffs
    products = params.rows * (params.gadget.base / 2) * 2.0**26 * params.N
    multiply_add = 2.83 * params.rows  # whatever the order of additions
    if not fused:
        return (3 * transform + multiply_add) * _UNIT_ROUNDOFF * products
    monomials = {"pair": 3 * 3**0.5, "ternary": 4.0}[params.step]  # largest sum of |X^e - 1| over a group's messages
    return (3 * transform + multiply_add + 6.24) * _UNIT_ROUNDOFF * products * monomials * _KEY_NORM_MAX


@dataclass(frozen=True, slots=True, eq=False)
class _NumpyKey:
    """Key material in the Fourier domain."""

    params: ParameterSet
    public: PublicKey
    rows: C128Array  # [groups, N/2, rows, messages * (k + 1)]
    switch: U16Array  # [M * digits * half, n + 1]
    packing: C128Array | None  # [M * digits, k + 1, N/2]
    fused: bool


class NumpyBackend:
    """Runs everywhere NumPy runs. `fused=False` forces the plain way, for tests."""

    name = "numpy"

    def __init__(self, *, fused: bool = True) -> None:
        self._fused = fused

    def prepare(self, key: EvaluationKey) -> PreparedKey:
        params = key.params
        outputs = params.messages * (params.k + 1)
        rows = np.empty((params.groups, params.N // 2, params.rows, outputs), np.complex128)
        fused = self._fused and error_bound(params, fused=True) < _ERROR_MAX
        for group in range(params.groups):
            values = centred(key.bootstrap_rows(group)).astype(np.float64)  # [messages, rows, k + 1, N]
            rows[group] = spectrum(values).transpose(3, 1, 0, 2).reshape(params.N // 2, params.rows, outputs)
            fused = fused and _norms_are_usual(values)
        switch = np.concatenate([key.switch_rows(index).reshape(-1, params.n + 1) for index in range(params.M)])
        packing = None
        if params.packing is not None:
            packing = np.empty((params.M * params.packing.digits, params.k + 1, params.N // 2), np.complex128)
            by_coefficient = packing.reshape(params.M, params.packing.digits, params.k + 1, -1)
            for index in range(params.M):
                by_coefficient[index] = spectrum(centred(key.packing_rows(index)).astype(np.float64))
        return _NumpyKey(params, key.public, rows, switch, packing, fused)

    def switch(self, key: PreparedKey, forms: U32Array) -> U16Array:
        assert isinstance(key, _NumpyKey)
        params = key.params
        digits, bodies = steps.switch_digits(params, forms)
        tables = np.arange(params.M * params.switch_digits) * params.switch_half - 1
        switched = np.zeros((len(forms), params.n + 1), np.uint16)
        switched[:, -1] = bodies
        for form in range(len(forms)):
            values = digits[form].reshape(-1)
            for sign in (1, -1):
                chosen = np.flatnonzero(sign * values > 0)
                total = key.switch[tables[chosen] + np.abs(values[chosen])].sum(axis=0, dtype=np.uint16)
                switched[form] -= total if sign > 0 else -total
        switched &= np.uint16((1 << params.switch_log) - 1)
        return steps.modulus_switch(params, switched)

    def rotate(self, key: PreparedKey, exponents: U16Array, start: int = 0, value: int = MU) -> U32Array:
        assert isinstance(key, _NumpyKey)
        params = key.params
        result = np.empty((len(exponents), params.k + 1, params.N), np.uint32)
        for first in range(0, len(exponents), _BLOCK):
            block = exponents[first : first + _BLOCK]
            rotation = _Rotation(key, block, value)
            powers = steps.group_exponents(params, block)
            for step in range(params.groups):
                group = (start + step) % params.groups
                rotation.advance(group, powers[:, group])
            result[first : first + _BLOCK] = rotation.result()
        return result

    def bootstrap(self, key: PreparedKey, forms: U32Array) -> U32Array:
        return steps.bootstrap(self, key, forms)

    def entry(self, key: PreparedKey, bits: EntryBits) -> U32Array:
        return steps.entry(self, key, bits)

    def pack(self, key: PreparedKey, bits: U32Array) -> U32Array:
        assert isinstance(key, _NumpyKey)
        params = key.params
        assert params.packing is not None
        assert key.packing is not None
        assert len(bits) <= params.N
        masks = np.zeros((params.M, params.N), np.uint32)
        masks[:, : len(bits)] = bits[:, :-1].T
        digits = steps.decompose(params.packing, masks).transpose(1, 0, 2).reshape(-1, params.N)
        total = np.zeros((params.k + 1, params.N), np.int64)
        for first in range(0, len(digits), _PACKING_ROWS):
            rows = slice(first, first + _PACKING_ROWS)
            products = spectrum(digits[rows].astype(np.float64))[:, None] * key.packing[rows]
            total += round_exactly(from_spectrum(products.sum(axis=0)))
        result = -total
        result[-1, : len(bits)] += bits[:, -1]
        return (result % Q).astype(np.uint32)


class _Rotation:
    """Accumulators of one block of blind rotations, with the buffers that every step uses again.

    A real polynomial is held folded: coefficient j and coefficient j + N/2 are one complex number. Element-wise
    integer steps see the same memory as pairs of doubles.
    """

    def __init__(self, key: _NumpyKey, exponents: U16Array, value: int) -> None:
        params, count, half = key.params, len(exponents), key.params.N // 2
        gadget, polynomials = params.gadget, params.k + 1
        self._key, self._count = key, count
        self._twiddles = fold_twiddles(params.N)
        self._untwiddles = self._twiddles.conj()
        self._monomials = _monomial_spectra(params.N) if key.fused else None
        self._accumulators = np.zeros((count, polynomials, half), np.complex128)
        body = centred(steps.test_polynomial(params, exponents, value))
        self._accumulators[:, -1] = body[:, :half] + 1j * body[:, half:]
        self._signed = np.empty((count, polynomials, 2 * half), np.int32)
        self._digit = np.empty_like(self._signed)
        self._digits = np.empty((count, polynomials, gadget.digits, half), np.complex128)
        self._spectra = np.empty((half, count, params.rows), np.complex128)
        self._products = np.empty((half, count, params.messages * polynomials), np.complex128)
        self._factors = np.empty((count, params.messages, half), np.complex128)
        self._multiplied = np.empty((count, params.messages, polynomials, half), np.complex128)
        self._sums = np.empty((count, polynomials, half), np.complex128)
        self._rounded = np.empty((count, polynomials, 2 * half), np.float64)

    def advance(self, group: int, powers: I64Array) -> None:
        """One step: acc += sum over messages of (X^power - 1) times the product with the message's key."""
        self._decompose()
        self._digits *= self._twiddles
        flat = self._digits.reshape(self._count, -1, self._digits.shape[-1])
        np.fft.fft(flat, axis=-1, out=self._spectra.transpose(1, 2, 0))
        np.matmul(self._spectra, self._key.rows[group], out=self._products)
        messages, polynomials = self._multiplied.shape[1:3]
        products = self._products.reshape(-1, self._count, messages, polynomials).transpose(1, 2, 3, 0)
        if self._monomials is None:
            self._add_rounded_first(products, powers)
        else:
            np.take(self._monomials, powers, axis=0, out=self._factors, mode="clip")
            np.multiply(products, self._factors[:, :, None], out=self._multiplied)
            np.add.reduce(self._multiplied, axis=1, out=self._sums)
            np.fft.ifft(self._sums, axis=-1, out=self._sums)
            self._sums *= self._untwiddles
            self._add(self._sums.view(np.float64))

    def result(self) -> U32Array:
        """The accumulators, canonical, [count, k + 1, N]."""
        values = np.concatenate([self._accumulators.real, self._accumulators.imag], axis=-1)
        return (values.astype(np.int64) % Q).astype(np.uint32)

    def _decompose(self) -> None:
        gadget = self._key.params.gadget
        real = self._accumulators.view(np.float64)
        np.add(real, steps.rounding_offset(gadget), out=self._signed, casting="unsafe")
        digits = self._digits.view(np.float64)
        for i in range(gadget.digits):
            np.right_shift(self._signed, gadget.drop + i * gadget.base_log, out=self._digit)
            if i < gadget.digits - 1:
                np.bitwise_and(self._digit, gadget.base - 1, out=self._digit)
            np.subtract(self._digit, gadget.base // 2, out=digits[:, :, i])

    def _add(self, values: F64Array) -> None:
        """Adds rounded values to the accumulators and brings them back to the centred range; all exact in doubles."""
        np.rint(values, out=self._rounded)
        np.subtract(values, self._rounded, out=values)
        distance = max(float(values.max()), -float(values.min()))
        if not distance <= ROUNDING_GUARD:
            raise RoundingGuardTripped(distance)
        real = self._accumulators.view(np.float64)
        real += self._rounded
        # |real| < 2^46: the quotient's error is far below its distance 1/(2Q) from the next tie, and Q times it exact.
        np.multiply(real, 1 / Q, out=self._rounded)
        np.rint(self._rounded, out=self._rounded)
        self._rounded *= Q
        real -= self._rounded

    def _add_rounded_first(self, products: C128Array, powers: I64Array) -> None:
        values = round_exactly(from_spectrum(products)) % Q
        total = (rotate(values, powers[:, :, None]) - values).sum(axis=1)
        half = total.shape[-1] // 2
        self._sums.real, self._sums.imag = total[..., :half], total[..., half:]
        self._add(self._sums.view(np.float64))


def _monomial_spectra(size: int) -> C128Array:
    """X^e - 1 at the roots of X^N + 1 that `spectrum` uses, for e < 2N."""
    cached = _MONOMIALS.get(size)
    if cached is None:
        # Root f of the folded transform is exp(i pi (1 - 4f) / N): its powers are entries of one table of 2N roots.
        roots = np.exp(1j * np.pi * np.arange(2 * size) / size)
        exponents = (1 - 4 * np.arange(size // 2)) * np.arange(2 * size)[:, None] % (2 * size)
        cached = _MONOMIALS[size] = roots[exponents] - 1
    return cached


_MONOMIALS: dict[int, C128Array] = {}


def _norms_are_usual(values: F64Array) -> bool:
    """True when the norms of one group's rows [messages, rows, k + 1, N] are as small as the fused bound supposes."""
    messages, rows, _, size = values.shape
    norms = np.sqrt((values**2).sum(axis=(0, 3))).sum(axis=0)  # over messages in square, over rows in sum
    return bool(norms.max() <= rows * messages**0.5 * _KEY_NORM_MAX * 2.0**26 * size**0.5)
