"""The long form of a message: addressed to anybody, carried by anybody, with the proof of who sent it.

So far a sender proves itself by its link or by an Ed25519 key (`KeyProof`); other proofs are refused by name.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, structs

from octra.codec import decode, encode
from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.errors import InvalidInput
from octra.node.p2p.address import AddressKind, OctraAddress, parse_node_id
from octra.node.p2p.frame import KIB, Form
from octra.node.p2p.hello import Bytes32, Natural
from octra.primitives import NodeId

VERSION = 1
BODY_SIZE_MAX = 240 * KIB
WINDOW_COUNT = 64 * KIB  # message ids remembered for each sender key
SENDERS_MAX = 1_024

Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]


class LinkProof(Struct, frozen=True, array_like=True, tag=0):
    """The sender is the peer of the link that brought the envelope."""


class KeyProof(Struct, frozen=True, array_like=True, tag=1):
    """The sender signed with `key`, until the end of `expiry_epoch`."""

    key: Bytes32
    expiry_epoch: Natural
    signature: Bytes64


class Envelope(Struct, frozen=True, array_like=True):
    """One message of the Octra protocol. `ttl_ms` is what carriers subtract from, so it is not signed."""

    version: Natural
    to: OctraAddress
    sender: OctraAddress
    kind: Annotated[str, Meta(min_length=1, max_length=48)]
    message_id: Bytes16
    reply_to: Bytes16 | None
    ttl_ms: Natural
    body: Annotated[bytes, Meta(max_length=BODY_SIZE_MAX)]
    proof: LinkProof | KeyProof


class InvalidEnvelope(InvalidInput):
    """An envelope breaks a rule."""

    oct_code = 4001

    def __init__(self, rule: str) -> None:
        super().__init__(f"envelope refused: {rule}")
        self.rule = rule


def envelope_frame(envelope: Envelope) -> bytes:
    """The frame that carries an envelope."""
    return bytes([Form.ENVELOPE]) + encode(envelope)


def parse_envelope(frame: bytes) -> Envelope:
    """The envelope in a frame of form ENVELOPE; raises `Malformed`, `InvalidPlace` or `InvalidEnvelope`."""
    envelope = decode(frame[1:], Envelope, "envelope")
    if envelope.version != VERSION:
        raise InvalidEnvelope("unknown version")
    envelope.to.checked()
    envelope.sender.checked()
    return envelope


def sign_envelope(envelope: Envelope, key: ed25519.SigningKey, genesis_hash: bytes, expiry_epoch: int) -> Envelope:
    """The envelope with a `KeyProof` in place of its proof."""
    signature = key.sign(_signed_hash(envelope, genesis_hash, expiry_epoch))
    return structs.replace(envelope, proof=KeyProof(key.public, expiry_epoch, signature))


def _signed_hash(envelope: Envelope, genesis_hash: bytes, expiry_epoch: int) -> bytes:
    bare = structs.replace(envelope, ttl_ms=0, proof=LinkProof())
    return H("octra.envelope", genesis_hash, expiry_epoch.to_bytes(8, "big"), encode(bare))


class EnvelopeGate:
    """Lets an envelope in once, if its proof holds. The ids it has seen are bounded by sender and in all."""

    def __init__(self, genesis_hash: bytes) -> None:
        self._genesis_hash = genesis_hash
        self._seen: dict[bytes, dict[bytes, int]] = {}  # key -> message id -> expiry epoch

    def admit(self, envelope: Envelope, peer: NodeId, epoch: int) -> None:
        """Raises `InvalidEnvelope` unless the sender is proven and the message is new."""
        sender = parse_node_id(envelope.sender.id) if envelope.sender.kind is AddressKind.NODE else None
        match envelope.proof:
            case LinkProof():
                if sender != peer:
                    raise InvalidEnvelope("the sender is not the peer of the link")
            case KeyProof(key=key, expiry_epoch=expiry_epoch, signature=signature):
                if sender is not None and sender != key:
                    raise InvalidEnvelope("the sender's key did not sign it")
                if expiry_epoch < epoch:
                    raise InvalidEnvelope("expired")
                if not ed25519.verify(key, signature, _signed_hash(envelope, self._genesis_hash, expiry_epoch)):
                    raise InvalidEnvelope("signature")
                self._remember(key, envelope.message_id, expiry_epoch, epoch)

    def _remember(self, key: bytes, message_id: bytes, expiry_epoch: int, epoch: int) -> None:
        seen = self._window(key, epoch)
        if message_id in seen:
            raise InvalidEnvelope("seen before")
        if len(seen) >= WINDOW_COUNT:
            for old in [one for one, expires in seen.items() if expires < epoch]:
                del seen[old]
            if len(seen) >= WINDOW_COUNT:
                raise InvalidEnvelope("too many unexpired messages of this sender")
        seen[message_id] = expiry_epoch

    def _window(self, key: bytes, epoch: int) -> dict[bytes, int]:
        """The ids of one sender. A sender with unexpired ids is never forgotten: its messages could be replayed."""
        if key not in self._seen and len(self._seen) >= SENDERS_MAX:
            self._seen = {one: ids for one, ids in self._seen.items() if max(ids.values(), default=0) >= epoch}
            if len(self._seen) >= SENDERS_MAX:
                raise InvalidEnvelope("too many senders for now")
        return self._seen.setdefault(key, {})
