"""Decided leaders become blocks: what each brings into the order, which batches mature, and the agreed time.

All here is a function of the sequence of committed leaders, so equal decisions give equal blocks on every seat.
"""

from __future__ import annotations

from msgspec import Struct

from octra.codec import encode
from octra.consensus import limits
from octra.consensus.dag.rule import Slot
from octra.consensus.dag.store import Entry, Store
from octra.consensus.effects import CommitDraft, MaturedBatch, OrderedVertex
from octra.consensus.vertex import BatchRef
from octra.crypto.hash import EMPTY_ROOT, H


class BatchState(Struct, array_like=True):
    """What the order knows of a batch: its first reference, and who attests it (a bit per seat)."""

    round: int  # of the newest reference or, before one, attestation; matured batches: when they matured
    author: int = -1  # of the first reference; -1 while there is none
    count: int = 0
    size: int = 0
    seats: int = 0
    matured: bool = False


class Ordering:
    """The ordered prefix, as far as later blocks depend on it."""

    def __init__(self, faults: int, start_time_ms: int, start_height: int = 0) -> None:
        self.attestors_needed = faults + 1
        self.height = start_height
        self.time_ms = start_time_ms
        self.next_slot = Slot(1, 0)
        self.ordered: dict[bytes, bool] = {}  # vertex id -> void, for rounds above the floor
        self.places: dict[int, dict[bytes, int]] = {}  # round -> vertex id -> author, of the same vertices
        self._sorted: dict[int, list[tuple[int, int, bytes, bool]]] = {}  # marks of rounds that have not changed since
        self.batches: dict[bytes, BatchState] = {}
        self._expiry: dict[int, list[bytes]] = {}  # round -> batches whose last word may be of that round

    def commit(self, store: Store, leader: Entry, after: Slot, coin: bytes) -> CommitDraft:
        """The block of a committed leader. References older than 64 rounds without enough attestations expire."""
        floor = max(0, leader.round - limits.GC_ROUNDS)
        brought = sorted(store.cone(leader, floor, self.ordered), key=lambda e: (e.round, e.author, e.id))
        vertices: list[OrderedVertex] = []
        batches: list[MaturedBatch] = []
        evidence: dict[bytes, None] = {}  # a set that keeps its order
        for entry in brought:
            void = self._place(entry)
            vertices.append(OrderedVertex(entry.id, entry.round, entry.author, void))
            if not void:
                batches += self._read_batches(entry, leader.round)
                evidence.update(dict.fromkeys(entry.vertex.body.evidence))
        self._expire(leader.round)
        self._forget(floor)
        self.height += 1
        self.time_ms = max(self.time_ms + 1, _median_time(leader))
        self.next_slot = after
        digest = self._digest(floor) if self.height % limits.ORDERING_SNAPSHOT_EVERY == 0 else EMPTY_ROOT
        return CommitDraft(
            height=self.height,
            leader=leader.id,
            leader_author=leader.author,
            leader_round=leader.round,
            time_ms=self.time_ms,
            coin=coin,
            ordering_id=digest,
            vertices=tuple(vertices),
            batches=tuple(batches),
            evidence=tuple(evidence),
        )

    def is_settled(self, id: bytes) -> bool:
        """Has the batch matured already?"""
        state = self.batches.get(id)
        return state is not None and state.matured

    def is_referenced(self, id: bytes) -> bool:
        """Does an ordered reference to the batch still count?"""
        state = self.batches.get(id)
        return state is not None and state.author >= 0

    def restore_batches(self, batches: dict[bytes, BatchState]) -> None:
        """Take over a batch table, as of a snapshot."""
        self.batches = batches
        for id, state in batches.items():
            self._expiry.setdefault(state.round, []).append(id)

    def table(self) -> list[tuple[bytes, BatchState]]:
        """The batch table in a fixed order."""
        return sorted(self.batches.items())

    def marks(self) -> list[tuple[int, int, bytes, bool]]:
        """(round, author, id, void) of every ordered vertex above the floor, sorted."""
        found: list[tuple[int, int, bytes, bool]] = []
        for round in sorted(self.places):
            here = self._sorted.get(round)
            if here is None:
                here = sorted((round, author, id, self.ordered[id]) for id, author in self.places[round].items())
                self._sorted[round] = here
            found += here
        return found

    def restore_marks(self, marks: list[tuple[int, int, bytes, bool]]) -> None:
        """Take over the ordered vertices, as of a snapshot."""
        for round, author, id, void in marks:
            self.ordered[id] = void
            self.places.setdefault(round, {})[id] = author

    def _place(self, entry: Entry) -> bool:
        self._sorted.pop(entry.round, None)
        here = self.places.setdefault(entry.round, {})
        void = entry.author in here.values()  # a twin was ordered before
        here[entry.id] = entry.author
        self.ordered[entry.id] = void
        return void

    def _read_batches(self, entry: Entry, leader_round: int) -> list[MaturedBatch]:
        """Count what a vertex says of batches; returns those that it makes mature, in its order."""
        matured = []
        for reference in entry.vertex.body.batches:
            state = self._word(reference.id, entry.round, refresh=True)
            if state.author < 0:
                _refer(state, reference, entry.author)
            # Only here the author's own word counts: he checked the batch before he referenced it.
            if self._attest(state, entry.author, leader_round):
                matured.append(self._mature(reference.id, state, leader_round))
        for id in entry.vertex.body.attested:
            state = self._word(id, entry.round, refresh=False)
            if self._attest(state, entry.author, leader_round):
                matured.append(self._mature(id, state, leader_round))
        return matured

    def _word(self, id: bytes, round: int, *, refresh: bool) -> BatchState:
        """The row of a batch. An attestation alone does not keep a referenced batch from expiring."""
        state = self.batches.get(id)
        if state is None:
            state = self.batches[id] = BatchState(round)
            self._expiry.setdefault(round, []).append(id)
        elif not state.matured and round > state.round and (refresh or state.author < 0):
            state.round = round
            self._expiry.setdefault(round, []).append(id)
        return state

    def _attest(self, state: BatchState, seat: int, leader_round: int) -> bool:
        """Add a seat; true in the moment that reference and f + 1 seats are both there."""
        state.seats |= 1 << seat
        return not state.matured and state.author >= 0 and state.seats.bit_count() >= self.attestors_needed

    def _mature(self, id: bytes, state: BatchState, leader_round: int) -> MaturedBatch:
        state.matured = True
        state.round = leader_round + limits.GC_ROUNDS  # remembered twice as long, so that it cannot mature again
        self._expiry.setdefault(state.round, []).append(id)
        return MaturedBatch(id, state.author, state.count, state.size)

    def _expire(self, leader_round: int) -> None:
        limit = leader_round - limits.GC_ROUNDS
        for round in sorted(round for round in self._expiry if round <= limit):
            for id in self._expiry.pop(round):
                state = self.batches.get(id)
                if state is not None and state.round <= limit:
                    del self.batches[id]

    def _forget(self, floor: int) -> None:
        for round in [round for round in self.places if round <= floor]:
            self._sorted.pop(round, None)
            for id in self.places.pop(round):
                del self.ordered[id]

    def _digest(self, floor: int) -> bytes:
        return H("octra.ordering", encode((self.next_slot, floor, self.marks(), self.table())))


def _refer(state: BatchState, reference: BatchRef, author: int) -> None:
    state.author, state.count, state.size = author, reference.count, reference.size


def _median_time(leader: Entry) -> int:
    """The lower median of the parents' clocks: among q values with f liars it lies between honest ones."""
    times = sorted(parent.vertex.header.time_ms for parent in leader.parents)
    return times[(len(times) - 1) // 2] if times else 0
