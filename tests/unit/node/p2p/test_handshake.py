"""The handshake: who may link with whom, and which splices of two handshakes fail."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.p2p.control import Goodbye, Ping, control_frame, parse_control
from octra.node.p2p.handshake import Handshake, HandshakeRefused, Identity, Side
from octra.node.p2p.hello import VERSION_MAX, Hello
from octra.node.p2p.transport import DownReason
from octra.primitives import NodeId

ALICE = Identity(SigningKey(b"\1" * 32), "localnet-test", b"g" * 32, instance=b"a" * 16)
BOB = Identity(SigningKey(b"\2" * 32), "localnet-test", b"g" * 32, instance=b"b" * 16)
MALLORY = Identity(SigningKey(b"\3" * 32), "localnet-test", b"g" * 32, instance=b"m" * 16)


def hello(identity: Identity, nonce: bytes = b"n" * 32) -> Hello:
    return identity.hello(listen=("/memory/1",), wall_ms=1_700_000_000_000, nonce=nonce)


def dialler(
    identity: Identity = ALICE,
    expected: NodeId | None = BOB.node_id,
    channel: bytes = b"c",
    own: Hello | None = None,
    owner: NodeId | None = None,
) -> Handshake:
    return Handshake(identity, own or hello(identity), Side.DIALLER, expected=expected, owner=owner, channel=channel)


def acceptor(
    identity: Identity = BOB, channel: bytes = b"c", own: Hello | None = None, owner: NodeId | None = None
) -> Handshake:
    return Handshake(identity, own or hello(identity), Side.ACCEPTOR, expected=None, owner=owner, channel=channel)


def give(handshake: Handshake, *frames: bytes) -> tuple[bytes, ...]:
    return sum((handshake.receive(frame, parse_control(frame)) for frame in frames), ())


def shake(one: Handshake, other: Handshake) -> None:
    other_hello = give(other, *one.opening())
    give(other, *give(one, *other_hello))
    assert other.proven
    assert not one.proven, "the acceptor has not said yet that it wants the link"
    give(one, other.own_proof())


def test_two_nodes_of_one_chain_prove_themselves_to_each_other() -> None:
    one, other = dialler(), acceptor()
    shake(one, other)
    assert (one.proven, other.proven) == (True, True)
    assert one.peer == hello(BOB)
    assert other.peer == hello(ALICE)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": "localnet-else"}, DownReason.WRONG_CHAIN),
        ({"genesis_hash": b"h" * 32}, DownReason.WRONG_CHAIN),
        ({"version_min": VERSION_MAX + 1, "version_max": VERSION_MAX + 1}, DownReason.WRONG_VERSION),
        ({"node_id": MALLORY.node_id}, DownReason.WRONG_IDENTITY),
        ({"node_id": ALICE.node_id}, DownReason.SELF),
    ],
)
def test_a_hello_with_wrong_claims_is_refused(changes: dict[str, object], reason: DownReason) -> None:
    claimed = msgspec.structs.replace(hello(BOB), **changes)
    with pytest.raises(HandshakeRefused) as refusal:
        give(dialler(), control_frame(claimed))
    assert refusal.value.reason is reason


def test_a_hello_that_does_not_own_its_channel_is_refused() -> None:
    with pytest.raises(HandshakeRefused) as refusal:
        give(acceptor(owner=MALLORY.node_id), *dialler().opening())
    assert refusal.value.reason is DownReason.WRONG_IDENTITY


def test_a_relay_in_the_middle_is_refused_because_the_channels_differ() -> None:
    one, other = dialler(channel=b"alice-mallory"), acceptor(channel=b"mallory-bob")
    with pytest.raises(HandshakeRefused) as refusal:
        shake(one, other)
    assert refusal.value.reason is DownReason.BAD_PROOF


def test_a_proof_of_an_earlier_handshake_is_refused() -> None:
    one, other = dialler(), acceptor()
    old_proof = give(one, *give(other, *one.opening()))
    later = acceptor(own=hello(BOB, nonce=b"o" * 32))
    give(later, *one.opening())
    with pytest.raises(HandshakeRefused) as refusal:
        give(later, *old_proof)
    assert refusal.value.reason is DownReason.BAD_PROOF


def test_ones_own_proof_reflected_is_refused() -> None:
    """Mallory answers Bob, who accepts, with Bob's own hello under another name; sides are signed too."""
    other = acceptor()
    give(other, *dialler().opening())
    with pytest.raises(HandshakeRefused):
        give(other, other.own_proof())


def test_a_proof_by_another_key_is_refused() -> None:
    other = acceptor()
    thief = dialler(replace(MALLORY), own=hello(ALICE))
    with pytest.raises(HandshakeRefused) as refusal:
        give(other, *give(thief, *give(other, *thief.opening())))
    assert refusal.value.reason is DownReason.BAD_PROOF


@pytest.mark.parametrize("message", [Ping(1), hello(ALICE)])
def test_a_message_out_of_turn_is_refused(message: Ping | Hello) -> None:
    other = acceptor()
    give(other, *dialler().opening())
    with pytest.raises(HandshakeRefused) as refusal:
        other.receive(control_frame(message), message)
    assert refusal.value.reason is DownReason.PROTOCOL


@given(st.binary(max_size=200))
def test_any_bytes_are_a_control_message_or_invalid_input(data: bytes) -> None:
    try:
        message = parse_control(b"\0" + data)
    except InvalidInput:
        return
    assert control_frame(message) == b"\0" + data


def test_ten_thousand_changed_messages_prove_nothing() -> None:
    rng = random.Random(11)
    frames = [*dialler().opening(), control_frame(Goodbye(DownReason.BANNED)), acceptor_proof()]
    for _ in range(10_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 4)):
            frame[rng.randrange(1, len(frame))] = rng.randrange(256)
        one = dialler()
        one.receive(control_frame(hello(BOB)), hello(BOB))
        try:
            give(one, bytes(frame))
        except InvalidInput:
            continue
        assert bytes(frame) in frames, "only the true proof may pass"


def acceptor_proof() -> bytes:
    one, other = dialler(), acceptor()
    give(other, *one.opening())
    return other.own_proof()
