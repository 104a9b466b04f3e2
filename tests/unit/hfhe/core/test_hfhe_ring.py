"""The ring: three ways to multiply agree, rotation is multiplication by a power of X, and rounding is guarded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.hfhe.errors import RoundingGuardTripped
from octra.hfhe.params import Q
from octra.hfhe.ring import centred, multiply_plain, multiply_small, rotate, round_exactly, transform

coefficients = st.lists(
    st.sampled_from([0, 1, Q >> 1, (Q >> 1) + 1, Q - 1]) | st.integers(0, Q - 1), min_size=32, max_size=32
)
small = st.lists(st.integers(-1, 1), min_size=32, max_size=32)


@settings(max_examples=40, deadline=None)
@given(coefficients, coefficients)
def test_the_transform_multiplies_as_the_definition_does(left: list[int], right: list[int]) -> None:
    product = transform(32).multiply(np.array(left, np.uint32), np.array(right, np.uint32))
    assert product.tolist() == multiply_plain(left, right)


@settings(max_examples=40, deadline=None)
@given(coefficients, small)
def test_the_rounded_fourier_product_is_exact(left: list[int], right: list[int]) -> None:
    product = multiply_small(np.array(left, np.uint32), np.array(right)) % Q
    assert product.tolist() == multiply_plain(left, right)


@settings(max_examples=40, deadline=None)
@given(coefficients, st.integers(0, 63))
def test_rotation_is_multiplication_by_a_power_of_x(values: list[int], exponent: int) -> None:
    monomial = [0] * 32
    monomial[exponent % 32] = 1 if exponent < 32 else -1
    assert (rotate(np.array(values), exponent) % Q).tolist() == multiply_plain(values, monomial)


@pytest.mark.parametrize("size", [64, 512, 1024])
def test_a_transform_of_full_size_is_inverted(size: int) -> None:
    values = np.random.default_rng(size).integers(0, Q, (3, size), dtype=np.uint32)
    assert (transform(size).inverse(transform(size).forward(values)) == values).all()


def test_products_of_full_size_agree_between_transform_and_fourier() -> None:
    random = np.random.default_rng(7)
    left, right = random.integers(0, Q, (4, 512), dtype=np.uint32), random.integers(-1, 2, (4, 512))
    by_transform = transform(512).multiply(left, (right % Q).astype(np.uint32))
    assert (multiply_small(left, right) % Q == by_transform).all()


def test_centred_values_lie_around_zero() -> None:
    values = np.array([0, 1, Q >> 1, (Q >> 1) + 1, Q - 1], np.uint32)
    assert centred(values).tolist() == [0, 1, Q >> 1, -(Q >> 1), -1]


@pytest.mark.parametrize("bad", [0.3, 0.5, float("nan"), float("inf")])
def test_a_value_far_from_an_integer_stops_the_process(bad: float) -> None:
    assert round_exactly(np.array([2.2, -3.1])).tolist() == [2, -3]
    with pytest.raises(RoundingGuardTripped), np.errstate(invalid="ignore"):
        round_exactly(np.array([1.0, bad]))
