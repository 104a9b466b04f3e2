"""Shell of the ordering core: feeds it facts from the network and performs its orders, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from octra.codec import decode, encode
from octra.consensus import coin, effects, events, limits
from octra.consensus.certificate import BlockHeader
from octra.consensus.dag import core
from octra.consensus.errors import SnapshotUnusable
from octra.consensus.evidence import encode_evidence
from octra.consensus.vertex import Vertex, admit_vertex, check_signature, decode_vertex, encode_vertex, seal_vertex
from octra.crypto.hash import H
from octra.errors import Corrupt, Unavailable
from octra.node.actors.messages import EpochBegan, Execute, RootCertified, WantBatch, WantCheck
from octra.node.actors.ref import ActorCode, Context, RefusalCode
from octra.node.p2p.messages import IdList, OrderingMessage, RangeAnswer, RangeRequest, VertexList
from octra.node.p2p.short import Incoming, LinkGone, body_size_max
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.primitives import NodeId
from octra.storage.blocks import CertificateKind, VertexPlace
from octra.storage.errors import RoundClosed
from octra.storage.kv import Batch, Family
from octra.storage.sign_log import SignKind, may_sign

TICK_MS = 20
DAG_EPOCH = 0  # one committee, so one DAG for the life of the chain
SNAPSHOT_KEY = b"ordering"
VERTICES_ASKED_MAX = 128  # ids in one request that are answered
ASK_MS = 2_000


@dataclass(frozen=True, slots=True)
class Tick:
    """Time for the core to look at the clock."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A peer's answer to a range request."""

    peer: NodeId
    answer: RangeAnswer


class OrderingDiverged(Corrupt):
    """A replay of our own vertices orders them otherwise than the stored blocks say."""


class HaltOrdered(Corrupt):
    """The core says that going on would harm: our own seat signs elsewhere."""


Message = events.Event | Incoming | Tick | Replayed | EpochBegan


class OrderingActor:
    """Owns the DAG. Everything else learns of the order through the ledger actor."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router = parts.facts, parts.stores, parts.router
        self._committee, self._board = parts.facts.committee, parts.board
        self._state: core.DagState
        self._boundaries_seen = 0
        self._snapshot_height = 0
        self._queue: deque[events.Event] = deque()

    async def start(self, context: Context) -> None:
        """Bring the core back to where its stored vertices lead, then begin to speak."""
        self._context = context
        self._ledger, self._mempool = context.ref(ActorCode.LEDGER), context.ref(ActorCode.MEMPOOL)
        self._epoch = self._stores.state.head.epoch if self._stores.state.head else 0
        await self._rebuild()
        self._tick()

    async def stop(self, deadline_ms: int) -> None:
        """Nothing to put down: vertices are stored as they come."""
        self._stores.signed.sync()

    async def receive(self, batch: Sequence[Message]) -> None:
        """Handle what waited."""
        for message in batch:
            with self._context.guard(message):
                match message:
                    case Tick():
                        await self._feed(events.Ticked(self._context.clock.wall_ms()))
                        self._board.round, self._board.lag_rounds = self._state.quorum_round, self._state.lag_rounds
                        self._tick()
                    case Incoming():
                        await self._incoming(message)
                    case Replayed(peer, answer):
                        for frame in answer.frames:
                            await self._admit(frame, peer)
                        await self._feed(events.RangeEnded(peer, answer.to_round))
                    case EpochBegan(epoch, _):
                        await self._epoch_began(epoch)
                    case _:
                        await self._feed(message)

    # --- facts from peers ---

    async def _incoming(self, message: Incoming) -> None:
        match message.message:
            case OrderingMessage.VERTICES:
                for frame in decode(message.body, VertexList).frames:
                    await self._admit(frame, message.peer)
            case OrderingMessage.FETCH_VERTICES:
                ids = decode(message.body, IdList).ids[:VERTICES_ASKED_MAX]
                frames = [found for id in ids if (found := self._stores.blocks.vertex(id)) is not None]
                self._send_frames(message.peer, frames)
            case OrderingMessage.FETCH_RANGE:
                message.reply(encode(self._range(decode(message.body, RangeRequest))))
            case _:
                message.refuse(RefusalCode.UNKNOWN)

    async def _admit(self, frame: bytes, peer: NodeId) -> None:
        vertex = decode_vertex(frame)
        if self._stores.blocks.vertex_place(vertex.id) is not None:
            check_signature(vertex, self._committee)
            await self._feed(events.VertexReceived(vertex, peer))
            return
        vertex, floor = admit_vertex(frame, self._committee), self._state.floor
        orders = self._step(events.VertexReceived(vertex, peer))
        # What the core does not take is not stored: a seat that makes twins without end fills no disk. One vertex may
        # complete so much that the floor passes it at once: then it is in the order.
        if self._state.holds(vertex.id) or floor < vertex.round <= self._state.floor:
            self._store(vertex, frame)
        await self._carry_out(orders)

    def _range(self, request: RangeRequest) -> RangeAnswer:
        limit = body_size_max(Lane.BULK) - 4_096
        found = self._stores.blocks.vertices(DAG_EPOCH, request.from_round, request.to_round, bytes_max=limit)
        frames = tuple(frame for _, frame in found.vertices)
        return RangeAnswer(frames, request.to_round if found.next is None else found.next.round - 1)

    # --- the core ---

    async def _feed(self, event: events.Event) -> None:
        await self._carry_out(self._step(event))

    def _step(self, event: events.Event) -> Sequence[effects.Effect]:
        self._state, orders = core.step(self._state, event)
        return orders

    async def _carry_out(self, orders: Sequence[effects.Effect]) -> None:
        """Perform orders, and those of the events that they bring: each with all its effects before the next."""
        for order in orders:
            await self._perform(order)
        while self._queue:
            for order in self._step(self._queue.popleft()):
                await self._perform(order)

    async def _perform(self, order: effects.Effect) -> None:
        match order:
            case effects.Propose():
                await self._propose(order)
            case effects.Broadcast(vertex):
                self._router.broadcast(
                    Lane.CONSENSUS, ActorCode.ORDERING, OrderingMessage.VERTICES, _list([encode_vertex(vertex)])
                )
            case effects.SendVertices(peer, vertices):
                self._send_frames(peer, [encode_vertex(vertex) for vertex in vertices])
            case effects.FetchVertices(peer, ids):
                body = encode(IdList(ids))
                self._router.tell(peer, Lane.REQUEST, ActorCode.ORDERING, OrderingMessage.FETCH_VERTICES, body)
            case effects.FetchRange(peer, from_round, to_round):
                self._context.spawn(self._fetch_range(peer, RangeRequest(from_round, to_round)))
            case effects.FetchBatch(peer, id):
                self._mempool.tell(WantBatch(id, peer))
            case effects.CheckBatch(id):
                self._mempool.tell(WantCheck(id))
            case effects.CombineCoin(round, shares):
                self._queue.append(coin.reveal(self._committee, round, shares))
            case effects.Commit(draft):
                await self._commit(draft)
            case effects.CertificateReady(height, certificate):
                self._certified(height, encode(certificate))
            case effects.Certified(height):
                self._ledger.tell(RootCertified(height))
            case effects.RecordEvidence(evidence):
                data = encode_evidence(evidence)
                rows = Batch()
                name = int.from_bytes(H("octra.evidence", data)[:8], "big") >> 1
                self._stores.blocks.put_certificate(rows, CertificateKind.EVIDENCE, self._epoch, name, data)
                self._stores.writes.submit(rows, durable=False)
                self._context.log.warning("evidence of misbehaviour recorded", kind=type(evidence).__name__)
            case effects.Diverged(height):
                self._context.log.error("our state root differs from a quorum's", height=height)
            case effects.CombineBeacon() | effects.CloseEpoch() | effects.EpochEnded():
                raise AssertionError("the committee is fixed")
            case effects.Prune():
                pass  # ordered bytes stay: nodes that lag ask for them
            case effects.Halt(reason):
                raise HaltOrdered(reason)
            case _:
                assert_never(order)

    async def _propose(self, order: effects.Propose) -> None:
        """Share, sign, write down; only what is in the log becomes an event, and only that is ever sent.

        Its parents reach the disk before it is sent: a vertex that nobody can complete after a power cut is lost.
        """
        keys = self._facts.keys
        assert keys.coin is not None
        share = coin.make_share(keys.coin, self._committee.anchor, order.coin_round) if order.coin_round else b""
        vertex = seal_vertex(order.header, order.body, share, keys.node.sign)
        frame = encode_vertex(vertex)
        try:
            self._stores.signed.reserve(
                SignKind.VERTEX, self._epoch, vertex.round, self._committee.anchor, vertex.id, frame
            )
        except RoundClosed as error:
            raise HaltOrdered("the core proposed a round that the sign log had closed") from error
        synced = self._stores.writes.submit(self._row(vertex, frame))  # and all rows written before it
        await asyncio.wrap_future(synced)
        self._queue.append(events.OwnVertexDurable(vertex))

    async def _commit(self, draft: effects.CommitDraft) -> None:
        head = self._stores.state.head
        if head is not None and draft.height <= head.height:
            self._compare(draft)
            return
        # One step often gives several blocks; the state is that of the last, and is stored with it.
        due = draft.height >= self._snapshot_height + limits.ORDERING_SNAPSHOT_EVERY
        snapshot = None
        if due and self._state.height == draft.height:
            snapshot, self._snapshot_height = core.snapshot(self._state), draft.height
        await self._ledger.tell_all([Execute(draft, snapshot)])

    def _compare(self, draft: effects.CommitDraft) -> None:
        stored = self._stores.blocks.commit(draft.height)
        header = decode(stored.header, BlockHeader) if stored else None
        same = header is not None and stored is not None and header.leader == draft.leader
        if not same or stored is None or stored.vertices != tuple(vertex.id for vertex in draft.vertices):
            raise OrderingDiverged(f"height {draft.height}")

    def _certified(self, height: int, certificate: bytes) -> None:
        rows = Batch()
        self._stores.blocks.put_certificate(rows, CertificateKind.CERTIFICATE, 0, height, certificate)
        self._stores.writes.submit(rows, durable=False)

    async def _fetch_range(self, peer: NodeId, request: RangeRequest) -> None:
        try:
            answer = await self._router.ask(
                peer,
                ActorCode.ORDERING,
                OrderingMessage.FETCH_RANGE,
                encode(request),
                timeout_ms=ASK_MS,
                lane=Lane.BULK,
            )
        except (Unavailable, LinkGone):
            return  # the core asks another peer by itself
        await self._context.ref(ActorCode.ORDERING).tell_all([Replayed(peer, decode(answer, RangeAnswer))])

    # --- start ---

    async def _rebuild(self) -> None:
        facts, state = self._facts, self._stores.state
        head = state.head
        height = head.height if head else 0
        signed = self._stores.signed
        allowed = may_sign(signed.empty, False, height, self._committee.size, self._boundaries_seen)
        if facts.seat is not None and not allowed:
            self._context.log.warning("the sign log is gone: observing until the second epoch boundary")
        self._board.observing = facts.seat is not None and not allowed
        seat = facts.seat if allowed and facts.keys.coin is not None else None
        resume = signed.next_round(self._committee.anchor) - 1
        params = core.OrderingParams(start_time_ms=facts.genesis.time_ms)
        saved = self._stores.kv.get(Family.META, SNAPSHOT_KEY)
        try:
            if saved is None:
                raise SnapshotUnusable("none yet")
            self._state = core.restore(saved, self._committee, seat, params, resume_round=resume)
        except SnapshotUnusable:
            self._state = core.DagState.create(self._committee, seat, params, resume_round=resume)
        self._snapshot_height = self._state.height
        for record in signed.vertices(self._committee.anchor):
            self._store(decode_vertex(record.payload), record.payload)
        self._stores.writes.submit(Batch(), durable=False).result()
        if head is not None and (commit := self._stores.blocks.commit(head.height)) is not None:
            header = decode(commit.header, BlockHeader)
            await self._feed(events.Executed(header.height, header.block_id, header.state_root))
        count = 0
        for _, frame in self._stores.blocks.all_vertices(DAG_EPOCH, self._state.floor + 1):
            await self._feed(events.VertexReceived(decode_vertex(frame), None))
            count += 1
            if count % 200 == 0:
                await asyncio.sleep(0)
        self._context.log.info("ordering resumed", height=self._state.height, vertices=count, seat=seat)

    async def _epoch_began(self, epoch: int) -> None:
        observing = self._facts.seat is not None and self._state.own_seat is None
        self._boundaries_seen += epoch > self._epoch
        self._epoch = max(epoch, self._epoch)
        if observing and self._boundaries_seen >= 2:
            await self._rebuild()

    # --- small things ---

    def _tick(self) -> None:
        self._context.timer(self._context.clock.monotonic_ms() + TICK_MS, Tick())

    def _store(self, vertex: Vertex, frame: bytes) -> None:
        self._stores.kv.write(self._row(vertex, frame), durable=False)

    def _row(self, vertex: Vertex, frame: bytes) -> Batch:
        rows = Batch()
        place = VertexPlace(DAG_EPOCH, vertex.round, vertex.author, vertex.id)
        self._stores.blocks.put_vertex(rows, place, frame)
        return rows

    def _send_frames(self, peer: NodeId, frames: Sequence[bytes]) -> None:
        limit = body_size_max(Lane.CONSENSUS) - 1_024
        part: list[bytes] = []
        size = 0
        for frame in frames:
            if part and size + len(frame) > limit:
                self._router.tell(peer, Lane.CONSENSUS, ActorCode.ORDERING, OrderingMessage.VERTICES, _list(part))
                part, size = [], 0
            part.append(frame)
            size += len(frame) + 8
        if part:
            self._router.tell(peer, Lane.CONSENSUS, ActorCode.ORDERING, OrderingMessage.VERTICES, _list(part))


def _list(frames: Sequence[bytes]) -> bytes:
    return encode(VertexList(tuple(frames)))
