"""Proofs of misbehaviour that convince a stranger: what they hold, and how they are judged."""

from __future__ import annotations

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.coin import share_is_valid, share_round
from octra.consensus.epoch import Committee
from octra.consensus.fields import U32, Hash32
from octra.consensus.vertex import SIGN_TAG, SignedHeader, Vertex, VertexBody, VertexHeader
from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.errors import InvalidInput, Malformed


class Equivocation(Struct, frozen=True, array_like=True, tag=1):
    """Two different vertices of one author and round. The headers stand in ascending order of their ids."""

    first: SignedHeader
    second: SignedHeader


class InvalidBatchReferenced(Struct, frozen=True, array_like=True, tag=2):
    """The author references a batch whose transaction at `index` fails the static check."""

    header: SignedHeader
    body: bytes
    batch: Hash32
    index: U32


class FalseAttestation(Struct, frozen=True, array_like=True, tag=3):
    """The author attests a batch whose transaction at `index` fails the static check."""

    header: SignedHeader
    body: bytes
    batch: Hash32
    index: U32


class InvalidCoinShare(Struct, frozen=True, array_like=True, tag=4):
    """The coin share of a vertex is not a share of its author's key."""

    header: SignedHeader
    body: bytes


Evidence = Equivocation | InvalidBatchReferenced | FalseAttestation | InvalidCoinShare


class InvalidEvidence(InvalidInput):
    """The evidence proves nothing; whoever made it is at fault."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid evidence: {reason}")
        self.reason = reason


def encode_evidence(evidence: Evidence) -> bytes:
    """Canonical bytes, with a tag that names the kind."""
    return encode(evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Syntax only; raises `Malformed`."""
    return decode(data, Evidence, "evidence")  # type: ignore[arg-type]  # a union is no type[T] for mypy


def equivocation(one: Vertex, other: Vertex) -> Equivocation:
    """The proof that two vertices of one author and round make."""
    first, second = sorted((one, other), key=lambda vertex: vertex.id)
    return Equivocation(first.signed_header, second.signed_header)


def judge(evidence: Evidence, committee: Committee) -> int:
    """The seat at fault; raises `InvalidEvidence`.

    Proofs about batches are judged only as far as their bytes go: that the seat did reference or attest the batch.
    The static check of the named transaction belongs to the ledger.
    """
    match evidence:
        case Equivocation(first, second):
            one, other = _signed(first, committee), _signed(second, committee)
            if (one.author, one.round) != (other.author, other.round):
                raise InvalidEvidence("two authors or rounds")
            if H("octra.vertex", first.header) >= H("octra.vertex", second.header):
                raise InvalidEvidence("headers are equal or not in order")
            return one.author
        case InvalidBatchReferenced(signed, body, batch, _):
            header, content = _whole(signed, body, committee)
            if all(reference.id != batch for reference in content.batches):
                raise InvalidEvidence("the vertex does not reference the batch")
            return header.author
        case FalseAttestation(signed, body, batch, _):
            header, content = _whole(signed, body, committee)
            if batch not in content.attested:
                raise InvalidEvidence("the vertex does not attest the batch")
            return header.author
        case InvalidCoinShare(signed, body):
            header, content = _whole(signed, body, committee)
            round = share_round(header.round)
            if round < 1 or share_is_valid(committee, round, header.author, content.coin_share):
                raise InvalidEvidence("the share is good")
            return header.author


def _signed(signed: SignedHeader, committee: Committee) -> VertexHeader:
    try:
        header = decode(signed.header, VertexHeader, "vertex header")
    except Malformed as error:
        raise InvalidEvidence(str(error)) from error
    if header.anchor != committee.anchor or header.author >= committee.size:
        raise InvalidEvidence("not a vertex of this committee")
    if not ed25519.verify(committee.seats[header.author], signed.signature, SIGN_TAG + signed.header):
        raise InvalidEvidence("signature")
    return header


def _whole(signed: SignedHeader, body: bytes, committee: Committee) -> tuple[VertexHeader, VertexBody]:
    header = _signed(signed, committee)
    if header.body_id != H("octra.body", body):
        raise InvalidEvidence("body is not the one the header names")
    try:
        return header, decode(body, VertexBody, "vertex body")
    except Malformed as error:
        raise InvalidEvidence(str(error)) from error
