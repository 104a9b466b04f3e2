"""Transfers in a row leave what the general way leaves: writes, receipts, skips and places."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledger_double import ALICE, BOB, CAROL, CHAIN, COINS, NOBODY, START_MS, Chain, address

from octra.codec import decode, encode
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.outcome import Outcome
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.transfers import Transfers
from octra.consensus.ledger.transition import LedgerBatch, LedgerCommit
from octra.primitives import AMOUNT_MAX

PEOPLE = (ALICE, BOB, CAROL, NOBODY)  # the last has no money


class Payment(NamedTuple):
    """A transfer, or with `to` None the burning of its amount; with `cut` some bytes too short."""

    sender: int
    to: int | None
    amount: int
    nonce: int
    fee: int
    expiry: int
    memo: int = 0  # bytes
    cut: int = 0


payments = st.builds(
    Payment,
    sender=st.integers(0, 3),
    to=st.none() | st.integers(0, 5),
    amount=st.sampled_from([1, 5, 6, 7, COINS // 2, COINS, AMOUNT_MAX]),
    nonce=st.integers(1, 5) | st.sampled_from([64, 65, 66]),
    fee=st.sampled_from([999, 1_000, 1_000, 1_001, 5_000, COINS]),
    expiry=st.sampled_from([0, 100, 100, 100, 1_024, 1_025, 2_000]),
    memo=st.sampled_from([0, 0, 90, 256]),
    cut=st.sampled_from([0] * 19 + [1]),
)
blocks = st.lists(st.lists(payments, min_size=1, max_size=12), min_size=1, max_size=3)


def item(chain: Chain, payment: Payment) -> bytes:
    """The signed bytes. Receivers beyond the people are the operator of a seat and an account that is nearly full."""
    key = PEOPLE[payment.sender]
    receivers = [*map(address, PEOPLE), chain.params.seats[0].operator, bytes(32)]
    op: ops.Op = ops.Burn(payment.amount)
    if payment.to is not None:
        op = ops.Transfer(receivers[payment.to], payment.amount, bytes(payment.memo))
    body = tx.build(
        chain=CHAIN, sender=key.public, nonce=payment.nonce, expiry_epoch=payment.expiry, fee=payment.fee, op=op
    )
    wire = tx.sign(body, key)
    return wire[: len(wire) - payment.cut]


def outcome_of(plan: list[list[Payment]]) -> Outcome:
    chain = Chain()
    money = chain.view.get(keys.account(address(CAROL)))
    assert money is not None
    window = Account(decode(money, Account).balance, 1, 1 << 63 | 2)  # nonces 1, 3 and 65 are used
    chain.view.apply(
        [(keys.account(bytes(32)), encode(Account(AMOUNT_MAX - 5))), (keys.account(address(CAROL)), encode(window))]
    )
    batches = tuple(
        LedgerBatch(seat, tuple(item(chain, payment) for payment in block)) for seat, block in enumerate(plan)
    )
    return chain.apply(LedgerCommit(1, 1, START_MS + 1, bytes(32), batches))


@given(blocks)
@example([[Payment(2, 0, 1, 2, 1_000, 100), Payment(2, 0, 1, 4, 1_000, 100), Payment(2, 0, 1, 68, 1_000, 100)]])
@example([[Payment(0, 5, 6, 1, 1_000, 100), Payment(0, 5, 5, 2, 1_000, 100), Payment(1, 5, 1, 1, 1_000, 100)]])
@settings(max_examples=120, deadline=None)
def test_the_compiled_the_short_and_the_general_way_agree(plan: list[list[Payment]]) -> None:
    outcomes = [outcome_of(plan)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCTRA_NO_KERNEL", "1")
        outcomes.append(outcome_of(plan))
        patch.setattr(Transfers, "take", lambda *_: None)
        outcomes.append(outcome_of(plan))
    compiled, short, general = outcomes
    assert compiled == short == general


@pytest.mark.parametrize("without_library", ["", "1"])
def test_most_transfers_go_the_short_way(without_library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from octra.consensus.ledger import accounts

    monkeypatch.setenv("OCTRA_NO_KERNEL", without_library)
    monkeypatch.setattr(accounts, "transfer", lambda *_: pytest.fail("the general way"))
    plan = [[Payment(0, 1, 7, nonce, 1_000, 100) for nonce in (1, 2, 3)], [Payment(1, 4, 7, 1, 5_000, 100)]]
    outcome = outcome_of(plan)
    assert [receipt.status for receipt in outcome.receipts] == ["ok"] * 4
    assert [place.position for place in outcome.places] == [0, 1, 2, 3]


def test_a_place_counts_items_that_were_skipped() -> None:
    good = Payment(0, 1, 7, 1, 1_000, 100)
    outcome = outcome_of([[good._replace(nonce=66), good], [good, good._replace(nonce=2)]])
    assert [place.position for place in outcome.places] == [1, 3]
    assert [place.accounts for place in outcome.places] == [(address(ALICE), address(BOB))] * 2
    assert len(outcome.skipped) == 2
