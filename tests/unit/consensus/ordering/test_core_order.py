"""The core gathers the coin, orders blocks, and goes on from a snapshot: effects of each fact, and no others."""

from __future__ import annotations

from msgspec.structs import replace
from ordering.core_seat import BATCH, KEYS, NODES, PARAMS, Seat, none, only, rounds
from ordering.dags import full_round, make_vertex

from octra.consensus import limits
from octra.consensus.dag.core import restore, snapshot
from octra.consensus.effects import CombineCoin, Commit, Effect, Propose, Prune
from octra.consensus.events import CoinRevealed, CoinSharesRejected, Executed, OwnBatchReady, PeerConnected, Ticked
from octra.consensus.vertex import Vertex


def _run(seat: Seat, layers: list[list[Vertex]], leaders_known: bool = True) -> list[Effect]:
    effects: list[Effect] = []
    for layer in layers:
        for vertex in layer:
            effects += seat.receive(vertex)
            for order in [e for e in effects if isinstance(e, CombineCoin)]:
                effects.remove(order)
                if leaders_known:
                    effects += seat.feed(CoinRevealed(order.round, KEYS.signature(order.round)))
    return effects


def test_the_coin_is_asked_for_once_when_q_seats_have_certified() -> None:
    seat = Seat(None)
    layers = rounds(5)
    effects = [e for layer in layers[:4] for e in seat.receive(*layer)]
    effects += seat.receive(*layers[4][:2])
    assert none(CombineCoin, effects)
    order = only(CombineCoin, seat.receive(layers[4][2]))
    assert order.round == 1
    assert [author for author, _ in order.shares] == [0, 1, 2]
    assert none(CombineCoin, seat.receive(layers[4][3]))


def test_bad_shares_are_dropped_and_others_asked_for() -> None:
    seat = Seat(None)
    layers = rounds(5)
    for layer in layers[:4]:
        seat.receive(*layer)
    seat.receive(*layers[4][:3])
    assert none(CombineCoin, seat.feed(CoinSharesRejected(1, (0, 1))))
    order = only(CombineCoin, seat.receive(layers[4][3]))
    assert [author for author, _ in order.shares] == [2, 3]


def test_blocks_come_in_order_and_the_floor_follows_64_rounds_below() -> None:
    seat = Seat(None)
    effects = _run(seat, rounds(80))
    heights = [effect.draft.height for effect in effects if isinstance(effect, Commit)]
    assert heights == list(range(1, len(heights) + 1))
    last = next(e.draft for e in reversed(effects) if isinstance(e, Commit))
    floors = [effect.floor for effect in effects if isinstance(effect, Prune)]
    assert floors[-1] == seat.state.floor == last.leader_round - limits.GC_ROUNDS
    assert min(entry.round for entry in seat.state.store.entries.values()) == seat.state.floor + 1


def test_a_vertex_whose_link_nobody_can_resolve_is_inserted_when_the_floor_passes_the_link() -> None:
    seat, layers = Seat(None), rounds(80)
    ghost = make_vertex(3, 1, twin=9)
    waiting = make_vertex(30, 3, layers[28], weak=[ghost], twin=1)
    _run(seat, layers[:40])
    seat.receive(waiting)
    assert waiting.id in seat.state.store.waiting
    _run(seat, layers[40:])
    assert seat.state.floor > ghost.round
    assert waiting.id in seat.state.store


def test_every_committed_slot_gives_a_block_of_its_own() -> None:
    seat = Seat(None)
    drafts = [effect.draft for effect in _run(seat, rounds(24)) if isinstance(effect, Commit)]
    assert [draft.leader_round for draft in drafts] == [round for round in range(1, 21) for _ in range(2)]


def test_a_seat_whose_execution_lags_goes_slowly_and_adds_no_batches() -> None:
    for lag, pause, batches in ((limits.EXECUTION_LAG + 1, 250, ()), (limits.EXECUTION_LAG, 60, (BATCH,))):
        seat = Seat(resume_round=100)
        layers = rounds(102, skip=(0,))
        seat.seal(only(Propose, _run(seat, layers[:100])))
        _run(seat, layers[100:])
        seat.feed(OwnBatchReady(BATCH.id, BATCH.count, BATCH.size))
        assert seat.state.own is not None
        seat.state.own.claim = replace(seat.state.own.claim, height=seat.state.height - lag)
        assert none(Propose, seat.wait(pause - 1))
        assert only(Propose, seat.wait(1)).body.batches == batches


def test_an_own_batch_that_was_never_ordered_is_referenced_again() -> None:
    seat = Seat(now_ms=None)
    seat.feed(Executed(200, b"i" * 32, b"r" * 32), OwnBatchReady(BATCH.id, BATCH.count, BATCH.size))
    seat.now_ms = 5
    first = only(Propose, seat.feed(Ticked(5)))
    assert first.body.batches == (BATCH,)
    seat.seal(first)
    effects = _run(seat, rounds(75, skip=(0,)))  # nobody ever links to our vertex
    assert seat.state.floor > 1
    again = [e for e in effects + seat.wait(300) if isinstance(e, Propose)][-1]
    for _ in range(3):
        if again.body.batches:
            break
        seat.seal(again)
        layers = full_round([entry.vertex for entry in seat.state.store.at(again.header.round)], 4)
        again = only(Propose, _run(seat, [layers[1:]]) + seat.wait(300))
    assert again.body.batches == (BATCH,)


def test_the_same_facts_give_the_same_effects() -> None:
    def story() -> list[Effect]:
        seat = Seat(resume_round=20)
        effects = _run(seat, rounds(30, skip=(0,)))
        return effects + seat.wait(100) + seat.feed(PeerConnected(NODES[1])) + seat.wait(3_000)

    assert story() == story()


def test_a_snapshot_and_a_replay_give_the_same_blocks_as_the_first_run() -> None:
    layers = rounds(150)
    first = Seat(None)
    before = _run(first, layers[:100])
    data = snapshot(first.state)
    height, floor = first.state.height, first.state.floor
    after = _run(first, layers[100:])
    expected = [e.draft for e in before + after if isinstance(e, Commit) and e.draft.height > height]
    second = Seat(None, now_ms=None)
    second.state = restore(data, KEYS.committee, None, PARAMS)
    stored = [[vertex for vertex in layer if vertex.round > floor] for layer in layers]
    again = [e.draft for e in _run(second, stored) if isinstance(e, Commit)]
    assert expected
    assert again == expected


def test_a_snapshot_of_a_later_state_is_small() -> None:
    seat = Seat(None)
    _run(seat, rounds(150))
    assert len(snapshot(seat.state)) < 20_000
