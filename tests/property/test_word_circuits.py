"""Laws of words: every operation computes the integer function of its name, in the clear and on exact phases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.hfhe import modular, params, words
from octra.hfhe.hypergraph import evaluate
from octra.hfhe.plan import simulate
from octra.hfhe.planner import make_plan
from octra.hfhe.tracing import Circuit, evaluate_words
from octra.hfhe.words import Bit, Word, from_bits, to_bits, word_type

TYPES = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "u5", "i7"]


def wrap(value: int, kind: str) -> int:
    width = word_type(kind).width
    return from_bits([bool(value >> i & 1) for i in range(width)], kind)


def numbers(kind: str) -> st.SearchStrategy[int]:
    width = word_type(kind).width
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if kind[0] == "i" else (0, (1 << width) - 1)
    return st.one_of(st.integers(low, high), st.sampled_from(sorted({low, low + 1, 0, 1, high - 1, high})))


def numbers_of(kind: str) -> st.SearchStrategy[int]:
    return st.integers(0, 1) if kind == "bit" else numbers(kind)


def traced(function: Callable[..., Word], *kinds: str) -> Circuit:
    """A circuit of a function whose arguments have these types."""

    def body(*arguments: Word) -> Word:
        return function(*arguments)

    names = "abcdef"[: len(kinds)]
    scope: dict[str, object] = {"body": body, "kinds": [word_type(kind) for kind in kinds]}
    annotated = ", ".join(f"{name}: kinds[{i}]" for i, name in enumerate(names))
    exec(f"def traced_function({annotated}): return body({', '.join(names)})", scope)
    function_of_words = scope["traced_function"]
    assert callable(function_of_words)
    return Circuit(function_of_words)


BINARY: dict[str, tuple[Callable[..., Word], Callable[[int, int], int]]] = {
    "add": (lambda a, b: a + b, lambda x, y: x + y),
    "sub": (lambda a, b: a - b, lambda x, y: x - y),
    "and": (lambda a, b: a & b, lambda x, y: x & y),
    "or": (lambda a, b: a | b, lambda x, y: x | y),
    "xor": (lambda a, b: a ^ b, lambda x, y: x ^ y),
    "minimum": (words.minimum, min),
    "maximum": (words.maximum, max),
}
COMPARISONS: dict[str, tuple[Callable[..., Word], Callable[[int, int], int]]] = {
    "lt": (lambda a, b: a < b, lambda x, y: x < y),
    "le": (lambda a, b: a <= b, lambda x, y: x <= y),
    "gt": (lambda a, b: a > b, lambda x, y: x > y),
    "ge": (lambda a, b: a >= b, lambda x, y: x >= y),
    "eq": (lambda a, b: a == b, lambda x, y: x == y),
    "ne": (lambda a, b: a != b, lambda x, y: x != y),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from(sorted(BINARY) + sorted(COMPARISONS)), st.data())
def test_operations_on_two_words_are_the_integer_functions(kind: str, name: str, data: st.DataObject) -> None:
    x, y = data.draw(numbers(kind)), data.draw(st.one_of(numbers(kind)))
    y = x if data.draw(st.integers(0, 4)) == 0 else y  # equal numbers are the edge of every comparison
    if name in BINARY:
        function, plain = BINARY[name]
        assert traced(function, kind, kind)(x, y) == wrap(plain(x, y), kind)
    else:
        function, plain = COMPARISONS[name]
        assert traced(function, kind, kind)(x, y) == int(plain(x, y))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from(sorted(BINARY) + sorted(COMPARISONS)), st.data())
def test_a_number_in_place_of_a_word_is_a_constant(kind: str, name: str, data: st.DataObject) -> None:
    x, y = data.draw(numbers(kind)), data.draw(numbers(kind))
    function = (BINARY | COMPARISONS)[name][0]
    assert traced(lambda a: function(a, y), kind)(x) == traced(function, kind, kind)(x, y)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["u4", "i5", "u8", "i8"]), st.data())
def test_products_negations_and_selections_are_right(kind: str, data: st.DataObject) -> None:
    x, y = data.draw(numbers(kind)), data.draw(numbers(kind))
    assert traced(lambda a, b: a * b, kind, kind)(x, y) == wrap(x * y, kind)
    assert traced(lambda a: -a, kind)(x) == wrap(-x, kind)
    assert traced(lambda a: ~a, kind)(x) == wrap(~x, kind)
    assert traced(lambda a: 3 - a, kind)(x) == wrap(3 - x, kind)
    condition = data.draw(st.integers(0, 1))
    assert traced(words.select, "bit", kind, kind)(condition, x, y) == (x if condition else y)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPES), st.data())
def test_shifts_by_public_and_encrypted_amounts_agree_with_python(kind: str, data: st.DataObject) -> None:
    width = word_type(kind).width
    x, amount = data.draw(numbers(kind)), data.draw(st.integers(0, width - 1))
    assert traced(lambda a: a << amount, kind)(x) == wrap(x << amount, kind)
    assert traced(lambda a: a >> amount, kind)(x) == wrap(x >> amount, kind)
    turned = (x & (1 << width) - 1) << amount
    assert traced(lambda a: words.rotate_left(a, amount), kind)(x) == wrap(turned | turned >> width, kind)
    assert traced(lambda a: words.rotate_right(words.rotate_left(a, amount), amount), kind)(x) == x
    if width & width - 1 == 0:
        assert traced(words.rotate_right, kind, "u8")(wrap(turned | turned >> width, kind), amount) == x
        assert traced(lambda a, b: a >> b, kind, "u8")(x, amount) == wrap(x >> amount, kind)
        assert traced(words.shift_left, kind, "u8")(x, amount) == wrap(x << amount, kind)
        assert traced(words.shift_right, kind, "u8")(x, amount) == wrap(x >> amount, kind)
        assert traced(words.rotate_left, kind, "u8")(x, amount) == wrap(
            (x << amount) | ((x & (1 << width) - 1) >> (width - amount)), kind
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 255), st.data())
def test_sums_and_differences_modulo_a_public_number_stay_below_it(modulus: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, modulus - 1)), data.draw(st.integers(0, modulus - 1))
    assert traced(lambda a, b: modular.add_mod(a, b, modulus), "u8", "u8")(x, y) == (x + y) % modulus
    assert traced(lambda a, b: modular.sub_mod(a, b, modulus), "u8", "u8")(x, y) == (x - y) % modulus


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["u8", "u5", "u16"]), st.data())
def test_products_modulo_a_public_number_are_right(kind: str, data: st.DataObject) -> None:
    modulus = data.draw(st.integers(2, 2 ** word_type(kind).width - 1))
    x, y = data.draw(st.integers(0, modulus - 1)), data.draw(st.integers(0, modulus - 1))
    product = traced(lambda a, b: modular.mul_mod(a, b, modulus), kind, kind)
    assert product(x, y) == x * y % modulus
    assert traced(lambda a: modular.mul_mod(a, y, modulus), kind)(x) == x * y % modulus


@pytest.mark.parametrize(("kind", "modulus"), [("u8", 1), ("u8", 0), ("u8", 256), ("u8", -7), ("i8", 7)])
def test_a_modulus_that_is_none_is_refused(kind: str, modulus: int) -> None:
    for operation in (modular.add_mod, modular.sub_mod, modular.mul_mod):
        with pytest.raises(words.ValueOutOfRange):
            _ = traced(lambda a, b, f=operation: f(a, b, modulus), kind, kind).graph


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPES), st.data())
def test_shapes_change_the_circuit_and_not_the_function(kind: str, data: st.DataObject) -> None:
    x, y = data.draw(numbers(kind)), data.draw(numbers(kind))
    assert traced(lambda a, b: words.add(a, b, shape="sklansky"), kind, kind)(x, y) == wrap(x + y, kind)
    assert traced(lambda a, b: words.sub(a, b, shape="sklansky"), kind, kind)(x, y) == wrap(x - y, kind)
    assert traced(lambda a, b: words.lt(a, b, shape="sklansky"), kind, kind)(x, y) == int(x < y)
    if word_type(kind).width <= 16:
        assert traced(lambda a, b: words.mul(a, b, shape="wallace"), kind, kind)(x, y) == wrap(x * y, kind)
    mask = (1 << word_type(kind).width) - 1
    for shape in ("ripple", "sklansky"):
        carry = traced(lambda a, b, s=shape: words.add_checked(a, b, shape=s)[1], kind, kind)
        assert carry(x, y) == int((x & mask) + (y & mask) > mask)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["u2", "i2", "u5", "i5", "u8", "i8", "u16", "i16"]), st.data())
def test_quotients_and_remainders_are_pythons(kind: str, data: st.DataObject) -> None:
    x, y = data.draw(numbers(kind)), data.draw(numbers(kind))
    if y == 0:
        assert kind[0] == "i" or traced(lambda a, b: a // b, kind, kind)(x, 0) == wrap(-1, kind)
        assert kind[0] == "i" or traced(lambda a, b: a % b, kind, kind)(x, 0) == x
        return
    assert traced(lambda a, b: a // b, kind, kind)(x, y) == wrap(x // y, kind)
    assert traced(lambda a, b: a % b, kind, kind)(x, y) == wrap(x % y, kind)
    assert traced(lambda a: divmod(a, y)[0], kind)(x) == wrap(x // y, kind)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.sampled_from(["u8", "i5", "bit", "u64"]), st.data())
def test_a_look_up_gives_the_entry_at_the_index(index_width: int, kind: str, data: st.DataObject) -> None:
    table = data.draw(st.lists(numbers_of(kind), min_size=1 << index_width, max_size=1 << index_width))
    at = traced(lambda index: words.look_up(table, index, word_type(kind)), f"u{index_width}")
    for index in data.draw(st.lists(st.integers(0, (1 << index_width) - 1), min_size=1, max_size=8)):
        assert at(index) == table[index]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TYPES), st.data())
def test_blending_takes_bits_where_the_mask_has_ones(kind: str, data: st.DataObject) -> None:
    mask, x, y = (data.draw(numbers(kind)) for _ in range(3))
    assert traced(words.blend, kind, kind, kind)(mask, x, y) == wrap((x & mask) | (y & ~mask), kind)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["u8", "i8", "u16"]), st.sampled_from(sorted(BINARY) + sorted(COMPARISONS)), st.data())
def test_planned_words_give_the_same_on_exact_phases(kind: str, name: str, data: st.DataObject) -> None:
    graph = traced((BINARY | COMPARISONS)[name][0], kind, kind).graph
    values = [data.draw(numbers(kind)) for _ in range(2)]
    bits = [bit for value in values for bit in to_bits(value, kind)]
    for budget in ((params.S, 128), (params.T, 64), (params.F, 64)):
        assert simulate(make_plan(graph, *budget), bits) == evaluate(graph, bits)


@given(st.sampled_from(TYPES), st.data())
def test_a_number_survives_its_bits(kind: str, data: st.DataObject) -> None:
    value = data.draw(numbers(kind))
    assert from_bits(to_bits(value, kind), kind) == value


def sealed_bootstraps(function: Callable[..., Word], *kinds: str) -> int:
    return make_plan(traced(function, *kinds).graph, params.S).bootstraps


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_bootstrap_counts_are_those_of_the_table(width: int) -> None:
    kind, signed = f"u{width}", f"i{width}"
    stages = width.bit_length() - 1
    counts: dict[str, tuple[int, int]] = {
        "not": (sealed_bootstraps(lambda a: ~a, kind), width),
        "and": (sealed_bootstraps(lambda a, b: a & b, kind, kind), width),
        "or": (sealed_bootstraps(lambda a, b: a | b, kind, kind), width),
        "xor": (sealed_bootstraps(lambda a, b: a ^ b, kind, kind), width),
        "add": (sealed_bootstraps(lambda a, b: a + b, kind, kind), 2 * width - 1),
        "sub": (sealed_bootstraps(lambda a, b: a - b, kind, kind), 2 * width - 1),
        "neg": (sealed_bootstraps(lambda a: -a, kind), 2 * width - 2),
        "lt": (sealed_bootstraps(lambda a, b: a < b, kind, kind), width),
        "ge": (sealed_bootstraps(lambda a, b: a >= b, kind, kind), width),
        "lt signed": (sealed_bootstraps(lambda a, b: a < b, signed, signed), width),
        "eq": (sealed_bootstraps(lambda a, b: a == b, kind, kind), 2 * width - 1),
        "select": (sealed_bootstraps(words.select, "bit", kind, kind), 3 * width),
        "min": (sealed_bootstraps(words.minimum, kind, kind), 4 * width),
        "max": (sealed_bootstraps(words.maximum, kind, kind), 4 * width),
        "shift": (sealed_bootstraps(words.shift_left, kind, "u8"), (2 * stages - 1) * width + width // 2 + 1),
    }
    assert {name: got for name, (got, _) in counts.items()} == {name: want for name, (_, want) in counts.items()}


def test_products_cost_what_the_table_says_and_modular_sums_no_more() -> None:
    for width, cost in ((8, 85), (16, 361), (32, 1_489)):
        assert sealed_bootstraps(lambda a, b: a * b, f"u{width}", f"u{width}") == cost
    for modulus in (3, 997, 65_521):
        assert sealed_bootstraps(lambda a, b, m=modulus: modular.add_mod(a, b, m), "u16", "u16") <= 5 * 16
        assert sealed_bootstraps(lambda a, b, m=modulus: modular.sub_mod(a, b, m), "u16", "u16") <= 4 * 16 - 1


def test_open_sums_cost_one_bootstrap_a_bit() -> None:
    from octra.hfhe.builder import with_mode
    from octra.hfhe.hypergraph import Mode

    opened = with_mode(traced(lambda a, b: a + b, "u64", "u64").graph, Mode.OPEN)
    assert make_plan(opened, params.S).bootstraps == 64  # 63 carries, and the top sum bit, which has no carry above it
    carried = with_mode(traced(lambda a, b: words.add_checked(a, b)[1], "u64", "u64").graph, Mode.OPEN)
    assert make_plan(carried, params.S).bootstraps == 64


def test_equality_of_64_bits_takes_seven_levels() -> None:
    assert make_plan(traced(lambda a, b: a == b, "u64", "u64").graph, params.S).depth == 7


def test_a_circuit_called_with_words_becomes_part_of_another() -> None:
    double = traced(lambda a: a + a, "u8")
    twice = traced(lambda a: double(double(a)), "u8")
    assert twice(5) == 20
    assert evaluate_words(twice.graph, [64]) == (0,)


def test_comparisons_give_bits() -> None:
    assert isinstance(words.U8.const(3) < 4, Bit)
