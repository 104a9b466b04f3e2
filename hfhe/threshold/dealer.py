"""One machine makes the network key and deals it: for test networks, which must say so.

The dealer knows the whole key, and so does whoever reads its memory or its seed. Every later protocol (inputs,
openings, noise) is the same as with a key that nobody ever held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from octra.crypto.hash import H
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey
from octra.hfhe.params import ParameterSet
from octra.hfhe.threshold import prss, shamir
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.shares import SeatShare


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DealtKey:
    """All that the dealer made. `seats[k - 1]` goes to seat k alone; `secret` is kept by nobody but tests."""

    secret: SecretKey
    evaluation: EvaluationKey
    seats: tuple[SeatShare, ...]

    @property
    def public(self) -> PublicKey:
        return self.evaluation.public

    @property
    def key_id(self) -> bytes:
        return self.evaluation.key_id

    def __repr__(self) -> str:
        return "<sealed>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a dealt key is not pickled")


def deal(params: ParameterSet, seed: bytes, n_seats: int) -> DealtKey:
    """A key of `params` from 32 secret bytes, shared among `n_seats` (1 to 10): the same seed gives the same key.

    Raises `NoSuchCommittee` or `PrssTooLarge`. Takes as long as making the evaluation key.
    """
    seats = committee(n_seats)
    noise_keys = prss.deal_keys(n_seats, _branch(seed, b"noise"))
    key_seed = _branch(seed, b"key")
    secret = SecretKey.generate(params, key_seed)
    evaluation = EvaluationKey.generate(secret, key_seed)
    ring = shamir.share(secret.z, seats.t, seats.seats, _branch(seed, b"ring"))
    lwe = shamir.share(secret.s, seats.t, seats.seats, _branch(seed, b"lwe"))
    return DealtKey(
        secret,
        evaluation,
        tuple(
            SeatShare(
                params,
                evaluation.key_id,
                n_seats,
                seat,
                ring[seat - 1],
                lwe[seat - 1],
                prss.keys_of(seat, n_seats, noise_keys),
            )
            for seat in seats.seats
        ),
    )


def _branch(seed: bytes, purpose: bytes) -> bytes:
    return H("octra.dealer", seed, purpose)
