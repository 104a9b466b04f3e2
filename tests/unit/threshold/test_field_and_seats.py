"""Field arithmetic against Python integers, strict packing, and the numbers of a committee."""

from __future__ import annotations

from hashlib import shake_256

import numpy as np
import pytest

from octra.hfhe.params import Q
from octra.hfhe.threshold import field
from octra.hfhe.threshold.committee import COMMITTEE_MAX, committee
from octra.hfhe.threshold.errors import MalformedShare, NoSuchCommittee, NotDecodable, NotEnough
from octra.hfhe.threshold.reed_solomon import open_robust

EDGES = [0, 1, 2, Q // 2, Q // 2 + 1, Q - 2, Q - 1]


def test_elements_and_centred_values_agree_with_integers() -> None:
    signed = [-Q, -Q + 1, -1, 0, 1, Q // 2, Q, 2**62]
    assert field.element(signed).tolist() == [value % Q for value in signed]
    assert field.centred(field.element([-5, 0, 5, Q // 2, Q // 2 + 1])).tolist() == [-5, 0, 5, Q // 2, -(Q // 2)]


def test_matrix_products_of_the_largest_elements_do_not_overflow() -> None:
    left = np.full((2, 1500), Q - 1, dtype=np.uint64)
    right = np.full((1500, 3), Q - 1, dtype=np.uint64)
    assert field.matmul(left, right).tolist() == [[1500] * 3] * 2


def test_products_inverses_and_differences_agree_with_integers() -> None:
    values = field.element(EDGES)
    assert field.inverse(values).tolist() == [pow(v, -1, Q) if v else 0 for v in EDGES]
    assert field.subtract(values, values[::-1]).tolist() == [
        (a - b) % Q for a, b in zip(EDGES, EDGES[::-1], strict=True)
    ]
    expected = 1
    for length in range(1, 8):
        expected = expected * (Q - length) % Q
        assert int(field.product(field.element([-i for i in range(1, length + 1)]))) == expected


def test_lagrange_weights_evaluate_a_polynomial_anywhere() -> None:
    def polynomial(x: int) -> int:
        return (3 * x**3 - 7 * x + 11) % Q

    nodes = [2, 5, 9, 24]
    values = field.element([polynomial(x) for x in nodes])
    places = [0, 1, 1000, Q - 1]
    weights = field.lagrange(nodes, np.array(places))
    assert field.matmul(weights, values).tolist() == [polynomial(x) for x in places]


def test_packing_is_one_little_endian_number() -> None:
    values = [5, Q - 1, 0, 2**26 + 3, 77]
    number = sum(value << (27 * place) for place, value in enumerate(values))
    assert field.pack(field.element(values)) == number.to_bytes(17, "little")


def test_the_xof_is_shake_256_of_the_padded_tag_and_uniform_skips_what_is_not_below_q() -> None:
    stream = shake_256(b"octra.test".ljust(16, b"\0") + b"context").digest(4 * 300_000)
    words = [int.from_bytes(stream[i : i + 4], "little") & (2**27 - 1) for i in range(0, len(stream), 4)]
    accepted = [word for word in words if word < Q]
    assert len(accepted) < len(words)  # some were skipped, or this tests nothing
    assert field.uniform("octra.test", b"context", 299_000).tolist() == accepted[:299_000]


@pytest.mark.parametrize("value", [Q, Q + 1, 2**27 - 1])
def test_a_packed_value_that_is_no_element_is_malformed(value: int) -> None:
    data = value.to_bytes(4, "little")
    with pytest.raises(MalformedShare, match="not below Q"):
        field.unpack(data, 1)


def test_wrong_length_and_padding_are_malformed() -> None:
    data = field.pack(field.element([1, 2]))
    for bad in (data[:-1], data + b"\0", data[:-1] + bytes([data[-1] | 0x80])):
        with pytest.raises(MalformedShare):
            field.unpack(bad, 2)


def test_an_error_about_a_share_never_shows_its_value() -> None:
    with pytest.raises(MalformedShare) as caught:
        field.unpack((Q + 77).to_bytes(4, "little"), 1)
    assert str(Q + 77) not in str(caught.value)


@pytest.mark.parametrize(
    ("n", "t", "agree", "liars", "silent"),
    [(1, 0, 1, 0, 0), (3, 0, 1, 1, 2), (4, 1, 3, 1, 1), (7, 2, 5, 2, 2), (10, 3, 7, 3, 3), (24, 7, 15, 8, 9)],
)
def test_committee_numbers(n: int, t: int, agree: int, liars: int, silent: int) -> None:
    seats = committee(n)
    assert (seats.t, seats.agree, seats.liars_max, seats.silent_max) == (t, agree, liars, silent)
    assert seats.secrecy == ("threshold" if t else "none")


def test_every_committee_bears_t_liars_and_t_silent_seats_together_with_agreement() -> None:
    for n in range(1, COMMITTEE_MAX + 1):
        seats = committee(n)
        assert n >= 3 * seats.t + 1
        assert seats.liars_max >= seats.t
        assert seats.silent_max >= seats.t


@pytest.mark.parametrize("n", [0, -1, 25])
def test_committees_outside_one_to_twenty_four_are_refused(n: int) -> None:
    with pytest.raises(NoSuchCommittee):
        committee(n)


def test_opening_says_how_many_rows_are_missing() -> None:
    row = np.array([5], dtype=np.uint64)
    with pytest.raises(NotEnough) as caught:
        open_robust({1: row, 2: row}, 1, 3, b"")
    assert (caught.value.have, caught.value.need) == (2, 3)


def test_three_contradicting_rows_of_four_cannot_name_the_liar() -> None:
    rows = {seat: np.array([seat * 10 + (seat == 2)], dtype=np.uint64) for seat in (1, 2, 3)}
    with pytest.raises(NotDecodable):
        open_robust(rows, 1, 3, b"")


def test_a_seat_that_is_wrong_in_one_late_column_only_is_named() -> None:
    rows = {seat: np.full(4096, seat, dtype=np.uint64) for seat in range(1, 5)}
    rows[3][4095] += 1
    values, liars = open_robust(rows, 1, 3, b"")
    assert not values.any()
    assert liars == {3}
