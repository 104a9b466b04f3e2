"""OCWR1 and OCWS1: the frames in which a method's name and arguments enter a Circle and its answer leaves it."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from octra.circles.errors import InvalidFrame
from octra.circles.limits import METHOD_NAME_MAX, REQUEST_MAX, RESPONSE_MAX
from octra.consensus.ports import Argument

REQUEST_MAGIC, RESPONSE_MAGIC = b"OCWR1", b"OCWS1"
_NULL, _FALSE, _TRUE, _INTEGER, _TEXT, _BYTES = range(6)
_DECIMAL = re.compile(rb"0|-?[1-9][0-9]{0,77}")  # one spelling per integer, at most 256 bits and a sign


def encode_request(method: str, arguments: Sequence[Argument]) -> bytes:
    """The request frame that a Circle's entry point receives; raises `InvalidFrame` above the size limit."""
    name = method.encode("utf-8")
    if not 0 < len(name) <= METHOD_NAME_MAX:
        raise InvalidFrame(f"a method's name has 1 to {METHOD_NAME_MAX} bytes")
    if len(arguments) > 0xFFFF:
        raise InvalidFrame("too many arguments")
    if any(isinstance(argument, int) and not -(2**63) <= argument < 2**63 for argument in arguments):
        raise InvalidFrame("an integer argument does not fit 64 bits")
    parts = [REQUEST_MAGIC, struct.pack(">H", len(name)), name, struct.pack(">H", len(arguments))]
    parts += [_encode_value(argument) for argument in arguments]
    frame = b"".join(parts)
    if len(frame) > REQUEST_MAX:
        raise InvalidFrame(f"{len(frame)} bytes exceed {REQUEST_MAX}")
    return frame


def decode_request(frame: bytes) -> tuple[str, tuple[Argument, ...]]:
    """Method and arguments of a request frame."""
    if len(frame) > REQUEST_MAX or frame[:5] != REQUEST_MAGIC:
        raise InvalidFrame("not a request frame")
    try:
        (size,) = struct.unpack_from(">H", frame, 5)
        method = frame[7 : 7 + size].decode("utf-8")
        position = 7 + size
        (count,) = struct.unpack_from(">H", frame, position)
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidFrame("truncated") from error
    position += 2
    arguments = []
    for _ in range(count):
        value, position = _decode_value(frame, position)
        arguments.append(value)
    if position != len(frame):
        raise InvalidFrame("bytes follow the frame")
    return method, tuple(arguments)


def encode_response(value: Argument) -> bytes:
    """The response frame of a value."""
    frame = RESPONSE_MAGIC + _encode_value(value)
    if len(frame) > RESPONSE_MAX:
        raise InvalidFrame(f"{len(frame)} bytes exceed {RESPONSE_MAX}")
    return frame


def decode_response(frame: bytes) -> Argument:
    """The value of a response; one without the magic is the value itself, as bytes."""
    if frame[:5] != RESPONSE_MAGIC:
        return frame
    value, position = _decode_value(frame, 5)
    if position != len(frame):
        raise InvalidFrame("bytes follow the frame")
    return value


def _encode_value(value: Argument) -> bytes:
    match value:
        case None:
            tag, raw = _NULL, b""
        case bool():
            tag, raw = (_TRUE if value else _FALSE), b""
        case int():
            tag, raw = _INTEGER, str(value).encode("ascii")
        case str():
            tag, raw = _TEXT, value.encode("utf-8")
        case bytes():
            tag, raw = _BYTES, value
    return struct.pack(">BI", tag, len(raw)) + raw


def _decode_value(frame: bytes, position: int) -> tuple[Argument, int]:
    try:
        tag, size = struct.unpack_from(">BI", frame, position)
    except struct.error as error:
        raise InvalidFrame("truncated") from error
    start, end = position + 5, position + 5 + size
    if end > len(frame):
        raise InvalidFrame("truncated")
    raw = frame[start:end]
    if tag in (_NULL, _FALSE, _TRUE):
        if raw:
            raise InvalidFrame("a constant with contents")
        return (None, False, True)[tag], end
    if tag == _INTEGER:
        if not _DECIMAL.fullmatch(raw):
            raise InvalidFrame("not a decimal integer")
        return int(raw), end
    if tag == _TEXT:
        try:
            return raw.decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise InvalidFrame("text is not UTF-8") from error
    if tag == _BYTES:
        return raw, end
    raise InvalidFrame(f"unknown tag {tag}")
