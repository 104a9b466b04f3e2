"""Short messages as bytes: `u8 form 1 | u8 actor | u8 message | u32 call | body`.

Call 0 is a tell; an ask picks another number, and its answer carries the same one with message 0 (a value) or 1
(refused: `u8 code | text`). So the messages of an actor are numbered from 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from msgspec import Struct

from octra.errors import InvalidInput, Unavailable
from octra.node.actors.ref import REASON_MAX, RefusalCode, Refused
from octra.node.p2p.frame import LIMITS, Form
from octra.node.p2p.transport import Lane
from octra.primitives import NodeId

HEADER = struct.Struct(">BBBI")
HEADER_SIZE = HEADER.size
VALUE, REFUSED, FIRST_MESSAGE = 0, 1, 2


class LinkGone(Unavailable):
    """There is no link to the peer, or it ended before the answer came."""

    def __init__(self) -> None:
        super().__init__("no link to this peer")


class BodyTooLong(InvalidInput):
    """The body does not fit into one frame of the lane."""

    def __init__(self, lane: Lane, size: int) -> None:
        super().__init__(f"body of {size} bytes on lane {lane.name.lower()}, at most {body_size_max(lane)}")
        self.lane, self.size = lane, size


def body_size_max(lane: Lane) -> int:
    """The longest body of a message on `lane`."""
    return LIMITS[lane].frame_max - HEADER_SIZE


class Incoming(Struct, frozen=True, eq=False, gc=False):  # made three times as fast as a dataclass
    """A message from another node. `call` 0 is a tell; else the receiver answers with `reply` or `refuse`."""

    peer: NodeId
    lane: Lane
    message: int
    call: int
    body: bytes
    _answer: Callable[[int, int, bytes], None]

    def reply(self, body: bytes = b"") -> None:
        """Answer with a value; nothing happens for a tell, for a second answer, or when the link is gone."""
        if len(body) > body_size_max(self.lane):
            self.refuse(RefusalCode.FAILED, "the answer is too long for its lane")
        else:
            self._answer(self.call, VALUE, body)

    def refuse(self, code: RefusalCode, reason: str = "") -> None:
        """Answer that it will not be done."""
        self._answer(self.call, REFUSED, bytes([code]) + reason.encode()[:REASON_MAX])


def short_frame(lane: Lane, actor: int, message: int, call: int, body: bytes) -> bytes:
    """The frame of a message; raises `BodyTooLong`."""
    if len(body) > body_size_max(lane):
        raise BodyTooLong(lane, len(body))
    return HEADER.pack(Form.SHORT, actor, message, call) + body


def parse_refusal(body: bytes) -> Refused:
    """The error that a refusal stands for; codes of a later version count as FAILED."""
    try:
        code = RefusalCode(body[0]) if body else RefusalCode.FAILED
    except ValueError:
        code = RefusalCode.FAILED
    return Refused(code, body[1 : 1 + REASON_MAX].decode("utf-8", "replace"))
