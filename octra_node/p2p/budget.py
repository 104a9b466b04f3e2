"""How much of each lane a peer may use in a second. Over its budget a peer is slowed: its credit returns late."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from octra.node.p2p.frame import KIB, LIMITS
from octra.node.p2p.transport import Lane

MIB = 1_024 * KIB


class PeerClass(Enum):
    """What a peer is to this node."""

    COMMITTEE = "committee"
    REGISTERED = "registered"
    STRANGER = "stranger"


# Bytes a second. Zero: the lane is not for this class, and what it sends there is never credited again.
RATES: Mapping[PeerClass, Mapping[Lane, int]] = {
    PeerClass.COMMITTEE: {
        Lane.CONSENSUS: 2 * MIB,
        Lane.DATA: 16 * MIB,
        Lane.REQUEST: MIB,
        Lane.BULK: 16 * MIB,
    },
    PeerClass.REGISTERED: {
        Lane.CONSENSUS: 0,
        Lane.DATA: 4 * MIB,
        Lane.REQUEST: 256 * KIB,
        Lane.BULK: 8 * MIB,
    },
    PeerClass.STRANGER: {
        Lane.CONSENSUS: 0,
        Lane.DATA: 0,
        Lane.REQUEST: 64 * KIB,
        Lane.BULK: MIB,
    },
}


class Bucket:
    """Tokens that refill at `rate` bytes a second, up to one second's worth and at least one window."""

    __slots__ = ("_burst", "_level", "_rate", "_seen_ms")

    def __init__(self, rate: int, burst: int, now_ms: int) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._seen_ms = burst * 1_000, now_ms  # the level is in thousandths of a byte: exact integers

    def take(self, size: int, now_ms: int) -> int | None:
        """Spend `size`; how many milliseconds until that is paid for, None for never."""
        if self._rate == 0:
            return None
        self._level = min(self._burst * 1_000, self._level + (now_ms - self._seen_ms) * self._rate)
        self._seen_ms = now_ms
        self._level -= size * 1_000
        return 0 if self._level >= 0 else -(self._level // self._rate)


def buckets(kind: PeerClass, now_ms: int) -> dict[Lane, Bucket]:
    """Full buckets for all lanes of one link."""
    return {lane: Bucket(rate, max(rate, LIMITS[lane].window_full), now_ms) for lane, rate in RATES[kind].items()}
