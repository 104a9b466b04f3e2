"""Words modulo a public number: sums, differences, products. The operands must be below it, which nothing can check."""

from __future__ import annotations

from octra.hfhe.hypergraph import FALSE
from octra.hfhe.words import Bit, ValueOutOfRange, W, add, add_checked, lt, select, sub, to_bits


def add_mod(a: W, b: W | int, modulus: int) -> W:
    """The sum modulo a public number, 2 or more: at most 5 width bootstraps."""
    _check(a, modulus)
    total, carry = add_checked(a, b)
    over = carry | ~lt(total, modulus)
    return sub(total, _masked(a, modulus, over))


def sub_mod(a: W, b: W | int, modulus: int) -> W:
    """The difference modulo a public number, 2 or more: at most 4 width - 1 bootstraps."""
    _check(a, modulus)
    return add(sub(a, b), _masked(a, modulus, lt(a, b)))


def mul_mod(a: W, b: W | int, modulus: int) -> W:
    """The product modulo a public number, 2 or more, by doubling and adding: about 9 width^2 bootstraps."""
    _check(a, modulus)
    total = a.const(0)
    for bit in reversed((a.const(b) if isinstance(b, int) else b).literals):
        row = select(Bit(a.builder, [bit]), a, 0)
        total = add_mod(add_mod(total, total, modulus), row, modulus)
    return total


def _check(a: W, modulus: int) -> None:
    if a.signed or modulus < 2:
        raise ValueOutOfRange(f"a modulus of {a.type_name}")
    to_bits(modulus, a.type_name)


def _masked(a: W, value: int, condition: Bit) -> W:
    """The public number where the condition is true, else 0: free, since a constant's bits only choose."""
    bits = [condition.literals[0] if bit else FALSE for bit in to_bits(value, a.type_name)]
    return type(a)(condition.builder, bits)
