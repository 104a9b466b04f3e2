"""Encrypted integers as Python values: write a function of words, get a circuit.

    from octra.hfhe.tracing import circuit
    from octra.hfhe.words import U16, select

    @circuit
    def score(a: U16, b: U16) -> U16:
        return select(a < b, a + b, a - b)

    score(40, 2)    # 38: in the clear, to try it out
    score.graph     # what an evaluator runs on encrypted words; `octra fhe run FILE.py:score` does

Words hold literals of a circuit that is being traced, never data: arithmetic wraps, mixed widths are refused, Python
integers become constants, and `if word:` is an error, because nobody can know which way to go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import ClassVar, Final, NoReturn, Self, TypeVar

from octra.hfhe import arithmetic
from octra.hfhe.arithmetic import AddShape, MulShape
from octra.hfhe.builder import Builder
from octra.hfhe.errors import EncryptedBranch as EncryptedBranch
from octra.hfhe.errors import NotACircuit as NotACircuit
from octra.hfhe.errors import ValueOutOfRange as ValueOutOfRange
from octra.hfhe.errors import WidthMismatch as WidthMismatch
from octra.hfhe.hypergraph import FALSE, TRUE, Literal, bits_of_type

INDEX_BITS_MAX: Final = 8  # of a table look-up: 256 entries, as an S-box has


class Word:
    """An encrypted integer of `width` bits inside a circuit; bits are literals, least significant first."""

    width: ClassVar[int]
    signed: ClassVar[bool] = False
    type_name: ClassVar[str]

    __slots__ = ("builder", "literals")

    def __init__(self, builder: Builder | None, literals: Sequence[Literal]) -> None:
        assert len(literals) == self.width
        self.builder = builder  # None for constants: they belong to every circuit
        self.literals = tuple(literals)

    @classmethod
    def const(cls, value: int) -> Self:
        """A public number."""
        return cls(None, [TRUE if bit else FALSE for bit in to_bits(value, cls.type_name)])

    def __add__(self, other: Self | int) -> Self:
        return add(self, other)

    def __radd__(self, other: int) -> Self:
        return add(self._meet(other), self)

    def __sub__(self, other: Self | int) -> Self:
        return sub(self, other)

    def __rsub__(self, other: int) -> Self:
        return sub(self._meet(other), self)

    def __mul__(self, other: Self | int) -> Self:
        return mul(self, other)

    __rmul__ = __mul__

    def __divmod__(self, other: Self | int) -> tuple[Self, Self]:
        return divide(self, other)

    def __floordiv__(self, other: Self | int) -> Self:
        return divide(self, other)[0]

    def __mod__(self, other: Self | int) -> Self:
        return divide(self, other)[1]

    def __neg__(self) -> Self:
        return neg(self)

    def __invert__(self) -> Self:
        return self._like([literal ^ 1 for literal in self.literals])

    def __and__(self, other: Self | int) -> Self:
        return _per_bit(Builder.and_, self, other)

    def __or__(self, other: Self | int) -> Self:
        return _per_bit(Builder.or_, self, other)

    def __xor__(self, other: Self | int) -> Self:
        return _per_bit(Builder.xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lshift__(self, amount: int | Word) -> Self:
        return shift_left(self, amount)

    def __rshift__(self, amount: int | Word) -> Self:
        return shift_right(self, amount)

    def __lt__(self, other: Self | int) -> Bit:
        return lt(self, other)

    def __gt__(self, other: Self | int) -> Bit:
        return lt(self._meet(other), self)

    def __le__(self, other: Self | int) -> Bit:
        return ~(self > other)

    def __ge__(self, other: Self | int) -> Bit:
        return ~(self < other)

    def __eq__(self, other: Self | int) -> Bit:  # type: ignore[override]  # the answer is encrypted
        return eq(self, other)

    def __ne__(self, other: Self | int) -> Bit:  # type: ignore[override]  # the answer is encrypted
        return ~eq(self, other)

    __hash__ = None  # type: ignore[assignment]  # equality is encrypted, so words are no keys

    def __bool__(self) -> NoReturn:
        raise EncryptedBranch

    def __index__(self) -> NoReturn:
        raise EncryptedBranch

    def __repr__(self) -> str:
        return f"<encrypted {self.type_name}>"

    def _like(self, literals: Sequence[Literal], *others: Word) -> Self:
        return type(self)(_common_builder(self, *others), literals)

    def _meet(self, other: Word | int) -> Self:
        """The other operand as a word of this type."""
        if isinstance(other, int):
            return self.const(other)
        if type(other) is not type(self):
            raise WidthMismatch(self.type_name, getattr(other, "type_name", type(other).__name__))
        return other


W = TypeVar("W", bound=Word)
V = TypeVar("V", bound=Word)


class Bit(Word):
    """An encrypted truth value: what comparisons give and `select` takes."""

    width, type_name = 1, "bit"


class U8(Word):
    width, type_name = 8, "u8"


class U16(Word):
    width, type_name = 16, "u16"


class U32(Word):
    width, type_name = 32, "u32"


class U64(Word):
    width, type_name = 64, "u64"


class I8(Word):
    width, signed, type_name = 8, True, "i8"


class I16(Word):
    width, signed, type_name = 16, True, "i16"


class I32(Word):
    width, signed, type_name = 32, True, "i32"


class I64(Word):
    width, signed, type_name = 64, True, "i64"


_NAMED: dict[str, type[Word]] = {kind.type_name: kind for kind in (Bit, U8, U16, U32, U64, I8, I16, I32, I64)}


@cache
def word_type(name: str) -> type[Word]:
    """The class of a type name: `bit`, `u1`..`u64`, `i1`..`i64`."""
    width = bits_of_type(name)
    if name in _NAMED:
        return _NAMED[name]
    return type(name.upper(), (Word,), {"width": width, "signed": name[0] == "i", "type_name": name, "__slots__": ()})


def to_bits(value: int, type_name: str) -> list[bool]:
    """The bits of a number, least significant first; raises `ValueOutOfRange`."""
    width = bits_of_type(type_name)
    low, high = (-(1 << width - 1), 1 << width - 1) if type_name[0] == "i" else (0, 1 << width)
    if not low <= value < high:
        raise ValueOutOfRange(type_name)
    return [bool(value >> i & 1) for i in range(width)]


def from_bits(bits: Sequence[bool], type_name: str) -> int:
    """The number of these bits."""
    assert len(bits) == bits_of_type(type_name)
    value = sum(1 << i for i, bit in enumerate(bits) if bit)
    return value - (1 << len(bits)) if type_name[0] == "i" and bits[-1] else value


# --- arithmetic -------------------------------------------------------------------------------------------------------


def add(a: W, b: W | int, *, shape: AddShape = "ripple") -> W:
    """The sum modulo 2^width. `octra.hfhe.shapes` tells which shape is faster where."""
    b = a._meet(b)
    return a._like(arithmetic.total(_builder_of(a, b), a.literals, b.literals, shape=shape)[0], b)


def add_checked(a: W, b: W | int, *, shape: AddShape = "ripple") -> tuple[W, Bit]:
    """The sum modulo 2^width and the carry out of the top bit."""
    b = a._meet(b)
    bits, carry = arithmetic.total(_builder_of(a, b), a.literals, b.literals, carry_out=True, shape=shape)
    return a._like(bits, b), Bit(_common_builder(a, b), [carry])


def sub(a: W, b: W | int, *, shape: AddShape = "ripple") -> W:
    """The difference modulo 2^width."""
    b = a._meet(b)
    return a._like(arithmetic.difference(_builder_of(a, b), a.literals, b.literals, shape=shape), b)


def neg(a: W) -> W:
    """The number that adds to zero."""
    return sub(a.const(0), a)


def mul(a: W, b: W | int, *, shape: MulShape = "rows") -> W:
    """The product modulo 2^width: about 1.5 width^2 bootstraps."""
    b = a._meet(b)
    return a._like(arithmetic.product(_builder_of(a, b), a.literals, b.literals, shape=shape), b)


def divide(a: W, b: W | int) -> tuple[W, W]:
    """Quotient and remainder, rounded down as Python does; about 2 width^2 bootstraps.

    Nothing can raise on an encrypted zero: unsigned, dividing by it gives all ones and `a`.
    """
    b = a._meet(b)
    circuit = arithmetic.floor_divided if a.signed else arithmetic.divided
    quotient, rest = circuit(_builder_of(a, b), a.literals, b.literals)
    return a._like(quotient, b), a._like(rest, b)


def lt(a: W, b: W | int, *, shape: AddShape = "ripple") -> Bit:
    """Is `a` less than `b`? Of signed types, by sign."""
    b = a._meet(b)
    answer = arithmetic.less(_builder_of(a, b), a.literals, b.literals, signed=a.signed, shape=shape)
    return Bit(_common_builder(a, b), [answer])


def eq(a: W, b: W | int) -> Bit:
    """Are the two equal?"""
    b = a._meet(b)
    return Bit(_common_builder(a, b), [arithmetic.equal(_builder_of(a, b), a.literals, b.literals)])


def select(condition: Bit, a: W | int, b: W | int) -> W:
    """`a` where the condition is true, else `b`."""
    if not isinstance(condition, Bit):
        raise WidthMismatch("bit", getattr(condition, "type_name", type(condition).__name__))
    kind = a if isinstance(a, Word) else b
    if not isinstance(kind, Word):
        raise NotACircuit("select between two plain numbers: make one a constant of a type")
    first, second = kind._meet(a), kind._meet(b)
    builder, (chooser,) = _builder_of(condition, first, second), condition.literals
    pairs = zip(first.literals, second.literals, strict=True)
    return kind._like([builder.mux(chooser, x, y) for x, y in pairs], condition, first, second)


def minimum(a: W, b: W | int) -> W:
    """The smaller of the two."""
    return select(lt(a, b), a, b)


def maximum(a: W, b: W | int) -> W:
    """The larger of the two."""
    return select(lt(a, b), b, a)


# --- bit by bit -------------------------------------------------------------------------------------------------------


def xor(first: W, *others: W | int) -> W:
    """The exclusive or of up to 64 words: several of them in one bootstrap a bit."""
    return _per_bit(Builder.xor, first, *others)


def majority(a: W, b: W | int, c: W | int) -> W:
    """Each bit as at least two of the three words have it."""
    return _per_bit(Builder.maj3, a, b, c)


def all_equal(a: W, b: W | int, c: W | int) -> W:
    """Ones where all three words agree."""
    return _per_bit(Builder.alleq3, a, b, c)


def and_xor(a: W, b: W | int, c: W | int) -> W:
    """`(a and b) xor c`: one bootstrap a bit where the budget allows."""
    return _per_bit(Builder.andxor, a, b, c)


def blend(mask: W, a: W | int, b: W | int) -> W:
    """Bits of `a` where the mask has ones, of `b` elsewhere."""
    return _per_bit(Builder.mux, mask, a, b)


def seal(a: W) -> W:
    """The same word, every bit bootstrapped."""
    return _per_bit(Builder.seal, a)


def lut(table: int, *bits: Bit) -> Bit:
    """Any function of 1..6 bits: bit `sum bit_j << j` of `table`."""
    return Bit(_common_builder(*bits), [_builder_of(*bits).lut(table, [bit.literals[0] for bit in bits])])


def look_up(table: Sequence[int], index: Word, kind: type[V]) -> V:
    """The entry of a public table, one for each value of an encrypted index of at most 8 bits; as a word of `kind`."""
    if index.width > INDEX_BITS_MAX or len(table) != 1 << index.width:
        raise NotACircuit(f"a table of {len(table)} numbers for an index of {index.width} bits")
    columns = zip(*(to_bits(entry, kind.type_name) for entry in table), strict=True)
    builder = _builder_of(index)
    return kind(index.builder, [arithmetic.looked_up(builder, index.literals, column) for column in columns])


# --- moving bits ------------------------------------------------------------------------------------------------------


def shift_left(a: W, amount: int | Word) -> W:
    """Zeros enter below. An encrypted amount counts modulo the width."""
    return _shift(a, amount, lambda bits, by: [FALSE] * by + bits[: len(bits) - by])


def shift_right(a: W, amount: int | Word) -> W:
    """Zeros enter above, or copies of the sign. An encrypted amount counts modulo the width."""
    return _shift(a, amount, lambda bits, by: bits[by:] + [bits[-1] if a.signed else FALSE] * by)


def rotate_left(a: W, amount: int | Word) -> W:
    """Bits that leave above enter below. An encrypted amount counts modulo the width."""
    return _shift(a, amount, lambda bits, by: bits[len(bits) - by :] + bits[: len(bits) - by])


def rotate_right(a: W, amount: int | Word) -> W:
    """Bits that leave below enter above. An encrypted amount counts modulo the width."""
    return _shift(a, amount, lambda bits, by: bits[by:] + bits[:by])


def cut(a: Word, low: int, high: int) -> Word:
    """Bits low .. high-1 as an unsigned word."""
    if not 0 <= low < high <= a.width:
        raise NotACircuit(f"bits {low}..{high} of a word of {a.width}")
    return word_type(f"u{high - low}")(a.builder, a.literals[low:high])


def concat(low: Word, high: Word) -> Word:
    """One unsigned word from two; the first has the low bits."""
    both = (*low.literals, *high.literals)
    return word_type(f"u{len(both)}")(_common_builder(low, high), both)


def extend(a: Word, kind: type[V]) -> V:
    """The same number in a type at least as wide."""
    if kind.width < a.width:
        raise WidthMismatch(a.type_name, kind.type_name)
    fill = a.literals[-1] if a.signed else FALSE
    return kind(a.builder, [*a.literals, *[fill] * (kind.width - a.width)])


# --- inside -----------------------------------------------------------------------------------------------------------


def _common_builder(*words: Word) -> Builder | None:
    builders = {id(word.builder): word.builder for word in words if word.builder is not None}
    if len(builders) > 1:
        raise NotACircuit("words of two circuits meet")
    return next(iter(builders.values()), None)


def _builder_of(*words: Word) -> Builder:
    return _common_builder(*words) or Builder("constants")  # constants fold: nothing is ever stored there


def _per_bit(operation: Callable[..., Literal], first: W, *others: W | int) -> W:
    met = [first, *(first._meet(other) for other in others)]
    builder = _builder_of(*met)
    columns = zip(*(word.literals for word in met), strict=True)
    return first._like([operation(builder, *column) for column in columns], *met)


def _shift(a: W, amount: int | Word, move: arithmetic.Move) -> W:
    if isinstance(amount, Word):
        return a._like(arithmetic.barrel(_builder_of(a, amount), a.literals, amount.literals, move), amount)
    if not 0 <= amount <= a.width:
        raise ValueOutOfRange(f"a shift of {a.type_name}")
    return a._like(move(list(a.literals), amount))
