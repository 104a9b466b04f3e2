"""Circuits as text: one statement a line, `#` comments, no nesting; errors name line and column.

circuit score 1
in a: u16
in b: u16
let small = lt(a, b)
let up    = add(a, b)
let down  = sub(a, b)
let r     = select(small, up, down)
out r: u16
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, get_args

from octra.errors import InvalidInput
from octra.hfhe import modular, words
from octra.hfhe.arithmetic import AddShape, MulShape
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import Graph, Mode, Trust
from octra.hfhe.words import Bit, Word, word_type

LINES_MAX: Final = 100_000
TEXT_MAX: Final = 4 * 2**20

_HEAD = re.compile(r"circuit\s+([a-z_][a-z0-9_]*)\s+1\s*")
_IN = re.compile(r"in\s+([a-z_][a-z0-9_]*)\s*:\s*(\w+)(?:\s+(own|certified|foreign))?\s*")
_LET = re.compile(r"let\s+([a-z_][a-z0-9_]*)\s*=\s*([a-z_][a-z0-9_]*)\s*\(([^()]*)\)\s*")
_OUT = re.compile(r"out\s+([a-z_][a-z0-9_]*)\s*:\s*(\w+)(?:\s+(sealed|open))?\s*")
SHAPES: Final = {"shape": get_args(AddShape), "rows": get_args(MulShape)}  # kind of argument -> words it may be

_NUMBER = re.compile(r"-?(0x[0-9a-f]+|[0-9]+)")


class CircuitTextError(InvalidInput):
    """The text is no circuit; line and column start at 1."""

    oct_code = 8002

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.line, self.column, self.reason = line, column, reason


class _WrongArguments(Exception):
    """The statement's arguments do not fit its operation; becomes a `CircuitTextError` with the place."""


def parse(text: str) -> Graph:
    """The circuit of a text; raises `CircuitTextError`."""
    lines = text.splitlines()
    if len(text) > TEXT_MAX or len(lines) > LINES_MAX:
        raise CircuitTextError(1, 1, f"text over {TEXT_MAX} characters or {LINES_MAX} lines")
    builder: Builder | None = None
    names: dict[str, Word] = {}
    for number, line in enumerate(lines, 1):
        statement = line.split("#", 1)[0]
        content = statement.strip()
        if not content:
            continue
        column = statement.index(content[0]) + 1
        try:
            if builder is None:
                builder = _begin(content)
            else:
                _statement(builder, names, content)
        except (_WrongArguments, InvalidInput) as error:
            raise CircuitTextError(number, column, str(error)) from error
    if builder is None:
        raise CircuitTextError(1, 1, "a circuit starts with: circuit NAME 1")
    try:
        return builder.build()
    except InvalidInput as error:
        raise CircuitTextError(len(lines), 1, str(error)) from error


def _begin(content: str) -> Builder:
    match = _HEAD.fullmatch(content)
    if match is None:
        raise _WrongArguments("a circuit starts with: circuit NAME 1")
    return Builder(match[1])


def _statement(builder: Builder, names: dict[str, Word], content: str) -> None:
    if match := _IN.fullmatch(content):
        name, kind, trust = match[1], word_type(match[2]), match[3] or "own"
        _define(names, name, kind(builder, builder.input(name, match[2], Trust[trust.upper()])))
    elif match := _LET.fullmatch(content):
        name, operation, arguments = match[1], match[2], [part.strip() for part in match[3].split(",")]
        if operation not in OPERATIONS:
            raise _WrongArguments(f"no operation {operation}; there are {', '.join(sorted(OPERATIONS))}")
        _define(names, name, _apply(names, operation, arguments))
    elif match := _OUT.fullmatch(content):
        name, mode = match[1], match[3] or "sealed"
        word = _named(names, name)
        if match[2] != word.type_name:
            raise _WrongArguments(f"{name} is {word.type_name}, not {match[2]}")
        builder.output(name, match[2], word.literals, Mode[mode.upper()])
    else:
        raise _WrongArguments("expected: in NAME: TYPE, let NAME = OPERATION(...), or out NAME: TYPE")


def _define(names: dict[str, Word], name: str, word: Word) -> None:
    if name in names:
        raise _WrongArguments(f"{name} is defined twice")
    names[name] = word


def _named(names: dict[str, Word], name: str) -> Word:
    if name not in names:
        raise _WrongArguments(f"{name!r:.40} is not defined")
    return names[name]


def _apply(names: dict[str, Word], operation: str, arguments: list[str]) -> Word:
    function, kinds = OPERATIONS[operation]
    wanted = kinds.split()
    if wanted[-1].endswith("*"):  # the last kind repeats
        wanted = [*wanted[:-1], *[wanted[-1][:-1]] * max(1, len(arguments) - len(wanted) + 1)]
    elif wanted[-1].endswith("?"):  # or may be missing
        wanted = [*wanted[:-1], *[wanted[-1][:-1]] * (len(arguments) >= len(wanted))]
    if len(arguments) != len(wanted):
        raise _WrongArguments(f"{operation} takes {len(wanted)} arguments, got {len(arguments)}")
    return function(*(_argument(names, kind, text) for kind, text in zip(wanted, arguments, strict=True)))


def _argument(names: dict[str, Word], kind: str, text: str) -> Word | int | str | type[Word]:
    if kind in SHAPES:
        if text not in SHAPES[kind]:
            raise _WrongArguments(f"{text!r:.40} is no shape; there are {' and '.join(SHAPES[kind])}")
        return text
    match kind:
        case "number":
            return _number(text)
        case "type":
            return word_type(text)
        case "amount" if text not in names:
            return _number(text)
    word = _named(names, text)
    if kind == "bit" and not isinstance(word, Bit):
        raise _WrongArguments(f"{text} is {word.type_name} where a bit is needed")
    return word


def _number(text: str) -> int:
    if len(text) > 24 or not _NUMBER.fullmatch(text):
        raise _WrongArguments(f"{text!r:.40} is not a number")
    return int(text, 16 if "x" in text else 10)


# Name -> (function, kinds of its arguments). A `*` repeats the last kind, a `?` makes it optional.
OPERATIONS: Final[dict[str, tuple[Callable[..., Word], str]]] = {
    "const": (lambda kind, number: kind.const(number), "type number"),
    "add": (lambda a, b, shape="ripple": words.add(a, b, shape=shape), "word word shape?"),
    "carry": (lambda a, b, shape="ripple": words.add_checked(a, b, shape=shape)[1], "word word shape?"),
    "sub": (lambda a, b, shape="ripple": words.sub(a, b, shape=shape), "word word shape?"),
    "neg": (words.neg, "word"),
    "mul": (lambda a, b, shape="rows": words.mul(a, b, shape=shape), "word word rows?"),
    "div": (lambda a, b: a // b, "word word"),
    "rem": (lambda a, b: a % b, "word word"),
    "addmod": (modular.add_mod, "word word number"),
    "submod": (modular.sub_mod, "word word number"),
    "mulmod": (modular.mul_mod, "word word number"),
    "lt": (lambda a, b, shape="ripple": words.lt(a, b, shape=shape), "word word shape?"),
    "le": (lambda a, b: a <= b, "word word"),
    "gt": (lambda a, b: a > b, "word word"),
    "ge": (lambda a, b: a >= b, "word word"),
    "eq": (words.eq, "word word"),
    "ne": (lambda a, b: a != b, "word word"),
    "select": (words.select, "bit word word"),
    "min": (words.minimum, "word word"),
    "max": (words.maximum, "word word"),
    "not": (lambda a: ~a, "word"),
    "and": (lambda a, b: a & b, "word word"),
    "or": (lambda a, b: a | b, "word word"),
    "nand": (lambda a, b: ~(a & b), "word word"),
    "nor": (lambda a, b: ~(a | b), "word word"),
    "xor": (words.xor, "word word*"),
    "xnor": (lambda a, *others: ~words.xor(a, *others), "word word*"),
    "maj3": (words.majority, "word word word"),
    "alleq3": (words.all_equal, "word word word"),
    "andxor": (words.and_xor, "word word word"),
    "mux": (words.select, "bit word word"),
    "blend": (words.blend, "word word word"),
    "lut": (words.lut, "number bit*"),
    "table": (lambda kind, index, *entries: words.look_up(entries, index, kind), "type word number*"),
    "seal": (words.seal, "word"),
    "shl": (words.shift_left, "word amount"),
    "shr": (words.shift_right, "word amount"),
    "rotl": (words.rotate_left, "word amount"),
    "rotr": (words.rotate_right, "word amount"),
    "slice": (words.cut, "word number number"),
    "concat": (words.concat, "word word"),
    "extend": (words.extend, "word type"),
}
