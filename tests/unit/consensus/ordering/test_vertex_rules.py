"""Vertices: one encoding, rules of form that read the bytes alone, signatures."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from ordering.world import RealKeys

from octra.codec import encode
from octra.consensus import limits
from octra.consensus.epoch import Committee
from octra.consensus.errors import (
    BadSignature,
    CoinShareMissing,
    DuplicateParentAuthor,
    InvalidVertex,
    TooFewParents,
    TooMany,
    UnknownAuthor,
    WeakTooOld,
    WrongAnchor,
)
from octra.consensus.vertex import (
    BatchRef,
    Execution,
    ParentLink,
    Vertex,
    VertexBody,
    VertexHeader,
    WeakLink,
    check_vertex,
    decode_vertex,
    encode_vertex,
    seal_vertex,
    signed,
)
from octra.errors import InvalidInput, Malformed

SHARE = bytes(48)


def _id(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _header(keys: RealKeys, **changes: object) -> VertexHeader:
    header = VertexHeader(1, keys.committee.anchor, 2, 40, bytes(32), 7, _id(8), _id(9), 1_700_000_000_000)
    return replace(header, **changes)


def _body(**changes: object) -> VertexBody:
    body = VertexBody(
        parents=tuple(ParentLink(author, _id(author + 1)) for author in (2, 0, 1)),
        weak=(WeakLink(8, 3, _id(50)), WeakLink(38, 3, _id(51))),
        batches=(BatchRef(_id(60), 1_000, 262_144),),
        attested=(_id(70), _id(71)),
        execution=Execution(0, bytes(32)),
    )
    return replace(body, **changes)


def _sealed(keys: RealKeys, header: VertexHeader, body: VertexBody, share: bytes = SHARE) -> Vertex:
    return seal_vertex(header, body, share, lambda message: keys.sign(min(header.author, 3), message))


def admit(frame: bytes, committee: Committee) -> Vertex:
    """The whole border, as a node has it."""
    vertex = decode_vertex(frame)
    check_vertex(vertex, committee)
    if signed([vertex], committee) != [True]:
        raise BadSignature(vertex.author)
    return vertex


def test_a_sealed_vertex_is_admitted_and_comes_back_the_same(keys: RealKeys) -> None:
    vertex = _sealed(keys, _header(keys), _body())
    assert admit(encode_vertex(vertex), keys.committee) == vertex


def test_the_id_covers_header_and_body(keys: RealKeys) -> None:
    ids = {
        _sealed(keys, _header(keys), _body()).id,
        _sealed(keys, _header(keys, time_ms=1), _body()).id,
        _sealed(keys, _header(keys), _body(attested=())).id,
        _sealed(keys, _header(keys), _body(), bytes([1]) * 48).id,
    }
    assert len(ids) == 4


def test_a_vertex_of_round_one_has_neither_parents_nor_share(keys: RealKeys) -> None:
    body = _body(parents=(), weak=())
    vertex = _sealed(keys, _header(keys, round=1), body, b"")
    assert admit(encode_vertex(vertex), keys.committee).round == 1


Change = Callable[[RealKeys], tuple[VertexHeader, VertexBody, bytes]]
FAULTS: dict[str, tuple[type[InvalidInput], Change]] = {
    "version": (Malformed, lambda k: (_header(k, version=2), _body(), SHARE)),
    "another committee": (WrongAnchor, lambda k: (_header(k, anchor=_id(1)), _body(), SHARE)),
    "author beyond the committee": (UnknownAuthor, lambda k: (_header(k, author=4), _body(), SHARE)),
    "round zero": (Malformed, lambda k: (_header(k, round=0), _body(), SHARE)),
    "parents in round one": (TooFewParents, lambda k: (_header(k, round=1), _body(weak=()), b"")),
    "q - 1 parents": (TooFewParents, lambda k: (_header(k), _body(parents=_body().parents[:2]), SHARE)),
    "two parents of one author": (
        DuplicateParentAuthor,
        lambda k: (_header(k), _body(parents=(*_body().parents, ParentLink(0, _id(99)))), SHARE),
    ),
    "parent author beyond the committee": (
        UnknownAuthor,
        lambda k: (_header(k), _body(parents=(*_body().parents, ParentLink(4, _id(99)))), SHARE),
    ),
    "weak author beyond the committee": (
        UnknownAuthor,
        lambda k: (_header(k), _body(weak=(WeakLink(20, 4, _id(1)),)), SHARE),
    ),
    "weak link older than 32 rounds": (
        WeakTooOld,
        lambda k: (_header(k), _body(weak=(WeakLink(7, 3, _id(1)),)), SHARE),
    ),
    "weak link to the round before": (
        WeakTooOld,
        lambda k: (_header(k), _body(weak=(WeakLink(39, 3, _id(1)),)), SHARE),
    ),
    "weak link to round zero": (
        WeakTooOld,
        lambda k: (_header(k, round=10), _body(weak=(WeakLink(0, 3, _id(1)),)), SHARE),
    ),
    "a weak link twice": (
        Malformed,
        lambda k: (_header(k), _body(weak=(WeakLink(20, 3, _id(1)), WeakLink(21, 3, _id(1)))), SHARE),
    ),
    "25 weak links": (
        TooMany,
        lambda k: (_header(k), _body(weak=tuple(WeakLink(20, 3, _id(i)) for i in range(25))), SHARE),
    ),
    "nine batches": (
        TooMany,
        lambda k: (_header(k), _body(batches=tuple(BatchRef(_id(i), 1, 1) for i in range(9))), SHARE),
    ),
    "a batch twice": (
        Malformed,
        lambda k: (_header(k), _body(batches=(BatchRef(_id(1), 1, 1), BatchRef(_id(1), 2, 1))), SHARE),
    ),
    "an empty batch": (Malformed, lambda k: (_header(k), _body(batches=(BatchRef(_id(1), 0, 1),)), SHARE)),
    "a batch of 1,001": (Malformed, lambda k: (_header(k), _body(batches=(BatchRef(_id(1), 1_001, 1),)), SHARE)),
    "a batch too large": (Malformed, lambda k: (_header(k), _body(batches=(BatchRef(_id(1), 1, 262_145),)), SHARE)),
    "257 attestations": (
        TooMany,
        lambda k: (_header(k), _body(attested=tuple(_id(i) for i in range(257))), SHARE),
    ),
    "attestations out of order": (Malformed, lambda k: (_header(k), _body(attested=(_id(2), _id(1))), SHARE)),
    "an attestation twice": (Malformed, lambda k: (_header(k), _body(attested=(_id(1), _id(1))), SHARE)),
    "five pieces of evidence": (TooMany, lambda k: (_header(k), _body(evidence=(b"x",) * 5), SHARE)),
    "evidence of 1,025 bytes": (Malformed, lambda k: (_header(k), _body(evidence=(bytes(1_025),)), SHARE)),
    "no coin share": (CoinShareMissing, lambda k: (_header(k), _body(), b"")),
    "a short coin share": (CoinShareMissing, lambda k: (_header(k), _body(), bytes(47))),
    "a coin share in round four": (CoinShareMissing, lambda k: (_header(k, round=4), _body(weak=()), SHARE)),
    "a short beacon share": (Malformed, lambda k: (_header(k), _body(beacon_share=bytes(3)), SHARE)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_vertex_is_refused_for(keys: RealKeys, fault: str) -> None:
    error, change = FAULTS[fault]
    vertex = _sealed(keys, *change(keys))
    with pytest.raises(error):
        admit(encode_vertex(vertex), keys.committee)


def test_the_signature_must_be_the_authors(keys: RealKeys) -> None:
    vertex = seal_vertex(_header(keys), _body(), SHARE, lambda message: keys.sign(1, message))
    with pytest.raises(BadSignature):
        admit(encode_vertex(vertex), keys.committee)


def test_a_body_of_another_vertex_is_malformed(keys: RealKeys) -> None:
    vertex, other = _sealed(keys, _header(keys), _body()), _sealed(keys, _header(keys), _body(attested=()))
    frame = encode([vertex.header_bytes, other.body_bytes, vertex.signature])
    with pytest.raises(Malformed):
        decode_vertex(frame)


def test_a_body_above_16_kib_is_malformed(keys: RealKeys) -> None:
    with pytest.raises(Malformed):
        decode_vertex(encode([b"", bytes(limits.BODY_BYTES_MAX + 1), bytes(64)]))


def test_the_largest_body_fits_the_limit(keys: RealKeys) -> None:
    body = _body(
        parents=tuple(ParentLink(author, _id(author)) for author in range(24)),
        weak=tuple(WeakLink(2**32 - 20, 200, _id(i)) for i in range(limits.WEAK_MAX)),
        batches=tuple(BatchRef(_id(i), 1_000, 262_144) for i in range(limits.BATCH_REFS_MAX)),
        attested=tuple(_id(i) for i in range(limits.ATTESTED_MAX)),
        evidence=(bytes(500),) * limits.EVIDENCE_MAX,
        coin_share=SHARE,
        beacon_share=SHARE,
    )
    assert len(encode(body)) <= limits.BODY_BYTES_MAX


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_border_raise_anything_else(keys: RealKeys, data: bytes) -> None:
    with pytest.raises(InvalidInput):
        admit(data, keys.committee)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_never_admitted(keys: RealKeys, data: st.DataObject) -> None:
    frame = bytearray(encode_vertex(_sealed(keys, _header(keys), _body())))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises((InvalidVertex, Malformed)):
        admit(bytes(frame), keys.committee)
