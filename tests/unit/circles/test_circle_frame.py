"""Frames: byte vectors that existing contracts rely on, and the law that decoding inverts encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.circles.errors import InvalidFrame
from octra.circles.frame import decode_request, decode_response, encode_request, encode_response
from octra.consensus.ports import Argument

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "circles" / "frames.json").read_text("utf-8"))
ARGUMENTS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=50), st.binary(max_size=50)
)


def argument_of(value: object) -> Argument:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value  # type: ignore[return-value]  # JSON


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_request_frames_have_their_frozen_bytes(vector: dict[str, object]) -> None:
    arguments = tuple(argument_of(value) for value in vector["arguments"])  # type: ignore[attr-defined]  # JSON
    frame = bytes.fromhex(str(vector["frame"]))
    assert encode_request(str(vector["method"]), arguments) == frame
    assert decode_request(frame) == (vector["method"], arguments)


@pytest.mark.parametrize("vector", VECTORS["responses"], ids=lambda vector: vector["name"])
def test_response_frames_have_their_frozen_bytes(vector: dict[str, object]) -> None:
    frame, value = bytes.fromhex(str(vector["frame"])), argument_of(vector["value"])
    assert encode_response(value) == frame
    assert decode_response(frame) == value


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=16), st.lists(ARGUMENTS, max_size=8))
def test_decoding_a_request_gives_what_was_encoded(method: str, arguments: list[Argument]) -> None:
    assert decode_request(encode_request(method, arguments)) == (method, tuple(arguments))


@given(ARGUMENTS)
def test_decoding_a_response_gives_what_was_encoded(value: Argument) -> None:
    got = decode_response(encode_response(value))
    assert got == value
    assert type(got) is type(value)


@given(st.binary(max_size=80))
def test_whatever_decodes_encodes_to_the_same_bytes(noise: bytes) -> None:
    for magic, decode in ((b"OCWR1", decode_request), (b"OCWS1", decode_response)):
        try:
            value = decode(magic + noise)
        except InvalidFrame:
            continue
        again = encode_response(value) if magic == b"OCWS1" else _encode_any(value)  # type: ignore[arg-type]
        assert again == magic + noise


def _encode_any(request: tuple[str, tuple[Argument, ...]]) -> bytes:
    method, arguments = request
    body = b"".join(encode_response(argument)[5:] for argument in arguments)
    name = method.encode()
    return b"OCWR1" + len(name).to_bytes(2, "big") + name + len(arguments).to_bytes(2, "big") + body


def test_a_response_without_the_magic_is_passed_on_as_bytes() -> None:
    assert decode_response(b"") == b""
    assert decode_response(b"plain") == b"plain"


@pytest.mark.parametrize(
    "frame",
    [
        b"OCWR1",
        b"OCWR1\0\3ab",
        b"OCWR1\0\1a\0\1",
        b"OCWR1\0\1a\0\0x",
        b"OCWR1\0\1a\0\1\x06\0\0\0\0",
        b"OCWR1\0\1a\0\1\x00\0\0\0\1x",
        b"OCWR1\0\1a\0\1\x03\0\0\0\2-0",
        b"OCWR1\0\1a\0\1\x03\0\0\0\2007",
        b"OCWR1\0\1a\0\1\x03\0\0\0\0",
        b"OCWR1\0\1a\0\1\x04\0\0\0\1\xff",
        b"OCWR2\0\1a\0\0",
        b"OCWR1\0\1\xff\0\0",
    ],
)
def test_malformed_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(InvalidFrame):
        decode_request(frame)


def test_requests_beyond_their_limits_are_refused() -> None:
    for method, arguments in (("", ()), ("m" * 65, ()), ("m", (2**63,)), ("m", (bytes(256 * 1024),))):
        with pytest.raises(InvalidFrame):
            encode_request(method, arguments)
