"""The core makes own vertices, catches up, and deals with the faults of others: effects of each fact, and no others."""

from __future__ import annotations

from ordering.core_seat import BATCH, NODES, Seat, none, only, own_round, rounds
from ordering.dags import full_round, make_vertex

from octra.consensus import limits
from octra.consensus.effects import (
    Broadcast,
    Effect,
    FetchBatch,
    FetchRange,
    FetchVertices,
    Halt,
    Propose,
    RecordEvidence,
    SendVertices,
)
from octra.consensus.epoch import Pace
from octra.consensus.events import Executed, OwnBatchReady, PeerConnected, RangeEnded, Ticked, VertexReceived
from octra.consensus.evidence import Equivocation
from octra.consensus.vertex import BatchRef


def test_nothing_is_proposed_before_the_first_tick() -> None:
    seat = Seat(now_ms=None)
    assert seat.receive(*rounds(1)[0][1:]) == []
    assert only(Propose, seat.feed(Ticked(5))).header.round == 2


def test_a_vertex_is_broadcast_only_when_it_is_durable() -> None:
    seat = Seat()
    order = only(Propose, seat.log)
    assert (order.header.round, order.header.author, order.body.parents, order.coin_round) == (1, 0, (), 0)
    assert none(Broadcast, seat.log + seat.wait(300) + seat.receive(*rounds(1)[0][1:]))
    assert only(Broadcast, seat.seal(order)).vertex.round == 1


def test_no_second_proposal_while_one_is_being_signed() -> None:
    seat = Seat()
    assert none(Propose, seat.wait(1_000) + seat.receive(*rounds(2, skip=(0,))[0]))


def test_after_a_restart_nothing_is_signed_at_or_below_the_mark() -> None:
    seat = Seat(resume_round=4)
    layers = rounds(5, skip=(0,))
    effects = list(seat.log)
    for layer in layers[:3]:
        effects += seat.receive(*layer) + seat.wait(300)
    assert none(Propose, effects)
    assert only(Propose, seat.receive(*layers[3]) + seat.wait(300)).header.round == 5


def test_a_round_needs_parents_of_q_authors() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    one = rounds(1)[0]
    assert none(Propose, seat.receive(one[1]) + seat.wait(400))
    order = only(Propose, seat.receive(one[2]))
    assert [link.author for link in order.body.parents] == [0, 1, 2]  # own first


def test_all_authors_of_the_round_before_become_parents() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    one = rounds(1)[0]
    seat.receive(one[3], one[1], one[2])
    assert [link.author for link in only(Propose, seat.wait(300)).body.parents] == [0, 3, 1, 2]


def test_an_idle_seat_waits_longer_than_one_with_work() -> None:
    for busy, pause in ((False, 250), (True, 60)):
        seat = Seat()
        seat.seal(only(Propose, seat.log))
        seat.receive(*rounds(1)[0][1:])
        if busy:
            seat.feed(OwnBatchReady(BATCH.id, BATCH.count, BATCH.size))
        assert none(Propose, seat.wait(pause - 1))
        assert only(Propose, seat.wait(1)).header.round == 2


def test_a_clock_that_is_set_back_neither_stops_the_seat_nor_its_stamps() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    seat.receive(*rounds(1)[0][1:])
    seat.wait(100)
    assert none(Propose, seat.wait(-3_600_000))
    assert none(Propose, seat.wait(149))
    order = only(Propose, seat.wait(1))
    assert order.header.time_ms == 10_100


def test_rounds_may_be_skipped_when_others_are_ahead() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    layers = rounds(5, skip=(0,))
    seat.receive(*(vertex for layer in layers for vertex in layer))
    order = only(Propose, seat.wait(300))
    assert order.header.round == 6
    assert order.coin_round == 2
    assert (order.body.weak[0].round, order.body.weak[0].author) == (1, 0)  # own latest first


def test_late_vertices_are_taken_in_by_weak_links_oldest_first() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    stack = [[entry.vertex for entry in seat.state.store.at(1)] + rounds(1)[0][1:3]]
    for _ in range(3):
        stack.append(full_round(stack[-1], 4, skip=(3,)))
    late_one = make_vertex(1, 3)
    late_two = make_vertex(2, 3, [stack[0][1], stack[0][2], stack[0][0]])  # does not cover the first
    seat.receive(*stack[0][1:], late_two, late_one)
    for layer in stack[1:]:
        seat.receive(*layer[1:])
    own = make_vertex(4, 0, stack[2])
    seat.feed(VertexReceived(stack[1][0], None), VertexReceived(stack[2][0], None), VertexReceived(own, None))
    weak = [(link.round, link.author) for link in only(Propose, seat.wait(300)).body.weak]
    assert weak == [(1, 3), (2, 3)]


def test_a_stalled_seat_repeats_its_last_vertex() -> None:
    seat = Seat()
    sent = only(Broadcast, seat.seal(only(Propose, seat.log))).vertex
    assert none(Broadcast, seat.wait(limits.RESEND_MS - 1))
    assert only(Broadcast, seat.wait(1)).vertex == sent


def test_a_seat_that_only_pauses_does_not_repeat_its_last_vertex() -> None:
    seat = Seat()
    assert seat.state.own is not None
    seat.state.own.pace = Pace(0, 3 * limits.RESEND_MS, 0)
    seat.seal(only(Propose, seat.log))
    seat.receive(*rounds(1, skip=(0,))[0])
    assert none(Broadcast, seat.wait(2 * limits.RESEND_MS))
    assert only(Propose, seat.wait(limits.RESEND_MS))


def test_a_new_link_gets_the_last_own_vertex() -> None:
    seat = Seat()
    vertex = only(Broadcast, seat.seal(only(Propose, seat.log))).vertex
    assert seat.feed(PeerConnected(NODES[2])) == [SendVertices(NODES[2], (vertex,))]


def test_the_header_carries_the_last_executed_block() -> None:
    seat = Seat(now_ms=None)
    seat.feed(Executed(0, b"g" * 32, b"s" * 32))
    header = only(Propose, seat.feed(Ticked(5))).header
    assert (header.height, header.block_id, header.state_root) == (0, b"g" * 32, b"s" * 32)


def test_a_follower_never_proposes() -> None:
    seat = Seat(None)
    layers = rounds(6)
    effects = seat.log + seat.receive(*(vertex for layer in layers for vertex in layer)) + seat.wait(5_000)
    assert none(Propose, effects)
    assert none(Broadcast, effects)


# --- catching up


def test_missing_parents_are_asked_of_the_sender_then_of_the_author_then_of_all() -> None:
    seat = Seat()
    layers = rounds(2, skip=(0,))
    vertex = layers[1][2]
    seat.receive(*layers[0][:2])
    order = only(FetchVertices, seat.receive(vertex, sender=1))
    assert order == FetchVertices(NODES[1], (layers[0][2].id,))
    asked = [order.peer]
    for _ in range(3):
        asked.append(only(FetchVertices, seat.wait(50)).peer)
    assert asked == [NODES[1], NODES[3], NODES[2], NODES[1]]
    assert none(FetchVertices, seat.wait(99))  # every peer was asked once: the pause has doubled
    assert only(FetchVertices, seat.wait(1)).peer == NODES[3]
    assert none(FetchVertices, seat.receive(layers[0][2]) + seat.wait(5_000))


def test_at_most_32_questions_are_open_at_a_peer() -> None:
    seat = Seat()
    ids = [bytes([number]) * 32 for number in range(40)]
    one = [make_vertex(1, a, batches=[BatchRef(id, 1, 1) for id in ids[a * 8 : a * 8 + 8]]) for a in (1, 2, 3)]
    effects = seat.receive(*one, sender=1)
    for twin, author in ((1, 1), (1, 2)):
        effects += seat.receive(
            make_vertex(1, author, twin=twin, batches=[BatchRef(id, 1, 1) for id in ids[16 + author * 8 :][:8]])
        )
    per_peer = {node: sum(isinstance(e, FetchBatch) and e.peer == node for e in effects) for node in NODES}
    assert max(per_peer.values()) <= limits.FETCH_IN_FLIGHT
    assert sum(per_peer.values()) >= 24


def test_a_seat_that_links_to_nothing_real_does_not_delay_what_others_need() -> None:
    seat = Seat()
    layers = rounds(40, skip=(0,))
    seat.receive(*layers[0][:2])
    for round in range(3, 40):
        parents = [make_vertex(round - 1, author, twin=99) for author in range(4)]
        seat.receive(make_vertex(round, 3, parents, twin=1))
    needed = layers[0][2].id
    effects = seat.wait(100) + seat.receive(layers[1][0], sender=2)
    for _ in range(4):
        effects += seat.wait(50)
    asked = [effect for effect in effects if isinstance(effect, FetchVertices) and needed in effect.ids]
    assert len(asked) >= 2


def test_a_vertex_too_far_ahead_is_not_kept() -> None:
    seat = Seat()
    far = make_vertex(limits.AHEAD_ROUNDS + 1, 1, [make_vertex(limits.AHEAD_ROUNDS, a) for a in range(3)])
    near = make_vertex(limits.AHEAD_ROUNDS, 2, [make_vertex(limits.AHEAD_ROUNDS - 1, a) for a in range(3)])
    seat.receive(far, near)
    assert not seat.state.holds(far.id)
    assert seat.state.holds(near.id)


def test_a_seat_that_lags_behind_f_plus_1_seats_asks_for_ranges_and_does_not_propose() -> None:
    seat = Seat(resume_round=1)
    layers = rounds(200, skip=(0,))
    assert none(FetchRange, seat.receive(layers[150][0]))  # one seat may lie
    order = only(FetchRange, seat.receive(layers[150][1]))
    assert (order.from_round, order.to_round) == (1, limits.RANGE_ROUNDS)
    effects: list[Effect] = []
    for layer in layers[:64]:
        effects += seat.receive(*layer)
    assert none(Propose, effects + seat.wait(300))
    assert seat.state.quorum_round == 64


def test_the_next_range_is_asked_at_once_and_of_another_peer_when_one_does_not_help() -> None:
    seat = Seat(resume_round=1)
    layers = rounds(200, skip=(0,))
    first = only(FetchRange, seat.receive(layers[150][0], layers[150][1]))
    second = only(FetchRange, seat.feed(RangeEnded(first.peer, 64)))
    assert second.peer != first.peer
    for layer in layers[:40]:
        seat.receive(*layer)
    third = only(FetchRange, seat.feed(RangeEnded(second.peer, 40)))
    assert (third.peer, third.from_round) == (second.peer, 40)
    fourth = only(FetchRange, seat.wait(limits.RANGE_WAIT_MS))
    assert fourth.peer != third.peer


# --- faults of others


def test_twins_are_recorded_once_carried_in_the_next_vertex_and_shunned() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    one = [*own_round(seat, 1), *rounds(1)[0][1:]]
    twin = make_vertex(1, 3, twin=1)
    effects = seat.receive(one[3], one[1], twin, make_vertex(1, 3, twin=2), one[2])
    assert isinstance(only(RecordEvidence, effects).evidence, Equivocation)
    order = only(Propose, effects + seat.wait(300))
    assert [link.author for link in order.body.parents] == [0, 1, 2]
    assert len(order.body.evidence) == 1
    seat.seal(order)
    seat.receive(*full_round(one, 4)[1:])
    assert only(Propose, seat.wait(300)).body.evidence == ()


def test_without_another_quorum_a_shunned_seat_is_used_after_a_while() -> None:
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    one = rounds(1)[0]
    effects = seat.receive(one[3], make_vertex(1, 3, twin=1), one[1])
    assert none(Propose, effects + seat.wait(250) + seat.wait(limits.SHUN_WAIT_MS - 1))
    order = only(Propose, seat.wait(1))
    assert [link.author for link in order.body.parents] == [0, 1, 3]


def test_a_vertex_of_our_own_that_we_never_signed_stops_the_node() -> None:
    foreign = make_vertex(1, 0, twin=5)
    assert isinstance(only(Halt, Seat(now_ms=None).receive(foreign)), Halt)
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    assert not none(Halt, seat.receive(foreign))


def test_own_vertices_of_a_replay_or_below_the_mark_are_welcome() -> None:
    layers = rounds(3)
    replay = Seat(now_ms=None)
    assert none(Halt, replay.feed(*(VertexReceived(vertex, None) for layer in layers for vertex in layer)))
    assert only(Propose, replay.feed(Ticked(5_000))).header.round == 4
    rebuilt = Seat(resume_round=3)
    assert none(Halt, rebuilt.receive(*(vertex for layer in layers for vertex in layer)))
