"""Four lanes in one stream of bytes, for carriers whose connections are one stream: TLS, libp2p.

    chunk = u8 lane | u24 size (big endian) | bytes

Lanes take turns in chunks of at most `CHUNK_MAX` bytes, so a long message on one does not hold the others up.
docs/decisions/tls.md tells why the lanes share one stream.
"""

from __future__ import annotations

from collections import deque

from octra.errors import InvalidInput
from octra.node.p2p.transport import Lane

CHUNK_MAX = 64 * 1_024  # a lane takes turns with the others after so much
HEADER_SIZE = 4
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
            lane, size = buffer[start], int.from_bytes(buffer[start + 1 : start + HEADER_SIZE], "big")
            if lane >= len(_LANES) or not 1 <= size <= CHUNK_MAX:
                raise UnknownLane(lane, size)
            end = start + HEADER_SIZE + size
            if end > total:
                break
            pieces.append((_LANES[lane], buffer[start + HEADER_SIZE : end]))
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
            if not queue:
                continue
            header = len(parts)
            parts.append(b"")
            size = 0
            while queue and size < CHUNK_MAX:
                data = queue.popleft()
                if size + len(data) > CHUNK_MAX:
                    queue.appendleft(data[CHUNK_MAX - size :])
                    data = data[: CHUNK_MAX - size]
                parts.append(data)
                size += len(data)
            parts[header] = (lane << 24 | size).to_bytes(HEADER_SIZE, "big")
            self.size -= size
        return b"".join(parts)
