"""What this node thinks of each peer: an integer that falls with faults, fades with time, and ends in a ban.

Local only: it never travels, foreign reports never change it, and it is not the score on the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from octra.primitives import NodeId

WORST, BEST = -1_000, 1_000
HALVING_MS = 600_000
GUEST_BELOW = -100  # small windows, no new asks
BAN_BELOW = -400
BAN_FIRST_MS, BAN_MAX_MS = 600_000, 86_400_000
PEERS_KEPT = 4_096
USEFUL_PER_MINUTE_MAX = 10


class Fault(IntEnum):
    """What a peer did, as the points it costs."""

    BROKE_THE_WIRE = -200
    SENT_INVALID = -20
    SENT_INVALID_SIGNATURE = -100
    PROVABLY_LIED = -1_000
    SENT_UNKNOWN = -5
    DID_NOT_ANSWER = -2


@dataclass(slots=True)
class _Record:
    points: int = 0
    halved_ms: int = 0
    bans: int = 0
    banned_until_ms: int = 0
    useful_minute: int = 0
    useful_count: int = 0


class Standings:
    """The points of all peers. Time is a value given to each call."""

    def __init__(self) -> None:
        self._records: dict[NodeId, _Record] = {}

    def fault(self, peer: NodeId, fault: Fault, now_ms: int) -> bool:
        """Count a fault; True when it leads to a ban, so the link should end."""
        record = self._aged(peer, now_ms)
        record.points = max(WORST, record.points + fault)
        if record.points >= BAN_BELOW or now_ms < record.banned_until_ms:
            return False
        record.banned_until_ms = now_ms + min(BAN_FIRST_MS << min(record.bans, 16), BAN_MAX_MS)
        record.bans += 1
        record.points = GUEST_BELOW  # after the ban it starts low, not at the edge of the next one
        return True

    def useful(self, peer: NodeId, now_ms: int) -> None:
        """Count a useful answer: one point, at most ten a minute."""
        record = self._aged(peer, now_ms)
        if record.useful_minute != now_ms // 60_000:
            record.useful_minute, record.useful_count = now_ms // 60_000, 0
        if record.useful_count < USEFUL_PER_MINUTE_MAX:
            record.useful_count += 1
            record.points = min(BEST, record.points + 1)

    def points(self, peer: NodeId, now_ms: int) -> int:
        """The peer's points now; a stranger has 0."""
        return self._aged(peer, now_ms).points if peer in self._records else 0

    def banned(self, peer: NodeId, now_ms: int) -> bool:
        """Is the peer refused for now?"""
        record = self._records.get(peer)
        return record is not None and now_ms < record.banned_until_ms

    def _aged(self, peer: NodeId, now_ms: int) -> _Record:
        record = self._records.get(peer)
        if record is None:
            if len(self._records) >= PEERS_KEPT:
                self._forget_one(now_ms)
            record = self._records[peer] = _Record(halved_ms=now_ms)
        halvings = (now_ms - record.halved_ms) // HALVING_MS
        if halvings > 0:
            sign = -1 if record.points < 0 else 1
            record.points = sign * (abs(record.points) >> min(halvings, 16))
            record.halved_ms += halvings * HALVING_MS
        return record

    def _forget_one(self, now_ms: int) -> None:
        """Make room by dropping the record that says least; a ban in force is dropped last."""
        least = min(self._records, key=lambda peer: (self.banned(peer, now_ms), abs(self._records[peer].points), peer))
        del self._records[least]
