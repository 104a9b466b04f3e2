"""Commits, roots, proofs, Circles, pruning, start-up check."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from octra.consensus.statetree import (
    EMPTY_TREE,
    TreeProof,
    circle_path_of,
    circle_value_hash,
    hash_branch,
    hash_leaf,
    path_of,
    value_hash,
    verify_circle_key,
    verify_key,
)
from octra.storage.errors import CorruptStore, NotFound
from octra.storage.kv import Batch, Family, KeyValue
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateReader, StateStore, Write

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/storage/tree.json").read_text())
CIRCLE = b"\x07" * 33


def naive_root(leaves: Sequence[tuple[bytes, bytes]], bit: int = 0) -> bytes:
    """The definition, read literally: (path, value hash) pairs split at the first bit in which they differ."""
    if not leaves:
        return EMPTY_TREE
    if len(leaves) == 1:
        return hash_leaf(*leaves[0])
    sides: tuple[list[tuple[bytes, bytes]], ...] = ([], [])
    for leaf in leaves:
        sides[int.from_bytes(leaf[0], "big") >> (255 - bit) & 1].append(leaf)
    if sides[0] and sides[1]:
        return hash_branch(bit, naive_root(sides[0], bit + 1), naive_root(sides[1], bit + 1))
    return naive_root(leaves, bit + 1)


def naive_state_root(rows: Mapping[bytes, bytes]) -> bytes:
    return naive_root([(path_of(key), value_hash(value)) for key, value in rows.items()])


def no_seal(roots: Mapping[bytes, bytes]) -> Sequence[Write]:
    assert not roots
    return []


def commit(state: StateStore, height: int, /, **rows: bytes | None) -> bytes:
    return state.commit(height, [(key.encode(), value) for key, value in rows.items()], {}, no_seal)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("empty", {}),
        ("a:1", {"a": b"1"}),
        ("a:1 b:2", {"a": b"1", "b": b"2"}),
        ("first_100", {f"k{i}": f"v{i}".encode() for i in range(100)}),
    ],
)
def test_roots_equal_the_frozen_vectors(name: str, rows: dict[str, bytes]) -> None:
    assert commit(StateStore(MemoryKeyValue()), 0, **rows).hex() == VECTORS[name]


def test_any_sequence_of_batches_gives_the_root_of_the_naive_definition(store: KeyValue) -> None:
    chance = random.Random(1)
    state, rows = StateStore(store), dict[bytes, bytes]()
    for height in range(60):
        writes: dict[bytes, bytes | None] = {}
        for _ in range(chance.choice([0, 1, 2, 40])):
            key = b"key%d" % chance.randrange(120)
            writes[key] = None if chance.random() < 0.4 else b"value%d" % chance.randrange(5)
        for key, value in writes.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
        assert state.commit(height, list(writes.items()), {}, no_seal) == naive_state_root(rows)
        assert dict(state.scan(b"", 1_000)) == rows


def test_deleting_what_was_added_restores_the_former_root(store: KeyValue) -> None:
    state = StateStore(store)
    before = commit(state, 0, a=b"1", b=b"2", c=b"3")
    commit(state, 1, d=b"4", e=b"5", a=b"9")
    assert commit(state, 2, d=None, e=None, a=b"1") == before
    assert commit(state, 3, a=None, b=None, c=None) == EMPTY_TREE


def test_writing_the_same_value_again_makes_no_node(store: KeyValue) -> None:
    state = StateStore(store)
    commit(state, 0, a=b"1", b=b"2")
    rows = len(list(store.scan(Family.NODE, b"", None, limit=100)))
    commit(state, 1, a=b"1", missing=None)
    assert len(list(store.scan(Family.NODE, b"", None, limit=100))) == rows


def test_proofs_verify_for_present_and_absent_keys_and_no_others(store: KeyValue) -> None:
    state = StateStore(store)
    root = commit(state, 0, **{f"k{i}": b"%d" % i for i in range(200)})
    for i in range(0, 220, 7):
        key = b"k%d" % i
        proven = state.prove(key)
        assert (proven.value, proven.root, proven.height) == (b"%d" % i if i < 200 else None, root, 0)
        assert verify_key(root, key, proven.value, proven.proof)
        assert not verify_key(root, key, b"other", proven.proof)
        assert not verify_key(bytes(32), key, proven.value, proven.proof)
        assert not verify_key(root, b"other", proven.value, proven.proof)
        assert not verify_key(root, key, None if proven.value is not None else b"0", proven.proof)


def test_every_flipped_bit_of_a_proof_makes_it_fail() -> None:
    state = StateStore(MemoryKeyValue())
    root = commit(state, 0, **{f"k{i}": b"%d" % i for i in range(20)})
    for key in (b"k3", b"absent"):
        value, proof, _, _ = state.prove(key)
        for name in ("bits", "siblings", "other"):
            part = getattr(proof, name)
            for bit in range(8 * len(part)):
                forged = bytearray(part)
                forged[bit // 8] ^= 1 << bit % 8
                fields = {"bits": proof.bits, "siblings": proof.siblings, "other": proof.other, name: bytes(forged)}
                assert not verify_key(root, key, value, TreeProof(proof.kind, **fields))
        for kind in range(-1, 5):
            assert (kind == proof.kind) == verify_key(
                root, key, value, TreeProof(kind, proof.bits, proof.siblings, proof.other)
            )


def test_a_proof_of_an_empty_tree_holds_only_for_the_empty_root() -> None:
    state = StateStore(MemoryKeyValue())
    commit(state, 0)
    value, proof, root, _ = state.prove(b"a")
    assert value is None
    assert verify_key(root, b"a", None, proof)
    assert not verify_key(b"\1" * 32, b"a", None, proof)
    assert not verify_key(root, b"a", None, TreeProof(proof.kind, b"\1", b"\0" * 32))


def test_an_inner_node_cannot_be_passed_off_as_a_leaf() -> None:
    """A branch hashes 66 bytes under another tag than the 64 of a leaf, so its parts prove nothing as a leaf."""
    left, right = hash_leaf(path_of(b"a"), value_hash(b"1")), hash_leaf(path_of(b"b"), value_hash(b"2"))
    root = hash_branch(0, left, right)
    assert not verify_key(root, b"zzz", None, TreeProof(1, b"", b"", left + right))


def test_circle_roots_reach_the_records_that_seal_writes(store: KeyValue) -> None:
    state = StateStore(store)

    def seal(roots: Mapping[bytes, bytes]) -> Sequence[Write]:
        return [(b"\x0b" + circle, b"record " + root) for circle, root in roots.items()]

    writes: list[Write] = [(b"n%d" % i, b"%d" % i) for i in range(30)]
    root = state.commit(0, [(b"\x0b" + CIRCLE, b"overruled")], {CIRCLE: writes}, seal)
    circle_root = state.circle_root(CIRCLE)
    assert circle_root == naive_root(
        [(circle_path_of(key), circle_value_hash(key, value)) for key, value in writes if value is not None]
    )
    record = state.prove(b"\x0b" + CIRCLE)
    assert record.value == b"record " + circle_root
    assert verify_key(root, b"\x0b" + CIRCLE, record.value, record.proof)
    for key in (b"n7", b"n99"):
        slot = state.prove_circle(CIRCLE, key)
        assert slot.root == circle_root
        assert verify_circle_key(circle_root, key, slot.value, slot.proof)
    assert state.circle_get(CIRCLE, b"n7") == b"7"
    assert state.get(b"n7") is None
    assert list(state.circle_scan(CIRCLE, b"n1", b"n12", 10)) == [(b"n1", b"1"), (b"n10", b"10"), (b"n11", b"11")]
    assert len(list(state.circle_scan(CIRCLE, b"", b"", 100))) == 30
    assert list(state.circle_scan(CIRCLE, b"n5", b"n1", 100)) == []
    assert list(state.circle_scan(b"\x08" * 33, b"", b"", 100)) == []


def test_two_circles_with_equal_keys_have_equal_roots_but_own_rows(store: KeyValue) -> None:
    state = StateStore(store)
    one, two = b"\1" * 33, b"\2" * 33
    state.commit(0, [], {one: [(b"k", b"v")], two: [(b"k", b"v")]}, lambda roots: [])
    state.commit(1, [], {one: [(b"k", None)]}, lambda roots: [])
    assert state.circle_root(one) == EMPTY_TREE
    assert state.circle_get(two, b"k") == b"v"
    assert state.circle_root(one, 0) == state.circle_root(two, 1) != EMPTY_TREE


def test_old_heights_answer_until_they_are_pruned_and_newer_ones_after(store: KeyValue) -> None:
    state = StateStore(store, retention=4)
    roots, chance = [], random.Random(2)
    for height in range(30):
        rows = {f"k{chance.randrange(20)}": b"%d" % height for _ in range(4)}
        rows["height"] = b"%d" % height
        roots.append(commit(state, height, **rows))
    assert [state.root(height) for height in range(30)] == roots
    while state.prune_step(rows_max=7):
        pass
    for height in range(30):
        if height < 25:
            with pytest.raises(NotFound):
                state.prove(b"height", height)
            continue
        proven = state.prove(b"height", height)
        assert proven.value == state.value_at(b"height", height) == b"%d" % height
        assert verify_key(roots[height], b"height", proven.value, proven.proof)
    with pytest.raises(NotFound):
        state.root(30)
    assert StateStore(store).root() == roots[-1]
    assert all(int.from_bytes(key[:8], "big") > 25 for key, _ in store.scan(Family.STALE, b"", None, limit=10_000))


def test_pruning_leaves_exactly_the_nodes_that_kept_versions_reach(store: KeyValue) -> None:
    state = StateStore(store, retention=1)
    rows: dict[bytes, bytes] = {}
    chance = random.Random(3)
    for height in range(40):
        writes = [(b"k%d" % chance.randrange(30), chance.choice([None, b"%d" % height])) for _ in range(5)]
        state.commit(height, writes, {}, no_seal)
        rows = dict(state.scan(b"", 1_000))
    commit(state, 40)
    while state.prune_step():
        pass
    assert len(list(store.scan(Family.NODE, b"", None, limit=10_000))) == 2 * len(rows) - 1
    assert len(list(store.scan(Family.ROOT, b"", None, limit=10_000))) == 1


def test_a_pinned_height_is_kept(store: KeyValue) -> None:
    state = StateStore(store, retention=1)
    for height in range(10):
        commit(state, height, a=b"%d" % height, b=b"x")
        if height == 3:
            state.pin("checkpoint", 3)
    while state.prune_step():
        pass
    assert state.value_at(b"a", 3) == b"3"
    state.unpin("checkpoint")
    while state.prune_step():
        pass
    with pytest.raises(NotFound):
        state.value_at(b"a", 3)


def test_a_reader_of_one_instant_sees_no_later_commit_and_no_pruning(store: KeyValue) -> None:
    state = StateStore(store, retention=1)
    root = commit(state, 0, a=b"old", b=b"b")
    with state.at_latest() as reader:
        for height in range(1, 8):
            commit(state, height, a=b"%d" % height)
        while state.prune_step():
            pass
        proven = StateReader(reader._view).prove(b"a")
        assert (proven.value, proven.root, proven.height) == (b"old", root, 0)
        assert verify_key(root, b"a", proven.value, proven.proof)
        assert reader.get(b"a") == b"old"
    assert state.get(b"a") == b"7"


def test_a_wrong_root_node_stops_the_start(store: KeyValue) -> None:
    state = StateStore(store)
    commit(state, 0, a=b"1", b=b"2")
    head = state.head
    assert head is not None
    row = store.get(Family.NODE, head.root_ref)
    assert row is not None
    for broken in (row[:-1] + bytes([row[-1] ^ 1]), row[:50], b""):
        batch = Batch()
        batch.put(Family.NODE, head.root_ref, broken)
        store.write(batch, durable=False)
        with pytest.raises(CorruptStore):
            StateStore(store)
    batch = Batch()
    batch.delete(Family.NODE, head.root_ref)
    store.write(batch, durable=False)
    with pytest.raises(CorruptStore):
        StateStore(store)


def test_a_commit_whose_seal_fails_changes_nothing_and_can_be_repeated(store: KeyValue) -> None:
    state = StateStore(store)
    commit(state, 0, a=b"1", b=b"2")

    def failing(roots: Mapping[bytes, bytes]) -> Sequence[Write]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        state.commit(1, [(b"a", b"x")], {CIRCLE: [(b"k", b"wrong")]}, failing)
    root = state.commit(1, [], {CIRCLE: [(b"k", b"right")]}, lambda roots: [(b"r", roots[CIRCLE])])
    assert state.prove_circle(CIRCLE, b"k").value == b"right"
    assert verify_key(root, b"a", b"1", state.prove(b"a").proof)
