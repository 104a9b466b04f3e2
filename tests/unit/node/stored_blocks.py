"""One node's stores and executor, fed with blocks of a chain double: no network, no ordering."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from octra.consensus.batch import batch_id, make_batch
from octra.consensus.effects import CommitDraft, MaturedBatch
from octra.consensus.epoch import EpochRecord
from octra.consensus.ledger.delta import admit_delta
from octra.consensus.ledger.outcome import LedgerCommit
from octra.consensus.ledger.params import LedgerParams
from octra.crypto.hash import H
from octra.node.applying import CertainDelta
from octra.node.deltas import MARK_KEY
from octra.node.executing import BlockExecutor, StoredBlock
from octra.node.parts import Stores
from octra.storage.blocks import BlockStore
from octra.storage.kv import Family, KeyValue
from octra.storage.sign_log import SignLog
from octra.storage.state import StateStore
from octra.storage.write_queue import WriteQueue


class Committee:
    """As far as batches ask."""

    anchor = bytes(32)
    size = 24


class ChainDouble(Protocol):
    """What a node needs of the chain whose blocks it stores."""

    params: LedgerParams
    view: Any
    engine: Any
    math: Any


def ordered(commit: LedgerCommit) -> tuple[CommitDraft, list[bytes]]:
    """The block before execution, and the bytes of its batches."""
    batches = [
        make_batch(Committee.anchor, batch.author_seat, commit.height, list(batch.transactions))
        for batch in commit.batches
    ]
    matured = tuple(
        MaturedBatch(batch_id(data), batch.author_seat, len(batch.transactions), len(data))
        for batch, data in zip(commit.batches, batches, strict=True)
    )
    leader = H("test.leader", commit.height.to_bytes(8, "big"))
    draft = CommitDraft(
        commit.height, leader, 0, commit.leader_round, commit.time_ms, commit.coin, bytes(32), (), matured, ()
    )
    return draft, batches


class Node:
    """Stores and executor of one node."""

    def __init__(self, chain: ChainDouble, kv: KeyValue, folder: Path) -> None:
        self.kv, self.writes = kv, WriteQueue(kv)
        state = StateStore(kv, writer=self.writes)
        self.stores = Stores(kv, self.writes, state, BlockStore(kv), SignLog(folder))
        state.commit(0, sorted(chain.view.rows.items()), {}, lambda roots: [])
        facts: Any = SimpleNamespace(params=chain.params, genesis=SimpleNamespace(chain_id=chain.params.chain_id))
        self.opened: EpochRecord | None = None  # by the next block
        seating: Any = SimpleNamespace(committee=Committee, opened_by=lambda height: self.opened)
        self.executor = BlockExecutor(facts, self.stores, chain.engine, chain.math, seating, split=True)

    def rows(self) -> dict[tuple[Family, bytes], bytes]:
        """The whole database, but for the row that says how the head was stored."""
        every = {
            (family, key): value for family in Family for key, value in self.kv.scan(family, b"", None, limit=1_000_000)
        }
        every.pop((Family.META, MARK_KEY), None)
        return every

    def close(self) -> None:
        self.stores.signed.close()
        self.writes.close()
        self.kv.close()


def certain(stored: StoredBlock) -> CertainDelta:
    """What an honest executor's delta is to others."""
    assert stored.mark is not None
    id = stored.mark.ids[-1]
    delta = admit_delta(stored.delta, id, stored.header.height)
    return CertainDelta(id, stored.delta, delta)
