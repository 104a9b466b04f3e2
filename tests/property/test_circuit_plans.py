"""Laws of circuits and plans, on random graphs: what is planned is what was meant, and always admissible."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.hfhe import params
from octra.hfhe.builder import Builder, decode, merge_inputs
from octra.hfhe.hypergraph import Graph, Mode, Trust, evaluate
from octra.hfhe.noise import combine, is_admissible, margin, source
from octra.hfhe.plan import UNSALTED, simulate
from octra.hfhe.planner import make_plan

BUDGETS = [(params.S, 128), (params.S, 64), (params.T, 128), (params.T, 64), (params.F, 64)]


def random_graph(seed: int, inputs: int = 6, operations: int = 30) -> Graph:
    """A circuit of all operations on random literals, with sealed and open outputs."""
    rng = random.Random(seed)
    builder = Builder("random")
    literals = [0, 1]
    for word in range(2):
        trust = rng.choice(list(Trust))
        literals += builder.input(f"w{word}", f"u{inputs // 2}", trust)

    def pick(count: int) -> list[int]:
        # Mostly recent literals, so that circuits grow deep; sometimes equal or opposite ones, so that folding works.
        recent = [rng.choice(literals[-8:] if rng.random() < 0.6 else literals) for _ in range(count)]
        return [literal ^ rng.getrandbits(1) for literal in recent]

    for _ in range(operations):
        match rng.randrange(8):
            case 0:
                result = builder.and_(*pick(2))
            case 1:
                result = builder.xor(*pick(rng.choice([2, 2, 3, 3, 5, 12, 40])))
            case 2:
                result = builder.maj3(*pick(3))
            case 3:
                result = builder.alleq3(*pick(3))
            case 4:
                result = builder.andxor(*pick(3))
            case 5:
                result = builder.mux(*pick(3))
            case 6:
                count = rng.randint(1, 6)
                result = builder.lut(rng.getrandbits(1 << count), pick(count))
            case _:
                result = builder.seal(*pick(1))
        literals.append(result)
    builder.output("sealed", "u4", pick(4))
    builder.output("open", "u4", pick(4), Mode.OPEN)
    return builder.build()


def bits_of(value: int, count: int) -> list[bool]:
    return [bool(value >> i & 1) for i in range(count)]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(BUDGETS))
def test_a_plan_computes_its_circuit_on_every_input(seed: int, budget: tuple[params.ParameterSet, int]) -> None:
    graph = random_graph(seed)
    plan = make_plan(graph, *budget)
    for value in range(0, 1 << graph.input_bits, 3):
        bits = bits_of(value, graph.input_bits)
        assert simulate(plan, bits) == evaluate(graph, bits)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(BUDGETS))
def test_every_form_of_a_plan_is_admissible_and_sealed_outputs_are_sources_of_their_own(
    seed: int, budget: tuple[params.ParameterSet, int]
) -> None:
    graph = random_graph(seed)
    plan = make_plan(graph, *budget)
    assert all(is_admissible(step.form, plan.budgets) for step in plan.steps)
    sealed = [form for form in plan.outputs[:4] if not form.is_constant]
    assert all(form.is_source and form.terms[0][0] >= plan.input_bits for form in sealed)
    sources = [form.terms[0][0] for form in sealed]
    assert len(set(sources)) == len(sources)
    salts = {index: plan.steps[index - plan.input_bits].salt for index in sources}
    assert UNSALTED not in salts.values()
    assert len(set(salts.values())) == len(salts)
    assert all(form.norm2 <= plan.budgets.open and margin(form) == 8 for form in plan.outputs[4:])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_foreign_bits_are_read_by_their_own_bootstrap_only(seed: int) -> None:
    graph = random_graph(seed)
    plan = make_plan(graph, params.S)
    foreign, first = set(), 0
    for word in graph.inputs:
        if word.trust is Trust.FOREIGN:
            foreign |= set(range(first, first + word.bits))
        first += word.bits
    for step in plan.steps:
        if foreign & {index for index, _ in step.terms}:
            assert step.form.is_source
    assert not any(foreign & {index for index, _ in form.terms} for form in plan.outputs)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_decode_then_encode_gives_the_same_bytes_and_id(seed: int) -> None:
    graph = random_graph(seed)
    again = decode(graph.encode())
    assert again == graph
    assert again.graph_id == graph.graph_id
    assert make_plan(again, params.S).plan_id == make_plan(graph, params.S).plan_id


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_damaged_circuit_bytes_are_refused_by_a_typed_error_or_are_another_circuit(
    seed: int, data: st.DataObject
) -> None:
    encoded = bytearray(random_graph(seed % 50).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        graph = decode(bytes(encoded))
    except InvalidInput:
        return
    assert graph.encode() == bytes(encoded)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_circuit(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4))
def test_merged_inputs_give_the_circuit_on_equal_bits(seed: int, bit: int) -> None:
    graph = random_graph(seed)
    merged = merge_inputs(graph, {5: bit})
    plan = make_plan(merged, params.S)
    for value in range(0, 64, 5):
        bits = bits_of(value, 6)
        bits[5] = bits[bit]
        assert simulate(plan, bits) == evaluate(graph, bits)
    assert not any(5 in dict(step.terms) for step in plan.steps)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3)), max_size=8), st.integers(-9, 9), st.integers(0, 15))
def test_merging_forms_keeps_their_value_modulo_one_turn(
    parts: list[tuple[int, int]], kappa: int, assignment: int
) -> None:
    values = [1 if assignment >> i & 1 else -1 for i in range(4)]
    form = combine([(weight, source(index)) for weight, index in parts], kappa)
    plain = kappa + sum(weight * values[index] for weight, index in parts)
    merged = form.kappa + sum(coefficient * values[index] for index, coefficient in form.terms)
    assert (plain - merged) % 8 == 0
    assert -4 <= form.kappa <= 3


def test_a_graph_that_the_builder_would_write_differently_is_refused() -> None:
    builder = Builder("twice")
    a, b = builder.input("a", "u2")
    builder.output("r", "bit", [builder.and_(a, b)])
    graph = builder.build()
    swapped = msgspec.structs.replace(graph, nodes=(msgspec.structs.replace(graph.nodes[0], literals=(b, a)),))
    with pytest.raises(InvalidInput):
        decode(swapped.encode())
