"""Who must execute, and when a result is certain enough that others may apply it: f + 1 executions, nothing less."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from msgspec.structs import replace
from ordering.dags import full_round
from ordering.world import HashKeys

from octra.consensus import limits
from octra.consensus.certificate import Claim
from octra.consensus.dag.core import DagState, OrderingParams, step
from octra.consensus.dag.deltas import DeltaTally, run_top
from octra.consensus.dag.roots import RootTally
from octra.consensus.effects import Certified, Commit, DeltaCertified, DeltaOverdue, Effect
from octra.consensus.events import CoinRevealed, Event, VertexReceived
from octra.consensus.graph import attestors, executors, rechecks
from octra.consensus.vertex import APPLIED, EXECUTED, NO_DELTA, Execution, Vertex, VertexBody, VertexHeader, seal_vertex

SEVEN = HashKeys(1, 7)  # f = 2, q = 5
BLOCK, ROOT, DELTA = b"b" * 32, b"r" * 32, b"d" * 32


def says(seat: int, height: int = 4, delta: bytes = DELTA, *, mode: int = EXECUTED, round: int = 1) -> Vertex:
    """A vertex with a claim."""
    header = VertexHeader(1, SEVEN.committee.anchor, seat, round, bytes(32), height, BLOCK, ROOT, 0)
    body = VertexBody((), (), (), (), Execution(mode, delta))
    return seal_vertex(header, body, b"", lambda message: SEVEN.sign(seat, message))


def heard(tally: DeltaTally, *vertices: Vertex) -> list[Effect]:
    return [effect for vertex in vertices for effect in tally.heard(vertex)]


@pytest.fixture
def tally() -> DeltaTally:
    return DeltaTally(SEVEN.committee, 0)


# --- counting ---


def test_f_plus_1_equal_executions_make_a_delta_certain_once(tally: DeltaTally) -> None:
    assert heard(tally, says(4), says(1)) == []
    assert heard(tally, says(6)) == [DeltaCertified(4, DELTA, (1, 4, 6))]
    assert heard(tally, says(0), says(2)) == []


def test_who_applied_a_delta_is_no_witness_of_it(tally: DeltaTally) -> None:
    """Else f colluders and one honest seat that believed them would convince everybody."""
    assert heard(tally, says(0), says(1), *(says(seat, mode=APPLIED) for seat in range(2, 7))) == []
    roots = RootTally(SEVEN.committee)
    roots.executed(4, Claim(4, BLOCK, ROOT))
    effects = [effect for seat in range(5) for effect in roots.heard(says(seat, mode=APPLIED))]
    assert Certified(4) in effects  # as a root it counts like any other


@pytest.mark.parametrize("mode", [2, 255])
def test_unknown_modes_are_no_executions(tally: DeltaTally, mode: int) -> None:
    assert heard(tally, *(says(seat, mode=mode) for seat in range(7))) == []


def test_a_seat_counts_once_whatever_it_repeats(tally: DeltaTally) -> None:
    assert heard(tally, *(says(3, round=round) for round in range(1, 9)), says(4)) == []
    other = b"e" * 32
    assert heard(tally, says(4, delta=other, round=2), says(5, delta=other), says(6, delta=other)) == []


def test_claims_must_agree_in_delta_and_height(tally: DeltaTally) -> None:
    assert heard(tally, says(0), says(1, delta=b"e" * 32), says(2, height=8), says(3, height=3)) == []
    assert heard(tally, says(4), says(5)) == [DeltaCertified(4, DELTA, (0, 4, 5))]


def test_seats_at_different_heights_speak_of_the_same_run(tally: DeltaTally) -> None:
    """Each vertex is made at another height: a claim about the head itself would seldom meet an equal one."""
    assert [run_top(height) for height in range(10)] == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert heard(tally, says(0, height=7), says(1, height=4), says(2, height=6)) == [
        DeltaCertified(4, DELTA, (0, 1, 2))
    ]


def test_seats_that_publish_no_delta_certify_none(tally: DeltaTally) -> None:
    assert heard(tally, *(says(seat, delta=NO_DELTA) for seat in range(7))) == []


def test_what_is_stored_or_far_ahead_is_not_kept(tally: DeltaTally) -> None:
    tally.executed(4)
    assert heard(tally, *(says(seat, height=4) for seat in range(7))) == []
    assert heard(tally, *(says(seat, height=4 + limits.ROOTS_KEPT) for seat in range(7))) == []
    assert len(heard(tally, *(says(seat, height=8) for seat in range(7)))) == 1


# --- waiting ---


def test_a_block_waits_three_rounds_for_its_delta_and_is_then_executed_by_all(tally: DeltaTally) -> None:
    assert tally.round_reached(10) == []
    for height in range(1, 5):
        tally.ordered(height, 10)
    assert [tally.round_reached(round) for round in (10, 11, 12)] == [[], [], []]
    assert tally.round_reached(13) == [DeltaOverdue(1)]
    assert tally.round_reached(14) == []


def test_blocks_that_waited_behind_another_do_not_wait_again(tally: DeltaTally) -> None:
    """Rounds order two blocks each: one wait after the other would be six rounds behind after every three."""
    for height in range(1, 7):
        tally.ordered(height, 10 + height // 2)
    for height in range(1, 5):
        assert tally.round_reached(15) == [DeltaOverdue(height)]
        tally.executed(height)
    assert tally.round_reached(15) == []  # its run is not ordered completely


def test_behind_the_end_of_an_epoch_nobody_waits_for_rounds_that_may_never_come(tally: DeltaTally) -> None:
    for height in range(1, 7):
        tally.ordered(height, 10)
    assert tally.round_reached(10) == []
    tally.closed()
    assert tally.round_reached(10) == [DeltaOverdue(1)]
    tally.executed(1)
    heard(tally, *(says(seat, height=4) for seat in range(3)))
    assert tally.round_reached(10) == []  # certain deltas are still worth asking for
    tally.executed(4)
    assert tally.round_reached(10) == [DeltaOverdue(5)]


def test_a_height_whose_run_is_not_ordered_waits_no_more_than_a_step_longer(tally: DeltaTally) -> None:
    tally.ordered(1, 10)
    late = 10 + limits.DELTA_STEP + limits.DELTA_WAIT_ROUNDS
    assert tally.round_reached(late - 1) == []
    assert tally.round_reached(late) == [DeltaOverdue(1)]


def test_executors_that_lag_are_waited_for_while_they_make_progress_and_not_for_ever(tally: DeltaTally) -> None:
    for height in range(1, 17):
        tally.ordered(height, 10)
    heard(tally, *(says(seat, height=4, round=12) for seat in range(3)))
    tally.executed(4)
    assert tally.round_reached(14) == []
    assert tally.round_reached(15) == [DeltaOverdue(5)]
    for height, round in ((8, 16), (12, 24)):
        heard(tally, *(says(seat, height=height, round=round) for seat in range(3)))
        tally.executed(height)
    assert tally.round_reached(10 + limits.DELTA_LAG_ROUNDS - 1) == []
    assert tally.round_reached(10 + limits.DELTA_LAG_ROUNDS) == [DeltaOverdue(13)]


def test_a_certain_delta_ends_the_wait_for_every_height_that_its_run_names(tally: DeltaTally) -> None:
    top = limits.DELTA_RUN
    tally.ordered(1, 1)
    heard(tally, *(says(seat, height=top) for seat in range(3)))
    assert all(tally.round_reached(round) == [] for round in range(1, 50))


def test_a_height_that_the_runs_have_passed_over_is_executed_at_once(tally: DeltaTally) -> None:
    top = limits.DELTA_RUN + limits.DELTA_STEP
    for height in range(1, top):
        tally.ordered(height, 1)
    heard(tally, *(says(seat, height=top) for seat in range(3)))
    for height in range(1, limits.DELTA_STEP + 1):
        assert tally.round_reached(1) == [DeltaOverdue(height)]
        tally.executed(height)
    assert all(tally.round_reached(round) == [] for round in range(1, 50))


# --- the core ---


def run_core(*, split: bool, published: bool) -> list[Effect]:
    """A silent node of four: eleven full rounds; from round 6 on seats 0 and 1 claim to have executed height 4."""
    keys = HashKeys(1, 4)
    state = DagState.create(keys.committee, None, OrderingParams(split=split))
    effects: list[Effect] = []
    below: list[Vertex] = []
    events: list[Event] = [CoinRevealed(round, keys.signature(round)) for round in range(1, 3)]
    for round in range(1, 12):
        below = full_round(below, 4)
        for vertex in below:
            if published and round >= 6 and vertex.author < 2:
                body = replace(vertex.body, execution=Execution(EXECUTED, DELTA))
                header = replace(vertex.header, height=4, block_id=BLOCK, state_root=ROOT)
                vertex = dataclasses.replace(vertex, header=header, body=body)
            events.append(VertexReceived(vertex, None))
    for event in events:
        state, found = step(state, event)
        effects += found
    assert any(isinstance(effect, Commit) for effect in effects)
    return [effect for effect in effects if isinstance(effect, (DeltaCertified, DeltaOverdue))]


def test_the_core_tells_of_certain_deltas_and_of_overdue_ones() -> None:
    assert run_core(split=True, published=True) == [DeltaCertified(4, DELTA, (0, 1))]
    assert run_core(split=True, published=False) == [DeltaOverdue(1)]


def test_where_every_seat_executes_nobody_waits() -> None:
    assert run_core(split=False, published=True) == run_core(split=False, published=False) == []


# --- duty ---


@pytest.mark.parametrize("size", [1, 2, 4, 7, 24])
def test_every_window_has_f_plus_1_executors_and_all_seats_the_duty_equally_often(size: int) -> None:
    duties: Counter[int] = Counter()
    for window in range(size):
        first = window * limits.EXECUTOR_HEIGHTS
        seats = executors(SEVEN.committee.anchor, size, first)
        assert seats == executors(SEVEN.committee.anchor, size, first + limits.EXECUTOR_HEIGHTS - 1)
        assert seats == attestors(SEVEN.committee.anchor, size, window)[: (size - 1) // 3 + 1]
        assert len(set(seats)) == (size - 1) // 3 + 1
        duties.update(seats)
    assert set(duties.values()) == {(size - 1) // 3 + 1}
    assert set(duties) == set(range(size))


def test_a_node_without_a_seat_executes_every_fourth_block_and_each_node_others() -> None:
    chosen = {node: {h for h in range(4_000) if rechecks(b"beacon", node, h)} for node in (b"a" * 32, b"b" * 32)}
    assert all(850 < len(heights) < 1_150 for heights in chosen.values())
    assert 150 < len(chosen[b"a" * 32] & chosen[b"b" * 32]) < 350
