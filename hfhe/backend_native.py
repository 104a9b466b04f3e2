"""The compiled backend: number-theoretic transforms in C++ behind a plain C interface that frees the interpreter.

The library holds one kernel for each instruction set and the processor decides which may run; all give the same bytes
as NumPy. `python -m octra.native_build` compiles it in place; wheels bring it along.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from octra.hfhe import bootstrap as steps
from octra.hfhe.backend import PreparedKey
from octra.hfhe.ciphertext import EntryBits, U16Array, U32Array
from octra.hfhe.errors import BackendUnavailable
from octra.hfhe.keys import EvaluationKey, PublicKey
from octra.hfhe.native_library import available, library
from octra.hfhe.params import MU, Gadget, ParameterSet, Q

__all__ = ["NativeBackend", "available"]

_ALIGNMENT: Final = 64
_SWITCH_ALIGNMENT: Final = 32  # coefficients: rows of switch tables start at a cache line
_Number = TypeVar("_Number", np.uint16, np.uint32)
_BLOCK: Final = 64  # accumulators that share one pass through the key: 400 kB, beside 220 kB of one key group


class _SwitchShape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("dimension", "lwe", "log", "base_log", "digits", "stride")]


@dataclass(frozen=True, slots=True, eq=False)
class _NativeKey:
    """Key material in the order of one kernel."""

    params: ParameterSet
    public: PublicKey
    engine: int
    rows: U32Array
    switch: U16Array  # [M * digits * half, stride]
    packing: U32Array | None
    packing_engine: int


class NativeBackend:
    """One compiled kernel. Raises `BackendUnavailable` if it was not built or the processor cannot run it."""

    def __init__(self, variant: str) -> None:
        self._library = library()
        self._variant = self._library.octra_variant(variant.encode())
        if not self._variant:
            raise BackendUnavailable(f"native-{variant}", "this processor cannot run it")
        self.name = f"native-{variant}"

    def prepare(self, key: EvaluationKey) -> PreparedKey:
        params = key.params
        engine = self._engine(params, params.gadget)
        group_size = params.messages * params.rows * (params.k + 1) * params.N
        rows = _aligned(params.groups * group_size, np.uint32)
        for group in range(params.groups):
            values = np.ascontiguousarray(key.bootstrap_rows(group), np.uint32)
            self._library.octra_load_group(engine, _at(values), _at(rows, group * group_size))
        stride = -(-(params.n + 1) // _SWITCH_ALIGNMENT) * _SWITCH_ALIGNMENT
        count = params.switch_digits * params.switch_half
        switch = _aligned(params.M * count * stride, np.uint16).reshape(params.M * count, stride)
        for index in range(params.M):
            switch[index * count : (index + 1) * count, : params.n + 1] = key.switch_rows(index).reshape(count, -1)
        packing, packing_engine = None, 0
        if params.packing is not None:
            packing_engine = self._engine(params, params.packing)
            row_size = params.packing.digits * (params.k + 1) * params.N
            packing = _aligned(params.M * row_size, np.uint32)
            for index in range(params.M):
                values = np.ascontiguousarray(key.packing_rows(index), np.uint32)
                self._library.octra_load_packing(packing_engine, _at(values), _at(packing, index * row_size))
        return _NativeKey(params, key.public, engine, rows, switch, packing, packing_engine)

    def switch(self, key: PreparedKey, forms: U32Array) -> U16Array:
        assert isinstance(key, _NativeKey)
        params, stride = key.params, key.switch.shape[1]
        forms = np.ascontiguousarray(forms, np.uint32)
        shape = _SwitchShape(
            params.M, params.n, params.switch_log, params.switch_base_log, params.switch_digits, stride
        )
        switched = _aligned(len(forms) * stride, np.uint16).reshape(len(forms), stride)
        self._library.octra_key_switch(
            self._variant, ctypes.byref(shape), _at(forms), _at(key.switch), _at(switched), len(forms)
        )
        lwe = switched[:, : params.n + 1] & np.uint16((1 << params.switch_log) - 1)
        return steps.modulus_switch(params, lwe)

    def rotate(self, key: PreparedKey, exponents: U16Array, start: int = 0, value: int = MU) -> U32Array:
        assert isinstance(key, _NativeKey)
        params = key.params
        exponents = np.ascontiguousarray(exponents, np.uint16)
        size = (params.k + 1) * params.N
        accumulators = _aligned(len(exponents) * size, np.uint32).reshape(len(exponents), params.k + 1, params.N)
        accumulators[:, -1] = steps.test_polynomial(params, exponents, value)
        for first in range(0, len(exponents), _BLOCK):
            self._library.octra_rotate(
                key.engine,
                _at(accumulators, first * size),
                _at(key.rows),
                _at(exponents, first * (params.n + 1)),
                min(_BLOCK, len(exponents) - first),
                params.n,
                start % params.groups,
            )
        return accumulators

    def bootstrap(self, key: PreparedKey, forms: U32Array) -> U32Array:
        return steps.bootstrap(self, key, forms)

    def entry(self, key: PreparedKey, bits: EntryBits) -> U32Array:
        return steps.entry(self, key, bits)

    def pack(self, key: PreparedKey, bits: U32Array) -> U32Array:
        assert isinstance(key, _NativeKey)
        params = key.params
        assert key.packing is not None
        assert len(bits) <= params.N
        masks = np.ascontiguousarray(bits[:, :-1].T, np.uint32)
        result = _aligned((params.k + 1) * params.N, np.uint32).reshape(params.k + 1, params.N)
        self._library.octra_pack(key.packing_engine, _at(masks), len(bits), _at(key.packing), _at(result))
        body = result[-1, : len(bits)].astype(np.int64) + bits[:, -1]
        result[-1, : len(bits)] = body % Q
        return result

    def _engine(self, params: ParameterSet, gadget: Gadget) -> int:
        log_n = params.N.bit_length() - 1
        engine = self._library.octra_engine(self._variant, log_n, params.k, gadget.digits, gadget.base_log)
        if not engine:
            raise BackendUnavailable(self.name, f"no kernel for set {params.name}")
        return int(engine)


def _aligned(count: int, kind: type[_Number]) -> npt.NDArray[_Number]:
    """Zeros at an address that is a multiple of a cache line, with readable memory behind them for wide loads."""
    size = np.dtype(kind).itemsize
    memory = np.zeros(count * size + 2 * _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + count * size].view(kind)


def _at(array: npt.NDArray[Any], index: int = 0) -> int:  # Any: an address has no element type
    """The address of an element of a contiguous array."""
    assert array.flags.c_contiguous
    return int(array.ctypes.data + index * array.itemsize)
