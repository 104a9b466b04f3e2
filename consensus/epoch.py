"""Who sits in the committee, and the record that closes an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from msgspec import Struct

from octra.codec import encode
from octra.consensus.fields import U8, U32, U63, Hash32
from octra.consensus.limits import SLOTS
from octra.crypto.hash import H
from octra.primitives import NodeId


@dataclass(frozen=True)
class Committee:
    """The seats that order, and the public side of their coin. `anchor` binds chain, epoch and committee."""

    anchor: bytes
    seats: tuple[NodeId, ...]
    coin_group_key: bytes
    coin_share_keys: tuple[bytes, ...]

    @cached_property
    def size(self) -> int:
        """n."""
        return len(self.seats)

    @cached_property
    def faults(self) -> int:
        """f, the number of arbitrary faults that are tolerated."""
        return (self.size - 1) // 3

    @cached_property
    def quorum(self) -> int:
        """q = n - f: two quorums share an honest seat."""
        return self.size - self.faults

    @cached_property
    def slots(self) -> int:
        """Leaders per round."""
        return min(SLOTS, self.size)

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return {node: number for number, node in enumerate(self.seats)}

    def seat_of(self, node: bytes) -> int | None:
        """The seat number of a node, or None for a node outside the committee."""
        return self._numbers.get(node)


class Pace(Struct, frozen=True):
    """How fast to make vertices, in milliseconds."""

    min_interval_ms: int
    idle_interval_ms: int
    busy_interval_ms: int = 0  # the pause of a loaded network; not above the least one: its load is ignored


class OrderingParams(Struct, frozen=True):
    """What genesis, the record of the last epoch and configuration say about ordering."""

    start_time_ms: int = 0  # commit times lie above it
    pace: Pace | None = None  # None: by committee size
    start_height: int = 0  # of the block before the first
    close_ms: int | None = None  # the first block of at least this time closes the epoch; None: it never closes
    split: bool = False  # may the own node apply certified deltas? It never shows in the order or in a block
    audit_secret: bytes = b""  # 32 bytes that no other seat knows: which matured batches this one checks; empty: none


DRAWN_RULES = 2  # rules version from which committees are drawn for each epoch


class EpochRules(Struct, frozen=True, array_like=True):
    """What genesis fixes for validators where committees are drawn. Times are counted in epochs."""

    bond_units: U63 = 1_000_000_000  # 1,000 OCT: entry and liability, not votes
    shadow_epochs: U32 = 8  # from `ready` to the first draw: a node proves to itself that it follows
    unbonding_epochs: U32 = 6_720  # 14 days of 180 s; evidence is accepted as long


class EpochRecord(Struct, frozen=True, array_like=True):
    """What an epoch ended with and who comes next. A pure function of the closing state and the beacon signature.

    `epoch` is the one that the record opens; record 0 is genesis.
    """

    version: U8
    chain_id: str
    epoch: U32
    previous: Hash32
    close_height: U63
    close_block: Hash32
    state_root: Hash32
    close_time_ms: U63
    beacon: Hash32
    beacon_signature: bytes  # 48 bytes; empty while the beacon is derived from the coin
    seats_next: tuple[Hash32, ...]
    coin_group_key_next: bytes
    coin_commitments_next: Hash32
    seats_after_next: tuple[Hash32, ...]
    registered_root: Hash32
    scores_id: Hash32
    params_id: Hash32

    @property
    def id(self) -> bytes:
        """The anchor of what follows this record."""
        return H("octra.epoch", encode(self))
