"""Envelopes: proven senders only, each message once, and no bytes do harm."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.p2p import envelope as module
from octra.node.p2p.address import parse_octra_address, print_node_id
from octra.node.p2p.envelope import (
    Envelope,
    EnvelopeGate,
    InvalidEnvelope,
    LinkProof,
    envelope_frame,
    parse_envelope,
    sign_envelope,
)
from octra.primitives import NodeId

KEY = SigningKey(b"\4" * 32)
NODE = NodeId(KEY.public)
GENESIS = b"g" * 32


def envelope(number: int = 0, **changes: object) -> Envelope:
    plain = Envelope(
        version=1,
        to=parse_octra_address("octra:devnet/any/dsn/dsn"),
        sender=parse_octra_address(f"octra:devnet/node/{print_node_id(NODE)}/dsn"),
        kind="dsn.Get",
        message_id=number.to_bytes(16, "big"),
        reply_to=None,
        ttl_ms=1_000,
        body=b"body",
        proof=LinkProof(),
    )
    return structs.replace(plain, **changes)


def test_an_envelope_survives_its_frame() -> None:
    signed = sign_envelope(envelope(), KEY, GENESIS, 9)
    assert parse_envelope(envelope_frame(signed)) == signed


def test_the_peer_of_the_link_needs_no_signature_and_nobody_else_gets_away_with_it() -> None:
    EnvelopeGate(GENESIS).admit(envelope(), NODE, 0)
    with pytest.raises(InvalidEnvelope):
        EnvelopeGate(GENESIS).admit(envelope(), NodeId(bytes(32)), 0)


def test_a_signed_envelope_passes_once_whoever_carries_it_and_however_long_it_took() -> None:
    gate, signed = EnvelopeGate(GENESIS), sign_envelope(envelope(), KEY, GENESIS, 9)
    gate.admit(structs.replace(signed, ttl_ms=1), NodeId(bytes(32)), 9)
    with pytest.raises(InvalidEnvelope, match="seen before"):
        gate.admit(signed, NODE, 9)
    gate.admit(sign_envelope(envelope(1), KEY, GENESIS, 9), NODE, 9)


@pytest.mark.parametrize(
    "change", [{"body": b"other"}, {"kind": "dsn.Put"}, {"message_id": bytes(15) + b"\1"}, {"reply_to": bytes(16)}]
)
def test_a_changed_envelope_is_refused(change: dict[str, object]) -> None:
    signed = sign_envelope(envelope(), KEY, GENESIS, 9)
    with pytest.raises(InvalidEnvelope, match="signature"):
        EnvelopeGate(GENESIS).admit(structs.replace(signed, **change), NODE, 0)


def test_an_expired_one_one_for_another_chain_and_one_under_another_name_are_refused() -> None:
    signed = sign_envelope(envelope(), KEY, GENESIS, 9)
    with pytest.raises(InvalidEnvelope, match="expired"):
        EnvelopeGate(GENESIS).admit(signed, NODE, 10)
    with pytest.raises(InvalidEnvelope, match="signature"):
        EnvelopeGate(b"h" * 32).admit(signed, NODE, 0)
    with pytest.raises(InvalidEnvelope, match="key"):
        EnvelopeGate(GENESIS).admit(sign_envelope(envelope(), SigningKey(b"\5" * 32), GENESIS, 9), NODE, 0)


def test_what_was_seen_is_bounded_and_never_forgotten_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_COUNT", 4)
    monkeypatch.setattr(module, "SENDERS_MAX", 2)
    gate = EnvelopeGate(GENESIS)
    signed = [sign_envelope(envelope(i), KEY, GENESIS, 9) for i in range(5)]
    for one in signed[:4]:
        gate.admit(one, NODE, 9)
    with pytest.raises(InvalidEnvelope, match="too many unexpired"):
        gate.admit(signed[4], NODE, 9)
    gate.admit(sign_envelope(envelope(6), KEY, GENESIS, 10), NODE, 10)  # the others have expired
    anonymous = parse_octra_address("octra:devnet/service/oracle/feed")
    strangers = [SigningKey(bytes([i]) * 32) for i in (8, 9)]
    gate.admit(sign_envelope(envelope(sender=anonymous), strangers[0], GENESIS, 10), NODE, 10)
    with pytest.raises(InvalidEnvelope, match="too many senders"):
        gate.admit(sign_envelope(envelope(sender=anonymous), strangers[1], GENESIS, 10), NODE, 10)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_envelope_or_invalid_input(data: bytes) -> None:
    try:
        parsed = parse_envelope(b"\2" + data)
    except InvalidInput:
        return
    assert envelope_frame(parsed) == b"\2" + data


def test_ten_thousand_changed_envelopes_are_refused_or_decode_back_to_their_bytes() -> None:
    rng = random.Random(17)
    frame = envelope_frame(sign_envelope(envelope(), KEY, GENESIS, 9))
    for _ in range(10_000):
        changed = bytearray(frame)
        changed[rng.randrange(1, len(changed))] = rng.randrange(256)
        try:
            parsed = parse_envelope(bytes(changed))
        except InvalidInput:
            continue
        assert envelope_frame(parsed) == bytes(changed)
