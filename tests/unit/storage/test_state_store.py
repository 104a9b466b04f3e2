"""Commits, roots, proofs, Circles, pruning, start-up check."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from octra.codec import decode
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
from octra.storage.history import History
from octra.storage.kv import Batch, Family, KeyValue, u64
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateStore, Write

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


def rows_of(store: KeyValue, *families: Family) -> list[tuple[bytes, bytes]]:
    return [row for family in families for row in store.scan(family, b"", None, limit=10_000)]


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


def test_writing_the_same_value_again_writes_no_row_of_the_state(store: KeyValue) -> None:
    state = StateStore(store, flush_heights=1)
    root = commit(state, 0, a=b"1", b=b"2")
    before = rows_of(store, Family.STATE, Family.LEAF, Family.NODE, Family.ROOT)
    assert commit(state, 1, a=b"1", missing=None) == root
    assert rows_of(store, Family.STATE, Family.LEAF, Family.NODE, Family.ROOT) == before
    assert decode(store.get(Family.HISTORY, u64(1)) or b"", History) == History(root, [])


def test_values_that_the_caller_has_read_give_the_rows_of_those_that_the_store_reads() -> None:
    stores = [MemoryKeyValue(), MemoryKeyValue()]
    writes = [(b"a", b"1"), (b"b", None), (b"c", b"3"), (b"d", b"new")]
    for store, known in zip(stores, (False, True), strict=True):
        state = StateStore(store, flush_heights=1)
        commit(state, 0, a=b"1", b=b"2", c=b"2")
        before = state.latest.get_many([key for key, _ in writes]) if known else None
        state.commit(1, writes, {}, no_seal, before=before)
        assert state.latest.get_many([b"a", b"b", b"c", b"d"]) == [b"1", None, b"3", b"new"]
    assert rows_of(stores[0], *Family) == rows_of(stores[1], *Family)


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


@pytest.mark.parametrize("flush_heights", [1, 7, 100])
def test_old_heights_answer_until_they_are_pruned_and_newer_ones_after(store: KeyValue, flush_heights: int) -> None:
    state = StateStore(store, retention=4, flush_heights=flush_heights)
    roots, chance = [], random.Random(2)
    for height in range(30):
        rows: dict[str, bytes | None] = {
            f"k{chance.randrange(20)}": chance.choice([None, b"%d" % height]) for _ in "1234"
        }
        rows["height"] = b"%d" % height
        roots.append(commit(state, height, **rows))
    assert [state.root(height) for height in range(30)] == roots
    for height in range(30):
        check_height(state, height, roots[height])
    while state.prune_step(rows_max=7):
        pass
    for height in range(25):
        with pytest.raises(NotFound):
            state.prove(b"height", height)
        with pytest.raises(NotFound):
            state.root(height)
    for again in (state, StateStore(store)):
        for height in range(25, 30):
            check_height(again, height, roots[height])
    with pytest.raises(NotFound):
        state.root(30)


def check_height(state: StateStore, height: int, root: bytes) -> None:
    proven = state.prove(b"height", height)
    assert (proven.value, proven.root) == (b"%d" % height, root)
    for key in (b"height", b"k3", b"k7", b"absent"):
        proven = state.prove(key, height)
        assert verify_key(root, key, proven.value, proven.proof)


def test_pruning_leaves_a_row_for_each_branch_leaf_and_kept_height(store: KeyValue) -> None:
    state = StateStore(store, retention=1, flush_heights=1)
    rows: dict[bytes, bytes] = {}
    chance = random.Random(3)
    for height in range(40):
        writes = [(b"k%d" % chance.randrange(30), chance.choice([None, b"%d" % height])) for _ in range(5)]
        state.commit(height, writes, {}, no_seal)
        rows = dict(state.scan(b"", 1_000))
    while state.prune_step():
        pass
    assert len(rows_of(store, Family.NODE)) == len(rows) - 1
    assert {key[32:]: value for key, value in rows_of(store, Family.LEAF)} == {path_of(key): key for key in rows}
    assert len(rows_of(store, Family.ROOT)) == 1
    assert [key for key, _ in rows_of(store, Family.HISTORY)] == [u64(38), u64(39)]


def test_what_the_next_start_needs_outlives_its_retention(store: KeyValue) -> None:
    state = StateStore(store, retention=1, flush_heights=100)
    roots = [commit(state, height, a=b"%d" % height, b=b"x") for height in range(20)]
    assert state.prune_step() == 0
    with pytest.raises(NotFound):
        state.root(17)
    assert StateStore(store).root() == roots[-1]


def test_a_pinned_height_is_kept(store: KeyValue) -> None:
    state = StateStore(store, retention=1, flush_heights=2)
    for height in range(10):
        commit(state, height, a=b"%d" % height, b=b"x")
        if height == 3:
            state.pin("checkpoint", 3)
    while state.prune_step():
        pass
    assert state.prove(b"a", 3).value == b"3"
    state.unpin("checkpoint")
    while state.prune_step():
        pass
    with pytest.raises(NotFound):
        state.prove(b"a", 3)


def test_a_reader_of_one_instant_sees_no_later_commit_and_no_pruning(store: KeyValue) -> None:
    state = StateStore(store, retention=1, flush_heights=2)
    root = commit(state, 0, a=b"old", b=b"b")
    with state.at_latest() as reader:
        for height in range(1, 8):
            commit(state, height, a=b"%d" % height)
        while state.prune_step():
            pass
        proven = reader.prove(b"a")
        assert (proven.value, proven.root, proven.height) == (b"old", root, 0)
        assert verify_key(root, b"a", proven.value, proven.proof)
        assert reader.get(b"a") == b"old"
    assert state.get(b"a") == b"7"


@pytest.mark.parametrize("family", [Family.NODE, Family.ROOT, Family.HISTORY, Family.STATE])
@pytest.mark.parametrize("reference", [False, True])
def test_a_lost_or_damaged_row_stops_the_start(
    family: Family, reference: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reference:
        monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    whole = MemoryKeyValue()
    state = StateStore(whole)
    commit(state, 0, a=b"1", b=b"2")
    commit(state, 1, a=b"3")
    for key, row in rows_of(whole, family):
        if key == u64(0):
            continue  # of a height that is flushed: nothing needs it any more
        for broken in (None, row[:-1] + bytes([row[-1] ^ 1]), row[: len(row) // 2]):
            store = whole.copy()
            batch = Batch()
            if broken is None:
                batch.delete(family, key)
            else:
                batch.put(family, key, broken)
            store.write(batch, durable=False)
            # A value that did not change since, or was replaced, is looked at by nothing but its proof.
            with pytest.raises(CorruptStore):
                look_at_everything(store)


def look_at_everything(store: KeyValue) -> None:
    state = StateStore(store)
    state.prove(b"b")
    state.prove(b"a", 0)


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
