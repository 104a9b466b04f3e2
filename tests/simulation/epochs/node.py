"""A node of an epoch simulation: the real ordering core, the real coin holder, and a shell that moves between epochs.

A node of the committee orders. One outside follows: either it runs the same core without a seat (`follow`), or it asks
now and then for a certificate, and for records of closed epochs, and takes over the state that they prove.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, assert_never

from epoch_double import NodeKeys
from epochs.blocks import Blocks
from epochs.disk import GENESIS_BLOCK, Bundle, Disk
from epochs.duties import Duties

from octra.codec import encode
from octra.consensus import coin
from octra.consensus.certificate import Certificate, verify_certificate
from octra.consensus.dag.core import DagState, OrderingParams, step
from octra.consensus.effects import (
    Broadcast,
    CertificateReady,
    Certified,
    CheckBatch,
    CloseEpoch,
    CombineBeacon,
    CombineCoin,
    Commit,
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
from octra.consensus.epoch import Committee, EpochRecord, Pace
from octra.consensus.errors import InvalidCertificate, InvalidVertex
from octra.consensus.events import (
    BatchChecked,
    BatchStored,
    EpochOpened,
    Event,
    Executed,
    LaterEpochSeen,
    OwnBatchReady,
    OwnVertexDurable,
    PeerConnected,
    RangeEnded,
    Ticked,
    VertexReceived,
)
from octra.consensus.evidence import judge
from octra.consensus.ledger import epochs, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.coin_holder import CoinDuty
from octra.consensus.vertex import Vertex, seal_vertex
from octra.crypto import bls
from octra.crypto.hash import H
from octra.primitives import NodeId

if TYPE_CHECKING:
    from epochs.world import EpochWorld

TICK_MS, BATCH_MS, POLL_MS = 50, 250, 1_000
HELD_MAX = 512
RANGE_VERTICES_MAX = 512


class EpochNode:
    """An honest node."""

    honest = True

    def __init__(self, world: EpochWorld, number: int, keys: NodeKeys) -> None:
        self.world, self.number, self.keys = world, number, keys
        self.disk = Disk(handed=[(world.genesis_record, None)], head=(0, GENESIS_BLOCK, world.ledger.genesis_root))
        self.pool: dict[bytes, bytes] = {}
        self.running, self.life = False, 0
        self.troubles: list[str] = []
        self.refused: Counter[str] = Counter()  # messages that were refused, by the class of the error
        self.accused: set[tuple[bytes, str]] = set()  # nodes that this one holds proofs against, and of what
        self.duties = Duties(self)
        self.state: DagState | None = None

    # --- where it is ---

    @property
    def record(self) -> EpochRecord:
        return self.disk.handed[-1][0]

    @property
    def epoch(self) -> int:
        return self.record.epoch

    @property
    def view(self):  # type: ignore[no-untyped-def]  # a MemoryView of the unit tests
        return self.world.ledger.states[self.disk.head[2]]

    # --- life ---

    def start(self) -> None:
        """Start or restart from what the disk holds."""
        self.life += 1
        self.running = True
        self.inbox: deque[Event] = deque()
        self.blocks = Blocks(self)
        self.held: list[tuple[Vertex, int]] = []
        self.own: dict[bytes, Bundle] = {}
        self.certificate: Certificate | None = None
        self.duties.restart()
        self._enter(restart=True)
        self._every(TICK_MS, self._tick)
        self._every(BATCH_MS, self._make_bundle)
        self._every(POLL_MS, self._poll)

    def crash(self) -> None:
        """The process is gone, and with it all that is not on disk."""
        self.running = False
        self.state = None
        self.pool.clear()

    def _every(self, ms: int, action) -> None:  # type: ignore[no-untyped-def]  # any method without arguments
        life = self.life

        def again() -> None:
            if self.running and self.life == life:
                action()
                self.world.at(ms, again)

        self.world.at(self.world.random.randrange(ms), again)

    def _tick(self) -> None:
        if self.state is not None:
            self.feed(Ticked(self.world.now_ms))

    # --- from epoch to epoch ---

    def _enter(self, *, restart: bool) -> None:
        """Take the place that the current record gives."""
        record, head = self.record, self.disk.head
        self.committee: Committee = self.world.ledger.committee(record.state_root if record.epoch else head[2], record)
        self.seat = self.committee.seat_of(self.keys.id)
        self.secret = self._coin_secret()
        self.certificate = None
        self.blocks.forget()
        self.own.clear()
        if self.seat is None and not self.world.follow:
            self.state = None
        else:
            start_ms, pace = record.close_time_ms, Pace(self.world.plan.pace_ms, 2 * self.world.plan.pace_ms)
            params = OrderingParams(start_ms, pace, record.close_height, start_ms + self.world.ledger.params.epoch_ms)
            # A seat without its share of the coin follows until it has one: it could not make a valid vertex.
            own_seat = self.seat if self.secret is not None else None
            resume = self.disk.signed_round.get(record.id, 0)
            if restart or self.state is None:
                self.state = DagState.create(self.committee, own_seat, params, resume_round=resume)
            else:
                self.feed(EpochOpened(self.committee, own_seat, params, resume))
            self.feed(Executed(*head))
            stored = self.disk.vertices.setdefault(record.id, {})
            for vertex in sorted(stored.values(), key=lambda one: (one.round, one.author, one.id)):
                self.feed(VertexReceived(vertex, None))
            for bundle in self.disk.bundles.values():
                if bundle.anchor == record.id and bundle.author == self.seat and own_seat is not None:
                    self._offer(bundle)
        held, self.held = self.held, []
        for vertex, sender in held:
            self.receive_vertex(vertex, sender)

    def _coin_secret(self) -> bls.SecretScalar | None:
        if self.seat is None:
            return None
        state = epochs.epoch_of(self.view)
        assert state is not None
        fresh = self.record.coin_group_key_next != state.coin.group_key  # its epoch has no block yet
        dealt_for = self.record.epoch if fresh else state.coin_epoch
        if dealt_for == 0:
            return self.world.dealt_coin(self.keys.id)
        return self.keys.holder.coin_secret(self.view, dealt_for)

    def _open(self, record: EpochRecord, certificate: Certificate) -> None:
        """The next epoch begins here."""
        self.disk.handed.append((record, certificate))
        for bundle in self.own.values():  # what was not executed waits for the next committee
            for item in bundle.items:
                self.pool[tx.decode_item(item).id] = item
        self._enter(restart=False)
        self.duties.vote()
        for peer in self.world.sample(3):
            self.world.send(self.number, peer, "receive_hand_over", record, certificate)
        if self.seat is None:
            self._forward()

    def receive_hand_over(self, record: EpochRecord, certificate: Certificate) -> None:
        """Proof that our epoch is closed, and what comes next."""
        if record.epoch != self.epoch + 1 or record.previous != self.record.id:
            return
        try:
            claim = verify_certificate(certificate, self.committee)
        except InvalidCertificate as error:
            self.refused[type(error).__name__] += 1
            return
        same = (claim.height, claim.block_id, claim.state_root) == (
            record.close_height,
            record.close_block,
            record.state_root,
        )
        if not same or not coin.beacon_is_valid(self.committee, record.beacon_signature):
            self.refused["EpochRecord"] += 1
            return
        if self.world.ledger.record(record.state_root, record.close_block, record.beacon_signature) != record:
            return
        if self.state is not None and self.disk.head[0] < record.close_height and self.world.follow:
            return  # it follows by itself
        self.disk.head = (claim.height, claim.block_id, claim.state_root)  # a snapshot of the certified state
        self.disk.blocks[claim.height] = (b"", claim.block_id, claim.state_root)
        self._open(record, certificate)

    # --- outside the committee ---

    def _poll(self) -> None:
        if self.state is None:
            for peer in self.world.sample(1):
                self.world.send(self.number, peer, "serve_poll", self.number, self.epoch)
        self.duties.look()

    def serve_poll(self, asker: int, epoch: int) -> None:
        """Tell what came after an epoch, or the newest certificate of the running one."""
        for record, certificate in self.disk.handed[epoch + 1 : epoch + 4]:
            assert certificate is not None
            self.world.send(self.number, asker, "receive_hand_over", record, certificate)
        if epoch == self.epoch and self.certificate is not None:
            self.world.send(self.number, asker, "receive_certificate", self.certificate)

    def receive_certificate(self, certificate: Certificate) -> None:
        """A quorum stands behind a later state of this epoch: take it over."""
        if self.state is not None or certificate.anchor != self.committee.anchor:
            return
        claim = verify_certificate(certificate, self.committee)
        if claim.height > self.disk.head[0]:
            self.disk.head = (claim.height, claim.block_id, claim.state_root)
            self.disk.blocks[claim.height] = (b"", claim.block_id, claim.state_root)
            self.duties.look()

    # --- events and effects ---

    def feed(self, event: Event) -> None:
        """Give the core a fact and do what it orders; facts that arise meanwhile wait their turn."""
        self.inbox.append(event)
        if len(self.inbox) > 1:
            return
        while self.inbox:
            fact = self.inbox[0]
            if self.state is None:
                self.inbox.clear()
                return
            self.state, effects = step(self.state, fact)
            if isinstance(fact, VertexReceived) and self.state.holds(fact.vertex.id):
                self._keep(fact.vertex)
            for effect in effects:
                self.perform(effect)
            self.inbox.popleft()

    def _keep(self, vertex: Vertex) -> None:
        self.disk.vertices.setdefault(vertex.header.anchor, {})[vertex.id] = vertex

    def perform(self, effect: Effect) -> None:
        """What the shell of the daemon does, in virtual time."""
        world, life, anchor = self.world, self.life, self.committee.anchor
        match effect:
            case Propose():
                vertex = self.seal(effect)
                world.at(world.random.randrange(1, 8), self._durable, life, vertex)
            case Broadcast(vertex):
                self.broadcast(vertex)
            case SendVertices(peer, vertices):
                for vertex in vertices:
                    self.send_vertex(self.world.number_of(peer), vertex)
            case FetchVertices(peer, ids):
                self._ask(peer, "serve_vertices", anchor, ids)
            case FetchRange(peer, from_round, to_round):
                self._ask(peer, "serve_range", anchor, from_round, to_round)
            case FetchBatch(peer, id):
                if id in self.disk.bundles:
                    self.feed(_stored(self.disk.bundles[id]))
                else:
                    self._ask(peer, "serve_bundle", id)
            case CheckBatch(id):
                world.at(world.random.randrange(1, 6), self._later, life, anchor, BatchChecked(id, None))
            case CombineCoin(round, shares):
                answer = world.coins.reveal(self.committee, round, shares)
                world.at(world.random.randrange(1, 5), self._later, life, anchor, answer)
            case CombineBeacon(shares):
                beacon = world.coins.reveal_beacon(self.committee, shares)
                world.at(world.random.randrange(1, 5), self._later, life, anchor, beacon)
            case Commit(draft):
                self.blocks.commit(draft)
            case CertificateReady(_, certificate):
                self.certificate = certificate
            case EpochEnded(height, certificate, signature):
                _, block_id, root = self.disk.head
                assert self.disk.head[0] == height
                record = world.ledger.record(root, block_id, signature)
                world.at(0, self._ended, life, record, certificate)
            case Diverged(height):
                self.troubles.append(f"diverged at {height}")
            case Halt(reason):
                self.troubles.append(f"halt: {reason}")
            case RecordEvidence(evidence):
                seat, kind = judge(evidence, self.committee), type(evidence).__name__
                self.accused.add((self.committee.seats[seat], kind))
            case CloseEpoch() | Certified() | Prune():
                pass
            case DeltaCertified() | DeltaOverdue():
                raise AssertionError("every seat of this simulation executes")
            case _:
                assert_never(effect)

    def _ended(self, life: int, record: EpochRecord, certificate: Certificate) -> None:
        if self.running and self.life == life and record.epoch == self.epoch + 1:
            self._open(record, certificate)

    def _later(self, life: int, anchor: bytes, event: Event) -> None:
        if self.running and self.life == life and self.state is not None and anchor == self.committee.anchor:
            self.feed(event)

    def _ask(self, peer: bytes, question: str, *arguments: object) -> None:
        number = self.world.number_of(peer)
        if number != self.number:
            self.world.send(self.number, number, question, self.number, *arguments)

    # --- vertices ---

    def seal(self, order: Propose) -> Vertex:
        """Sign a proposal."""
        assert self.secret is not None
        assert self.seat is not None
        anchor = self.committee.anchor
        share = beacon = b""
        if order.coin_round:
            share = coin.make_share(self.secret, anchor, order.coin_round)
            self.world.coins.note(anchor, order.coin_round, self.seat, share)
        if order.beacon:
            beacon = coin.make_beacon_share(self.secret, anchor)
            self.world.coins.note(anchor, 0, self.seat, beacon)
        return seal_vertex(order.header, order.body, share, self.keys.node.sign, beacon)

    def _durable(self, life: int, vertex: Vertex) -> None:
        if self.running and self.life == life and vertex.header.anchor == self.committee.anchor:
            signed = self.disk.signed_round
            if vertex.round <= signed.get(vertex.header.anchor, 0):
                self.troubles.append(f"round {vertex.round} signed twice")
            signed[vertex.header.anchor] = vertex.round
            self._keep(vertex)
            self.feed(OwnVertexDurable(vertex))

    def broadcast(self, vertex: Vertex) -> None:
        """Send an own vertex to the committee, and to all where all follow."""
        for peer in self.world.audience(self.committee):
            self.send_vertex(peer, vertex)

    def send_vertex(self, peer: int, vertex: Vertex) -> None:
        """Send a vertex to one peer."""
        self.world.send(self.number, peer, "receive_vertex", vertex, self.number)

    def receive_vertex(self, vertex: Vertex, sender: int) -> None:
        """The border: what belongs to a committee that we do not know yet is held."""
        anchor = vertex.header.anchor
        if anchor == self.committee.anchor:
            if self.state is None:
                return
            try:
                self.world.admit(vertex, self.committee)
            except InvalidVertex as error:
                self.refused[type(error).__name__] += 1
            else:
                self.feed(VertexReceived(vertex, NodeId(self.world.nodes[sender].keys.id)))
        elif all(anchor != record.id for record, _ in self.disk.handed):
            if len(self.held) < HELD_MAX:
                self.held.append((vertex, sender))
            if self.state is not None:
                self.feed(LaterEpochSeen(NodeId(self.world.nodes[sender].keys.id)))

    def serve_vertices(self, asker: int, anchor: bytes, ids: tuple[bytes, ...]) -> None:
        """Answer from block storage."""
        for id in ids:
            vertex = self.disk.vertices.get(anchor, {}).get(id)
            if vertex is not None:
                self.send_vertex(asker, vertex)

    def serve_range(self, asker: int, anchor: bytes, from_round: int, to_round: int) -> None:
        """Answer from block storage, in (round, author) order."""
        stored = self.disk.vertices.get(anchor, {}).values()
        found = sorted(
            (one for one in stored if from_round <= one.round <= to_round), key=lambda v: (v.round, v.author)
        )
        for vertex in found[:RANGE_VERTICES_MAX]:
            self.send_vertex(asker, vertex)
        last = found[RANGE_VERTICES_MAX].round - 1 if len(found) > RANGE_VERTICES_MAX else to_round
        self.world.send(self.number, asker, "receive_range_end", self.number, anchor, last)

    def receive_range_end(self, sender: int, anchor: bytes, to_round: int) -> None:
        """A peer has answered a range."""
        if self.state is not None and anchor == self.committee.anchor:
            self.feed(RangeEnded(NodeId(self.world.nodes[sender].keys.id), to_round))

    def connected(self, peer: int) -> None:
        """A link is up again."""
        if self.state is not None and self.running:
            self.feed(PeerConnected(NodeId(self.world.nodes[peer].keys.id)))

    # --- items and bundles ---

    def submit(self, item: bytes) -> None:
        """A client's transaction."""
        self.pool[tx.decode_item(item).id] = item
        if self.seat is None:
            self._forward()

    def _forward(self) -> None:
        """Outside the committee, items go to two of its seats."""
        seats = [self.world.number_of(node) for node in self.committee.seats]
        for item in self.pool.values():
            for peer in self.world.random.sample(seats, min(2, len(seats))):
                self.world.send(self.number, peer, "submit_forwarded", item)
        self.pool.clear()

    def submit_forwarded(self, item: bytes) -> None:
        """From a node outside; forwarded once only."""
        if self.seat is not None:
            self.pool[tx.decode_item(item).id] = item

    def _make_bundle(self) -> None:
        if self.state is None or self.state.own is None or not self.pool or self.state.closing.decided:
            return
        assert self.seat is not None
        items = tuple(self.pool.values())[:200]
        self.pool = dict(list(self.pool.items())[200:])
        anchor = self.committee.anchor
        bundle = Bundle(H("sim.bundle", anchor, bytes([self.seat]), encode(items)), anchor, self.seat, items)
        self.disk.bundles[bundle.id] = bundle
        for peer in self.world.audience(self.committee):
            self.world.send(self.number, peer, "receive_bundle", bundle)
        self._offer(bundle)

    def _offer(self, bundle: Bundle) -> None:
        self.own[bundle.id] = bundle
        self.feed(OwnBatchReady(bundle.id, len(bundle.items), 100))

    def receive_bundle(self, bundle: Bundle) -> None:
        """The bytes of a batch arrive."""
        self.disk.bundles[bundle.id] = bundle
        if self.state is not None and bundle.anchor == self.committee.anchor:
            self.feed(_stored(bundle))
            self.blocks.go_on()

    def serve_bundle(self, asker: int, id: bytes) -> None:
        """Answer from block storage."""
        if id in self.disk.bundles:
            self.world.send(self.number, asker, "receive_bundle", self.disk.bundles[id])

    # --- blocks ---

    def claimed(self, root: bytes) -> bytes:
        """The root as this node tells it."""
        return root

    def look_for_share(self) -> None:
        """A repaired share makes a seat of a follower: from the next epoch, or the next start, on."""
        if self.seat is not None and self.secret is None:
            self.secret = self._coin_secret()

    # --- what it says by itself ---

    def coin_answer(self, duty: CoinDuty) -> ops.Op:
        """What the node says about a coin."""
        return self.keys.holder.answer(self.view, duty)

    def node_item(self, op: ops.Op) -> bytes:
        """A signed operation of the node itself."""
        chain, expiry = self.world.ledger.params.chain, self.epoch + 10
        body = tx.build(chain=chain, sender=self.keys.id, nonce=1, expiry_epoch=expiry, fee=0, op=op)
        return tx.sign(body, self.keys.node)

    def checkpoint_part(self, part: bytes) -> bytes:
        """What is sent as the signature of a close."""
        return part

    def receive_part(self, opened: int, node: bytes, part: bytes) -> None:
        """A part of a checkpoint."""
        self.duties.receive_part(opened, node, part)


def _stored(bundle: Bundle) -> BatchStored:
    return BatchStored(bundle.id, bundle.author, len(bundle.items), 100)
