"""Bytes of a lane as frames and back: `u32 length (big endian) | u8 form | rest`, the length counting from the form.

A length is checked against the lane's limit before anything is kept, so a peer cannot make us allocate.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from octra.errors import InvalidInput
from octra.node.p2p.transport import FRAME_OVERHEAD, Lane, WindowClass

KIB = 1_024
LENGTH = struct.Struct(">I")
LENGTH_SIZE = LENGTH.size


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


def pack(frames: Iterable[bytes]) -> bytes:
    """The frames as they stand on a stream."""
    return b"".join([LENGTH.pack(len(frame)) + frame for frame in frames])


def packed(lane: Lane, frame: bytes) -> bytes:
    """The frame of an actor as it stands on the stream of `lane`."""
    assert 1 <= len(frame) <= LIMITS[lane].frame_max
    assert frame[0] != Form.CONTROL
    return LENGTH.pack(len(frame)) + frame


class Splitter:
    """Cuts the bytes of one lane, however they arrive, into frames. After an error it is not used again."""

    __slots__ = ("_frame_max", "_lane", "_rest", "_rest_size")

    def __init__(self, lane: Lane) -> None:
        self._lane, self._frame_max = lane, LIMITS[lane].frame_max
        self._rest = bytearray()  # the beginning of a frame
        self._rest_size = 0  # what it will have, once more than its length has come

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, form byte first; raises `FrameTooLong` or `UnknownForm`."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._rest_size:
                return []  # a long frame in many pieces is put together once
            data = bytes(self._rest)
            self._rest.clear()
        frames: list[bytes] = []
        start, total = 0, len(data)
        self._rest_size = 0
        while total - start >= LENGTH_SIZE:
            size: int = LENGTH.unpack_from(data, start)[0]
            if not 1 <= size <= self._frame_max:
                raise FrameTooLong(self._lane, size)
            body = start + LENGTH_SIZE
            end = body + size
            if body < total and data[body] not in FORMS:
                raise UnknownForm(data[body])
            if end > total:
                self._rest_size = LENGTH_SIZE + size if body < total else 0
                break
            frames.append(data[body:end])
            start = end
        if start < total:
            self._rest += data[start:]
        return frames
