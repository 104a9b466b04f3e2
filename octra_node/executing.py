"""Executes one agreed block and stores it, with its state and everything by which it is found, in one durable write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.batch import admit_batch, split_transactions
from octra.consensus.certificate import BlockHeader
from octra.consensus.effects import CommitDraft
from octra.consensus.evidence import Equivocation, decode_evidence, judge
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
from octra.consensus.ports import CircleEngine
from octra.consensus.threshold_math import ThresholdMath
from octra.crypto.hash import EMPTY_ROOT, H
from octra.errors import InvalidInput
from octra.node.accounts import accounts_of
from octra.node.circle_view import StateCircles
from octra.node.parts import Facts, Stores
from octra.node.seating import Seating
from octra.storage.blocks import CommitRow, TxPlace, TxStatus
from octra.storage.kv import Batch, Family, u64

STATUS = {PENDING: TxStatus.PENDING, FAILED: TxStatus.FAILED}


class BlockExecutor:
    """From an ordered block to rows on disk. Used by one thread at a time."""

    def __init__(
        self, facts: Facts, stores: Stores, engine: CircleEngine, math: ThresholdMath, seating: Seating
    ) -> None:
        self._facts, self._stores, self._engine, self._math = facts, stores, engine, math
        self._seating = seating

    def execute(
        self, draft: CommitDraft, batches: Sequence[bytes], snapshot: bytes | None
    ) -> tuple[Outcome, BlockHeader]:
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
            # Counted in the bytes: the reference is a claim of its author's.
            counted = tuple(
                (m.id, len(group.transactions)) for m, group in zip(draft.batches, commit.batches, strict=True)
            )
            blocks.put_commit(batch, draft.height, CommitRow(encode(header), vertices, counted))
            self._put_transactions(batch, draft.height, commit, outcome)
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

    def _put_transactions(self, batch: Batch, height: int, commit: LedgerCommit, outcome: Outcome) -> None:
        """Receipts, and the places by which transactions and accounts are found again."""
        places: dict[bytes, tuple[int, Unchecked]] = {}
        position = 0
        for group in commit.batches:
            for offset, item in enumerate(group.transactions):
                try:
                    unchecked = decode_item(item)
                except InvalidInput:
                    continue
                places.setdefault(unchecked.id, (position + offset, unchecked))
            position += len(group.transactions)
        for receipt in outcome.receipts:
            index, unchecked = places[receipt.tx]
            place = TxPlace(receipt.height, index, STATUS.get(receipt.status, TxStatus.OK))
            self._stores.blocks.put_transaction(batch, receipt.tx, place, encode(receipt), accounts_of(unchecked))
        if outcome.settlements:  # in order: the receipts root covers them
            batch.put(Family.SETTLEMENT, u64(height), encode(outcome.settlements))
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
        return tuple(bytes(item) for item in split_transactions(admit_batch(data, self._seating.committee)))

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
