"""The compiled update of the state tree gives the rows of the reference, byte for byte."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.tree import native
from octra.storage.tree.merge import MergeWriter, TreeWriter
from octra.storage.tree.nodes import Link, NodeCache
from octra.storage.tree.path import CIRCLE_RULES, GLOBAL_RULES

pytestmark = pytest.mark.skipif(not native.available(), reason="the library is not built")

Changes = dict[bytes, bytes | None]
keys = st.integers(0, 60).map(lambda number: b"key %d" % number)
commits = st.lists(
    st.dictionaries(keys, st.none() | st.binary(max_size=3) | st.integers(0, 300).map(bytes), max_size=40), max_size=8
)


def commit(writer: TreeWriter, store: MemoryKeyValue, roots: list[Link | None], parts: list[Changes]) -> Batch:
    """Update several trees in one commit; their roots are replaced in place."""
    batch = Batch()
    for number, changes in enumerate(parts):
        roots[number] = writer.apply(roots[number], (GLOBAL_RULES, CIRCLE_RULES)[number % 2], changes)
    writer.write_rows(batch)
    store.write(batch, durable=False)
    writer.publish()
    return batch


@given(commits, st.integers(1, 50))
@settings(max_examples=150)
def test_rows_refs_and_roots_are_those_of_the_reference(updates: list[Changes], nodes_max: int) -> None:
    """A small memory makes the library fetch what it has forgotten."""
    one, other = MemoryKeyValue(), MemoryKeyValue()
    tree = native.NativeTree(one, nodes_max)
    compiled: list[Link | None] = [None, None]
    reference: list[Link | None] = [None, None]
    for version, changes in enumerate(updates):
        parts = [changes, {key: value for key, value in changes.items() if key[-1] % 2}]
        got = commit(tree.begin(version), one, compiled, parts)
        wanted = commit(MergeWriter(other, NodeCache(), version), other, reference, parts)
        assert got.operations == wanted.operations
        assert compiled == reference


def test_a_commit_that_was_not_written_leaves_no_trace() -> None:
    store = MemoryKeyValue()
    tree = native.NativeTree(store)
    roots: list[Link | None] = [None]
    commit(tree.begin(0), store, roots, [{b"key %d" % number: b"0" for number in range(30)}])
    before = list(roots)
    tree.begin(1).apply(roots[0], GLOBAL_RULES, {b"key 3": b"lost"})
    again = commit(tree.begin(1), store, roots, [{b"key 4": b"kept"}])
    expected = commit(MergeWriter(store, NodeCache(), 1), MemoryKeyValue(), before, [{b"key 4": b"kept"}])
    assert again.operations == expected.operations


def test_a_large_tree_that_a_new_process_reads_from_disk_goes_on_alike() -> None:
    chance = random.Random(5)
    store = MemoryKeyValue()
    roots: list[Link | None] = [None]
    tree = native.NativeTree(store)
    for version in range(4):
        changes: Changes = {b"%d" % chance.randrange(20_000): b"%d" % version for _ in range(2_000)}
        commit(tree.begin(version), store, roots, [changes])
    last: Changes = {b"%d" % number: None if number % 3 else b"last" for number in range(0, 20_000, 7)}
    reference = list(roots)
    fresh = commit(native.NativeTree(store).begin(4), store, roots, [last])
    wanted = commit(MergeWriter(store, NodeCache(), 4), MemoryKeyValue(), reference, [last])
    assert fresh.operations == wanted.operations


def test_a_library_of_another_machine_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree.so").write_bytes(b"no library")
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "tree.so")
    native._library.cache_clear()
    try:
        assert not native.available()
    finally:
        native._library.cache_clear()


@pytest.mark.parametrize("row", [None, b"", b"\1short", b"\2" + bytes(121), b"\1" + bytes(64) + b"\xff\xff"])
def test_a_lost_or_damaged_row_is_found(row: bytes | None) -> None:
    store = MemoryKeyValue()
    roots: list[Link | None] = [None]
    commit(MergeWriter(store, NodeCache(), 0), store, roots, [{b"a": b"1", b"b": b"2"}])
    assert roots[0] is not None
    batch = Batch()
    if row is None:
        batch.delete(Family.NODE, roots[0].ref)
    else:
        batch.put(Family.NODE, roots[0].ref, row)
    store.write(batch, durable=False)
    with pytest.raises(CorruptStore):
        native.NativeTree(store).begin(1).apply(roots[0], GLOBAL_RULES, {b"a": b"3"})
