"""What the seats say of the chain, compared with our own blocks: certified heights, certificates, divergence."""

from __future__ import annotations

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
        claims, said = self._claims.setdefault(height, {}), claim_of(vertex.header)
        if vertex.author not in claims:
            claims[vertex.author] = next((known for known in claims.values() if known == said), said)  # one for all
            if height > self.certificate_height:
                self._signed.setdefault(height, {})[vertex.author] = (vertex.header, vertex.signed_header)
        return self._compare(height)

    def executed(self, height: int, claim: Claim) -> list[Effect]:
        """We executed a block ourselves."""
        self._head = height
        self._own[height] = claim
        self._own.pop(height - ROOTS_KEPT, None)
        self._claims.pop(height - ROOTS_KEPT, None)
        self._signed.pop(height - ROOTS_KEPT, None)
        return self._compare(height)

    def _compare(self, height: int) -> list[Effect]:
        own, claims = self._own.get(height), self._claims.get(height, {})
        if own is None:
            return []
        effects: list[Effect] = []
        for seat, claim in claims.items():
            if claim == own:
                self._agreed[seat] = max(self._agreed[seat], height)
        effects += self._certify()
        effects += self._certificate(height, own, claims)
        effects += self._divergence(height, own, claims)
        return effects

    def _certify(self) -> list[Effect]:
        """A claim names its block, and that the chain below: the q-th highest agreement certifies all under it."""
        height = sorted(self._agreed, reverse=True)[self._committee.quorum - 1]
        if height <= self.certified_height:
            return []
        self.certified_height = height
        return [Certified(height)]

    def _certificate(self, height: int, own: Claim, claims: dict[int, Claim]) -> list[Effect]:
        agreeing = [seat for seat, claim in claims.items() if claim == own]
        if height <= self.certificate_height or len(agreeing) < self._committee.quorum:
            return []
        signed = self._signed[height]
        self.certificate_height = height
        self.certificate = assemble(self._committee, (signed[seat] for seat in agreeing))
        for past in [known for known in self._signed if known <= height]:
            del self._signed[past]
        return [CertificateReady(height, self.certificate)]

    def _divergence(self, height: int, own: Claim, claims: dict[int, Claim]) -> list[Effect]:
        counts: dict[Claim, int] = {}
        for claim in claims.values():
            counts[claim] = counts.get(claim, 0) + 1
            if claim != own and counts[claim] >= self._committee.quorum and not self.diverged:
                self.diverged = True
                return [Diverged(height)]
        return []
