"""Bytes of a lane as frames and back: `u32 length (big endian) | u8 form | rest`, the length counting from the form.

A length is checked against the lane's limit before anything is kept, so a peer cannot make us allocate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from octra.errors import InvalidInput
from octra.node.p2p.transport import FRAME_OVERHEAD, Lane, WindowClass

KIB = 1_024
LENGTH_SIZE = 4


class Form(IntEnum):
    """First byte of a frame: what the rest is."""

    CONTROL = 0  # of the link itself; never reaches an actor
    SHORT = 1  # `u8 actor | u8 message | u32 call | body`
    ENVELOPE = 2


FORMS = frozenset(Form)


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Bounds of one lane, in bytes."""

    frame_max: int  # form byte included
    window_full: int
    window_guest: int
    queue_max: int

    def window(self, kind: WindowClass) -> int:
        """How much the peer may have sent and we not consumed."""
        return self.window_full if kind is WindowClass.FULL else self.window_guest


LIMITS: Mapping[Lane, LaneLimits] = {
    Lane.CONSENSUS: LaneLimits(128 * KIB, 1_024 * KIB, 132 * KIB, 1_024 * KIB),
    Lane.DATA: LaneLimits(512 * KIB, 2_048 * KIB, 516 * KIB, 4_096 * KIB),
    Lane.REQUEST: LaneLimits(256 * KIB, 1_024 * KIB, 260 * KIB, 1_024 * KIB),
    Lane.BULK: LaneLimits(1_028 * KIB, 2_048 * KIB, 1_088 * KIB, 2_048 * KIB),
}
# A window smaller than one frame and its overhead would block that frame for ever.
assert all(limits.window_guest >= limits.frame_max + FRAME_OVERHEAD for limits in LIMITS.values())


class FrameTooLong(InvalidInput):
    """A frame's length is zero or above the lane's limit."""

    def __init__(self, lane: Lane, size: int) -> None:
        super().__init__(f"frame of {size} bytes on lane {lane.name.lower()}")
        self.lane, self.size = lane, size


class UnknownForm(InvalidInput):
    """A frame starts with a form byte of no meaning."""

    def __init__(self, form: int) -> None:
        super().__init__(f"unknown frame form {form}")
        self.form = form


def pack(frames: Sequence[bytes]) -> bytes:
    """The frames as they stand on a stream."""
    return b"".join(part for frame in frames for part in (len(frame).to_bytes(LENGTH_SIZE, "big"), frame))


class Splitter:
    """Cuts the bytes of one lane, however they arrive, into frames. After an error it is not used again."""

    __slots__ = ("_buffer", "_frame_max", "_lane")

    def __init__(self, lane: Lane) -> None:
        self._lane, self._frame_max = lane, LIMITS[lane].frame_max
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, form byte first; raises `FrameTooLong` or `UnknownForm`."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        while len(buffer) - start >= LENGTH_SIZE:
            size = int.from_bytes(buffer[start : start + LENGTH_SIZE], "big")
            if not 1 <= size <= self._frame_max:
                raise FrameTooLong(self._lane, size)
            end = start + LENGTH_SIZE + size
            if len(buffer) > start + LENGTH_SIZE and buffer[start + LENGTH_SIZE] not in FORMS:
                raise UnknownForm(buffer[start + LENGTH_SIZE])
            if len(buffer) < end:
                break
            frames.append(bytes(memoryview(buffer)[start + LENGTH_SIZE : end]))
            start = end
        if start:
            del buffer[:start]
        return frames
