"""Which modules a Circle may be: every refusal has its own name, and nothing valid is refused by mistake."""

from __future__ import annotations

import pytest
import wasmtime

from octra.circles import limits
from octra.circles.engine import new_engine
from octra.circles.errors import InvalidModule
from octra.circles.host.table import SIGNATURES
from octra.circles.testing import compile_wat, contract
from octra.circles.wasm.check import check, check_exports
from octra.circles.wasm.meter import meter, signed, unsigned
from octra.circles.wasm.module import FuncType
from octra.circles.wasm.opcodes import I32
from octra.circles.wasm.reader import Reader

HEAD = b"\0asm\1\0\0\0"


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + unsigned(len(content)) + content


def vector(*items: bytes) -> bytes:
    return unsigned(len(items)) + b"".join(items)


def body(code: bytes, locals_: bytes = b"\0") -> bytes:
    return unsigned(len(locals_ + code)) + locals_ + code


VOID = b"\x60\0\0"
ONE_TYPE = section(1, vector(VOID))
ONE_FUNCTION = section(3, vector(b"\0"))


def module_of(code: bytes, *, before: bytes = b"", locals_: bytes = b"\0", type_: bytes = VOID) -> bytes:
    """A module of one function with the given body."""
    return HEAD + section(1, vector(type_)) + ONE_FUNCTION + before + section(10, vector(body(code, locals_)))


def rule_of(code: bytes) -> str:
    with pytest.raises(InvalidModule) as refusal:
        check_exports(check(code, SIGNATURES))
    return refusal.value.rule


REFUSED_FEATURES = {
    "shared memory": ("(module (memory 1 1 shared))", "threads"),
    "atomics": ("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "threads"),
    "simd values": ("(module (func (local v128)))", "simd"),
    "simd instructions": ("(module (func (drop (v128.const i32x4 0 0 0 0))))", "simd"),
    "64-bit memory": ("(module (memory i64 1))", "memory64"),
    "two memories": ("(module (memory 1) (memory 1))", "multi_memory"),
    "tail calls": ("(module (func $f (return_call $f)))", "tail_call"),
    "gc types": ("(module (type (struct (field i32))))", "gc"),
    "typed function references": ("(module (type $t (func)) (func (param (ref null $t))))", "typed_references"),
    "reference parameters": ("(module (func (param externref)))", "reference_values"),
    "table.get": ("(module (table 1 funcref) (func (drop (table.get 0 (i32.const 0)))))", "reference_values"),
    "table.grow": (
        "(module (table 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 1)))))",
        "reference_values",
    ),
    "ref.func": ("(module (func $f (drop (ref.func $f))) (elem declare func $f))", "reference_values"),
    "passive elements": ("(module (table 1 funcref) (elem func))", "reference_values"),
    "tags": ("(module (tag))", "exceptions"),
    "try_table": ("(module (func (try_table)))", "exceptions"),
    "two tables": ("(module (table 1 funcref) (table 1 funcref))", "tables"),
    "20 M table entries": ("(module (table 20000000 funcref))", "table_entries"),
    "33 MiB of memory": ("(module (memory 528))", "memory_pages"),
    "imported memory": ('(module (import "octra" "memory" (memory 1)))', "imported_memory"),
    "imported global": ('(module (import "octra" "g" (global i32)))', "import_kind"),
    "a clock": (
        '(module (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32))))',
        "import_unsupported",
    ),
    "a clock of our own module": (
        '(module (import "octra" "host_clock_ms" (func (result i64))))',
        "import_unsupported",
    ),
    "assemblyscript's abort": ('(module (import "env" "abort" (func (param i32 i32 i32 i32))))', "import_unsupported"),
    "tensors": ('(module (import "octra" "host_tensor_new" (func (result i32))))', "import_unsupported"),
    "a host function of another type": (
        '(module (import "octra" "host_epoch" (func (result i32))))',
        "import_signature",
    ),
    "extended constants": ("(module (global i32 (i32.add (i32.const 1) (i32.const 2))))", "constant"),
    "initialiser from a global": ("(module (global i32 (i32.const 1)) (global i32 (global.get 0)))", "index"),
    "an export named octra_gas": ('(module (func (export "octra_gas")))', "export_reserved"),
    "an export named octra_start": ('(module (func (export "octra_start")))', "export_reserved"),
    "no memory": ("(module)", "export_missing"),
    "no entry point": (
        '(module (memory (export "memory") 1) (func (export "octra_alloc") (param i32) (result i32) (i32.const 0)))',
        "export_missing",
    ),
    "an entry point of another type": (
        '(module (memory (export "memory") 1) (func (export "octra_alloc") (param i32) (result i32) (i32.const 0))'
        ' (func (export "octra_update")))',
        "export_missing",
    ),
}


@pytest.mark.parametrize("name", REFUSED_FEATURES)
def test_each_refused_feature_has_its_own_rule(name: str) -> None:
    source, rule = REFUSED_FEATURES[name]
    assert rule_of(compile_wat(source)) == rule


MALFORMED = {
    "no magic": (b"\0bsm\1\0\0\0", "magic"),
    "empty file": (b"", "magic"),
    "another version": (b"\0asm\2\0\0\0", "version"),
    "a component": (b"\0asm\x0d\0\1\0", "component_model"),
    "section cut short": (HEAD + b"\1\5\1", "truncated"),
    "section size without end": (HEAD + b"\1\xff\xff\xff\xff\xff", "leb128"),
    "section number unknown": (HEAD + section(14, b""), "section"),
    "section twice": (HEAD + ONE_TYPE + ONE_TYPE, "section"),
    "sections out of order": (HEAD + ONE_FUNCTION + ONE_TYPE, "section"),
    "bytes after a section's contents": (HEAD + section(1, vector(VOID) + b"\0"), "section"),
    "functions without code": (HEAD + ONE_TYPE + ONE_FUNCTION, "section"),
    "code without functions": (HEAD + ONE_TYPE + section(10, vector(body(b"\x0b"))), "section"),
    "more types announced than there are": (HEAD + section(1, b"\5" + VOID), "truncated"),
    "count of types over the limit": (HEAD + section(1, unsigned(1_001)), "types"),
    "custom section's name is not text": (HEAD + section(0, b"\1\xff"), "utf8"),
    "overlong count": (HEAD + section(1, b"\x80\x80\x80\x80\x80\x00"), "leb128"),
    "export name is not text": (HEAD + ONE_TYPE + ONE_FUNCTION + section(7, vector(b"\1\xff\0\0")), "utf8"),
    "two exports of one name": (
        module_of(b"\x0b", before=section(7, vector(b"\1a\0\0", b"\1a\0\0"))),
        "export_duplicate",
    ),
    "export of a function that is not there": (module_of(b"\x0b", before=section(7, vector(b"\1a\0\7"))), "index"),
    "start function that is not there": (module_of(b"\x0b", before=section(8, b"\7")), "index"),
    "start function with a parameter": (
        module_of(b"\x0b", before=section(8, b"\0"), type_=b"\x60\1\x7f\0"),
        "type",
    ),
    "body without end": (module_of(b"\x01"), "truncated"),
    "bytes after the body's end": (module_of(b"\x0b\x0b"), "body"),
    "data count without data": (HEAD + section(12, b"\1"), "section"),
    "data without memory": (HEAD + section(11, vector(b"\0\x41\0\x0b\0")), "index"),
    "type of an unknown form": (HEAD + section(1, vector(b"\x5f\0\0")), "gc"),
    "greatest memory below initial": (HEAD + section(5, vector(b"\1\2\1")), "section"),
    "unknown block type": (module_of(b"\x02\x7b\x0b\x0b"), "simd"),
    "block of a type that is not there": (module_of(b"\x02\x05\x0b\x0b"), "index"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_by_rule(name: str) -> None:
    code, rule = MALFORMED[name]
    with pytest.raises(InvalidModule) as refusal:
        check(code, SIGNATURES)
    assert refusal.value.rule == rule
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.validate(new_engine(), code)


ILL_TYPED = {
    "empty stack": b"\x6a\x1a\x0b",
    "wrong operand": b"\x42\0\x45\x1a\x0b",
    "values left over": b"\x41\0\x0b",
    "if without a condition": b"\x04\x40\x0b\x0b",
    "if that leaves a value only when true": b"\x41\0\x04\x7f\x41\0\x0b\x1a\x0b",
    "else without if": b"\x05\x0b",
    "branch out of the function's blocks": b"\x0c\x01\x0b",
    "branch without its value": b"\x02\x7f\x0c\x00\x0b\x1a\x0b",
    "branch table of different arities": b"\x02\x40\x02\x7f\x41\0\x41\0\x0e\1\0\1\x0b\x1a\x0b\x0b",
    "select of two types": b"\x41\0\x42\0\x41\0\x1b\x1a\x0b",
    "unknown local": b"\x20\x00\x1a\x0b",
    "unknown function": b"\x10\x07\x0b",
    "call_indirect without a table": b"\x41\0\x11\0\0\x0b",
    "load without memory": b"\x41\0\x28\2\0\x1a\x0b",
    "a global that only the meter will append": b"\x23\0\x1a\x0b",
    "the meter's depth global": b"\x41\0\x24\1\x0b",
    "memory.init without data count": b"\x41\0\x41\0\x41\0\xfc\x08\0\0\x0b",
}


@pytest.mark.parametrize("name", ILL_TYPED)
def test_ill_typed_bodies_are_refused_and_the_engine_agrees(name: str) -> None:
    code = module_of(ILL_TYPED[name])
    with pytest.raises(InvalidModule) as refusal:
        check(code, {})
    assert refusal.value.rule in ("type", "index", "else")
    assert refusal.value.function == 0
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.validate(new_engine(), code)


def test_setting_an_immutable_global_is_refused() -> None:
    with_global = section(6, vector(b"\x7f\0\x41\0\x0b"))
    assert_rule(module_of(b"\x41\1\x24\0\x0b", before=with_global), "immutable_global")


def test_an_alignment_above_the_natural_one_is_refused() -> None:
    memory = section(5, vector(b"\0\1"))
    assert_rule(module_of(b"\x41\0\x28\3\0\x1a\x0b", before=memory), "alignment")
    check(module_of(b"\x41\0\x28\2\0\x1a\x0b", before=memory), {})


def assert_rule(code: bytes, rule: str) -> None:
    with pytest.raises(InvalidModule) as refusal:
        check(code, {})
    assert refusal.value.rule == rule


LIMITS = {
    "code_size": lambda: compile_wat("(module)") + section(0, b"\0" + bytes(limits.CODE_MAX)),
    "body_size": lambda: module_of(b"\x01" * limits.BODY_MAX + b"\x0b"),
    "functions": lambda: HEAD + ONE_TYPE + section(3, unsigned(10_001) + bytes(10_001)),
    "parameters": lambda: HEAD + section(1, vector(b"\x60" + vector(*[b"\x7f"] * 33) + b"\0")),
    "results": lambda: HEAD + section(1, vector(b"\x60\0" + vector(*[b"\x7f"] * 9))),
    "locals": lambda: module_of(b"\x0b", locals_=vector(unsigned(1_001) + b"\x7f")),
    "operand_height": lambda: module_of(b"\x41\0" * 1_025 + b"\x1a" * 1_025 + b"\x0b"),
    "nesting": lambda: module_of(b"\x02\x40" * 257 + b"\x0b" * 258),
    "branch_targets": lambda: module_of(b"\x41\0\x0e" + unsigned(1_025) + bytes(1_026) + b"\x0b"),
    "globals": lambda: HEAD + section(6, vector(*[b"\x7f\0\x41\0\x0b"] * 1_001)),
    "exports": lambda: module_of(b"\x0b", before=section(7, vector(*[b"\3%03d\0\0" % i for i in range(129)]))),
    "export_name": lambda: module_of(b"\x0b", before=section(7, vector(unsigned(129) + b"a" * 129 + b"\0\0"))),
    "imports": lambda: HEAD + ONE_TYPE + section(2, unsigned(65) + b"\0"),
    "data_segments": lambda: HEAD + section(12, unsigned(4_097)),
    "element_segments": lambda: HEAD + section(4, vector(b"\x70\0\1")) + section(9, unsigned(1_025)),
}


@pytest.mark.parametrize("rule", LIMITS)
def test_one_beyond_each_limit_is_refused(rule: str) -> None:
    assert_rule(LIMITS[rule](), rule)


@pytest.mark.parametrize(
    "code",
    [
        module_of(b"\x01" * (limits.BODY_MAX - 2) + b"\x0b"),
        module_of(b"\x0b", locals_=vector(unsigned(1_000) + b"\x7f")),
        module_of(b"\x41\0" * 1_024 + b"\x1a" * 1_024 + b"\x0b"),
        module_of(b"\x02\x40" * 256 + b"\x0b" * 257),
        module_of(b"\x41\0\x0e" + unsigned(1_024) + bytes(1_025) + b"\x0b"),
    ],
    ids=["body", "locals", "operands", "nesting", "branch targets"],
)
def test_exactly_the_limit_is_accepted_by_us_and_by_the_engine(code: bytes) -> None:
    metered = meter(check(code, {}))
    wasmtime.Module.validate(new_engine(), metered.code)


ACCEPTED = {
    "padded numbers as linkers write them": module_of(b"\x10\x80\x80\x80\x80\x00\x0b"),
    "empty module": HEAD,
    "custom sections anywhere": HEAD + section(0, b"\1a") + ONE_TYPE + section(0, b"\1b"),
    "unreachable code of any type": module_of(b"\x00\x6a\x1b\x1a\x0b"),
    "branch table in unreachable code": module_of(b"\x02\x7f\x02\x7e\x00\x0e\1\0\1\x0b\x1a\x00\x0b\x1a\x0b"),
    "typed select of numbers": module_of(b"\x41\0\x41\0\x41\0\x1c\1\x7f\x1a\x0b"),
    "multiple results": compile_wat("(module (func (result i32 i64) (i32.const 1) (i64.const 2)))"),
    "block parameters": compile_wat(
        "(module (func (result i32) (i32.const 1) (block (param i32) (result i32) (i32.eqz))))"
    ),
    "loop parameters": compile_wat(
        "(module (func (result i32) (i32.const 1) (loop (param i32) (result i32) (br_if 0 (i32.const 0)))))"
    ),
    "bulk memory": compile_wat(
        '(module (memory 1) (data $d "x") (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))'
        " (data.drop $d) (memory.copy (i32.const 0) (i32.const 0) (i32.const 1))"
        " (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))"
    ),
    "saturating conversions": compile_wat(
        "(module (func (drop (i32.trunc_sat_f32_s (f32.const 1))) (drop (i64.trunc_sat_f64_u (f64.const 1)))))"
    ),
    "sign extension": compile_wat("(module (func (drop (i32.extend8_s (i32.const 1)))))"),
    "indirect calls": compile_wat(
        "(module (table 2 funcref) (elem (i32.const 0) $f) (func $f) (func (call_indirect (i32.const 0))))"
    ),
    "a start function": compile_wat("(module (func $f) (start $f))"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_modules_of_the_subset_are_accepted_and_stay_valid_when_metered(name: str) -> None:
    metered = meter(check(ACCEPTED[name], {}))
    for code in (ACCEPTED[name], metered.code):
        wasmtime.Module.validate(new_engine(), code)


def test_a_refusal_names_function_and_offset() -> None:
    code = compile_wat("(module (func) (func (drop (v128.const i32x4 0 0 0 0))))")
    with pytest.raises(InvalidModule) as refusal:
        check(code, {})
    assert (refusal.value.rule, refusal.value.function) == ("simd", 1)
    assert code[refusal.value.offset] == 0xFD


def test_a_strangers_import_name_reaches_the_message_without_control_characters() -> None:
    code = HEAD + ONE_TYPE + section(2, vector(b"\5\x1b[2Jx\1y\0\0"))
    with pytest.raises(InvalidModule, match=r"\?\[2Jx.y"):
        check(code, {})


def test_every_host_function_may_be_imported_with_its_signature() -> None:
    for name in SIGNATURES:
        assert check(_importing(name), SIGNATURES).imports == (name,)


def _importing(name: str) -> bytes:
    kind = SIGNATURES[name]
    letters = {I32: "i32"}
    parameters = " ".join(letters.get(p, "i64") for p in kind.parameters)
    result = letters.get(kind.results[0], "i64")
    return compile_wat(f'(module (import "octra" "{name}" (func (param {parameters}) (result {result}))))')


def test_the_shortest_numbers_read_back() -> None:
    for value in (0, 1, 63, 64, 127, 128, 2**31 - 1, 2**32 - 1):
        assert Reader(unsigned(value)).u32() == value
    for value in (0, -1, 63, 64, -64, -65, 2**63 - 1, -(2**63)):
        assert Reader(signed(value)).signed(64) == value


def test_exports_of_the_abi_are_required_with_their_types() -> None:
    module = check(contract(), SIGNATURES)
    check_exports(module)
    assert module.exported_function("octra_update") == FuncType((I32, I32), (I32,))
    assert module.exported_function("memory") is None
