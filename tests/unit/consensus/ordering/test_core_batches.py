"""The core checks, attests, fetches and names batches: effects of each fact, and no others."""

from __future__ import annotations

from ordering.core_seat import (
    BATCH,
    NODES,
    Seat,
    layers_with_reference,
    neighbours_of,
    none,
    only,
    own_round,
    rounds,
    strangers_to,
)
from ordering.dags import full_round, make_vertex

from octra.consensus import limits
from octra.consensus.effects import CheckBatch, FetchBatch, Propose, RecordEvidence
from octra.consensus.events import BatchChecked, BatchStored, OwnBatchReady, Ticked
from octra.consensus.evidence import FalseAttestation, InvalidBatchReferenced


def test_a_neighbours_batch_is_checked_and_attested_in_the_next_vertex_once() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    seat.seal(only(Propose, seat.log))
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == [CheckBatch(BATCH.id)]
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == []
    seat.feed(BatchChecked(BATCH.id, None))
    one = [*own_round(seat, 1), *rounds(1)[0][1:]]
    order = only(Propose, seat.receive(*one[1:]) + seat.wait(60))
    assert order.body.attested == (BATCH.id,)
    seat.seal(order)
    two = full_round(one, 4)[1:]
    assert only(Propose, seat.receive(*two) + seat.wait(300)).body.attested == ()


def test_every_batch_has_two_of_four_seats_to_check_it_beside_its_author() -> None:
    for author in range(4):
        checkers = [seat for seat in range(4) if author in neighbours_of(seat)]
        assert len(checkers) == 2
        assert author not in checkers


def test_a_batch_that_is_not_ours_to_check_is_checked_once_its_neighbours_stay_silent() -> None:
    (author,) = strangers_to(0)
    seat = Seat()
    seat.seal(only(Propose, seat.log))
    assert seat.feed(BatchStored(BATCH.id, author, 2, 300)) == []
    layers = layers_with_reference(author, count=3)
    assert none(CheckBatch, seat.receive(*layers[0], *layers[1]))  # neighbours have a round trip to answer
    assert only(CheckBatch, seat.receive(*layers[2])) == CheckBatch(BATCH.id)


def test_a_batch_for_which_enough_seats_vouch_is_left_alone_until_that_takes_too_long() -> None:
    (author,) = strangers_to(0)
    voucher = next(seat for seat in range(1, 4) if seat != author)
    seat = Seat()
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    layers = layers_with_reference(author, count=limits.ESCALATE_ALL_ROUNDS + 1, voucher=voucher)
    assert none(CheckBatch, seat.receive(*(vertex for layer in layers[:-1] for vertex in layer)))
    assert only(CheckBatch, seat.receive(*layers[-1])) == CheckBatch(BATCH.id)


def test_a_follower_without_a_seat_checks_nothing() -> None:
    follower = Seat(seat=None)
    assert follower.feed(BatchStored(BATCH.id, 1, 2, 300)) == []
    layers = layers_with_reference(1, count=limits.ESCALATE_ALL_ROUNDS + 2)
    assert none(CheckBatch, follower.receive(*(vertex for layer in layers for vertex in layer)))


def test_an_invalid_batch_is_never_attested_and_its_reference_is_evidence() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    seat.seal(only(Propose, seat.log))
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    seat.feed(BatchChecked(BATCH.id, 1))
    evidence = only(RecordEvidence, seat.receive(make_vertex(1, author, batches=[BATCH]))).evidence
    assert isinstance(evidence, InvalidBatchReferenced)
    assert (evidence.batch, evidence.index) == (BATCH.id, 1)
    others = [vertex for vertex in rounds(1)[0][1:] if vertex.author != author]
    assert only(Propose, seat.receive(*others) + seat.wait(300)).body.attested == ()


def test_whoever_attested_an_invalid_batch_is_proven_to_have_lied_before_and_after_our_check() -> None:
    seat, author = Seat(), neighbours_of(0)[0]
    early, late = (other for other in range(1, 4) if other != author)
    seat.feed(BatchStored(BATCH.id, author, 2, 300))
    seat.receive(make_vertex(1, author, batches=[BATCH]), make_vertex(1, early, attested=[BATCH.id]))
    proofs = [effect.evidence for effect in seat.feed(BatchChecked(BATCH.id, 0)) if isinstance(effect, RecordEvidence)]
    assert [type(proof) for proof in proofs] == [InvalidBatchReferenced, FalseAttestation]
    proof = only(RecordEvidence, seat.receive(make_vertex(1, late, attested=[BATCH.id]))).evidence
    assert isinstance(proof, FalseAttestation)
    assert (proof.batch, proof.index) == (BATCH.id, 0)


def test_a_referenced_batch_is_fetched_from_its_author_until_it_is_there() -> None:
    seat = Seat()
    order = only(FetchBatch, seat.receive(make_vertex(1, 3, batches=[BATCH]), sender=1))
    assert order == FetchBatch(NODES[3], BATCH.id)
    assert only(FetchBatch, seat.wait(50)).peer == NODES[1]
    assert none(FetchBatch, seat.feed(BatchStored(BATCH.id, 3, 2, 300)) + seat.wait(5_000))


def test_at_most_eight_own_batches_are_on_the_way() -> None:
    seat = Seat(now_ms=None)
    for number in range(12):
        seat.feed(OwnBatchReady(bytes([number]) * 32, 1, 100))
    first = only(Propose, seat.feed(Ticked(5)))
    assert [reference.id[0] for reference in first.body.batches] == list(range(8))
    seat.now_ms = 5
    seat.seal(first)
    second = only(Propose, seat.receive(*rounds(1)[0][1:]) + seat.wait(60))
    assert second.body.batches == ()
