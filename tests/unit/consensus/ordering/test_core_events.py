"""The core's `step`: each fact brings the effects the shell relies on, and no others."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace
from ordering.dags import full_round, make_vertex
from ordering.world import HashKeys

from octra.consensus import limits
from octra.consensus.dag.core import DagState, OrderingParams, restore, snapshot, step
from octra.consensus.effects import (
    Broadcast,
    CheckBatch,
    CombineCoin,
    Commit,
    Effect,
    FetchBatch,
    FetchRange,
    FetchVertices,
    Halt,
    Propose,
    Prune,
    RecordEvidence,
    SendVertices,
)
from octra.consensus.epoch import Pace
from octra.consensus.events import (
    BatchChecked,
    BatchStored,
    CoinRevealed,
    CoinSharesRejected,
    Event,
    Executed,
    OwnBatchReady,
    OwnVertexDurable,
    PeerConnected,
    RangeEnded,
    Ticked,
    VertexReceived,
)
from octra.consensus.evidence import Equivocation, FalseAttestation, InvalidBatchReferenced
from octra.consensus.graph import attestors
from octra.consensus.vertex import BatchRef, Vertex, seal_vertex

KEYS = HashKeys(1, 4)
NODES = KEYS.committee.seats
PARAMS = OrderingParams(start_time_ms=1_000, pace=Pace(60, 250))
BATCH = BatchRef(b"b" * 32, 2, 300)

E = TypeVar("E", bound=Effect)


class Seat:
    """One core under test, seat 0 unless said."""

    def __init__(self, seat: int | None = 0, resume_round: int = 0, now_ms: int | None = 10_000) -> None:
        self.state = DagState.create(KEYS.committee, seat, PARAMS, resume_round=resume_round)
        self.now_ms = now_ms
        self.log: list[Effect] = []
        if now_ms is not None:
            self.log += self.feed(Ticked(now_ms))

    def feed(self, *events: Event) -> list[Effect]:
        """Effects of some facts."""
        found: list[Effect] = []
        for event in events:
            self.state, effects = step(self.state, event)
            found += effects
        return found

    def receive(self, *vertices: Vertex, sender: int = 1) -> list[Effect]:
        """Effects of vertices from a peer."""
        return self.feed(*(VertexReceived(vertex, NODES[sender]) for vertex in vertices))

    def wait(self, ms: int) -> list[Effect]:
        """Effects of time."""
        assert self.now_ms is not None
        self.now_ms += ms
        return self.feed(Ticked(self.now_ms))

    def seal(self, order: Propose) -> list[Effect]:
        """Effects of a durable own vertex."""
        return self.feed(OwnVertexDurable(seal_vertex(order.header, order.body, bytes(48), lambda _: bytes(64))))


def only(kind: type[E], effects: list[Effect]) -> E:
    """The single effect of a kind."""
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, found
    return found[0]


def none(kind: type[Effect], effects: list[Effect]) -> bool:
    """Is there no effect of a kind?"""
    return not any(isinstance(effect, kind) for effect in effects)


def rounds(count: int, *, skip: tuple[int, ...] = ()) -> list[list[Vertex]]:
    """Full rounds without some seats."""
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layers.append(full_round(layers[-1] if layers else [], 4, skip=skip))
    return layers


def own_round(seat: Seat, round: int) -> list[Vertex]:
    """What the seat has made itself in a round."""
    return [entry.vertex for entry in seat.state.store.at(round) if entry.author == seat.state.own_seat]


def neighbours_of(seat: int) -> list[int]:
    """The authors whose batches the seat is asked to check at once."""
    orders = {author: attestors(KEYS.committee.anchor, 4, author) for author in range(4)}
    return [author for author, order in orders.items() if seat in order[: KEYS.committee.faults + 1]]


def strangers_to(seat: int) -> list[int]:
    """The other authors."""
    return [author for author in range(4) if author != seat and author not in neighbours_of(seat)]


def layers_with_reference(author: int, count: int, voucher: int | None = None) -> list[list[Vertex]]:
    """Rounds without seat 0; in the first the author references the batch, in the second the voucher attests it."""
    first = [make_vertex(1, seat, batches=[BATCH] if seat == author else []) for seat in range(1, 4)]
    layers = [first]
    for round in range(2, count + 1):
        vouching = {voucher: [BATCH.id]} if round == 2 else {}
        layers.append([make_vertex(round, seat, layers[-1], attested=vouching.get(seat, [])) for seat in range(1, 4)])
    return layers


# --- own vertices


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


# --- batches


def test_a_neighbours_batch_is_checked_and_attested_in_the_next_vertex_once() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    seat.seal(only(Propose, seat.log))
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == [CheckBatch(BATCH.id)]
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == []
    seat.feed(BatchChecked(BATCH.id, None))
    one = [*own_round(seat, 1), *rounds(1)[0][1:]]
    order = only(Propose, seat.receive(*one[1:]) + seat.wait(60))
    assert order.body.attested == (BATCH.id,)
    seat.seal(order)
    two = full_round(one, 4)[1:]
    assert only(Propose, seat.receive(*two) + seat.wait(300)).body.attested == ()


def test_every_batch_has_two_of_four_seats_to_check_it_beside_its_author() -> None:
    for author in range(4):
        checkers = [seat for seat in range(4) if author in neighbours_of(seat)]
        assert len(checkers) == 2
        assert author not in checkers


def test_a_batch_that_is_not_ours_to_check_is_checked_once_its_neighbours_stay_silent() -> None:
    (author,) = strangers_to(0)
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == []
    layers = layers_with_reference(author, count=3)
    assert none(CheckBatch, seat.receive(*layers[0], *layers[1]))  # neighbours have a round trip to answer
    assert only(CheckBatch, seat.receive(*layers[2])) == CheckBatch(BATCH.id)


def test_a_batch_for_which_enough_seats_vouch_is_left_alone_until_that_takes_too_long() -> None:
    (author,) = strangers_to(0)
    voucher = next(seat for seat in range(1, 4) if seat != author)
    seat = Seat()
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    layers = layers_with_reference(author, count=limits.ESCALATE_ALL_ROUNDS + 1, voucher=voucher)
    assert none(CheckBatch, seat.receive(*(vertex for layer in layers[:-1] for vertex in layer)))
    assert only(CheckBatch, seat.receive(*layers[-1])) == CheckBatch(BATCH.id)


def test_a_follower_without_a_seat_checks_nothing() -> None:
    follower = Seat(seat=None)
    assert follower.feed(BatchStored(BATCH.id, 1, 2, 300)) == []
    layers = layers_with_reference(1, count=limits.ESCALATE_ALL_ROUNDS + 2)
    assert none(CheckBatch, follower.receive(*(vertex for layer in layers for vertex in layer)))


def test_an_invalid_batch_is_never_attested_and_its_reference_is_evidence() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    seat.seal(only(Propose, seat.log))
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    seat.feed(BatchChecked(BATCH.id, 1))
    evidence = only(RecordEvidence, seat.receive(make_vertex(1, author, batches=[BATCH]))).evidence
    assert isinstance(evidence, InvalidBatchReferenced)
    assert (evidence.batch, evidence.index) == (BATCH.id, 1)
    others = [vertex for vertex in rounds(1)[0][1:] if vertex.author != author]
    assert only(Propose, seat.receive(*others) + seat.wait(300)).body.attested == ()


def test_whoever_attested_an_invalid_batch_is_proven_to_have_lied_before_and_after_our_check() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    early, late = (other for other in range(1, 4) if other != author)
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    seat.receive(make_vertex(1, author, batches=[BATCH]), make_vertex(1, early, attested=[BATCH.id]))
    proofs = [effect.evidence for effect in seat.feed(BatchChecked(BATCH.id, 0)) if isinstance(effect, RecordEvidence)]
    assert [type(proof) for proof in proofs] == [InvalidBatchReferenced, FalseAttestation]
    proof = only(RecordEvidence, seat.receive(make_vertex(1, late, attested=[BATCH.id]))).evidence
    assert isinstance(proof, FalseAttestation)
    assert (proof.batch, proof.index) == (BATCH.id, 0)


def test_a_referenced_batch_is_fetched_from_its_author_until_it_is_there() -> None:
    seat = Seat()
    order = only(FetchBatch, seat.receive(make_vertex(1, 3, batches=[BATCH]), sender=1))
    assert order == FetchBatch(NODES[3], BATCH.id)
    assert only(FetchBatch, seat.wait(50)).peer == NODES[1]
    assert none(FetchBatch, seat.feed(BatchStored(BATCH.id, 3, 2, 300)) + seat.wait(5_000))


def test_at_most_eight_own_batches_are_on_the_way() -> None:
    seat = Seat(now_ms=None)
    for number in range(12):
        seat.feed(OwnBatchReady(bytes([number]) * 32, 1, 100))
    first = only(Propose, seat.feed(Ticked(5)))
    assert [reference.id[0] for reference in first.body.batches] == list(range(8))
    seat.now_ms = 5
    seat.seal(first)
    second = only(Propose, seat.receive(*rounds(1)[0][1:]) + seat.wait(60))
    assert second.body.batches == ()


# --- coin and decisions


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
