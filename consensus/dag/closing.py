"""The end of an epoch: its last block, the root that a quorum gives to it, and the beacon.

Behind the last block nothing is ordered. Seats go on making vertices, without batches, until their claims and beacon
shares suffice; whoever comes late finds both in the stored vertices of others.
"""

from __future__ import annotations

from octra.consensus import limits
from octra.consensus.dag.roots import RootTally
from octra.consensus.dag.store import Entry, Store
from octra.consensus.effects import CombineBeacon, CommitDraft, Effect, EpochEnded
from octra.consensus.epoch import Committee, OrderingParams


class Closing:
    """What is known of the end of this epoch."""

    def __init__(self, committee: Committee, params: OrderingParams) -> None:
        self._committee, self._params = committee, params
        self.height = 0  # of the last block, once it is decided
        self.ended = False
        self._round = 0
        self._shares: dict[int, bytes] = {}
        self._rejected: set[int] = set()
        self._asked = False
        self._signature: bytes | None = None

    @property
    def decided(self) -> bool:
        """Is the last block of the epoch in the order?"""
        return self.height > 0

    @property
    def share_wanted(self) -> bool:
        """Does an own vertex still have to carry root and beacon share?"""
        return self.decided and not self.ended

    def is_last(self, draft: CommitDraft) -> bool:
        """Does this block close the epoch? A function of the order alone."""
        if self._params.close_ms is None:
            return False
        return draft.time_ms >= self._params.close_ms or draft.leader_round >= limits.EPOCH_ROUNDS_MAX

    def close(self, draft: CommitDraft) -> list[Effect]:
        """The last block is decided."""
        self.height, self._round = draft.height, draft.leader_round
        return self._combine()

    def is_said(self, round: int, claim_sent: int) -> bool:
        """Has the own seat said all, and long ago? More rounds without a floor would only fill the memory."""
        return self.decided and claim_sent >= self.height and round > self._round + limits.GC_ROUNDS

    def inserted(self, entry: Entry) -> list[Effect]:
        """Keep the beacon share of a vertex; shares may come before we know of the end ourselves."""
        share = entry.vertex.body.beacon_share
        if not share or self._params.close_ms is None or entry.author in self._rejected:
            return []
        self._shares.setdefault(entry.author, share)
        return self._combine()

    def revealed(self, signature: bytes) -> None:
        """The shares gave the beacon."""
        self._signature = signature

    def rejected(self, authors: tuple[int, ...]) -> list[Effect]:
        """Bad shares are dropped, and so is whatever else their authors say of the beacon."""
        self._asked = False
        self._rejected.update(authors)
        for author in authors:
            self._shares.pop(author, None)
        return self._combine()

    def executed(self, roots: RootTally, store: Store, height: int) -> list[Effect]:
        """A block was executed. Claims about the last one may have come long before: look at them again."""
        if not self.decided or height != self.height:
            return []
        return [
            effect
            for entry in store.entries.values()
            if entry.vertex.header.height == height
            for effect in roots.heard(entry.vertex)
        ]

    def end(self, roots: RootTally) -> list[Effect]:
        """The epoch has ended when its last root is certified and its beacon known."""
        certificate = roots.certificate
        if self.ended or not self.decided or self._signature is None or certificate is None:
            return []
        if roots.certificate_height != self.height:
            return []
        self.ended = True
        return [EpochEnded(self.height, certificate, self._signature)]

    def _combine(self) -> list[Effect]:
        if not self.decided or self._asked or self._signature or len(self._shares) <= self._committee.faults:
            return []
        self._asked = True
        return [CombineBeacon(tuple(sorted(self._shares.items())))]
