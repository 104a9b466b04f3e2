"""What a backend must compute, byte for byte, and the choice of the fastest one that runs here."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Protocol

from octra.hfhe.ciphertext import EntryBits, U16Array, U32Array
from octra.hfhe.errors import BackendUnavailable
from octra.hfhe.keys import EvaluationKey, PublicKey
from octra.hfhe.params import MU, ParameterSet


class PreparedKey(Protocol):
    """An evaluation key in the form that one backend computes with; only that backend looks inside."""

    @property
    def params(self) -> ParameterSet: ...

    @property
    def public(self) -> PublicKey: ...


class Backend(Protocol):
    """Bootstraps, byte-exact. Calls release the interpreter lock and keep no state but the key.

    Shapes: a batch of bits or forms is [count, M + 1] modulo Q; exponents are [count, n + 1] modulo 2N, body last;
    accumulators are [count, k + 1, N] modulo Q. Counts may be zero. Passing a key of another backend is a mistake.
    """

    @property
    def name(self) -> str: ...

    def prepare(self, key: EvaluationKey) -> PreparedKey:
        """The key ready for use: seconds, and some 250 MB for the large sets. Keep one per key."""
        ...

    def switch(self, key: PreparedKey, forms: U32Array) -> U16Array:
        """Key switch and modulus switch: rotation exponents of each form."""
        ...

    def rotate(self, key: PreparedKey, exponents: U16Array, start: int = 0, value: int = MU) -> U32Array:
        """Blind rotation of the test value +-`value`, group `start` first, wrapping around."""
        ...

    def bootstrap(self, key: PreparedKey, forms: U32Array) -> U32Array:
        """switch, rotate and extract: fresh bits with the signs of the forms."""
        ...

    def entry(self, key: PreparedKey, bits: EntryBits) -> U32Array:
        """Ordinary bits from committee input, one rotation each and no key switch."""
        ...

    def pack(self, key: PreparedKey, bits: U32Array) -> U32Array:
        """At most N bits as one ring ciphertext [k + 1, N]; coefficients past the count are noise only."""
        ...


def choose(name: str | None = None) -> Backend:
    """The named backend, or the one of `OCTRA_KERNEL`, or the fastest that runs here; one that passed its self-test.

    Names: "numpy", "native" (the fastest compiled kernel), "native-avx512", "native-avx2", "native-portable".
    Raises `BackendUnavailable` when the asked one cannot run, and `KernelMismatch` when one gives wrong bytes.
    """
    return _checked(name or os.environ.get("OCTRA_KERNEL") or "")


def why_slow(chosen: Backend) -> str | None:
    """Why `chosen` is NumPy rather than the compiled kernel, for a notice; None where a kernel runs."""
    if chosen.name != "numpy":
        return None
    from octra.hfhe.backend_native import NativeBackend

    try:
        NativeBackend("portable")
    except BackendUnavailable as error:
        return error.reason
    return "OCTRA_KERNEL asks for NumPy" if os.environ.get("OCTRA_KERNEL") else "not asked for"


@lru_cache(maxsize=8)
def _checked(name: str) -> Backend:
    from octra.hfhe import backend_native, selftest  # these import this module for the protocol
    from octra.hfhe.backend_numpy import NumpyBackend

    chosen: Backend
    match name.partition("-"):
        case ("", _, _):
            kernels = backend_native.available()
            chosen = backend_native.NativeBackend(kernels[0]) if kernels else NumpyBackend()
        case ("numpy", "", ""):
            chosen = NumpyBackend()
        case ("native", _, variant):
            chosen = backend_native.NativeBackend(variant or next(iter(backend_native.available()), "portable"))
        case _:
            raise BackendUnavailable(name, "no such backend")
    selftest.check(chosen)
    return chosen
