"""Laws of the state tree: the root depends on the rows alone, and proofs say the truth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from octra.consensus.statetree import TreeProof, verify_key
from octra.storage.errors import CorruptStore
from octra.storage.memory import FaultyKeyValue, MemoryKeyValue, PowerCut
from octra.storage.state import StateReader, StateStore
from octra.storage.tree.nodes import Branch, Leaf, Link, decode_node, encode_node

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


@given(batches, st.data())
@settings(max_examples=60, deadline=None)
def test_after_a_power_cut_a_height_is_there_as_a_whole_or_not_at_all(
    updates: list[list[tuple[bytes, bytes | None]]], data: st.DataObject
) -> None:
    """Acknowledged heights survive any cut; the one in flight may, but then completely."""
    cut = data.draw(st.integers(0, len(updates)), "write that the cut hits")
    faulty = FaultyKeyValue(MemoryKeyValue(), power_cut_at=cut)
    state = StateStore(faulty)
    acknowledged = -1
    roots = []
    for height, writes in enumerate(updates):
        roots.append(run(StateStore(MemoryKeyValue()), updates[: height + 1]))
        try:
            state.commit(height, writes, {}, lambda roots: [])
        except PowerCut:
            break
        acknowledged = height
    found = faulty.recover(data.draw(st.integers(0, faulty.unsynced()), "unsynced batches that survive"))
    restarted = StateStore(found)
    head = restarted.head
    if head is None:
        assert acknowledged == -1
        return
    assert acknowledged <= head.height <= acknowledged + 1
    assert restarted.root() == head.state_root == roots[head.height]
    again = [list(StateReader(found).scan(b"", 1_000))]
    assert run(StateStore(MemoryKeyValue()), again) == head.state_root


links = st.builds(Link, st.binary(min_size=12, max_size=12), st.binary(min_size=32, max_size=32))
paths = st.binary(min_size=32, max_size=32)


@given(
    st.builds(Leaf, paths, paths, st.binary(max_size=600), st.binary(max_size=600))
    | st.builds(Branch, st.integers(0, 255), paths, links, links)
)
def test_a_node_row_decodes_to_the_node(node: Leaf | Branch) -> None:
    assert decode_node(encode_node(node)) == node


@given(st.binary(max_size=200))
def test_bytes_that_are_no_node_are_refused_or_encode_back(row: bytes) -> None:
    try:
        node = decode_node(row)
    except CorruptStore:
        return
    assert encode_node(node) == row
