"""Integer arithmetic on literals, least significant first: the circuits behind words, with the fewest bootstraps.

Each carry is made before the sum bit that it belongs to, so that the planner can make that bit linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import FALSE, Literal

Bits = Sequence[Literal]
Move = Callable[[list[Literal], int], list[Literal]]


def total(builder: Builder, x: Bits, y: Bits, *, carry_out: bool = False) -> tuple[list[Literal], Literal]:
    """x + y modulo 2^width, and the carry out of the top bit where asked for."""
    bits, carry = [], FALSE
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        following = builder.maj3(a, b, carry) if carry_out or i + 1 < len(x) else FALSE
        bits.append(builder.xor(a, b, carry))
        carry = following
    return bits, carry


def difference(builder: Builder, x: Bits, y: Bits) -> list[Literal]:
    """x - y modulo 2^width."""
    bits, borrow = [], FALSE
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        following = builder.maj3(a ^ 1, b, borrow) if i + 1 < len(x) else FALSE
        bits.append(builder.xor(a, b, borrow))
        borrow = following
    return bits


def less(builder: Builder, x: Bits, y: Bits, *, signed: bool = False) -> Literal:
    """x < y: the borrow out of x - y."""
    if signed:  # the sign bit weighs the other way
        x, y = [*x[:-1], y[-1]], [*y[:-1], x[-1]]
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


def product(builder: Builder, x: Bits, y: Bits) -> list[Literal]:
    """x * y modulo 2^width, row by row."""
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
