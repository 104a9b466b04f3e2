"""A node of the simulation: the real core, and a shell with a disk that survives crashes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from ordering.world import World, sign_vertex

from octra.codec import decode, encode
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
from octra.consensus.vertex import Vertex, VertexHeader, admit_vertex, check_vertex, encode_vertex, seal_vertex
from octra.crypto.hash import H

TICK_MS = 25
HURRIED = Pace(15, 30)
RANGE_VERTICES_MAX = 512
GENESIS = (H("sim.block", b"genesis"), H("sim.root", b"genesis"))


@dataclass(frozen=True)
class SimBatch:
    """A batch of which only the name matters. `good`: would its static check pass?"""

    id: bytes
    author: int
    count: int = 1
    size: int = 100
    good: bool = True


@dataclass(frozen=True)
class Block:
    """An executed block; the state root is a hash chain over the batches."""

    draft: CommitDraft
    digest: bytes
    block_id: bytes
    state_root: bytes


@dataclass
class Disk:
    """What a restart finds."""

    vertices: dict[bytes, Vertex] = field(default_factory=dict)
    rounds: dict[int, list[bytes]] = field(default_factory=dict)
    signed: list[Vertex] = field(default_factory=list)  # the sign log
    synced_signed: int = 0  # entries of the sign log that a power cut leaves
    synced_vertices: int = 0  # entries of `vertices` that it leaves
    reserved_round: int = 0
    batches: dict[bytes, SimBatch] = field(default_factory=dict)
    own_batches: dict[bytes, SimBatch] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    snapshot: bytes | None = None

    def sync(self) -> None:
        """What we sign over must be as durable as our signature: if all seats lose power, nobody else may have it."""
        self.synced_signed, self.synced_vertices = len(self.signed), len(self.vertices)

    def keep(self, vertex: Vertex) -> None:
        """Store an admitted vertex."""
        if vertex.id not in self.vertices:
            self.vertices[vertex.id] = vertex
            self.rounds.setdefault(vertex.round, []).append(vertex.id)


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

    # --- life

    def start(self) -> None:
        """Start or restart from what the disk holds."""
        self.life += 1
        self.running = True
        self.inbox: deque[Event] = deque()
        self.commits: deque[CommitDraft] = deque()
        self.executing = False
        self.pending_snapshot: tuple[int, bytes] | None = None
        disk, params = self.disk, OrderingParams(1_000, HURRIED if self.world.scenario.hurried else None)
        for vertex in disk.signed:  # peers may wait for one that only the sign log still has
            disk.keep(vertex)
        self.resume_round = self._resume_round()
        if disk.snapshot is None:
            self.state = DagState.create(self.committee, self.own_seat, params, resume_round=self.resume_round)
        else:
            self.state = restore(disk.snapshot, self.committee, self.own_seat, params, resume_round=self.resume_round)
        self.snapshot_height = self.state.height
        if disk.blocks:
            head = disk.blocks[-1]
            self.feed(Executed(head.draft.height, head.block_id, head.state_root))
        else:
            self.feed(Executed(0, *GENESIS))
        for round in sorted(disk.rounds):
            if round > self.state.floor:
                for id in sorted(disk.rounds[round], key=lambda id: (disk.vertices[id].author, id)):
                    self.feed(VertexReceived(disk.vertices[id], None))
        for batch in disk.own_batches.values():
            if self.own_seat is not None and not self._is_executed(batch.id):
                self.feed(OwnBatchReady(batch.id, batch.count, batch.size))
        self._tick(self.life)

    def crash(self, *, power: bool) -> None:
        """The process is gone; with `power`, so is the end of what it wrote without syncing."""
        self.running = False
        if power:
            random, disk = self.world.random, self.disk
            unsynced = disk.signed[disk.synced_signed :]
            lost = {vertex.id for vertex in unsynced[random.randint(0, len(unsynced)) :]}
            disk.signed = [vertex for vertex in disk.signed if vertex.id not in lost]
            lost |= {id for id in list(disk.vertices)[disk.synced_vertices :] if random.random() < 0.5}
            for id in lost & disk.vertices.keys():
                disk.rounds[disk.vertices.pop(id).round].remove(id)
            disk.sync()
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
                self._commit(draft)
            case Certified(height):
                self.certified_height = height
            case CertificateReady():
                self.certificates += 1
            case RecordEvidence(evidence):
                self.accused.append(evidence)
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
        """The border: only admitted vertices reach the core."""
        if self.world.scenario.real_crypto:
            vertex = admit_vertex(encode_vertex(vertex), self.committee)
        else:
            check_vertex(vertex, self.committee)
        self.world.note(vertex.id)
        self.feed(VertexReceived(vertex, self.committee.seats[sender]))

    def receive_batch(self, batch: SimBatch) -> None:
        """The bytes of a batch arrive."""
        self.disk.batches[batch.id] = batch
        self.feed(BatchStored(batch.id, batch.author, batch.count, batch.size))
        self._execute()

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
            for id in sorted(self.disk.rounds.get(round, ()), key=lambda id: (self.disk.vertices[id].author, id)):
                self.send_vertex(asker, self.disk.vertices[id])
                sent += 1
            round += 1
        self.world.send(self.seat, asker, self.world.nodes[asker].receive_range_end, self.seat, round - 1)

    def serve_batch(self, asker: int, id: bytes) -> None:
        """Answer from block storage."""
        batch = self.disk.batches.get(id)
        if batch is not None:
            self.world.send(self.seat, asker, self.world.nodes[asker].receive_batch, batch)

    # --- batches and blocks

    def batch_id(self, number: int) -> bytes:
        """The name of the number-th batch of this seat's clients."""
        return H("sim.batch", bytes([self.seat]), number.to_bytes(4, "little"))

    def make_batch(self, number: int) -> None:
        """A client of this node fills a batch. While the node is down, the client tries again later."""
        if not self.running:
            self.world.at(500, self.make_batch, number)
            return
        batch = SimBatch(self.batch_id(number), self.seat)
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

    def _commit(self, draft: CommitDraft) -> None:
        self.commits.append(draft)
        self._execute()

    def _execute(self) -> None:
        """Execute committed blocks in order, as soon as the bytes of their batches are there."""
        while self.commits and not self.executing:
            draft = self.commits[0]
            if draft.height <= len(self.disk.blocks):  # a replay
                if self.disk.blocks[draft.height - 1].digest != H("sim.draft", encode(draft)):
                    self.troubles.append(f"replay diverged at {draft.height}")
                self.commits.popleft()
                continue
            if draft.height != len(self.disk.blocks) + 1:
                self.troubles.append(f"gap before height {draft.height}")
            if any(batch.id not in self.disk.batches for batch in draft.batches):
                return
            self.executing = True
            self.world.at(self.world.random.randrange(1, 8), self._executed, self.life)

    def _executed(self, life: int) -> None:
        if not self.running or self.life != life:
            return
        draft = self.commits.popleft()
        parent_id, parent_root = GENESIS
        if self.disk.blocks:
            parent_id, parent_root = self.disk.blocks[-1].block_id, self.disk.blocks[-1].state_root
        digest = H("sim.draft", encode(draft))
        root = self.execute(parent_root, draft)
        block = Block(draft, digest, H("sim.block", parent_id, digest, root), root)
        self.disk.blocks.append(block)
        if self.pending_snapshot is not None and self.pending_snapshot[0] <= draft.height:
            self.disk.snapshot = self.pending_snapshot[1]
            self.pending_snapshot = None
        self.world.note(self.seat, draft.height, block.block_id)
        self.executing = False
        self.feed(Executed(draft.height, block.block_id, root))
        self._execute()

    def execute(self, parent_root: bytes, draft: CommitDraft) -> bytes:
        """The state root after a block."""
        return H("sim.root", parent_root, *(batch.id for batch in draft.batches))

    def _take_snapshot(self, effects: tuple[Effect, ...]) -> None:
        if self.state.height >= self.snapshot_height + limits.ORDERING_SNAPSHOT_EVERY and any(
            isinstance(effect, Commit) for effect in effects
        ):
            self.snapshot_height = self.state.height
            self.pending_snapshot = (self.state.height, snapshot(self.state))

    def _is_executed(self, id: bytes) -> bool:
        return any(batch.id == id for block in self.disk.blocks for batch in block.draft.batches)

    # --- what the checks ask

    def executed_batches(self) -> list[bytes]:
        """Every batch this node executed, in order."""
        return [batch.id for block in self.disk.blocks for batch in block.draft.batches]

    def accused_seats(self) -> set[int]:
        """Whom this node holds equivocation proofs against."""
        seats = set()
        for evidence in self.accused:
            if isinstance(evidence, Equivocation):
                seats.add(decode(evidence.first.header, VertexHeader).author)
        return seats
