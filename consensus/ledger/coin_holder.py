"""A node's part in the coins of the epochs: what it owes, how it answers, and which share it holds.

All follows from the ordered state and the node's own secrets, so a restarted node says the same again. Opening a share
takes a millisecond: each is opened once and remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, assert_never

from msgspec import Struct

from octra.consensus import coin_dealing
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.coin_rules import dealing_of, progress_of
from octra.consensus.ledger.epoch_records import CoinProgress, EpochState
from octra.consensus.ledger.records import Clock
from octra.consensus.ledger.state import load
from octra.consensus.limits import COMMITTEE_MAX
from octra.consensus.ports import StateView
from octra.crypto import bls

OPENED_MAX = 4 * COMMITTEE_MAX  # the coin in use, the one in the making, and those just before


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


class CoinHolder:
    """The secrets of one node, and the shares that it has opened."""

    def __init__(self, node: bytes, secret: bls.SecretScalar, seed: bytes) -> None:
        """`secret` belongs to the registered coin key; from `seed` (32 secret bytes) the own dealings follow."""
        self._node, self._secret, self._seed = node, secret, seed
        self._opened: dict[tuple[bytes, int], int | None] = {}

    def duties(self, view: StateView) -> list[CoinDuty]:
        """What the node owes to the coin in use and to the one in the making, as of this state."""
        epoch, clock = load(view, keys.EPOCH, EpochState), load(view, keys.CLOCK, Clock)
        if epoch is None or clock is None:
            return []  # the committee is fixed
        owed: list[CoinDuty] = []
        for target in sorted({epoch.coin_epoch, clock.epoch + 1}):
            progress = progress_of(view, target)
            seat = None if progress is None else progress.seat_of(self._node)
            if progress is None or seat is None:
                continue
            if clock.time_ms <= progress.deal_until_ms:
                if seat not in progress.dealers:
                    owed.append(DealCoin(target))
            elif not progress.ended:
                if seat not in progress.acked:
                    owed.append(AckCoin(target))
            else:
                owed += self._repairs(view, progress, seat)
        return owed

    def answer(self, view: StateView, duty: CoinDuty) -> ops.Op:
        """The operation that a duty asks for."""
        progress = progress_of(view, duty.epoch)
        assert progress is not None
        seat = progress.seat_of(self._node)
        assert seat is not None
        match duty:
            case DealCoin(target):
                return ops.CoinDeal(target, coin_dealing.deal(progress.ceremony, seat, self._seed))
            case AckCoin(target):
                bad = self._bad(view, progress, seat, progress.dealers)
                return ops.CoinAck(target, tuple(self._complain(view, target, dealer) for dealer in bad))
            case ClaimShare(target, dealer):
                return ops.CoinRepair(target, dealer, (self._complain(view, target, dealer),))
            case ShowShare(target, dealer):
                share = self._share(view, progress, seat, dealer)
                assert share is not None
                return ops.CoinRepair(target, dealer, (), share.to_bytes(32, "big"))
            case _:
                assert_never(duty)

    def coin_secret(self, view: StateView, epoch: int) -> bls.SecretScalar | None:
        """The node's share of the coin dealt for `epoch`; None if it holds none, or before a repair."""
        progress = progress_of(view, epoch)
        seat = None if progress is None else progress.seat_of(self._node)
        if progress is None or seat is None or progress.key is None:
            return None
        total = 0
        for dealer in progress.counted:
            share = self._share(view, progress, seat, dealer)
            if share is None:
                share = _repaired(view, progress, seat, dealer)
            if share is None:
                return None
            total += share
        return bls.SecretScalar(total % bls.ORDER) if total % bls.ORDER else None

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a node's secrets are not pickled")

    def _repairs(self, view: StateView, progress: CoinProgress, seat: int) -> list[CoinDuty]:
        """Claims for own bad shares, and own shares that others need."""
        owed: list[CoinDuty] = []
        bad = self._bad(view, progress, seat, progress.counted)
        for dealer in progress.counted:
            asked = [claim.receiver for claim in progress.claims if claim.dealer == dealer]
            shown = any((one.dealer, one.seat) == (dealer, seat) for one in progress.shown)
            if dealer in bad:
                if seat not in asked:
                    owed.append(ClaimShare(progress.epoch, dealer))
            elif asked and not shown:
                owed.append(ShowShare(progress.epoch, dealer))
        return owed

    def _bad(self, view: StateView, progress: CoinProgress, seat: int, dealers: Sequence[int]) -> list[int]:
        return [dealer for dealer in dealers if self._share(view, progress, seat, dealer) is None]

    def _share(self, view: StateView, progress: CoinProgress, seat: int, dealer: int) -> int | None:
        """The own share of a dealing. A dealing of one context and dealer is ordered once, so it never changes."""
        name = (progress.context, dealer)
        if name not in self._opened:
            dealing = dealing_of(view, progress.epoch, dealer)
            self._opened[name] = coin_dealing.open_share(progress.ceremony, dealing, dealer, seat, self._secret)
            while len(self._opened) > OPENED_MAX:
                del self._opened[next(iter(self._opened))]
        return self._opened[name]

    def _complain(self, view: StateView, epoch: int, dealer: int) -> coin_dealing.Complaint:
        return coin_dealing.complain(dealing_of(view, epoch, dealer), dealer, self._secret)


def _repaired(view: StateView, progress: CoinProgress, seat: int, dealer: int) -> int | None:
    shown = {one.seat: int.from_bytes(one.share, "big") for one in progress.shown if one.dealer == dealer}
    return coin_dealing.repair(progress.ceremony, dealing_of(view, progress.epoch, dealer), seat, shown)
