"""Rules of the endurance run itself: faults stay within f seats, figures mean what they say."""

from __future__ import annotations

import random

import pytest
from endurance.faults import Kind, draw
from endurance.watch import Life, Seen
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 2**32), st.sampled_from([4, 7, 24]), st.data())
def test_a_drawn_fault_troubles_no_more_seats_than_there_is_room_for(seed: int, size: int, data: st.DataObject) -> None:
    room = data.draw(st.integers(1, (size - 1) // 3))
    free = data.draw(st.lists(st.integers(0, size - 1), min_size=room, unique=True))
    mortal = frozenset(range(size // 3, size))
    fault = draw(random.Random(seed), size, free, mortal, room)
    assert 1 <= len(set(fault.seats)) == len(fault.seats) <= room
    assert set(fault.seats) <= set(free)
    assert fault.kind is not Kind.KILL or set(fault.seats) <= mortal
    assert not set(fault.seats) & set(fault.others), "seats in trouble may still speak to each other"
    ends = {frozenset(cut) for cut in fault.cuts()}
    assert all(len(link & set(fault.seats)) == 1 for link in ends), "a cut has one end in trouble"


def test_every_kind_of_fault_is_drawn() -> None:
    rng = random.Random(1)
    drawn = {draw(rng, 7, range(7), frozenset(range(2, 7)), 2).kind for _ in range(200)}
    assert drawn == set(Kind)


@pytest.mark.parametrize("slope", [0.0, 2.5])
def test_growth_is_told_in_mib_a_minute_from_the_given_moment_on(slope: float) -> None:
    early = [(at, 1_000.0) for at in range(60)]
    life = Life("node", early + [(60.0 + at, 50 + slope * at / 60) for at in range(120)])
    found = life.growth(60)
    assert found is not None
    seconds, mean, per_minute = found
    assert (seconds, round(mean, 6)) == (119, round(50 + slope * 59.5 / 60, 6))
    assert per_minute == pytest.approx(slope)
    assert life.growth(175) is None, "a few samples tell nothing"


def test_the_longest_time_without_a_block_leaves_out_what_an_outage_covers() -> None:
    seen = Seen(progress=[(0, 1), (2, 2), (30, 3), (37, 4)])
    assert seen.longest_gap_s([]) == 28
    assert seen.longest_gap_s([(3, 29)]) == 7
