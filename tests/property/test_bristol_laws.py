"""Laws of Bristol files and of rewriting: nothing changes meaning, nothing crashes, everything costs less."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.hfhe import params
from octra.hfhe.bristol import MalformedBristol, looks_like_bristol, read_bristol, write_bristol
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import Graph, evaluate
from octra.hfhe.plan import simulate
from octra.hfhe.planner import make_plan
from octra.hfhe.rewrite import fewer_bootstraps


def random_circuit(seed: int, inputs: int = 7, operations: int = 40) -> Graph:
    """All operations on mostly recent literals, so that much can be merged."""
    rng = random.Random(seed)
    builder = Builder("random")
    literals = list(builder.input("a", f"u{inputs}"))
    for _ in range(operations):
        a, b, c = (rng.choice(literals[-10:]) ^ rng.getrandbits(1) for _ in range(3))
        operation = rng.choice(["xor", "and", "xor", "maj3", "mux", "alleq3", "andxor", "lut", "xor5"])
        match operation:
            case "xor":
                literals.append(builder.xor(a, b))
            case "and":
                literals.append(builder.and_(a, b))
            case "lut":
                literals.append(builder.lut(rng.getrandbits(16), [a, b, c, rng.choice(literals)]))
            case "xor5":
                literals.append(builder.xor(a, b, c, *rng.sample(literals, 2)))
            case _:
                literals.append(getattr(builder, operation)(a, b, c))
    builder.output("r", "u4", [literal ^ rng.getrandbits(1) for literal in rng.choices(literals[-12:], k=4)])
    builder.output("s", "bit", [rng.choice([0, 1, 2, 5])])
    return builder.build()


def all_outputs(graph: Graph) -> list[tuple[bool, ...]]:
    return [evaluate(graph, [bool(value >> i & 1) for i in range(7)]) for value in range(0, 128, 3)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_a_circuit_written_and_read_again_computes_the_same(seed: int) -> None:
    graph = random_circuit(seed)
    text = write_bristol(graph)
    assert looks_like_bristol(text)
    assert all_outputs(read_bristol(text, rewrite=False)) == all_outputs(graph)
    assert all_outputs(read_bristol(text)) == all_outputs(graph)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_rewriting_keeps_every_output_and_its_plan_is_right_too(seed: int) -> None:
    graph = random_circuit(seed)
    rewritten = fewer_bootstraps(graph)
    assert all_outputs(rewritten) == all_outputs(graph)
    assert rewritten == fewer_bootstraps(graph)
    for value in random.Random(seed).sample(range(128), 8):
        bits = [bool(value >> i & 1) for i in range(7)]
        assert simulate(make_plan(rewritten, params.S), bits) == evaluate(graph, bits)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_rewriting_what_came_from_two_input_gates_makes_no_plan_dearer(seed: int) -> None:
    gates = read_bristol(write_bristol(random_circuit(seed)), rewrite=False)
    assert make_plan(fewer_bootstraps(gates), params.S).bootstraps <= make_plan(gates, params.S).bootstraps


TOKENS = st.sampled_from(
    ["0", "1", "2", "3", "5", "7", "99", "999999999", "9999999999", "-1", "x", "XOR", "AND", "INV", "EQ", "EQW", "MAND"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(TOKENS, max_size=8), max_size=8))
def test_any_lines_of_tokens_are_a_circuit_or_a_typed_error(lines: list[list[str]]) -> None:
    try:
        read_bristol("\n".join(" ".join(line) for line in lines))
    except MalformedBristol as error:
        assert 1 <= error.line <= max(1, len(lines))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 20), st.data())
def test_damaged_files_are_a_circuit_or_a_typed_error(seed: int, data: st.DataObject) -> None:
    text = write_bristol(random_circuit(seed))
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    else:
        tokens = text.split(" ")
        for _ in range(data.draw(st.integers(1, 3))):
            tokens[data.draw(st.integers(0, len(tokens) - 1))] = data.draw(TOKENS)
        text = " ".join(tokens)
    try:
        graph = read_bristol(text)
    except MalformedBristol:
        return
    assert evaluate(graph, [False] * graph.input_bits) is not None


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_a_circuit_or_a_typed_error(text: str) -> None:
    with pytest.raises(MalformedBristol):
        read_bristol(text)
