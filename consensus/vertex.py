"""The vertex: one seat's signed word of one round. What bytes it has, and when it is valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.epoch import Committee
from octra.consensus.errors import (
    CoinShareMissing,
    DuplicateParentAuthor,
    TooFewParents,
    TooMany,
    UnknownAuthor,
    WeakTooOld,
    WrongAnchor,
)
from octra.consensus.fields import U8, U32, U48, U63, Hash32, Signature64
from octra.crypto import ed25519
from octra.crypto.bls import SIGNATURE_SIZE
from octra.crypto.hash import H, tag16
from octra.errors import Malformed

VERSION = 1
EXECUTED, APPLIED = 0, 1  # Execution.mode
NO_DELTA = bytes(32)  # of a seat that publishes none
SIGN_TAG = tag16("octra.vertex")


class ParentLink(Struct, frozen=True, array_like=True, gc=False):
    """A vertex of the round before."""

    author: U8
    id: Hash32


class WeakLink(Struct, frozen=True, array_like=True, gc=False):
    """An older vertex that no parent covers: it brings late vertices into the order and never counts as a vote."""

    round: U32
    author: U8
    id: Hash32


class BatchRef(Struct, frozen=True, array_like=True, gc=False):
    """A batch of the vertex's author: `count` transactions in `size` bytes."""

    id: Hash32
    count: U32
    size: U32


class Execution(Struct, frozen=True, array_like=True, gc=False):
    """How the author came to its last block whose height is a multiple of `DELTA_STEP`, not above the header's.

    It executed it, or applied a certified delta. `delta_id` names the deltas up to that block (`ledger.delta.run_id`).
    """

    mode: U8
    delta_id: Hash32


class VertexHeader(Struct, frozen=True, array_like=True, gc=False):
    """The short signed part: all that a light node needs of a vertex."""

    version: U8
    anchor: Hash32
    author: U8
    round: U32
    body_id: Hash32
    height: U63  # last executed block of the author; of one seat the highest height counts
    block_id: Hash32
    state_root: Hash32
    time_ms: U48  # the author's clock, checked by nobody: a quorum's median bounds it


class VertexBody(Struct, frozen=True, array_like=True, gc=False):
    """Links into the DAG and all that the author says in this round."""

    parents: tuple[ParentLink, ...]
    weak: tuple[WeakLink, ...]
    batches: tuple[BatchRef, ...]
    attested: tuple[Hash32, ...]
    execution: Execution
    coin_share: bytes = b""
    beacon_share: bytes = b""
    evidence: tuple[bytes, ...] = ()


class SignedHeader(Struct, frozen=True, array_like=True, gc=False):
    """An encoded vertex header and its author's signature: what evidence and certificates are made of."""

    header: bytes
    signature: Signature64


class _SealedVertex(Struct, frozen=True, array_like=True, gc=False):
    header: bytes
    body: bytes
    signature: Signature64


@dataclass(frozen=True, slots=True)
class Vertex:
    """A decoded vertex beside its exact bytes. One from outside is trusted after `check_vertex` and `signed`."""

    id: bytes
    header: VertexHeader
    body: VertexBody
    header_bytes: bytes
    body_bytes: bytes
    signature: bytes

    @property
    def author(self) -> int:
        return self.header.author

    @property
    def round(self) -> int:
        return self.header.round

    @property
    def signed_header(self) -> SignedHeader:
        """The part that proves who said it."""
        return SignedHeader(self.header_bytes, self.signature)


def vertex_id(header_bytes: bytes) -> bytes:
    """The name of a vertex: a hash of its header, which holds the hash of its body."""
    return H("octra.vertex", header_bytes)


def seal_vertex(
    header: VertexHeader,
    body: VertexBody,
    coin_share: bytes,
    sign: Callable[[bytes], bytes],
    beacon_share: bytes = b"",
) -> Vertex:
    """Put the shares into a proposed vertex, bind body to header and sign: the shell's answer to `Propose`."""
    body = replace(body, coin_share=coin_share, beacon_share=beacon_share or body.beacon_share)
    body_bytes = encode(body)
    header = replace(header, body_id=H("octra.body", body_bytes))
    header_bytes = encode(header)
    return Vertex(vertex_id(header_bytes), header, body, header_bytes, body_bytes, sign(SIGN_TAG + header_bytes))


def encode_vertex(vertex: Vertex) -> bytes:
    """The frame that peers and the block store keep."""
    return encode(_SealedVertex(vertex.header_bytes, vertex.body_bytes, vertex.signature))


def decode_vertex(frame: bytes) -> Vertex:
    """Syntax only: canonical bytes whose body belongs to the header; raises `Malformed`."""
    sealed = decode(frame, _SealedVertex, "vertex")
    if len(sealed.body) > limits.BODY_BYTES_MAX:
        raise Malformed("vertex body", "too large")
    header = decode(sealed.header, VertexHeader, "vertex header")
    if header.body_id != H("octra.body", sealed.body):
        raise Malformed("vertex", "body is not the one the header names")
    body = decode(sealed.body, VertexBody, "vertex body")
    return Vertex(vertex_id(sealed.header), header, body, sealed.header, sealed.body, sealed.signature)


def check_vertex(vertex: Vertex, committee: Committee) -> None:
    """The rules of form. They read these bytes and the committee only, never parents, floor or clock.

    Floors and clocks differ between honest seats: a rule that read them would let one refuse what another accepts.
    """
    header, body = vertex.header, vertex.body
    if header.version != VERSION:
        raise Malformed("vertex", f"version {header.version}")
    if header.anchor != committee.anchor:
        raise WrongAnchor(header.anchor)
    if header.author >= committee.size:
        raise UnknownAuthor(header.author)
    if header.round < 1:
        raise Malformed("vertex", "round 0")
    _check_parents(body.parents, header.round, committee)
    _check_weak(body.weak, header.round, committee)
    _check_count("batch references", body.batches, limits.BATCH_REFS_MAX)
    _check_count("attestations", body.attested, limits.ATTESTED_MAX)
    _check_count("evidence", body.evidence, limits.EVIDENCE_MAX)
    if body.attested and any(a >= b for a, b in pairwise(body.attested)):
        raise Malformed("vertex body", "attestations are not sorted")
    if body.batches:
        _check_batches(body.batches)
    if body.evidence and max(map(len, body.evidence)) > limits.EVIDENCE_BYTES_MAX:
        raise Malformed("vertex body", "evidence too large")
    if len(body.coin_share) != (SIGNATURE_SIZE if header.round > limits.DECIDE_DEPTH else 0):
        raise CoinShareMissing(header.round)
    if len(body.beacon_share) not in (0, SIGNATURE_SIZE):
        raise Malformed("vertex body", "size of the beacon share")


def signed(vertices: Sequence[Vertex], committee: Committee) -> list[bool]:
    """Of each vertex: has its author's node key signed the header? After `check_vertex`. Together they cost a third."""
    return ed25519.verify_many([(committee.seats[v.author], v.signature, SIGN_TAG + v.header_bytes) for v in vertices])


def _check_parents(parents: tuple[ParentLink, ...], round: int, committee: Committee) -> None:
    if round == 1:
        if parents:
            raise TooFewParents(0, len(parents))
        return
    authors = [link.author for link in parents]
    highest = max(authors, default=0)
    if highest >= committee.size:
        raise UnknownAuthor(highest)
    if len(set(authors)) < len(authors):
        raise DuplicateParentAuthor(next(author for author in authors if authors.count(author) > 1))
    if len(authors) < committee.quorum:
        raise TooFewParents(committee.quorum, len(authors))


def _check_weak(weak: tuple[WeakLink, ...], round: int, committee: Committee) -> None:
    if not weak:
        return
    _check_count("weak links", weak, limits.WEAK_MAX)
    for link in weak:
        if link.author >= committee.size:
            raise UnknownAuthor(link.author)
        if not max(1, round - limits.WEAK_ROUNDS) <= link.round <= round - 2:
            raise WeakTooOld(link.round)
    if len({link.id for link in weak}) != len(weak):
        raise Malformed("vertex body", "a weak link stands twice")


def _check_batches(batches: tuple[BatchRef, ...]) -> None:
    if len({ref.id for ref in batches}) != len(batches):
        raise Malformed("vertex body", "a batch is referenced twice")
    if any(not 1 <= ref.count <= limits.BATCH_TX_MAX or not 1 <= ref.size <= limits.BATCH_BYTES_MAX for ref in batches):
        raise Malformed("vertex body", "count or size of a batch out of range")


def _check_count(what: str, items: tuple[object, ...], limit: int) -> None:
    if len(items) > limit:
        raise TooMany(what, limit, len(items))
