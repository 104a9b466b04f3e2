"""Every formula of a bootstrap against plain Python integers, written down once more without NumPy."""

from __future__ import annotations

import random

import numpy as np
import pytest

from octra.hfhe import bootstrap as steps
from octra.hfhe.ciphertext import EntryBits, extract, extract_many, linear_form
from octra.hfhe.encrypt import encrypt_bits, encrypt_entry, trivial_bits
from octra.hfhe.keys import entry_masks
from octra.hfhe.params import MU, STD128, TEST, Gadget, ParameterSet, Q, S, T
from octra.hfhe.ring import multiply_plain

SEED = b"reference tests: not for any key"


def switch_plain(key: list[list[list[list[int]]]], params: ParameterSet, form: list[int]) -> list[int]:
    """Key switch and modulus switch of one form."""
    log, base_log, half = params.switch_log, params.switch_base_log, params.switch_half
    rounded = [((x << (log + 1)) + Q) // (2 * Q) % 2**log for x in form]
    accumulator = [0] * params.n + [rounded[-1]]
    for i, x in enumerate(rounded[:-1]):
        carry = 0
        for j in range(params.switch_digits):
            value = (x >> (j * base_log)) % (2 * half) + carry
            carry = int(value >= half)
            value -= 2 * half * carry
            if value:
                row = key[i][j][abs(value) - 1]
                sign = 1 if value > 0 else -1
                accumulator = [(a - sign * r) % 2**log for a, r in zip(accumulator, row, strict=True)]
    return modulus_switch_plain(params, accumulator)


def modulus_switch_plain(params: ParameterSet, accumulator: list[int]) -> list[int]:
    modulus = 2 * params.N
    shift = params.switch_log - modulus.bit_length() + 1
    rounded = [(a + 2 ** (shift - 1)) >> shift for a in accumulator[:-1]]
    if params.step == "ternary":
        body = (accumulator[-1] + 2 ** (shift - 1)) >> shift
    else:
        excess = sum((r << shift) - a for r, a in zip(rounded, accumulator, strict=False))
        body = (2 * accumulator[-1] + excess + 2**shift) >> (shift + 1)
    return [r % modulus for r in [*rounded, body]]


def decompose_plain(gadget: Gadget, x: int) -> list[int]:
    if x > Q >> 1:
        x -= Q
    y = (
        x
        + (1 << (gadget.drop - 1))
        + sum((gadget.base // 2) << (gadget.drop + i * gadget.base_log) for i in range(gadget.digits))
    )
    assert y > 0
    digits = []
    for i in range(gadget.digits):
        digit = y >> (gadget.drop + i * gadget.base_log)
        if i < gadget.digits - 1:
            digit %= gadget.base
        digits.append(digit - gadget.base // 2)
    return digits


def times_monomial(polynomial: list[int], exponent: int) -> list[int]:
    size = len(polynomial)
    result = [0] * size
    for j, value in enumerate(polynomial):
        target = (j + exponent) % (2 * size)
        result[target % size] = value % Q if target < size else -value % Q
    return result


def rotate_plain(
    rows: np.ndarray, params: ParameterSet, exponents: list[int], start: int, value: int
) -> list[list[int]]:
    """Blind rotation of one accumulator; `rows` [groups, messages, rows, k + 1, N]."""
    size, modulus = params.N, 2 * params.N
    accumulator = [[0] * size for _ in range(params.k)]
    accumulator.append([value if (j + exponents[-1]) % modulus < size else Q - value for j in range(size)])
    for step in range(params.groups):
        group = (start + step) % params.groups
        if params.step == "pair":
            first, second = exponents[2 * group], exponents[2 * group + 1]
            powers = [first, second, (first + second) % modulus]
        else:
            powers = [exponents[group], -exponents[group] % modulus]
        digits = [
            [decompose_plain(params.gadget, x)[i] for x in c] for c in accumulator for i in range(params.gadget.digits)
        ]
        for message, power in enumerate(powers):
            for c in range(params.k + 1):
                product = [0] * size
                for w, digit in enumerate(digits):
                    part = multiply_plain(digit, rows[group, message, w, c].tolist())
                    product = [(a + b) % Q for a, b in zip(product, part, strict=True)]
                turned = times_monomial(product, power)
                accumulator[c] = [(a + b - p) % Q for a, b, p in zip(accumulator[c], turned, product, strict=True)]
    return accumulator


def extract_plain(glwe: list[list[int]], t: int) -> list[int]:
    *mask, body = glwe
    size = len(body)
    return [A[t - j] if j <= t else -A[size + t - j] % Q for A in mask for j in range(size)] + [body[t]]


def tiny_forms(secret: object, count: int) -> np.ndarray:
    fresh = encrypt_bits(secret, [i % 2 for i in range(2 * count)], SEED)  # type: ignore[arg-type]
    return linear_form([fresh[:count], fresh[count:]], [1, -2], 1)


EDGES = [0, 1, Q >> 1, (Q >> 1) + 1, Q - 1, MU, Q - MU, 255, 256, 2**26, Q - 256]


@pytest.mark.parametrize("gadget", [S.gadget, T.gadget, STD128.gadget], ids=["S", "T", "STD128"])
def test_decomposition_matches_at_the_edges_and_in_between(gadget: Gadget) -> None:
    values = EDGES + random.Random(1).choices(range(Q), k=2_000)
    digits = steps.decompose(gadget, np.array(values, np.uint32)).T.tolist()
    assert digits == [decompose_plain(gadget, x) for x in values]
    assert max(max(row) for row in digits) == gadget.base // 2  # only the top digit, not masked, gets there
    assert min(min(row) for row in digits) == -gadget.base // 2


@pytest.mark.parametrize("gadget", [S.gadget, T.gadget, STD128.gadget], ids=["S", "T", "STD128"])
def test_digits_recompose_to_the_value_up_to_the_dropped_bits(gadget: Gadget) -> None:
    for x in EDGES:
        total = sum(digit * gadget.weight(i) for i, digit in enumerate(decompose_plain(gadget, x)))
        signed = x - Q if x > Q >> 1 else x
        assert abs(total - signed) <= 1 << (gadget.drop - 1)


@pytest.mark.parametrize("params", [S, T, STD128, TEST], ids=lambda params: params.name)
def test_modulus_switch_matches_at_edges(params: ParameterSet) -> None:
    source, top = random.Random(2), 2**params.switch_log - 1
    rows = [[0] * (params.n + 1), [top] * (params.n + 1), [top // 2] * (params.n + 1), [top // 2 + 1] * (params.n + 1)]
    rows += [source.choices(range(top + 1), k=params.n + 1) for _ in range(5)]
    expected = [modulus_switch_plain(params, row) for row in rows]
    assert steps.modulus_switch(params, np.array(rows, np.uint16)).tolist() == expected


def test_key_and_modulus_switch_match(toy) -> None:  # type: ignore[no-untyped-def]
    key = [toy.evaluation.switch_rows(i).tolist() for i in range(TEST.M)]
    forms = np.concatenate([tiny_forms(toy.secret, 3), np.zeros((1, TEST.M + 1), np.uint32)])
    forms[3] = (EDGES * 6)[: TEST.M + 1]
    expected = [switch_plain(key, TEST, form) for form in forms.tolist()]
    assert toy.backend.switch(toy.prepared, forms).tolist() == expected


@pytest.mark.parametrize(("start", "value"), [(0, MU), (5, 2 * MU)])
def test_rotation_matches_from_any_group_and_with_any_test_value(toy, start: int, value: int) -> None:  # type: ignore[no-untyped-def]
    rows = np.array([toy.evaluation.bootstrap_rows(group) for group in range(TEST.groups)])
    top = 2 * TEST.N - 1
    exponents = [[0] * 17, [top] * 17, random.Random(3).choices(range(top + 1), k=17)]
    expected = [rotate_plain(rows, TEST, row, start, value) for row in exponents]
    assert toy.backend.rotate(toy.prepared, np.array(exponents, np.uint16), start, value).tolist() == expected


def test_a_whole_bootstrap_matches(toy) -> None:  # type: ignore[no-untyped-def]
    rows = np.array([toy.evaluation.bootstrap_rows(group) for group in range(TEST.groups)])
    key = [toy.evaluation.switch_rows(i).tolist() for i in range(TEST.M)]
    forms = tiny_forms(toy.secret, 2)
    expected = [
        extract_plain(rotate_plain(rows, TEST, switch_plain(key, TEST, form), 0, MU), 0) for form in forms.tolist()
    ]
    assert toy.backend.bootstrap(toy.prepared, forms).tolist() == expected


def test_extraction_matches_at_every_coefficient() -> None:
    glwe = np.random.default_rng(4).integers(0, Q, (3, 16), dtype=np.uint32)
    glwe[0, 3] = 0
    expected = [extract_plain(glwe.tolist(), t) for t in range(16)]
    assert [extract(glwe, t).tolist() for t in range(16)] == expected
    assert extract_many(glwe, 16).tolist() == expected
    assert extract_many(glwe, 5).tolist() == expected[:5]


def test_packing_matches(toy) -> None:  # type: ignore[no-untyped-def]
    gadget, bits = TEST.packing, encrypt_bits(toy.secret, [1, 0, 1], SEED)
    assert gadget is not None
    result = [[0] * TEST.N, [*bits[:, -1].tolist(), *[0] * (TEST.N - 3)]]
    for j in range(TEST.M):
        column = [*bits[:, j].tolist(), *[0] * (TEST.N - 3)]
        rows = toy.evaluation.packing_rows(j).tolist()
        for i in range(gadget.digits):
            digits = [decompose_plain(gadget, x)[i] for x in column]
            for c in range(2):
                product = multiply_plain(digits, rows[i][c])
                result[c] = [(a - b) % Q for a, b in zip(result[c], product, strict=True)]
    assert toy.backend.pack(toy.prepared, bits).tolist() == result


def test_entry_exponents_match() -> None:
    bits = EntryBits(T, b"", SEED, np.array([0, Q - 1, Q >> 1, 12345], np.uint32))
    masks, size, expected = entry_masks(T, SEED, 4).tolist(), T.N, []
    for mask, body in zip(masks, bits.bodies.tolist(), strict=True):
        rounded = [(a * 4 * size + Q) // (2 * Q) for a in mask]
        excess = sum(r * Q - a * 2 * size for r, a in zip(rounded, mask, strict=True))
        expected.append([r % (2 * size) for r in [*rounded, (4 * size * body + excess + Q) // (2 * Q)]])
    assert steps.entry_exponents(T, bits).tolist() == expected


def test_entry_is_rotation_of_its_exponents(toy) -> None:  # type: ignore[no-untyped-def]
    bits = encrypt_entry(toy.secret, toy.evaluation.key_id, [0, 1, 1], SEED)
    rotated = toy.backend.rotate(toy.prepared, steps.entry_exponents(TEST, bits))
    assert (toy.backend.entry(toy.prepared, bits) == extract(rotated)).all()


def test_ternary_steps_multiply_by_powers_of_both_signs() -> None:
    exponents = np.array([[3, 0, 2047, 5]], np.uint16)
    params = STD128
    assert steps.group_exponents(params, exponents).tolist() == [[[3, 2045], [0, 0], [2047, 1]]]


def test_a_form_is_the_integer_combination_of_its_sources() -> None:
    left, right = trivial_bits(TEST, [0, 1]), trivial_bits(TEST, [1, 1])
    assert linear_form([left, right], [2, -3], 5)[:, -1].tolist() == [(-2 - 3 + 5) * MU % Q, (2 - 3 + 5) * MU % Q]
