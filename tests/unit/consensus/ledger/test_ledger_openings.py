"""Openings: who may see what, at which price, and which seat is named when it lies."""

from __future__ import annotations

import pytest
from ledger_double import (
    ALICE,
    BOB,
    CAROL,
    Chain,
    SeatBehaviour,
    address,
    with_limits,
)

from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.openings import SALT_BYTES, price_factor
from octra.consensus.ledger.records import (
    Counters,
    Fault,
    FaultKind,
    Opening,
    Request,
    RequestStatus,
    SeatBytes,
    request_name,
)
from octra.consensus.ledger.state import load, read
from octra.crypto.seal import OVERHEAD, view_key

READER = view_key(CAROL.public)
LIAR = SeatBehaviour(lies_in=frozenset({"opening"}))


@pytest.fixture
def chain() -> Chain:
    """Alice holds 75 and Bob received 25, both certified."""
    chain = Chain()
    chain.run(ALICE, ops.Encrypt(100))
    chain.send_private(ALICE, address(BOB), 25)
    chain.settle()
    return chain


def request_of(chain: Chain, tx: bytes) -> Request:
    request = load(chain.view, keys.request(request_name(tx)), Request)
    assert request is not None
    return request


def shares(chain: Chain, request: Request) -> dict[int, bytes]:
    rows = [read(value, SeatBytes) for _, value in chain.view.scan(keys.request(request.name), 99) if len(_) == 34]
    return {row.seat: row.data for row in rows}


def counters(chain: Chain) -> Counters:
    return load(chain.view, keys.COUNTERS, Counters) or Counters()


def test_the_owner_gets_shares_of_his_balance_sealed_to_the_reader(chain: Chain) -> None:
    handle = chain.private(ALICE).spendable
    receipt = chain.run(ALICE, ops.ViewRequest((handle,), READER))
    assert (receipt.status, receipt.fee_charged) == ("pending", 1_000 + 200 * 50)
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    request = request_of(chain, receipt.tx)
    assert request.status == RequestStatus.DONE
    assert not request.public
    assert sorted(shares(chain, request)) == [0, 1, 2, 3]
    assert all(len(share) == SALT_BYTES + 8 + OVERHEAD for share in shares(chain, request).values())
    assert counters(chain).opened_bits == 50


def test_sender_and_receiver_may_both_open_the_amount_that_moved(chain: Chain) -> None:
    moved = chain.private(BOB).incoming
    for key in (ALICE, BOB):
        assert chain.run(key, ops.ViewRequest((moved,), READER)).status == "pending"


def test_a_stranger_who_asks_for_a_balance_is_refused(chain: Chain) -> None:
    for handle in (chain.private(ALICE).spendable, chain.private(BOB).incoming):
        receipt = chain.run(CAROL, ops.ViewRequest((handle,), READER))
        assert (receipt.status, receipt.code) == ("failed", 4031)
    assert load(chain.view, keys.request(request_name(receipt.tx)), Request) is None
    assert counters(chain).opened_bits == 0


def test_the_receiver_of_a_transfer_cannot_open_the_senders_rest(chain: Chain) -> None:
    assert chain.run(BOB, ops.ViewRequest((chain.private(ALICE).spendable,), READER)).code == 4031


def test_one_forbidden_handle_refuses_the_whole_request(chain: Chain) -> None:
    handles = (chain.private(BOB).incoming, chain.private(ALICE).spendable)
    assert chain.run(BOB, ops.ViewRequest(handles, READER)).code == 4031
    assert counters(chain).opened_bits == 0


def test_a_value_without_certificate_is_not_opened(chain: Chain) -> None:
    chain.send_private(ALICE, address(BOB), 5)
    chain.step()
    receipt = chain.run(ALICE, ops.ViewRequest((chain.private(ALICE).spendable,), READER))
    assert (receipt.status, receipt.code) == ("failed", 8003)


def test_public_constants_and_unknown_names_are_not_opened(chain: Chain) -> None:
    chain.run(CAROL, ops.Encrypt(9))
    constant = chain.private(CAROL).spendable
    assert chain.run(CAROL, ops.ViewRequest((constant,), READER)).code == 4031, "a constant has no owner"
    assert chain.run(CAROL, ops.ViewRequest((bytes(32),), READER)).code == 4041
    (job, *_) = chain.jobs()
    dealt = job.inputs[1]
    assert chain.run(ALICE, ops.ViewRequest((dealt,), READER)).code == 4031, "a dealt input has no reader"


def test_asking_again_repeats_the_same_opening_under_the_same_noise(chain: Chain) -> None:
    handle = chain.private(ALICE).spendable
    first = chain.run(ALICE, ops.ViewRequest((handle,), READER))
    chain.settle()
    for epoch in range(2):
        chain.step(dt_ms=20_000)
        again = chain.run(ALICE, ops.ViewRequest((handle,), view_key(BOB.public)))
        chain.settle()
        assert request_of(chain, again.tx).openings == request_of(chain, first.tx).openings, epoch
    assert counters(chain).opened_bits == 50


def test_noise_numbers_of_different_values_never_overlap(chain: Chain) -> None:
    handles = (chain.private(ALICE).spendable, chain.private(BOB).incoming)
    chain.run(ALICE, ops.ViewRequest(handles, READER))
    chain.run(ALICE, ops.Decrypt(5))
    chain.settle()
    openings = sorted((read(v, Opening) for _, v in chain.view.scan(b"\x14", 99)), key=lambda o: o.noise_index)
    assert [(one.noise_index, one.bits) for one in openings] == [(0, 50), (50, 50), (100, 1)]
    assert counters(chain).opened_bits == 101


def test_openings_stop_at_the_cap_of_the_key_and_get_dearer_before(chain: Chain) -> None:
    chain.params = with_limits(chain.params, openings_bits=100)
    handles = (chain.private(ALICE).spendable, chain.private(BOB).incoming)
    assert chain.run(ALICE, ops.ViewRequest(handles[:1], READER)).status == "pending"
    nonce = chain.nonces[ALICE.public] + 1
    chain.submit(ALICE, ops.ViewRequest(handles[1:], READER), nonce=nonce)
    assert [skip.code for skip in chain.step().skipped] == [2113], "half of the cap is used: twice the price"
    dear = chain.run(ALICE, ops.ViewRequest(handles[1:], READER), fee=21_000, nonce=nonce)
    assert (dear.status, dear.fee_charged) == ("pending", 21_000)
    chain.settle()
    chain.send_private(BOB, address(CAROL), 0)
    collected = chain.run(BOB, ops.Collect())
    chain.settle()
    assert collected.status == "ok"
    chain.send_private(ALICE, address(BOB), 5, nonce=nonce + 1)
    chain.settle()
    late = chain.run(BOB, ops.ViewRequest((chain.private(BOB).incoming,), READER), fee=41_000)
    assert (late.status, late.code) == ("failed", 2121)
    assert chain.run(ALICE, ops.Decrypt(1), nonce=nonce + 2).code == 2121
    assert counters(chain).opened_bits == 100


def test_a_verdict_is_opened_although_the_cap_was_reached_meanwhile(chain: Chain) -> None:
    chain.params = with_limits(chain.params, openings_bits=51)
    handle = chain.private(ALICE).spendable
    receipt = chain.run(ALICE, ops.Decrypt(75))
    chain.run(ALICE, ops.ViewRequest((handle,), READER))
    chain.run(BOB, ops.ViewRequest((chain.private(BOB).incoming,), READER), fee=50_000)
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert counters(chain).opened_bits == 51


@pytest.mark.parametrize(("used", "factor"), [(0, 1), (499, 1), (500, 2), (799, 2), (800, 4), (1_000, 4)])
def test_the_price_doubles_at_half_and_at_four_fifths_of_the_cap(used: int, factor: int) -> None:
    assert price_factor(used, 1_000) == factor


def test_no_share_is_accepted_before_enough_seats_have_committed(chain: Chain) -> None:
    chain.behaviours = {2: SeatBehaviour(silent=True), 3: SeatBehaviour(silent=True)}
    receipt = chain.run(ALICE, ops.ViewRequest((chain.private(ALICE).spendable,), READER))
    chain.step()
    request = request_of(chain, receipt.tx)
    assert [commit.seat for commit in request.commits] == [0, 1]
    share = ops.OpenShare(request.name, bytes(SALT_BYTES + 8 + OVERHEAD))
    assert [skip.code for skip in chain.step(extra=[chain.item(chain.keys[0], share)]).skipped] == [2115]
    assert request_of(chain, receipt.tx).revealed == ()


def test_a_view_that_too_few_seats_answer_fails_and_can_be_asked_again(chain: Chain) -> None:
    chain.behaviours = {2: SeatBehaviour(silent=True), 3: SeatBehaviour(silent=True)}
    handle = chain.private(ALICE).spendable
    receipt = chain.run(ALICE, ops.ViewRequest((handle,), READER))
    chain.settle()
    assert chain.final_status(receipt.tx) == ("failed", 8008)
    chain.behaviours = {}
    again = chain.run(ALICE, ops.ViewRequest((handle,), READER))
    chain.settle()
    assert chain.final_status(again.tx) == ("ok", 0)


@pytest.mark.parametrize("liar", range(4))
def test_a_lying_seat_in_a_public_opening_is_outvoted_and_named(chain: Chain, liar: int) -> None:
    chain.behaviours = {liar: LIAR}
    before = chain.balance(ALICE)
    receipt = chain.run(ALICE, ops.Decrypt(75))
    chain.settle()
    for _ in range(3):
        chain.step()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert chain.balance(ALICE) == before + 75 - receipt.fee_charged
    (fault,) = [read(value, Fault) for _, value in chain.view.scan(b"\x18", 99)]
    assert (fault.kind, fault.seat) == (FaultKind.WRONG_OPENING_SHARE, liar)


@pytest.mark.parametrize("silent", range(4))
def test_a_decryption_survives_a_crashed_seat(chain: Chain, silent: int) -> None:
    chain.behaviours = {silent: SeatBehaviour(silent=True)}
    receipt = chain.run(ALICE, ops.Decrypt(75))
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)


def test_a_verdict_waits_for_its_seats_however_long_that_takes(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.Decrypt(75))
    while not any(request.job for request in _requests(chain)):
        chain.step()
    chain.behaviours = {2: SeatBehaviour(silent=True), 3: SeatBehaviour(silent=True)}
    for _ in range(60):
        chain.step(dt_ms=5_000)
    assert chain.settlement(receipt.tx) is None
    assert chain.supply().escrow == 75
    chain.behaviours = {}
    chain.settle()
    assert chain.final_status(receipt.tx) == ("ok", 0)
    assert chain.supply().escrow == 0


def test_a_share_other_than_the_committed_one_is_refused(chain: Chain) -> None:
    chain.run(ALICE, ops.Decrypt(75))
    while not any(request.status == RequestStatus.REVEAL for request in _requests(chain)):
        chain.step()
    (request,) = [request for request in _requests(chain) if request.status == RequestStatus.REVEAL]
    chain.behaviours = {seat: SeatBehaviour(silent=True) for seat in range(4)}
    forged = ops.OpenShare(request.name, bytes(SALT_BYTES) + (0).to_bytes(8, "little"))
    outcome = chain.step(extra=[chain.item(chain.keys[0], forged)])
    assert [skip.code for skip in outcome.skipped] == [2115]


def test_when_two_of_four_lie_the_verdict_is_never_guessed(chain: Chain) -> None:
    chain.behaviours = {0: LIAR, 1: LIAR}
    receipt = chain.run(ALICE, ops.Decrypt(75))
    for _ in range(80):
        chain.step()
    assert chain.settlement(receipt.tx) is None
    assert chain.supply().escrow == 75
    (request,) = [request for request in _requests(chain) if request.job]
    assert request.openings[0].attempt == chain.params.limits.opening_attempts - 1
    assert chain.events("alarm")


def test_a_reader_may_show_the_share_of_a_seat_that_lied_to_him(chain: Chain) -> None:
    receipt = chain.run(ALICE, ops.ViewRequest((chain.private(ALICE).spendable,), READER))
    chain.settle()
    request = request_of(chain, receipt.tx)
    row = chain.opening_row(2, request.openings, frozenset())
    good = ops.OpenBlame(request.name, 2, bytes(SALT_BYTES), row)
    assert chain.run(BOB, good).code == 4031, "only the owner of the request complains"
    assert chain.run(ALICE, ops.OpenBlame(request.name, 2, bytes(SALT_BYTES), row + b"x")).code == 2115
    assert chain.run(ALICE, good).status == "ok"
    (fault,) = [read(value, Fault) for _, value in chain.view.scan(b"\x18", 99)]
    assert (fault.kind, fault.seat, fault.subject) == (FaultKind.READER_COMPLAINT, 2, request.name)


def _requests(chain: Chain) -> list[Request]:
    return [read(value, Request) for key, value in chain.view.scan(b"\x0e", 999) if len(key) == 33]
