"""Every host function: name, wasm signature and the Python behind it. The checker, the linker and docs read this."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from octra.circles import limits
from octra.circles.host import calls, context, crypto, kv, output
from octra.circles.wasm import table as gas
from octra.circles.wasm.module import FuncType
from octra.circles.wasm.opcodes import I32, I64
from octra.codec import encode
from octra.crypto.hash import H


class HostFunction(NamedTuple):
    """A function that a Circle may import from module `octra`."""

    signature: FuncType
    run: Callable[..., int]  # (Call, *wasm arguments) -> result


def _row(arguments: str, run: Callable[..., int], result: int = I32) -> HostFunction:
    """`arguments` spells the parameters: i for 32 bits, l for 64."""
    return HostFunction(FuncType(tuple(I64 if letter == "l" else I32 for letter in arguments), (result,)), run)


HOST_FUNCTIONS: dict[str, HostFunction] = {
    "host_response_reset": _row("", output.response_reset),
    "host_response_write": _row("ii", output.response_write),
    "host_response_finish": _row("i", output.response_finish),
    "host_kv_get_len": _row("ii", kv.get_len),
    "host_kv_get": _row("iiii", kv.get),
    "host_kv_read": _row("iiii", kv.read),
    "host_kv_put": _row("iiii", kv.put),
    "host_kv_del": _row("ii", kv.delete),
    "host_kv_scan": _row("iiiii", kv.scan),
    "host_kv_next": _row("iii", kv.next_row),
    "host_kv_usage": _row("", kv.usage, I64),
    "host_epoch": _row("", context.epoch, I64),
    "host_height": _row("", context.height, I64),
    "host_time_ms": _row("", context.time_ms, I64),
    "host_gas_left": _row("", context.gas_left, I64),
    "host_bootstraps_left": _row("", context.bootstraps_left, I64),
    "host_caller_len": _row("", context.caller_len),
    "host_caller_read": _row("ii", context.caller_read),
    "host_self_len": _row("", context.self_len),
    "host_self_read": _row("ii", context.self_read),
    "host_origin_len": _row("", context.origin_len),
    "host_origin_read": _row("ii", context.origin_read),
    "host_value": _row("", context.value, I64),
    "host_balance": _row("", context.balance, I64),
    "host_tx_id": _row("i", context.tx_id),
    "host_chain_id": _row("ii", context.chain_id),
    "host_is_view": _row("", context.is_view),
    "host_random": _row("iii", context.random),
    "host_emit_event": _row("iiii", output.emit_event),
    "host_abort": _row("ii", output.abort),
    "host_log": _row("ii", output.log),
    "host_hash": _row("iiii", crypto.hash_),
    "host_ed25519_verify": _row("iiii", crypto.ed25519_verify),
    "host_transfer": _row("iil", calls.transfer),
    "host_circle_invoke_len": _row("ii", calls.invoke_len),
    "host_circle_invoke": _row("iiii", calls.invoke),
    "host_hfhe_invoke_len": _row("ii", calls.hfhe_invoke_len),
    "host_hfhe_invoke": _row("iiii", calls.hfhe_invoke),
}

SIGNATURES: dict[str, FuncType] = {name: function.signature for name, function in HOST_FUNCTIONS.items()}


def gas_table_hash() -> bytes:
    """What genesis names: all prices and all limits that decide a call's outcome."""
    numbers = {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)}
    rules = [
        gas.TABLE_VERSION,
        list(gas.COSTS),
        [gas.BULK, gas.BULK_SHIFT, gas.PAGE_GAS, gas.CIRCLE_CALL, gas.HOST_CALL, gas.FRAME_WEIGHT, gas.FRAME_GAS_SHIFT],
        sorted((name, value) for name, value in numbers.items() if not name.startswith("WORKER_")),
        [[name, list(kind.parameters), list(kind.results)] for name, (kind, _) in sorted(HOST_FUNCTIONS.items())],
        _host_prices(),
    ]
    return H("octra.c.gas", encode(rules))


def _host_prices() -> list[tuple[str, int]]:
    """The `_..._GAS` numbers of the host modules."""
    return sorted(
        (f"{module.__name__.rpartition('.')[2]}{name}", value)
        for module in (calls, context, crypto, kv, output)
        for name, value in vars(module).items()
        if name.endswith("_GAS") and isinstance(value, int)
    )
