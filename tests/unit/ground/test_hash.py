"""The internal hash and the Merkle tree over transactions and receipts."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.crypto.hash import EMPTY_ROOT, H, merkle_path, merkle_root, merkle_verify, tag16

leaves_lists = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def reference_root(leaves: list[bytes]) -> bytes:
    """Split at the largest power of two below the count, as the definition says."""
    if len(leaves) == 1:
        return H("octra.leaf", leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return H("octra.node", reference_root(leaves[:split]), reference_root(leaves[split:]))


def test_the_tag_separates_equal_contents() -> None:
    assert H("octra.a", b"x") != H("octra.b", b"x")
    assert H("octra.a", b"x", b"y") == H("octra.a", b"xy")
    assert H("octra.a", b"x") == blake2b(b"x", digest_size=32, person=b"octra.a").digest()


def test_the_signed_tag_is_padded_to_sixteen_bytes() -> None:
    assert tag16("octra.tx.v2") == b"octra.tx.v2\0\0\0\0\0"


def test_the_empty_tree_is_thirty_two_zero_bytes() -> None:
    assert merkle_root([]) == EMPTY_ROOT == bytes(32)


@given(leaves_lists)
def test_the_root_follows_the_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == reference_root(leaves)


@given(leaves_lists, st.data())
def test_every_leaf_proves_its_place(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle_path(leaves, index)
    assert merkle_verify(merkle_root(leaves), leaves[index], index, len(leaves), path)


@given(leaves_lists, st.data())
def test_a_changed_proof_fails(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle_root(leaves), merkle_path(leaves, index)
    assert not merkle_verify(root, leaves[index] + b"!", index, len(leaves), path)
    assert not merkle_verify(root, leaves[index], index, len(leaves), (*path, bytes(32)))
    assert not merkle_verify(root, leaves[index], len(leaves), len(leaves), path)
    if path:
        assert not merkle_verify(root, leaves[index], index, len(leaves), path[:-1])
        assert not merkle_verify(root, leaves[index], index, len(leaves), (b"short", *path[1:]))


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_another_index_fails(count: int) -> None:
    leaves = [bytes([i]) for i in range(count)]
    assert not merkle_verify(merkle_root(leaves), leaves[0], 1, count, merkle_path(leaves, 0))
