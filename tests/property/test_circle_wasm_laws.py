"""Laws of the wasm subset: what we accept every engine accepts, and metering changes nothing but the meters."""

from __future__ import annotations

import random
from importlib.resources import files

import pytest
import wasmtime

from octra.circles.engine import new_engine, new_store
from octra.circles.errors import InvalidModule
from octra.circles.host.table import SIGNATURES
from octra.circles.project import TEMPLATES
from octra.circles.testing import compile_wat, contract
from octra.circles.wasm.check import check
from octra.circles.wasm.meter import GAS_EXPORT, meter

# Rules that say "not in our subset or beyond our limits"; any other refusal must be the engine's too.
POLICY = frozenset(
    [
        "reference_values",
        "typed_references",
        "exceptions",
        "gc",
        "tail_call",
        "threads",
        "simd",
        "memory64",
        "multi_memory",
        "import_unsupported",
        "import_signature",
        "import_kind",
        "imported_memory",
        "export_reserved",
        "table_entries",
        "memory_pages",
        "parameters",
        "results",
        "locals",
        "operand_height",
        "nesting",
        "branch_targets",
        "globals",
        "exports",
        "export_name",
        "imports",
        "data_segments",
        "element_segments",
        "types",
        "functions",
        "constant",
        "tables",
        "index",
        "opcode",
    ]
)
GAS = 3_000_000


def corpus() -> list[bytes]:
    templates = files("octra.circles") / "templates"
    compiled = [
        (templates / name / language / "program.wasm").read_bytes()
        for name, languages in TEMPLATES.items()
        for language in languages
        if (templates / name / language / "program.wasm").is_file()
    ]
    rich = contract(
        "(drop (call $host_kv_put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))"
        "(block $a (block $b (br_table $a $b $a (local.get $i))) (drop (memory.grow (i32.const 0))))"
        "(if (result i32) (local.get $j) (then (call_indirect (result i32) (i32.const 0))) (else (i32.const 1)))",
        extra='(table 2 funcref) (elem (i32.const 0) $f) (data "seg") (global $g (mut i64) (i64.const 5))'
        " (func $f (result i32) (global.set $g (i64.const 1)) (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))"
        " (data.drop 0) (i32.trunc_sat_f64_s (f64.mul (f64.const 2) (f64.const 3))))"
        " (func $v (param f32 f64) (result i32 i64) (i32.reinterpret_f32 (local.get 0)) (i64.const -1))"
        " (func $s (nop)) (start $s)",
    )
    return [*compiled, rich]


def mutated(code: bytes, dice: random.Random) -> bytes:
    """The module with a few bytes changed, removed, doubled or inserted; sizes of sections often still fit."""
    out = bytearray(code)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        place = dice.randrange(8, len(out))
        match dice.randrange(6):
            case 0 | 1 | 2:
                out[place] = dice.choice((dice.randrange(256), out[dice.randrange(len(out))], out[place] ^ 1))
            case 3:
                out[place : place + dice.randrange(1, 4)] = b""
            case 4:
                out[place:place] = dice.randbytes(dice.randrange(1, 4))
            case 5:
                other = dice.randrange(8, len(out))
                out[place], out[other] = out[other], out[place]
        if len(out) < 9:
            break
    return bytes(out)


def accepted_by(engine: wasmtime.Engine, code: bytes) -> bool:
    try:
        wasmtime.Module.validate(engine, code)
    except wasmtime.WasmtimeError:
        return False
    return True


def compare_on_mutations(seed: int, count: int) -> tuple[int, int]:
    """Judges mutated modules; returns how many both accept and how many the engine refuses."""
    dice, engine, modules = random.Random(seed), new_engine(), corpus()
    both = neither = 0
    for _ in range(count):
        code = mutated(dice.choice(modules), dice)
        valid = accepted_by(engine, code)
        try:
            metered = meter(check(code, SIGNATURES))
        except InvalidModule as refusal:
            assert not valid or refusal.rule in POLICY, f"{refusal}: the engine accepts {code.hex()}"
            neither += not valid
            continue
        assert valid, f"we accept what the engine refuses: {code.hex()}"
        assert accepted_by(engine, metered.code), f"metering broke {code.hex()}"
        both += 1
    return both, neither


def test_mutated_modules_are_judged_as_the_engine_judges_them() -> None:
    both, neither = compare_on_mutations(seed=1, count=4_000)
    assert both > 200
    assert neither > 500


@pytest.mark.long
def test_a_hundred_thousand_mutated_modules_are_judged_as_the_engine_judges_them() -> None:
    both, neither = compare_on_mutations(seed=2, count=100_000)
    assert min(both, neither) > 1_000


def test_random_bytes_are_refused_and_never_crash_the_checker() -> None:
    dice = random.Random(3)
    for _ in range(2_000):
        with pytest.raises(InvalidModule):
            check(b"\0asm\1\0\0\0" + dice.randbytes(dice.randrange(1, 60)) + b"\xff", SIGNATURES)


# --- generated programs ---

_BINARY = {
    "i32": [
        "add",
        "sub",
        "mul",
        "and",
        "or",
        "xor",
        "shl",
        "shr_s",
        "shr_u",
        "rotl",
        "rotr",
        "div_s",
        "div_u",
        "rem_s",
        "rem_u",
    ],
    "i64": [
        "add",
        "sub",
        "mul",
        "and",
        "or",
        "xor",
        "shl",
        "shr_s",
        "shr_u",
        "rotl",
        "rotr",
        "div_s",
        "div_u",
        "rem_s",
        "rem_u",
    ],
    "f32": ["add", "sub", "mul", "div", "min", "max", "copysign"],
    "f64": ["add", "sub", "mul", "div", "min", "max", "copysign"],
}
_UNARY = {
    "i32": ["clz", "ctz", "popcnt", "extend8_s", "extend16_s"],
    "i64": ["clz", "ctz", "popcnt", "extend8_s", "extend16_s", "extend32_s"],
    "f32": ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"],
    "f64": ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"],
}
_COMPARE = {"i32": ["eq", "ne", "lt_s", "lt_u", "gt_s", "ge_u"], "f64": ["eq", "ne", "lt", "gt", "le", "ge"]}
_CONVERT = {
    "i32": ["i32.wrap_i64 i64", "i32.trunc_f64_s f64", "i32.trunc_sat_f32_u f32", "i32.reinterpret_f32 f32"],
    "i64": ["i64.extend_i32_s i32", "i64.trunc_f32_u f32", "i64.trunc_sat_f64_s f64", "i64.reinterpret_f64 f64"],
    "f32": ["f32.convert_i32_s i32", "f32.convert_i64_u i64", "f32.demote_f64 f64", "f32.reinterpret_i32 i32"],
    "f64": ["f64.convert_i64_s i64", "f64.convert_i32_u i32", "f64.promote_f32 f32", "f64.reinterpret_i64 i64"],
}
_TYPES = ("i32", "i64", "f32", "f64")
_LOCALS = {"i32": (0, 1, 8), "i64": (2, 3), "f32": (4, 5), "f64": (6, 7)}  # 8 to 15 count loops


class Program:
    """A random valid program: nested blocks, bounded loops, memory, calls, traps. Same seed, same program."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.loops = 0
        self.functions = 0

    def source(self) -> str:
        functions = []
        for index in range(3):
            self.functions, self.loops = index, 0
            body = " ".join(self.statement(4) for _ in range(self.dice.randrange(1, 5)))
            functions.append(
                f'(func $f{index} (export "f{index}") (param i32 i32 i64 i64 f32 f32 f64 f64) (result i64)'
                f" {'(local i32) ' * 8} {body} {self.expression('i64', 4)})"
            )
        table = "(table 4 funcref) (elem (i32.const 0) $f0 $f0)"
        return (
            f'(module (memory (export "memory") 1 4) {table} (global $g (mut i64) (i64.const 9)) {" ".join(functions)})'
        )

    def expression(self, kind: str, depth: int) -> str:
        dice = self.dice
        if depth == 0 or dice.random() < 0.15:
            return self.constant(kind) if dice.random() < 0.5 else f"(local.get {dice.choice(_LOCALS[kind])})"
        deeper = depth - 1
        match dice.randrange(11):
            case 0 | 1 | 2:
                operation = dice.choice(_BINARY[kind])
                return f"({kind}.{operation} {self.expression(kind, deeper)} {self.expression(kind, deeper)})"
            case 3:
                return f"({kind}.{dice.choice(_UNARY[kind])} {self.expression(kind, deeper)})"
            case 4:
                operation, source = dice.choice(_CONVERT[kind]).split()
                return f"({operation} {self.expression(source, deeper)})"
            case 5:
                return f"({kind}.load {self.address(deeper)})"
            case 6:
                condition = self.expression("i32", deeper)
                arms = f"(then {self.statement(deeper)} {self.expression(kind, deeper)}) (else {self.expression(kind, deeper)})"
                return f"(if (result {kind}) {condition} {arms})"
            case 7:
                return f"(select {self.expression(kind, deeper)} {self.expression(kind, deeper)} {self.expression('i32', 1)})"
            case 8 if kind == "i32":
                of = dice.choice(("i32", "f64"))
                return f"({of}.{dice.choice(_COMPARE[of])} {self.expression(of, deeper)} {self.expression(of, deeper)})"
            case 9 if kind == "i64" and self.functions:
                arguments = " ".join(self.expression(t, 1) for t in _TYPES for _ in range(2))
                return f"(call $f{dice.randrange(self.functions)} {arguments})"
            case 10:
                number = dice.randrange(8)
                if kind == "i32" and number == 0:
                    return f"(memory.grow {self.constant('i32') if dice.random() < 0.3 else '(i32.const 1)'})"
                return f"(block (result {kind}) {self.expression(kind, deeper)} (br_if 0 {self.expression('i32', 1)}))"
            case _:
                return self.constant(kind)

    def address(self, depth: int) -> str:
        if self.dice.random() < 0.9:
            return f"(i32.and {self.expression('i32', depth)} (i32.const 0xfff8))"
        return self.expression("i32", depth)

    def statement(self, depth: int) -> str:
        dice = self.dice
        if depth == 0:
            return "(nop)"
        deeper = depth - 1
        kind = dice.choice(_TYPES)
        match dice.randrange(9):
            case 0 | 1:
                local = dice.choice(_LOCALS[kind][:2])
                return f"(local.set {local} {self.expression(kind, deeper)})"
            case 2:
                return f"({kind}.store {self.address(deeper)} {self.expression(kind, deeper)})"
            case 3 if self.loops < 7:
                self.loops += 1
                counter = 8 + self.loops
                return (
                    f"(loop {self.statement(deeper)} (br_if 0 (i32.lt_u (local.tee {counter}"
                    f" (i32.add (local.get {counter}) (i32.const 1))) (i32.const {dice.randrange(1, 6)}))))"
                )
            case 4:
                choice = self.expression("i32", 1)
                return f"(block (block (block (br_table 0 1 2 1 {choice})) {self.statement(deeper)}) {self.statement(deeper)})"
            case 5:
                return f"(if {self.expression('i32', deeper)} (then {self.statement(deeper)}) (else {self.statement(deeper)}))"
            case 6:
                size = f"(i32.const {dice.randrange(300)})" if dice.random() < 0.8 else self.expression("i32", 1)
                return f"(memory.{dice.choice(('fill', 'copy'))} {self.address(1)} {self.address(1)} {size})"
            case 7:
                return f"(global.set $g (i64.xor (global.get $g) {self.expression('i64', deeper)}))"
            case _:
                return (
                    f"(block {self.statement(deeper)} (br_if 0 {self.expression('i32', 1)}) {self.statement(deeper)})"
                )

    def constant(self, kind: str) -> str:
        dice = self.dice
        if kind in ("i32", "i64"):
            bits = 32 if kind == "i32" else 64
            value = dice.choice((0, 1, -1, dice.randrange(-9, 99), 2 ** (bits - 1) - 1, -(2 ** (bits - 1))))
            return f"({kind}.const {value})"
        return f"({kind}.const {dice.choice(('0', '-0', '1.5', '-7', 'inf', 'nan', '1e30', '0.1', '4294967296'))})"


def run_one(engine: wasmtime.Engine, code: bytes, name: str) -> tuple[object, bytes, int | None]:
    """Result or trap, the memory afterwards, and the gas that is left."""
    store = new_store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, code), []).exports(store)
    if GAS_EXPORT in exports:
        exports[GAS_EXPORT].set_value(store, wasmtime.Val.i64(GAS))
    try:
        result: object = exports[name](store, 3, -4, 5, 2**40, 1.5, -0.0, 2.5, 1e300)
    except wasmtime.Trap as trap:
        result = trap.trap_code
    memory = bytes(exports["memory"].read(store))
    return result, memory, exports[GAS_EXPORT].value(store) if GAS_EXPORT in exports else None


def compare_on_programs(seeds: range) -> tuple[int, int]:
    """Runs generated programs raw, metered, unoptimised and interpreted; returns how many ended well and trapped."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.cranelift_opt_level = "none"
    engines = [new_engine(), wasmtime.Engine(config), new_engine("pulley")]
    ended = trapped = 0
    for seed in seeds:
        code = compile_wat(Program(seed).source())
        metered = meter(check(code, {}))
        for name in ("f0", "f1", "f2"):
            runs = [run_one(engine, metered.code, name) for engine in engines]
            assert all(run == runs[0] for run in runs), f"engines differ on program {seed}, {name}"
            result, memory, gas = runs[0]
            assert gas is not None
            if gas < 0:
                continue  # a grow by many pages: the raw program has no such limit
            assert run_one(engines[0], code, name)[:2] == (result, memory), f"metering changed program {seed}, {name}"
            assert gas < GAS
            trapped += isinstance(result, wasmtime.TrapCode)
            ended += not isinstance(result, wasmtime.TrapCode)
    return ended, trapped


def test_generated_programs_behave_alike_raw_metered_unoptimised_and_interpreted() -> None:
    ended, trapped = compare_on_programs(range(120))
    assert ended > 60
    assert trapped > 10


@pytest.mark.long
def test_many_generated_programs_behave_alike() -> None:
    ended, trapped = compare_on_programs(range(1_000, 6_000))
    assert min(ended, trapped) > 500
