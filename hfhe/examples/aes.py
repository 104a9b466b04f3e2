"""AES-128 as a circuit, built from the field it is defined over (FIPS 197); key schedule included.

    python -m octra.hfhe.examples.aes > aes.txt   # Bristol Fashion: in0 the key, in1 the block, out0 the result

The S-box inverts in GF(2^8) by inverting in GF(2^4) by inverting in GF(2^2): 36 ANDs, everything else is linear. Linear
forms stay sets of bits until an AND needs them: one wide XOR is one bootstrap, a chain of small ones is many.
Bytes count from the left as in FIPS 197, bits of a byte from the least significant one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import chain
from operator import xor
from typing import Final

from octra.hfhe.bristol import write_bristol
from octra.hfhe.builder import Builder
from octra.hfhe.hypergraph import FALSE, TRUE, Graph, Literal

ROUNDS: Final = 10
POLYNOMIAL: Final = 0x11B
AFFINE_CONSTANT: Final = 0x63
NORMS: Final = {2: 1, 4: 1, 8: 2}  # of all 128 towers over normal bases, the first with the fewest bootstraps under S:
ROOT: Final = 86  # 83 for one S-box. A root of the polynomial above, as a number of the tower

Form = frozenset[Literal]  # an exclusive or of literals, TRUE for the constant
Element = tuple[Form, ...]  # of GF(2^n) in a basis of the tower, n forms

ZERO: Final[Form] = frozenset()
ONE: Final[Form] = frozenset([TRUE])


def aes_128_graph() -> Graph:
    """The circuit: inputs key0, key1, block0, block1 of 64 bits (byte 0 lowest), outputs out0, out1."""
    builder = Builder("aes_128")
    key, block = (
        [frozenset([bit]) for half in range(2) for bit in builder.input(f"{name}{half}", "u64")]
        for name in ("key", "block")
    )
    result = [_literal(builder, form) for form in encrypt(builder, key, block)]
    for half in range(2):
        builder.output(f"out{half}", "u64", result[64 * half : 64 * half + 64])
    return builder.build()


def encrypt(builder: Builder, key: Sequence[Form], block: Sequence[Form], rounds: int = ROUNDS) -> list[Form]:
    """The 128 bits of the encrypted block; with fewer rounds than ten, a weak cipher for quick tests."""
    state = _bytes(_sum(key, block))
    words = [_bytes(key)[4 * i : 4 * i + 4] for i in range(4)]
    for number in range(1, rounds + 1):
        words = _next_key(builder, words, number)
        state = [_s_box(builder, byte) for byte in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]  # ShiftRows: row i % 4 moves that many columns
        if number < rounds:
            state = [byte for i in range(0, 16, 4) for byte in _mix_column(state[i : i + 4])]
        state = [_settle(builder, _sum(*pair)) for pair in zip(state, chain(*words), strict=True)]
    return [bit for byte in state for bit in byte]


def _next_key(builder: Builder, words: list[list[Element]], number: int) -> list[list[Element]]:
    last = words[3]
    moved = [_s_box(builder, byte) for byte in (*last[1:], last[0])]
    moved[0] = _sum(moved[0], _constant(_round_constant(number)))
    following: list[list[Element]] = []
    for width, word in zip((3, 3, 3, 1), words, strict=True):  # only the last word enters S-boxes
        moved = [_settle(builder, _sum(*pair), width) for pair in zip(word, moved, strict=True)]
        following.append(moved)
    return following


def _round_constant(number: int) -> int:
    return reduce(lambda value, _: _times(value, 2), range(number - 1), 1)


def _mix_column(column: Sequence[Element]) -> list[Element]:
    return [
        _sum(_doubled(column[i]), _doubled(column[(i + 1) % 4]), *(column[(i + j) % 4] for j in (1, 2, 3)))
        for i in range(4)
    ]


def _doubled(byte: Element) -> Element:
    return _linear([_times(1 << i, 2) for i in range(8)], byte)


# --- The S-box --------------------------------------------------------------------------------------------------------
#
# GF(2^(2h)) over GF(2^h): pairs in the normal basis (Y, Y^(2^h)) of Y^2 + Y + norm; a number's low half is the first.


def _s_box(builder: Builder, byte: Element) -> Element:
    inverse = _inverse(builder, _linear(TO_TOWER, byte))
    return _settle(builder, _sum(_linear(FROM_TOWER, inverse), _constant(AFFINE_CONSTANT)))


def _inverse(builder: Builder, x: Element) -> Element:
    """1 / x, and 0 of 0: the conjugate over the norm, which lies in the smaller field."""
    low, high = _halves(x)
    if len(x) == 2:
        return high + low
    trace = _sum(low, high)
    norm = _sum(_product(builder, low, high), _scaled(_squared(trace), NORMS[len(x)]))
    inverse = _inverse(builder, norm)
    return _product(builder, inverse, high) + _product(builder, inverse, low)


def _product(builder: Builder, x: Element, y: Element) -> Element:
    """Karatsuba: three products in the smaller field."""
    if len(x) == 1:
        return (frozenset([builder.and_(_literal(builder, x[0]), _literal(builder, y[0]))]),)
    (x_low, x_high), (y_low, y_high) = _halves(x), _halves(y)
    mixed = _scaled(_product(builder, _sum(x_low, x_high), _sum(y_low, y_high)), NORMS[len(x)])
    return _sum(_product(builder, x_low, y_low), mixed) + _sum(_product(builder, x_high, y_high), mixed)


def _scaled(x: Element, factor: int) -> Element:
    return _linear([multiply(1 << i, factor, len(x)) for i in range(len(x))], x)


def _squared(x: Element) -> Element:
    return _linear([multiply(1 << i, 1 << i, len(x)) for i in range(len(x))], x)


def _halves(x: Element) -> tuple[Element, Element]:
    return x[: len(x) // 2], x[len(x) // 2 :]


def multiply(x: int, y: int, bits: int) -> int:
    """The product of two numbers of GF(2^bits) in the tower's basis."""
    if bits == 1:
        return x & y
    half = bits // 2
    mask = (1 << half) - 1
    x_low, x_high, y_low, y_high = x & mask, x >> half, y & mask, y >> half
    mixed = multiply(multiply(x_low ^ x_high, y_low ^ y_high, half), NORMS[bits], half)
    return multiply(x_low, y_low, half) ^ mixed | (multiply(x_high, y_high, half) ^ mixed) << half


# --- Linear forms and matrices over GF(2) -----------------------------------------------------------------------------


def _sum(*elements: Sequence[Form]) -> Element:
    return tuple(frozenset(reduce(xor, forms)) for forms in zip(*elements, strict=True))


def _linear(columns: Sequence[int], x: Element) -> Element:
    """The matrix of these columns applied to x."""
    return tuple(
        reduce(xor, (form for column, form in zip(columns, x, strict=True) if column >> row & 1), ZERO)
        for row in range(len(columns))
    )


def _constant(byte: int) -> Element:
    return tuple(ONE if byte >> i & 1 else ZERO for i in range(8))


def _literal(builder: Builder, form: Form) -> Literal:
    return builder.xor(*sorted(form)) if form else FALSE


def _settle(builder: Builder, element: Element, width: int = 1) -> Element:
    """The same bits, wider forms as one literal each: what is built on them stays narrow."""
    return tuple(form if len(form) <= width else frozenset([_literal(builder, form)]) for form in element)


def _bytes(bits: Sequence[Form]) -> list[Element]:
    return [tuple(bits[i : i + 8]) for i in range(0, len(bits), 8)]


def _times(x: int, y: int) -> int:
    """The product in AES's field."""
    product = 0
    for i in range(8):
        product ^= (x << i) * (y >> i & 1)
    for i in range(14, 7, -1):
        product ^= (POLYNOMIAL << i - 8) * (product >> i & 1)
    return product


def _into_tower() -> list[int]:
    """Powers of the root: column i is what x^i becomes."""
    columns = [0xFF]  # the sum of a normal basis is 1
    for _ in range(7):
        columns.append(multiply(columns[-1], ROOT, 8))
    return columns


def _out_of_tower() -> list[int]:
    """Back from the tower, then the affine map's matrix."""
    inverse = {_mapped(TO_TOWER, x): x for x in range(256)}
    affine = [sum(1 << (i + j) % 8 for j in range(5)) for i in range(8)]
    return [_mapped(affine, inverse[1 << i]) for i in range(8)]


def _mapped(columns: Sequence[int], x: int) -> int:
    return reduce(xor, (column for i, column in enumerate(columns) if x >> i & 1), 0)


TO_TOWER: Final = _into_tower()
FROM_TOWER: Final = _out_of_tower()


if __name__ == "__main__":
    print(write_bristol(aes_128_graph(), inputs=(128, 128), outputs=(128,)), end="")
