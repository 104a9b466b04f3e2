"""The compiled update of the state tree gives the roots, proofs and rows of the reference."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.consensus.statetree import path_of
from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family, Puts
from octra.storage.memory import MemoryKeyValue
from octra.storage.tree import native
from octra.storage.tree.merge import MergeTrees, Trees
from octra.storage.tree.path import GLOBAL_TREE

pytestmark = pytest.mark.skipif(not native.available(), reason="the library is not built")

Changes = dict[bytes, bytes | None]
CIRCLE = b"\1" * 32
keys = st.integers(0, 60).map(lambda number: b"key %d" % number)
commits = st.lists(
    st.tuples(
        st.dictionaries(keys, st.none() | st.binary(max_size=3) | st.integers(0, 300).map(bytes), max_size=40),
        st.sampled_from(["kept", "flushed", "forgotten"]),
    ),
    max_size=12,
)


def commit(trees: Trees, store: MemoryKeyValue, parts: dict[bytes, Changes], fate: str = "flushed") -> list[bytes]:
    """Update several trees in one commit: their roots."""
    trees.begin()
    roots = [trees.apply(tree, changes) for tree, changes in parts.items()]
    if fate == "flushed":
        batch = Batch()
        trees.rows(batch)
        store.write(batch, durable=False)
    if fate != "forgotten":
        trees.publish(flushed=fate == "flushed")
    return roots


def rows_of(store: MemoryKeyValue) -> list[tuple[bytes, bytes]]:
    return [row for family in (Family.NODE, Family.ROOT) for row in store.scan(family, b"", None, limit=10**9)]


@given(commits, st.integers(1, 200), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_roots_proofs_and_rows_are_those_of_the_reference(
    updates: list[tuple[Changes, str]], nodes_max: int, sweep_flushes: int
) -> None:
    """A small memory makes the library fetch what it has forgotten. A forgotten commit leaves no trace."""
    one, other = MemoryKeyValue(), MemoryKeyValue()
    compiled, reference = native.NativeTrees(one, nodes_max, sweep_flushes), MergeTrees(other)
    for changes, fate in updates:
        parts = {GLOBAL_TREE: changes, CIRCLE: {key: value for key, value in changes.items() if key[-1] % 2}}
        assert commit(compiled, one, parts, fate) == commit(reference, other, parts, fate)
        assert rows_of(one) == rows_of(other)
        for tree in parts:
            assert compiled.root(tree) == reference.root(tree)
            for number in (0, 1, 30, 61):
                path = path_of(b"key %d" % number)
                assert compiled.prove(tree, path) == reference.prove(tree, path)


def test_a_large_tree_that_a_new_process_reads_from_disk_goes_on_alike() -> None:
    chance = random.Random(5)
    store = MemoryKeyValue()
    trees = native.NativeTrees(store)
    for version in range(4):
        changes: Changes = {b"%d" % chance.randrange(20_000): b"%d" % version for _ in range(2_000)}
        commit(trees, store, {GLOBAL_TREE: changes})
    last: Changes = {b"%d" % number: None if number % 3 else b"last" for number in range(0, 20_000, 7)}
    twin = store.copy()
    assert commit(native.NativeTrees(store), store, {GLOBAL_TREE: last}) == commit(
        MergeTrees(twin), twin, {GLOBAL_TREE: last}
    )
    assert rows_of(store) == rows_of(twin)


class CountingStore(MemoryKeyValue):
    """It counts the rows that are asked for."""

    reads = 0

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += len(keys)
        return super().get_many(family, keys)


def test_what_commits_go_through_stays_in_memory_and_what_they_left_behind_does_not() -> None:
    store = CountingStore()
    trees = native.NativeTrees(store, sweep_flushes=4)
    changes: Changes = {b"idle %d" % number: b"" for number in range(5_000)}
    commit(trees, store, {GLOBAL_TREE: changes, CIRCLE: changes})
    assert trees.live == 2 * 9_999
    live = list[int]()
    for height in range(400):
        changes = {b"busy %d" % number: b"%d" % height for number in range(20)}
        commit(trees, store, {GLOBAL_TREE: {**changes, b"record %d" % height: b""}})
        live.append(trees.live)
    assert max(live[8:]) < 21 * 2 * 16  # both sides of each way
    assert max(live[200:]) < max(live[8:200]) * 1.2

    store.reads = 0
    for height in range(8):
        commit(trees, store, {GLOBAL_TREE: {b"busy %d" % number: b"8%d" % height for number in range(20)}})
    assert store.reads == 0
    commit(trees, store, {CIRCLE: {b"idle 7": b"1"}})
    assert 5 < store.reads < 30


def test_only_what_differs_from_the_disk_is_counted_and_written() -> None:
    store = MemoryKeyValue()
    trees = native.NativeTrees(store)
    commit(trees, store, {GLOBAL_TREE: {b"key %d" % number: b"0" for number in range(100)}}, "kept")
    assert trees.changed == 99
    for round_ in range(5):
        commit(trees, store, {GLOBAL_TREE: {b"key %d" % number: b"%d" % round_ for number in range(100)}}, "kept")
    assert trees.changed == 99
    commit(trees, store, {GLOBAL_TREE: {}})
    assert (trees.changed, len(rows_of(store))) == (0, 100)
    batch = Batch()
    trees.begin()
    trees.apply(GLOBAL_TREE, {b"key 3": b"new"})
    trees.rows(batch)
    way = trees.prove(GLOBAL_TREE, path_of(b"key 3"))
    assert way is not None
    assert sum(len(change.keys) for change in batch.changes if isinstance(change, Puts)) == len(way.bits) + 1


@pytest.mark.parametrize("row", [None, b"", b"\1short", bytes(132)])
@pytest.mark.parametrize("family", [Family.NODE, Family.ROOT])
def test_a_lost_or_damaged_row_is_found(family: Family, row: bytes | None) -> None:
    store = MemoryKeyValue()
    commit(MergeTrees(store), store, {GLOBAL_TREE: {b"a": b"1", b"b": b"2"}})
    key, _ = next(store.scan(family, b"", None, limit=1))
    batch = Batch()
    if row is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, row)
    store.write(batch, durable=False)
    for trees in (native.NativeTrees(store), MergeTrees(store)):
        if family is Family.ROOT and row is None:  # an empty tree: the root hash tells
            assert trees.root(GLOBAL_TREE) == bytes(32)
            continue
        with pytest.raises(CorruptStore):
            commit(trees, store, {GLOBAL_TREE: {b"a": b"3"}})
