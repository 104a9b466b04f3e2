"""Tracing, its refusals, and the circuit text format."""

from __future__ import annotations

import pytest

from octra.errors import InvalidInput
from octra.hfhe.hypergraph import MalformedGraph, Mode, Op, Trust
from octra.hfhe.text import OPERATIONS, CircuitTextError, parse
from octra.hfhe.tracing import circuit
from octra.hfhe.words import (
    U8,
    U16,
    U32,
    Bit,
    EncryptedBranch,
    NotACircuit,
    ValueOutOfRange,
    WidthMismatch,
    add_checked,
    concat,
    cut,
    extend,
    lut,
    select,
    word_type,
)

SCORE = """
circuit score 1        # a comment
in a: u16
in b: u16
let small = lt(a, b)
let up    = add(a, b)
let down  = sub(a, b)
let r     = select(small, up, down)
out r: u16
"""


@circuit
def score(a: U16, b: U16) -> U16:
    """The sum where a is smaller, else the difference."""
    return select(a < b, a + b, a - b)


def test_text_and_traced_function_of_the_same_steps_have_one_id() -> None:
    assert parse(SCORE).graph_id == score.graph.graph_id


def test_a_traced_function_runs_in_the_clear() -> None:
    assert score(40, 2) == 38
    assert score(2, 40) == 42
    assert score.__doc__ is not None


def test_several_results_are_several_outputs() -> None:
    @circuit
    def both(a: U8, b: U8) -> tuple[U8, Bit]:
        return add_checked(a, b)

    assert both(200, 100) == (44, 1)
    assert [word.name for word in both.graph.outputs] == ["r0", "r1"]


def test_moving_bits_costs_nothing() -> None:
    @circuit
    def swap(a: U16) -> U32:
        return extend(concat(cut(a, 8, 16), cut(a, 0, 8)), U32)

    assert swap(0x1234) == 0x3412
    assert not swap.graph.nodes


def test_a_table_of_three_bits_that_is_a_gate_becomes_that_gate() -> None:
    @circuit
    def parity(a: Bit, b: Bit, c: Bit) -> Bit:
        return lut(0x96, a, b, c)

    assert [node.op for node in parity.graph.nodes] == [Op.XOR]


def test_branching_on_an_encrypted_value_is_refused() -> None:
    @circuit
    def branch(a: U8) -> U8:
        return a if a > 3 else a + 1

    with pytest.raises(EncryptedBranch, match="select"):
        _ = branch.graph


def test_an_encrypted_index_is_refused() -> None:
    @circuit
    def index(a: U8) -> U8:
        return [a, a][a]

    with pytest.raises(EncryptedBranch):
        _ = index.graph


def test_mixed_types_are_refused() -> None:
    a, b = U8.const(1), U16.const(1)
    for operation in (lambda: a + b, lambda: a < b, lambda: a == b, lambda: a & b, lambda: select(a < 3, a, b)):
        with pytest.raises(WidthMismatch):
            operation()


def test_numbers_that_do_not_fit_are_refused_and_not_repeated() -> None:
    with pytest.raises(ValueOutOfRange) as error:
        _ = U8.const(1) + 777
    assert "777" not in str(error.value)


def test_functions_without_word_types_are_no_circuits() -> None:
    @circuit
    def untyped(a, b: U8) -> U8:  # type: ignore[no-untyped-def]
        return b

    @circuit
    def plain(a: U8) -> int:
        return 3

    @circuit
    def other(a: U8) -> U16:
        return a  # type: ignore[return-value]

    for function, error in ((untyped, NotACircuit), (plain, NotACircuit), (other, WidthMismatch)):
        with pytest.raises(error):
            _ = function.graph


def test_words_of_two_circuits_do_not_meet() -> None:
    kept: list[U8] = []

    @circuit
    def first(a: U8) -> U8:
        kept.append(a)
        return a

    @circuit
    def second(a: U8) -> U8:
        return a + kept[0]

    _ = first.graph
    with pytest.raises(NotACircuit):
        _ = second.graph


@pytest.mark.parametrize("name", ["u0", "u65", "i100", "float", "", "U8", "bits"])
def test_unknown_types_are_refused(name: str) -> None:
    with pytest.raises(MalformedGraph):
        word_type(name)


def test_every_operation_of_the_text_format_works() -> None:
    samples = {
        "const": "u8, 7", "neg": "a", "not": "a", "seal": "a", "select": "c, a, b", "mux": "c, a, b",
        "addmod": "a, b, 200", "submod": "a, b, 200", "lut": "0x96, c, c, d", "shl": "a, 3", "shr": "a, b",
        "rotl": "a, 1", "slice": "a, 0, 4", "extend": "a, u16", "maj3": "a, b, a", "alleq3": "a, b, a",
        "andxor": "a, b, a", "blend": "a, b, a", "mulmod": "a, b, 200", "rotr": "a, b",
        "table": "u8, c, 7, 9", "mul": "a, b, wallace", "sub": "a, b, sklansky",
    }  # fmt: skip
    for name in OPERATIONS:
        text = f"circuit t 1\nin a: u8\nin b: u8\nlet c = lt(a, b)\nlet d = eq(a, b)\nlet r = {name}({samples.get(name, 'a, b')})\n"
        kind = {"slice": "u4", "concat": "u16", "extend": "u16", "lut": "bit"}.get(name, "u8")
        kind = "bit" if name in ("lt", "le", "gt", "ge", "eq", "ne", "carry") else kind
        assert parse(text + f"out r: {kind}\n").outputs[0].type == kind


def test_trust_and_mode_are_part_of_the_text() -> None:
    graph = parse("circuit t 1\nin a: u8 foreign\nin b: u8 certified\nlet r = add(a, b)\nout r: u8 open\n")
    assert [word.trust for word in graph.inputs] == [Trust.FOREIGN, Trust.CERTIFIED]
    assert graph.outputs[0].mode is Mode.OPEN


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "starts with"),
        ("in a: u8", 1, "starts with"),
        ("circuit t 2", 1, "starts with"),
        ("circuit t 1\nin a: u99", 2, "no type"),
        ("circuit t 1\nin a: u8\nin a: u8", 3, "taken"),
        ("circuit t 1\nin a: u8\n  let r = add(a)", 3, "takes 2"),
        ("circuit t 1\nin a: u8\nlet r = add(a, q)", 3, "not defined"),
        ("circuit t 1\nin a: u8\nlet r = fly(a)", 3, "no operation"),
        ("circuit t 1\nin a: u8\nlet r = add(a, neg(a))", 3, "expected"),
        ("circuit t 1\nin a: u8\nlet r = const(u8, 300)", 3, "does not fit"),
        ("circuit t 1\nin a: u8\nlet r = const(u8, seven)", 3, "not a number"),
        ("circuit t 1\nin a: u8\nlet r = add(a, a, wallace)", 3, "no shape; there are ripple and sklansky"),
        ("circuit t 1\nin a: u8\nlet r = add(a, a, ripple, a)", 3, "takes 3"),
        ("circuit t 1\nin a: u8\nlet r = table(u8, a, 1, 2)", 3, "a table of 2 numbers"),
        ("circuit t 1\nin a: u8\nlet r = select(a, a, a)", 3, "bit is needed"),
        ("circuit t 1\nin a: u8\nlet a = neg(a)", 3, "twice"),
        ("circuit t 1\nin a: u8\nout a: u16", 3, "not u16"),
        ("circuit t 1\nin a: u8\nlet r = neg(a)\nin b: u8", 4, "after the first operation"),
        ("circuit t 1\nin a: u8\n", 2, "no output"),
    ],
)
def test_errors_name_the_line_and_the_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(CircuitTextError, match=reason) as error:
        parse(text)
    assert error.value.line == line
    assert error.value.column >= 1


def test_indented_statements_report_their_column() -> None:
    with pytest.raises(CircuitTextError) as error:
        parse("circuit t 1\nin a: u8\n    let r = fly(a)")
    assert (error.value.line, error.value.column) == (3, 5)


def test_absurd_texts_are_refused_by_type() -> None:
    for text in ("circuit t 1\n" * 5, "\0", "circuit t 1\nlet r = lut(1, )", "#" * 10, "circuit t 1\nout x: u8"):
        with pytest.raises(InvalidInput):
            parse(text)
