"""The ordering core: `step` takes a fact and returns what should happen. Nothing else is called by the daemon.

The same committee and the same events give the same effects, byte for byte. A `DagState` is owned by its caller and
updated in place. To restart: `restore` a snapshot (or `create`), feed the head as `Executed`, feed every stored vertex
above the floor as `VertexReceived` with no sender, then the first `Ticked`. Blocks above the snapshot's height are
emitted again, coins asked again; the shell compares those it has stored (`OrderingDiverged`) and executes the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from octra.consensus import limits
from octra.consensus.certificate import Claim
from octra.consensus.coin import coin_value, leaders, share_round
from octra.consensus.dag import rule
from octra.consensus.dag.propose import Proposer
from octra.consensus.dag.rule import Slot
from octra.consensus.dag.state import DagState, restore, snapshot
from octra.consensus.dag.store import Entry
from octra.consensus.effects import (
    Broadcast,
    CloseEpoch,
    CombineCoin,
    Commit,
    Effect,
    Halt,
    Propose,
    Prune,
    RecordEvidence,
    SendVertices,
)
from octra.consensus.epoch import OrderingParams
from octra.consensus.events import (
    BatchChecked,
    BatchStored,
    BeaconRevealed,
    BeaconSharesRejected,
    CoinRevealed,
    CoinSharesRejected,
    EpochOpened,
    Event,
    Executed,
    FactOfEpoch,
    LaterEpochSeen,
    OwnBatchReady,
    OwnVertexDurable,
    PeerConnected,
    RangeEnded,
    Ticked,
    VertexReceived,
)
from octra.consensus.evidence import encode_evidence, equivocation
from octra.consensus.vertex import VERSION, BatchRef, Execution, Vertex, VertexBody, VertexHeader
from octra.primitives import NodeId

__all__ = ["DagState", "OrderingParams", "restore", "snapshot", "step", "step_all", "wake_ms"]


def step(state: DagState, event: Event) -> tuple[DagState, tuple[Effect, ...]]:
    """Take note of a fact; returns the state (a new one for `EpochOpened`) and the effects, to perform in order."""
    if isinstance(event, EpochOpened):
        return _next_epoch(state, event), ()
    return state, step_all(state, (event,))


def step_all(state: DagState, events: Sequence[FactOfEpoch]) -> tuple[Effect, ...]:
    """Take note of facts that came together, and only then look what follows from all of them: an own vertex links to
    the last, too. The order is the same as step by step."""
    effects: list[Effect] = []
    for event in events:
        _note(state, event, effects)
    _decide(state, effects)
    effects += state.closing.end(state.roots)
    effects += state.attesting.round_reached(state.store.quorum_round)
    if state.deltas is not None:
        effects += state.deltas.round_reached(state.store.quorum_round)
    if state.now_ms is not None:
        effects += state.sync.due(
            state.now_ms,
            state.store.quorum_round,
            state.ordering.next_slot.round,
            state.store.floor,
            state.committee.faults,
        )
        _propose(state, state.now_ms, effects)
    return tuple(effects)


def _note(state: DagState, event: FactOfEpoch, effects: list[Effect]) -> None:
    match event:
        case Ticked(now_ms):
            _pass_time(state, now_ms)
            _resend(state, effects)
        case VertexReceived(vertex, sender):
            _receive(state, vertex, sender, effects)
        case RangeEnded(sender, _):
            state.sync.range_ended(sender)
        case PeerConnected(peer):
            _greet(state, peer, effects)
        case BatchStored(id, author, _, _):
            _batch_stored(state, id, author, effects)
        case BatchChecked(id, invalid_index):
            effects += state.attesting.checked(id, invalid_index)
        case OwnBatchReady(id, count, size):
            _own_batch(state, id, count, size)
        case OwnVertexDurable(vertex):
            _own_vertex(state, vertex, effects)
        case CoinRevealed(round, signature, rejected):
            _coin_revealed(state, round, signature, rejected)
        case CoinSharesRejected(round, authors):
            _coin_rejected(state, round, authors, effects)
        case BeaconRevealed(signature, _):
            state.closing.revealed(signature)
        case BeaconSharesRejected(authors):
            effects += state.closing.rejected(authors)
        case LaterEpochSeen(peer):
            state.sync.later_epoch_seen(peer, state.now_ms or 0)
        case Executed():
            _executed(state, event, effects)
        case _:
            assert_never(event)


def _pass_time(state: DagState, wall_ms: int) -> None:
    """A wall clock may be set back: pauses are measured by its steps forward, and stamps never go back."""
    if state.now_ms is None:
        state.now_ms = wall_ms
    else:
        state.now_ms += max(0, wall_ms - state.wall_ms)
    state.wall_ms = wall_ms
    state.stamp_ms = max(state.stamp_ms, wall_ms)


def _next_epoch(state: DagState, event: EpochOpened) -> DagState:
    """An empty DAG for the next committee. Only the clocks go on."""
    fresh = DagState.create(event.committee, event.own_seat, event.params, resume_round=event.resume_round)
    fresh.now_ms, fresh.wall_ms, fresh.stamp_ms = state.now_ms, state.wall_ms, state.stamp_ms
    return fresh


# --- vertices -------------------------------------------------------------------------------------------------------


def _receive(state: DagState, vertex: Vertex, sender: NodeId | None, effects: list[Effect]) -> None:
    state.sync.saw(vertex.author, vertex.round)
    store = state.store
    if vertex.round <= store.floor or vertex.id in store or vertex.id in store.waiting:
        return
    _look_for_twin(state, vertex, effects)
    if state.own is not None and vertex.author == state.own_seat and sender and vertex.round > state.own.last_round:
        effects.append(Halt("a peer has a vertex of our own seat that we never signed: its key is used elsewhere"))
    if vertex.round > store.quorum_round + limits.AHEAD_ROUNDS or not store.has_room(vertex):
        return
    _insert(state, vertex, sender, effects)


def _insert(state: DagState, vertex: Vertex, sender: NodeId | None, effects: list[Effect]) -> None:
    for entry in state.store.receive(vertex):
        _inserted(state, entry, sender, effects)
    if vertex.id not in state.store:
        for link in state.store.missing(vertex):
            if link.id not in state.store and link.id not in state.store.waiting:
                state.sync.want_vertex(link, vertex.author, sender, state.now_ms or 0)
    state.sync.vertices.pop(vertex.id, None)


def _inserted(state: DagState, entry: Entry, sender: NodeId | None, effects: list[Effect]) -> None:
    """Read what a vertex says that does not wait for the order."""
    body = entry.vertex.body
    state.changed.update((entry.round - limits.VOTE_DEPTH, entry.round - limits.DECIDE_DEPTH))
    for reference in body.batches:
        if not state.ordering.is_settled(reference.id):
            effects += state.attesting.referenced(reference.id, entry)
            if reference.id not in state.attesting.held:
                state.sync.want_batch(reference.id, entry.round, entry.author, sender, state.now_ms or 0)
    for id in body.attested:
        effects += state.attesting.attested(id, entry)
    _coin_share(state, entry, effects)
    effects += state.roots.heard(entry.vertex)
    if state.deltas is not None:
        effects += state.deltas.heard(entry.vertex)
    effects += state.closing.inserted(entry)
    if state.own is not None and entry.author == state.own_seat:
        state.own.published(state.store, entry, state.now_ms or 0)
        for reference in body.batches:
            if state.ordering.is_settled(reference.id):  # in a replay the order may be ahead of the vertices
                state.own.settle(reference.id)


def _look_for_twin(state: DagState, vertex: Vertex, effects: list[Effect]) -> None:
    if vertex.author in state.proven:
        return
    other = state.store.other_vertex(vertex)
    if other is None:
        return
    state.proven.add(vertex.author)
    proof = equivocation(vertex, other)
    effects.append(RecordEvidence(proof))
    if vertex.author == state.own_seat:
        effects.append(Halt("our own seat has signed two vertices of one round: its key is used elsewhere"))
    elif state.own is not None:
        state.own.shunned[vertex.author] = None
        state.own.evidence[encode_evidence(proof)] = None


def _greet(state: DagState, peer: NodeId, effects: list[Effect]) -> None:
    state.sync.wake(peer, state.now_ms or 0)
    if state.own is not None and state.own.last_entry is not None:
        effects.append(SendVertices(peer, (state.own.last_entry.vertex,)))


def _resend(state: DagState, effects: list[Effect]) -> None:
    own = state.own
    assert state.now_ms is not None
    if own is None or own.last_entry is None or own.pending_round:
        return
    stalled_ms = own.sent_ms
    if not own.is_silent(state.store):  # it may go on after its pause
        stalled_ms = max(stalled_ms, own.ready_ms(state.store, state.work_pending))
    if state.now_ms >= stalled_ms + limits.RESEND_MS:
        own.sent_ms = state.now_ms
        effects.append(Broadcast(own.last_entry.vertex))


# --- batches --------------------------------------------------------------------------------------------------------


def _batch_stored(state: DagState, id: bytes, author: int, effects: list[Effect]) -> None:
    state.sync.batches.pop(id, None)
    if not state.ordering.is_settled(id):
        effects += state.attesting.stored(id, author, state.store.quorum_round)
    else:
        effects += state.attesting.settled_stored(id)


def _own_batch(state: DagState, id: bytes, count: int, size: int) -> None:
    own = state.own
    if own is None or id in own.queue or id in own.referenced or state.ordering.is_settled(id):
        return
    own.queue[id] = BatchRef(id, count, size)
    state.sync.batches.pop(id, None)
    state.attesting.own_batch(id, state.store.quorum_round)


# --- coin -----------------------------------------------------------------------------------------------------------


def _coin_share(state: DagState, entry: Entry, effects: list[Effect]) -> None:
    round, coins = share_round(entry.round), state.coins
    if round < state.ordering.next_slot.round or round in coins.values or state.closing.decided:
        return
    shares = coins.shares.setdefault(round, {})
    if entry.author in shares or entry.author in coins.rejected.get(round, ()):
        return
    shares[entry.author] = entry.vertex.body.coin_share
    _combine_coin(state, round, effects)


def _combine_coin(state: DagState, round: int, effects: list[Effect]) -> None:
    """Ask for the coin once q seats have voted and certified: nobody may aim at a leader before."""
    coins = state.coins
    shares = coins.shares.get(round, {})
    present = len(state.store.authors(round + limits.DECIDE_DEPTH))
    enough = len(shares) > state.committee.faults
    if round in coins.asked or present < state.committee.quorum or not enough:
        return
    coins.asked.add(round)
    effects.append(CombineCoin(round, tuple(shares.items())))


def _coin_revealed(state: DagState, round: int, signature: bytes, rejected: tuple[int, ...]) -> None:
    coins = state.coins
    if round in coins.values or round < state.ordering.next_slot.round:
        return
    value = coins.values[round] = coin_value(signature)
    coins.leaders[round] = leaders(value, state.committee.size, state.committee.slots)
    coins.shares.pop(round, None)
    coins.rejected.pop(round, None)
    state.changed.add(round)


def _coin_rejected(state: DagState, round: int, authors: tuple[int, ...], effects: list[Effect]) -> None:
    """Drop bad shares and wait for those of other seats."""
    coins = state.coins
    if round not in coins.asked or round in coins.values:
        return
    coins.asked.discard(round)
    coins.rejected.setdefault(round, set()).update(authors)
    for author in authors:
        coins.shares.get(round, {}).pop(author, None)
    good = len(coins.shares.get(round, {}))
    if good > state.committee.faults:
        _combine_coin(state, round, effects)


# --- decisions ------------------------------------------------------------------------------------------------------


def _decide(state: DagState, effects: list[Effect]) -> None:
    """Decide, order, raise the floor; vertices that become complete by it may decide more. Ends with the epoch."""
    while state.changed and not state.closing.decided:
        changed, state.changed = state.changed, set()
        ordering, coins = state.ordering, state.coins
        rule.decide(state.store, coins.leaders, state.decisions, ordering.next_slot, changed)
        prefix, after = rule.output(coins.leaders, state.decisions, ordering.next_slot)
        if not prefix:
            return
        floor = state.store.floor
        for slot, leader in prefix:
            del state.decisions[slot]
            if leader is not None:
                _commit(state, slot, leader, effects)
                if state.closing.decided:
                    return
                floor = max(floor, leader.round - limits.GC_ROUNDS)
        ordering.next_slot = after
        coins.forget_before(after.round)
        _raise_floor(state, floor, effects)


def _commit(state: DagState, slot: Slot, leader: Entry, effects: list[Effect]) -> None:
    after = rule.slot_after(slot, state.committee.slots)
    draft = state.ordering.commit(state.store, leader, after, state.coins.values[slot.round])
    effects.append(Commit(draft))
    if state.deltas is not None:
        state.deltas.ordered(draft.height, state.store.quorum_round)
    for batch in draft.batches:
        effects += state.attesting.settle(batch.id)
        if state.own is not None:
            state.own.settle(batch.id)
    if draft.batches:
        state.work_height = draft.height
    if state.closing.is_last(draft):
        effects.append(CloseEpoch(draft.height))
        if state.deltas is not None:
            state.deltas.closed()
        effects += state.closing.close(draft)


def _raise_floor(state: DagState, floor: int, effects: list[Effect]) -> None:
    if floor <= state.store.floor:
        return
    ready = state.store.raise_floor(floor)
    effects.append(Prune(floor))
    state.sync.forget_below(floor)
    for id in [id for id, news in state.attesting.news.items() if news.reference.round <= floor]:
        if not state.ordering.is_referenced(id):
            state.attesting.forget(id)
            state.sync.batches.pop(id, None)
    state.attesting.forget_unreferenced(floor)
    if state.own is not None:
        state.own.return_lost(floor, state.ordering.is_referenced)
        state.own.forget_below(floor)
    for vertex in ready:
        if vertex.round > state.store.floor and vertex.id not in state.store:
            _insert(state, vertex, None, effects)


def _executed(state: DagState, event: Executed, effects: list[Effect]) -> None:
    claim = Claim(event.height, event.block_id, event.state_root)
    if state.own is not None and event.height >= state.own.claim.height:
        state.own.claim = claim
        state.own.execution = Execution(event.mode, event.delta_id)
    effects += state.roots.executed(event.height, claim)
    if state.deltas is not None:
        state.deltas.executed(event.height)
    effects += state.closing.executed(state.roots, state.store, event.height)


# --- own vertices ---------------------------------------------------------------------------------------------------


def wake_ms(state: DagState) -> int | None:
    """When the next `Ticked` may have an effect, if nothing happens before; by the clock `state.now_ms`."""
    if state.now_ms is None:
        return None
    times = [state.sync.next_ms(state.now_ms)]
    own = state.own
    if own is not None and not own.is_silent(state.store):
        times.append(own.ready_ms(state.store, state.work_pending))
    return min((time for time in times if time is not None), default=None)


def _propose(state: DagState, now_ms: int, effects: list[Effect]) -> None:
    own = state.own
    if own is None or own.is_silent(state.store) or state.lag_rounds > limits.LAG_ROUNDS or state.closing.ended:
        return  # far behind f + 1 seats an own vertex helps nobody
    round = own.round_to_propose(state.store, now_ms, state.work_pending)
    if round is None or state.closing.is_said(round, own.claim_sent):
        return
    own.pending_round = round
    effects.append(_draft(state, own, round))


def _draft(state: DagState, own: Proposer, round: int) -> Propose:
    parents = own.parents(state.store, round)
    weak = own.weak_links(state.store, round, parents, state.ordering.ordered)
    parent_links, weak_links = own.links(parents, weak)
    claim = Claim(0, bytes(32), bytes(32)) if state.roots.diverged else own.claim
    header = VertexHeader(
        version=VERSION,
        anchor=state.committee.anchor,
        author=own.seat,
        round=round,
        body_id=bytes(32),  # the shell binds the body once the coin share is in it
        height=claim.height,
        block_id=claim.block_id,
        state_root=claim.state_root,
        time_ms=state.stamp_ms,
    )
    body = VertexBody(
        parents=parent_links,
        weak=weak_links,
        batches=() if state.execution_lags or state.closing.decided else own.take_batches(),
        attested=() if state.closing.decided else own.take_attestations(),
        execution=own.execution,
        evidence=tuple(list(own.evidence)[: limits.EVIDENCE_MAX]),
    )
    return Propose(header, body, max(0, share_round(round)), state.closing.share_wanted)


def _own_vertex(state: DagState, vertex: Vertex, effects: list[Effect]) -> None:
    """The vertex is durable: insert it and send it. There is no other way out for an own vertex."""
    own = state.own
    assert own is not None
    assert vertex.round == own.pending_round
    own.pending_round = 0
    own.last_round = vertex.round
    own.sent_ms = state.now_ms or 0
    state.sync.saw(vertex.author, vertex.round)
    if vertex.round > state.store.floor:
        _insert(state, vertex, None, effects)
    effects.append(Broadcast(vertex))
