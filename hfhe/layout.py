"""Places the items of a layered drawing: few crossings, short lines, nothing on top of anything. No chance.

After Sugiyama: a line over several layers runs through a point of its own in each of them; layers are sorted by where
their neighbours are, back and forth; then every item moves as near to its neighbours as its own neighbours allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

Item = tuple[str, int]
Point = tuple[Item, int]  # an item in its layer, or where lines from the item cross a later layer

SWEEPS: Final = 12
GAP_ITEM: Final = 38
GAP_LINE: Final = 13


def place(
    layers: Sequence[Sequence[Item]], lines: Sequence[tuple[Item, Item]]
) -> tuple[dict[Item, float], list[list[tuple[int, float]]]]:
    """The height of each item, and for each line its height in every layer between its ends."""
    layer_of = {item: layer for layer, items in enumerate(layers) for item in items}
    rows: list[list[Point]] = [[(item, layer) for item in items] for layer, items in enumerate(layers)]
    known = {point for row in rows for point in row}
    before: dict[Point, list[Point]] = {point: [] for point in known}
    after: dict[Point, list[Point]] = {point: [] for point in known}
    linked: set[tuple[Point, Point]] = set()
    for start, end in lines:  # lines from one item share their points
        path = [(start, layer) for layer in range(layer_of[start], layer_of[end])] + [(end, layer_of[end])]
        for point in path:
            if point not in before:
                rows[point[1]].append(point)
                before[point], after[point] = [], []
        for left, right in pairwise(path):
            if (left, right) not in linked:
                linked.add((left, right))
                after[left].append(right)
                before[right].append(left)
    _sort_rows(rows, before, after)
    heights = _spread(rows, before, after, known)
    routes = [
        [(layer, heights[(start, layer)]) for layer in range(layer_of[start] + 1, layer_of[end])]
        for start, end in lines
    ]
    return {item: heights[(item, layer)] for item, layer in layer_of.items()}, routes


def _sort_rows(rows: list[list[Point]], before: dict[Point, list[Point]], after: dict[Point, list[Point]]) -> None:
    """Inputs keep their order; every other layer follows the mean place of its neighbours."""
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        order = range(1, len(rows)) if forward else range(len(rows) - 2, 0, -1)
        for layer in order:
            neighbours, other = (before, rows[layer - 1]) if forward else (after, rows[layer + 1])
            places = {point: position for position, point in enumerate(other)}
            means = {
                point: sum(places[near] for near in neighbours[point]) / len(neighbours[point])
                if neighbours[point]
                else float(position)
                for position, point in enumerate(rows[layer])
            }
            rows[layer].sort(key=means.__getitem__)


def _spread(
    rows: Sequence[Sequence[Point]],
    before: dict[Point, list[Point]],
    after: dict[Point, list[Point]],
    real: set[Point],
) -> dict[Point, float]:
    """Heights that respect order and gaps, pulled towards neighbours; the highest is 0."""
    heights: dict[Point, float] = {}
    for row in rows:
        y = 0.0
        for position, point in enumerate(row):
            y += _gap(row[position - 1], point, real) if position else 0
            heights[point] = y
    for sweep in range(SWEEPS * 2):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for layer in order:
            wanted = []
            for point in rows[layer]:
                near = [*before[point], *after[point]]
                wanted.append(sum(heights[other] for other in near) / len(near) if near else heights[point])
            _fit(rows[layer], wanted, heights, real)
    lowest = min(heights.values(), default=0)
    return {point: round(y - lowest, 1) for point, y in heights.items()}


def _fit(row: Sequence[Point], wanted: Sequence[float], heights: dict[Point, float], real: set[Point]) -> None:
    """The nearest heights to the wanted ones in this order with these gaps: blocks that touch move together."""
    blocks: list[tuple[float, int, float]] = []  # sum of wanted starts, count, where the block's first point stands
    offsets, offset = [], 0.0
    for position, point in enumerate(row):
        offset += _gap(row[position - 1], point, real) if position else 0
        offsets.append(offset)
        total, count = wanted[position] - offset, 1
        while blocks and blocks[-1][2] > total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count, total / count))
    position = 0
    for _, count, start in blocks:
        for _ in range(count):
            heights[row[position]] = start + offsets[position]
            position += 1


def _gap(above: Point, below: Point, real: set[Point]) -> int:
    both = (above in real) + (below in real)
    return (GAP_LINE, (GAP_ITEM + GAP_LINE) // 2, GAP_ITEM)[both]
