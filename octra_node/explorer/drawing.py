"""Drawings as inline SVG: the logo, and the map of nodes. No script, no style attribute, no foreign file."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Final

from octra.node.explorer.html import Raw, el, join
from octra.node.rpc.facts import NetworkFacts, NodeFacts

MAP_WIDTH, MAP_HEIGHT = 640, 360
_CENTRE: Final = (MAP_WIDTH / 2, MAP_HEIGHT / 2)
_SHAPES: Final = {"bootstrap": 6, "standard": 0, "light": 4}  # corners; 0 is a disc
_SIZE: Final = {"bootstrap": 15.0, "standard": 12.0, "light": 9.0}


def logo() -> Raw:
    """Eight seats around one closed ring: what they hold together, none of them can open alone."""
    dots = [
        el("circle", cx=_n(16 + 11.5 * cos(i * pi / 4)), cy=_n(16 + 11.5 * sin(i * pi / 4)), r="2.4") for i in range(8)
    ]
    ring = el("circle", cx=16, cy=16, r="5.2", fill="none", stroke="currentColor", stroke_width="2.6")
    return el("svg", ring, dots, viewBox="0 0 32 32", class_="logo", aria_hidden="true", fill="currentColor")


def network_map(network: NetworkFacts) -> Raw:
    """Nodes on an ellipse, in the order of their ids so that each keeps its place; colour and shape tell the role."""
    nodes = sorted(network.nodes, key=lambda node: node.node_id)
    places = {node.node_id: _place(number, len(nodes)) for number, node in enumerate(nodes)}
    edges = [
        el("path", d=_arc(places[edge.a], places[edge.b]), class_="edge")
        for edge in network.edges
        if edge.a in places and edge.b in places
    ]
    marks = [_mark(node, *places[node.node_id]) for node in nodes]
    count = len(nodes)
    title = el("title", f"{count} node{'s' if count != 1 else ''}, {len(edges)} links; the table below says the same")
    orbits = ((225, 118), (290, 158))
    rings = [el("ellipse", cx=_n(_CENTRE[0]), cy=_n(_CENTRE[1]), rx=rx, ry=ry, class_="orbit") for rx, ry in orbits]
    return el("svg", title, rings, edges, marks, viewBox=f"0 0 {MAP_WIDTH} {MAP_HEIGHT}", class_="map", role="img")


def _place(number: int, count: int) -> tuple[float, float]:
    if count == 1:
        return _CENTRE
    angle = -pi / 2 + 2 * pi * (number + 0.5) / count
    return _CENTRE[0] + 225 * cos(angle), _CENTRE[1] + 118 * sin(angle)


def _arc(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line that bends towards the middle, so that parallel ones stay apart."""
    bend_x = (start[0] + end[0]) / 2 * 0.6 + _CENTRE[0] * 0.4
    bend_y = (start[1] + end[1]) / 2 * 0.6 + _CENTRE[1] * 0.4
    return f"M{_n(start[0])} {_n(start[1])}Q{_n(bend_x)} {_n(bend_y)} {_n(end[0])} {_n(end[1])}"


def _mark(node: NodeFacts, x: float, y: float) -> Raw:
    size = _SIZE.get(node.role, 9.0)
    corners = _SHAPES.get(node.role, 4)
    shape = (
        el("polygon", points=_polygon(corners, x, y, size)) if corners else el("circle", cx=_n(x), cy=_n(y), r=_n(size))
    )
    halo = el("circle", cx=_n(x), cy=_n(y), r=_n(size + 7), class_="halo") if node.own else None
    below = y >= _CENTRE[1]
    label = el("text", short_name(node), x=_n(x), y=_n(y + (size + 23 if below else -size - 12)), text_anchor="middle")
    hint = el("title", f"{node.role}, {node.state}")
    known = "" if node.state != "known" else " faint"
    return el("g", join(hint, halo, shape, label), class_=f"node {node.role}{known}")


def short_name(node: NodeFacts) -> str:
    """The seat for a validator, else the end of its id."""
    return f"seat {node.seat}" if node.seat is not None else f"…{node.name[-6:]}"


def _polygon(corners: int, x: float, y: float, size: float) -> str:
    turn = pi / 6 if corners == 6 else 0.0
    points = (turn + 2 * pi * i / corners for i in range(corners))
    return " ".join(f"{_n(x + 1.12 * size * cos(angle))},{_n(y + 1.12 * size * sin(angle))}" for angle in points)


def _n(value: float) -> str:
    return f"{value:.1f}"
