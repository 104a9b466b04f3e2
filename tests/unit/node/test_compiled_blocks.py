"""A node with the compiled libraries leaves the same database behind as one without, row for row."""

from __future__ import annotations

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
