"""Executes the agreed blocks or applies their deltas, stores each in one durable write, and tells who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from octra.codec import decode, encode
from octra.consensus.effects import DeltaCertified, DeltaOverdue
from octra.consensus.events import Executed
from octra.consensus.ledger.outcome import TransactionEvent
from octra.consensus.ledger.receipts import FAILED, LEDGER, PENDING
from octra.consensus.vertex import EXECUTED, NO_DELTA, Execution
from octra.errors import Unavailable
from octra.node import links
from octra.node.actors.messages import BatchHeld, Committed, EpochBegan, Execute, FetchedBatch, RootCertified
from octra.node.actors.ref import ActorCode, ActorGone, Context
from octra.node.applying import CertainDelta, CertifiedRun, Chooser, Fetched, Wait, fetch_run
from octra.node.executing import BlockExecutor, DeltaMisfit, StoredBlock
from octra.node.p2p.messages import DeltaRequest, LedgerMessage, MempoolMessage
from octra.node.p2p.transport import Lane
from octra.node.parts import Parts
from octra.primitives import NodeId
from octra.storage.blocks import CertificateKind, TxStatus

FETCH_MS, RETRY_S = 2_000, 0.2
DELTA_MS = 1_000  # for a part of a delta; another seat has it, too
PRUNE_EVERY = 64  # heights
STATUS = {PENDING: TxStatus.PENDING, FAILED: TxStatus.FAILED}
WORK_TOPICS = (b"input_formed", b"job_opened", b"job_certified", b"job_failed", b"opened", b"alarm")  # go to the log

Message = Execute | BatchHeld | RootCertified | DeltaCertified | DeltaOverdue | Fetched


class LedgerActor:
    """One block at a time, in order. A block waits here until the bytes of its batches are held."""

    def __init__(self, parts: Parts, watchers: Sequence[ActorCode]) -> None:
        self._stores, self._router, self._watchers = parts.stores, parts.router, watchers
        self._chooser, self._shelf = Chooser(parts), parts.deltas
        self._executor = BlockExecutor(
            parts.facts, parts.stores, parts.engine, parts.math, parts.seating, split=self._chooser.split
        )
        self._waiting: deque[Execute] = deque()
        self._fetching: set[bytes] = set()
        self._board = parts.board

    async def start(self, context: Context) -> None:
        """Nothing to rebuild: the store is the state, and knows what was certified."""
        self._context = context
        self._ordering = context.ref(ActorCode.ORDERING)
        latest = self._stores.blocks.latest_certificates(CertificateKind.CERTIFICATE)
        self._board.certify(latest[0][1] if latest else 0, context.clock.wall_ms())

    async def stop(self, deadline_ms: int) -> None:
        """Blocks that wait are ordered again after the restart."""

    async def receive(self, batch: Sequence[Message]) -> None:
        """Take orders, then execute as many as are complete."""
        for message in batch:
            match message:
                case Execute():
                    self._waiting.append(message)
                case RootCertified(height):
                    self._certified(height)
                case BatchHeld(id):
                    self._fetching.discard(id)
                case DeltaCertified():
                    self._chooser.certified(message)
                case DeltaOverdue(height):
                    self._chooser.give_up(height)
                case Fetched():
                    self._chooser.arrived(message)
        while self._waiting and await self._execute(self._waiting[0]):
            self._waiting.popleft()

    async def _execute(self, order: Execute) -> bool:
        draft = order.draft
        head = self._stores.state.head
        if head is not None and draft.height <= head.height:
            return True
        batches: list[bytes] = []
        for matured in draft.batches:
            data = self._stores.blocks.batch(matured.id)
            if data is None:
                self._fetch(matured.id)
                return False
            batches.append(data)
        way = self._chooser.choose(draft.height)
        if isinstance(way, Wait):
            if way.fetch is not None:
                self._context.spawn(self._fetch_deltas(way.fetch, draft.height))
            return False
        stored = await self._store(order, batches, way if isinstance(way, CertainDelta) else None)
        outcome, header = stored.outcome, stored.header
        execution = Execution(EXECUTED, NO_DELTA) if stored.mark is None else stored.mark.execution
        self._ordering.tell(
            Executed(header.height, header.block_id, header.state_root, execution.delta_id, execution.mode)
        )
        settled = tuple(item.tx for item in outcome.settlements)
        told = Committed(
            height=header.height,
            epoch=header.epoch,
            time_ms=header.time_ms,
            transactions=tuple(outcome.receipts.ids),
            settled=settled,
            batches=tuple(matured.id for matured in draft.batches),
            skipped=tuple((one.tx, (one.code, one.detail)) for one in outcome.skipped if one.tx),
        )
        self._board.checkpointed = max(self._board.checkpointed, *links.heights_of(outcome).values(), 0)
        self._board.executed(told.height, told.transactions, self._context.clock.wall_ms())
        await self._tell_watchers(told)
        if outcome.facts.epoch_started:
            began = EpochBegan(header.epoch, header.height - 1)
            self._ordering.tell(began)
            await self._tell_watchers(began)
            self._context.log.info("epoch began", epoch=header.epoch, height=header.height)
        if outcome.receipts:
            self._context.log.info("block executed", height=header.height, txs=len(outcome.receipts))
        self._log_work(header.height, outcome.events)
        if header.height % PRUNE_EVERY == 0:
            await asyncio.to_thread(self._stores.state.prune_step)
        return True

    async def _store(self, order: Execute, batches: list[bytes], certain: CertainDelta | None) -> StoredBlock:
        """Apply or execute, in a thread: Circle calls wait for another process, and the write waits for the disk."""
        draft, executor = order.draft, self._executor
        stored = None
        if certain is not None:
            try:
                stored = await asyncio.to_thread(executor.apply, draft, batches, certain, order.snapshot)
                self._board.blocks_applied += 1
            except DeltaMisfit as misfit:  # our state, or more than f liars: our own root will tell
                self._context.log.error("a certified delta does not fit", reason=str(misfit), height=draft.height)
        if stored is None:
            stored = await asyncio.to_thread(executor.execute, draft, batches, order.snapshot)
            self._board.blocks_executed += 1
        self._chooser.done(draft.height)
        if stored.mark is not None and stored.delta:
            self._shelf.keep(stored.mark, stored.delta)
        return stored

    async def _fetch_deltas(self, run: CertifiedRun, first: int) -> None:
        async def ask(peer: NodeId, request: DeltaRequest) -> bytes:
            return await self._router.ask(
                peer,
                ActorCode.LEDGER,
                LedgerMessage.FETCH_DELTA,
                encode(request),
                timeout_ms=DELTA_MS,
                lane=Lane.BULK,
            )

        fetched = await fetch_run(run, first, ask)
        await self._context.ref(ActorCode.LEDGER).tell_all([fetched])

    def _log_work(self, height: int, happened: Sequence[TransactionEvent]) -> None:
        """Where encrypted work is: the first field of such an event names the input or the job."""
        for event in (item.event for item in happened):
            if event.source == LEDGER and event.topic in WORK_TOPICS:
                subject = decode(event.data, list)[0]
                short = subject.hex()[:8] if isinstance(subject, bytes) else subject
                self._context.log.info(event.topic.decode().replace("_", " "), subject=short, height=height)

    async def _tell_watchers(self, news: Committed | EpochBegan) -> None:
        for watcher in self._watchers:
            with contextlib.suppress(ActorGone):  # when the node stops, watchers end first; they look at the store
                await self._context.ref(watcher).tell_all([news])

    def _certified(self, height: int) -> None:
        if height > self._board.certified:
            self._board.certify(height, self._context.clock.wall_ms())

    # --- missing bytes ---

    def _fetch(self, batch_id: bytes) -> None:
        if batch_id not in self._fetching:
            self._fetching.add(batch_id)
            self._context.spawn(self._fetch_from_peers(batch_id))

    async def _fetch_from_peers(self, batch_id: bytes) -> None:
        """f + 1 seats hold it, one of them honest: ask around until it comes."""
        mempool, me = self._context.ref(ActorCode.MEMPOOL), self._context.ref(ActorCode.LEDGER)
        while batch_id in self._fetching:
            for peer in tuple(self._router.peers()):
                if self._stores.blocks.has_batch(batch_id):
                    break
                try:
                    data = await self._router.ask(
                        peer, ActorCode.MEMPOOL, MempoolMessage.FETCH_BATCH, batch_id, timeout_ms=FETCH_MS
                    )
                except Unavailable:
                    continue
                await mempool.tell_all([FetchedBatch(batch_id, data)])
                await asyncio.sleep(RETRY_S)
            if self._stores.blocks.has_batch(batch_id):
                break
            await asyncio.sleep(RETRY_S)
        await me.tell_all([BatchHeld(batch_id)])
