"""Encrypted balances from order to certificate, whatever the amounts and whoever misbehaves."""

from __future__ import annotations

import pytest
from ledger_double import ALICE, BOB, CAROL, COINS, DAVE, Chain, SeatBehaviour, address, make_params, with_limits

from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.records import ZERO, HandleStatus, JobStatus, Pool

WORK = make_params().prices


@pytest.fixture
def chain() -> Chain:
    """Alice has 100 encrypted units behind a real job, so that nothing is a public constant any more."""
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(ALICE), 30)
    chain.settle()
    chain.run(ALICE, ops.Collect())
    chain.settle()
    assert chain.handle(chain.private(ALICE).spendable).constant is None
    assert (chain.spendable(ALICE), chain.incoming(ALICE)) == (100, 0)
    return chain


def test_encrypting_into_a_public_constant_needs_no_evaluation() -> None:
    chain = Chain()
    receipt = chain.run(ALICE, ops.Encrypt(60))
    assert (receipt.status, receipt.jobs, receipt.fee_charged) == ("ok", (), 2_000)
    assert chain.run(ALICE, ops.Encrypt(40)).status == "ok"
    assert chain.handle(chain.private(ALICE).spendable).constant == 100
    assert chain.supply().private_pool == 100
    assert chain.balance(ALICE) == COINS - 100 - 4_000


def test_an_encryption_is_certified_by_two_evaluators_and_pays_for_their_work(chain: Chain) -> None:
    before = chain.supply()
    receipt = chain.run(ALICE, ops.Encrypt(11))
    assert receipt.status == "pending"
    assert receipt.fee_charged == 2_000 + WORK.work_units(97)
    assert chain.supply().escrow == WORK.work_units(97)
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert chain.spendable(ALICE) == 111
    after = chain.supply()
    assert after.escrow == 0
    paid = 2_000 + WORK.work_units(97)
    assert after.pools[Pool.FHE] - before.pools[Pool.FHE] + after.burned - before.burned == paid


def test_a_private_transfer_moves_its_amount_and_shows_it_to_nobody(chain: Chain) -> None:
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.step()
    receipt = chain.receipt(name)
    assert (receipt.status, len(receipt.jobs)) == ("pending", 1)
    assert chain.private(BOB).incoming != ZERO
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert (chain.spendable(ALICE), chain.incoming(BOB)) == (75, 25)
    assert chain.supply().private_pool == 100 == chain.private_total()


def test_a_second_credit_is_a_job_and_settles_the_transaction(chain: Chain) -> None:
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    name = chain.send_private(ALICE, address(BOB), 5)
    chain.step()
    assert len(chain.receipt(name).jobs) == 2
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 30
    ended = [settlement for outcome in chain.outcomes for settlement in outcome.settlements if settlement.tx == name]
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("amount", "moved"), [(0, 0), (1, 1), (100, 100), (101, 0), (2**50 - 1, 0), (2**50, 0), (2**63, 0)]
)
def test_an_amount_moves_exactly_when_the_balance_covers_it(chain: Chain, amount: int, moved: int) -> None:
    public = chain.supply().public
    name = chain.send_private(ALICE, address(BOB), amount)
    chain.settle()
    assert chain.final_status(name) == ("ok", 0), "nobody learns whether the balance sufficed"
    assert (chain.spendable(ALICE), chain.incoming(BOB)) == (100 - moved, moved)
    assert chain.supply().private_pool == 100 == chain.private_total()
    assert public - chain.supply().public == fees.minimum_fee(ops.PrivateTransfer(address(BOB), DEALING), WORK) - (
        WORK.work_units(99)  # the first credit needed no job
    )


def test_a_private_transfer_to_oneself_moves_to_incoming_and_back(chain: Chain) -> None:
    name = chain.send_private(ALICE, address(ALICE), 40)
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert (chain.spendable(ALICE), chain.incoming(ALICE)) == (60, 40)
    chain.run(ALICE, ops.Collect())
    chain.settle()
    assert (chain.spendable(ALICE), chain.incoming(ALICE)) == (100, 0)
    assert chain.private_total() == 100


def test_two_transfers_in_flight_cannot_spend_the_same_money(chain: Chain) -> None:
    first = chain.send_private(ALICE, address(BOB), 70)
    second = chain.send_private(ALICE, address(CAROL), 70)
    third = chain.send_private(ALICE, address(BOB), 30)
    chain.settle()
    assert [chain.final_status(name) for name in (first, second, third)] == [("ok", 0)] * 3
    assert (chain.spendable(ALICE), chain.incoming(BOB), chain.incoming(CAROL)) == (0, 100, 0)
    assert chain.private_total() == 100


def test_received_money_is_spent_after_it_was_collected(chain: Chain) -> None:
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    chain.send_private(BOB, address(CAROL), 10)
    chain.settle()
    assert chain.incoming(CAROL) == 0, "incoming is not spendable"
    chain.run(BOB, ops.Collect())
    chain.send_private(BOB, address(CAROL), 10)
    chain.settle()
    assert (chain.spendable(BOB), chain.incoming(BOB), chain.incoming(CAROL)) == (15, 0, 10)


def test_a_transfer_from_a_publicly_empty_balance_moves_nothing_and_troubles_no_seat() -> None:
    chain = Chain()
    name = chain.send_private(DAVE, address(BOB), 5)
    outcome = chain.step()
    assert chain.final_status(name) == ("ok", 0)
    assert not outcome.blobs
    assert chain.receipt(name).fee_charged == 2_000
    assert chain.private(BOB).incoming == ZERO


def test_a_whole_chain_of_names_may_be_pending_at_once(chain: Chain) -> None:
    names = [chain.send_private(ALICE, address(BOB), 10) for _ in range(5)]
    collect = chain.submit(BOB, ops.Collect())
    back = chain.send_private(BOB, address(ALICE), 49)
    chain.settle()
    assert [chain.final_status(name) for name in (*names, collect, back)] == [("ok", 0)] * 7
    assert (chain.spendable(ALICE), chain.incoming(ALICE), chain.spendable(BOB)) == (50, 49, 1)
    assert chain.private_total() == 100


# --- decryption ---


@pytest.mark.parametrize(("amount", "status"), [(1, ("ok", 0)), (100, ("ok", 0))])
def test_a_decryption_pays_after_its_verdict_was_opened(chain: Chain, amount: int, status: tuple[str, int]) -> None:
    before = chain.balance(ALICE)
    receipt = chain.run(ALICE, ops.Decrypt(amount))
    assert receipt.status == "pending"
    assert chain.supply().escrow == amount + WORK.work_units(149)
    chain.settle()
    assert chain.final_status(receipt.tx) == status
    assert chain.balance(ALICE) == before + amount - receipt.fee_charged
    assert chain.spendable(ALICE) == 100 - amount
    assert chain.supply().private_pool == 100 - amount == chain.private_total()
    assert chain.supply().escrow == 0


def test_a_decryption_beyond_the_balance_gives_nothing(chain: Chain) -> None:
    chain.run(BOB, ops.Encrypt(1_000))  # so that the turnstile alone does not refuse it
    before = chain.balance(ALICE)
    receipt = chain.run(ALICE, ops.Decrypt(101))
    assert receipt.status == "pending"
    chain.settle()
    assert chain.final_status(receipt.tx) == ("failed", 2104)
    assert chain.balance(ALICE) == before - receipt.fee_charged
    assert chain.spendable(ALICE) == 100
    assert chain.supply().private_pool == 1_100 == chain.private_total()


def test_the_turnstile_refuses_more_than_was_ever_encrypted(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.Decrypt(101))
    assert (receipt.status, receipt.code, receipt.jobs) == ("failed", 2104, ())
    assert receipt.fee_charged == 2_200, "no work was caused"


def test_decrypting_a_public_constant_is_decided_at_once() -> None:
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(60))
    chain.run(BOB, ops.Encrypt(60))
    assert chain.run(ALICE, ops.Decrypt(61)).code == 2104
    receipt = chain.run(ALICE, ops.Decrypt(59))
    assert (receipt.status, receipt.fee_charged) == ("ok", 2_200)
    assert chain.spendable(ALICE) == 1
    assert chain.supply().private_pool == 61
    assert chain.run(ALICE, ops.Decrypt(1)).status == "ok", "the exact balance is covered"
    assert chain.spendable(ALICE) == 0


# --- dealings that go wrong ---


def test_a_dealing_that_is_no_bits_moves_nothing_and_returns_the_fee_of_the_work(chain: Chain) -> None:
    before = chain.balance(ALICE)
    name = chain.send_private(ALICE, address(BOB), 25, bits=False)
    chain.settle()
    assert chain.final_status(name) == ("failed", 2105)
    assert (chain.spendable(ALICE), chain.private(BOB).incoming) == (100, chain.private(BOB).incoming)
    assert chain.incoming(BOB) == 0
    assert chain.balance(ALICE) == before - 2_000
    assert chain.events("input_failed")[0][1] == "the values are not bits"
    assert chain.supply().escrow == 0


def test_a_bad_dealing_in_the_middle_leaves_the_later_transfers_right(chain: Chain) -> None:
    chain.send_private(ALICE, address(BOB), 10)
    bad = chain.send_private(ALICE, address(BOB), 20, bits=False)
    chain.send_private(ALICE, address(BOB), 30)
    chain.settle()
    assert chain.final_status(bad) == ("failed", 2105)
    assert (chain.spendable(ALICE), chain.incoming(BOB)) == (60, 40)
    assert chain.settlement(bad).refunded == WORK.work_units(348)  # type: ignore[union-attr]  # it settled


def test_a_seat_cannot_bloat_the_state_with_its_check(chain: Chain) -> None:
    chain.behaviours = {3: SeatBehaviour(silent=True)}
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.step()
    chain.step()
    dealt = chain.view.scan(b"\x0f", 9)
    *_, (key, _) = dealt
    outcome = chain.step(extra=[chain.item(chain.keys[3], ops.DealCheck(key[1:], bytes(65)))])
    assert [skip.detail for skip in outcome.skipped] == ["no such task for this seat: a check row of another size"]
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)


def test_one_seat_with_a_spoiled_box_does_not_stop_a_transfer(chain: Chain) -> None:
    name = chain.send_private(ALICE, address(BOB), 25, spoiled=(2,))
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 25
    assert not chain.events("fault"), "the dealer cheated the seat: no proof against it"


def test_two_spoiled_boxes_refuse_the_dealing(chain: Chain) -> None:
    name = chain.send_private(ALICE, address(BOB), 25, spoiled=(1, 2))
    chain.settle()
    assert chain.final_status(name) == ("failed", 2105)
    assert chain.spendable(ALICE) == 100


@pytest.mark.parametrize("seat", range(4))
def test_one_seat_that_lies_about_a_dealing_is_outvoted(chain: Chain, seat: int) -> None:
    chain.behaviours = {seat: SeatBehaviour(lies_in=frozenset({"check"}))}
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 25


@pytest.mark.parametrize("seat", range(4))
def test_a_seat_that_sends_a_wrong_part_is_named_when_its_part_is_among_the_rows(chain: Chain, seat: int) -> None:
    chain.behaviours = {seat: SeatBehaviour(lies_in=frozenset({"part"}))}
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 25
    assert [event[:2] for event in chain.events("fault")] == [[2, chain.params.seats[seat].node_id]]


@pytest.mark.parametrize("silent", range(4))
def test_a_transfer_survives_one_crashed_seat(chain: Chain, silent: int) -> None:
    chain.behaviours = {silent: SeatBehaviour(silent=True)}
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    assert chain.final_status(name) == ("ok", 0)
    assert chain.incoming(BOB) == 25


def test_when_the_seats_form_no_ciphertext_in_time_nothing_moves(chain: Chain) -> None:
    chain.behaviours = {seat: SeatBehaviour(silent=True) for seat in (0, 1)}
    before = chain.balance(ALICE)
    name = chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    assert chain.final_status(name) == ("failed", 2105)
    assert chain.balance(ALICE) == before - 2_000
    chain.behaviours = {}
    again = chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    assert chain.final_status(again) == ("ok", 0)
    assert (chain.spendable(ALICE), chain.incoming(BOB)) == (75, 25)


def test_a_dealing_for_other_seats_is_refused(chain: Chain) -> None:
    from octra.consensus.ledger.sidecar import describe_dealing, pack_sidecar

    leaves, boxes = [bytes(32)] * 4, [bytes(9)] * 4
    op = ops.PrivateTransfer(address(BOB), describe_dealing(50, 7, leaves, boxes))
    receipt = chain.run(ALICE, op, sidecar=pack_sidecar(leaves, boxes))
    assert (receipt.status, receipt.code, receipt.fee_charged) == ("failed", 2115, 2_000)


# --- limits and names ---


def test_pending_operations_of_an_account_are_limited() -> None:
    chain = Chain(params=with_limits(make_params(), pending_own=3, pending_incoming=2))
    chain.run(ALICE, ops.Encrypt(100))
    chain.run(BOB, ops.Encrypt(100))
    names = [chain.send_private(ALICE, address(CAROL), 1) for _ in range(4)]
    chain.step()
    assert [chain.receipt(name).code for name in names] == [0, 0, 0, 2121]
    assert [chain.receipt(name).fee_charged for name in names][3] == 2_000
    bobs = chain.send_private(BOB, address(CAROL), 1)
    chain.step()
    assert chain.receipt(bobs).code == 2121, "Carol has two credits in flight"
    chain.settle()
    assert chain.incoming(CAROL) == 3
    assert (chain.private(ALICE).pending_own, chain.private(CAROL).pending_incoming) == (0, 0)
    again = chain.send_private(ALICE, address(CAROL), 1)
    chain.settle()
    assert chain.final_status(again) == ("ok", 0)


def test_unfinished_work_of_the_network_is_limited() -> None:
    chain = Chain(params=with_limits(make_params(), backlog_boots=300))
    chain.run(ALICE, ops.Encrypt(100))
    names = [chain.send_private(ALICE, address(BOB), 1) for _ in range(2)]
    chain.step()
    assert [chain.receipt(name).code for name in names] == [0, 2121]
    chain.settle()
    assert chain.incoming(BOB) == 1


def test_a_strangers_dust_neither_delays_nor_reorders_the_owners_spending(chain: Chain) -> None:
    chain.run(BOB, ops.Encrypt(10))
    head = chain.private(ALICE).spendable
    chain.send_private(BOB, address(ALICE), 1)
    chain.step()
    assert chain.private(ALICE).spendable == head
    chain.settle()
    assert (chain.spendable(ALICE), chain.incoming(ALICE)) == (100, 1)


def test_every_job_that_ends_leaves_no_entry_behind(chain: Chain) -> None:
    chain.send_private(ALICE, address(BOB), 5)
    chain.run(ALICE, ops.Decrypt(3))
    chain.settle()
    assert not list(chain.view.scan(b"\x05", 10))
    assert not list(chain.view.scan(b"\x17", 10))
    assert {job.status for job in chain.jobs()} == {JobStatus.CERTIFIED}
    assert {chain.handle(name).status for job in chain.jobs() for name in job.outputs} == {HandleStatus.CERTIFIED}


def _dealing() -> ops.InputDealing:
    from octra.consensus.ledger.sidecar import describe_dealing

    return describe_dealing(50, 0, [bytes(32)] * 4, [bytes(9)] * 4)


DEALING = _dealing()
