"""Audits: seats check some of the batches for which others vouched, and what they find is evidence."""

from __future__ import annotations

from ordering.dags import make_vertex
from ordering.world import HashKeys

from octra.consensus import limits
from octra.consensus.dag.attest import Attesting
from octra.consensus.dag.propose import Proposer
from octra.consensus.dag.store import Store
from octra.consensus.effects import CheckBatch, RecordEvidence
from octra.consensus.epoch import Pace
from octra.consensus.evidence import FalseAttestation, InvalidBatchReferenced
from octra.consensus.graph import attestors
from octra.consensus.vertex import BatchRef
from octra.crypto.hash import H

KEYS = HashKeys(1, 4)
SECRET = H("test.audit")


def attesting(secret: bytes = SECRET, seat: int | None = 0) -> Attesting:
    """Of a seat that is no neighbour of `AUTHOR`."""
    return Attesting(KEYS.committee, None if seat is None else Proposer(seat, Pace(60, 250), 0), secret)


def is_chosen(id: bytes, secret: bytes = SECRET) -> bool:
    return int.from_bytes(H("octra.audit", secret, id)[:4], "big") % limits.AUDIT_SHARE == 0


AUTHOR = next(
    author
    for author in range(1, 4)
    if 0 not in attestors(KEYS.committee.anchor, 4, author)[: KEYS.committee.faults + 1]
)
VOUCHER = next(seat for seat in range(1, 4) if seat != AUTHOR)
IDS = [H("test.batch", number.to_bytes(4, "big")) for number in range(6_400)]
CHOSEN = next(id for id in IDS if is_chosen(id))
OTHER = next(id for id in IDS if not is_chosen(id))


def mature(part: Attesting, id: bytes, *, held: bool = True) -> list[object]:
    """Effects of a batch that its author references, another seat attests, and the order takes."""
    found: list[object] = []
    if held:
        found += part.stored(id, AUTHOR, 1)
    store = Store(4, 3)
    for vertex in (make_vertex(1, AUTHOR, batches=[BatchRef(id, 2, 300)]), make_vertex(1, VOUCHER, attested=[id])):
        for entry in store.receive(vertex):
            found += part.referenced(id, entry) if vertex.author == AUTHOR else part.attested(id, entry)
    return [*found, *part.settle(id)]


def test_a_chosen_batch_is_checked_though_others_vouched_for_it() -> None:
    part = attesting()
    assert mature(part, CHOSEN) == [CheckBatch(CHOSEN)]
    assert part.checked(CHOSEN, None) == []
    assert part.audits == {}
    assert part._own is not None
    assert CHOSEN not in part._own.attest, "it has matured: nobody needs another attestation"


def test_an_invalid_one_proves_what_its_author_and_those_who_vouched_did() -> None:
    part = attesting()
    mature(part, CHOSEN)
    proofs = part.checked(CHOSEN, 1)
    assert [type(effect.evidence) for effect in proofs if isinstance(effect, RecordEvidence)] == [
        InvalidBatchReferenced,
        FalseAttestation,
    ]
    evidence = [effect.evidence for effect in proofs if isinstance(effect, RecordEvidence)]
    assert {(one.batch, one.index) for one in evidence if not hasattr(one, "first")} == {(CHOSEN, 1)}
    assert part.checked(CHOSEN, 1) == [], "once"


def test_a_batch_whose_bytes_come_later_is_checked_then() -> None:
    part = attesting()
    assert mature(part, CHOSEN, held=False) == []
    assert part.settled_stored(CHOSEN) == [CheckBatch(CHOSEN)]
    assert part.settled_stored(CHOSEN) == []
    assert len(part.checked(CHOSEN, 0)) == 2


def test_other_batches_are_left_alone() -> None:
    assert mature(attesting(), OTHER) == []
    assert mature(attesting(secret=b""), CHOSEN) == []
    assert mature(attesting(seat=None), CHOSEN) == []
    part = attesting()
    part.own_batch(CHOSEN, 1)
    assert mature(part, CHOSEN, held=False) == [], "who attested it has checked it"


def test_a_seat_checks_one_of_64_and_each_seat_others() -> None:
    chosen = [{id for id in IDS if is_chosen(id, H("test.audit", bytes([seat])))} for seat in range(3)]
    assert all(60 <= len(one) <= 140 for one in chosen)  # 100 expected, of fixed ids
    assert not chosen[0] & chosen[1] & chosen[2]


def test_audits_that_never_get_their_bytes_are_forgotten() -> None:
    part = attesting()
    wanted = [id for id in IDS if is_chosen(id)][: limits.AUDITS_MAX + 2]
    for id in wanted:
        mature(part, id, held=False)
    assert list(part.audits) == wanted[2:]
