"""Block headers, and the certificate that a quorum stands behind one."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.epoch import Committee
from octra.consensus.errors import InvalidCertificate
from octra.consensus.fields import U8, U32, U48, U63, Hash32
from octra.consensus.vertex import SIGN_TAG, SignedHeader, VertexHeader
from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.errors import Malformed


class BlockHeader(Struct, frozen=True, array_like=True):
    """What a block is, after execution. One block per committed leader, also when it is empty."""

    version: U8
    chain_id: str
    height: U63
    epoch: U32
    leader: Hash32  # vertex id
    time_ms: U48
    parent: Hash32  # block id of height - 1
    tx_root: Hash32
    receipts_root: Hash32
    state_root: Hash32
    coin: Hash32
    ordering_id: Hash32
    tx_count: U32

    @property
    def block_id(self) -> bytes:
        """The name of the block; through `parent` it names the whole chain below."""
        return H("octra.block", encode(self))


class Certificate(Struct, frozen=True, array_like=True):
    """Vertex headers of q distinct seats, ascending, that name one (height, block, state root)."""

    anchor: Hash32
    headers: tuple[SignedHeader, ...]


class Claim(Struct, frozen=True, array_like=True, gc=False):
    """What a seat says about the chain: the last block it executed."""

    height: U63
    block_id: Hash32
    state_root: Hash32


def claim_of(header: VertexHeader) -> Claim:
    """The claim inside a vertex header."""
    return Claim(header.height, header.block_id, header.state_root)


def assemble(committee: Committee, headers: Iterable[tuple[VertexHeader, SignedHeader]]) -> Certificate:
    """A certificate from q or more headers of equal claims; raises `InvalidCertificate`. Anyone may assemble one."""
    by_seat: dict[int, SignedHeader] = {}
    claims: set[Claim] = set()
    for header, signed in headers:
        by_seat.setdefault(header.author, signed)
        claims.add(claim_of(header))
    if len(claims) != 1:
        raise InvalidCertificate("claims differ")
    if len(by_seat) < committee.quorum:
        raise InvalidCertificate(f"{len(by_seat)} seats of {committee.quorum}")
    seats = sorted(by_seat)[: committee.quorum]
    return Certificate(committee.anchor, tuple(by_seat[seat] for seat in seats))


def verify_certificate(certificate: Certificate, committee: Committee) -> Claim:
    """The claim that a quorum of `committee` signed; raises `InvalidCertificate`."""
    if certificate.anchor != committee.anchor:
        raise InvalidCertificate("another committee")
    if len(certificate.headers) != committee.quorum:
        raise InvalidCertificate(f"{len(certificate.headers)} seats, expected {committee.quorum}")
    claims: set[Claim] = set()
    last = -1
    for signed in certificate.headers:
        try:
            header = decode(signed.header, VertexHeader, "vertex header")
        except Malformed as error:
            raise InvalidCertificate(str(error)) from error
        if header.anchor != committee.anchor or not last < header.author < committee.size:
            raise InvalidCertificate("seats are not distinct and ascending")
        if not ed25519.verify(committee.seats[header.author], signed.signature, SIGN_TAG + signed.header):
            raise InvalidCertificate(f"signature of seat {header.author}")
        last = header.author
        claims.add(claim_of(header))
    if len(claims) != 1:
        raise InvalidCertificate("claims differ")
    return claims.pop()
