"""Pictures of circuits: well-formed, the same every time, and refused when nobody could read them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from octra.hfhe import params
from octra.hfhe.builder import Builder
from octra.hfhe.draw import DrawingTooLarge, draw
from octra.hfhe.hypergraph import Graph, Mode
from octra.hfhe.layout import GAP_ITEM, place
from octra.hfhe.planner import account, make_plan
from octra.hfhe.tracing import circuit
from octra.hfhe.words import U8, U64, select

SVG = "{http://www.w3.org/2000/svg}"


@circuit
def score(a: U8, b: U8) -> U8:
    return select(a < b, a + b, a - b)


@circuit
def long_sum(a: U64, b: U64) -> U64:
    return a * b


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def boxes(svg: str, style: str) -> int:
    return sum(element.get("class") == f"box {style}" for element in ElementTree.fromstring(svg).iter(f"{SVG}rect"))


def test_every_operation_is_a_box_and_every_bit_of_a_word_has_its_name() -> None:
    svg = score.graph.draw()
    assert boxes(svg, "plain") == len(score.graph.nodes)
    for name in ("score", "a₀", "b₇", "r₇", "MUX", "MAJ", "XOR"):
        assert name in texts(svg)


def test_a_ring_stands_for_each_complement() -> None:
    svg = score.graph.draw()
    literals = [literal for node in score.graph.nodes for literal in node.literals] + list(score.graph.output_literals)
    rings = [element for element in ElementTree.fromstring(svg).iter(f"{SVG}circle") if element.get("class") == "ring"]
    assert len(rings) == sum(literal & 1 for literal in literals)


def test_with_a_plan_boxes_tell_what_bootstraps() -> None:
    plan = make_plan(score.graph, params.T)
    graph, sums, rebased = account(plan)
    svg = draw(score.graph, plan)
    legend = 1
    assert boxes(svg, "sum") == len(sums) + legend
    assert boxes(svg, "boot") == len(graph.nodes) - len(sums) - len(rebased) + legend
    assert any(f"{plan.bootstraps} bootstraps" in text for text in texts(svg))


def test_a_sum_that_grew_too_heavy_is_marked() -> None:
    builder = Builder("heavy")
    s, a, b, c = builder.input("x", "u4")
    chosen = builder.mux(s, a, b)
    builder.output("r", "bit", [builder.maj3(chosen, builder.mux(a, s, c), builder.mux(c, a, s))], Mode.OPEN)
    plan = make_plan(builder.build(), params.S)
    assert account(plan)[2]
    assert boxes(draw(plan.graph, plan), "rebased") == 1 + len(account(plan)[2])


def test_equal_circuits_give_equal_bytes() -> None:
    assert score.graph.draw() == Graph(*(getattr(score.graph, name) for name in Graph.__struct_fields__)).draw()


def test_circuits_that_nobody_could_read_are_refused_with_advice() -> None:
    with pytest.raises(DrawingTooLarge, match="collapse=True"):
        long_sum.graph.draw()
    svg = long_sum.graph.draw(collapse=True)
    assert any(text.startswith("AND ×") for text in texts(svg))
    with pytest.raises(DrawingTooLarge, match="layers"):
        circuit(divide_words).graph.draw(collapse=True)


def divide_words(a: U64, b: U64) -> U64:
    return a // b


def test_items_of_a_layer_keep_their_distance() -> None:
    layers = [[("a", i) for i in range(4)], [("b", i) for i in range(3)], [("c", 0)]]
    lines = [(("a", i), ("b", j)) for i in range(4) for j in range(3)] + [(("a", 3), ("c", 0)), (("b", 1), ("c", 0))]
    heights, routes = place(layers, lines)
    for items in layers:
        ordered = sorted(heights[item] for item in items)
        assert all(below - above >= GAP_ITEM - 0.2 for above, below in pairwise(ordered))
    assert [len(route) for route in routes] == [0] * 12 + [1, 0]
