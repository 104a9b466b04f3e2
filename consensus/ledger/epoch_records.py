"""The rows of validators, epochs and their coins: part of the state only where committees are drawn."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from octra.consensus.checkpoint import Validator
from octra.consensus.coin_dealing import Ceremony, CoinKey
from octra.consensus.committee import Candidate

FULL_SCORE = 8  # looks honest


class ValidatorStatus(IntEnum):
    """`ACTIVE` validators are drawn once their time as a shadow is over; `REMOVED` ones never come back."""

    REGISTERED = 0
    ACTIVE = 1
    EXITING = 2
    REMOVED = 3


class ValidatorRecord(Struct, frozen=True, array_like=True):
    """A registered validator. Epochs are numbers of the chain's clock."""

    node: bytes
    owner: bytes  # the account that registered it, bonds for it and gets its tips
    bls_key: bytes
    coin_key: bytes
    view_key: bytes
    operator: bytes
    status: int = ValidatorStatus.REGISTERED
    bond: int = 0
    since: int = 0  # first epoch that may draw it, once `ACTIVE`
    left: int = 0  # epoch from which it holds no seat, once `EXITING` or `REMOVED`
    score: int = FULL_SCORE
    founding: bool = False  # stands in genesis, and needs no bond

    @property
    def candidate(self) -> Candidate:
        """As the draw sees it."""
        return Candidate(self.node, self.operator, self.score)


class EpochState(Struct, frozen=True, array_like=True):
    """What the rules need to know of the running epoch and the next."""

    record: bytes  # id of the record that opened it: the anchor of everything ordered in it
    base_round: int  # leader rounds of the epochs before: deadlines count all of them
    seats: tuple[bytes, ...]
    seats_next: tuple[bytes, ...]  # as planned; if their coin is not ready, the seats stay as they are
    coin_epoch: int  # the epoch that the coin in use was dealt for
    coin: CoinKey
    signed_epoch: int = 0  # the newest epoch whose opening record is checkpointed


class Candidates(Struct, frozen=True, array_like=True):
    """Those who stood when an epoch opened, frozen before anybody knew the beacon that draws from them."""

    rows: tuple[Candidate, ...]


class Registered(Struct, frozen=True, array_like=True):
    """Who signs checkpoints, in order of node ids."""

    validators: tuple[Validator, ...]


class Claim(Struct, frozen=True, array_like=True):
    """`receiver` has proven that its share of `dealer` is bad."""

    dealer: int
    receiver: int


class Shown(Struct, frozen=True, array_like=True):
    """`seat` has shown its share of a dealer that cheated another seat."""

    dealer: int
    seat: int
    share: bytes


class CoinProgress(Struct, frozen=True, array_like=True):
    """The dealing of one epoch's coin: who is to hold it, and what was said so far."""

    epoch: int
    context: bytes
    seats: tuple[bytes, ...]
    receive_keys: tuple[bytes, ...]
    deal_until_ms: int
    dealers: tuple[int, ...] = ()
    refuted: tuple[int, ...] = ()
    acked: tuple[int, ...] = ()
    counted: tuple[int, ...] = ()  # the dealers whose sum is the coin, once a quorum has acknowledged
    key: CoinKey | None = None
    claims: tuple[Claim, ...] = ()
    shown: tuple[Shown, ...] = ()

    @property
    def ceremony(self) -> Ceremony:
        """As the pure dealing rules want it."""
        return Ceremony(self.context, self.receive_keys)

    @property
    def ended(self) -> bool:
        """Has a quorum acknowledged?"""
        return len(self.acked) >= self.ceremony.quorum

    def seat_of(self, node: bytes) -> int | None:
        """The incoming seat of a node, or None."""
        return self.seats.index(node) if node in self.seats else None
