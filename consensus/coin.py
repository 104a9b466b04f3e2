"""The common coin: threshold BLS shares in vertices become leaders that nobody knew when he voted."""

from __future__ import annotations

from collections.abc import Sequence

from octra.consensus import limits
from octra.consensus.epoch import Committee
from octra.consensus.events import BeaconRevealed, BeaconSharesRejected, CoinRevealed, CoinSharesRejected
from octra.crypto import bls
from octra.crypto.hash import H


def coin_message(anchor: bytes, round: int) -> bytes:
    """What the shares of a round sign."""
    return b"octra.coin" + anchor + round.to_bytes(4, "little")


def beacon_message(anchor: bytes) -> bytes:
    """What the beacon shares of an epoch sign: one message, so nobody can steer the beacon."""
    return b"octra.beacon" + anchor


def beacon_value(signature: bytes) -> bytes:
    """The 32 random bytes that everything drawn at the close of an epoch follows from."""
    return H("octra.beacon", signature)


def share_round(vertex_round: int) -> int:
    """The round whose coin a vertex of `vertex_round` helps to reveal; below 1 it carries no share."""
    return vertex_round - limits.DECIDE_DEPTH


def make_share(secret: bls.SecretScalar, anchor: bytes, round: int) -> bytes:
    """A seat's share of the coin of `round`."""
    return secret.sign(coin_message(anchor, round))


def share_is_valid(committee: Committee, round: int, seat: int, share: bytes) -> bool:
    """Is it the share of that seat's key?"""
    return bls.verify(committee.coin_share_keys[seat], share, coin_message(committee.anchor, round))


def reveal(committee: Committee, round: int, shares: Sequence[tuple[int, bytes]]) -> CoinRevealed | CoinSharesRejected:
    """Combine f + 1 of the shares; only when that fails, find the bad ones one by one."""
    signature, bad = _reveal(committee, coin_message(committee.anchor, round), shares)
    return CoinSharesRejected(round, bad) if signature is None else CoinRevealed(round, signature, bad)


def reveal_beacon(committee: Committee, shares: Sequence[tuple[int, bytes]]) -> BeaconRevealed | BeaconSharesRejected:
    """The beacon of the committee's epoch, as `reveal` does for a coin."""
    signature, bad = _reveal(committee, beacon_message(committee.anchor), shares)
    return BeaconSharesRejected(bad) if signature is None else BeaconRevealed(signature, bad)


def beacon_is_valid(committee: Committee, signature: bytes) -> bool:
    """Is it the one signature that the beacon of the committee's epoch follows from?"""
    return bls.verify(committee.coin_group_key, signature, beacon_message(committee.anchor))


def make_beacon_share(secret: bls.SecretScalar, anchor: bytes) -> bytes:
    """A seat's share of the beacon: to be shown only once the epoch has closed."""
    return secret.sign(beacon_message(anchor))


def coin_value(signature: bytes) -> bytes:
    """The 32 random bytes that a combined signature stands for."""
    return H("octra.coin", signature)


def leaders(value: bytes, size: int, count: int) -> tuple[int, ...]:
    """The first `count` seats of the permutation that the coin draws."""
    return permutation(value, "octra.leaders", size)[:count]


def permutation(seed: bytes, tag: str, size: int) -> tuple[int, ...]:
    """An unbiased shuffle of 0 .. size - 1: Fisher-Yates on a hash stream, with rejection."""
    seats = list(range(size))
    stream = _Stream(seed, tag)
    for last in range(size - 1, 0, -1):
        other = stream.below(last + 1)
        seats[last], seats[other] = seats[other], seats[last]
    return tuple(seats)


def _reveal(
    committee: Committee, message: bytes, shares: Sequence[tuple[int, bytes]]
) -> tuple[bytes | None, tuple[int, ...]]:
    """The combined signature or None, and the seats whose shares turned out bad."""
    needed = committee.faults + 1
    signature = _combine(committee, message, sorted(shares)[:needed])
    if signature is not None:
        return signature, ()
    good: list[tuple[int, bytes]] = []
    bad: list[int] = []
    for seat, share in shares:
        if bls.verify(committee.coin_share_keys[seat], share, message):
            good.append((seat, share))
        else:
            bad.append(seat)
    return _combine(committee, message, good[:needed]), tuple(bad)


def _combine(committee: Committee, message: bytes, shares: Sequence[tuple[int, bytes]]) -> bytes | None:
    if len(shares) < committee.faults + 1:
        return None
    return bls.combine_verified({seat + 1: share for seat, share in shares}, committee.coin_group_key, message)


class _Stream:
    """32-bit words of H(tag, seed || counter)."""

    def __init__(self, seed: bytes, tag: str) -> None:
        self._seed, self._tag, self._counter, self._words = seed, tag, 0, b""

    def below(self, bound: int) -> int:
        """A uniform number in 0 .. bound - 1; words of the incomplete last interval are thrown away."""
        limit = 2**32 - 2**32 % bound
        while True:
            if not self._words:
                self._words = H(self._tag, self._seed, self._counter.to_bytes(4, "little"))
                self._counter += 1
            word, self._words = int.from_bytes(self._words[:4], "little"), self._words[4:]
            if word < limit:
                return word % bound
