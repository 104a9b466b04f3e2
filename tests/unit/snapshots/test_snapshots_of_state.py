"""The state leaves one store as chunks and stands in another one: same root, same proofs, ready for the next commit."""

from __future__ import annotations

from itertools import pairwise

import pytest
from snapshot_double import SnapshotMaker

from octra.consensus import snapshot
from octra.consensus.snapshot import GLOBAL, Manifest, RootRefused, Section, Unpacking
from octra.consensus.statetree import path_of, verify_circle_key, verify_key
from octra.errors import InvalidInput
from octra.storage.kv import Batch, KeyValue
from octra.storage.memory import MemoryKeyValue
from octra.storage.snapshot import Installation, rows_at
from octra.storage.state import StateStore


def install(manifest: Manifest, chunks: list[bytes], store: KeyValue) -> StateStore:
    reader, installation = Unpacking(manifest), Installation(store, manifest)
    for payload in chunks:
        installation.add(reader.read(payload))
    reader.end()
    installation.finish(Batch())
    return StateStore(store)


@pytest.fixture(scope="module")
def made() -> SnapshotMaker:
    maker = SnapshotMaker()
    maker.commit({b"\x01" + n.to_bytes(4, "big"): bytes([n % 251]) * 40 for n in range(3_000)})
    maker.circle(b"\x05" * 33, {b"k%d" % n: b"v" * n for n in range(100)})
    maker.circle(b"\x03" * 33, {b"one": b"1"})
    maker.circle(b"\x04" * 33, {})
    maker.commit({b"\x01" + n.to_bytes(4, "big"): None for n in range(0, 3_000, 3)})
    return maker


def test_the_installed_state_has_the_same_root_and_proves_the_same(made: SnapshotMaker, store: KeyValue) -> None:
    manifest, chunks = made.snapshot()
    assert len(chunks) == len(manifest.chunks)
    state = install(manifest, chunks, store)
    assert state.head is not None
    assert state.head.state_root == made.state.root()
    for key in (b"\x01" + n.to_bytes(4, "big") for n in (0, 1, 2, 2_999)):
        proven = state.prove(key)
        assert proven == made.state.prove(key)
        assert verify_key(proven.root, key, proven.value, proven.proof)
    circle = b"\x05" * 33
    proven = state.prove_circle(circle, b"k7")
    assert proven.value == b"v" * 7
    assert verify_circle_key(proven.root, b"k7", proven.value, proven.proof)
    assert state.circle_root(b"\x04" * 33) == made.state.circle_root(b"\x04" * 33)


def test_both_states_go_on_alike(made: SnapshotMaker, store: KeyValue) -> None:
    manifest, chunks = made.snapshot()
    state = install(manifest, chunks, store)
    twin = install(manifest, chunks, MemoryKeyValue())
    writes = [(b"\x01" + n.to_bytes(4, "big"), None if n % 2 else b"new") for n in range(0, 4_000, 7)]
    roots = [one.commit(manifest.height + 1, writes, {}, lambda _: ()) for one in (state, twin)]
    reference = made.copy().commit_again(dict(writes))
    assert roots == [reference, reference]


def test_a_height_below_the_snapshot_was_pruned(made: SnapshotMaker, store: KeyValue) -> None:
    manifest, chunks = made.snapshot()
    state = install(manifest, chunks, store)
    with pytest.raises(InvalidInput):
        state.root(manifest.height - 1)
    state.commit(manifest.height + 1, [(b"\x01x", b"y")], {}, lambda _: ())
    state.prune_step()
    assert state.root(manifest.height) == manifest.header.state_root


def test_a_snapshot_of_an_earlier_height_ignores_later_commits(made: SnapshotMaker) -> None:
    before = list(rows_at(made.store, made.height))
    later = made.copy()
    later.commit_again({b"\x01later": b"row"})
    assert list(rows_at(later.store, made.height)) == before


def test_rows_come_in_the_order_of_their_paths_also_those_that_changed_since(made: SnapshotMaker) -> None:
    later = made.copy()
    later.commit_again({b"\x01" + n.to_bytes(4, "big"): None for n in range(1, 3_000, 3)})
    rows = [row for tree, row in rows_at(later.store, made.height) if tree == GLOBAL]
    paths = [path_of(key) for key, _ in rows]
    assert all(one < other for one, other in pairwise(paths))
    assert len(rows) == 2_000 + 3  # Circles
    assert len([row for tree, row in rows_at(later.store, later.height) if tree == GLOBAL]) == 1_000 + 3


def forged(made: SnapshotMaker, rows: list[tuple[bytes, tuple[bytes, bytes]]]) -> tuple[Manifest, list[bytes]]:
    """A snapshot of other rows under the honest header."""
    return made.manifest_of(rows)


def changed(made: SnapshotMaker, key: bytes, value: bytes) -> list[tuple[bytes, tuple[bytes, bytes]]]:
    return [(tree, (key, value) if row[0] == key else row) for tree, row in rows_at(made.store, made.height)]


@pytest.mark.parametrize("what", ["value", "missing", "circle value", "circle missing", "circle added"])
def test_rows_with_another_root_are_refused_and_leave_no_state(made: SnapshotMaker, what: str) -> None:
    rows = list(rows_at(made.store, made.height))
    circle = b"\x05" * 33
    match what:
        case "value":
            rows = changed(made, b"\x01" + (1).to_bytes(4, "big"), b"rich")
        case "missing":
            rows = rows[1:]
        case "circle value":
            rows = changed(made, b"k7", b"other")
        case "circle missing":
            rows = [item for item in rows if item[0] != circle]
        case "circle added":
            rows.append((b"\x07" * 33, (b"k", b"v")))
    manifest, chunks = forged(made, rows)
    store = MemoryKeyValue()
    with pytest.raises(RootRefused) as refused:
        install(manifest, chunks, store)
    assert refused.value.tree == {"v": GLOBAL, "m": GLOBAL}.get(what[0], b"\x07" * 33 if "added" in what else circle)
    assert StateStore(store).head is None


def test_chunks_are_cut_at_the_limit_and_alike(made: SnapshotMaker) -> None:
    big = SnapshotMaker()
    for part in range(3):
        big.commit({b"\x01" + bytes([part, n]): bytes([part]) * 60_000 for n in range(15)})
    manifest, chunks = big.snapshot()
    assert manifest.rows == 45
    assert len(chunks) == 3
    assert all(len(payload) <= snapshot.CHUNK_BYTES_MAX for payload in chunks)
    assert big.snapshot()[0].content == manifest.content
    assert install(manifest, chunks, MemoryKeyValue()).root() == big.state.root()


def test_many_circles_share_a_chunk() -> None:
    maker = SnapshotMaker()
    maker.commit({b"\x01a": b"b"})
    for n in range(50):
        maker.circle(bytes([n]) * 33, {b"k": bytes([n])})
    manifest, chunks = maker.snapshot()
    assert len(chunks) == 1
    trees = [section.tree for section in Unpacking(manifest).read(chunks[0])]
    assert trees == [GLOBAL, *(bytes([n]) * 33 for n in range(50))]
    assert install(manifest, chunks, MemoryKeyValue()).circle_get(b"\x09" * 33, b"k") == b"\x09"


def test_sections_are_rows_of_one_tree() -> None:
    rows = [(GLOBAL, (b"a", b"1")), (GLOBAL, (b"b", b"2")), (b"\x01" * 33, (b"c", b"3"))]
    assert list(snapshot.pack(iter(rows))) == [
        (snapshot.encode([Section(GLOBAL, ((b"a", b"1"), (b"b", b"2"))), Section(b"\x01" * 33, ((b"c", b"3"),))]), 3)
    ]
