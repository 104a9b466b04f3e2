"""The draw of the committee: its rule on real draws, and its exact odds against corrupt validators."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.consensus.committee import FREE_SEATS, OPERATOR_SEATS, STRATUM_SEATS, Candidate, draw, strata
from octra.consensus.limits import COMMITTEE_MAX
from octra.crypto.hash import H


def _node(number: int) -> bytes:
    return H("test.node", number.to_bytes(4, "little"))


def _candidates(count: int) -> list[Candidate]:
    """The lower the number, the better the score."""
    return [Candidate(_node(number), b"", 15 - number * 16 // count) for number in range(count)]


# --- the rule ---


@pytest.mark.parametrize("count", [0, 1, 4, 24])
def test_all_sit_when_they_are_few_even_if_one_operator_runs_them(count: int) -> None:
    candidates = [Candidate(_node(number), b"one operator", 8) for number in range(count)]
    assert sorted(draw(candidates, b"beacon")) == sorted(candidate.node for candidate in candidates)


@given(st.integers(25, 128), st.binary(min_size=32, max_size=32))
@settings(max_examples=40, deadline=None)
def test_every_quarter_of_the_ranking_has_its_seats(count: int, beacon: bytes) -> None:
    candidates = _candidates(count)
    ranked = sorted(candidates, key=lambda one: (-one.score, H("octra.rank", beacon, one.node)))
    drawn = draw(candidates, beacon)
    assert len(drawn) == len(set(drawn)) == COMMITTEE_MAX
    for stratum, seats in zip(strata(ranked), STRATUM_SEATS, strict=True):
        assert len({one.node for one in stratum} & set(drawn)) >= seats


@given(st.permutations(range(40)), st.binary(min_size=32, max_size=32))
@settings(max_examples=20, deadline=None)
def test_the_draw_depends_on_who_stands_and_not_on_their_order(order: list[int], beacon: bytes) -> None:
    candidates = _candidates(40)
    assert draw([candidates[place] for place in order], beacon) == draw(candidates, beacon)


def test_an_operator_has_at_most_two_seats_and_the_next_in_order_takes_the_place() -> None:
    candidates = [Candidate(_node(n), b"big" if n < 60 else b"", 8) for n in range(120)]
    own = {candidate.node for candidate in candidates if candidate.operator}
    for number in range(30):
        drawn = draw(candidates, bytes([number]) * 32)
        assert len(drawn) == COMMITTEE_MAX
        assert len(own & set(drawn)) <= OPERATOR_SEATS


def test_the_cap_yields_rather_than_leaving_seats_empty() -> None:
    candidates = [Candidate(_node(number), b"a" if number % 2 else b"b", 8) for number in range(30)]
    assert len(draw(candidates, b"beacon")) == COMMITTEE_MAX


def test_other_beacons_draw_other_committees_and_other_seat_numbers() -> None:
    few, many = _candidates(24), _candidates(120)
    assert len({draw(few, bytes([beacon])) for beacon in range(20)}) == 20
    assert len({frozenset(draw(many, bytes([beacon]))) for beacon in range(20)}) == 20


def test_equal_scores_give_everybody_the_same_chance() -> None:
    candidates = [Candidate(_node(number), b"", 8) for number in range(48)]
    seats = Counter(node for number in range(800) for node in draw(candidates, number.to_bytes(32, "little")))
    assert len(seats) == 48
    assert max(seats.values()) - min(seats.values()) < 110  # 400 expected each, deviation 14


def test_better_scores_raise_the_chance_as_the_strata_say() -> None:
    candidates = _candidates(120)
    quarter = {candidate.node: number // 30 for number, candidate in enumerate(candidates)}
    seats: Counter[int] = Counter()
    draws = 600
    for number in range(draws):
        seats.update(quarter[node] for node in draw(candidates, number.to_bytes(32, "little")))
    for part in range(4):
        expected = STRATUM_SEATS[part] + FREE_SEATS * (30 - STRATUM_SEATS[part]) / 104
        assert abs(seats[part] / draws - expected) < 0.2


# --- exact odds: P[at least 8 of 24 corrupt] among 120 ---


def _hypergeometric(total: int, corrupt: int, drawn: int) -> list[Fraction]:
    return [Fraction(comb(corrupt, k) * comb(total - corrupt, drawn - k), comb(total, drawn)) for k in range(drawn + 1)]


def _uniform(corrupt: int) -> Fraction:
    return sum(_hypergeometric(120, corrupt, COMMITTEE_MAX)[8:], Fraction(0))


def _by_strata(corrupt: tuple[int, ...]) -> Fraction:
    """The seats of each quarter one after the other, then the free ones from the 104 that are left."""
    odds = {0: Fraction(1)}
    for bad, seats in zip(corrupt, STRATUM_SEATS, strict=True):
        here = _hypergeometric(30, bad, seats)
        summed: dict[int, Fraction] = {}
        for before, chance in odds.items():
            for k, more in enumerate(here):
                summed[before + k] = summed.get(before + k, Fraction(0)) + chance * more
        odds = summed
    return sum(
        (
            chance * sum(_hypergeometric(104, sum(corrupt) - before, FREE_SEATS)[max(0, 8 - before) :], Fraction(0))
            for before, chance in odds.items()
            if chance
        ),
        Fraction(0),
    )


@pytest.mark.parametrize(
    ("corrupt", "uniform", "spread", "top", "bottom"),
    [
        (12, 2.5e-4, 2.8e-4, 1.3e-4, 4.9e-6),
        (18, 9.5e-3, 1.0e-2, 7.0e-3, 3.4e-4),
        (24, 6.6e-2, 6.7e-2, 6.8e-2, 4.4e-3),
        (30, 0.21, 0.22, 0.29, 2.7e-2),
    ],
)
def test_the_odds_of_a_bad_committee_are_those_of_the_specification(
    corrupt: int, uniform: float, spread: float, top: float, bottom: float
) -> None:
    evenly = tuple(corrupt // 4 + (part < corrupt % 4) for part in range(4))
    for exact, published in (
        (_uniform(corrupt), uniform),
        (_by_strata(evenly), spread),
        (_by_strata((corrupt, 0, 0, 0)), top),
        (_by_strata((0, 0, 0, corrupt)), bottom),
    ):
        assert float(f"{float(exact):.1e}") == pytest.approx(published, rel=1e-9)
