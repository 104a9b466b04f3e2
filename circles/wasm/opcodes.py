"""Types and instructions of the accepted subset, as tables; what is refused has a named reason."""

from __future__ import annotations

from typing import Final, NamedTuple

I32: Final = 0x7F
I64: Final = 0x7E
F32: Final = 0x7D
F64: Final = 0x7C
UNKNOWN: Final = 0  # an operand of unreachable code: it fits every type
NUMBER_TYPES = frozenset((I32, I64, F32, F64))
TYPE_NAMES = {I32: "i32", I64: "i64", F32: "f32", F64: "f64", UNKNOWN: "anything"}

REFUSED_TYPES = {0x7B: "simd", 0x70: "reference_values", 0x6F: "reference_values", 0x69: "exceptions"}


class Signature(NamedTuple):
    """An instruction without immediates: the operands it takes, deepest first, and the type it leaves."""

    operands: list[int]
    result: int


class Access(NamedTuple):
    """A load or store: operands, result (0 for a store) and the natural alignment's exponent."""

    operands: list[int]
    result: int
    alignment: int


def _numeric() -> dict[int, Signature]:
    table: dict[int, Signature] = {}

    def put(first: int, last: int, operands: list[int], result: int) -> None:
        for opcode in range(first, last + 1):
            table[opcode] = Signature(operands, result)

    put(0x45, 0x45, [I32], I32)
    put(0x46, 0x4F, [I32, I32], I32)
    put(0x50, 0x50, [I64], I32)
    put(0x51, 0x5A, [I64, I64], I32)
    put(0x5B, 0x60, [F32, F32], I32)
    put(0x61, 0x66, [F64, F64], I32)
    put(0x67, 0x69, [I32], I32)
    put(0x6A, 0x78, [I32, I32], I32)
    put(0x79, 0x7B, [I64], I64)
    put(0x7C, 0x8A, [I64, I64], I64)
    put(0x8B, 0x91, [F32], F32)
    put(0x92, 0x98, [F32, F32], F32)
    put(0x99, 0x9F, [F64], F64)
    put(0xA0, 0xA6, [F64, F64], F64)
    conversions = (
        (I64, I32), (F32, I32), (F32, I32), (F64, I32), (F64, I32), (I32, I64), (I32, I64), (F32, I64), (F32, I64),
        (F64, I64), (F64, I64), (I32, F32), (I32, F32), (I64, F32), (I64, F32), (F64, F32), (I32, F64), (I32, F64),
        (I64, F64), (I64, F64), (F32, F64), (F32, I32), (F64, I64), (I32, F32), (I64, F64),
    )  # fmt: skip
    for opcode, (operand, result) in enumerate(conversions, 0xA7):
        put(opcode, opcode, [operand], result)
    put(0xC0, 0xC1, [I32], I32)
    put(0xC2, 0xC4, [I64], I64)
    return table


def _accesses() -> dict[int, Access]:
    loads = [(I32, 2), (I64, 3), (F32, 2), (F64, 3), (I32, 0), (I32, 0), (I32, 1), (I32, 1)]
    loads += [(I64, 0), (I64, 0), (I64, 1), (I64, 1), (I64, 2), (I64, 2)]
    stores = ((I32, 2), (I64, 3), (F32, 2), (F64, 3), (I32, 0), (I32, 1), (I64, 0), (I64, 1), (I64, 2))
    table = {opcode: Access([I32], kind, alignment) for opcode, (kind, alignment) in enumerate(loads, 0x28)}
    table |= {opcode: Access([I32, kind], 0, alignment) for opcode, (kind, alignment) in enumerate(stores, 0x36)}
    return table


NUMERIC = _numeric()
ACCESSES = _accesses()
SATURATING = tuple(Signature([source], target) for target in (I32, I64) for source in (F32, F32, F64, F64))


def refusal(opcode: int) -> str:
    """Why an opcode outside the subset is refused, by the name of the proposal it belongs to."""
    if opcode in (0x06, 0x07, 0x08, 0x09, 0x0A, 0x18, 0x19, 0x1F):
        return "exceptions"
    if opcode in (0x12, 0x13):
        return "tail_call"
    if opcode in (0x14, 0x15, 0xD3, 0xD4, 0xD5, 0xD6):
        return "typed_references"
    if opcode in (0x25, 0x26, 0xD0, 0xD1, 0xD2):
        return "reference_values"
    return {0xFB: "gc", 0xFD: "simd", 0xFE: "threads"}.get(opcode, "opcode")


def refusal_of_prefixed(number: int) -> str:
    """The same for the instructions behind the prefix 0xFC."""
    return "reference_values" if 12 <= number <= 17 else "opcode"


def refusal_of_type(code: int) -> str:
    """Why a value type is refused."""
    return REFUSED_TYPES.get(code, "typed_references" if 0x40 < code < 0x80 else "type")
