"""Executes the agreed blocks, stores each with its state in one durable write, and tells who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.batch import admit_batch, split_transactions
from octra.consensus.certificate import BlockHeader
from octra.consensus.effects import CommitDraft
from octra.consensus.events import Executed
from octra.consensus.evidence import decode_evidence, judge
from octra.consensus.ledger.receipts import FAILED, PENDING, Receipt, Settlement
from octra.consensus.ledger.transactions import Unchecked, decode_item
from octra.consensus.ledger.transition import (
    LedgerBatch,
    LedgerCommit,
    Outcome,
    SeatFault,
    apply_commit,
    seal_circle_records,
)
from octra.crypto.hash import EMPTY_ROOT, H
from octra.errors import InvalidInput, Unavailable
from octra.node.accounts import accounts_of
from octra.node.actors.messages import BatchHeld, Committed, EpochBegan, Execute, FetchedBatch, RootCertified
from octra.node.actors.ref import ActorCode, ActorGone, Context
from octra.node.circle_view import StateCircles
from octra.node.p2p.messages import MempoolMessage
from octra.node.parts import Parts
from octra.storage.blocks import CertificateKind, CommitRow, TxPlace, TxStatus
from octra.storage.kv import Batch, Family

FETCH_MS, RETRY_S = 2_000, 0.2
PRUNE_EVERY = 64  # heights
STATUS = {PENDING: TxStatus.PENDING, FAILED: TxStatus.FAILED}

Message = Execute | BatchHeld | RootCertified


class LedgerActor:
    """One block at a time, in order. A block waits here until the bytes of its batches are held."""

    def __init__(self, parts: Parts, watchers: Sequence[ActorCode]) -> None:
        self._facts, self._stores, self._engine, self._router = parts.facts, parts.stores, parts.engine, parts.router
        self._math, self._watchers = parts.math, watchers
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
        while self._waiting and await self._execute(self._waiting[0]):
            self._waiting.popleft()

    async def _execute(self, order: Execute) -> bool:
        draft = order.draft
        head = self._stores.state.head
        if head is not None and draft.height <= head.height:
            return True
        batches: list[LedgerBatch] = []
        for matured in draft.batches:
            data = self._stores.blocks.batch(matured.id)
            if data is None:
                self._fetch(matured.id)
                return False
            batches.append(LedgerBatch(matured.author, self._items(data)))
        commit = LedgerCommit(
            height=draft.height,
            leader_round=draft.leader_round,
            time_ms=draft.time_ms,
            coin=draft.coin,
            batches=tuple(batches),
            evidence=tuple(self._judged(draft.evidence)),
        )
        state = self._stores.state
        # In a thread: Circle calls wait for another process, and the write waits for the disk.
        outcome, header = await asyncio.to_thread(self._apply, commit, draft, order.snapshot)
        assert state.head is not None
        self._ordering.tell(Executed(header.height, header.block_id, header.state_root))
        settled = tuple(item.tx for item in outcome.settlements)
        told = Committed(
            height=header.height,
            epoch=header.epoch,
            time_ms=header.time_ms,
            transactions=tuple(receipt.tx for receipt in outcome.receipts),
            settled=settled,
            batches=tuple(matured.id for matured in draft.batches),
            skipped=tuple((one.tx, (one.code, one.detail)) for one in outcome.skipped if one.tx),
        )
        self._board.executed(told.height, told.transactions, self._context.clock.wall_ms())
        await self._tell_watchers(told)
        if outcome.facts.epoch_started:
            began = EpochBegan(header.epoch, header.height - 1)
            self._ordering.tell(began)
            await self._tell_watchers(began)
            self._context.log.info("epoch began", epoch=header.epoch, height=header.height)
        if outcome.receipts:
            self._context.log.info("block executed", height=header.height, txs=len(outcome.receipts))
        if header.height % PRUNE_EVERY == 0:
            await asyncio.to_thread(state.prune_step)
        return True

    async def _tell_watchers(self, news: Committed | EpochBegan) -> None:
        for watcher in self._watchers:
            with contextlib.suppress(ActorGone):  # when the node stops, watchers end first; they look at the store
                await self._context.ref(watcher).tell_all([news])

    def _apply(self, commit: LedgerCommit, draft: CommitDraft, snapshot: bytes | None) -> tuple[Outcome, BlockHeader]:
        state, blocks = self._stores.state, self._stores.blocks
        view = StateCircles(state)
        outcome = apply_commit(state, view, commit, self._engine, self._facts.params, self._math)
        parent = EMPTY_ROOT if draft.height == 1 else self._block_id(draft.height - 1)
        unrooted = BlockHeader(
            version=1,
            chain_id=self._facts.genesis.chain_id,
            height=draft.height,
            epoch=outcome.facts.epoch,
            leader=draft.leader,
            time_ms=draft.time_ms,
            parent=parent,
            tx_root=outcome.facts.transactions_root,
            receipts_root=outcome.facts.receipts_root,
            state_root=EMPTY_ROOT,
            coin=draft.coin,
            ordering_id=draft.ordering_id,
            tx_count=outcome.facts.transaction_count,
        )
        header = unrooted

        def rows(root: bytes) -> Batch:
            nonlocal header
            header = replace(unrooted, state_root=root)
            batch = Batch()
            vertices = tuple(vertex.id for vertex in draft.vertices)
            counted = tuple((matured.id, matured.count) for matured in draft.batches)
            blocks.put_commit(batch, draft.height, CommitRow(encode(header), vertices, counted))
            self._put_transactions(batch, draft, commit, outcome)
            if snapshot is not None:
                batch.put(Family.META, b"ordering", snapshot)
            for digest, data in outcome.blobs.items():
                batch.put(Family.BLOB, digest, data)
            return batch

        state.commit(
            draft.height,
            outcome.writes,
            outcome.circle_writes,
            lambda roots: seal_circle_records(outcome, roots),
            rows,
            epoch=outcome.facts.epoch,
            leader=draft.leader,
        )
        return outcome, header

    def _put_transactions(self, batch: Batch, draft: CommitDraft, commit: LedgerCommit, outcome: Outcome) -> None:
        """Receipts, and the places by which transactions and accounts are found again."""
        places: dict[bytes, tuple[int, Unchecked]] = {}
        position = 0
        for group, matured in zip(commit.batches, draft.batches, strict=True):
            for offset, item in enumerate(group.transactions):
                try:
                    unchecked = decode_item(item)
                except InvalidInput:
                    continue
                places.setdefault(unchecked.id, (position + offset, unchecked))
            position += matured.count
        for receipt in outcome.receipts:
            index, unchecked = places[receipt.tx]
            place = TxPlace(receipt.height, index, STATUS.get(receipt.status, TxStatus.OK))
            self._stores.blocks.put_transaction(batch, receipt.tx, place, encode(receipt), accounts_of(unchecked))
        for settlement in outcome.settlements:
            self._settle(batch, settlement, {r.tx: (places[r.tx][0], r) for r in outcome.receipts})

    def _settle(self, batch: Batch, settlement: Settlement, fresh: Mapping[bytes, tuple[int, Receipt]]) -> None:
        """The pending transaction has ended: its row says so from now on, its receipt stays as it was."""
        blocks = self._stores.blocks
        if settlement.tx in fresh:
            index, receipt = fresh[settlement.tx]
            height, data = receipt.height, encode(receipt)
        elif (place := blocks.transaction_place(settlement.tx)) is not None:
            height, index = place.height, place.index
            data = blocks.receipt(height, index) or b""
        else:
            return
        ended = TxPlace(height, index, STATUS.get(settlement.status, TxStatus.OK))
        blocks.put_transaction(batch, settlement.tx, ended, data)
        batch.put(Family.SETTLEMENT, settlement.tx, encode(settlement))

    def _items(self, data: bytes) -> tuple[bytes, ...]:
        """The items of a matured batch. Its framing was attested, so a fault in it is nobody's but ours."""
        return tuple(bytes(item) for item in split_transactions(admit_batch(data, self._facts.committee)))

    def _judged(self, proofs: Sequence[bytes]) -> Iterator[SeatFault]:
        """Evidence that holds: whose fault it proves. What does not hold is ignored by every node alike."""
        for proof in proofs:
            with contextlib.suppress(InvalidInput):
                yield SeatFault(judge(decode_evidence(proof), self._facts.committee), H("octra.evidence", proof))

    def _block_id(self, height: int) -> bytes:
        row = self._stores.blocks.commit(height)
        assert row is not None
        return decode(row.header, BlockHeader).block_id

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
