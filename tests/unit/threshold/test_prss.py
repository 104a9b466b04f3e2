"""Shared noise: what the shares open to, how wide it is, and the limit of the committee."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from octra.hfhe.params import Q
from octra.hfhe.threshold import field, prss
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.errors import PrssTooLarge
from octra.hfhe.threshold.reed_solomon import open_robust

SEED, INPUT = b"s" * 32, b"i" * 32


@pytest.mark.parametrize("n", range(1, 11))
def test_flood_shares_open_to_the_sum_of_all_terms(n: int) -> None:
    keys, seats = prss.deal_keys(n, SEED), committee(n)
    rows = {k: prss.flood_share(k, n, prss.keys_of(k, n, keys), 1000, 6) for k in seats.seats}
    opened, liars = open_robust(rows, seats.t, seats.agree, b"")
    terms = sum(prss.flood_term(key, 1000, 6, prss.flood_bound(n)) for key in keys)
    assert field.centred(opened).tolist() == np.asarray(terms).tolist()
    assert not liars


@pytest.mark.parametrize("n", [1, 4, 7])
def test_input_shares_open_to_the_sum_of_all_terms(n: int) -> None:
    keys, seats = prss.deal_keys(n, SEED), committee(n)
    rows = {k: prss.input_share(k, n, prss.keys_of(k, n, keys), INPUT, 9) for k in seats.seats}
    opened, _ = open_robust(rows, seats.t, seats.agree, b"")
    terms = sum(prss.input_term(key, INPUT, 9) for key in keys)
    assert field.centred(opened).tolist() == np.asarray(terms).tolist()


@pytest.mark.parametrize("n", range(1, 11))
def test_any_t_seats_miss_exactly_one_key(n: int) -> None:
    for coalition in combinations(committee(n).seats, committee(n).t):
        missed = [members for members in prss.subsets(n) if not set(coalition) & set(members)]
        assert len(missed) == 1


def test_numbers_of_one_domain_do_not_depend_on_how_they_are_asked_for() -> None:
    whole = prss.flood_term(b"k" * 32, 10, 20, 1 << 23)
    parts = [prss.flood_term(b"k" * 32, 10, 7, 1 << 23), prss.flood_term(b"k" * 32, 17, 13, 1 << 23)]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert len(set(whole.tolist())) == 20


def test_more_than_ten_seats_are_refused_by_name() -> None:
    for call in (prss.subsets, prss.flood_bound, lambda n: prss.deal_keys(n, SEED)):
        with pytest.raises(PrssTooLarge) as caught:
            call(11)
        assert (caught.value.seats, caught.value.seats_max) == (11, 10)


@pytest.mark.parametrize("n", range(1, 11))
def test_flood_widths_follow_from_the_rule(n: int) -> None:
    """The rule in floating point is good enough here: no bound lies within a millionth of the limit."""
    sets = math.comb(n, committee(n).t)

    def holds(units: int) -> bool:
        return 7.5 * math.sqrt(sets * ((units << 16) / 5.5) ** 2 + 436_000**2) <= Q / 4

    units = prss.FLOOD_UNITS[n - 1]
    assert holds(units)
    assert units == 128 or not holds(units + 1)


def test_the_gaussian_table_is_the_gaussian() -> None:
    """Against exact fractions of the density with a small variance."""
    table = prss.gaussian_table(1, 9)  # variance 9
    weights = [math.exp(-j * j / 18) * (2 if j else 1) for j in range(60)]
    for j, entry in enumerate(table[:20].tolist()):
        assert entry / 2**63 == pytest.approx(sum(weights[: j + 1]) / sum(weights), abs=1e-15)
    assert (np.diff(table.astype(object)) > 0).all()
    assert int(table[-1]) == 1 << 63


def test_flood_terms_have_the_promised_width_and_never_pass_the_bound() -> None:
    bound = 34 << 16
    terms = prss.flood_term(b"w" * 32, 0, 40_000, bound)
    scaled = terms / (bound / 5.5)
    assert abs(scaled.mean()) < 0.02
    assert scaled.std() == pytest.approx(1, abs=0.015)
    assert (scaled**4).mean() == pytest.approx(3, abs=0.15)
    assert np.abs(terms).max() <= bound
    # No trace of the coarse steps: the remainders modulo the step are uniform (63 degrees of freedom).
    counts = np.bincount((terms % 2048) // 32, minlength=64)
    assert ((counts - 625) ** 2 / 625).sum() < 120


def test_a_term_past_the_bound_is_drawn_again() -> None:
    """With a bound far below 5.5 deviations of the tables nearly all terms need further attempts."""
    tables = prss._tables(8 << 16)
    original = prss._tables
    try:
        prss._tables = lambda bound: tables  # type: ignore[assignment]
        terms = prss.flood_term(b"r" * 32, 0, 500, 1 << 14)
    finally:
        prss._tables = original
    assert np.abs(terms).max() <= 1 << 14
    assert terms.any()


def test_input_terms_fill_their_range() -> None:
    terms = prss.input_term(b"u" * 32, INPUT, 50_000)
    assert terms.min() >= -prss.INPUT_BOUND
    assert terms.max() < prss.INPUT_BOUND
    assert terms.std() == pytest.approx(9459, rel=0.01)


def test_fewer_openings_are_allowed_where_the_noise_is_narrow() -> None:
    assert [prss.openings_max(n) for n in (1, 4, 9, 10)] == [2**20, 2**20, 2**20, 2**18]
