"""Chains whose committees change, whole: real core, real rules, real coins; a small share of what `./run sim` runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from epochs.faulty import HABITS
from epochs.trials import draw_plan
from epochs.world import Plan, Result, large_plan, run_plan

REFUSED = {"replay_of_epochs", "false_hand_over"}  # habits whose messages honest nodes can see through at once


def _sound(result: Result) -> Result:
    assert not result.problems, result.problems
    return result


def test_newcomers_take_seats_and_leavers_give_them_up_under_load() -> None:
    result = _sound(run_plan(Plan(1, founders=4, joiners=3, leavers=1, epochs=5, joins_per_epoch=3)))
    assert result.committees[0] == 4
    assert result.committees[-1] == 6
    assert result.signed_epoch >= 4


def test_nodes_outside_the_committee_may_follow_the_whole_order() -> None:
    _sound(run_plan(Plan(2, founders=4, joiners=2, epochs=3, follow=True, loss=0.02)))


def test_nodes_that_die_at_the_edge_of_an_epoch_come_back_into_the_next() -> None:
    _sound(run_plan(Plan(3, founders=5, joiners=1, epochs=3, crash_at_edges=3)))


def test_a_node_that_was_away_for_epochs_takes_over_the_certified_state() -> None:
    _sound(run_plan(Plan(4, founders=4, joiners=1, epochs=4, crashes=((1, 2_000, 26_000),))))


def test_a_seat_whose_epoch_others_have_left_finds_its_end_in_their_vertices() -> None:
    """Nobody hands over records here, so the stored vertices of others are all that it has."""
    _sound(run_plan(Plan(5, founders=4, epochs=3, follow=True, crashes=((2, 9_000, 22_000),), crash_at_edges=2)))


@pytest.mark.parametrize("habit", HABITS)
def test_one_faulty_node_of_four_stops_neither_epochs_nor_checkpoints(habit: str) -> None:
    result = _sound(run_plan(draw_plan(habit, 6, 4)))
    assert result.removed == (habit == "twins")
    assert bool(result.refused) == (habit in REFUSED)


@pytest.mark.parametrize("habit", ["bad_dealing_to_one", "false_complaints"])
def test_one_faulty_dealer_of_four_does_not_delay_the_next_coin(habit: str) -> None:
    ample = replace(draw_plan(habit, 6, 4), epoch_ms=8_000)
    assert _sound(run_plan(ample)).kept == 0


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    plans = [Plan(7, epochs=1), Plan(7, epochs=1), Plan(8, epochs=1)]
    first, again, other = [run_plan(plan).trace for plan in plans]
    assert first == again
    assert first != other


@pytest.mark.long
def test_a_hundred_and_twenty_validators_of_whom_a_fifth_is_dishonest() -> None:
    """Ten epochs with churn. The seed is one whose draws never give more than f of 24 seats to dishonest nodes."""
    result = _sound(run_plan(large_plan(1)))
    assert max(result.faulty_seats) <= 7
    assert result.signed_epoch >= result.epochs - 1
    assert result.kept <= 2  # seven dishonest seats leave no honest one to spare: then a late one costs an epoch
