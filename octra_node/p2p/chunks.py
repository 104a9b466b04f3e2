"""Four lanes in one stream of bytes, for carriers whose connections are one stream: TLS, libp2p.

    chunk = u8 lane | u24 size (big endian) | bytes

Lanes take turns in chunks of at most `CHUNK_MAX` bytes, so a long message on one does not hold the others up.
docs/decisions/tls.md tells why the lanes share one stream.
"""

from __future__ import annotations

import struct
from collections import deque

from octra.errors import InvalidInput
from octra.node.p2p.transport import Lane

CHUNK_MAX = 64 * 1_024  # a lane takes turns with the others after so much
HEADER = struct.Struct(">I")  # lane and size
HEADER_SIZE = HEADER.size
_LANES = tuple(Lane)


class UnknownLane(InvalidInput):
    """A chunk names a lane that does not exist, or is empty or too long."""

    def __init__(self, lane: int, size: int) -> None:
        super().__init__(f"chunk of {size} bytes on lane {lane}")
        self.lane, self.size = lane, size


class Chunks:
    """Cuts what a connection brings, however it arrives, into pieces of lanes."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[Lane, bytes]]:
        """The complete chunks so far; raises `UnknownLane`, after which it is not used again."""
        buffer = self._buffer + data if self._buffer else data
        pieces: list[tuple[Lane, bytes]] = []
        start, total = 0, len(buffer)
        while total - start >= HEADER_SIZE:
            header: int = HEADER.unpack_from(buffer, start)[0]
            lane, size = header >> 24, header & 0xFF_FFFF
            if lane >= len(_LANES) or not 1 <= size <= CHUNK_MAX:
                raise UnknownLane(lane, size)
            body = start + HEADER_SIZE
            end = body + size
            if end > total:
                break
            pieces.append((_LANES[lane], buffer[body:end]))
            start = end
        self._buffer = buffer[start:]
        return pieces


class Turns:
    """What waits to be written, by lane. `size` is its bytes without headers."""

    __slots__ = ("_queues", "size")

    def __init__(self) -> None:
        self._queues: tuple[deque[bytes], ...] = tuple(deque() for _ in Lane)
        self.size = 0

    def put(self, lane: Lane, data: bytes) -> None:
        """Queue bytes on a lane."""
        self._queues[lane].append(data)
        self.size += len(data)

    def take(self) -> bytes:
        """One turn: up to a chunk of every lane that has something; empty when none has."""
        parts: list[bytes] = []
        for lane, queue in enumerate(self._queues):
            if queue:
                chunk = queue.popleft()
                if queue or len(chunk) > CHUNK_MAX:
                    chunk = _fill(chunk, queue)
                parts += (HEADER.pack(lane << 24 | len(chunk)), chunk)
                self.size -= len(chunk)
        return b"".join(parts)


def _fill(first: bytes, queue: deque[bytes]) -> bytes:
    """As much of `first` and of what follows it as one chunk holds; the rest stays."""
    parts, size = [first], len(first)
    while queue and size < CHUNK_MAX:
        parts.append(queue.popleft())
        size += len(parts[-1])
    data = b"".join(parts)
    if size > CHUNK_MAX:
        queue.appendleft(data[CHUNK_MAX:])
    return data[:CHUNK_MAX]
