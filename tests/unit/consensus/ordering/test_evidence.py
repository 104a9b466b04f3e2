"""Evidence: proofs convince a stranger, and nobody honest can be accused."""

import pytest
from msgspec.structs import replace
from ordering.world import RealKeys

from octra.consensus.evidence import (
    Equivocation,
    Evidence,
    FalseAttestation,
    InvalidBatchReferenced,
    InvalidCoinShare,
    InvalidEvidence,
    decode_evidence,
    encode_evidence,
    equivocation,
    judge,
)
from octra.consensus.limits import EVIDENCE_BYTES_MAX
from octra.consensus.vertex import BatchRef, Execution, SignedHeader, Vertex, VertexBody, VertexHeader, seal_vertex
from octra.errors import Malformed

BATCH = b"x" * 32


def _vertex(keys: RealKeys, seat: int = 2, round: int = 9, time_ms: int = 0, share: bytes | None = None) -> Vertex:
    header = VertexHeader(1, keys.committee.anchor, seat, round, bytes(32), 0, bytes(32), bytes(32), time_ms)
    body = VertexBody((), (), (BatchRef(BATCH, 1, 9),), (b"y" * 32,), Execution(0, bytes(32)))
    share = keys.share(seat, round - 4) if share is None else share
    return seal_vertex(header, body, share, lambda message: keys.sign(seat, message))


def test_two_vertices_of_one_round_prove_equivocation(keys: RealKeys) -> None:
    one, other = _vertex(keys), _vertex(keys, time_ms=1)
    assert equivocation(one, other) == equivocation(other, one)
    assert judge(equivocation(one, other), keys.committee) == 2


def test_equivocation_fits_into_a_vertex(keys: RealKeys) -> None:
    proof = equivocation(_vertex(keys), _vertex(keys, time_ms=2**48 - 1))
    assert len(encode_evidence(proof)) <= EVIDENCE_BYTES_MAX


def test_false_accusations_of_equivocation_are_refused(keys: RealKeys) -> None:
    one, other = _vertex(keys), _vertex(keys, time_ms=1)
    proof = equivocation(one, other)
    accusations = [
        Equivocation(proof.first, proof.first),
        Equivocation(proof.second, proof.first),
        equivocation(one, _vertex(keys, round=10)),
        equivocation(one, _vertex(keys, seat=1)),
        Equivocation(proof.first, SignedHeader(proof.second.header, bytes(64))),
        Equivocation(proof.first, SignedHeader(b"\x90", proof.second.signature)),
    ]
    for accusation in accusations:
        with pytest.raises(InvalidEvidence):
            judge(accusation, keys.committee)
    with pytest.raises(InvalidEvidence):
        judge(proof, RealKeys(2, 4).committee)


def test_a_reference_and_an_attestation_are_held_against_their_author(keys: RealKeys) -> None:
    vertex = _vertex(keys)
    assert judge(InvalidBatchReferenced(vertex.signed_header, vertex.body_bytes, BATCH, 0), keys.committee) == 2
    assert judge(FalseAttestation(vertex.signed_header, vertex.body_bytes, b"y" * 32, 0), keys.committee) == 2
    for proof in (
        InvalidBatchReferenced(vertex.signed_header, vertex.body_bytes, b"y" * 32, 0),
        FalseAttestation(vertex.signed_header, vertex.body_bytes, BATCH, 0),
        FalseAttestation(vertex.signed_header, _vertex(keys, time_ms=1).body_bytes + b"\x00", BATCH, 0),
    ):
        with pytest.raises(InvalidEvidence):
            judge(proof, keys.committee)


def test_a_bad_coin_share_is_proven_and_a_good_one_is_not(keys: RealKeys) -> None:
    bad, good = _vertex(keys, share=keys.share(1, 5)), _vertex(keys)
    assert judge(InvalidCoinShare(bad.signed_header, bad.body_bytes), keys.committee) == 2
    with pytest.raises(InvalidEvidence):
        judge(InvalidCoinShare(good.signed_header, good.body_bytes), keys.committee)


def test_every_kind_comes_back_from_its_bytes(keys: RealKeys) -> None:
    vertex = _vertex(keys)
    proofs: list[Evidence] = [
        equivocation(vertex, _vertex(keys, time_ms=1)),
        InvalidBatchReferenced(vertex.signed_header, vertex.body_bytes, BATCH, 3),
        FalseAttestation(vertex.signed_header, vertex.body_bytes, BATCH, 3),
        InvalidCoinShare(vertex.signed_header, vertex.body_bytes),
    ]
    assert [decode_evidence(encode_evidence(proof)) for proof in proofs] == proofs
    for data in (b"", b"\x90", b"\x93\x09\xa0\xa0", encode_evidence(proofs[0]) + b"\0"):
        with pytest.raises(Malformed):
            decode_evidence(data)


def test_a_signed_header_of_another_version_of_the_body_is_refused(keys: RealKeys) -> None:
    vertex = _vertex(keys)
    forged = replace(vertex.body, attested=(b"z" * 32,))
    from octra.codec import encode

    with pytest.raises(InvalidEvidence):
        judge(FalseAttestation(vertex.signed_header, encode(forged), b"z" * 32, 0), keys.committee)
