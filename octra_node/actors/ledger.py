"""Executes the agreed blocks, stores each with its state in one durable write, and tells who waits for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence

from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.batch import Batch as BatchFrame
from octra.consensus.batch import admit_batch, split_transactions
from octra.consensus.certificate import BlockHeader
from octra.consensus.effects import CommitDraft
from octra.consensus.events import Executed
from octra.consensus.ledger import keys as state_keys
from octra.consensus.ledger.receipts import FAILED, PENDING, Receipt, Settlement
from octra.consensus.ledger.records import Clock
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transactions import Transaction, admit_all
from octra.consensus.ledger.transition import LedgerBatch, LedgerCommit, Outcome, apply_commit, seal_circle_records
from octra.crypto.hash import EMPTY_ROOT, merkle_root
from octra.errors import InvalidInput, Unavailable
from octra.node.actors.messages import BatchHeld, Committed, EpochBegan, Execute, FetchedBatch, RootCertified
from octra.node.actors.ref import ActorCode, Context
from octra.node.circle_view import StateCircles
from octra.node.p2p.messages import MempoolMessage
from octra.node.parts import Parts
from octra.storage.blocks import CommitRow, TxPlace, TxStatus
from octra.storage.kv import Batch, Family

ADMITTED_MAX = 256  # decoded batches kept for execution: what the mempool checked need not be checked again
FETCH_MS, RETRY_S = 2_000, 0.2
PRUNE_EVERY = 64  # heights
STATUS = {PENDING: TxStatus.PENDING, FAILED: TxStatus.FAILED}

Message = Execute | BatchHeld | RootCertified


class Admitted:
    """Transactions of checked batches, shared by mempool and ledger of one node."""

    def __init__(self) -> None:
        self._batches: OrderedDict[bytes, tuple[Transaction, ...]] = OrderedDict()

    def put(self, batch_id: bytes, transactions: Sequence[Transaction]) -> None:
        """Remember what was just checked."""
        self._batches[batch_id] = tuple(transactions)
        if len(self._batches) > ADMITTED_MAX:
            self._batches.popitem(last=False)

    def get(self, batch_id: bytes) -> tuple[Transaction, ...] | None:
        """The checked transactions, if still remembered."""
        return self._batches.get(batch_id)


class LedgerActor:
    """One block at a time, in order. A block waits here until the bytes of its batches are held."""

    def __init__(self, parts: Parts, admitted: Admitted, watchers: Sequence[ActorCode]) -> None:
        self._facts, self._stores, self._engine, self._router = parts.facts, parts.stores, parts.engine, parts.router
        self._admitted, self._watchers = admitted, watchers
        self._waiting: deque[Execute] = deque()
        self._fetching: set[bytes] = set()
        self.certified_height = 0

    async def start(self, context: Context) -> None:
        """Nothing to rebuild: the store is the state."""
        self._context = context
        self._ordering = context.ref(ActorCode.ORDERING)

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
            transactions = self._transactions(matured.id, data)
            if transactions:
                batches.append(LedgerBatch(matured.author, transactions))
        commit = LedgerCommit(
            height=draft.height,
            leader_round=draft.leader_round,
            time_ms=draft.time_ms,
            coin=draft.coin,
            batches=tuple(batches),
            evidence=draft.evidence,
        )
        state = self._stores.state
        epoch_before = self._epoch()
        # In a thread: Circle calls wait for another process, and the write waits for the disk.
        outcome, header = await asyncio.to_thread(self._apply, commit, draft, order.snapshot)
        assert state.head is not None
        self._ordering.tell(Executed(header.height, header.block_id, header.state_root))
        settled = tuple(item.tx for item in outcome.settlements)
        told = Committed(header.height, header.epoch, header.time_ms, tuple(r.tx for r in outcome.receipts), settled)
        for watcher in self._watchers:
            await self._context.ref(watcher).tell_all([told])
        if header.epoch > epoch_before:
            began = EpochBegan(header.epoch, header.height - 1)
            self._ordering.tell(began)
            for watcher in self._watchers:
                await self._context.ref(watcher).tell_all([began])
            self._context.log.info("epoch began", epoch=header.epoch, height=header.height)
        if outcome.receipts:
            self._context.log.info("block executed", height=header.height, txs=len(outcome.receipts))
        if header.height % PRUNE_EVERY == 0:
            await asyncio.to_thread(state.prune_step)
        return True

    def _apply(self, commit: LedgerCommit, draft: CommitDraft, snapshot: bytes | None) -> tuple[Outcome, BlockHeader]:
        state, blocks = self._stores.state, self._stores.blocks
        view = StateCircles(state)
        outcome = apply_commit(state, view, commit, self._engine, self._facts.params)
        parent = EMPTY_ROOT if draft.height == 1 else self._block_id(draft.height - 1)
        unrooted = BlockHeader(
            version=1,
            chain_id=self._facts.genesis.chain_id,
            height=draft.height,
            epoch=outcome.clock.epoch,
            leader=draft.leader,
            time_ms=draft.time_ms,
            parent=parent,
            tx_root=merkle_root([receipt.tx for receipt in outcome.receipts]),
            receipts_root=outcome.receipts_root,
            state_root=EMPTY_ROOT,
            coin=draft.coin,
            ordering_id=draft.ordering_id,
            tx_count=len(outcome.receipts),
        )
        header = unrooted

        def rows(root: bytes) -> Batch:
            nonlocal header
            header = replace(unrooted, state_root=root)
            batch = Batch()
            vertices = tuple(vertex.id for vertex in draft.vertices)
            counted = tuple((matured.id, matured.count) for matured in draft.batches)
            blocks.put_commit(batch, draft.height, CommitRow(encode(header), vertices, counted))
            self._put_transactions(batch, commit, outcome)
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
            epoch=outcome.clock.epoch,
            leader=draft.leader,
        )
        return outcome, header

    def _put_transactions(self, batch: Batch, commit: LedgerCommit, outcome: Outcome) -> None:
        by_id = {transaction.id: transaction for group in commit.batches for transaction in group.transactions}
        for receipt in outcome.receipts:
            transaction = by_id[receipt.tx]
            place = TxPlace(receipt.height, receipt.index, STATUS.get(receipt.status, TxStatus.OK))
            accounts = () if transaction.op.node_op else transaction.accounts()
            self._stores.blocks.put_transaction(batch, receipt.tx, place, encode(receipt), accounts)
        for settlement in outcome.settlements:
            self._settle(batch, settlement, outcome.receipts)

    def _settle(self, batch: Batch, settlement: Settlement, fresh: Sequence[Receipt]) -> None:
        """The pending transaction has ended: its row and receipt say so from now on."""
        status = STATUS.get(settlement.status, TxStatus.OK)
        own = next((receipt for receipt in fresh if receipt.tx == settlement.tx), None)
        place = self._stores.blocks.transaction_place(settlement.tx)
        if own is not None:
            place = TxPlace(own.height, own.index, status)
        if place is None:
            return
        ended = TxPlace(place.height, place.index, status)
        data = encode(own) if own else self._stores.blocks.receipt(place.height, place.index)
        assert data is not None
        self._stores.blocks.put_transaction(batch, settlement.tx, ended, data)
        batch.put(Family.SETTLEMENT, settlement.tx, encode(settlement))

    def _transactions(self, batch_id: bytes, data: bytes) -> tuple[Transaction, ...]:
        """The batch's transactions; none if one of them breaks a static rule, which voids the batch everywhere."""
        known = self._admitted.get(batch_id)
        if known is not None:
            return known
        try:
            frame: BatchFrame = admit_batch(data, self._facts.committee)
            rules = self._facts.params.static_rules(None)
            found = tuple(admit_all([bytes(item) for item in split_transactions(frame)], rules))
        except InvalidInput as error:
            self._context.log.warning("a matured batch is void", error=type(error).__name__)
            found = ()
        self._admitted.put(batch_id, found)
        return found

    def _block_id(self, height: int) -> bytes:
        row = self._stores.blocks.commit(height)
        assert row is not None
        return decode(row.header, BlockHeader).block_id

    def _epoch(self) -> int:
        clock = load(self._stores.state, state_keys.CLOCK, Clock)
        return clock.epoch if clock else 0

    def _certified(self, height: int) -> None:
        if height > self.certified_height:
            self.certified_height = height
            for watcher in self._watchers:
                self._context.ref(watcher).tell(RootCertified(height))

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
