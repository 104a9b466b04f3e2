"""How the seats of an epoch make their coin key together: everybody deals, everybody checks, the sum counts.

All messages are ordered, so all agree on what was said. One honest dealer among those that count makes the sum secret;
a complaint opens one sealed share, and only that, for everybody to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from octra.consensus.errors import InvalidDealing
from octra.consensus.fields import U8, Hash32
from octra.consensus.limits import COMMITTEE_MAX
from octra.crypto import bls, sharing
from octra.crypto.hash import H

Point1 = Annotated[bytes, Meta(min_length=48, max_length=48)]
Point2 = Annotated[bytes, Meta(min_length=96, max_length=96)]
Proof64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
DEGREE_MAX = (COMMITTEE_MAX - 1) // 3


class CoinDealing(Struct, frozen=True, array_like=True):
    """A seat's committed polynomial of degree f, and its value for each seat under a one-time pad."""

    commitments: Annotated[tuple[Point2, ...], Meta(min_length=1, max_length=DEGREE_MAX + 1)]
    ephemeral: Point1
    masked: Annotated[tuple[Hash32, ...], Meta(min_length=1, max_length=COMMITTEE_MAX)]


class Complaint(Struct, frozen=True, array_like=True):
    """A receiver opens the pad that `dealer` used for it, with the proof that this is the pad."""

    dealer: U8
    point: Point1
    proof: Proof64


class CoinKey(Struct, frozen=True, array_like=True):
    """The public side of a coin: the key that combined signatures fit, and the key of each seat's shares."""

    group_key: bytes
    share_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ceremony:
    """One dealing for one committee. `context` (the anchor of the epoch in which it is ordered) binds every pad."""

    context: bytes
    receive_keys: tuple[bytes, ...]  # g1 * k of each incoming seat, registered for this alone

    @property
    def size(self) -> int:
        """n of the incoming committee."""
        return len(self.receive_keys)

    @property
    def degree(self) -> int:
        """f: so many seats together learn nothing."""
        return (self.size - 1) // 3

    @property
    def quorum(self) -> int:
        """q: acknowledgements that end the dealing."""
        return self.size - self.degree


def deal(ceremony: Ceremony, dealer: int, seed: bytes) -> CoinDealing:
    """The dealing of a seat. It follows from 32 secret bytes, so a restarted dealer deals the same."""
    where = ceremony.context + bytes([dealer])
    coefficients = [sharing.scalar_from(seed, where, bytes([power])) for power in range(ceremony.degree + 1)]
    ephemeral = sharing.scalar_from(seed, where, b"\xff")
    masked = []
    for receiver, key in enumerate(ceremony.receive_keys):
        pad = _pad(ceremony, dealer, receiver, sharing.shared_point(ephemeral, key))
        masked.append(_xor(sharing.evaluate(coefficients, receiver + 1).to_bytes(32, "big"), pad))
    return CoinDealing(sharing.commit(coefficients), sharing.point_of(ephemeral), tuple(masked))


def check_dealing(ceremony: Ceremony, dealing: CoinDealing) -> None:
    """Right sizes, and every point in its subgroup; raises `InvalidDealing`. Sealed shares are for receivers."""
    if len(dealing.commitments) != ceremony.degree + 1 or len(dealing.masked) != ceremony.size:
        raise InvalidDealing("made for another committee")
    if not sharing.is_point(dealing.ephemeral) or not all(bls.is_key(point) for point in dealing.commitments):
        raise InvalidDealing("not points of the prime subgroup")


def open_share(
    ceremony: Ceremony, dealing: CoinDealing, dealer: int, receiver: int, secret: bls.SecretScalar
) -> int | None:
    """The receiver's share of a checked dealing, or None: then it must complain."""
    point = sharing.shared_point(secret, dealing.ephemeral)
    return _unmask(ceremony, dealing, dealer, receiver, point)


def complain(dealing: CoinDealing, dealer: int, secret: bls.SecretScalar) -> Complaint:
    """Show everybody what this receiver was sent."""
    point = sharing.shared_point(secret, dealing.ephemeral)
    return Complaint(dealer, point, sharing.prove_equal(secret, dealing.ephemeral))


def is_upheld(ceremony: Ceremony, dealing: CoinDealing, receiver: int, complaint: Complaint) -> bool:
    """Does the complaint prove the dealer's fault? Not if its own proof fails, and not if the share is right."""
    key = ceremony.receive_keys[receiver]
    if not sharing.verify_equal(key, dealing.ephemeral, complaint.point, complaint.proof):
        return False
    return _unmask(ceremony, dealing, complaint.dealer, receiver, complaint.point) is None


def qualified(ceremony: Ceremony, dealers: Set[int], refuted: Set[int]) -> tuple[int, ...] | None:
    """QUAL: the dealers that count, once a quorum has acknowledged; None when they are too few to hide the sum."""
    counted = tuple(sorted(dealers - refuted))
    return counted if len(counted) > ceremony.degree else None


def join(ceremony: Ceremony, dealings: Sequence[CoinDealing]) -> CoinKey | None:
    """The coin of the dealings that count; None if a sum vanishes, which no honest dealer brings about."""
    try:
        sums = sharing.add_commitments([dealing.commitments for dealing in dealings])
        keys = tuple(sharing.public_share(sums, receiver + 1) for receiver in range(ceremony.size))
    except bls.InvalidPoint:
        return None
    return CoinKey(sums[0], keys) if all(bls.is_key(key) for key in keys) else None


def repair(ceremony: Ceremony, dealing: CoinDealing, receiver: int, shown: Mapping[int, int]) -> int | None:
    """A receiver's share of a faulty dealing from those that other seats show; None while fewer than f + 1 fit."""
    fitting = {seat + 1: share for seat, share in shown.items() if share_fits(dealing, seat, share)}
    if len(fitting) <= ceremony.degree:
        return None
    chosen = dict(sorted(fitting.items())[: ceremony.degree + 1])
    return sharing.interpolate(chosen, receiver + 1)


def share_fits(dealing: CoinDealing, seat: int, share: int) -> bool:
    """Is it the dealing's share of that seat?"""
    return sharing.share_fits(dealing.commitments, seat + 1, share)


def _unmask(ceremony: Ceremony, dealing: CoinDealing, dealer: int, receiver: int, point: bytes) -> int | None:
    pad = _pad(ceremony, dealer, receiver, point)
    share = int.from_bytes(_xor(dealing.masked[receiver], pad), "big")
    return share if share_fits(dealing, receiver, share) else None


def _pad(ceremony: Ceremony, dealer: int, receiver: int, point: bytes) -> bytes:
    return H("octra.coin.pad", point, ceremony.context, bytes([dealer, receiver]))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
