"""The builder folds without changing meaning, the format refuses what it must, the planner saves what it may."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import msgspec
import pytest

from octra.hfhe import hypergraph, params
from octra.hfhe.builder import Builder, decode, with_mode
from octra.hfhe.hypergraph import Graph, GraphTooLarge, MalformedGraph, Mode, Op, evaluate
from octra.hfhe.lookup import find_form
from octra.hfhe.noise import Form, InadmissibleForm, budget_of, combine, constant, is_admissible, negate, source
from octra.hfhe.params import Budgets, ParameterSet
from octra.hfhe.plan import simulate
from octra.hfhe.planner import make_plan

Gate = tuple[Callable[..., int], Callable[..., int], int]


def gates(builder: Builder) -> dict[str, Gate]:
    """Operation, its meaning on 0 and 1, number of literals."""
    return {
        "and": (builder.and_, lambda a, b: a & b, 2),
        "or": (builder.or_, lambda a, b: a | b, 2),
        "xor": (builder.xor, lambda a, b: a ^ b, 2),
        "xor3": (builder.xor, lambda a, b, c: a ^ b ^ c, 3),
        "maj3": (builder.maj3, lambda a, b, c: int(a + b + c >= 2), 3),
        "alleq3": (builder.alleq3, lambda a, b, c: int(a == b == c), 3),
        "andxor": (builder.andxor, lambda a, b, c: a & b ^ c, 3),
        "mux": (builder.mux, lambda s, a, b: a if s else b, 3),
    }


@pytest.mark.parametrize("name", list(gates(Builder("names"))))
def test_every_gate_on_all_literals_and_constants_means_the_same_after_folding(name: str) -> None:
    count = gates(Builder("names"))[name][2]
    for chosen in itertools.product(range(8), repeat=count):  # false, true, and three inputs with complements
        builder = Builder("fold")
        builder.input("a", "u3")
        operation, meaning, _ = gates(builder)[name]
        builder.output("r", "bit", [operation(*chosen)])
        graph = builder.build()
        for value in range(8):
            bits = [bool(value >> i & 1) for i in range(3)]
            values = [0, *map(int, bits)]
            wanted = meaning(*(values[literal >> 1] ^ literal & 1 for literal in chosen))
            assert evaluate(graph, bits) == (bool(wanted),)
        assert decode(graph.encode()) == graph


def test_every_table_of_three_bits_means_the_same_after_folding_and_planning() -> None:
    rng = random.Random(3)
    for table in range(256):
        builder = Builder("table")
        literals = [literal ^ rng.getrandbits(1) for literal in builder.input("a", "u3")]
        rng.shuffle(literals)
        builder.output("r", "bit", [builder.lut(table, literals)])
        graph = builder.build()
        for set_, bits_ in ((params.S, 128), (params.F, 64)):
            plan = make_plan(graph, set_, bits_)
            for value in range(8):
                bits = [bool(value >> i & 1) for i in range(3)]
                row = sum((int(bits[(literal >> 1) - 1]) ^ literal & 1) << j for j, literal in enumerate(literals))
                assert simulate(plan, bits) == (bool(table >> row & 1),)
        assert decode(graph.encode()) == graph


def test_tables_of_four_to_six_bits_mean_the_same_after_planning() -> None:
    rng = random.Random(5)
    for count in (4, 5, 6, 6, 5, 4):
        builder = Builder("table")
        literals = builder.input("a", f"u{count}")
        table = rng.getrandbits(1 << count)
        builder.output("r", "bit", [builder.lut(table, literals)])
        plan = make_plan(builder.build(), params.T)
        for value in range(1 << count):
            assert simulate(plan, [bool(value >> i & 1) for i in range(count)]) == (bool(table >> value & 1),)


def test_equal_functions_are_one_node() -> None:
    builder = Builder("share")
    a, b, c = builder.input("a", "u3")
    assert builder.and_(a, b) == builder.and_(b, a) == builder.lut(0b1000, (a, b)) == builder.or_(a ^ 1, b ^ 1) ^ 1
    assert builder.xor(a, b ^ 1, c) == builder.xor(c, b, a) ^ 1
    assert builder.maj3(a ^ 1, b ^ 1, c ^ 1) == builder.maj3(c, a, b) ^ 1
    assert builder.mux(a ^ 1, b, c) == builder.mux(a, c, b)
    assert builder.mux(a, b ^ 1, c ^ 1) == builder.mux(a, b, c) ^ 1
    assert builder.lut(0x96, (a, b, c)) == builder.xor(a, b, c)
    assert builder.lut(0xE8, (c, a, b)) == builder.maj3(a, b, c)
    assert builder.seal(builder.seal(a ^ 1)) == builder.seal(a) ^ 1


# --- Format. ---


def small() -> Graph:
    builder = Builder("small")
    a, b, c = builder.input("a", "u3")
    builder.output("r", "u2", [builder.and_(a, b), builder.lut(0b11101000, (a, b, builder.xor(b, c)))])
    return builder.build()


def encoded(**changes: object) -> bytes:
    return msgspec.structs.replace(small(), **changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x90", small().encode() + b"\0", encoded(version=2), encoded(name="Big"), encoded(outputs=()),
        encoded(nodes=small().nodes * 2), encoded(nodes=small().nodes[::-1]),
        encoded(nodes=(msgspec.structs.replace(small().nodes[0], literals=(2, 99)), *small().nodes[1:])),
        encoded(nodes=(msgspec.structs.replace(small().nodes[0], literals=(2, 3)), *small().nodes[1:])),
        encoded(nodes=(msgspec.structs.replace(small().nodes[0], table=1), *small().nodes[1:])),
        encoded(nodes=(msgspec.structs.replace(small().nodes[0], op=Op.MUX), *small().nodes[1:])),
        encoded(nodes=(msgspec.structs.replace(small().nodes[0], op=Op.LUT, table=2**20), *small().nodes[1:])),
        encoded(inputs=(msgspec.structs.replace(small().inputs[0], bits=4),)),
        encoded(inputs=(msgspec.structs.replace(small().inputs[0], type="f32"),)),
        encoded(outputs=(msgspec.structs.replace(small().outputs[0], type="u3"),)),
        encoded(outputs=small().outputs * 2),
    ],
)  # fmt: skip
def test_circuits_that_break_a_rule_are_refused(data: bytes) -> None:
    with pytest.raises((MalformedGraph, GraphTooLarge)):
        decode(data)


def test_limits_are_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraphTooLarge):
        decode(bytes(hypergraph.BYTES_MAX + 1))
    builder = Builder("big")
    with pytest.raises(GraphTooLarge):
        builder.xor(*[0] * 65)
    with pytest.raises(GraphTooLarge):
        builder.lut(0, [0] * 7)
    for index in range(1_024):
        builder.input(f"w{index}", "u64")
    with pytest.raises(GraphTooLarge):
        builder.input("one_more", "bit")
    monkeypatch.setattr("octra.hfhe.builder.NODES_MAX", 2)
    builder = Builder("nodes")
    x, y, z = builder.input("x", "u3")
    builder.and_(x, y)
    builder.and_(y, z)
    with pytest.raises(GraphTooLarge):
        builder.and_(x, z)


# --- Noise and plans. ---


def test_forms_on_the_decision_line_are_inadmissible() -> None:
    budgets = params.S.budget(128)
    for form in (combine([(1, source(0)), (1, source(1))], 0), combine([(2, source(0))], -2), Form((), -4)):
        assert not is_admissible(form, budgets)
        with pytest.raises(InadmissibleForm):
            budget_of(form, budgets)


def test_copies_of_one_source_count_with_their_sum() -> None:
    assert combine([(1, source(0)), (1, source(0))], -1).norm2 == 4
    assert combine([(1, source(0)), (-1, source(0))], 1).norm2 == 0
    assert negate(constant(True)) == constant(False)
    assert negate(negate(combine([(2, source(3))], -4))) == combine([(2, source(3))], -4)


def test_budgets_decide_whether_three_bits_fit_one_bootstrap() -> None:
    wide, narrow = Budgets(8, 52, 15, 13), Budgets(5, 36, 11, 9)
    and_xor = 0b01111000  # c xor (a and b)
    found = find_form(3, and_xor, wide)
    assert found == ((-1, -1, -2), 3)  # of two forms with norm^2 6, the one with the smaller coefficients
    assert find_form(3, and_xor, narrow) is None
    assert find_form(3, 0b11101000, narrow) is not None
    assert find_form(3, 0b10000000, wide) is None  # AND of three bits


def cost(
    build: Callable[[Builder, tuple[int, ...]], list[int]], set_: ParameterSet, mode: Mode, bits: int = 128
) -> int:
    builder = Builder("cost")
    literals = build(builder, builder.input("a", "u64"))
    builder.output("r", f"u{len(literals)}", literals)
    return make_plan(with_mode(builder.build(), mode), set_, bits).bootstraps


def test_a_wide_xor_costs_a_bootstrap_for_each_full_chunk() -> None:
    for set_, bits, width in ((params.S, 128, 9), (params.S, 64, 21), (params.T, 128, 13), (params.F, 64, 4)):
        for count in (2, 3, width, width + 1, 2 * width - 1, 2 * width, 64):
            got = cost(lambda b, a, n=count: [b.xor(*a[:n])], set_, Mode.SEALED, bits)
            assert got == -(-(count - 1) // (width - 1))


def test_a_full_adder_whose_sum_is_opened_costs_one_bootstrap() -> None:
    def full(builder: Builder, a: tuple[int, ...]) -> list[int]:
        return [builder.maj3(a[0], a[1], a[2]), builder.xor(a[0], a[1], a[2])]

    def complemented(builder: Builder, a: tuple[int, ...]) -> list[int]:
        return [builder.maj3(a[0] ^ 1, a[1], a[2]), builder.xor(a[0], a[1], a[2])]

    for adder in (full, complemented):
        assert cost(adder, params.S, Mode.OPEN) == 1
        assert cost(adder, params.S, Mode.SEALED) == 2


def test_half_adders_and_exclusive_or_from_ands_need_no_bootstrap_of_their_own() -> None:
    assert cost(lambda b, a: [b.and_(a[0], a[1] ^ 1), b.xor(a[0], a[1])], params.S, Mode.OPEN) == 1
    assert cost(lambda b, a: [b.and_(a[0], a[1]), b.or_(a[0], a[1]), b.xor(a[0], a[1])], params.S, Mode.OPEN) == 2
    assert cost(lambda b, a: [b.and_(a[0], a[1]), b.xor(a[0], a[1])], params.F, Mode.OPEN, 64) == 2  # norm^2 6 > 4


def test_a_selection_costs_two_bootstraps_open_and_three_sealed() -> None:
    assert cost(lambda b, a: [b.mux(a[0], a[1], a[2])], params.S, Mode.OPEN) == 2
    assert cost(lambda b, a: [b.mux(a[0], a[1], a[2])], params.S, Mode.SEALED) == 3


def test_what_no_output_needs_is_not_computed() -> None:
    builder = Builder("dead")
    a, b, c = builder.input("a", "u3")
    builder.and_(a, c)
    builder.xor(a, b, c)
    builder.output("r", "bit", [builder.and_(a, b)])
    assert make_plan(builder.build(), params.S).bootstraps == 1


def test_an_output_twice_is_two_sources() -> None:
    builder = Builder("twice")
    a, b = builder.input("a", "u2")
    both = builder.and_(a, b)
    builder.output("r", "u3", [both, both ^ 1, a])
    plan = make_plan(builder.build(), params.S)
    assert plan.bootstraps == 3
    assert len({form.terms[0][0] for form in plan.outputs}) == 3
    assert simulate(plan, [True, True]) == (True, False, True)
