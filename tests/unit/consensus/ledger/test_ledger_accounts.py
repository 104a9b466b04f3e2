"""Public money: transfers, fees, nonces, and what is skipped or fails."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_double import ALICE, BOB, CAROL, CHAIN, COINS, NOBODY, START_MS, Chain, SeatBehaviour, address, make_params
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.accounts import check_nonce, use_nonce
from octra.consensus.ledger.errors import NonceTooFar, NonceUsed, SupplyViolated
from octra.consensus.ledger.legacy import print_legacy
from octra.consensus.ledger.records import Account, Node, Pool, Supply
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transition import LedgerBatch, LedgerCommit, SeatFault, clock_of
from octra.primitives import CAP_UNITS, print_address


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_a_transfer_moves_the_amount_and_pays_its_fee(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.Transfer(address(NOBODY), 5_000, b"rent"))
    assert (receipt.status, receipt.code, receipt.fee_charged, receipt.height) == ("ok", 0, 1_000, 1)
    assert chain.balance(ALICE) == COINS - 6_000
    assert chain.balance(NOBODY) == 5_000


def test_a_fifth_of_the_fee_is_burned_and_the_rest_pays_for_ordering(chain: Chain) -> None:
    chain.run(ALICE, ops.Transfer(address(BOB), 1))
    supply = chain.supply()
    assert supply.burned == 200
    assert supply.pools[Pool.ORDER] == 800
    assert supply.total == CAP_UNITS


def test_what_is_above_the_minimum_is_a_tip_for_the_author_of_the_batch(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.Transfer(address(BOB), 1), fee=1_500)
    author = chain.params.seats[0]  # of the first commit
    assert receipt.fee_charged == 1_500
    operator = load(chain.view, keys.account(author.operator), Account)
    node = load(chain.view, keys.node(author.node_id), Node)
    assert operator is not None
    assert operator.balance == 500
    assert node is not None
    assert node.tips == 500


def test_a_multi_transfer_moves_all_or_nothing(chain: Chain) -> None:
    items = (ops.Payment(address(BOB), 10), ops.Payment(address(CAROL), 20))
    assert chain.run(ALICE, ops.MultiTransfer(items)).fee_charged == 1_500
    assert (chain.balance(BOB), chain.balance(CAROL)) == (COINS + 10, COINS + 20)
    too_much = (ops.Payment(address(BOB), 10), ops.Payment(address(CAROL), COINS))
    receipt = chain.run(ALICE, ops.MultiTransfer(too_much))
    assert (receipt.status, receipt.code) == ("failed", 2104)
    assert (chain.balance(BOB), chain.balance(CAROL)) == (COINS + 10, COINS + 20)
    assert chain.balance(ALICE) == COINS - 30 - 2 * 1_500


def test_burned_units_leave_the_public_supply(chain: Chain) -> None:
    chain.run(ALICE, ops.Burn(7_000))
    supply = chain.supply()
    assert supply.burned == 7_200
    assert supply.public == 5 * COINS - 8_000


def test_an_amount_beyond_the_balance_fails_and_keeps_the_fee_and_the_nonce(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.Transfer(address(BOB), COINS))
    assert (receipt.status, receipt.code, receipt.fee_charged) == ("failed", 2104, 1_000)
    assert chain.account(ALICE) == Account(COINS - 1_000, 1, 0)
    assert chain.balance(BOB) == COINS


def test_the_whole_balance_can_be_sent(chain: Chain) -> None:
    assert chain.run(ALICE, ops.Transfer(address(BOB), COINS - 1_000)).status == "ok"
    assert chain.balance(ALICE) == 0


def test_who_cannot_pay_the_fee_is_skipped_and_the_author_is_counted(chain: Chain) -> None:
    name = chain.submit(NOBODY, ops.Transfer(address(BOB), 1))
    outcome = chain.step()
    assert [(skip.tx, skip.code) for skip in outcome.skipped] == [(name, 2104)]
    assert not outcome.receipts
    node = load(chain.view, keys.node(chain.params.seats[0].node_id), Node)
    assert node is not None
    assert node.skipped == 1
    assert load(chain.view, keys.account(address(NOBODY)), Account) is None


def test_who_can_pay_exactly_the_fee_is_executed(chain: Chain) -> None:
    chain.run(ALICE, ops.Transfer(address(NOBODY), 1_000))
    receipt = chain.run(NOBODY, ops.Transfer(address(BOB), 1))
    assert (receipt.status, receipt.code) == ("failed", 2104)
    assert chain.account(NOBODY) == Account(0, 1, 0)


def test_a_duplicate_is_skipped_without_blame(chain: Chain) -> None:
    item = chain.item(ALICE, ops.Burn(1))
    outcome = chain.step(extra=[item, item])
    assert len(outcome.receipts) == 1
    assert [skip.code for skip in outcome.skipped] == [2102]
    node = load(chain.view, keys.node(chain.params.seats[0].node_id), Node)
    assert node is not None
    assert node.skipped == 0


def test_several_authors_may_order_one_senders_nonces_in_any_order(chain: Chain) -> None:
    for nonce in (64, 2, 1, 40):
        assert chain.run(ALICE, ops.Burn(1), nonce=nonce).status == "ok"
    assert chain.account(ALICE).nonce == 2
    for nonce, code in ((67, 2103), (40, 2102), (2, 2102)):
        chain.submit(ALICE, ops.Burn(1), nonce=nonce)
        assert [skip.code for skip in chain.step().skipped] == [code]
    assert chain.run(ALICE, ops.Burn(1), nonce=66).status == "ok"


@given(st.lists(st.integers(1, 100), max_size=60))
def test_the_nonce_window_behaves_like_a_set(nonces: list[int]) -> None:
    account, used = Account(), set[int]()
    for nonce in nonces:
        low = account.nonce
        try:
            check_nonce(account, nonce)
        except NonceUsed as error:
            assert nonce in used
            assert error.expected not in used
        except NonceTooFar:
            assert nonce > low + 64
        else:
            assert nonce not in used
            assert low < nonce <= low + 64
            account = use_nonce(account, nonce)
            used.add(nonce)
        assert account.used < 2**64
        assert {n for n in range(1, 200) if n <= account.nonce or account.used >> (n - account.nonce - 1) & 1} == used


def test_an_expired_transaction_is_skipped(chain: Chain) -> None:
    chain.step(dt_ms=20_000)
    assert clock_of(chain.view).epoch == 1
    chain.submit(ALICE, ops.Burn(1), expiry_epoch=0)
    assert [skip.code for skip in chain.step().skipped] == [2119]
    assert chain.run(ALICE, ops.Burn(1), expiry_epoch=1, nonce=1).status == "ok"


def test_a_transaction_of_another_chain_is_skipped(chain: Chain) -> None:
    chain.submit(ALICE, ops.Burn(1), chain=bytes([9]) * 32)
    assert [skip.code for skip in chain.step().skipped] == [2118]
    assert chain.balance(ALICE) == COINS


@pytest.mark.parametrize(("offset_s", "code"), [(0, 0), (300, 0), (-300, 0), (301, 2119), (-301, 2119)])
def test_a_legacy_transaction_needs_a_fresh_timestamp(chain: Chain, offset_s: int, code: int) -> None:
    text = print_legacy(
        sender=print_address(address(ALICE)), to=print_address(address(BOB)), amount=5, nonce=1, fee=1_000,
        timestamp=str((START_MS + 1_000) // 1_000 + offset_s),
    )  # fmt: skip
    chain.queue.append(tx.sign_legacy(text, ALICE))
    outcome = chain.step(dt_ms=1_000)
    assert [skip.code for skip in outcome.skipped] == ([code] if code else [])
    assert chain.balance(BOB) == COINS + (0 if code else 5)


def test_items_that_do_not_decode_are_skipped_and_change_nothing(chain: Chain) -> None:
    outcome = chain.step(extra=[b"", b"\x93", chain.item(ALICE, ops.Burn(1)) + b"x"])
    assert [skip.tx for skip in outcome.skipped] == [b"", b"", b""]
    assert not outcome.receipts
    assert chain.balance(ALICE) == COINS


def test_an_epoch_starts_with_the_first_commit_past_its_end(chain: Chain) -> None:
    epochs = [chain.step(dt_ms=dt).facts for dt in (19_999, 1, 19_999, 60_000)]
    assert [(facts.epoch, facts.epoch_started) for facts in epochs] == [(0, False), (1, True), (1, False), (2, True)]
    assert clock_of(chain.view).epoch_start_ms == START_MS + 99_999


def test_a_node_operation_that_nobody_asked_for_is_dropped(chain: Chain) -> None:
    node_ops: list[ops.Op] = [
        ops.EvaluationCommit(bytes(32), bytes(32)),
        ops.EvaluationReveal(bytes(32), (bytes(32),), bytes(32), bytes(32)),
        ops.DealCheck(bytes(32), b""),
        ops.InputPart(bytes(32), b""),
        ops.OpenCommit(bytes(32), bytes(32)),
        ops.OpenShare(bytes(32), b""),
    ]
    for key in (chain.keys[0], ALICE):
        outcome = chain.step(extra=[chain.item(key, op) for op in node_ops])
        assert [skip.code for skip in outcome.skipped] == [2115] * len(node_ops)
        assert not outcome.receipts


def test_evidence_that_vertices_carried_is_kept_once(chain: Chain) -> None:
    fault = SeatFault(2, bytes([5]) * 32)
    for _ in range(2):
        chain.step(evidence=[fault])
    node = load(chain.view, keys.node(chain.params.seats[2].node_id), Node)
    assert node is not None
    assert node.faults == 1


def test_supply_that_does_not_add_up_stops_the_node(chain: Chain) -> None:
    supply = chain.supply()
    chain.view.apply([(keys.SUPPLY, encode(replace(supply, public=supply.public + 1)))])
    with pytest.raises(SupplyViolated) as caught:
        chain.step()
    assert caught.value.difference == 1


def test_money_that_appears_in_an_account_stops_the_node(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    from octra.consensus.ledger import accounts
    from octra.consensus.ledger.execution import Execution

    def generous(x: Execution, transaction: tx.Transaction, op: ops.MultiTransfer) -> None:
        x.credit(op.items[0].to, op.items[0].amount)

    monkeypatch.setattr(accounts, "multi_transfer", generous)
    chain.submit(ALICE, ops.MultiTransfer((ops.Payment(address(BOB), 5), ops.Payment(address(CAROL), 5))))
    with pytest.raises(SupplyViolated):
        chain.step()


def test_encrypted_arithmetic_that_makes_money_stops_the_node_at_the_turnstile(chain: Chain) -> None:
    supply = chain.supply()
    chain.run(ALICE, ops.Encrypt(50))
    drained = replace(chain.supply(), private_pool=-1, emission_left=supply.emission_left + 51)
    chain.view.apply([(keys.SUPPLY, encode(drained))])
    with pytest.raises(SupplyViolated) as caught:
        chain.step()
    assert caught.value.difference == -1


def test_splitting_the_same_order_into_batches_changes_no_state() -> None:
    def final(cuts: tuple[int, ...]) -> bytes:
        chain = Chain()
        items = [chain.item(key, ops.Transfer(address(CAROL), n + 1)) for n in range(6) for key in (ALICE, BOB)]
        edges = [0, *cuts, len(items)]
        batches = tuple(LedgerBatch(1, tuple(items[a:b])) for a, b in pairwise(edges))
        chain.apply(LedgerCommit(1, 1, START_MS + 1, bytes(32), batches))
        return chain.view.root()

    assert final(()) == final((3,)) == final((1, 2, 11))


def test_genesis_leaves_the_rest_of_the_cap_for_emission() -> None:
    chain = Chain(params=make_params(7))
    assert chain.supply() == Supply(emission_left=CAP_UNITS - 5 * COINS, public=5 * COINS)


def test_silent_seats_do_not_stop_public_transfers(chain: Chain) -> None:
    chain.behaviours = {seat: SeatBehaviour(silent=True) for seat in range(4)}
    assert chain.run(ALICE, ops.Transfer(address(BOB), 1)).status == "ok"
    assert clock_of(chain.view).height == 1
    assert chain.params.chain == CHAIN
