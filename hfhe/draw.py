"""Draws a circuit as a hypergraph: bits are dots, each hyperedge is a labelled box that makes one bit from others.

Path("score.svg").write_text(score.graph.draw())                     # the circuit
Path("score.svg").write_text(draw(plan.graph, plan))                 # and which boxes bootstrap

Layers from left to right, as in any circuit diagram; a small ring where a line meets a box means NOT. The picture
follows the reader's light or dark surroundings, and equal circuits give equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from octra.errors import InvalidInput
from octra.hfhe.hypergraph import FALSE, TRUE, Graph, Op
from octra.hfhe.layout import Item, place
from octra.hfhe.plan import Plan
from octra.hfhe.planner import account

BOXES_MAX: Final = 300  # more is a grey cloud: collapse levels instead
LAYERS_MAX: Final = 200

_LABELS: Final = {Op.XOR: "XOR", Op.AND: "AND", Op.MAJ3: "MAJ", Op.ALLEQ3: "ALL=", Op.ANDXOR: "AND⊕", Op.MUX: "MUX"}


class DrawingTooLarge(InvalidInput):
    """The circuit has too many boxes or layers to be read as a picture."""

    oct_code = 8002

    def __init__(self, what: str, got: int, limit: int, advice: str) -> None:
        super().__init__(f"{got} {what} are no picture, at most {limit}: {advice}")
        self.what, self.got, self.limit = what, got, limit


class Line(NamedTuple):
    """From an item to another, complemented (a ring at its end) or not."""

    start: Item
    end: Item
    complemented: bool


class Drawing(NamedTuple):
    """Items by layer, their labels and classes of style, and lines between them."""

    layers: list[list[Item]]
    labels: dict[Item, str]
    classes: dict[Item, str]
    lines: list[Line]


def draw(graph: Graph, plan: Plan | None = None, *, collapse: bool = False) -> str:
    """The circuit as SVG. With its plan, boxes that bootstrap are filled, sums are dashed, rebased sums ringed.

    `collapse` draws one box for all equal operations of a level. Raises `DrawingTooLarge`.
    """
    sums: frozenset[int] = frozenset()
    rebased: frozenset[int] = frozenset()
    if plan is not None:
        graph, sums, rebased = account(plan)
    if not collapse and len(graph.nodes) > BOXES_MAX:
        raise DrawingTooLarge("boxes", len(graph.nodes), BOXES_MAX, "use collapse=True, or draw smaller words")
    styles: dict[int, str] = {}
    if plan is not None:
        first = 1 + graph.input_bits
        for node in range(first, first + len(graph.nodes)):
            styles[node] = "rebased" if node in rebased else "sum" if node in sums else "boot"
    drawing = _collapsed(graph, styles) if collapse else _expanded(graph, styles)
    if len(drawing.layers) > LAYERS_MAX:
        raise DrawingTooLarge("layers", len(drawing.layers), LAYERS_MAX, "draw smaller words")
    return _svg(graph.name, drawing, plan)


def _levels(graph: Graph) -> list[int]:
    levels = [0] * (1 + graph.input_bits)
    for node in graph.nodes:
        levels.append(1 + max(levels[literal >> 1] for literal in node.literals))
    return levels


def _expanded(graph: Graph, styles: Mapping[int, str]) -> Drawing:
    levels = _levels(graph)
    last = max(levels) + 1
    drawing = Drawing([[] for _ in range(last + 1)], {}, {}, [])
    first = 1 + graph.input_bits
    used = {literal >> 1 for node in graph.nodes for literal in node.literals} | {
        literal >> 1 for literal in graph.output_literals
    }

    def add(layer: int, item: Item, label: str, style: str) -> None:
        drawing.layers[layer].append(item)
        drawing.labels[item], drawing.classes[item] = label, style

    bit = 1
    for word in graph.inputs:
        for i in range(word.bits):
            add(0, ("bit", bit), f"{word.name}{_subscript(i) if word.bits > 1 else ''}", "in")
            bit += 1
    if 0 in used:
        add(0, ("bit", 0), "0", "in")
    for index, node in enumerate(graph.nodes, first):
        item = ("bit", index)
        add(levels[index], item, _label(node.op, len(node.literals), node.table), f"op {styles.get(index, 'plain')}")
        drawing.lines.extend(Line(("bit", literal >> 1), item, bool(literal & 1)) for literal in node.literals)
    position = 0
    for output in graph.outputs:
        for i, literal in enumerate(output.literals):
            item = ("out", position)
            add(last, item, f"{output.name}{_subscript(i) if len(output.literals) > 1 else ''}", "out")
            if literal in (FALSE, TRUE):
                drawing.labels[item] += f" = {literal}"
            drawing.lines.append(Line(("bit", literal >> 1), item, bool(literal & 1)))
            position += 1
    return drawing


def _collapsed(graph: Graph, styles: Mapping[int, str]) -> Drawing:
    """One item for each word, and for each kind of operation and style on a level, with how many there are."""
    levels = _levels(graph)
    last = max(levels) + 1
    first = 1 + graph.input_bits
    drawing = Drawing([[] for _ in range(last + 1)], {}, {}, [])
    member: list[Item] = [("const", 0)]
    sizes: Counter[Item] = Counter()

    def add(layer: int, item: Item, label: str, style: str) -> None:
        if item not in drawing.labels:
            drawing.layers[layer].append(item)
            drawing.labels[item], drawing.classes[item] = label, style
        sizes[item] += 1

    for index, word in enumerate(graph.inputs):
        for _ in range(word.bits):
            member.append(("word", index))
            add(0, ("word", index), f"{word.name}: {word.type}", "in")
    numbers: dict[tuple[int, str, str], int] = {}
    lines: dict[tuple[Item, Item], None] = {}
    for index, node in enumerate(graph.nodes, first):
        style = styles.get(index, "plain")
        label = _LABELS.get(node.op, node.op.name)
        number = numbers.setdefault((levels[index], label, style), len(numbers))
        item = ("group", number)
        member.append(item)
        add(levels[index], item, label, f"op {style}")
        lines.update({(member[literal >> 1], item): None for literal in node.literals})
    for index, output in enumerate(graph.outputs):
        add(last, ("out", index), f"{output.name}: {output.type}", "out")
        lines.update({(member[literal >> 1], ("out", index)): None for literal in output.literals})
    if any(start == ("const", 0) for start, _ in lines):
        add(0, ("const", 0), "0, 1", "in")
    for item, count in sizes.items():
        if item[0] == "group" and count > 1:
            drawing.labels[item] += f" ×{count}"
    drawing.lines.extend(Line(start, end, False) for start, end in lines)
    return drawing


def _label(op: Op, literals: int, table: int) -> str:
    if op is Op.LUT:
        return f"LUT {table:0{max(1, 1 << literals >> 2)}x}" if literals <= 4 else f"LUT{literals}"
    return f"XOR{literals}" if op is Op.XOR and literals > 3 else _LABELS.get(op, op.name)


def _subscript(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))


# --- SVG --------------------------------------------------------------------------------------------------------------

_COLUMN: Final = 124
_BOX_HEIGHT: Final = 26
_MARGIN: Final = 32
_HEAD: Final = 56

_LEGEND: Final = {"boot": "bootstrap", "sum": "sum, no bootstrap", "rebased": "sum, later bootstrapped"}

_STYLE: Final = """
  svg { --line:#8a94a6; --ink:#1d2330; --soft:#5b6475; --box:#ffffff; --edge:#a9b1c0; --boot:#2f6fed; --bootink:#ffffff;
        --in:#12805c; --out:#b4430f; --rebased:#8b3fd1; --paper:#fafbfc;
        font:12px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; }
  @media (prefers-color-scheme: dark) {
    svg { --line:#66708a; --ink:#e6e9f0; --soft:#9aa4b8; --box:#1d2330; --edge:#4b556b; --boot:#4f8bff;
          --bootink:#0d111a; --in:#3ecf9c; --out:#ff9a62; --rebased:#c08bff; --paper:#12161f; } }
  .paper { fill:var(--paper); } .line { fill:none; stroke:var(--line); stroke-width:1.3; }
  .ring { fill:var(--paper); stroke:var(--line); stroke-width:1.3; } .dot { fill:var(--line); }
  text { fill:var(--ink); dominant-baseline:central; } .mid { text-anchor:middle; } .end { text-anchor:end; }
  .title { font-size:15px; font-weight:600; } .soft { fill:var(--soft); }
  .box { fill:var(--box); stroke:var(--edge); stroke-width:1.3; } .sum { stroke-dasharray:4 3; }
  .boot { fill:var(--boot); stroke:var(--boot); } .bootink { fill:var(--bootink); font-weight:600; }
  .rebased { fill:var(--rebased); stroke:var(--rebased); }
  .in { fill:var(--in); } .out { fill:var(--out); } .strong { font-weight:600; }
"""


def _svg(name: str, drawing: Drawing, plan: Plan | None) -> str:
    heights, routes = place(drawing.layers, [(line.start, line.end) for line in drawing.lines])
    column = {item: layer for layer, items in enumerate(drawing.layers) for item in items}
    widths = [
        max((_width(drawing.labels[item]) for item in items if "op" in drawing.classes[item]), default=0)
        for items in drawing.layers
    ]
    label_width = [max((7 * len(drawing.labels[item]) for item in drawing.layers[at]), default=0) for at in (0, -1)]
    xs = [_MARGIN + label_width[0] + 14]
    for left, right in pairwise(widths):
        xs.append(xs[-1] + max(_COLUMN, (left + right) // 2 + 64))
    top = _HEAD + _MARGIN
    width = xs[-1] + label_width[1] + 14 + _MARGIN
    height = top + max(heights.values(), default=0) + _BOX_HEIGHT // 2 + _MARGIN
    parts: list[str] = []
    for line, route in zip(drawing.lines, routes, strict=True):
        start, end = column[line.start], column[line.end]
        points = [(xs[start] + _half(drawing, line.start), top + heights[line.start])]
        points += [(xs[layer], top + y) for layer, y in route]
        stop = xs[end] - _half(drawing, line.end) - (7 if line.complemented else 0)
        points.append((stop, top + heights[line.end]))
        parts.append(f'<path class="line" d="{_curve(points)}"/>')
        if line.complemented:
            parts.append(f'<circle class="ring" cx="{stop + 3.5:g}" cy="{points[-1][1]:g}" r="3.5"/>')
    for layer, items in enumerate(drawing.layers):
        for item in items:
            parts.extend(_item(drawing.labels[item], drawing.classes[item], xs[layer], top + heights[item]))
    head = _head(name, drawing, plan)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, 560)}" height="{height:g}" '
        f'viewBox="0 0 {max(width, 560)} {height:g}" role="img"><title>{escape(name)}</title>'
        f'<style>{_STYLE}</style><rect class="paper" width="100%" height="100%" rx="10"/>'
        + "".join([*head, *parts])
        + "</svg>\n"
    )


def _head(name: str, drawing: Drawing, plan: Plan | None) -> list[str]:
    boxes = sum("op" in style for style in drawing.classes.values())
    parts = [f'<text class="title" x="{_MARGIN}" y="28">{escape(name)}</text>']
    if plan is None:
        return [*parts, f'<text class="soft" x="{_MARGIN}" y="50">{boxes} boxes</text>']
    facts = f"{plan.bootstraps} bootstraps, {plan.depth} levels"
    parts.append(f'<text class="soft" x="{_MARGIN}" y="50">{facts}</text>')
    x = _MARGIN + 7 * len(facts) + 12
    shown = {style.split()[-1] for style in drawing.classes.values()}
    for style, text in _LEGEND.items():
        if style not in shown:
            continue
        parts.append(f'<rect class="box {style}" x="{x}" y="43" width="20" height="13" rx="4"/>')
        parts.append(f'<text class="soft" x="{x + 27}" y="50">{text}</text>')
        x += 27 + 6 * len(text) + 22
    return parts


def _item(label: str, style: str, x: float, y: float) -> list[str]:
    text = escape(label)
    if style == "in":
        return [
            f'<circle class="in" cx="{x:g}" cy="{y:g}" r="4"/>',
            f'<text class="end strong" x="{x - 11:g}" y="{y:g}">{text}</text>',
        ]
    if style == "out":
        return [
            f'<circle class="out" cx="{x:g}" cy="{y:g}" r="4"/>',
            f'<text class="strong" x="{x + 11:g}" y="{y:g}">{text}</text>',
        ]
    kind = style.split()[1]
    wide = _width(label)
    ink = "mid bootink" if kind in ("boot", "rebased") else "mid"
    return [
        f'<rect class="box {kind}" x="{x - wide / 2:g}" y="{y - _BOX_HEIGHT / 2:g}" width="{wide}" '
        f'height="{_BOX_HEIGHT}" rx="7"/>',
        f'<text class="{ink}" x="{x:g}" y="{y:g}">{text}</text>',
        f'<circle class="dot" cx="{x + wide / 2:g}" cy="{y:g}" r="2.6"/>',
    ]


def _width(label: str) -> int:
    return max(46, 16 + 8 * len(label))


def _half(drawing: Drawing, item: Item) -> float:
    return _width(drawing.labels[item]) / 2 if "op" in drawing.classes[item] else 4


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line through the points, level at each of them."""
    (x, y), *others = points
    path = f"M{x:g} {y:g}"
    for right, below in others:
        bend = (right - x) / 2
        path += f"C{x + bend:g} {y:g} {right - bend:g} {below:g} {right:g} {below:g}"
        x, y = right, below
    return path
