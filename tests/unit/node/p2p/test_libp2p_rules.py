"""Noise, yamux and multistream without a network: what they say, and what they refuse."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.p2p import yamux
from octra.node.p2p.multistream import HEADER, Refusal, Selection, line
from octra.node.p2p.noise import Cipher, NoiseHandshake, NoiseRefused
from octra.node.p2p.yamux import DATA, GO_AWAY, PING, RST, SYN, WINDOW, WINDOW_UPDATE, Yamux, YamuxViolation

ONE, OTHER = SigningKey(b"\1" * 32), SigningKey(b"\2" * 32)
NAME = b"/octra/lanes/1"


def sides() -> tuple[NoiseHandshake, NoiseHandshake]:
    return NoiseHandshake(ONE, dialler=True), NoiseHandshake(OTHER, dialler=False)


def sessions() -> tuple[Yamux, Yamux]:
    """A dialler's and an acceptor's session with the stream open."""
    dialler, acceptor = Yamux(True, NAME), Yamux(False, NAME)
    dialler.open()
    for _ in range(3):
        acceptor.feed(b"".join(dialler.take()))
        dialler.feed(b"".join(acceptor.take()))
    assert dialler.stream == acceptor.stream == yamux.OWN_STREAM
    return dialler, acceptor


def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBHII", 0, kind, flags, stream, length) + body


def test_a_noise_handshake_tells_each_side_who_the_other_is_and_gives_ciphers_that_fit() -> None:
    dialler, acceptor = sides()
    acceptor.take_first(dialler.first())
    dialler.take_second(acceptor.second())
    acceptor.take_third(dialler.third())
    assert (dialler.peer, acceptor.peer) == (OTHER.public, ONE.public)
    (near_out, near_in), (far_out, far_in) = dialler.ciphers(), acceptor.ciphers()
    for text in (b"first", b"", b"third"):
        assert far_in.decrypt(near_out.encrypt(text)) == text
        assert near_in.decrypt(far_out.encrypt(text)) == text


@given(st.binary(min_size=32, max_size=32), st.lists(st.tuples(st.binary(max_size=3_000), st.binary(max_size=40))))
def test_messages_are_those_of_pynacl_under_counted_nonces(key: bytes, texts: list[tuple[bytes, bytes]]) -> None:
    sender, receiver = Cipher(key), Cipher(key)
    for count, (text, associated) in enumerate(texts):
        message = sender.encrypt(text, associated)
        nonce = bytes(4) + count.to_bytes(8, "little")
        assert message == crypto_aead_chacha20poly1305_ietf_encrypt(text, associated, nonce, key)
        assert receiver.decrypt(message, associated) == text


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_message_without_room_for_a_tag_is_refused(size: int) -> None:
    with pytest.raises(NoiseRefused):
        Cipher(bytes(32)).decrypt(bytes(size))


@pytest.mark.parametrize("position", [0, 40, 100, 150, -1])
def test_a_changed_noise_message_is_refused(position: int) -> None:
    dialler, acceptor = sides()
    acceptor.take_first(dialler.first())
    changed = bytearray(acceptor.second())
    changed[position] ^= 1
    with pytest.raises(NoiseRefused):
        dialler.take_second(bytes(changed))


def test_a_relay_cannot_pass_on_the_identity_of_somebody_else() -> None:
    dialler, relay_in = NoiseHandshake(ONE, dialler=True), NoiseHandshake(SigningKey(b"\3" * 32), dialler=False)
    relay_out, acceptor = NoiseHandshake(SigningKey(b"\3" * 32), dialler=True), NoiseHandshake(OTHER, dialler=False)
    acceptor.take_first(relay_out.first())
    relay_out.take_second(acceptor.second())
    relay_in._identity = lambda: NoiseHandshake(OTHER, dialler=False)._identity()  # type: ignore[method-assign]
    relay_in.take_first(dialler.first())
    with pytest.raises(NoiseRefused):
        dialler.take_second(relay_in.second())


def test_a_key_of_small_order_is_refused() -> None:
    _, acceptor = sides()
    acceptor.take_first(bytes(32))
    with pytest.raises(NoiseRefused):
        acceptor.second()


def test_a_message_is_decrypted_once_and_in_its_order() -> None:
    out, first, second = Cipher(bytes(32)), Cipher(bytes(32)), Cipher(bytes(32))
    messages = [out.encrypt(b"one"), out.encrypt(b"two")]
    assert first.decrypt(messages[0]) == b"one"
    with pytest.raises(NoiseRefused):
        first.decrypt(messages[0])
    with pytest.raises(NoiseRefused):
        second.decrypt(messages[1])


@given(st.lists(st.integers(1, 60), max_size=30))
def test_a_protocol_is_agreed_on_however_the_bytes_arrive_and_what_follows_is_kept(cuts: list[int]) -> None:
    acceptor = Selection((NAME,), proposes=False)
    stream = line(HEADER) + line(b"/other/1") + line(NAME) + b"rest"
    rest = b""
    for size in [*cuts, len(stream)]:
        part, stream = stream[:size], stream[size:]
        rest = rest + (part if acceptor.chosen else acceptor.feed(part))
    assert acceptor.chosen == NAME
    assert rest == b"rest"
    assert acceptor.take() == line(HEADER) + line(b"na") + line(NAME)


@pytest.mark.parametrize(
    "stream", [b"\x00", b"\x7f", b"\x80\x01", line(b"GET / HTTP/1.1"), line(HEADER) + line(b"x") * 9]
)
def test_who_proposes_nothing_that_we_speak_is_refused(stream: bytes) -> None:
    with pytest.raises(Refusal):
        Selection((NAME,), proposes=False).feed(stream)


def test_a_dialler_takes_no_for_an_answer() -> None:
    with pytest.raises(Refusal):
        Selection((NAME,), proposes=True).feed(line(HEADER) + line(b"na"))


@settings(max_examples=20)
@given(st.lists(st.integers(1, 400_000), max_size=8), st.integers(10_000, 100_000))
def test_a_stream_carries_all_bytes_within_its_window(sizes: list[int], step: int) -> None:
    dialler, acceptor = sessions()
    sent = b"".join(bytes([number + 1]) * size for number, size in enumerate(sizes))
    left, arrived = sent, b""
    while left:
        assert dialler.room, "the acceptor gives back what it has read"
        part, left = left[: min(step, dialler.room)], left[min(step, dialler.room) :]
        dialler.send(part)
        arrived += b"".join(acceptor.feed(b"".join(dialler.take())))
        dialler.feed(b"".join(acceptor.take()))
    assert arrived == sent


def test_other_streams_are_refused_and_the_own_one_goes_on() -> None:
    dialler, acceptor = sessions()
    dialler.take()
    for stream in (3, 5):
        acceptor.feed(frame(WINDOW_UPDATE, SYN, stream, 0))
        acceptor.feed(frame(DATA, 0, stream, len(line(HEADER) + line(NAME)), line(HEADER) + line(NAME)))
    assert acceptor.take()[-1] == frame(WINDOW_UPDATE, RST, 5, 0)
    dialler.send(b"still here")
    assert acceptor.feed(b"".join(dialler.take())) == [b"still here"]
    assert acceptor.stream == yamux.OWN_STREAM


def test_a_ping_is_answered_and_an_end_is_noticed() -> None:
    _, acceptor = sessions()
    acceptor.take()
    acceptor.feed(frame(PING, SYN, 0, 77))
    assert acceptor.take() == [frame(PING, yamux.ACK, 0, 77)]
    acceptor.feed(frame(GO_AWAY, 0, 0, 0))
    assert acceptor.ended


@pytest.mark.parametrize(
    "hostile",
    [
        b"\1" + bytes(11),
        frame(4, 0, 1, 0),
        frame(DATA, 0, 1, WINDOW + 1),
        frame(WINDOW_UPDATE, SYN, 0, 0),
        frame(WINDOW_UPDATE, SYN, 2, 0),
        frame(WINDOW_UPDATE, SYN, 1, 0),
        frame(WINDOW_UPDATE, SYN, 3, 0) + frame(DATA, 0, 3, 4, b"\x03no\n"),
        frame(PING, SYN, 0, 0) * 30_000,
        b"".join(frame(WINDOW_UPDATE, SYN, stream, 0) for stream in range(3, 20_003, 2)),
        frame(DATA, 0, 99, 1_000, bytes(1_000)) * 300,
    ],
)
def test_what_breaks_a_rule_of_yamux_ends_it(hostile: bytes) -> None:
    _, acceptor = sessions()
    with pytest.raises(YamuxViolation):
        acceptor.feed(hostile)


def test_more_than_the_window_is_refused_though_the_reader_gives_back_what_it_read() -> None:
    _, acceptor = sessions()
    acceptor._receive_window = WINDOW  # as if the rest had been used up
    with pytest.raises(YamuxViolation):
        acceptor._received(bytes(WINDOW + 1), [])


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_give_an_error_of_ours_or_nothing(data: bytes, cuts: list[int]) -> None:
    feeds: list[Callable[[bytes], object]] = [
        sessions()[1].feed,
        Selection((NAME,), proposes=False).feed,
        sides()[1].take_third,
        sides()[0].take_second,
        Cipher(bytes(32)).decrypt,
    ]
    for feed in feeds:
        start = 0
        try:
            for cut in sorted(cuts):
                feed(data[start:cut])
                start = max(start, cut)
            feed(data[start:])
        except InvalidInput:
            pass
