"""The wire: one value has one encoding, and every fault of a stranger's bytes has its error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.hfhe import encrypt, wire
from octra.hfhe.bitstream import pack_values, packed_size, padding_is_zero, unpack_values
from octra.hfhe.ciphertext import Bit
from octra.hfhe.errors import (
    InsecureParameters,
    MalformedCiphertext,
    MalformedKey,
    UnknownParameters,
    UnsupportedVersion,
    WrongKey,
    WrongParameters,
)
from octra.hfhe.keys import PublicKey, SecretKey
from octra.hfhe.params import TEST, Q, S, T
from octra.hfhe.wire import Gate

SEED = b"wire tests: used for nothing else"[:32]
OPEN = Gate(allow_insecure=True)


@pytest.fixture(scope="module")
def frames(toy: Any) -> dict[str, bytes]:
    """One valid encoding of each object that travels."""
    key_id = toy.evaluation.key_id
    return {
        "packed": wire.encode_packed(encrypt.encrypt_packed(toy.evaluation.public, [1, 0, 1], SEED)[0]),
        "seeded": wire.encode_seeded(encrypt.encrypt_seeded(toy.secret, key_id, [1, 0, 1], SEED)[0]),
        "entry": wire.encode_entry(encrypt.encrypt_entry(toy.secret, key_id, [1, 0, 1], SEED)),
        "bit": wire.encode_bit(Bit(TEST, key_id, encrypt.encrypt_bits(toy.secret, [1], SEED)[0])),
        "public_key": wire.encode_public_key(toy.evaluation.public),
        "secret_key": wire.encode_secret_key(toy.secret),
        "evaluation_key": wire.encode_evaluation_key(toy.evaluation),
    }


KINDS = ["packed", "seeded", "entry", "bit", "public_key", "secret_key", "evaluation_key"]


def decoder(kind: str) -> Callable[..., Any]:
    return getattr(wire, f"decode_{kind}")  # type: ignore[no-any-return]


def encoder(kind: str) -> Callable[..., bytes]:
    return getattr(wire, f"encode_{kind}")  # type: ignore[no-any-return]


def changed(frame: bytes, position: int, value: object) -> bytes:
    """The frame with one field replaced."""
    fields = msgspec.msgpack.decode(frame)
    fields[position] = value
    return msgspec.msgpack.encode(fields)


def malformed(kind: str) -> type[InvalidInput]:
    return MalformedKey if kind.endswith("key") else MalformedCiphertext


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 32), data=st.data())
def test_a_bit_stream_is_the_binary_number_it_spells(width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=40))
    packed = pack_values(np.array(values, np.uint32), width)
    assert packed == sum(v << (width * i) for i, v in enumerate(values)).to_bytes(
        packed_size(len(values), width), "little"
    )
    assert unpack_values(packed, width, len(values)).tolist() == values
    assert padding_is_zero(packed, width, len(values))


def test_long_streams_meet_at_block_borders() -> None:
    values = np.random.default_rng(1).integers(0, Q, 3 * 2**16 + 5, dtype=np.uint32)
    assert (unpack_values(pack_values(values, 27), 27, values.size) == values).all()


@pytest.mark.parametrize("kind", KINDS)
def test_decode_then_encode_gives_the_same_bytes(frames: dict[str, bytes], kind: str) -> None:
    assert encoder(kind)(decoder(kind)(frames[kind], OPEN)) == frames[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_insecure_set_is_refused_by_default(frames: dict[str, bytes], kind: str) -> None:
    with pytest.raises(InsecureParameters):
        decoder(kind)(frames[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_is_refused(frames: dict[str, bytes], kind: str) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        decoder(kind)(changed(frames[kind], 0, 2), OPEN)
    assert (caught.value.expected, caught.value.got) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_another_set_than_the_chains_is_refused(frames: dict[str, bytes], kind: str) -> None:
    with pytest.raises(WrongParameters):
        decoder(kind)(frames[kind], Gate(S, allow_insecure=True))
    with pytest.raises(UnknownParameters):
        decoder(kind)(changed(frames[kind], 1, 9), OPEN)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "secret_key"])
def test_another_key_than_the_chains_is_refused(toy: Any, frames: dict[str, bytes], kind: str) -> None:
    with pytest.raises(WrongKey):
        decoder(kind)(frames[kind], Gate(TEST, [bytes(32)], allow_insecure=True))
    decoder(kind)(frames[kind], Gate(TEST, [bytes(32), toy.evaluation.key_id], allow_insecure=True))


@pytest.mark.parametrize("kind", KINDS)
def test_trailing_bytes_and_longer_integers_are_refused(frames: dict[str, bytes], kind: str) -> None:
    frame = frames[kind]
    longer_version = frame[:1] + b"\xcc\x01" + frame[2:]  # the version 1 as a two-byte integer
    for bad in (frame + b"\0", frame[:-1], longer_version, b"", b"\xc0"):
        with pytest.raises(malformed(kind)):
            decoder(kind)(bad, OPEN)


def test_frames_over_the_limit_are_refused_before_parsing() -> None:
    with pytest.raises(MalformedCiphertext, match="at most 8192"):
        wire.decode_packed(bytes(8193), OPEN)
    with pytest.raises(MalformedKey, match="at most 4096"):
        wire.decode_public_key(bytes(4097), OPEN)


@pytest.mark.parametrize(("kind", "position"), [("packed", 3), ("seeded", 4), ("entry", 4)])
def test_counts_outside_their_range_are_refused(frames: dict[str, bytes], kind: str, position: int) -> None:
    for count in (0, -1, 65 if kind != "entry" else 2_049, 4):
        with pytest.raises(MalformedCiphertext):
            decoder(kind)(changed(frames[kind], position, count), OPEN)


@pytest.mark.parametrize(
    ("kind", "position"), [("packed", 5), ("packed", 4), ("seeded", 5), ("entry", 5), ("bit", 3), ("public_key", 3)]
)
def test_a_coefficient_of_q_is_refused_with_its_position(frames: dict[str, bytes], kind: str, position: int) -> None:
    stream = msgspec.msgpack.decode(frames[kind])[position]
    count = len(stream) * 8 // 27
    values = unpack_values(stream, 27, count)
    values[1] = Q
    bad = pack_values(values, 27)
    with pytest.raises(malformed(kind)) as caught:
        decoder(kind)(changed(frames[kind], position, bad), OPEN)
    assert caught.value.position == 1  # type: ignore[attr-defined]
    assert str(Q) not in str(caught.value)


@pytest.mark.parametrize(("kind", "position"), [("packed", 5), ("seeded", 5), ("entry", 5), ("bit", 3)])
def test_padding_that_is_not_zero_is_refused(frames: dict[str, bytes], kind: str, position: int) -> None:
    stream = bytearray(msgspec.msgpack.decode(frames[kind])[position])
    stream[-1] |= 0x80
    with pytest.raises(MalformedCiphertext, match="padding"):
        decoder(kind)(changed(frames[kind], position, bytes(stream)), OPEN)


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_streams_of_other_lengths_are_refused(frames: dict[str, bytes], kind: str) -> None:
    fields = msgspec.msgpack.decode(frames[kind])
    for position, field in enumerate(fields):
        if isinstance(field, bytes):
            for bad in (field[:-1], field + b"\0"):
                with pytest.raises(malformed(kind)):
                    decoder(kind)(changed(frames[kind], position, bad), OPEN)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_damaged_bytes_are_refused_or_decode_to_what_encodes_to_them(
    frames: Any, kind: str, data: st.DataObject
) -> None:
    frame = bytearray(frames[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, min(len(frame) - 1, 400)))
        frame[position] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        frame = frame[: data.draw(st.integers(0, len(frame)))]
    try:
        value = decoder(kind)(bytes(frame), OPEN)
    except InvalidInput:
        return
    assert encoder(kind)(value) == bytes(frame)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(KINDS), junk=st.binary(max_size=200))
def test_junk_is_refused(kind: str, junk: bytes) -> None:
    with pytest.raises(InvalidInput):
        decoder(kind)(junk, OPEN)


def test_packed_bits_have_the_published_sizes() -> None:
    secret = SecretKey.generate(T, SEED)
    public = PublicKey.generate(secret, SEED)
    header = 50
    for count, size in ((512, 5_184), (64, 3_672)):
        assert size < len(wire.encode_packed(encrypt.encrypt_packed(public, [1] * count, SEED)[0])) < size + header
    entry = encrypt.encrypt_entry(secret, public.key_id, [1] * 512, SEED)
    assert 1_728 < len(wire.encode_entry(entry)) < 1_728 + 2 * 32 + header
    assert len(wire.encode_public_key(public)) < 3_550
