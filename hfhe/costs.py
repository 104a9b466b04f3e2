"""What each operation on words costs in bootstraps: the table of `docs/hfhe/words.md`.

python -m octra.hfhe.costs    # prints the table, for set S at 2^-128
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from octra.hfhe import modular, params, words
from octra.hfhe.builder import Builder, with_mode
from octra.hfhe.hypergraph import Graph, Mode
from octra.hfhe.params import ParameterSet
from octra.hfhe.planner import make_plan
from octra.hfhe.words import Word, word_type

WIDTHS: Final = (8, 16, 32, 64)

# Name as in the table -> (function, types of its arguments; `u` and `i` stand for words of the row's width)
OPERATIONS: Final[dict[str, tuple[Callable[..., Word | tuple[Word, ...]], str]]] = {
    "not": (lambda a: ~a, "u"),
    "and, or, xor": (lambda a, b: a & b, "u u"),
    "add": (lambda a, b: a + b, "u u"),
    "add, with the carry out": (words.add_checked, "u u"),
    "add, sklansky": (lambda a, b: words.add(a, b, shape="sklansky"), "u u"),
    "sub": (lambda a, b: a - b, "u u"),
    "sub, sklansky": (lambda a, b: words.sub(a, b, shape="sklansky"), "u u"),
    "neg": (lambda a: -a, "u"),
    "lt, le, gt, ge": (lambda a, b: a < b, "u u"),
    "lt, le, gt, ge, signed": (lambda a, b: a < b, "i i"),
    "lt, sklansky": (lambda a, b: words.lt(a, b, shape="sklansky"), "u u"),
    "eq, ne": (lambda a, b: a == b, "u u"),
    "select": (words.select, "bit u u"),
    "blend": (words.blend, "u u u"),
    "min, max": (words.minimum, "u u"),
    "min, max, signed": (words.minimum, "i i"),
    "shl, shr by an encrypted amount": (words.shift_left, "u u8"),
    "shr by an encrypted amount, signed": (words.shift_right, "i u8"),
    "rotl, rotr by an encrypted amount": (words.rotate_left, "u u8"),
    "mul": (lambda a, b: a * b, "u u"),
    "mul, wallace": (lambda a, b: words.mul(a, b, shape="wallace"), "u u"),
    "div": (lambda a, b: a // b, "u u"),
    "rem": (lambda a, b: a % b, "u u"),
    "div, signed": (lambda a, b: a // b, "i i"),
    "rem, signed": (lambda a, b: a % b, "i i"),
    "addmod": (lambda a, b: modular.add_mod(a, b, _modulus(a)), "u u"),
    "submod": (lambda a, b: modular.sub_mod(a, b, _modulus(a)), "u u"),
    "mulmod": (lambda a, b: modular.mul_mod(a, b, _modulus(a)), "u u"),
    "table of 16 entries": (lambda a: words.look_up(_entries(a, 16), words.cut(a, 0, 4), type(a)), "u"),
}


def _modulus(a: Word) -> int:
    """Half of its bits set, in no pattern: pi's first bits after the point, made odd."""
    return 0x243F6A8885A308D3 >> 64 - a.width | 1 << a.width - 1 | 1


def _entries(a: Word, count: int) -> list[int]:
    """The squares of their places: a table with nothing special about it."""
    return [(7 * i * i + 3) % (1 << a.width) for i in range(count)]


def circuit_of(name: str, width: int) -> Graph:
    """The circuit of one operation on words of `width` bits."""
    function, kinds = OPERATIONS[name]
    builder = Builder("operation")
    arguments = []
    for index, kind in enumerate(kinds.split()):
        kind = f"{kind}{width}" if kind in ("u", "i") else kind
        arguments.append(word_type(kind)(builder, builder.input(f"x{index}", kind)))
    result = function(*arguments)
    for index, word in enumerate(result if isinstance(result, tuple) else (result,)):
        builder.output(f"r{index}", word.type_name, word.literals)
    return builder.build()


def bootstraps(
    name: str, width: int, params_: ParameterSet = params.S, security_bits: int = 128
) -> tuple[int, int, int]:
    """Bootstraps with sealed outputs, with open ones, and the levels of the sealed circuit."""
    graph = circuit_of(name, width)
    sealed = make_plan(graph, params_, security_bits)
    return sealed.bootstraps, make_plan(with_mode(graph, Mode.OPEN), params_, security_bits).bootstraps, sealed.depth


def row(name: str, widths: Sequence[int] = WIDTHS) -> str:
    """One line of the table, in Markdown."""
    cells, depth = [], 0
    for width in widths:
        sealed, opened, depth = bootstraps(name, width)
        cells.append(f"{sealed:,}" if sealed == opened else f"{sealed:,} ({opened:,})")
    return f"| {name} | {' | '.join(cells)} | {depth:,} |"


if __name__ == "__main__":
    print(f"| operation | {' | '.join(map(str, WIDTHS))} | levels of {WIDTHS[-1]} |")
    print("|---|" + "---:|" * (len(WIDTHS) + 1))
    for name in OPERATIONS:
        print(row(name))
