"""Certificates and the tally of roots: q equal claims, no fewer; divergence is noticed."""

import sys

import pytest
from msgspec.structs import replace
from ordering.world import RealKeys

from octra.consensus.certificate import BlockHeader, Certificate, Claim, assemble, verify_certificate
from octra.consensus.dag.roots import RootTally
from octra.consensus.effects import CertificateReady, Certified, Diverged
from octra.consensus.errors import InvalidCertificate
from octra.consensus.vertex import Execution, SignedHeader, Vertex, VertexBody, VertexHeader, seal_vertex

CLAIM = Claim(7, b"b" * 32, b"r" * 32)


def claim_vertex(keys: RealKeys, seat: int, claim: Claim = CLAIM, round: int = 9) -> Vertex:
    anchor = keys.committee.anchor
    header = VertexHeader(1, anchor, seat, round, bytes(32), claim.height, claim.block_id, claim.state_root, 0)
    body = VertexBody((), (), (), (), Execution(0, bytes(32)))
    return seal_vertex(header, body, bytes(48), lambda message: keys.sign(seat, message))


def make_certificate(keys: RealKeys, claim: Claim = CLAIM, seats: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    vertices = [claim_vertex(keys, seat, claim) for seat in seats]
    return assemble(keys.committee, [(vertex.header, vertex.signed_header) for vertex in vertices])


def test_a_certificate_of_q_seats_proves_their_claim(keys: RealKeys) -> None:
    for seats in ((0, 1, 2), (3, 1, 2), (0, 1, 2, 3)):
        assert verify_certificate(make_certificate(keys, seats=seats), keys.committee) == CLAIM


def test_q_minus_1_seats_make_none(keys: RealKeys) -> None:
    with pytest.raises(InvalidCertificate):
        make_certificate(keys, seats=(0, 1))
    with pytest.raises(InvalidCertificate):
        make_certificate(keys, seats=(0, 1, 1))


def test_different_claims_make_none(keys: RealKeys) -> None:
    other = replace(CLAIM, state_root=bytes(32))
    vertices = [claim_vertex(keys, 0), claim_vertex(keys, 1), claim_vertex(keys, 2, other)]
    with pytest.raises(InvalidCertificate):
        assemble(keys.committee, [(vertex.header, vertex.signed_header) for vertex in vertices])
    forged = Certificate(keys.committee.anchor, tuple(vertex.signed_header for vertex in vertices))
    with pytest.raises(InvalidCertificate):
        verify_certificate(forged, keys.committee)


def test_forged_certificates_are_refused(keys: RealKeys) -> None:
    good = make_certificate(keys)
    first, second, third = good.headers
    unsigned = SignedHeader(third.header, bytes(64))
    forgeries = [
        Certificate(bytes(32), good.headers),
        Certificate(good.anchor, (first, second)),
        Certificate(good.anchor, (first, second, second)),
        Certificate(good.anchor, (second, first, third)),
        Certificate(good.anchor, (first, second, unsigned)),
        Certificate(good.anchor, (first, second, SignedHeader(b"\x00", third.signature))),
        Certificate(good.anchor, (*good.headers, make_certificate(keys, seats=(1, 2, 3)).headers[2])),
    ]
    for forged in forgeries:
        with pytest.raises(InvalidCertificate):
            verify_certificate(forged, keys.committee)
    with pytest.raises(InvalidCertificate):
        verify_certificate(good, RealKeys(2, 4).committee)


def test_a_block_id_covers_every_field() -> None:
    header = BlockHeader(1, "octra-test", 1, 0, b"l" * 32, 5, *[bytes(32)] * 6, 0)
    changed = [
        replace(header, **{name: value})
        for name, value in {
            "version": 2,
            "chain_id": "x",
            "height": 2,
            "epoch": 1,
            "leader": b"m" * 32,
            "time_ms": 6,
            "parent": b"p" * 32,
            "tx_root": b"p" * 32,
            "receipts_root": b"p" * 32,
            "state_root": b"p" * 32,
            "coin": b"p" * 32,
            "ordering_id": b"p" * 32,
            "tx_count": 1,
        }.items()
    ]
    assert len({header.block_id, *(other.block_id for other in changed)}) == 14


def _claims(heights: dict[int, int]) -> dict[int, Claim]:
    return {seat: Claim(height, bytes([height]) * 32, bytes([height]) * 32) for seat, height in heights.items()}


def test_a_height_is_certified_when_q_seats_agree_with_it_or_a_later_block(keys: RealKeys) -> None:
    tally = RootTally(keys.committee)
    for height in range(1, 9):
        claim = _claims({0: height})[0]
        assert tally.executed(height, claim) == []
    effects = []
    for seat, claim in _claims({0: 8, 1: 5, 2: 6}).items():
        effects += tally.heard(claim_vertex(keys, seat, claim))
    assert effects == [Certified(5)]
    more = tally.heard(claim_vertex(keys, 3, _claims({3: 8})[3]))
    assert more == [Certified(6)]


def test_claims_that_come_before_our_own_block_count_when_we_have_it(keys: RealKeys) -> None:
    tally = RootTally(keys.committee)
    for seat in (1, 2, 3):
        assert tally.heard(claim_vertex(keys, seat)) == []
    effects = tally.executed(7, CLAIM)
    assert effects[0] == Certified(7)
    assert isinstance(effects[1], CertificateReady)
    assert verify_certificate(effects[1].certificate, keys.committee) == CLAIM


def test_one_seat_is_counted_once_however_often_it_speaks(keys: RealKeys) -> None:
    tally = RootTally(keys.committee)
    tally.executed(7, CLAIM)
    for round in range(9, 13):
        assert tally.heard(claim_vertex(keys, 1, round=round)) == []
    assert tally.heard(claim_vertex(keys, 2)) == []
    assert Certified(7) in tally.heard(claim_vertex(keys, 3))


def test_a_quorum_with_another_root_is_divergence_and_fewer_are_not(keys: RealKeys) -> None:
    tally = RootTally(keys.committee)
    tally.executed(7, replace(CLAIM, state_root=b"w" * 32))
    assert tally.heard(claim_vertex(keys, 1)) == []
    assert tally.heard(claim_vertex(keys, 2)) == []
    assert tally.heard(claim_vertex(keys, 3)) == [Diverged(7)]
    assert tally.diverged


def test_the_tally_works_from_the_height_where_a_node_resumes(keys: RealKeys) -> None:
    tally = RootTally(keys.committee)
    claim = Claim(50_000, b"b" * 32, b"r" * 32)
    tally.executed(50_000, claim)
    effects = [effect for seat in (0, 1, 2) for effect in tally.heard(claim_vertex(keys, seat, claim))]
    assert effects[0] == Certified(50_000)
    far = Claim(2**62, b"b" * 32, b"r" * 32)
    assert tally.heard(claim_vertex(keys, 3, far)) == []  # a liar's height takes no memory


def test_what_is_kept_of_a_claim_is_its_header_and_after_a_certificate_not_even_that(keys: RealKeys) -> None:
    """Whole vertices of 1,024 heights would be 80 MB at 24 seats."""
    tally, fresh = RootTally(keys.committee), claim_vertex(keys, 0)
    vertices = [claim_vertex(keys, seat) for seat in (0, 1, 2)]
    for seat in range(3):
        tally.heard(vertices[seat])
    vertices.append(fresh)
    assert sys.getrefcount(vertices[0]) + 1 == sys.getrefcount(vertices[3]), "the list alone holds it"
    assert sys.getrefcount(vertices[0].header) > sys.getrefcount(fresh.header)
    assert any(isinstance(effect, CertificateReady) for effect in tally.executed(7, CLAIM))
    assert sys.getrefcount(vertices[0].header) == sys.getrefcount(fresh.header)
