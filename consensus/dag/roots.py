"""What the seats say of the chain, compared with our own blocks: certified heights, certificates, divergence."""

from __future__ import annotations

from collections.abc import Mapping

from octra.consensus.certificate import Certificate, Claim, assemble, claim_of
from octra.consensus.effects import CertificateReady, Certified, Diverged, Effect
from octra.consensus.epoch import Committee
from octra.consensus.limits import ROOTS_KEPT
from octra.consensus.vertex import SignedHeader, Vertex, VertexHeader


class RootTally:
    """Counts claims per seat; only the highest height of a seat matters for what is certified."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        self._own: dict[int, Claim] = {}
        self._claims: dict[int, dict[int, Claim]] = {}  # height -> seat -> what it says
        self._counts: dict[int, dict[Claim, int]] = {}  # height -> how many seats say so
        # The same, signed, above the last certificate. Whole vertices would be 80 MB at 24 seats.
        self._signed: dict[int, dict[int, tuple[VertexHeader, SignedHeader]]] = {}
        self._agreed = [-1] * committee.size  # per seat: highest height where it agrees with us
        self._head = 0
        self.certified_height = 0
        self.certificate_height = 0
        self.certificate: Certificate | None = None  # of that height
        self.diverged = False

    def start(self, height: int) -> None:
        """Everything up to this height was certified by the committee before."""
        self.certified_height = self.certificate_height = self._head = height

    def heard(self, vertex: Vertex) -> list[Effect]:
        """A seat's vertex was inserted."""
        height = vertex.header.height
        if height < 1 or abs(height - self._head) >= ROOTS_KEPT:
            return []
        claims = self._claims.setdefault(height, {})
        if vertex.author in claims:
            return []
        said = claim_of(vertex.header)
        said = claims[vertex.author] = next((known for known in claims.values() if known == said), said)  # one for all
        counts = self._counts.setdefault(height, {})
        counts[said] = counts.get(said, 0) + 1
        if height > self.certificate_height:
            self._signed.setdefault(height, {})[vertex.author] = (vertex.header, vertex.signed_header)
        return self._compare(height, {vertex.author: said})

    def executed(self, height: int, claim: Claim) -> list[Effect]:
        """We executed a block ourselves."""
        self._head = height
        self._own[height] = claim
        self._own.pop(height - ROOTS_KEPT, None)
        for table in (self._claims, self._counts, self._signed):
            table.pop(height - ROOTS_KEPT, None)
        return self._compare(height, self._claims.get(height, {}))

    def _compare(self, height: int, news: Mapping[int, Claim]) -> list[Effect]:
        """Weigh what some seats say of a height, now that it and our own block are known."""
        own = self._own.get(height)
        if own is None:
            return []
        agreeing = [seat for seat, claim in news.items() if claim == own]
        for seat in agreeing:
            self._agreed[seat] = max(self._agreed[seat], height)
        effects = self._certify() if agreeing else []
        effects += self._certificate(height, own)
        effects += self._divergence(height, own)
        return effects

    def _certify(self) -> list[Effect]:
        """A claim names its block, and that the chain below: the q-th highest agreement certifies all under it."""
        height = sorted(self._agreed, reverse=True)[self._committee.quorum - 1]
        if height <= self.certified_height:
            return []
        self.certified_height = height
        return [Certified(height)]

    def _certificate(self, height: int, own: Claim) -> list[Effect]:
        if height <= self.certificate_height or self._counts.get(height, {}).get(own, 0) < self._committee.quorum:
            return []
        agreeing = [seat for seat, claim in self._claims[height].items() if claim == own]
        signed = self._signed[height]
        self.certificate_height = height
        self.certificate = assemble(self._committee, (signed[seat] for seat in agreeing))
        for past in [known for known in self._signed if known <= height]:
            del self._signed[past]
        return [CertificateReady(height, self.certificate)]

    def _divergence(self, height: int, own: Claim) -> list[Effect]:
        if self.diverged:
            return []
        quorum = self._committee.quorum
        self.diverged = any(count >= quorum and claim != own for claim, count in self._counts.get(height, {}).items())
        return [Diverged(height)] if self.diverged else []
