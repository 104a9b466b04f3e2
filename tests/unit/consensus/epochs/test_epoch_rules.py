"""Validators, coins, records and checkpoints, as the ledger's rules on a chain in memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
from epoch_double import OWNED, RULES, EpochChain, NodeKeys
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus import coin, coin_dealing
from octra.consensus.epoch import EpochRecord
from octra.consensus.errors import InvalidCheckpoint
from octra.consensus.ledger import coin_rules, epochs, fees, keys, ops, validators
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.epoch_records import ValidatorStatus
from octra.consensus.ledger.errors import BadSignature, InvalidOp, Unsupported
from octra.consensus.ledger.outcome import SeatFault
from octra.crypto import bls
from octra.crypto.hash import H
from octra.primitives import address_of


@pytest.fixture
def chain() -> EpochChain:
    return EpochChain()


def _skipped(chain: EpochChain) -> list[str]:
    return [skip.detail for skip in chain.outcomes[-1].skipped]


# --- joining and leaving ---


def test_a_newcomer_is_drawn_after_its_shadow_and_sits_two_epochs_later(chain: EpochChain) -> None:
    chain.join(4)
    joined = chain.validator(4)
    assert joined is not None
    assert (joined.status, joined.since) == (ValidatorStatus.ACTIVE, 1)
    drawn, seated = [], []
    for _ in range(4):
        record = chain.pass_epoch()
        drawn.append(joined.node in record.seats_after_next)
        seated.append(joined.node in record.seats_next)
    # Ready in epoch 0, frozen as a candidate when 1 opens, drawn when 1 closes, seated when 2 has closed.
    assert drawn == [False, True, True, True]
    assert seated == [False, False, True, True]
    assert len(chain.committee().seats) == 5


def test_all_money_of_a_bond_is_accounted_for(chain: EpochChain) -> None:
    node = chain.nodes[4]
    chain.join(4)
    paid = fees.REGISTER_PRICE + 2 * 1_000
    assert chain.supply().bonded == RULES.bond_units
    from octra.consensus.ledger.records import Account
    from octra.consensus.ledger.state import load

    account = load(chain.view, keys.account(address_of(node.owner.public)), Account)
    assert account is not None
    assert account.balance == OWNED - paid - RULES.bond_units


@pytest.mark.parametrize("spoil", ["proof", "bls_proof", "coin_key", "owner", "node"])
def test_a_registration_needs_the_nodes_consent_and_real_keys(chain: EpochChain, spoil: str) -> None:
    node = chain.nodes[4]
    op = node.register(chain.params.chain)
    match spoil:
        case "owner":
            op = node.register(chain.params.chain, owner=chain.nodes[5].owner)
        case "coin_key":
            op = replace(op, coin_key=b"\xc0" + bytes(47))
        case "bls_proof":
            op = replace(op, bls_proof=chain.nodes[5].bls.prove_possession())
        case "node":
            op = replace(op, node=chain.nodes[5].id)
        case _:
            op = replace(op, proof=bytes(64))
    with pytest.raises((BadSignature, InvalidOp)):
        chain.item(node.owner, op)


def test_only_the_owner_moves_a_node_and_only_with_the_whole_bond(chain: EpochChain) -> None:
    node, stranger = chain.nodes[4], chain.nodes[5].owner
    chain.run(node.owner, node.register(chain.params.chain))
    assert chain.run(node.owner, ops.Ready(node.id)).status == "failed"
    assert chain.run(stranger, ops.Bond(node.id, RULES.bond_units)).status == "failed"
    chain.run(node.owner, ops.Bond(node.id, RULES.bond_units - 1))
    assert chain.run(node.owner, ops.Ready(node.id)).status == "failed"
    chain.run(node.owner, ops.Bond(node.id, 1))
    assert chain.run(stranger, ops.Ready(node.id)).status == "failed"
    assert chain.run(node.owner, ops.Ready(node.id)).status == "ok"
    assert chain.run(stranger, ops.Exit(node.id)).status == "failed"
    assert chain.supply().bonded == RULES.bond_units


def test_a_node_that_never_bonded_is_forgotten(chain: EpochChain) -> None:
    chain.run(chain.nodes[4].owner, chain.nodes[4].register(chain.params.chain))
    for _ in range(validators.UNBONDED_EPOCHS):
        assert chain.validator(4) is not None
        chain.close()
        chain.step()
    assert chain.validator(4) is None


def test_a_bond_comes_back_only_after_its_time_and_behind_a_checkpoint(chain: EpochChain) -> None:
    node = chain.nodes[4]
    chain.join(4)
    for _ in range(3):
        chain.pass_epoch()
    assert node.id in chain.committee().seats
    assert chain.run(node.owner, ops.Exit(node.id)).status == "ok"
    left = chain.epoch + validators.SEATED_EPOCHS
    while chain.epoch < left + RULES.unbonding_epochs:
        assert chain.run(node.owner, ops.Withdraw(node.id)).status == "failed"
        assert (node.id in chain.committee().seats) == (chain.epoch < left)  # it serves what was drawn
        chain.pass_epoch()
    refused = chain.run(node.owner, ops.Withdraw(node.id))
    assert "checkpoint" in refused.detail
    chain.send(chain.nodes[0].node, ops.Checkpoint(chain.checkpoint([0, 1, 2])))
    assert chain.run(node.owner, ops.Withdraw(node.id)).status == "ok"
    assert chain.supply().bonded == 0
    assert chain.validator(4) is None


def test_the_last_validator_cannot_leave() -> None:
    chain = EpochChain(founders=1, others=0)
    assert chain.run(chain.nodes[0].owner, ops.Exit(chain.nodes[0].id)).status == "failed"


def test_an_equivocator_is_never_drawn_again_and_part_of_its_bond_is_burned(chain: EpochChain) -> None:
    chain.join(4)
    for _ in range(3):
        chain.pass_epoch()
    seat = chain.committee().seat_of(chain.nodes[4].id)
    assert seat is not None
    burned = chain.supply().burned
    chain.step(evidence=[SeatFault(seat, H("test.proof"), equivocation=True)])
    removed = chain.validator(4)
    assert removed is not None
    assert removed.status == ValidatorStatus.REMOVED
    permille = validators.EQUIVOCATION_PERMILLE + validators.CORRELATION_PERMILLE // 5
    assert chain.supply().burned - burned == RULES.bond_units * permille // 1_000
    assert removed.bond == chain.supply().bonded == RULES.bond_units - RULES.bond_units * permille // 1_000
    record = chain.pass_epoch()
    assert removed.node in record.seats_next  # drawn before: one of the f
    assert removed.node not in record.seats_after_next
    assert chain.run(chain.nodes[4].owner, chain.nodes[4].register(chain.params.chain)).status == "failed"


def test_other_faults_lower_the_score_and_quiet_epochs_bring_it_back(chain: EpochChain) -> None:
    node = chain.committee().seats[2]
    number = [one.id for one in chain.nodes].index(node)
    chain.step(evidence=[SeatFault(2, H("test.proof"))])
    chain.step(evidence=[SeatFault(2, H("test.proof"))])  # the same proof counts once
    scores = []
    for _ in range(5):
        validator = chain.validator(number)
        assert validator is not None
        scores.append(validator.score)
        chain.pass_epoch()
    assert scores == [4, 5, 6, 7, 8]


# --- the coin ---


def test_every_epoch_has_a_coin_of_its_own_that_its_seats_share(chain: EpochChain) -> None:
    group_keys = [chain.state.coin.group_key]
    for _ in range(3):
        chain.pass_epoch()
        committee = chain.committee()
        group_keys.append(committee.coin_group_key)
        for seat, node in enumerate(committee.seats):
            secret = chain.coin_secret(node, seat)
            assert secret is not None
            assert secret.public() == committee.coin_share_keys[seat]
    assert len(set(group_keys)) == 4


def test_silent_seats_up_to_f_do_not_stop_the_coin(chain: EpochChain) -> None:
    chain.silent = {chain.nodes[2].id}
    assert chain.pass_epoch().coin_group_key_next != chain.records[0].coin_group_key_next


def test_without_a_quorum_of_acknowledgements_the_old_seats_stay_one_epoch_more(chain: EpochChain) -> None:
    chain.join(4)
    for _ in range(2):
        chain.pass_epoch()
    planned, old = chain.state.seats_next, chain.state
    assert chain.nodes[4].id in planned
    chain.silent = {node.id for node in chain.nodes[1:4]}
    record = chain.pass_epoch()
    assert (record.seats_next, record.coin_group_key_next) == (old.seats, old.coin.group_key)
    assert chain.state.coin_epoch == old.coin_epoch
    assert coin_rules.progress_of(chain.view, record.epoch) is None  # what was dealt for it is forgotten
    chain.silent = set()
    record = chain.pass_epoch()
    assert chain.nodes[4].id in record.seats_next
    assert record.coin_group_key_next != old.coin.group_key


def test_a_cheating_dealer_is_refuted_and_does_not_count(chain: EpochChain) -> None:
    progress = chain.progress()
    cheat = chain.nodes[1]
    seat = progress.seat_of(cheat.id)
    victim = progress.seat_of(chain.nodes[2].id)  # it speaks before the quorum is complete
    assert seat is not None
    assert victim is not None
    dealing = coin_dealing.deal(progress.ceremony, seat, cheat.dealing_seed)
    masked = list(dealing.masked)
    masked[victim] = bytes(32)
    chain.send(cheat.node, ops.CoinDeal(1, replace(dealing, masked=tuple(masked))))
    chain.deal_coin()
    settled = chain.progress()
    assert settled.refuted == (seat,)
    assert seat not in settled.counted
    record = chain.close()
    chain.step()
    assert record.coin_group_key_next == chain.state.coin.group_key


def test_a_victim_that_was_away_gets_its_share_back_later(chain: EpochChain) -> None:
    progress = chain.progress()
    cheat, victim = chain.nodes[1], chain.nodes[3]
    seats = {node.id: progress.seat_of(node.id) for node in chain.nodes}
    seat, lost = seats[cheat.id], seats[victim.id]
    assert seat is not None
    assert lost is not None
    dealing = coin_dealing.deal(progress.ceremony, seat, cheat.dealing_seed)
    masked = list(dealing.masked)
    masked[lost] = bytes(32)
    chain.send(cheat.node, ops.CoinDeal(1, replace(dealing, masked=tuple(masked))))
    chain.silent = {victim.id}
    chain.deal_coin()
    assert seat in chain.progress().counted
    assert victim.holder.coin_secret(chain.view, 1) is None
    chain.close()
    chain.step()
    chain.silent = set()
    chain.answer_duties()  # the claim
    chain.answer_duties()  # the shares
    secret = victim.holder.coin_secret(chain.view, 1)
    assert secret is not None
    assert secret.public() == chain.committee().coin_share_keys[lost]
    assert not [duty for duty in victim.holder.duties(chain.view) if hasattr(duty, "dealer")]


def test_dealings_and_acknowledgements_have_their_time_and_are_said_once(chain: EpochChain) -> None:
    progress, node = chain.progress(), chain.nodes[0]
    seat = progress.seat_of(node.id)
    assert seat is not None
    dealing = coin_dealing.deal(progress.ceremony, seat, node.dealing_seed)
    chain.send(node.node, ops.CoinAck(1))
    assert "too early" in _skipped(chain)[0]
    chain.send(chain.nodes[5].node, ops.CoinDeal(1, dealing))
    assert "holds no seat" in _skipped(chain)[0]
    chain.send(node.node, ops.CoinDeal(1, replace(dealing, masked=dealing.masked[:3])))
    assert "another committee" in _skipped(chain)[0]
    chain.send(node.node, ops.CoinDeal(1, dealing))
    chain.send(node.node, ops.CoinDeal(1, dealing))
    assert "dealt already" in _skipped(chain)[0]
    chain.step(dt_ms=chain.params.epoch_ms // 2)
    late = chain.nodes[1]
    other = progress.seat_of(late.id)
    assert other is not None
    late_dealing = coin_dealing.deal(progress.ceremony, other, late.dealing_seed)
    chain.send(late.node, ops.CoinDeal(1, late_dealing))
    assert "too late" in _skipped(chain)[0]
    chain.send(node.node, ops.CoinAck(1))
    chain.send(node.node, ops.CoinAck(1))
    assert "acknowledged already" in _skipped(chain)[0]


# --- records ---


def test_the_draw_uses_candidates_that_were_frozen_before_its_beacon(chain: EpochChain) -> None:
    chain.join(4)
    chain.close()
    with_newcomer = chain.record.seats_after_next
    assert chain.nodes[4].id not in with_newcomer  # it stood only after the list was frozen


def test_records_form_a_chain_and_follow_from_the_state_alone(chain: EpochChain) -> None:
    for _ in range(2):
        chain.pass_epoch()
    for before, record in pairwise(chain.records):
        assert (record.previous, record.epoch) == (before.id, before.epoch + 1)
    chain.deal_coin()
    signature = chain.beacon()
    head = chain.root()
    again = [epochs.close_record(chain.view, chain.params, H("b", head), head, signature) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].beacon == coin.beacon_value(signature)
    assert encode(again[0]) != encode(epochs.close_record(chain.view, chain.params, H("c", head), head, signature))


def test_deadlines_count_the_rounds_of_all_epochs(chain: EpochChain) -> None:
    from octra.consensus.ledger.transition import clock_of

    rounds = []
    for _ in range(3):
        chain.pass_epoch()
        rounds.append(clock_of(chain.view).round)
        chain.step()
        rounds.append(clock_of(chain.view).round)
    assert rounds == sorted(set(rounds))


def test_the_state_does_not_grow_with_the_number_of_epochs(chain: EpochChain) -> None:
    sizes = []
    for _ in range(6):
        chain.pass_epoch()
        chain.send(chain.nodes[0].node, ops.Checkpoint(chain.checkpoint([0, 1, 2])))
        sizes.append(len([key for key in chain.view.rows if key[:1] == b"\x08"]))
    assert sizes[2:] == [sizes[2]] * 4


# --- checkpoints ---


def test_a_checkpoint_needs_more_than_two_thirds_of_all_registered(chain: EpochChain) -> None:
    chain.join(4)
    chain.join(5)
    chain.pass_epoch()
    chain.send(chain.nodes[0].node, ops.Checkpoint(chain.checkpoint([0, 1, 3])))
    assert chain.state.signed_epoch == 1
    chain.pass_epoch()
    registered = epochs.registered_at(chain.view, 1)
    assert registered is not None
    assert len(registered) == 6  # the newcomers sign from now on, though they hold no seat yet
    with pytest.raises(InvalidCheckpoint):
        chain.checkpoint([0, 1, 2, 3])
    chain.send(chain.nodes[5].node, ops.Checkpoint(chain.checkpoint([0, 1, 2, 4, 5])))
    assert chain.state.signed_epoch == 2


def test_a_checkpoint_of_anything_but_the_own_close_is_dropped(chain: EpochChain) -> None:
    chain.pass_epoch()
    good = epochs.checkpoint_body(chain.record, 4)
    sender = chain.nodes[0].node
    for body in (
        replace(good, state_root=H("other")),
        replace(good, registered_count=3),
        replace(good, epoch=5),
        replace(good, epoch_record=H("other")),
    ):
        chain.send(sender, ops.Checkpoint(chain.checkpoint([0, 1, 2], body)))
        assert chain.state.signed_epoch == 0
    forged = replace(chain.checkpoint([0, 1, 2]), signers=b"\x0d")
    chain.send(sender, ops.Checkpoint(forged))
    assert "aggregate" in _skipped(chain)[0]
    chain.send(NodeKeys(77).node, ops.Checkpoint(chain.checkpoint([0, 1, 2])))
    assert "no validator" in _skipped(chain)[0]
    chain.send(sender, ops.Checkpoint(chain.checkpoint([0, 1, 2])))
    chain.send(sender, ops.Checkpoint(chain.checkpoint([1, 2, 3])))
    assert "no close" in _skipped(chain)[0]


def test_epochs_may_pass_without_a_checkpoint_and_a_later_one_covers_them(chain: EpochChain) -> None:
    chain.join(4)
    for _ in range(3):
        chain.pass_epoch()
    chain.send(chain.nodes[0].node, ops.Checkpoint(chain.checkpoint([0, 1, 2])))
    assert chain.state.signed_epoch == 3
    assert epochs.registered_at(chain.view, 1) is None


# --- chains without all this ---


def test_a_fixed_committee_refuses_these_operations_by_name(chain: EpochChain) -> None:
    node = chain.nodes[4]
    rules = replace_rules(chain)
    for op in (node.register(chain.params.chain), ops.Exit(node.id), ops.CoinAck(1)):
        fee = fees.minimum_fee(op, chain.params.prices)
        body = tx.build(chain=chain.params.chain, sender=node.owner.public, nonce=1, expiry_epoch=3, fee=fee, op=op)
        with pytest.raises(Unsupported) as caught:
            tx.admit(tx.sign(body, node.owner), rules)
        assert caught.value.name == op.name


def replace_rules(chain: EpochChain) -> tx.StaticRules:
    return replace(chain.params, rules_version=1).static_rules(0)


def test_a_record_is_not_the_one_of_another_chain() -> None:
    one, other = EpochChain(), EpochChain(founders=5)
    assert one.record.id != other.record.id
    assert isinstance(one.record, EpochRecord)
    assert bls.is_key(one.record.coin_group_key_next)
