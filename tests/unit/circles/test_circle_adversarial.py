"""Hostile programs: each ends with its own status and exact gas, the same under compiler and interpreter."""

from __future__ import annotations

import pytest

from octra.circles import limits
from octra.circles.inprocess import WasmEngine
from octra.circles.testing import Shelf, call_of, contract
from octra.consensus.ports import CallOutcome

LIMIT = 10_000_000
DEEP_LOCALS = " ".join("(local i64)" for _ in range(990))

HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "infinite loop": (contract("(loop (br 0)) (i32.const 0)"), "out_of_gas", ""),
    "infinite loop of host calls": (
        contract("(loop (drop (call $host_epoch )) (br 0)) (i32.const 0)"),
        "out_of_gas",
        "",
    ),
    "start function that never ends": (contract(extra="(func $s (loop (br 0))) (start $s)"), "out_of_gas", ""),
    "initialiser that never ends": (contract(extra='(func (export "_initialize") (loop (br 0)))'), "out_of_gas", ""),
    "thin recursion": (
        contract("(call $f)", extra="(func $f (result i32) (i32.add (i32.const 1) (call $f)))"),
        "depth_exceeded",
        "",
    ),
    "recursion with 990 locals": (
        contract("(call $f)", extra=f"(func $f (result i32) {DEEP_LOCALS} (i32.add (i32.const 1) (call $f)))"),
        "depth_exceeded",
        "",
    ),
    "recursion with 900 live operands": (
        contract(
            "(call $f)",
            extra="(func $f (result i32) " + "(memory.size) " * 900 + "(call $f) " + "(i32.add) " * 900 + ")",
        ),
        "depth_exceeded",
        "",
    ),
    "indirect recursion": (
        contract(
            "(call_indirect (result i32) (i32.const 0))",
            extra="(table 1 funcref) (elem (i32.const 0) $f)"
            " (func $f (result i32) (i32.add (i32.const 1) (call_indirect (result i32) (i32.const 0))))",
        ),
        "depth_exceeded",
        "",
    ),
    "mutual recursion": (
        contract(
            "(call $f)",
            extra="(func $f (result i32) (i32.eqz (call $g))) (func $g (result i32) (i32.eqz (call $f)))",
        ),
        "depth_exceeded",
        "",
    ),
    "grow by four billion pages": (contract("(memory.grow (i32.const -1))"), "out_of_gas", ""),
    "grow and touch all pages": (
        contract(
            "(drop (memory.grow (i32.const 511))) (loop (i32.store (local.get $i) (i32.const 1))"
            " (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096))) (i32.const 33554432))))"
            " (i32.const 0)"
        ),
        "ok",
        "",
    ),
    "fill the memory again and again": (
        contract(
            "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)) (i32.const 0)",
        ),
        "out_of_gas",
        "",
    ),
    "fill beyond the memory": (
        contract("(memory.fill (i32.const 1) (i32.const 1) (i32.const 65536)) (i32.const 0)"),
        "trapped",
        "memory out of bounds",
    ),
    "bulk size with the top bit set": (
        contract("(memory.fill (i32.const 0) (i32.const 1) (i32.const -8)) (i32.const 0)"),
        "out_of_gas",
        "",
    ),
    "store past the end": (
        contract("(i32.store (i32.const 65533) (i32.const 1)) (i32.const 0)"),
        "trapped",
        "memory out of bounds",
    ),
    "load at the top of the address space": (
        contract("(drop (i64.load offset=4294967295 (i32.const -1))) (i32.const 0)"),
        "trapped",
        "memory out of bounds",
    ),
    "data segment past the end": (contract(extra='(data (i32.const 65536) "x")'), "trapped", "memory out of bounds"),
    "element segment past the end": (
        contract(extra="(table 1 funcref) (func $f) (elem (i32.const 1) $f)"),
        "trapped",
        "table out of bounds",
    ),
    "division by zero": (
        contract("(i32.div_s (i32.const 1) (local.get $i))"),
        "trapped",
        "division by zero",
    ),
    "division that overflows": (
        contract("(i32.div_s (i32.const 0x80000000) (i32.sub (local.get $i) (i32.const 1)))"),
        "trapped",
        "integer overflow",
    ),
    "float conversion out of range": (
        contract("(i32.trunc_f64_s (f64.const 1e10))"),
        "trapped",
        "integer overflow",
    ),
    "conversion of a NaN": (
        contract("(i32.trunc_f32_s (f32.const nan))"),
        "trapped",
        "conversion of a float out of range",
    ),
    "unreachable": (contract("unreachable"), "trapped", "unreachable"),
    "indirect call to nothing": (
        contract("(call_indirect (i32.const 0)) (i32.const 0)", extra="(table 1 funcref)"),
        "trapped",
        "indirect call to nothing",
    ),
    "indirect call past the table": (
        contract("(call_indirect (i32.const 7)) (i32.const 0)", extra="(table 1 funcref)"),
        "trapped",
        "table out of bounds",
    ),
    "indirect call of another type": (
        contract(
            "(call_indirect (result i64) (i32.const 0)) (drop) (i32.const 0)",
            extra="(table 1 funcref) (func $f) (elem (i32.const 0) $f)",
        ),
        "trapped",
        "indirect call of another type",
    ),
    "branch table with a thousand targets": (
        contract(
            "(loop $again (block $out (br_table "
            + "$again " * 1_000
            + "$out (i32.and (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1023))))) (i32.const 0)"
        ),
        "ok",
        "",
    ),
    "response flood": (
        contract("(loop (drop (call $host_response_write (i32.const 0) (i32.const 65536))) (br 0)) (i32.const 0)"),
        "limit_exceeded",
        "the response exceeds 2097152 bytes",
    ),
    "event flood": (
        contract(
            "(loop (drop (call $host_emit_event (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))) (br 0)) (i32.const 0)"
        ),
        "limit_exceeded",
        "events",
    ),
    "event too large": (
        contract("(call $host_emit_event (i32.const 0) (i32.const 257) (i32.const 0) (i32.const 1))"),
        "limit_exceeded",
        "events",
    ),
    "pointer at the memory's end": (
        contract("(call $host_response_write (i32.const 65536) (i32.const 1))"),
        "memory_fault",
        "a pointer leaves the memory",
    ),
    "pointer that wraps around": (
        contract("(call $host_response_write (i32.const -1) (i32.const 2))"),
        "memory_fault",
        "a pointer leaves the memory",
    ),
    "size with the top bit set": (
        contract("(call $host_kv_get_len (i32.const 0) (i32.const -2147483648))"),
        "memory_fault",
        "a pointer leaves the memory",
    ),
    "abort with a reason": (
        contract("(call $host_abort (i32.const 0) (i32.const 5))", extra='(data (i32.const 0) "enoug")'),
        "aborted",
        "enoug",
    ),
    "call into another Circle": (
        contract(
            "(call $host_circle_invoke_len (i32.const 0) (i32.const 14))",
            extra='(data (i32.const 0) "OCWR1\\00\\05spawn\\00\\00")',
        ),
        "method_unsupported",
        "spawn",
    ),
    "encrypted arithmetic": (
        contract(
            "(call $host_hfhe_invoke_len (i32.const 0) (i32.const 14))",
            extra='(data (i32.const 0) "OCWR1\\00\\05fhe_a\\00\\00")',
        ),
        "fhe_scheme_unsupported",
        "fhe_a",
    ),
    "own return code": (contract("(i32.const 60)"), "reverted", "60"),
    "negative return code": (contract("(i32.const -1)"), "reverted", "-1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_end_with_their_status(name: str, engine: WasmEngine, interpreter: WasmEngine) -> None:
    code, status, detail = HOSTILE[name]
    outcome = run(code, engine)
    assert (outcome.status, outcome.detail) == (status, detail)
    assert outcome == run(code, interpreter), "the interpreter gives the same outcome and the same gas"
    assert 0 < outcome.gas_used <= LIMIT
    assert (outcome.gas_used == LIMIT) == (status == "out_of_gas")
    if status != "ok":
        assert (outcome.diff, outcome.events, outcome.transfers) == ((), (), ())


def run(code: bytes, engine: WasmEngine, *, gas_limit: int = LIMIT) -> CallOutcome:
    shelf = Shelf()
    return engine.execute([call_of(shelf.install(code), gas_limit=gas_limit)], shelf)[0]


def test_gas_of_a_call_is_the_sum_of_its_parts(engine: WasmEngine) -> None:
    frame = 5 + 2 + 3 + 2  # magic, name length, "run", argument count
    fixed = 20_000 + 1 * 4_000 + 0 // 8 + frame
    alloc = (16 + 1 + 0 + 1) // 4 + 2  # const, end
    entry = (16 + 2 + 3 + 1) // 4 + 2  # 2 parameters, 3 locals, 1 operand
    assert run(contract(), engine).gas_used == fixed + alloc + entry


def test_one_gas_less_than_needed_is_out_of_gas_and_takes_all(engine: WasmEngine) -> None:
    code = contract(
        "(i32.store8 (i32.const 0) (i32.const 107)) (call $host_kv_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 9))"
    )
    needed = run(code, engine).gas_used
    assert run(code, engine, gas_limit=needed).status == "ok"
    short = run(code, engine, gas_limit=needed - 1)
    assert (short.status, short.gas_used, short.diff) == ("out_of_gas", needed - 1, ())


@pytest.mark.parametrize("gas_limit", [1, 20_000, 24_011])
def test_a_limit_below_the_cost_of_a_call_starts_nothing(gas_limit: int, engine: WasmEngine) -> None:
    assert run(contract(), engine, gas_limit=gas_limit).status == "out_of_gas"


def test_a_gas_limit_above_the_chains_is_refused_without_running(engine: WasmEngine) -> None:
    outcome = run(contract(), engine, gas_limit=limits.GAS_LIMIT_MAX + 1)
    assert (outcome.status, outcome.gas_used) == ("limit_exceeded", 0)


def test_a_view_may_burn_five_times_as_much(engine: WasmEngine) -> None:
    shelf = Shelf()
    call = call_of(shelf.install(contract()), gas_limit=limits.VIEW_GAS_MAX)
    assert engine.query(call, shelf).status == "ok"
    above = call_of(call.code_hash, gas_limit=limits.VIEW_GAS_MAX + 1)
    assert engine.query(above, shelf).status == "limit_exceeded"


def test_allocator_outside_the_memory_traps(engine: WasmEngine) -> None:
    # In the test contract, octra_alloc's body is `i32.const 1024`; -1 as two bytes is ff 7f.
    code = contract().replace(b"\x41\x80\x08\x0b", b"\x41\xff\x7f\x0b")
    outcome = run(code, engine)
    assert (outcome.status, outcome.detail) == ("trapped", "octra_alloc gave no room for the request")


def test_nan_bits_are_canonical_wherever_they_come_from(engine: WasmEngine, interpreter: WasmEngine) -> None:
    code = contract(
        "(f64.store (i32.const 0) (f64.div (f64.const 0) (f64.const 0)))"
        "(f64.store (i32.const 8) (f64.add (f64.reinterpret_i64 (i64.const 0x7ff8dead0000beef)) (f64.const 1)))"
        "(f32.store (i32.const 16) (f32.sqrt (f32.const -1)))"
        "(f32.store (i32.const 20) (f32.demote_f64 (f64.reinterpret_i64 (i64.const 0xfff4000000000001))))"
        "(f64.store (i32.const 24) (f64.min (f64.reinterpret_i64 (i64.const 0xfff8000000000001)) (f64.const 1)))"
        "(drop (call $host_response_write (i32.const 0) (i32.const 32))) (i32.const 0)"
    )
    quiet_64, quiet_32 = (0x7FF8 << 48).to_bytes(8, "little"), (0x7FC0 << 16).to_bytes(4, "little")
    for machine in (engine, interpreter):
        assert run(code, machine).response == quiet_64 * 2 + quiet_32 * 2 + quiet_64


def test_growing_past_512_pages_fails_for_the_guest_and_not_for_the_node(engine: WasmEngine) -> None:
    code = contract(
        "(local.set $i (memory.grow (i32.const 511))) (local.set $j (memory.grow (i32.const 1)))"
        "(i32.add (i32.mul (local.get $i) (i32.const 10)) (local.get $j))"
    )
    assert run(code, engine).detail == "9"  # 1 page before, then -1


def test_own_maximum_of_the_memory_holds_below_the_chains(engine: WasmEngine) -> None:
    code = contract("(memory.grow (i32.const 2))", memory='(memory (export "memory") 1 2)')
    assert run(code, engine).detail == "-1"


def test_code_that_reads_uninitialised_memory_after_another_call_sees_zeros(engine: WasmEngine) -> None:
    code = contract(
        "(local.set $i (i32.load (i32.const 4096))) (i32.store (i32.const 4096) (i32.const 77)) (local.get $i)"
    )
    shelf = Shelf()
    call = call_of(shelf.install(code))
    assert [outcome.status for outcome in engine.execute([call, call, call], shelf)] == ["ok"] * 3


def test_missing_entry_point_is_named(engine: WasmEngine) -> None:
    code = contract().replace(b"octra_query", b"my_octra_q_")
    shelf = Shelf()
    outcome = engine.query(call_of(shelf.install(code)), shelf)
    assert (outcome.status, outcome.detail) == ("method_unsupported", "octra_query")
