"""A node with the compiled libraries leaves the same database behind as one without, row for row."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from ledger_double import START_MS, Chain
from stored_blocks import Node, ordered
from test_block_deltas import OneBlock, history
from test_ledger_transfers import Payment, blocks, item

from octra.consensus.ledger import native
from octra.consensus.ledger.outcome import LedgerBatch, LedgerCommit
from octra.storage.kv import Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.tree import native as trees

pytestmark = pytest.mark.skipif(
    not (native.available() and trees.available()), reason="the libraries are not built: there is nothing to compare"
)


def stored(chain: Chain, commits: list[LedgerCommit], folder: Path) -> dict[tuple[Family, bytes], bytes]:
    """All rows of a node that executed these blocks, from the state of `chain` on."""
    node = Node(chain, MemoryKeyValue(), folder)
    try:
        for commit in commits:
            draft, batches = ordered(commit)
            node.executor.execute(draft, batches, None)
        return node.rows()
    finally:
        node.close()


@given(plan=blocks)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_transfers_of_many_batches_give_the_same_rows(plan: list[list[Payment]], tmp_path: Path) -> None:
    chain = Chain()
    batches = tuple(LedgerBatch(seat, tuple(item(chain, one) for one in block)) for seat, block in enumerate(plan))
    commit = LedgerCommit(1, 1, START_MS + 1, bytes(32), batches)
    compiled = stored(chain, [commit], tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTRA_NO_KERNEL", "1")
        assert stored(chain, [commit], tmp_path) == compiled


def test_blocks_with_everything_in_them_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = OneBlock()
    chain.commits = []
    compiled_node = Chain()
    commits = history(chain, 5, 30)
    compiled = stored(compiled_node, commits, tmp_path / "compiled")
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    assert stored(compiled_node, commits, tmp_path / "reference") == compiled


def test_blocks_of_many_sizes_leave_nothing_for_the_collector(tmp_path: Path) -> None:
    chain = Chain()
    node = Node(chain, MemoryKeyValue(), tmp_path)
    nonces = iter(range(1, 10_000))
    try:
        gc.collect()
        gc.disable()
        for height, size in enumerate(range(1, 31), 1):
            batch = LedgerBatch(0, tuple(item(chain, Payment(0, 1, 5, next(nonces), 1_000, 100)) for _ in range(size)))
            draft, batches = ordered(LedgerCommit(height, height, START_MS + height, bytes(32), (batch,)))
            node.executor.execute(draft, batches, None)
        assert gc.collect() == 0
    finally:
        gc.enable()
        node.close()
