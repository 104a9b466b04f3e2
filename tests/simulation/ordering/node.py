"""A node of the simulation: the real core, and a shell with a disk that survives crashes."""

from __future__ import annotations

from collections import Counter, deque
from typing import assert_never

from ordering.disk import Disk, SimBatch
from ordering.ledger import SimLedger
from ordering.world import World, sign_vertex

from octra.codec import decode
from octra.consensus import limits
from octra.consensus.dag.core import DagState, OrderingParams, restore, snapshot, step
from octra.consensus.effects import (
    Broadcast,
    CertificateReady,
    Certified,
    CheckBatch,
    CloseEpoch,
    CombineBeacon,
    CombineCoin,
    Commit,
    CommitDraft,
    DeltaCertified,
    DeltaOverdue,
    Diverged,
    Effect,
    EpochEnded,
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
    Event,
    Executed,
    OwnBatchReady,
    OwnVertexDurable,
    PeerConnected,
    RangeEnded,
    Ticked,
    VertexReceived,
)
from octra.consensus.evidence import Equivocation, Evidence
from octra.consensus.graph import executors
from octra.consensus.vertex import APPLIED, EXECUTED, Vertex, VertexHeader, decode_vertex, seal_vertex
from octra.crypto.hash import H
from octra.errors import InvalidInput

TICK_MS = 25
START_MS = 1_000  # commit times lie above it
HURRIED = Pace(15, 30)
RANGE_VERTICES_MAX = 512


class SimNode:
    """An honest node. Faulty ones override what they do with their effects."""

    honest = True

    def __init__(self, world: World, seat: int) -> None:
        self.world, self.seat = world, seat
        self.committee = world.keys.committee
        self.own_seat: int | None = seat
        self.disk = Disk()
        self.running = False
        self.life = 0  # of the process: messages to a former one are lost
        self.accused: list[Evidence] = []
        self.troubles: list[str] = []
        self.certified_height = 0
        self.certificates = 0
        self.sent: dict[int, set[bytes]] = {}  # round -> own vertices that left this node, ever
        self.peak_entries = self.peak_waiting = 0
        self.ranges = self.highest_floor = 0
        self.refused: Counter[str] = Counter()  # frames, by the class of the error
        self.commit_rounds: Counter[int] = Counter()  # rounds from an own vertex to the block that orders it

    # --- life

    def start(self) -> None:
        """Start or restart from what the disk holds."""
        self.life += 1
        self.running = True
        self.inbox: deque[Event] = deque()
        self.ledger = SimLedger(self)
        disk, params = self.disk, self._params()
        for vertex in disk.signed:  # peers may wait for one that only the sign log still has
            disk.keep(vertex)
        self.resume_round = self._resume_round()
        if disk.snapshot is None:
            self.state = DagState.create(self.committee, self.own_seat, params, resume_round=self.resume_round)
        else:
            self.state = restore(disk.snapshot, self.committee, self.own_seat, params, resume_round=self.resume_round)
        self.snapshot_height = self.state.height
        self.feed(Executed(len(disk.blocks), *disk.head))
        for round in sorted(disk.rounds):
            if round > self.state.floor:
                for vertex in disk.round_of(round):
                    self.feed(VertexReceived(vertex, None))
        executed = set(disk.executed_batches())
        for batch in disk.own_batches.values():
            if self.own_seat is not None and batch.id not in executed:
                self.feed(OwnBatchReady(batch.id, batch.count, batch.size))
        self._tick(self.life)

    def _params(self) -> OrderingParams:
        scenario = self.world.scenario
        return OrderingParams(START_MS, HURRIED if scenario.hurried else None, split=scenario.split)

    def crash(self, *, power: bool) -> None:
        """The process is gone; with `power`, so is the end of what it wrote without syncing."""
        self.running = False
        if power:
            self.disk.lose_power(self.world.random)
            self.lost_power = True

    lost_power = False

    def _resume_round(self) -> int:
        signed = max((vertex.round for vertex in self.disk.signed), default=0)
        if self.lost_power and self.world.scenario.reserve_rounds > 1:
            signed = max(signed, self.disk.reserved_round)  # the log may have lost its end: skip all it may have held
        self.lost_power = False
        return signed

    def _tick(self, life: int) -> None:
        if self.running and self.life == life:
            self.feed(Ticked(self.world.now_ms))
            self.world.at(TICK_MS, self._tick, life)

    def connected(self, peer: int) -> None:
        """A link is up again."""
        if self.running:
            self.feed(PeerConnected(self.committee.seats[peer]))

    # --- events and effects

    def feed(self, event: Event) -> None:
        """Give the core a fact and do what it orders; facts that arise meanwhile wait their turn."""
        self.inbox.append(event)
        if len(self.inbox) > 1:
            return
        while self.inbox:
            self.state, effects = step(self.state, self.inbox[0])
            if isinstance(self.inbox[0], VertexReceived):
                self._keep(self.inbox[0].vertex)
            for effect in effects:
                self.perform(effect)
            self._take_snapshot(effects)
            self.inbox.popleft()
        store = self.state.store
        self.peak_entries = max(self.peak_entries, len(store.entries))
        self.peak_waiting = max(self.peak_waiting, len(store.waiting))

    def _keep(self, vertex: Vertex) -> None:
        """Store what the core keeps; what it refused to hold must not fill the disk."""
        if self.state.holds(vertex.id):
            self.disk.keep(vertex)

    def perform(self, effect: Effect) -> None:
        """What the shell of the daemon does, in virtual time."""
        world = self.world
        match effect:
            case Propose():
                self.propose(effect)
            case Broadcast(vertex):
                self.broadcast(vertex)
            case SendVertices(peer, vertices):
                for vertex in vertices:
                    self.send_vertex(self._number(peer), vertex)
            case FetchVertices(peer, ids):
                self._ask(peer, "serve_vertices", self.seat, ids)
            case FetchRange(peer, from_round, to_round):
                self.ranges += 1
                self._ask(peer, "serve_range", self.seat, from_round, to_round)
            case FetchBatch(peer, id):
                held = self.disk.batches.get(id)
                if held is not None:
                    self.feed(BatchStored(id, held.author, held.count, held.size))
                else:
                    self._ask(peer, "serve_batch", self.seat, id)
            case CheckBatch(id):
                world.at(world.random.randrange(1, 6), self._checked, self.life, id)
            case CombineCoin(round, shares):
                answer = world.keys.reveal(round, shares)
                world.at(world.random.randrange(1, 5), self._feed_later, self.life, answer)
            case Commit(draft):
                self._note_commit(draft)
                self.ledger.commit(draft)
            case Certified(height):
                self.certified_height = height
            case CertificateReady():
                self.certificates += 1
            case RecordEvidence(evidence):
                self.accused.append(evidence)
            case DeltaCertified(_, run, _):
                self.ledger.delta_certified(run)
            case DeltaOverdue(height):
                self.ledger.delta_overdue(height)
            case Diverged(height):
                self.troubles.append(f"diverged at {height}")
            case Halt(reason):
                self.troubles.append(f"halt: {reason}")
            case CombineBeacon() | CloseEpoch() | EpochEnded():
                raise AssertionError("the committee of this simulation is fixed")
            case Prune(floor):  # block storage keeps ordered vertices
                self.highest_floor = max(self.highest_floor, floor)
            case _:
                assert_never(effect)

    def _feed_later(self, life: int, event: Event) -> None:
        if self.running and self.life == life:
            self.feed(event)

    def _ask(self, peer: bytes, question: str, *arguments: object) -> None:
        number = self._number(peer)
        if number != self.seat:
            self.world.send(self.seat, number, getattr(self.world.nodes[number], question), *arguments)

    def _number(self, node: bytes) -> int:
        number = self.committee.seat_of(node)
        assert number is not None
        return number

    # --- own vertices

    def propose(self, order: Propose) -> None:
        """Reserve, seal, log; the log needs a moment before the core may hear of it."""
        vertex = self.seal(order)
        delay = self.world.random.randrange(0, 4)
        if order.header.round > self.disk.reserved_round:
            self.disk.reserved_round = order.header.round + self.world.scenario.reserve_rounds - 1
            delay = self.world.random.randrange(5, 25)
        self.world.at(delay, self._durable, self.life, vertex)

    def seal(self, order: Propose) -> Vertex:
        """Sign a proposal."""
        keys = self.world.keys
        share = keys.share(self.seat, order.coin_round) if order.coin_round else b""
        return seal_vertex(order.header, order.body, share, sign_vertex(keys, self.seat))

    def _durable(self, life: int, vertex: Vertex) -> None:
        if self.running and self.life == life:
            self.disk.signed.append(vertex)
            self.disk.keep(vertex)
            if vertex.round + self.world.scenario.reserve_rounds - 1 == self.disk.reserved_round:
                self.disk.sync()
            self.feed(OwnVertexDurable(vertex))

    def broadcast(self, vertex: Vertex) -> None:
        """Send an own vertex to all."""
        for peer in range(self.committee.size):
            self.send_vertex(peer, vertex)

    def send_vertex(self, peer: int, vertex: Vertex) -> None:
        """Send a vertex to one peer."""
        if vertex.author == self.seat:
            self.sent.setdefault(vertex.round, set()).add(vertex.id)
        self.world.send(self.seat, peer, self.world.nodes[peer].receive_vertex, vertex, self.seat)

    # --- messages from peers

    def receive_vertex(self, vertex: Vertex, sender: int) -> None:
        """A vertex arrives, as its bytes would."""
        self.world.admit(vertex)
        self._admitted(vertex, sender)

    def receive_frame(self, frame: bytes, sender: int) -> None:
        """Bytes arrive of which somebody says that they are a vertex."""
        try:
            vertex = decode_vertex(frame)
            self.world.admit(vertex)
        except InvalidInput as error:
            self.refused[type(error).__name__] += 1
        else:
            self._admitted(vertex, sender)

    def _admitted(self, vertex: Vertex, sender: int) -> None:
        self.world.note(vertex.id)
        self.feed(VertexReceived(vertex, self.committee.seats[sender]))

    def receive_batch(self, batch: SimBatch) -> None:
        """The bytes of a batch arrive."""
        self.disk.batches[batch.id] = batch
        self.feed(BatchStored(batch.id, batch.author, batch.count, batch.size))
        self.ledger.go_on()

    def receive_range_end(self, sender: int, to_round: int) -> None:
        """A peer has answered a range."""
        self.feed(RangeEnded(self.committee.seats[sender], to_round))

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        """Answer from block storage."""
        for id in ids:
            vertex = self.disk.vertices.get(id)
            if vertex is not None:
                self.send_vertex(asker, vertex)

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        """Answer from block storage, in (round, author) order, up to what one answer may hold."""
        sent, round = 0, from_round
        while round <= to_round and sent < RANGE_VERTICES_MAX:
            for vertex in self.disk.round_of(round):
                self.send_vertex(asker, vertex)
                sent += 1
            round += 1
        self.world.send(self.seat, asker, self.world.nodes[asker].receive_range_end, self.seat, round - 1)

    def serve_batch(self, asker: int, id: bytes) -> None:
        """Answer from block storage."""
        batch = self.disk.batches.get(id)
        if batch is not None:
            self.world.send(self.seat, asker, self.world.nodes[asker].receive_batch, batch)

    # --- batches and blocks

    def make_batch(self, number: int) -> None:
        """A client of this node fills a batch. While the node is down, the client tries again later."""
        if not self.running:
            self.world.at(500, self.make_batch, number)
            return
        batch = SimBatch(self.seat, number)
        self.disk.own_batches[batch.id] = batch
        self.disk.batches[batch.id] = batch
        self.send_batch(batch)
        self.feed(OwnBatchReady(batch.id, batch.count, batch.size))

    def send_batch(self, batch: SimBatch) -> None:
        """Send the bytes to all."""
        for peer in range(self.committee.size):
            self.world.send(self.seat, peer, self.world.nodes[peer].receive_batch, batch)

    def _checked(self, life: int, id: bytes) -> None:
        if self.running and self.life == life:
            self.feed(BatchChecked(id, None if self.disk.batches[id].good else 0))

    def _note_commit(self, draft: CommitDraft) -> None:
        if draft.height <= len(self.disk.blocks):
            return  # a replay
        reached = self.state.store.quorum_round
        self.commit_rounds.update(
            reached - vertex.round for vertex in draft.vertices if vertex.author == self.seat and not vertex.void
        )
        if draft.time_ms > max(self.world.now_ms, START_MS) + draft.height:
            self.troubles.append(f"commit time {draft.time_ms} of height {draft.height} lies ahead of honest clocks")

    def way(self, height: int) -> int | None:
        """How to come to the state of a height now; None: wait for its delta."""
        seat, size = self.own_seat, self.committee.size
        if not self.world.scenario.split or seat is None or seat in executors(self.committee.anchor, size, height):
            return EXECUTED
        if self.ledger.applied_root(height) is not None:
            return APPLIED
        return EXECUTED if self.ledger.is_overdue(height) else None

    def execute(self, parent_root: bytes, draft: CommitDraft) -> bytes:
        """The state root after a block."""
        return H("sim.root", parent_root, *(batch.id for batch in draft.batches))

    def _take_snapshot(self, effects: tuple[Effect, ...]) -> None:
        if self.state.height >= self.snapshot_height + limits.ORDERING_SNAPSHOT_EVERY and any(
            isinstance(effect, Commit) for effect in effects
        ):
            self.snapshot_height = self.state.height
            self.ledger.keep_snapshot(self.state.height, snapshot(self.state))

    # --- what the checks ask

    def accusations(self) -> set[tuple[int, str]]:
        """Whom this node holds proofs against, and of what."""
        found = set()
        for evidence in self.accused:
            signed = evidence.first if isinstance(evidence, Equivocation) else evidence.header
            found.add((decode(signed.header, VertexHeader).author, type(evidence).__name__))
        return found
