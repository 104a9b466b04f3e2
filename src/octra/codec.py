"""The one way to encode: frozen msgspec structs as MessagePack arrays, decoded strictly.

One value has one encoding. `decode` therefore encodes what it read and compares: an integer in a longer form, a
trailing byte or an unknown field is `Malformed`, so nobody can give the same value a second hash.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

from octra.errors import Malformed

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}
# While msgspec describes a struct, other threads see the unfinished description, and crash: one describes at a time.
_describing = threading.Lock()


def encode(value: object) -> bytes:
    """Canonical bytes of a struct, list, integer, bytes or text."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T], what: str | None = None) -> T:
    """The value of `data`, checked against the type `kind`; raises `Malformed` naming `what`."""
    name = what or kind.__name__
    decoder = decoder_of(kind)
    try:
        value = decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # msgspec names the field and the types, never the value: safe to pass on.
        raise Malformed(name, str(error)) from error
    if _encoder.encode(value) != data:
        raise Malformed(name, "encoding is not canonical")
    return value


def decoder_of(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Reads `kind` from MessagePack in any form; every struct is read by one of these, or by `decode`."""
    decoder = _decoders.get(kind)
    if decoder is None:
        with _describing:
            decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind, strict=True)
    return decoder  # type: ignore[return-value]  # it was built for exactly this type
