"""Batches: framing that cannot lie, limits, one encoding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering.world import RealKeys

from octra.codec import encode
from octra.consensus.batch import (
    Batch,
    Items,
    admit_batch,
    batch_id,
    frame,
    items_of,
    joined_frame,
    make_batch,
)
from octra.consensus.errors import InvalidBatch
from octra.errors import InvalidInput


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=40))
def test_transactions_come_back_in_order(keys: RealKeys, transactions: list[bytes]) -> None:
    data = make_batch(keys.committee.anchor, 1, 5, transactions)
    batch = admit_batch(data, keys.committee)
    assert list(items_of(batch)) == transactions
    assert (batch.author, batch.sequence) == (1, 5)


def test_the_same_transactions_of_another_author_are_another_batch(keys: RealKeys) -> None:
    assert batch_id(make_batch(keys.committee.anchor, 1, 0, [b"a"])) != batch_id(
        make_batch(keys.committee.anchor, 2, 0, [b"a"])
    )


@pytest.mark.parametrize("transactions", [[], [b"x"] * 1_001, [bytes(262_144)]], ids=["none", "1,001", "too large"])
def test_a_batch_beyond_the_limits_is_not_made(keys: RealKeys, transactions: list[bytes]) -> None:
    with pytest.raises(InvalidBatch):
        make_batch(keys.committee.anchor, 1, 0, transactions)


def test_the_largest_count_is_admitted(keys: RealKeys) -> None:
    data = make_batch(keys.committee.anchor, 1, 0, [b"x"] * 1_000)
    assert len(items_of(admit_batch(data, keys.committee))) == 1_000


def _framed(*words: int, data: bytes = b"") -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words) + data


LIES = {
    "no count": b"\x01\0",
    "zero transactions": _framed(0, 0),
    "count beyond the bytes": _framed(200, 0, 1),
    "first offset not zero": _framed(1, 1, 2, data=b"xy"),
    "last offset short": _framed(1, 0, 1, data=b"xy"),
    "last offset long": _framed(1, 0, 3, data=b"xy"),
    "empty transaction": _framed(2, 0, 0, 2, data=b"xy"),
    "offsets fall": _framed(3, 0, 2, 1, 2, data=b"xy"),
}


@pytest.mark.parametrize("lie", LIES)
def test_framing_that_lies_is_refused(keys: RealKeys, lie: str) -> None:
    data = encode(Batch(1, keys.committee.anchor, 0, 0, LIES[lie]))
    with pytest.raises(InvalidBatch):
        admit_batch(data, keys.committee)


def test_author_committee_and_version_are_checked(keys: RealKeys) -> None:
    good = _framed(1, 0, 1, data=b"x")
    for batch in (
        Batch(2, keys.committee.anchor, 0, 0, good),
        Batch(1, bytes(32), 0, 0, good),
        Batch(1, keys.committee.anchor, 4, 0, good),
    ):
        with pytest.raises(InvalidBatch):
            admit_batch(encode(batch), keys.committee)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_typed_error(keys: RealKeys, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        admit_batch(data, keys.committee)


def test_batches_are_joined_as_if_their_transactions_were_framed_together() -> None:
    parts = [[b"one"], [b"two", b"three" * 100], [bytes(300)]]
    framed = [Items(frame(part)) for part in parts]
    assert joined_frame(framed) == frame([item for part in parts for item in part])
    assert joined_frame(framed[:1]) == frame(parts[0])
    assert joined_frame([]) == frame([])
