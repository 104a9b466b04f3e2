"""Integer arithmetic on literals, least significant first: the circuits behind words, with the fewest bootstraps.

Each carry is made before the sum bit that it belongs to, so that the planner can make that bit linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Literal as OneOf

from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import FALSE, LUT_LITERALS_MAX, Literal

Bits = Sequence[Literal]
Move = Callable[[list[Literal], int], list[Literal]]

AddShape = OneOf["ripple", "sklansky"]
MulShape = OneOf["rows", "wallace"]


def total(
    builder: Builder, x: Bits, y: Bits, *, carry_out: bool = False, shape: AddShape = "ripple"
) -> tuple[list[Literal], Literal]:
    """x + y modulo 2^width, and the carry out of the top bit where asked for.

    A ripple has the fewest bootstraps and one level a bit; Sklansky's tree has log2(width) + 2 levels for 3.4 times
    the bootstraps.
    """
    if shape == "sklansky":
        carries = _prefix_carries(builder, x, y, len(x) + carry_out)
        bits = [builder.xor(*column) for column in zip(x, y, carries, strict=False)]
        return bits, carries[-1] if carry_out else FALSE
    bits, carry = [], FALSE
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        following = builder.maj3(a, b, carry) if carry_out or i + 1 < len(x) else FALSE
        bits.append(builder.xor(a, b, carry))
        carry = following
    return bits, carry


def _prefix_carries(builder: Builder, x: Bits, y: Bits, count: int) -> list[Literal]:
    """The carries into bits 0 .. count - 1, each from a tree of groups of bits [low, high).

    Of each group two things are known: does it carry out when nothing comes in, and does it when a carry comes in? The
    first implies the second, so a group from two is a majority: the upper half's answers, and the lower half's.
    """

    @cache
    def carry(low: int, high: int, comes_in: bool) -> Literal:
        if high - low == 1:
            return builder.or_(x[low], y[low]) if comes_in else builder.and_(x[low], y[low])
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        below = carry(low, middle, comes_in)
        if high - middle == 1:
            return builder.maj3(x[middle], y[middle], below)
        return builder.maj3(carry(middle, high, False), carry(middle, high, True), below)

    return [FALSE, *(carry(0, high, False) for high in range(1, count))]


def difference(builder: Builder, x: Bits, y: Bits, *, shape: AddShape = "ripple") -> list[Literal]:
    """x - y modulo 2^width."""
    if shape == "sklansky":
        borrows = _prefix_carries(builder, [a ^ 1 for a in x], y, len(x))
        return [builder.xor(*column) for column in zip(x, y, borrows, strict=True)]
    bits, borrow = [], FALSE
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        following = builder.maj3(a ^ 1, b, borrow) if i + 1 < len(x) else FALSE
        bits.append(builder.xor(a, b, borrow))
        borrow = following
    return bits


def less(builder: Builder, x: Bits, y: Bits, *, signed: bool = False, shape: AddShape = "ripple") -> Literal:
    """x < y: the borrow out of x - y."""
    if signed:  # the sign bit weighs the other way
        x, y = [*x[:-1], y[-1]], [*y[:-1], x[-1]]
    if shape == "sklansky":
        return _prefix_carries(builder, [a ^ 1 for a in x], y, len(x) + 1)[-1]
    borrow = FALSE
    for a, b in zip(x, y, strict=True):
        borrow = builder.maj3(a ^ 1, b, borrow)
    return borrow


def equal(builder: Builder, x: Bits, y: Bits) -> Literal:
    """x = y: a balanced tree of ANDs, for the fewest levels."""
    same = [builder.xor(a, b) ^ 1 for a, b in zip(x, y, strict=True)]
    while len(same) > 1:
        pairs = [builder.and_(a, b) for a, b in zip(same[::2], same[1::2], strict=False)]
        same = pairs + same[len(same) & ~1 :]
    return same[0]


def product(builder: Builder, x: Bits, y: Bits, *, shape: MulShape = "rows") -> list[Literal]:
    """x * y modulo 2^width: row by row, or by Wallace's tree, which has fewer levels and a few more bootstraps."""
    if shape == "wallace":
        return _wallace(builder, x, y)
    bits = [builder.and_(x[0], b) for b in y]
    for i in range(1, len(x)):
        row = [builder.and_(x[i], b) for b in y[: len(x) - i]]
        bits[i:] = total(builder, bits[i:], row)[0]
    return bits


def barrel(builder: Builder, x: Bits, amount: Bits, move: Move) -> list[Literal]:
    """x moved by an encrypted amount modulo the width; small steps first, so that the last one fills the most zeros."""
    bits = list(x)
    stages = (len(x) - 1).bit_length()
    for stage, chooser in enumerate(amount[:stages]):
        moved = move(bits, 1 << stage)
        bits = [builder.mux(chooser, a, b) for a, b in zip(moved, bits, strict=True)]
    return bits


def _wallace(builder: Builder, x: Bits, y: Bits) -> list[Literal]:
    """Adders turn three bits of one weight into two until no weight has more than two; then a prefix sum.

    By Dadda's heights 2, 3, 4, 6, 9, ...: reducing a column no further than its neighbours leaves no ripple behind.
    """
    columns = [[builder.and_(x[i], y[weight - i]) for i in range(weight + 1)] for weight in range(len(x))]
    heights = [2]
    while heights[-1] < len(x):
        heights.append(heights[-1] * 3 // 2)
    for height in reversed(heights):
        for weight, column in enumerate(columns):
            while len(column) > height:
                count = 3 if len(column) > height + 1 else 2
                taken, column[:] = column[:count], column[count:]
                if weight + 1 < len(columns):
                    columns[weight + 1].append(builder.maj3(*taken) if count == 3 else builder.and_(*taken))
                column.append(builder.xor(*taken))
    first, second = ([[*column, FALSE, FALSE][row] for column in columns] for row in (0, 1))
    return total(builder, first, second, shape="sklansky")[0]


def divided(builder: Builder, x: Bits, y: Bits) -> tuple[list[Literal], list[Literal]]:
    """x // y and x % y without sign, by restoring division; of y = 0 all ones, and x."""
    width = len(x)
    quotient: list[Literal] = []
    rest: list[Literal] = []
    beyond = [FALSE]  # beyond[i]: does y have a bit at or above width - i?
    for bit in reversed(y):
        beyond.append(builder.or_(beyond[-1], bit))
    for step in range(width):
        rest = [x[width - 1 - step], *rest]  # step + 1 bits: what is left can be no larger
        divisor = y[: len(rest)]
        borrow = less(builder, rest, divisor)
        fits = builder.and_(borrow ^ 1, beyond[width - len(rest)] ^ 1)
        reduced = difference(builder, rest, divisor)
        rest = [builder.mux(fits, a, b) for a, b in zip(reduced, rest, strict=True)]
        quotient.insert(0, fits)
    return quotient, rest


def floor_divided(builder: Builder, x: Bits, y: Bits) -> tuple[list[Literal], list[Literal]]:
    """x // y and x % y of two's complement numbers, rounded down as in Python; the lowest by -1 wraps."""
    opposite = builder.xor(x[-1], y[-1])
    divisor = _negated_if(builder, y[-1], y)
    quotient, rest = divided(builder, _negated_if(builder, x[-1], x), divisor)
    exact = reduce(builder.and_, [bit ^ 1 for bit in rest])
    # Rounding down: of opposite signs, -q - 1 = ~q where something is left, and then the rest counts from y.
    down = builder.and_(opposite, exact ^ 1)
    quotient = _negated_if(builder, opposite, quotient, less_one=down)
    complement = difference(builder, divisor, rest)
    rest = [builder.mux(down, a, b) for a, b in zip(complement, rest, strict=True)]
    return quotient, _negated_if(builder, y[-1], rest)


def _negated_if(builder: Builder, condition: Literal, x: Bits, *, less_one: Literal = FALSE) -> list[Literal]:
    """-x where the condition is true, else x; where `less_one` is true too, -x - 1."""
    flipped = [builder.xor(bit, condition) for bit in x]
    one = [builder.and_(condition, less_one ^ 1), *[FALSE] * (len(x) - 1)]
    return total(builder, flipped, one)[0]


def looked_up(builder: Builder, index: Bits, table: Sequence[bool]) -> Literal:
    """The entry of a public table at an encrypted index."""
    if len(index) <= LUT_LITERALS_MAX:
        return builder.lut(sum(1 << row for row, bit in enumerate(table) if bit), index)
    *rest, last = index
    half = len(table) // 2
    return builder.mux(last, looked_up(builder, rest, table[half:]), looked_up(builder, rest, table[:half]))
