"""Executes one agreed block, or applies its delta, and stores it with all by which it is found in one durable write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.batch import Items, admit_items
from octra.consensus.certificate import BlockHeader
from octra.consensus.effects import CommitDraft
from octra.consensus.evidence import Equivocation, decode_evidence, judge
from octra.consensus.ledger.delta import delta_id, delta_of, outcome_of
from octra.consensus.ledger.receipts import FAILED, PENDING, Settlement
from octra.consensus.ledger.transition import (
    LedgerBatch,
    LedgerCommit,
    Outcome,
    SeatFault,
    apply_commit,
    seal_circle_records,
)
from octra.consensus.limits import DELTA_BYTES_MAX
from octra.consensus.ports import CircleEngine
from octra.consensus.threshold_math import ThresholdMath
from octra.consensus.vertex import APPLIED, EXECUTED, NO_DELTA
from octra.crypto.hash import EMPTY_ROOT, H
from octra.errors import Corrupt, InvalidInput
from octra.node import links
from octra.node.applying import CertainDelta
from octra.node.circle_view import StateCircles
from octra.node.deltas import MARK_KEY, Mark, mark_after, read_mark
from octra.node.parts import Facts, Stores
from octra.node.seating import Seating
from octra.storage.blocks import CommitRow, TxPlace, TxStatus
from octra.storage.index import Executed
from octra.storage.kv import Batch, Family, u64

STATUS = {PENDING: TxStatus.PENDING, FAILED: TxStatus.FAILED}


class DeltaMisfit(Corrupt):
    """A delta that f + 1 seats agree on does not fit our state, or does not lead where they say."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block on disk. `mark` and `delta` exist where execution is split, and `delta` unless it is too large."""

    outcome: Outcome
    header: BlockHeader
    mark: Mark | None
    delta: bytes = b""


class BlockExecutor:
    """From an ordered block to rows on disk. Used by one thread at a time."""

    def __init__(
        self,
        facts: Facts,
        stores: Stores,
        engine: CircleEngine,
        math: ThresholdMath,
        seating: Seating,
        *,
        split: bool = False,
    ) -> None:
        """`split`: others may apply what is executed here, so each block gets a delta."""
        self._facts, self._stores, self._engine, self._math = facts, stores, engine, math
        self._seating, self._split = seating, split

    def execute(self, draft: CommitDraft, batches: Sequence[bytes], snapshot: bytes | None) -> StoredBlock:
        """Execute the next block and store it durably. `batches` are the bytes of the draft's batches, in its order."""
        commit = LedgerCommit(
            height=draft.height,
            leader_round=draft.leader_round,
            time_ms=draft.time_ms,
            coin=draft.coin,
            batches=tuple(
                LedgerBatch(matured.author, self._items(data))
                for matured, data in zip(draft.batches, batches, strict=True)
            ),
            evidence=tuple(self._judged(draft.evidence)),
            opened=self._seating.opened_by(draft.height),
        )
        state = self._stores.state
        view = StateCircles(state)
        outcome = apply_commit(state.latest, view, commit, self._engine, self._facts.params, self._math)
        items = [batch.transactions for batch in commit.batches]
        if not self._split:
            return StoredBlock(outcome, self._store(draft, items, outcome, snapshot), None)
        mark, delta = self._mark(), b""
        previous, previous_root = mark, state.root()

        def publish(header: BlockHeader) -> Batch:
            nonlocal mark, delta
            delta = delta_of(outcome, previous_root, header.state_root, header.block_id)
            if len(delta) > DELTA_BYTES_MAX:
                delta = b""
            mark = mark_after(previous, EXECUTED, delta_id(delta) if delta else NO_DELTA)
            return _mark_row(mark)

        header = self._store(draft, items, outcome, snapshot, publish)
        return StoredBlock(outcome, header, mark, delta)

    def apply(
        self, draft: CommitDraft, batches: Sequence[bytes], certain: CertainDelta, snapshot: bytes | None
    ) -> StoredBlock:
        """Store the next block as its delta says, without executing it; the state root is computed here all the same.

        Raises `DeltaMisfit`, with nothing stored, when it is not the root, or the block, that was agreed.
        """
        delta = certain.delta
        if (delta.previous_root, delta.facts.time_ms) != (self._stores.state.root(), draft.time_ms):
            raise DeltaMisfit(f"the delta of height {draft.height} builds on another state")
        outcome = outcome_of(delta)
        mark = mark_after(self._mark(), APPLIED, certain.id)

        def compare(header: BlockHeader) -> Batch:
            if (header.state_root, header.block_id) != (delta.root, delta.block_id):
                raise DeltaMisfit(f"the delta of height {draft.height} does not lead to the block that was agreed")
            return _mark_row(mark)

        items = [self._items(data) for data in batches]
        return StoredBlock(outcome, self._store(draft, items, outcome, snapshot, compare), mark, certain.data)

    def _mark(self) -> Mark:
        head = self._stores.state.head
        return read_mark(self._stores.kv, 0 if head is None else head.height)

    def _store(
        self,
        draft: CommitDraft,
        items: Sequence[Sequence[bytes]],
        outcome: Outcome,
        snapshot: bytes | None,
        more: Callable[[BlockHeader], Batch] = lambda header: Batch(),
    ) -> BlockHeader:
        """Write the block. `items`: of each batch; `more` gives further rows, or raises to store nothing."""
        state, blocks = self._stores.state, self._stores.blocks
        signed = links.ordered(outcome, items, state)
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
            # Counted in the bytes: the reference is a claim of its author's.
            counted = tuple((matured.id, len(batch)) for matured, batch in zip(draft.batches, items, strict=True))
            blocks.put_commit(batch, draft.height, CommitRow(encode(header), vertices, counted))
            self._put_transactions(batch, draft.height, outcome)
            if snapshot is not None:
                batch.put(Family.META, b"ordering", snapshot)
            for digest, data in outcome.blobs.items():
                batch.put(Family.BLOB, digest, data)
            for link in signed:
                links.put(batch, blocks, link)
            batch.extend(more(header))
            return batch

        state.commit(
            draft.height,
            outcome.writes,
            outcome.circle_writes,
            lambda roots: seal_circle_records(outcome, roots),
            rows,
            epoch=outcome.facts.epoch,
            leader=draft.leader,
            before=outcome.before,
        )
        return header

    def _put_transactions(self, batch: Batch, height: int, outcome: Outcome) -> None:
        """Receipts, and the places by which transactions and accounts are found again."""
        receipts, places = outcome.receipts, outcome.places
        statuses = [TxStatus.OK] * len(receipts)
        for at, status in receipts.statuses().items():
            statuses[at] = STATUS[status]
        self._stores.blocks.put_transactions(
            batch,
            height,
            Executed(receipts.ids, places.positions, statuses, receipts.encoded, places.accounts, places.counts),
        )
        if outcome.settlements:  # in order: the receipts root covers them
            batch.put(Family.SETTLEMENT, u64(height), encode(outcome.settlements))
            rows = zip(receipts.ids, places.positions, statuses, strict=True)
            fresh = {id: TxPlace(height, position, status) for id, position, status in rows}
            for settlement in outcome.settlements:
                self._settle(batch, settlement, fresh)

    def _settle(self, batch: Batch, settlement: Settlement, fresh: Mapping[bytes, TxPlace]) -> None:
        """The pending transaction has ended: its place says so from now on, its receipt stays as it was."""
        blocks = self._stores.blocks
        place = fresh.get(settlement.tx) or blocks.transaction_place(settlement.tx)
        if place is not None:
            ended = STATUS.get(settlement.status, TxStatus.OK)
            blocks.put_place(batch, settlement.tx, TxPlace(place.height, place.index, ended))
            batch.put(Family.SETTLEMENT, settlement.tx, encode(settlement))

    def _items(self, data: bytes) -> Items:
        """The items of a matured batch. Its framing was attested, so a fault in it is nobody's but ours."""
        return admit_items(data, self._seating.committee)[1]

    def _judged(self, proofs: Sequence[bytes]) -> Iterator[SeatFault]:
        """Evidence that holds: whose fault it proves. What does not hold is ignored by every node alike."""
        for proof in proofs:
            with contextlib.suppress(InvalidInput):
                evidence = decode_evidence(proof)
                seat = judge(evidence, self._seating.committee)
                yield SeatFault(seat, H("octra.evidence", proof), isinstance(evidence, Equivocation))

    def _block_id(self, height: int) -> bytes:
        row = self._stores.blocks.commit(height)
        assert row is not None
        return decode(row.header, BlockHeader).block_id


def _mark_row(mark: Mark) -> Batch:
    batch = Batch()
    batch.put(Family.META, MARK_KEY, encode(mark))
    return batch
