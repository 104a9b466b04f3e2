"""Messages of the link itself, on the REQUEST lane: `u8 form 0 | MessagePack array [tag, fields...]`."""

from __future__ import annotations

from typing import Annotated, cast

from msgspec import Meta, Struct

from octra.codec import decode, encode
from octra.errors import Malformed
from octra.node.p2p.frame import Form
from octra.node.p2p.hello import Bytes32, Hello, Natural
from octra.node.p2p.transport import DownReason, Lane

Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
CONTROL_SIZE_MAX = 6 * 1_024
ANNOUNCEMENT_SIZE_MAX = 4 * 1_024


class Proof(Struct, frozen=True, array_like=True, tag=1):
    """Signature of the node key over both hellos and the channel."""

    signature: Bytes64


class Credit(Struct, frozen=True, array_like=True, tag=2):
    """The receiver of this may send `size` more on `lane`."""

    lane: Lane
    size: Annotated[int, Meta(ge=1, lt=2**31)]


class Ping(Struct, frozen=True, array_like=True, tag=3):
    """Answer at once with a Pong of the same nonce."""

    nonce: Natural


class Pong(Struct, frozen=True, array_like=True, tag=4):
    """The answer to a Ping."""

    nonce: Natural


class Goodbye(Struct, frozen=True, array_like=True, tag=5):
    """The last message of a link."""

    reason: DownReason
    back_ms: Natural = 0  # when it is worth to dial again; 0 says nothing


class Announcement(Struct, frozen=True, array_like=True, tag=6):
    """A rare message for everybody, signed by its author and passed on from neighbour to neighbour."""

    topic: Annotated[str, Meta(max_length=64)]
    author: Bytes32
    body: Annotated[bytes, Meta(max_length=ANNOUNCEMENT_SIZE_MAX)]
    signature: Bytes64


Control = Hello | Proof | Credit | Ping | Pong | Goodbye | Announcement
_FORM = bytes([Form.CONTROL])


def control_frame(message: Control) -> bytes:
    """The frame of a control message."""
    return _FORM + encode(message)


def parse_control(frame: bytes) -> Control:
    """The message in a frame of form CONTROL; raises `Malformed`."""
    if len(frame) > CONTROL_SIZE_MAX:
        raise Malformed("control message", f"{len(frame)} bytes")
    # A union is no `type`, but msgspec decodes it; the result is one of its members.
    return cast(Control, decode(frame[1:], cast("type[object]", Control), "control message"))
