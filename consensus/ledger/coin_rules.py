"""The coin of the next epoch, made by ordered messages: who may say what, and when the sum is settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from octra.consensus import coin_dealing
from octra.consensus.coin_dealing import CoinDealing
from octra.consensus.errors import InvalidDealing
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.epoch_records import Claim, CoinProgress, EpochState, Shown
from octra.consensus.ledger.errors import NotAssigned
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import Clock
from octra.consensus.ledger.state import load, read
from octra.consensus.ports import StateView
from octra.crypto import bls


def take_dealing(x: Execution, op: ops.CoinDeal, sender: bytes) -> None:
    """An incoming seat's dealing, once and in time; raises `NotAssigned`."""
    progress, seat = _task(x, op.epoch, sender)
    if seat in progress.dealers or x.clock.time_ms > progress.deal_until_ms:
        raise NotAssigned("dealt already, or too late")
    try:
        coin_dealing.check_dealing(progress.ceremony, op.dealing)
    except InvalidDealing as error:
        raise NotAssigned(error.reason) from error
    x.state.store(keys.coin_dealing(op.epoch, seat), op.dealing)
    _store(x, replace(progress, dealers=(*progress.dealers, seat)))


def take_ack(x: Execution, op: ops.CoinAck, sender: bytes) -> None:
    """An incoming seat has checked what was dealt in time. The quorum's last word settles the coin."""
    progress, seat = _task(x, op.epoch, sender)
    if seat in progress.acked or progress.ended or x.clock.time_ms <= progress.deal_until_ms:
        raise NotAssigned("acknowledged already, or too early")
    refuted = set(progress.refuted)
    for complaint in op.complaints:
        if complaint.dealer in refuted or complaint.dealer not in progress.dealers:
            continue
        if coin_dealing.is_upheld(progress.ceremony, _dealing(x.state, op.epoch, complaint.dealer), seat, complaint):
            refuted.add(complaint.dealer)
            x.emit("coin_dealer_refuted", op.epoch, progress.seats[complaint.dealer])
    progress = replace(progress, acked=(*progress.acked, seat), refuted=tuple(sorted(refuted)))
    _store(x, _settle(x, progress) if progress.ended else progress)


def take_repair(x: Execution, op: ops.CoinRepair, sender: bytes) -> None:
    """A late proof of a bad share, or a seat's own share of the dealing that was proven bad."""
    progress, seat = _task(x, op.epoch, sender)
    if op.dealer not in progress.counted:
        raise NotAssigned("this dealing does not count")
    dealing = _dealing(x.state, op.epoch, op.dealer)
    if op.claim:
        claim = Claim(op.dealer, seat)
        upheld = op.claim[0].dealer == op.dealer and claim not in progress.claims
        if not upheld or not coin_dealing.is_upheld(progress.ceremony, dealing, seat, op.claim[0]):
            raise NotAssigned("the claim is known, or proves nothing")
        _store(x, replace(progress, claims=(*progress.claims, claim)))
        return
    known = any((shown.dealer, shown.seat) == (op.dealer, seat) for shown in progress.shown)
    if known or all(claim.dealer != op.dealer for claim in progress.claims):
        raise NotAssigned("nobody asked for this share")
    if not coin_dealing.share_fits(dealing, seat, int.from_bytes(op.share, "big")):
        raise NotAssigned("not the share of this seat")
    _store(x, replace(progress, shown=(*progress.shown, Shown(op.dealer, seat, op.share))))


def forget(x: Execution, epoch: int) -> None:
    """An epoch's coin is out of use, or never came into use."""
    progress = x.state.load(keys.coin_progress(epoch), CoinProgress)
    if progress is not None:
        for dealer in progress.dealers:
            x.state.delete(keys.coin_dealing(epoch, dealer))
        x.state.delete(keys.coin_progress(epoch))


# --- what a node owes ---


class DealCoin(Struct, frozen=True):
    """Deal for the coin of an epoch."""

    epoch: int


class AckCoin(Struct, frozen=True):
    """Check the dealings for the coin of an epoch, and say so."""

    epoch: int


class ClaimShare(Struct, frozen=True):
    """Prove that the own share of a dealing that counts is bad."""

    epoch: int
    dealer: int


class ShowShare(Struct, frozen=True):
    """Show the own share of a dealing that cheated another seat."""

    epoch: int
    dealer: int


CoinDuty = DealCoin | AckCoin | ClaimShare | ShowShare


def duties(view: StateView, node: bytes, secret: bls.SecretScalar) -> list[CoinDuty]:
    """What a node owes to the coins in the making and in use, as of this state. `secret` opens its shares."""
    epoch, clock = load(view, keys.EPOCH, EpochState), load(view, keys.CLOCK, Clock)
    assert epoch is not None
    assert clock is not None
    owed: list[CoinDuty] = []
    for target in sorted({epoch.coin_epoch, clock.epoch + 1}):
        progress = progress_of(view, target)
        seat = None if progress is None else progress.seat_of(node)
        if progress is None or seat is None:
            continue
        if clock.time_ms <= progress.deal_until_ms:
            if seat not in progress.dealers:
                owed.append(DealCoin(target))
        elif not progress.ended:
            if seat not in progress.acked:
                owed.append(AckCoin(target))
        else:
            owed += _repairs(view, progress, seat, secret)
    return owed


def answer(view: StateView, duty: CoinDuty, node: bytes, secret: bls.SecretScalar, seed: bytes) -> ops.Op:
    """The operation that a duty asks for. `seed`: 32 secret bytes of the node, from which its dealings follow."""
    progress = progress_of(view, duty.epoch)
    assert progress is not None
    seat = progress.seat_of(node)
    assert seat is not None
    ceremony = progress.ceremony
    match duty:
        case DealCoin(target):
            return ops.CoinDeal(target, coin_dealing.deal(ceremony, seat, seed))
        case AckCoin(target):
            dealings = _dealings(view, progress, progress.dealers)
            bad = [d for d in dealings if coin_dealing.open_share(ceremony, dealings[d], d, seat, secret) is None]
            return ops.CoinAck(target, tuple(coin_dealing.complain(dealings[d], d, secret) for d in bad))
        case ClaimShare(target, dealer):
            complaint = coin_dealing.complain(_dealing(view, target, dealer), dealer, secret)
            return ops.CoinRepair(target, dealer, (complaint,))
        case ShowShare(target, dealer):
            share = coin_dealing.open_share(ceremony, _dealing(view, target, dealer), dealer, seat, secret)
            assert share is not None
            return ops.CoinRepair(target, dealer, (), share.to_bytes(32, "big"))
        case _:
            assert_never(duty)


def coin_secret(view: StateView, epoch: int, node: bytes, secret: bls.SecretScalar) -> bls.SecretScalar | None:
    """A node's share of the coin dealt for `epoch`; None if it holds none, or before a repair."""
    progress = progress_of(view, epoch)
    seat = None if progress is None else progress.seat_of(node)
    if progress is None or seat is None or progress.key is None:
        return None
    dealings = _dealings(view, progress, progress.counted)
    return coin_dealing.own_secret(progress.ceremony, dealings, seat, secret, _repaired(progress, dealings, seat))


def progress_of(view: StateView, epoch: int) -> CoinProgress | None:
    """How far an epoch's coin is, while the state knows of it."""
    return load(view, keys.coin_progress(epoch), CoinProgress)


def _repairs(view: StateView, progress: CoinProgress, seat: int, secret: bls.SecretScalar) -> list[CoinDuty]:
    """Claims for own bad shares, and own shares that others need."""
    owed: list[CoinDuty] = []
    for dealer, dealing in _dealings(view, progress, progress.counted).items():
        asked = [claim.receiver for claim in progress.claims if claim.dealer == dealer]
        shown = any((one.dealer, one.seat) == (dealer, seat) for one in progress.shown)
        if coin_dealing.open_share(progress.ceremony, dealing, dealer, seat, secret) is None:
            if seat not in asked:
                owed.append(ClaimShare(progress.epoch, dealer))
        elif asked and not shown:
            owed.append(ShowShare(progress.epoch, dealer))
    return owed


def _repaired(progress: CoinProgress, dealings: Mapping[int, CoinDealing], seat: int) -> dict[int, int]:
    found = {}
    for dealer in {claim.dealer: None for claim in progress.claims if claim.receiver == seat}:
        shown = {one.seat: int.from_bytes(one.share, "big") for one in progress.shown if one.dealer == dealer}
        share = coin_dealing.repair(progress.ceremony, dealings[dealer], seat, shown)
        if share is not None:
            found[dealer] = share
    return found


def _settle(x: Execution, progress: CoinProgress) -> CoinProgress:
    """Fix who counts, and sum up. Without enough dealings there is no coin, and the seats stay as they are."""
    counted = coin_dealing.qualified(progress.ceremony, set(progress.dealers), set(progress.refuted))
    key = None
    if counted is not None:
        dealings = _dealings(x.state, progress, counted)
        key = coin_dealing.join(progress.ceremony, [dealings[dealer] for dealer in counted])
    x.emit("coin_settled", progress.epoch, key is not None)
    return progress if key is None or counted is None else replace(progress, counted=counted, key=key)


def _task(x: Execution, epoch: int, sender: bytes) -> tuple[CoinProgress, int]:
    progress = progress_of(x.state, epoch)
    seat = None if progress is None else progress.seat_of(sender)
    if progress is None or seat is None:
        raise NotAssigned("the sender holds no seat of that epoch")
    return progress, seat


def _dealings(view: StateView, progress: CoinProgress, dealers: tuple[int, ...]) -> dict[int, CoinDealing]:
    return {dealer: _dealing(view, progress.epoch, dealer) for dealer in dealers}


def _dealing(view: StateView, epoch: int, dealer: int) -> CoinDealing:
    data = view.get(keys.coin_dealing(epoch, dealer))
    assert data is not None, "a dealer's row stays as long as the progress that names it"
    return read(data, CoinDealing)


def _store(x: Execution, progress: CoinProgress) -> None:
    x.state.store(keys.coin_progress(progress.epoch), progress)
