"""Batches are checked together: when that is due, and what is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from octra.consensus.batch import batch_id, make_batch
from octra.consensus.events import BatchChecked
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger import transactions as tx
from octra.crypto.ed25519 import SigningKey
from octra.node import checking
from octra.node.checking import Checking
from octra.storage.blocks import BlockStore
from octra.storage.kv import Batch
from octra.storage.memory import MemoryKeyValue

CHAIN, ANCHOR = bytes([3]) * 32, bytes([9]) * 32
KEY, STRANGER = SigningKey(bytes(32)), SigningKey(bytes([1]) * 32)
RULES = tx.StaticRules(CHAIN, None, (fees.Prices(),), 4)
LONGEST_MS = 20 * checking.SEAT_MS


class Seat:
    """A seat of `size`, and the batches that it holds."""

    def __init__(self, size: int) -> None:
        self.committee = SimpleNamespace(size=size, anchor=ANCHOR)
        self.blocks = BlockStore(MemoryKeyValue())
        parts: Any = SimpleNamespace(
            stores=SimpleNamespace(blocks=self.blocks),
            seating=SimpleNamespace(committee=self.committee),
            facts=SimpleNamespace(params=SimpleNamespace(static_rules=lambda epoch: RULES)),
        )
        self.checking = Checking(parts)

    def hold(self, *signers: SigningKey) -> bytes:
        """A batch of transfers of one account, signed by these."""
        op = ops.Transfer(bytes([7]) * 32, 1, b"")
        items = [
            tx.sign(tx.build(chain=CHAIN, sender=KEY.public, nonce=nonce, expiry_epoch=20, fee=1_000, op=op), signer)
            for nonce, signer in enumerate(signers, 1)
        ]
        data = make_batch(ANCHOR, 0, len(signers), items)
        self.blocks.put_batch(Batch(), 0, batch_id(data), data)
        return batch_id(data)


def test_the_more_a_batch_holds_the_longer_it_waits_for_others_up_to_a_limit() -> None:
    seat = Seat(24)
    small, large, largest = seat.hold(KEY), seat.hold(*[KEY] * 20), seat.hold(*[KEY] * 400)
    assert seat.checking.add(largest, 1_000) == 1_000 + LONGEST_MS
    due_ms = seat.checking.add(large, 1_000)
    assert due_ms is not None
    assert 1_010 < due_ms < 1_000 + LONGEST_MS
    soon_ms = seat.checking.add(small, 1_000)
    assert soon_ms is not None
    assert soon_ms <= 1_006
    assert not seat.checking.is_due(soon_ms - 1)
    assert seat.checking.is_due(soon_ms)


def test_few_seats_do_not_wait() -> None:
    seat = Seat(4)
    assert seat.checking.add(seat.hold(*[KEY] * 200), 1_000) == 1_000


def test_a_later_batch_does_not_put_the_check_off() -> None:
    seat = Seat(24)
    due_ms = seat.checking.add(seat.hold(*[KEY] * 30), 1_000)
    assert due_ms is not None
    assert seat.checking.add(seat.hold(*[KEY] * 31), 1_001) is None
    assert seat.checking.is_due(due_ms)


@pytest.mark.parametrize("without_library", ["", "1"])
def test_all_that_wait_are_judged_each_by_its_own_first_bad_item(
    without_library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTRA_NO_KERNEL", without_library)
    seat = Seat(24)
    good, bad = seat.hold(KEY, KEY), seat.hold(KEY, STRANGER, STRANGER)
    for id in (good, bad, bytes(32)):
        seat.checking.add(id, 0)
    found = seat.checking.check()
    assert sorted(found, key=lambda one: one.id) == sorted(
        [BatchChecked(good, None), BatchChecked(bad, 1)], key=lambda one: one.id
    )
    assert seat.checking.found(bad) == BatchChecked(bad, 1)
    assert seat.checking.found(bytes(32)) is None, "its bytes are not held"
    assert not seat.checking.is_due(1 << 40)
    assert seat.checking.check() == []


def test_a_batch_of_a_committee_that_is_gone_has_no_verdict() -> None:
    seat = Seat(24)
    gone = seat.hold(KEY)
    seat.checking.add(gone, 0)
    seat.committee.anchor = bytes(32)
    assert seat.checking.check() == []
    assert seat.checking.found(gone) is None
