"""Partial validation: which batches this seat checks, and what it says of them.

A batch counts once f + 1 distinct seats, the author among them, vouch for it: one of them is honest, has checked every
signature and holds the bytes. So each seat checks only the batches of the authors whose neighbour it is in the graph
of the epoch, and further ones when neighbours stay silent. Whoever vouches counts, asked or not, so the duty below is
a matter of work and never of agreement.

That an honest seat is among f + 1 holds while at most f lie. Should there be more, audits find it out: of the batches
that others vouched for, each seat checks one of 64, and nobody can tell which.
"""

from __future__ import annotations

from msgspec import Struct

from octra.consensus import limits
from octra.consensus.dag.propose import Proposer
from octra.consensus.dag.store import Entry
from octra.consensus.effects import CheckBatch, Effect, RecordEvidence
from octra.consensus.epoch import Committee
from octra.consensus.evidence import FalseAttestation, InvalidBatchReferenced
from octra.consensus.graph import attestors
from octra.crypto.hash import H


class HeldBatch(Struct):
    """A batch whose bytes we hold. `valid` is None until it is checked, for which `asked` stands."""

    author: int
    round: int  # our round when it came: old unreferenced ones are forgotten
    asked: bool = False
    valid: bool | None = None
    invalid_index: int = 0


class News(Struct):
    """What the DAG says of an unsettled batch: its first reference, and a vertex of each seat that vouches for it."""

    reference: Entry
    vouchers: dict[int, Entry]


class Audit(Struct):
    """A batch that matured without us, and who vouched for it. It is checked when its bytes are here."""

    news: News
    batch: HeldBatch


class Attesting:
    """The unsettled batches, and the own seat's part in them. A node without a seat checks nothing."""

    def __init__(self, committee: Committee, own: Proposer | None, audit_secret: bytes = b"") -> None:
        """`audit_secret` chooses the batches to audit, and is known to this seat alone; without it there are none."""
        self._own, self._needed = own, committee.faults + 1
        self._places = [] if own is None else _places(committee, own.seat)
        self.held: dict[bytes, HeldBatch] = {}
        self.news: dict[bytes, News] = {}
        self.audits: dict[bytes, Audit] = {}
        self._audit_secret = audit_secret
        self._round = 0  # up to which escalation was looked at

    def stored(self, id: bytes, author: int, round: int) -> list[Effect]:
        """The bytes of an unsettled batch came, or were looked up again."""
        if id not in self.held:
            self.held[id] = HeldBatch(author, round)
        return self._ask_if_due(id, round)

    def own_batch(self, id: bytes, round: int) -> None:
        """An own batch: it was checked before it was made."""
        assert self._own is not None
        held = self.held.setdefault(id, HeldBatch(self._own.seat, round))
        held.asked = held.valid = True

    def referenced(self, id: bytes, entry: Entry) -> list[Effect]:
        """A vertex references an unsettled batch: its author vouches for it."""
        news = self.news.setdefault(id, News(entry, {}))
        news.vouchers.setdefault(entry.author, entry)
        batch = self.held.get(id)
        if batch is None:
            return []
        if batch.valid is False:
            return [_invalid_reference(entry, id, batch)]
        if batch.valid:
            self._attest_again(id, batch, entry)
        return []

    def attested(self, id: bytes, entry: Entry) -> list[Effect]:
        """A vertex attests a batch. Of batches that nobody has referenced yet nothing is remembered."""
        if id in self.news:
            self.news[id].vouchers.setdefault(entry.author, entry)
        batch = self.held.get(id)
        return [_false_attestation(entry, id, batch)] if batch is not None and batch.valid is False else []

    def checked(self, id: bytes, invalid_index: int | None) -> list[Effect]:
        """The static check of a held batch ended: vouch for it, or prove what those did who vouch."""
        audit = self.audits.pop(id, None)
        batch, news = (self.held.get(id), self.news.get(id)) if audit is None else (audit.batch, audit.news)
        if batch is None or batch.valid is not None:
            return []
        batch.valid, batch.invalid_index = invalid_index is None, invalid_index or 0
        if batch.valid:
            if audit is None and self._own is not None and batch.author != self._own.seat:
                self._own.attest[id] = None
            return []
        return [] if news is None else [_proof(entry, id, batch) for entry in news.vouchers.values()]

    def round_reached(self, round: int) -> list[Effect]:
        """The quorum went on: batches for which too few seats vouch are checked by further ones."""
        if round <= self._round:
            return []
        self._round = round
        return [effect for id in self.news for effect in self._ask_if_due(id, round)]

    def settle(self, id: bytes) -> list[Effect]:
        """A batch matured: enough seats vouch for it. Perhaps we look whether they may."""
        batch, news = self.held.pop(id, None), self.news.pop(id, None)
        if news is None or (batch is not None and batch.asked) or not self._is_audited(id):
            return []
        self.audits[id] = Audit(news, batch or HeldBatch(news.reference.author, news.reference.round))
        while len(self.audits) > limits.AUDITS_MAX:
            del self.audits[next(iter(self.audits))]
        return [] if batch is None else self.settled_stored(id)

    def settled_stored(self, id: bytes) -> list[Effect]:
        """The bytes of a batch that has matured are here."""
        audit = self.audits.get(id)
        if audit is None or audit.batch.asked:
            return []
        audit.batch.asked = True
        return [CheckBatch(id)]

    def _is_audited(self, id: bytes) -> bool:
        if self._own is None or not self._audit_secret:
            return False
        return int.from_bytes(H("octra.audit", self._audit_secret, id)[:4], "big") % limits.AUDIT_SHARE == 0

    def forget(self, id: bytes) -> None:
        """No reference to the batch counts any more."""
        self.news.pop(id, None)

    def forget_unreferenced(self, floor: int) -> None:
        """Batches that nobody referenced for long are dropped."""
        for id in [id for id, batch in self.held.items() if batch.round <= floor and id not in self.news]:
            del self.held[id]

    def _ask_if_due(self, id: bytes, round: int) -> list[Effect]:
        batch = self.held.get(id)
        if self._own is None or batch is None or batch.asked or not self._is_due(id, batch.author, round):
            return []
        batch.asked = True
        return [CheckBatch(id)]

    def _is_due(self, id: bytes, author: int, round: int) -> bool:
        """Neighbours at once; each round after the second as many further seats as are missing; at last everybody.

        Vouchers may turn out not to count, when their vertices are void or never ordered: hence the last.
        """
        asked, news = self._needed, self.news.get(id)
        if news is not None:
            waited = round - news.reference.round
            if waited >= limits.ESCALATE_ALL_ROUNDS:
                return True
            if waited >= limits.ESCALATE_ROUNDS:
                missing = max(0, self._needed - len(news.vouchers))
                asked += missing * (waited - limits.ESCALATE_ROUNDS + 1)
        return self._places[author] < asked

    def _attest_again(self, id: bytes, batch: HeldBatch, entry: Entry) -> None:
        """A valid batch is referenced (again): an attestation so old that it expired is repeated."""
        own = self._own
        if own is not None and batch.author != own.seat:
            last = own.attested.get(id)
            if last is None or entry.round >= last + limits.WEAK_ROUNDS:
                own.attest[id] = None


def _places(committee: Committee, seat: int) -> list[int]:
    """Per author: the place of `seat` in the order in which seats are asked to check his batches."""
    orders = (attestors(committee.anchor, committee.size, author) for author in range(committee.size))
    return [order.index(seat) if seat in order else 0 for order in orders]


def _proof(entry: Entry, id: bytes, batch: HeldBatch) -> RecordEvidence:
    references = any(reference.id == id for reference in entry.vertex.body.batches)
    return _invalid_reference(entry, id, batch) if references else _false_attestation(entry, id, batch)


def _invalid_reference(entry: Entry, id: bytes, batch: HeldBatch) -> RecordEvidence:
    vertex = entry.vertex
    return RecordEvidence(InvalidBatchReferenced(vertex.signed_header, vertex.body_bytes, id, batch.invalid_index))


def _false_attestation(entry: Entry, id: bytes, batch: HeldBatch) -> RecordEvidence:
    vertex = entry.vertex
    return RecordEvidence(FalseAttestation(vertex.signed_header, vertex.body_bytes, id, batch.invalid_index))
