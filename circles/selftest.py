"""Does this machine's engine do what the rules say? Asked at each worker's start, before anything is executed."""

from __future__ import annotations

import wasmtime

from octra.circles.engine import Backend, new_engine, new_store
from octra.circles.errors import ExecutorUnavailable, InvalidModule
from octra.circles.limits import DEPTH_MAX, MEMORY_PAGES_MAX
from octra.circles.wasm.check import check
from octra.circles.wasm.meter import DEPTH_EXPORT, GAS_EXPORT, meter

_GAS = 10_000_000
_PROBE = """(module (memory (export "memory") 1)
  (func (export "nan") (param f64 f64) (result i64) (i64.reinterpret_f64 (f64.div (local.get 0) (local.get 1))))
  (func (export "payload") (param i64) (result i64)
    (i64.reinterpret_f64 (f64.add (f64.reinterpret_i64 (local.get 0)) (f64.const 1))))
  (func (export "sum") (param i32) (result i32) (local i32)
    (loop $next
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func $deep (export "deep") (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "fill") (memory.fill (i32.const 0) (i32.const 1) (i32.const 4096)))
)"""
_CANONICAL_NAN = 0x7FF8_0000_0000_0000
_PAYLOAD_NAN = 0x7FF8_DEAD_0000_BEEF
_SUM_GAS, _FILL_GAS, _GROW_GAS = 909, 552, 2_044_038
_REFUSED = (
    ("(module (memory 1 1 shared))", "threads"),
    ("(module (func (result v128) v128.const i32x4 0 0 0 0))", "simd"),
    ("(module (memory i64 1))", "memory64"),
    ("(module (table 20000000 funcref))", "table_entries"),
    ("(module (memory 513))", "memory_pages"),
    ("(module (func $f (return_call $f)))", "tail_call"),
    ("(module (memory 1) (memory 1))", "multi_memory"),
    ('(module (import "wasi_snapshot_preview1" "clock_time_get" (func)))', "import_unsupported"),
)


def self_test(backend: Backend) -> None:
    """Raises `ExecutorUnavailable` naming the first thing that this machine does differently."""
    for source, rule in _REFUSED:
        _expect(f"refusal of {rule}", _refusal(source), rule)
    checked = check(bytes(wasmtime.wat2wasm(_PROBE)), {})
    engine = new_engine(backend)
    module = wasmtime.Module(engine, meter(checked).code)
    probe = _Probe(engine, module)
    _expect("0/0", probe.call("nan", 0.0, 0.0), _CANONICAL_NAN)
    _expect("NaN with a payload", probe.call("payload", _PAYLOAD_NAN), _CANONICAL_NAN)
    for name, arguments, result, gas in (
        ("sum", (100,), 5_050, _SUM_GAS),
        ("fill", (), None, _FILL_GAS),
        ("grow", (MEMORY_PAGES_MAX - 1,), 1, _GROW_GAS),
        ("grow", (1,), -1, _GROW_GAS - (MEMORY_PAGES_MAX - 2) * 4_000),
    ):
        _expect(name, (probe.call(name, *arguments), probe.spent), (result, gas))
    _expect("recursion", probe.call("deep", 0), "trap")
    _expect("depth before the engine's stack", probe.depth > DEPTH_MAX, True)


class _Probe:
    """An instance whose gas is filled before each call."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self._store = new_store(engine)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)

    def call(self, name: str, *arguments: object) -> object:
        self._exports[GAS_EXPORT].set_value(self._store, wasmtime.Val.i64(_GAS))
        try:
            return self._exports[name](self._store, *arguments)
        except wasmtime.Trap:
            return "trap"

    @property
    def spent(self) -> int:
        return _GAS - int(self._exports[GAS_EXPORT].value(self._store))

    @property
    def depth(self) -> int:
        return int(self._exports[DEPTH_EXPORT].value(self._store))


def _refusal(source: str) -> str:
    try:
        check(bytes(wasmtime.wat2wasm(source)), {})
    except InvalidModule as error:
        return error.rule
    return "none"


def _expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise ExecutorUnavailable(f"self-test failed: {what} gives {got}, not {wanted}")
