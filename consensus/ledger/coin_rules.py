"""The coin of the next epoch, made by ordered messages: who may say what, and when the sum is settled."""

from __future__ import annotations

from msgspec.structs import replace

from octra.consensus import coin_dealing
from octra.consensus.coin_dealing import CoinDealing
from octra.consensus.errors import InvalidDealing
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.epoch_records import Claim, CoinProgress, Shown
from octra.consensus.ledger.errors import NotAssigned
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.state import load, read
from octra.consensus.ports import StateView


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
        if coin_dealing.is_upheld(progress.ceremony, dealing_of(x.state, op.epoch, complaint.dealer), seat, complaint):
            refuted.add(complaint.dealer)
            x.emit("coin_dealer_refuted", op.epoch, progress.seats[complaint.dealer])
    progress = replace(progress, acked=(*progress.acked, seat), refuted=tuple(sorted(refuted)))
    _store(x, _settle(x, progress) if progress.ended else progress)


def take_repair(x: Execution, op: ops.CoinRepair, sender: bytes) -> None:
    """A late proof of a bad share, or a seat's own share of the dealing that was proven bad."""
    progress, seat = _task(x, op.epoch, sender)
    if op.dealer not in progress.counted:
        raise NotAssigned("this dealing does not count")
    dealing = dealing_of(x.state, op.epoch, op.dealer)
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


def progress_of(view: StateView, epoch: int) -> CoinProgress | None:
    """How far an epoch's coin is, while the state knows of it."""
    return load(view, keys.coin_progress(epoch), CoinProgress)


def _settle(x: Execution, progress: CoinProgress) -> CoinProgress:
    """Fix who counts, and sum up. Without enough dealings there is no coin, and the seats stay as they are."""
    counted = coin_dealing.qualified(progress.ceremony, set(progress.dealers), set(progress.refuted))
    key = None
    if counted is not None:
        key = coin_dealing.join(progress.ceremony, [dealing_of(x.state, progress.epoch, one) for one in counted])
    x.emit("coin_settled", progress.epoch, key is not None)
    return progress if key is None or counted is None else replace(progress, counted=counted, key=key)


def _task(x: Execution, epoch: int, sender: bytes) -> tuple[CoinProgress, int]:
    progress = progress_of(x.state, epoch)
    seat = None if progress is None else progress.seat_of(sender)
    if progress is None or seat is None:
        raise NotAssigned("the sender holds no seat of that epoch")
    return progress, seat


def dealing_of(view: StateView, epoch: int, dealer: int) -> CoinDealing:
    """An ordered dealing."""
    data = view.get(keys.coin_dealing(epoch, dealer))
    assert data is not None, "a dealer's row stays as long as the progress that names it"
    return read(data, CoinDealing)


def _store(x: Execution, progress: CoinProgress) -> None:
    x.state.store(keys.coin_progress(progress.epoch), progress)
