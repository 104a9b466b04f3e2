"""What the ordering core knows, and its snapshot: the ordered prefix in a few kilobytes."""

from __future__ import annotations

from collections.abc import Set

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.dag.attest import Attesting
from octra.consensus.dag.closing import Closing
from octra.consensus.dag.deltas import DeltaTally
from octra.consensus.dag.order import BatchState, Ordering
from octra.consensus.dag.propose import Proposer, default_pace
from octra.consensus.dag.roots import RootTally
from octra.consensus.dag.rule import Decisions, Slot
from octra.consensus.dag.store import Store
from octra.consensus.dag.sync import Sync
from octra.consensus.epoch import Committee, OrderingParams
from octra.consensus.errors import SnapshotUnusable
from octra.consensus.vertex import Vertex


class CoinState:
    """Shares and values of the rounds that are not decided yet."""

    def __init__(self) -> None:
        self.shares: dict[int, dict[int, bytes]] = {}
        self.rejected: dict[int, set[int]] = {}
        self.asked: set[int] = set()
        self.values: dict[int, bytes] = {}
        self.leaders: dict[int, tuple[int, ...]] = {}

    def forget_before(self, round: int) -> None:
        """Rounds whose slots are all in the order need no coin any more."""
        for table in (self.shares, self.rejected, self.values, self.leaders):
            for old in [old for old in table if old < round]:
                del table[old]
        self.asked = {kept for kept in self.asked if kept >= round}


class DagState:
    """All that the core knows. Make one with `create` or `restore`; only `step` changes it."""

    def __init__(self, committee: Committee, own_seat: int | None, params: OrderingParams, resume_round: int) -> None:
        self.committee, self.own_seat, self.params = committee, own_seat, params
        self.now_ms: int | None = None  # for pauses; unknown before the first tick
        self.wall_ms = 0  # the clock at the last tick
        self.stamp_ms = 0  # highest clock seen: what own vertices say
        self.store = Store(committee.size, committee.quorum)
        self.ordering = Ordering(committee.faults, params.start_time_ms, params.start_height)
        self.decisions: Decisions = {}
        self.changed: set[int] = set()  # rounds whose slots may have become directly decidable
        self.coins = CoinState()
        self.roots = RootTally(committee)
        self.roots.start(params.start_height)
        self.deltas = DeltaTally(committee, params.start_height) if params.split else None
        self.closing = Closing(committee, params)
        self.sync = Sync(committee.seats, own_seat)
        self.work_height = 0  # highest block with batches
        self.proven: set[int] = set()  # seats whose equivocation is recorded
        pace = params.pace or default_pace(committee.size)
        self.own = None if own_seat is None else Proposer(own_seat, pace, resume_round)
        self.attesting = Attesting(committee, self.own, params.audit_secret)

    @classmethod
    def create(
        cls, committee: Committee, own_seat: int | None, params: OrderingParams, *, resume_round: int = 0
    ) -> DagState:
        """A state before the first vertex. Without `own_seat` it follows silently.

        `resume_round`: never sign at or below it; the mark that the sign log has reserved.
        """
        return cls(committee, own_seat, params, resume_round)

    @property
    def height(self) -> int:
        """Height of the last `Commit`."""
        return self.ordering.height

    @property
    def floor(self) -> int:
        """Rounds at or below it are gone from memory."""
        return self.store.floor

    @property
    def quorum_round(self) -> int:
        """Highest round that q seats have reached in our DAG."""
        return self.store.quorum_round

    def holds(self, id: bytes) -> bool:
        """Is the vertex in the DAG or waiting for a link? Only such vertices are worth storing."""
        return id in self.store or id in self.store.waiting

    def reaches_quorum(self, round: int, authors: Set[int]) -> bool:
        """Would vertices of these authors complete a round beyond `quorum_round`?"""
        if round <= self.store.quorum_round:
            return False
        return len(authors | self.store.authors(round).keys()) >= self.committee.quorum

    def is_awaited(self, vertex: Vertex) -> bool:
        """Did we ask for it, does another wait for it, or does it bring work while we have none?"""
        if vertex.id in self.sync.vertices or self.store.is_wanted(vertex.id) or vertex.body.beacon_share:
            return True
        return bool(vertex.body.batches) and not self.work_pending

    @property
    def work_pending(self) -> bool:
        """Is anybody waiting for us? A batch is on its way, or a root of a block with batches is not yet published."""
        if self.own is None or self.closing.decided:
            return True
        if self.execution_lags:
            return False
        unpublished = self.own.claim_sent < self.work_height and not self.roots.diverged
        return unpublished or bool(self.own.queue or self.own.attest or self.attesting.news)

    @property
    def execution_lags(self) -> bool:
        """Too many ordered blocks wait for execution: the own seat goes at the idle pace and adds no batches."""
        return self.own is not None and self.height - self.own.claim.height > limits.EXECUTION_LAG

    @property
    def lag_rounds(self) -> int:
        """How far f + 1 seats are ahead of us."""
        return max(0, self.sync.reached_round(self.committee.faults) - self.store.quorum_round)


class _Snapshot(Struct, frozen=True, array_like=True):
    anchor: bytes
    height: int
    time_ms: int
    next_round: int
    next_k: int
    floor: int
    marks: list[tuple[int, int, bytes, bool]]
    batches: list[tuple[bytes, BatchState]]


def snapshot(state: DagState) -> bytes:
    """The ordered prefix as of the last `Commit`. Vertices above the floor are not in it: they stay in block storage.

    Behind the last block of an epoch it is of no use: go back to an earlier one, or to the begin of the epoch.
    Store it only once block `state.height` is stored.
    """
    assert not state.closing.decided
    ordering = state.ordering
    return encode(
        _Snapshot(
            anchor=state.committee.anchor,
            height=ordering.height,
            time_ms=ordering.time_ms,
            next_round=ordering.next_slot.round,
            next_k=ordering.next_slot.k,
            floor=state.store.floor,
            marks=ordering.marks(),
            batches=ordering.table(),
        )
    )


def restore(
    data: bytes, committee: Committee, own_seat: int | None, params: OrderingParams, *, resume_round: int = 0
) -> DagState:
    """A state that goes on after the snapshot's height, once the stored vertices above its floor are fed again."""
    saved = decode(data, _Snapshot, "ordering snapshot")
    if saved.anchor != committee.anchor:
        raise SnapshotUnusable("another committee")
    state = DagState.create(committee, own_seat, params, resume_round=resume_round)
    ordering = state.ordering
    ordering.height, ordering.time_ms = saved.height, saved.time_ms
    ordering.next_slot = Slot(saved.next_round, saved.next_k)
    ordering.restore_marks(saved.marks)
    ordering.restore_batches(dict(saved.batches))
    state.store.raise_floor(saved.floor)
    state.store.quorum_round = saved.floor
    return state
