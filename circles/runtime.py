"""Runs one call: a fresh instance, the entry sequence, and the translation of every end into a status.

A status depends only on the module, the call and the state. Whatever else can happen in an engine (no memory, a
full stack, an unknown trap) raises `ExecutorUnavailable`, and the node gives no result.
"""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from octra.circles import limits
from octra.circles.engine import Backend, new_engine, new_store, validate
from octra.circles.errors import CallFailed, ExecutorUnavailable, InvalidFrame
from octra.circles.frame import encode_request
from octra.circles.host.call import Call
from octra.circles.host.table import HOST_FUNCTIONS, SIGNATURES
from octra.circles.state import CircleState, Overlay
from octra.circles.wasm.check import HOST_MODULE, check, check_exports
from octra.circles.wasm.meter import DEPTH_EXPORT, DEPTH_NO_MEMORY, GAS_EXPORT, START_EXPORT, MeteredModule, meter
from octra.circles.wasm.opcodes import I64
from octra.circles.wasm.table import HOST_CALL
from octra.consensus.ports import CallOutcome, CircleCall, CircleView

_TRAPS = {
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "memory out of bounds",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "table out of bounds",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "indirect call to nothing",
    wasmtime.TrapCode.BAD_SIGNATURE: "indirect call of another type",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "integer overflow",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "division by zero",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "conversion of a float out of range",
    wasmtime.TrapCode.UNREACHABLE: "unreachable",
}
# Binding keeps one exception for the whole process while it unwinds the guest: two threads would mix theirs.
_ONE_GUEST = threading.Lock()


def prepare(code: bytes) -> MeteredModule:
    """The metered form of a Circle's module; raises `InvalidModule`. Pure: this alone decides a deploy."""
    checked = check(code, SIGNATURES)
    check_exports(checked)
    return meter(checked)


class Runtime:
    """An engine with the host functions linked and the last modules compiled. One call runs at a time."""

    def __init__(self, backend: Backend = "cranelift", preparing: Callable[[], None] = lambda: None) -> None:
        self._engine = new_engine(backend)
        self._preparing = preparing  # told before a module is compiled, which takes seconds for the largest
        self._linker = wasmtime.Linker(self._engine)
        self._call: Call | None = None
        self._programs: OrderedDict[bytes, tuple[MeteredModule, Any]] = OrderedDict()
        for name, function in HOST_FUNCTIONS.items():
            parameters, results = ([_value_type(kind) for kind in kinds] for kinds in function.signature)
            self._linker.define_func(
                HOST_MODULE, name, wasmtime.FuncType(parameters, results), self._hosted(function.run)
            )

    def check(self, code: bytes) -> MeteredModule:
        """Both verdicts on a module: ours (`InvalidModule`), then the engine's (`EngineDisagrees`)."""
        module = prepare(code)
        validate(self._engine, module)
        return module

    def run_all(self, calls: Sequence[CircleCall], view: CircleView, done: Callable[[CallOutcome], None]) -> None:
        """Runs the calls in order; a later call of a Circle sees what earlier ones left, its balance and usage too."""
        states: dict[bytes, CircleState] = {}
        for call in calls:
            state = states.get(call.circle)
            if state is None:
                state = states[call.circle] = CircleState(view, call.circle, call.usage, call.balance)
            done(self.run(call, state))

    def run(self, call: CircleCall, state: CircleState) -> CallOutcome:
        """The outcome of one call; commits its writes into `state` when it succeeds and is no view."""
        module, pre = self._program(call.code_hash, state.view)
        overlay = Overlay(state, call.max_stable_bytes, state.balance + call.value)
        try:
            frame = encode_request(call.method, call.arguments)
        except InvalidFrame as error:
            return _refused("limit_exceeded", error.reason, 0, state)
        gas = call.gas_limit - module.call_cost - len(frame)
        if call.gas_limit > (limits.VIEW_GAS_MAX if call.view else limits.GAS_LIMIT_MAX):
            return _refused("limit_exceeded", "the gas limit is above the chain's", 0, state)
        if gas < 0:
            return _refused("out_of_gas", "", call.gas_limit, state)
        entry = "octra_query" if call.view else "octra_update"
        if entry not in module.checked.exports:
            return _refused("method_unsupported", entry, call.gas_limit - gas, state)
        hosted = Call(_Guest(new_store(self._engine), gas), call, overlay)
        with _ONE_GUEST:
            status, detail, left = self._enter(hosted, module, pre, entry, frame)
        return _settle(
            hosted, state, status, detail, call.gas_limit if status == "out_of_gas" else call.gas_limit - left
        )

    def _enter(self, hosted: Call, module: MeteredModule, pre: Any, entry: str, frame: bytes) -> tuple[str, str, int]:
        """Lets the guest run: how it ended, and the gas that is left."""
        guest = hosted.guest
        assert isinstance(guest, _Guest)
        status, detail = "ok", ""
        self._call = hosted
        try:
            guest.instantiate(pre)
            code = _entry_sequence(guest, module, entry, frame)
            if code != 0:
                status, detail = "reverted", str(code)
        except CallFailed as failed:
            status, detail = failed.status, failed.detail
        except wasmtime.Trap as trap:
            status, detail = _judge(trap, guest)
        except wasmtime.WasmtimeError as error:
            raise ExecutorUnavailable(str(error).splitlines()[0]) from error
        finally:
            self._call = None
            left = guest.close()
        return status, detail, left

    def _program(self, code_hash: bytes, view: CircleView) -> tuple[MeteredModule, Any]:
        found = self._programs.get(code_hash)
        if found is not None:
            self._programs.move_to_end(code_hash)
            return found
        code = view.code(code_hash)
        if code is None:
            raise ExecutorUnavailable("the Circle's code is not here")
        self._preparing()
        module = self.check(code)
        try:
            pre = self._linker.instantiate_pre(wasmtime.Module(self._engine, module.code))
        except wasmtime.WasmtimeError as error:
            raise ExecutorUnavailable(str(error).splitlines()[0]) from error
        self._programs[code_hash] = module, pre
        if len(self._programs) > limits.WORKER_PROGRAMS_KEPT:
            self._programs.popitem(last=False)
        return module, pre

    def _hosted(self, function: Callable[..., int]) -> Callable[..., int]:
        def run(*arguments: int) -> int:
            call = self._call
            assert call is not None, "the guest runs only inside a call"
            call.gas = call.guest.gas()
            try:
                call.charge(HOST_CALL)
                return function(call, *arguments)
            finally:
                call.guest.set_gas(call.gas)

        return run


class _Guest:
    """The instance of one call.

    Gas and memory are reached through the engine's C interface: the binding's own objects cost ten times as much,
    and every host function needs both. The engine's release is pinned, so its private module may be named.
    """

    def __init__(self, store: wasmtime.Store, gas: int) -> None:
        self._store, self._context, self._gas_before = store, store._context(), gas
        self._exports: Any = None
        self._value = ffi.wasmtime_val_t()
        self._value.kind = ffi.WASMTIME_I64.value
        self._value_ref = ctypes.byref(self._value)

    def instantiate(self, pre: Any) -> None:
        self._exports = pre.instantiate(self._store).exports(self._store)
        self._gas_ref = ctypes.byref(self._exports[GAS_EXPORT]._global)
        self._memory_ref = ctypes.byref(self._exports["memory"]._memory)
        self.set_gas(self._gas_before)

    def call(self, name: str, *arguments: int) -> Any:
        return self._exports[name](self._store, *arguments)

    def has(self, name: str) -> bool:
        return name in self._exports

    def gas(self) -> int:
        if self._exports is None:
            return self._gas_before
        ffi.wasmtime_global_get(self._context, self._gas_ref, self._value_ref)
        return int(self._value.of.i64)

    def set_gas(self, gas: int) -> None:
        self._value.of.i64 = gas
        error = ffi.wasmtime_global_set(self._context, self._gas_ref, self._value_ref)
        assert not error, "the gas global is mutable and 64 bits wide"

    def depth(self) -> int:
        return 0 if self._exports is None else int(self._exports[DEPTH_EXPORT].value(self._store))

    def close(self) -> int:
        """Frees the instance now and returns the gas that was left.

        A trap's exception refers to itself through its traceback, so without this the collector would let dead
        instances and their 4 GiB of reserved addresses pile up.
        """
        left = self.gas()
        self._store.close()
        return left

    def memory_size(self) -> int:
        return int(ffi.wasmtime_memory_data_size(self._context, self._memory_ref))

    def read(self, start: int, size: int) -> bytes:
        return ctypes.string_at(self._base() + start, size)

    def write(self, start: int, data: bytes) -> None:
        ctypes.memmove(self._base() + start, data, len(data))

    def _base(self) -> int:
        return ctypes.addressof(ffi.wasmtime_memory_data(self._context, self._memory_ref).contents)


def _entry_sequence(guest: _Guest, module: MeteredModule, entry: str, frame: bytes) -> int:
    """Start function, initialiser, place for the request, the call itself: its return code."""
    for name in (START_EXPORT, "_initialize"):
        if guest.has(name):
            guest.call(name)
    place = guest.call("octra_alloc", len(frame))
    if place < 0 or place + len(frame) > guest.memory_size():
        raise CallFailed("trapped", "octra_alloc gave no room for the request")
    guest.write(place, frame)
    return int(guest.call(entry, place, len(frame)))


def _judge(trap: wasmtime.Trap, guest: _Guest) -> tuple[str, str]:
    """The status behind a trap; one that engines may differ in is no result."""
    kind = _TRAPS.get(_trap_code(trap))
    if kind is None:
        raise ExecutorUnavailable("the engine stopped the call") from trap
    if kind == "unreachable":
        depth = guest.depth()
        if depth == DEPTH_NO_MEMORY:
            raise ExecutorUnavailable("no memory for the guest") from trap
        if guest.gas() < 0:
            return "out_of_gas", ""
        if depth > limits.DEPTH_MAX:
            return "depth_exceeded", ""
    return "trapped", kind


def _trap_code(trap: wasmtime.Trap) -> wasmtime.TrapCode | None:
    try:
        return trap.trap_code
    except ValueError:  # a kind that the binding does not know
        return None


def _settle(hosted: Call, state: CircleState, status: str, detail: str, gas_used: int) -> CallOutcome:
    """The outcome of a call that ran; a success that is no view is committed into `state`."""
    response = bytes(hosted.response) if status in ("ok", "reverted") else b""
    log = tuple(hosted.log)
    if status != "ok" or hosted.facts.view:
        return CallOutcome(status, detail, response, gas_used, usage=state.usage, log=log)
    overlay = hosted.overlay
    outcome = CallOutcome(
        status="ok",
        detail="",
        response=response,
        gas_used=gas_used,
        diff=overlay.diff(),
        usage=overlay.usage,
        events=tuple(hosted.events),
        transfers=tuple(hosted.transfers),
        log=log,
    )
    state.commit(overlay)
    return outcome


def _refused(status: str, detail: str, gas_used: int, state: CircleState) -> CallOutcome:
    """The outcome of a call that never ran."""
    return CallOutcome(status, detail, b"", gas_used, usage=state.usage)


def _value_type(kind: int) -> wasmtime.ValType:
    return wasmtime.ValType.i64() if kind == I64 else wasmtime.ValType.i32()
