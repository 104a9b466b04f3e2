"""Laws of sharing and robust opening, over random committees, values and lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.hfhe.params import Q
from octra.hfhe.threshold import dealing, field, shamir
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.errors import MalformedShare, NotDecodable, NotEnough
from octra.hfhe.threshold.reed_solomon import open_robust, syndromes

elements = st.integers(0, Q - 1)
seeds = st.binary(min_size=32, max_size=32)
COMMITTEES = [1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 24]


@given(st.lists(elements, min_size=0, max_size=70))
def test_packing_then_unpacking_gives_the_same_elements(values: list[int]) -> None:
    packed = field.pack(np.array(values, dtype=np.uint64))
    assert len(packed) == field.row_size(len(values))
    assert field.unpack(packed, len(values)).tolist() == values


@given(st.binary(max_size=30), st.integers(0, 9))
def test_unpacking_accepts_only_what_packing_writes(data: bytes, count: int) -> None:
    try:
        values = field.unpack(data, count)
    except MalformedShare:
        return
    assert field.pack(values) == data


@given(st.lists(elements, min_size=1, max_size=8), seeds, st.sampled_from(COMMITTEES), st.randoms())
def test_any_t_plus_one_shares_give_the_values(values: list[int], seed: bytes, n: int, random) -> None:
    seats = committee(n)
    rows = shamir.share(np.array(values), seats.t, seats.seats, seed)
    chosen = sorted(random.sample(list(seats.seats), seats.t + 1))
    assert shamir.reconstruct(chosen, rows[[seat - 1 for seat in chosen]]).tolist() == values
    assert not syndromes(list(seats.seats), rows, seats.t).any()


@settings(max_examples=150)
@given(st.data())
def test_lying_rows_are_corrected_and_exactly_they_are_named(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from(COMMITTEES))
    seats = committee(n)
    values = np.array(data.draw(st.lists(elements, min_size=1, max_size=6)))
    rows = shamir.share(values, seats.t, seats.seats, data.draw(seeds))
    liars = data.draw(st.sets(st.sampled_from(seats.seats), max_size=seats.liars_max))
    for seat in liars:
        kind = data.draw(st.sampled_from(["random", "one column", "shifted"]))
        if kind == "random":
            rows[seat - 1] = field.uniform("octra.test", seat.to_bytes(1, "little"), len(values))
        elif kind == "one column":
            column = data.draw(st.integers(0, len(values) - 1))
            rows[seat - 1, column] = (rows[seat - 1, column] + 1) % Q
        else:
            rows[seat - 1] = (rows[seat - 1] + np.uint64(Q // 2)) % Q
    opened, named = open_robust({s: rows[s - 1] for s in seats.seats}, seats.t, seats.agree, b"context")
    assert opened.tolist() == values.tolist()
    assert named == liars


@settings(max_examples=60)
@given(st.data())
def test_no_subset_of_rows_opens_to_a_wrong_value_while_at_most_t_lie(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 7, 10, 24]))
    seats = committee(n)
    values = np.array(data.draw(st.lists(elements, min_size=1, max_size=3)))
    rows = shamir.share(values, seats.t, seats.seats, data.draw(seeds))
    liars = data.draw(st.sets(st.sampled_from(seats.seats), max_size=seats.t))
    # All liars agree on another polynomial: the most convincing lie.
    other = shamir.share((values + 1) % Q, seats.t, seats.seats, bytes(32))
    answered = data.draw(st.sets(st.sampled_from(seats.seats), max_size=n))
    given_rows = {s: (other if s in liars else rows)[s - 1] for s in answered}
    try:
        opened, named = open_robust(given_rows, seats.t, seats.agree, b"")
    except (NotEnough, NotDecodable):
        return
    assert opened.tolist() == values.tolist()
    assert named <= liars


@settings(max_examples=25)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.sampled_from([1, 3, 4, 7, 24]), seeds, seeds, seeds)
def test_dealt_bits_are_accepted_and_open_to_the_bits(
    bits: list[int], n: int, seed: bytes, context: bytes, rho: bytes
) -> None:
    dealt = dealing.deal_bits(bits, n, context, seed)
    rows = {k: dealing.check_row(body, len(bits), context, rho) for k, body in enumerate(dealt.bodies, 1)}
    assert dealing.judge(rows, n, len(bits), context, rho) == dealing.Verdict(True, frozenset())
    seats = committee(n)
    shares = {k: dealing.bit_shares(body, len(bits)) for k, body in enumerate(dealt.bodies, 1)}
    assert open_robust(shares, seats.t, seats.agree, b"")[0].tolist() == bits


@settings(max_examples=40)
@given(st.data())
def test_a_value_that_is_no_bit_is_refused(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=20))
    values[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.integers(2, Q - 1) | st.just(Q // 4))
    seed, context, rho = data.draw(seeds), data.draw(seeds), data.draw(seeds)
    dealt = dealing.deal_bits(values, 4, context, seed)
    rows = {k: dealing.check_row(body, len(values), context, rho) for k, body in enumerate(dealt.bodies, 1)}
    verdict = dealing.judge(rows, 4, len(values), context, rho)
    assert not verdict.accepted
    assert verdict.reason == "the values are not bits"


def test_t_shares_of_a_secret_are_uniform() -> None:
    """Chi-square of the low byte of one seat's share, over 25,600 sharings of zero: 255 degrees of freedom."""
    share = shamir.share(np.zeros(25_600, dtype=np.int64), 1, range(1, 5), b"uniform")[2]
    counts = np.bincount((share % 256).astype(np.int64), minlength=256)
    assert ((counts - 100) ** 2 / 100).sum() < 360  # exceeded with probability 2 * 10^-5; the seed is fixed


@pytest.mark.parametrize("wrong", range(10))
def test_twenty_four_seats_bear_eight_wrong_rows_and_fail_by_name_with_nine(wrong: int) -> None:
    seats = committee(24)
    values = np.arange(64)
    rows = shamir.share(values, seats.t, seats.seats, b"seed")
    rows[:wrong] = field.uniform("octra.test", b"lies", wrong * 64).reshape(wrong, 64)
    table = dict(enumerate(rows, 1))
    if wrong <= 8:
        opened, named = open_robust(table, seats.t, seats.agree, b"")
        assert opened.tolist() == values.tolist()
        assert named == set(range(1, wrong + 1))
    else:
        with pytest.raises((NotDecodable, NotEnough)):
            open_robust(table, seats.t, seats.agree, b"")
