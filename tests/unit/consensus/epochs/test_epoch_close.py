"""The ordering core at the end of an epoch: what closes it, what ends it, and how the next begins."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "simulation"))

import pytest
from msgspec.structs import replace
from ordering.dags import full_round, make_vertex
from ordering.world import HashKeys

from octra.consensus import limits
from octra.consensus.dag.core import DagState, OrderingParams, snapshot, step
from octra.consensus.effects import (
    CloseEpoch,
    CombineBeacon,
    CombineCoin,
    Commit,
    Effect,
    EpochEnded,
    FetchRange,
    Propose,
)
from octra.consensus.events import (
    BeaconRevealed,
    BeaconSharesRejected,
    CoinRevealed,
    EpochOpened,
    Event,
    Executed,
    LaterEpochSeen,
    OwnVertexDurable,
    Ticked,
    VertexReceived,
)
from octra.consensus.vertex import Vertex, seal_vertex
from octra.crypto.hash import H

KEYS = HashKeys(5, 4)
NODES = KEYS.committee.seats
CLOSE_MS = 5_000
SIGNATURE = b"beacon".ljust(48, b".")


class Follower:
    """A core that sees full rounds of seats 1..3 (and of 0, when it has none itself); coins come at once."""

    def __init__(self, *, seat: int | None = None, close_ms: int | None = CLOSE_MS, start_height: int = 0) -> None:
        params = OrderingParams(start_time_ms=1_000, start_height=start_height, close_ms=close_ms)
        self.state = DagState.create(KEYS.committee, seat, params)
        self.log: list[Effect] = []
        self.layer: list[Vertex] = []
        self.feed(Ticked(10_000))

    def feed(self, *events: Event) -> list[Effect]:
        """Effects of some facts, coins included."""
        found: list[Effect] = []
        queue = list(events)
        for event in queue:  # grows while we walk
            self.state, effects = step(self.state, event)
            found += effects
            queue += [CoinRevealed(e.round, KEYS.signature(e.round)) for e in effects if isinstance(e, CombineCoin)]
        self.log += found
        return found

    def round(self, time_ms: int, **changes: object) -> list[Effect]:
        """A full round at this time; `changes` are header fields of all its vertices."""
        number = self.layer[0].round + 1 if self.layer else 1
        beacon = changes.pop("beacon", b"")
        made = [
            make_vertex(number, author, sorted(self.layer, key=lambda v: v.author != author), time_ms=time_ms)
            for author in range(4)
        ]
        self.layer = [_with(vertex, beacon, changes) for vertex in made]
        return self.feed(*(VertexReceived(vertex, NODES[1]) for vertex in self.layer))

    def run_to_close(self) -> int:
        """Rounds until the epoch closes; the answer is the height."""
        for number in range(40):
            for effect in self.round(1_100 + 400 * number):
                if isinstance(effect, CloseEpoch):
                    return effect.height
        raise AssertionError("no block closed the epoch")

    def all(self, kind: type[Effect]) -> list[Effect]:
        """Every effect of a kind so far."""
        return [effect for effect in self.log if isinstance(effect, kind)]


def _with(vertex: Vertex, beacon: object, changes: dict[str, object]) -> Vertex:
    assert isinstance(beacon, bytes)
    body = replace(vertex.body, beacon_share=beacon) if beacon else vertex.body
    return Vertex(vertex.id, replace(vertex.header, **changes), body, b"", b"", bytes(64))


def _closing_claim(core: Follower, height: int) -> dict[str, object]:
    return {"height": height, "block_id": H("t.block"), "state_root": H("t.root")}


def test_the_first_block_past_the_time_closes_and_nothing_is_ordered_behind_it() -> None:
    core = Follower()
    height = core.run_to_close()
    drafts = [effect.draft for effect in core.all(Commit)]
    assert drafts[-1].height == height
    assert drafts[-1].time_ms >= CLOSE_MS
    assert all(draft.time_ms < CLOSE_MS for draft in drafts[:-1])
    for number in range(20):
        core.round(20_000 + number)
    assert len(core.all(Commit)) == len(drafts)
    assert len(core.all(CloseEpoch)) == 1


def test_an_epoch_without_an_end_never_closes() -> None:
    core = Follower(close_ms=None)
    for number in range(30):
        core.round(1_100 + 400 * number)
    assert core.all(Commit)
    assert not core.all(CloseEpoch)


def test_heights_and_times_go_on_from_the_epoch_before() -> None:
    core = Follower(start_height=70)
    for number in range(12):
        core.round(number)
    drafts = [effect.draft for effect in core.all(Commit)]
    assert [draft.height for draft in drafts[:3]] == [71, 72, 73]
    assert drafts[0].time_ms > 1_000


def test_an_epoch_ends_once_q_roots_and_f_plus_1_beacon_shares_are_there() -> None:
    core = Follower()
    height = core.run_to_close()
    claim = _closing_claim(core, height)
    core.feed(Executed(height, H("t.block"), H("t.root")))
    assert not core.all(CombineBeacon)
    core.round(30_000, beacon=SIGNATURE, **claim)
    combine = core.all(CombineBeacon)
    assert len(combine) == 1
    assert len(combine[0].shares) > KEYS.committee.faults
    assert not core.all(EpochEnded)
    core.feed(BeaconRevealed(SIGNATURE))
    ended = core.all(EpochEnded)
    assert [(effect.height, effect.beacon_signature) for effect in ended] == [(height, SIGNATURE)]
    assert len(ended[0].certificate.headers) == KEYS.committee.quorum
    core.round(31_000, beacon=SIGNATURE, **claim)
    assert len(core.all(EpochEnded)) == 1


def test_roots_that_were_told_before_our_own_execution_count() -> None:
    core = Follower()
    height = core.run_to_close()
    core.round(30_000, beacon=SIGNATURE, **_closing_claim(core, height))
    core.feed(BeaconRevealed(SIGNATURE))
    assert not core.all(EpochEnded)
    core.feed(Executed(height, H("t.block"), H("t.root")))
    assert len(core.all(EpochEnded)) == 1


def test_another_root_than_ours_ends_nothing() -> None:
    core = Follower()
    height = core.run_to_close()
    core.feed(Executed(height, H("t.block"), H("t.other")))
    core.round(30_000, beacon=SIGNATURE, **_closing_claim(core, height))
    core.feed(BeaconRevealed(SIGNATURE))
    assert not core.all(EpochEnded)


def test_bad_beacon_shares_are_dropped_and_others_asked_for() -> None:
    core = Follower()
    height = core.run_to_close()
    core.round(30_000, beacon=SIGNATURE, **_closing_claim(core, height))
    core.feed(BeaconSharesRejected((0, 1)))
    again = core.all(CombineBeacon)[-1]
    assert [seat for seat, _ in again.shares] == [2, 3]
    core.feed(BeaconSharesRejected((2, 3)))
    count = len(core.all(CombineBeacon))
    core.round(31_000, beacon=SIGNATURE)
    assert len(core.all(CombineBeacon)) == count  # who showed a bad one is not heard again


def test_own_vertices_of_the_end_carry_the_share_no_batches_and_are_not_made_for_ever() -> None:
    core = Follower(seat=0, close_ms=1_001)
    now, flags = 10_000, []
    layer: list[Vertex] = []
    for _ in range(3 * limits.GC_ROUNDS):
        orders = core.all(Propose)[len(flags) :]
        if not orders:
            break
        order = orders[0]
        own = seal_vertex(order.header, order.body, bytes(48) if order.coin_round else b"", lambda _: bytes(64))
        flags.append(order.beacon)
        assert not (order.beacon and order.body.batches)
        core.feed(OwnVertexDurable(own))
        layer = [own, *full_round(layer, 4, skip=(0,))]
        core.feed(*(VertexReceived(vertex, NODES[1]) for vertex in layer[1:]))
        height = core.state.closing.height
        if height:
            core.feed(Executed(height, H("t.block"), H("t.root")))
        now += 300
        core.feed(Ticked(now))
    assert flags[0] is False
    assert flags[-1] is True
    assert sum(flags) <= limits.GC_ROUNDS + 2


def test_the_next_epoch_begins_empty_with_the_clock_going_on() -> None:
    core = Follower()
    height = core.run_to_close()
    with pytest.raises(AssertionError):
        snapshot(core.state)
    other = HashKeys(6, 7)
    params = OrderingParams(start_time_ms=6_000, start_height=height, close_ms=9_000)
    stamp = core.state.stamp_ms
    core.feed(EpochOpened(other.committee, 2, params, resume_round=3))
    state = core.state
    assert (state.committee, state.own_seat, state.height) == (other.committee, 2, height)
    assert (state.stamp_ms, state.quorum_round, state.closing.decided) == (stamp, 0, False)
    assert state.own is not None
    assert state.own.last_round == 3
    core.feed(Executed(height, H("t.block"), H("t.root")))
    assert claim_of_own(core) == (height, H("t.block"), H("t.root"))


def claim_of_own(core: Follower) -> tuple[int, bytes, bytes]:
    assert core.state.own is not None
    claim = core.state.own.claim
    return claim.height, claim.block_id, claim.state_root


def test_whoever_is_left_behind_asks_those_ahead_for_rounds_that_it_may_lack() -> None:
    core = Follower()
    for number in range(12):
        core.round(1_100 + number)
    assert not core.all(FetchRange)
    core.feed(LaterEpochSeen(NODES[3]))
    assert not core.all(FetchRange)  # it may be about to end the epoch by itself
    core.feed(Ticked(10_000 + limits.BEHIND_MS))
    asked = core.all(FetchRange)
    assert [effect.peer for effect in asked] == [NODES[3]]
    assert asked[0].from_round == 12 - limits.LAG_ROUNDS
    core.feed(Ticked(10_000 + limits.BEHIND_MS + 10))
    assert len(core.all(FetchRange)) == 1
