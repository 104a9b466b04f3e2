"""Laws of the state tree: the root depends on the rows alone, and proofs say the truth."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.consensus.statetree import TreeProof, hash_branch, verify_key
from octra.storage.errors import CorruptStore
from octra.storage.memory import FaultyKeyValue, MemoryKeyValue, PowerCut
from octra.storage.state import StateStore
from octra.storage.tree.nodes import (
    Link,
    decode_children,
    decode_link,
    encode_children,
    encode_link,
    position,
)
from octra.storage.tree.path import common_bits

keys = st.integers(0, 40).map(lambda number: b"key %d" % number)
batches = st.lists(st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), max_size=12), max_size=8)


def run(store: StateStore, updates: list[list[tuple[bytes, bytes | None]]]) -> bytes:
    root = bytes(32)
    for height, writes in enumerate(updates):
        root = store.commit(height, writes, {}, lambda roots: [])
    return root


@given(batches, st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_any_batching_of_the_same_updates_gives_the_same_root(
    updates: list[list[tuple[bytes, bytes | None]]], size: int
) -> None:
    flat = [write for writes in updates for write in writes]
    state = StateStore(MemoryKeyValue())
    root = run(state, updates)
    assert root == run(StateStore(MemoryKeyValue()), [flat[i : i + size] for i in range(0, len(flat), size)])
    assert root == run(StateStore(MemoryKeyValue()), [[write] for write in flat])
    rows = {key: value for key, value in dict(flat).items() if value is not None}
    assert root == run(StateStore(MemoryKeyValue()), [list(rows.items())])
    if updates:
        assert dict(state.scan(b"", 1_000)) == rows
        for key in (b"key 0", b"key 1", b"absent"):
            proven = state.prove(key)
            assert proven.value == rows.get(key)
            assert verify_key(root, key, proven.value, proven.proof)


@given(
    st.dictionaries(keys, st.binary(max_size=3), min_size=1),
    keys,
    st.none() | st.binary(max_size=3),
    st.builds(
        TreeProof,
        st.integers(-1, 3),
        st.binary(max_size=4),
        st.binary(max_size=128).map(lambda raw: raw[: len(raw) // 32 * 32]),
        st.binary(max_size=64),
    ),
)
@settings(deadline=None)
def test_an_invented_proof_never_shows_a_falsehood(
    rows: dict[bytes, bytes], key: bytes, claim: bytes | None, proof: TreeProof
) -> None:
    root = run(StateStore(MemoryKeyValue()), [list(rows.items())])
    assert not verify_key(root, key, claim, proof) or claim == rows.get(key)


@given(batches, st.integers(1, 4), st.data())
@settings(max_examples=30, deadline=None)
def test_after_a_power_cut_a_height_is_there_as_a_whole_or_not_at_all(
    updates: list[list[tuple[bytes, bytes | None]]], flush_heights: int, data: st.DataObject
) -> None:
    """Acknowledged heights survive any cut; the one in flight may, but then completely. And so again after a restart."""
    eager = StateStore(MemoryKeyValue(), flush_heights=1)
    roots = [eager.commit(height, writes, {}, lambda roots: []) for height, writes in enumerate(updates)]
    found = MemoryKeyValue()
    while True:
        cut = data.draw(st.integers(0, len(updates)), "write that the cut hits")
        faulty = FaultyKeyValue(found, power_cut_at=cut)
        state = StateStore(faulty, flush_heights=flush_heights)
        first = 0 if state.head is None else state.head.height + 1
        acknowledged = first - 1
        try:
            for height in range(first, len(updates)):
                assert state.commit(height, updates[height], {}, lambda roots: []) == roots[height]
                acknowledged = height
        except PowerCut:
            pass
        found = faulty.recover(data.draw(st.integers(0, faulty.unsynced()), "unsynced batches that survive"))
        restarted = StateStore(found, flush_heights=flush_heights)
        head = restarted.head
        if head is None:
            assert acknowledged == -1
        else:
            assert acknowledged <= head.height <= acknowledged + 1
            assert restarted.root() == head.state_root == roots[head.height]
            for height in range(head.height + 1):
                for key in (b"key 1", b"absent"):
                    assert restarted.prove(key, height) == eager.prove(key, height)
        if acknowledged == len(updates) - 1:
            return


paths = st.binary(min_size=32, max_size=32)


@given(st.integers(0, 256), paths, paths)
def test_a_root_row_decodes_to_the_link(bit: int, path: bytes, hashed: bytes) -> None:
    assert decode_link(encode_link(Link(bit, path, hashed))) == Link(bit, path, hashed)


@given(st.integers(0, 255), paths, st.tuples(*[st.builds(Link, st.integers(0, 256), paths, paths)] * 2), st.data())
def test_only_the_row_that_a_branch_was_stored_as_decodes(
    bit: int, path: bytes, children: tuple[Link, Link], data: st.DataObject
) -> None:
    row = encode_children(children)
    link = Link(bit, path, hash_branch(bit, children[0].hash, children[1].hash))
    assert decode_children(row, link) == children
    with pytest.raises(CorruptStore):
        decode_children(row[: data.draw(st.integers(0, len(row) - 1))], link)
    with pytest.raises(CorruptStore):
        decode_children(row, Link(bit, path, data.draw(paths.filter(lambda other: other != link.hash))))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255), paths, paths)
def test_branches_share_a_row_exactly_when_they_stand_at_the_same_place(
    tree: bytes, bit: int, one: bytes, other: bytes
) -> None:
    same = position(tree, Link(bit, one, bytes(32))) == position(tree, Link(bit, other, bytes(32)))
    assert same == (one == other or common_bits(one, other) >= bit)
