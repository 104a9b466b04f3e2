"""When we may make a vertex, and what goes into it. Pacing only: no timeout here decides anything."""

from __future__ import annotations

from collections.abc import Callable

from octra.consensus import limits
from octra.consensus.certificate import Claim
from octra.consensus.dag.store import Entry, Store
from octra.consensus.epoch import Pace
from octra.consensus.vertex import BatchRef, Execution, ParentLink, WeakLink


def default_pace(size: int) -> Pace:
    """A lone node does not wait while it has work; many seats go slower when they are idle or loaded."""
    idle = max(limits.IDLE_INTERVAL_MS, limits.IDLE_INTERVAL_SEAT_MS * size)
    return Pace(0 if size == 1 else limits.MIN_INTERVAL_MS, idle, limits.BUSY_SEAT_MS * (size - 4))


class Proposer:
    """What the own seat has said and still wants to say."""

    def __init__(self, seat: int, pace: Pace, resume_round: int) -> None:
        self.seat, self.pace = seat, pace
        self.last_round = resume_round  # nothing is signed at or below it
        self.last_entry: Entry | None = None
        self.last_ms: int | None = None
        self.sent_ms = 0
        self.pending_round = 0  # of a proposal that is being signed
        self.short_since_ms: int | None = None  # since when only known equivocators complete a quorum
        self.shunned: dict[int, None] = {}
        self.execution = Execution(0, bytes(32))
        self.claim = Claim(0, bytes(32), bytes(32))
        self.claim_sent = 0  # height in our last vertex
        self.queue: dict[bytes, BatchRef] = {}  # own batches without a reference
        self.referenced: dict[bytes, tuple[BatchRef, int]] = {}  # own batches on the way: reference, vertex round
        self.attest: dict[bytes, None] = {}  # checked batches of others to attest
        self.attested: dict[bytes, int] = {}  # id -> round of our vertex that attests it
        self.evidence: dict[bytes, None] = {}

    def interval_ms(self, store: Store, work_pending: bool) -> int:
        """The pause after the last own vertex. A round costs n x n vertices, however little is in it: with much to
        order, fewer and fuller ones leave more time for the transactions."""
        pace = self.pace
        if not work_pending:
            return pace.idle_interval_ms
        if pace.busy_interval_ms <= pace.min_interval_ms:
            return pace.min_interval_ms
        count = _transactions(store)
        busy = min(pace.min_interval_ms + limits.BUSY_TRANSACTION_MS * count, pace.busy_interval_ms)
        return min(busy + busy * count // limits.FULL_TRANSACTIONS, limits.FULL_PAUSES * busy)

    def is_silent(self, store: Store) -> bool:
        """Has the own seat said all that it can before a quorum goes on?"""
        return self.pending_round > 0 or store.quorum_round < self.last_round

    def ready_ms(self, store: Store, work_pending: bool) -> int:
        """When the pause after the last own vertex ends."""
        return 0 if self.last_ms is None else self.last_ms + self.interval_ms(store, work_pending)

    def round_to_propose(self, store: Store, now_ms: int, work_pending: bool) -> int | None:
        """The round that may be made now, or None."""
        round = store.quorum_round + 1
        if self.is_silent(store) or now_ms < self.ready_ms(store, work_pending):
            return None
        return round if round == 1 or self._has_honest_quorum(store, round - 1, now_ms) else None

    def parents(self, store: Store, round: int) -> list[Entry]:
        """One vertex per author of the round before: own first, then in order of arrival.

        Known equivocators are left out, unless without them there is no quorum.
        """
        authors = store.authors(round - 1)
        chosen = [twins[0] for author, twins in authors.items() if author not in self.shunned]
        for author, twins in authors.items():
            if author in self.shunned and len(chosen) < store.quorum:
                chosen.append(twins[0])
        chosen.sort(key=lambda entry: entry.author != self.seat)  # stable: the rest keeps its order
        return chosen

    def weak_links(self, store: Store, round: int, parents: list[Entry], ordered: dict[bytes, bool]) -> list[Entry]:
        """Vertices of rounds r - 32 .. r - 2 that neither the parents nor our last vertex cover, oldest first."""
        lowest = max(1, round - limits.WEAK_ROUNDS, store.floor + 1)
        chosen: list[Entry] = []
        own = self.last_entry
        if own is not None and lowest <= own.round <= round - 2 and own.id in store:
            chosen.append(own)
        open_rounds = [late for late in range(lowest, round - 1) if store.uncovered.get(late)]
        reached = _uncovered_cone([*parents, *chosen], lowest) if open_rounds else set()
        for late in open_rounds:
            for entry in store.at(late):
                if len(chosen) == limits.WEAK_MAX:
                    return chosen
                known = entry.covered or entry.id in reached or entry.id in ordered
                if not known and entry.author not in self.shunned:
                    chosen.append(entry)
        return chosen

    def take_batches(self) -> tuple[BatchRef, ...]:
        """Own batches to reference now, within what may be in flight."""
        free = min(limits.BATCH_REFS_MAX, limits.BATCHES_IN_FLIGHT - len(self.referenced))
        return tuple(list(self.queue.values())[: max(0, free)])

    def take_attestations(self) -> tuple[bytes, ...]:
        """Batches to attest now, sorted as the vertex wants them."""
        return tuple(sorted(list(self.attest)[: limits.ATTESTED_MAX]))

    def published(self, store: Store, entry: Entry, now_ms: int) -> None:
        """An own vertex is in the DAG: what it says need not be said again."""
        self.last_round = max(self.last_round, entry.round)
        if self.last_entry is None or entry.round > self.last_entry.round:
            self.last_entry = entry
            self.claim_sent = entry.vertex.header.height
            self.last_ms = now_ms
        for reference in entry.vertex.body.batches:
            self.queue.pop(reference.id, None)
            self.referenced[reference.id] = (reference, entry.round)
        for id in entry.vertex.body.attested:
            self.attest.pop(id, None)
            self.attested[id] = entry.round
        for item in entry.vertex.body.evidence:
            self.evidence.pop(item, None)
        store.cover(entry)

    def settle(self, id: bytes) -> None:
        """A batch matured: nothing more to say about it."""
        self.queue.pop(id, None)
        self.referenced.pop(id, None)
        self.attest.pop(id, None)

    def return_lost(self, floor: int, known: Callable[[bytes], bool]) -> None:
        """Own batches whose reference expired, or fell below the floor unordered, are proposed again."""
        for id in [id for id, (_, round) in self.referenced.items() if round <= floor and not known(id)]:
            self.queue[id] = self.referenced.pop(id)[0]

    def forget_below(self, floor: int) -> None:
        """Old attestations are remembered no longer than a reference may live."""
        for id in [id for id, round in self.attested.items() if round <= floor - limits.GC_ROUNDS]:
            del self.attested[id]

    def links(self, parents: list[Entry], weak: list[Entry]) -> tuple[tuple[ParentLink, ...], tuple[WeakLink, ...]]:
        """The links as they stand in a body."""
        return (
            tuple(ParentLink(entry.author, entry.id) for entry in parents),
            tuple(WeakLink(entry.round, entry.author, entry.id) for entry in weak),
        )

    def _has_honest_quorum(self, store: Store, round: int, now_ms: int) -> bool:
        """Is there a quorum without known equivocators? If not, wait a little for one, then do without.

        To insist could stop the network: an honest seat that skipped this round cannot come back to it.
        """
        authors = store.authors(round)
        if len(authors) < store.quorum:
            return False
        if sum(author not in self.shunned for author in authors) >= store.quorum:
            self.short_since_ms = None
            return True
        if self.short_since_ms is None:
            self.short_since_ms = now_ms
        return now_ms >= self.short_since_ms + limits.SHUN_WAIT_MS


def _transactions(store: Store) -> int:
    """How many the newest round brings, by what its authors say; the f who say most are not believed."""
    found = store.authors(store.quorum_round).values()
    named = sorted(sum(batch.count for batch in twins[0].vertex.body.batches) for twins in found)
    return sum(named[: store.quorum])


def _uncovered_cone(tops: list[Entry], lowest: int) -> set[bytes]:
    """Ids in the cones of `tops` that our last vertex does not cover."""
    seen = {entry.id for entry in tops}
    stack = list(tops)
    while stack:
        for link in stack.pop().links:
            if link.round >= lowest and not link.covered and link.id not in seen:
                seen.add(link.id)
                stack.append(link)
    return seen
