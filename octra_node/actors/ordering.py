"""Shell of the ordering core: feeds it facts from the network and performs its orders, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from octra.codec import decode, encode
from octra.consensus import coin, effects, events, limits
from octra.consensus.certificate import BlockHeader
from octra.consensus.dag import core
from octra.consensus.errors import BadSignature, FutureEpoch, SnapshotUnusable
from octra.consensus.evidence import encode_evidence
from octra.consensus.ledger import epochs
from octra.consensus.vertex import Vertex, check_vertex, decode_vertex, encode_vertex, seal_vertex, signed
from octra.crypto.hash import H
from octra.errors import Corrupt, Unavailable
from octra.node.actors.messages import (
    BatchesReferenced,
    EpochBegan,
    Execute,
    RootCertified,
    SeatsChanged,
    WantBatch,
    WantCheck,
)
from octra.node.actors.ref import ActorCode, Context, RefusalCode
from octra.node.deltas import read_mark
from octra.node.gathering import Gathered, Gathering
from octra.node.p2p.messages import EpochRangeRequest, IdList, OrderingMessage, RangeAnswer, RangeRequest, VertexList
from octra.node.p2p.short import Incoming, LinkGone, body_size_max
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.primitives import NodeId
from octra.storage.blocks import CertificateKind, VertexPlace
from octra.storage.errors import RoundClosed
from octra.storage.kv import Batch, Family
from octra.storage.sign_log import SignKind, may_sign

TICK_MS, TICKS_MS = 5, 240  # the core looks at the clock when it asks to, but in no shorter and no longer pauses
RETRY_MS, RETRY_SEAT_MS = 20, 3  # what was due at the last look, and did not happen, is looked at after max(20, 3 n) ms
UNWRITTEN_MAX = 24  # vertices in memory only; the next own vertex, or block, takes them to the disk
HELD_MAX = 1_024  # vertices of an epoch that we have not reached
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


@dataclass(frozen=True, slots=True)
class HeldVertices:
    """An epoch opened: look again at vertices that came too early."""


class OrderingDiverged(Corrupt):
    """A replay of our own vertices orders them otherwise than the stored blocks say."""


class HaltOrdered(Corrupt):
    """The core says that going on would harm: our own seat signs elsewhere."""


Message = events.FactOfEpoch | Incoming | Tick | Replayed | HeldVertices | EpochBegan


class OrderingActor:
    """Owns the DAG. Everything else learns of the order through the ledger actor."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router = parts.facts, parts.stores, parts.router
        self._seating, self._board = parts.seating, parts.board
        self._held: list[tuple[bytes, NodeId]] = []
        self._state: core.DagState
        self._boundaries_seen = 0
        self._silent = False
        self._snapshot_height = 0
        self._queue: deque[events.Event] = deque()
        self._gathering = Gathering()
        self._ticked_ms = 0  # when the core looked at the clock
        self._tick_ms: int | None = None  # when it does so next
        self._forget_tick: Callable[[], None] = lambda: None
        self._unwritten: dict[bytes, tuple[Vertex, bytes]] = {}  # vertices taken, and their frames: written together

    async def start(self, context: Context) -> None:
        """Bring the core back to where its stored vertices lead, then begin to speak."""
        self._context = context
        self._ledger, self._mempool = context.ref(ActorCode.LEDGER), context.ref(ActorCode.MEMPOOL)
        self._epoch = self._stores.state.head.epoch if self._stores.state.head else 0
        await self._rebuild()
        self._look_again()

    async def stop(self, deadline_ms: int) -> None:
        """Write the vertices that wait to be written."""
        self._write_vertices()
        self._stores.signed.sync()

    async def receive(self, batch: Sequence[Message]) -> None:
        """Handle what waited: the core is told of all of it together."""
        facts: list[events.FactOfEpoch] = []
        for message in batch:
            with self._context.guard(message):
                match message:
                    case Tick():
                        self._tick_ms = None
                    case Incoming():
                        await self._incoming(message)
                    case Replayed(peer, answer):
                        for frame in answer.frames:
                            await self._take(frame, peer, message)
                        facts.append(events.RangeEnded(peer, answer.to_round))
                    case EpochBegan(epoch, _):
                        await self._epoch_began(epoch)
                    case HeldVertices():
                        held, self._held = self._held, []
                        for frame, peer in held:
                            await self._take(frame, peer, message)
                    case events.OwnBatchReady(id) if not self._is_current(id):
                        pass  # the epoch that it was made for is over: its transactions are in the pool again
                    case _:
                        facts.append(message)
        if facts or self._tick_ms is None or self._gathering.is_due(self._state):
            await self._feed(*facts)
            if len(self._unwritten) >= UNWRITTEN_MAX:
                self._write_vertices()
            self._board.round, self._board.lag_rounds = self._state.quorum_round, self._state.lag_rounds
            self._look_again()
        elif (due_ms := self._gathering.due_ms(self._state.committee.size)) is not None:
            self._tick_by(due_ms)

    # --- facts from peers ---

    async def _incoming(self, message: Incoming) -> None:
        match message.message:
            case OrderingMessage.VERTICES:
                for frame in decode(message.body, VertexList).frames:
                    await self._take(frame, message.peer, message)
            case OrderingMessage.FETCH_VERTICES:
                ids = decode(message.body, IdList).ids[:VERTICES_ASKED_MAX]
                self._write_vertices()
                frames = [found for id in ids if (found := self._stores.blocks.vertex(id)) is not None]
                self._send_frames(message.peer, frames)
            case OrderingMessage.FETCH_RANGE:
                request = decode(message.body, RangeRequest)
                message.reply(encode(self._range(self._seating.epoch, request.from_round, request.to_round)))
            case OrderingMessage.FETCH_EPOCH_RANGE:
                asked = decode(message.body, EpochRangeRequest)
                if self._stores.origin is not None and asked.epoch <= self._stores.origin.epoch:
                    message.refuse(RefusalCode.NOT_FOUND, "this node joined later")
                    return
                message.reply(encode(self._range(asked.epoch, asked.from_round, asked.to_round)))
            case _:
                message.refuse(RefusalCode.UNKNOWN)

    async def _take(self, frame: bytes, peer: NodeId, message: object) -> None:
        """A vertex came. Its signature is looked at with those of others."""
        vertex = decode_vertex(frame)
        try:
            if not self._seating.check_anchor(vertex.header.anchor):
                return
        except FutureEpoch:
            if len(self._held) < HELD_MAX:
                self._held.append((frame, peer))
            await self._feed(events.LaterEpochSeen(peer))
            return
        if vertex.round <= self._state.floor or self._state.holds(vertex.id):
            return  # too old to matter; or known, and judged when it came first
        check_vertex(vertex, self._seating.committee)
        now_ms = self._context.clock.monotonic_ms()
        self._gathering.add(Gathered(vertex, frame, peer, message), self._state, now_ms)
        if self._gathering.is_full:
            await self._feed()

    def _admit(self) -> list[Gathered]:
        """What has gathered and is signed."""
        gathered, signers = self._gathering.take(), self._seating.committee
        admitted = []
        for item, is_signed in zip(gathered, signed([item.vertex for item in gathered], signers), strict=True):
            if is_signed:
                admitted.append(item)
            else:
                with self._context.guard(item.message):
                    raise BadSignature(item.vertex.author)
        return admitted

    def _range(self, epoch: int, from_round: int, to_round: int) -> RangeAnswer:
        self._write_vertices()
        limit = body_size_max(Lane.BULK) - 4_096
        found = self._stores.blocks.vertices(epoch, from_round, to_round, bytes_max=limit)
        frames = tuple(frame for _, frame in found.vertices)
        return RangeAnswer(frames, to_round if found.next is None else found.next.round - 1)

    # --- the core ---

    async def _feed(self, *facts: events.FactOfEpoch) -> None:
        """Tell the core the time, what has gathered, and these facts: an own vertex that they bring links to all."""
        admitted, floor = self._admit(), self._state.floor
        told = [events.VertexReceived(item.vertex, item.peer) for item in admitted]
        self._ticked_ms = self._context.clock.monotonic_ms()
        orders = core.step_all(self._state, [*told, events.Ticked(self._context.clock.wall_ms()), *facts])
        for vertex, frame, _, _ in admitted:
            # What the core does not take is not stored: a seat that makes twins without end fills no disk. One vertex
            # may complete so much that the floor passes it at once: then it is in the order.
            if self._state.holds(vertex.id) or floor < vertex.round <= self._state.floor:
                self._unwritten[vertex.id] = vertex, frame
        await self._carry_out(orders)

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
                self._context.spawn(self._fetch_range(peer, from_round, to_round))
            case effects.FetchBatch(peer, id):
                self._mempool.tell(WantBatch(id, peer))
            case effects.CheckBatch(id):
                self._mempool.tell(WantCheck(id))
            case effects.CombineCoin(round, shares):
                self._queue.append(coin.reveal(self._seating.committee, round, shares))
            case effects.Commit(draft):
                await self._commit(draft)
            case effects.CertificateReady(height, certificate):
                self._certified(height, encode(certificate))
            case effects.Certified(height):
                self._ledger.tell(RootCertified(height))
            case effects.DeltaCertified() | effects.DeltaOverdue():
                await self._ledger.tell_all([order])
            case effects.RecordEvidence(evidence):
                data = encode_evidence(evidence)
                rows = Batch()
                name = int.from_bytes(H("octra.evidence", data)[:8], "big") >> 1
                self._stores.blocks.put_certificate(rows, CertificateKind.EVIDENCE, self._epoch, name, data)
                self._stores.writes.submit(rows, durable=False)
                self._context.log.warning("evidence of misbehaviour recorded", kind=type(evidence).__name__)
            case effects.Diverged(height):
                self._context.log.error("our state root differs from a quorum's", height=height)
            case effects.CombineBeacon(shares):
                self._queue.append(coin.reveal_beacon(self._seating.committee, shares))
            case effects.CloseEpoch(height):
                self._context.log.info("epoch closed", epoch=self._seating.epoch, height=height)
            case effects.EpochEnded(height, _, signature):
                await self._open_next(height, signature)
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
        secret, anchor = self._seating.coin, self._seating.committee.anchor
        assert secret is not None
        share = coin.make_share(secret, anchor, order.coin_round) if order.coin_round else b""
        beacon = coin.make_beacon_share(secret, anchor) if order.beacon else b""
        vertex = seal_vertex(order.header, order.body, share, keys.node.sign, beacon)
        frame = encode_vertex(vertex)
        try:
            self._stores.signed.reserve(
                SignKind.VERTEX, self._epoch, vertex.round, self._seating.committee.anchor, vertex.id, frame
            )
        except RoundClosed as error:
            raise HaltOrdered("the core proposed a round that the sign log had closed") from error
        self._unwritten[vertex.id] = vertex, frame
        synced = self._stores.writes.submit(self._rows())
        await asyncio.wrap_future(synced)
        self._queue.append(events.OwnVertexDurable(vertex))
        if vertex.body.batches:
            ids = tuple(reference.id for reference in vertex.body.batches)
            await self._mempool.tell_all([BatchesReferenced(ids)])

    async def _commit(self, draft: effects.CommitDraft) -> None:
        self._write_vertices()
        head = self._stores.state.head
        if head is not None and draft.height <= head.height:
            self._compare(draft)
            return
        # One step often gives several blocks; the state is that of the last, and is stored with it.
        due = draft.height >= self._snapshot_height + limits.ORDERING_SNAPSHOT_EVERY
        snapshot = None
        if due and self._state.height == draft.height and not self._state.closing.decided:
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

    async def _fetch_range(self, peer: NodeId, from_round: int, to_round: int) -> None:
        request: RangeRequest | EpochRangeRequest = RangeRequest(from_round, to_round)
        message = OrderingMessage.FETCH_RANGE
        if self._seating.drawn:
            request = EpochRangeRequest(self._seating.epoch, from_round, to_round)
            message = OrderingMessage.FETCH_EPOCH_RANGE
        try:
            answer = await self._router.ask(
                peer,
                ActorCode.ORDERING,
                message,
                encode(request),
                timeout_ms=ASK_MS,
                lane=Lane.BULK,
            )
        except (Unavailable, LinkGone):
            return  # the core asks another peer by itself
        await self._context.ref(ActorCode.ORDERING).tell_all([Replayed(peer, decode(answer, RangeAnswer))])

    # --- epochs ---

    async def _open_next(self, height: int, beacon_signature: bytes) -> None:
        """Root and beacon of the closed epoch are certain: write its record, and begin with the next committee."""
        self._write_vertices()
        state, blocks, seating = self._stores.state, self._stores.blocks, self._seating
        commit = blocks.commit(height)
        assert state.head is not None
        assert state.head.height == height
        assert commit is not None
        header = decode(commit.header, BlockHeader)
        record = epochs.close_record(state, self._facts.params, header.block_id, header.state_root, beacon_signature)
        rows = Batch()
        blocks.put_certificate(rows, CertificateKind.EPOCH_RECORD, record.epoch, height, encode(record))
        self._stores.writes.submit(rows, durable=False)
        seating.open(record, state)
        resume = self._stores.signed.next_round(record.id) - 1
        # The ledger has told of the boundaries before this one. Without its sign log a node is silent until the second.
        self._silent = self._silent and self._boundaries_seen < 1
        seat = None if self._silent else seating.author
        self._board.observing = self._silent and seating.author is not None
        self._queue.append(events.EpochOpened(seating.committee, seat, seating.params, resume))
        self._queue.append(self._stored(header))
        for _, frame in blocks.all_vertices(record.epoch):  # after a restart the epoch may have begun already
            self._queue.append(events.VertexReceived(decode_vertex(frame), None))
        self._snapshot_height = height
        await self._mempool.tell_all([SeatsChanged()])
        self._context.ref(ActorCode.ORDERING).tell(HeldVertices())
        seats = len(seating.committee.seats)
        self._context.log.info("epoch opened", epoch=record.epoch, seats=seats, seat=seat)

    def _is_current(self, batch: bytes) -> bool:
        return not self._seating.drawn or self._stores.blocks.batch_epoch(batch) == self._seating.epoch

    # --- start ---

    async def _rebuild(self) -> None:
        head = self._stores.state.head
        height = head.height if head else 0
        signed = self._stores.signed
        allowed = may_sign(signed.empty, False, height, self._seating.committee.size, self._boundaries_seen)
        author = self._seating.author
        if author is not None and not allowed:
            self._context.log.warning("the sign log is gone: observing until the second epoch boundary")
        self._silent = not allowed
        self._board.observing = author is not None and not allowed
        seat = author if allowed else None
        resume = signed.next_round(self._seating.committee.anchor) - 1
        params = self._seating.params
        saved = self._stores.kv.get(Family.META, SNAPSHOT_KEY)
        try:
            if saved is None:
                raise SnapshotUnusable("none yet")
            self._state = core.restore(saved, self._seating.committee, seat, params, resume_round=resume)
        except SnapshotUnusable:
            self._state = core.DagState.create(self._seating.committee, seat, params, resume_round=resume)
        self._snapshot_height = self._state.height
        for record in signed.vertices(self._seating.committee.anchor):
            vertex = decode_vertex(record.payload)
            self._unwritten[vertex.id] = vertex, record.payload
        self._write_vertices()
        if head is not None and (commit := self._stores.blocks.commit(head.height)) is not None:
            header = decode(commit.header, BlockHeader)
            await self._replay(self._stored(header))
        count = 0
        for _, frame in self._stores.blocks.all_vertices(self._seating.epoch, self._state.floor + 1):
            await self._replay(events.VertexReceived(decode_vertex(frame), None))
            count += 1
            if count % 200 == 0:
                await asyncio.sleep(0)
        self._context.log.info("ordering resumed", height=self._state.height, vertices=count, seat=seat)

    async def _replay(self, event: events.FactOfEpoch) -> None:
        """As it was before the restart: the core does not know the time yet, and so stays silent."""
        await self._carry_out(self._step(event))

    async def _epoch_began(self, epoch: int) -> None:
        observing = self._board.observing
        self._boundaries_seen += epoch > self._epoch
        self._epoch = max(epoch, self._epoch)
        if observing and not self._seating.drawn and self._boundaries_seen >= 2:
            await self._rebuild()

    # --- small things ---

    def _stored(self, header: BlockHeader) -> events.Executed:
        """What is to be said of the head, as it was said before a restart."""
        execution = read_mark(self._stores.kv, header.height).execution
        return events.Executed(header.height, header.block_id, header.state_root, execution.delta_id, execution.mode)

    def _look_again(self) -> None:
        """Have a tick come when the core wants one, and after a while in any case."""
        at_ms = self._context.clock.monotonic_ms() + TICKS_MS
        wanted_ms = core.wake_ms(self._state)
        if wanted_ms is not None and self._state.now_ms is not None:
            after_ms = wanted_ms - self._state.now_ms
            retry_ms = max(RETRY_MS, RETRY_SEAT_MS * self._state.committee.size)
            at_ms = min(at_ms, self._ticked_ms + (max(after_ms, TICK_MS) if after_ms > 0 else retry_ms))
        self._tick_by(at_ms)

    def _tick_by(self, at_ms: int) -> None:
        if self._tick_ms is None or at_ms < self._tick_ms:
            self._forget_tick()
            self._tick_ms, self._forget_tick = at_ms, self._context.timer(at_ms, Tick())

    def _write_vertices(self) -> None:
        if self._unwritten:
            self._stores.kv.write(self._rows(), durable=False)

    def _rows(self) -> Batch:
        """The rows of the vertices that wait to be written, which from now on wait no more."""
        rows = Batch()
        for vertex, frame in self._unwritten.values():
            place = VertexPlace(self._seating.epoch, vertex.round, vertex.author, vertex.id)
            self._stores.blocks.put_vertex(rows, place, frame)
        self._unwritten.clear()
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
