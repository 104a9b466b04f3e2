"""For tests of Circles: state in a dictionary, contracts in a few lines of wat, calls with everyday facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import wasmtime

from octra.circles.host.table import HOST_FUNCTIONS
from octra.circles.wasm.opcodes import I64
from octra.consensus.ports import Argument, CallContext, CallOutcome, CircleCall

ALICE, BOB = b"\xa1" * 32, b"\xb0" * 32
CIRCLE, OTHER_CIRCLE = b"\x01" * 33, b"\x02" * 33
CONTEXT = CallContext(chain_id="test-chain", height=42, epoch=7, time_ms=1_700_000_000_000, beacon=b"\xbe" * 32)
MIB = 1024 * 1024


def compile_wat(source: str) -> bytes:
    """The module that wat source describes."""
    return bytes(wasmtime.wat2wasm(source))


def imports_of(source: str) -> str:
    """Import lines for the host functions that the source names as `$host_...`."""
    lines = []
    for name, (kind, _) in HOST_FUNCTIONS.items():
        if f"${name} " in source or f"${name})" in source:
            parameters = "".join(f" (param {'i64' if p == I64 else 'i32'})" for p in kind.parameters)
            result = "i64" if kind.results == (I64,) else "i32"
            lines.append(f'(import "octra" "{name}" (func ${name}{parameters} (result {result})))')
    return "\n".join(lines)


def contract(
    update: str = "(i32.const 0)",
    query: str = "(i32.const 0)",
    extra: str = "",
    memory: str = '(memory (export "memory") 1)',
    locals_: str = "(local $i i32) (local $j i32) (local $l i64)",
) -> bytes:
    """A Circle with the given bodies. The request is written at 1024; `$p` and `$n` are its place and size."""
    imports = imports_of(update + query + extra)
    return compile_wat(f"""(module {imports} {memory} {extra}
      (func (export "octra_alloc") (param i32) (result i32) (i32.const 1024))
      (func (export "octra_update") (param $p i32) (param $n i32) (result i32) {locals_} {update})
      (func (export "octra_query") (param $p i32) (param $n i32) (result i32) {locals_} {query}))""")


@dataclass
class Shelf:
    """A `CircleView` in a dictionary that notes what was read."""

    codes: dict[bytes, bytes] = field(default_factory=dict)
    rows: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    reads: list[tuple[bytes, bytes]] = field(default_factory=list)

    def install(self, code: bytes) -> bytes:
        code_hash = sha256(code).digest()
        self.codes[code_hash] = code
        return code_hash

    def code(self, code_hash: bytes) -> bytes | None:
        return self.codes.get(code_hash)

    def get(self, circle: bytes, key: bytes) -> bytes | None:
        self.reads.append((circle, key))
        return self.rows.get((circle, key))

    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        found = sorted((key, value) for (owner, key), value in self.rows.items() if owner == circle)
        return iter([row for row in found if start <= row[0] < end][:limit])

    def apply(self, circle: bytes, outcome: CallOutcome) -> None:
        for key, value in outcome.diff:
            if value is None:
                del self.rows[circle, key]
            else:
                self.rows[circle, key] = value


def call_of(
    code_hash: bytes,
    method: str = "run",
    arguments: Sequence[Argument] = (),
    *,
    circle: bytes = CIRCLE,
    caller: bytes = ALICE,
    value: int = 0,
    balance: int = 0,
    usage: int = 0,
    max_stable_bytes: int = 32 * MIB,
    gas_limit: int = 10_000_000,
    view: bool = False,
    call_id: bytes = b"\xca" * 32,
) -> CircleCall:
    """A call with everyday facts."""
    return CircleCall(
        call_id=call_id,
        circle=circle,
        code_hash=code_hash,
        method=method,
        arguments=tuple(arguments),
        caller=caller,
        origin=caller,
        value=value,
        balance=balance,
        usage=usage,
        max_stable_bytes=max_stable_bytes,
        gas_limit=gas_limit,
        context=CONTEXT,
        view=view,
    )
