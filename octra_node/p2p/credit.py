"""Flow control of one lane: what may be sent before the other side has consumed what it got."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from octra.errors import InvalidInput
from octra.node.p2p.frame import LENGTH_SIZE, LIMITS, Splitter
from octra.node.p2p.transport import FRAME_OVERHEAD, Lane, cost

PACKED_OVERHEAD = FRAME_OVERHEAD - LENGTH_SIZE  # what a frame costs beside its bytes, its length in front included


class ProtocolViolation(InvalidInput):
    """The peer broke a rule of the link."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"link rule broken: {rule}")
        self.rule = rule


class Outgoing:
    """Frames of one lane, packed, that wait for the peer's credit."""

    __slots__ = ("bytes_total", "credit", "frames_total", "limits", "queue", "queued", "waiting", "writes_total")

    def __init__(self, lane: Lane) -> None:
        self.limits = LIMITS[lane]
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self.credit = self.limits.window_guest
        self.waiting: list[asyncio.Future[bool]] = []
        self.bytes_total = self.frames_total = self.writes_total = 0

    def put(self, frames: Sequence[bytes]) -> bytes | None:
        """Queue all of `frames`, and give what may be sent now; None if there is no room."""
        size = sum(map(len, frames)) + PACKED_OVERHEAD * len(frames)
        if not self.queue and size <= self.credit:
            self.credit -= size
            return self._counted(frames)
        if self.queue and self.queued + size > self.limits.queue_max:
            return None
        self.queue.extend(frames)
        self.queued += size
        return self.take()

    def take(self) -> bytes:
        """What the credit allows, in order; it leaves the queue."""
        frames: list[bytes] = []
        while self.queue and (size := len(self.queue[0]) + PACKED_OVERHEAD) <= self.credit:
            self.credit -= size
            self.queued -= size
            frames.append(self.queue.popleft())
        return self._counted(frames) if frames else b""

    def _counted(self, frames: Sequence[bytes]) -> bytes:
        data = b"".join(frames)
        self.frames_total += len(frames)
        self.bytes_total += len(data)
        self.writes_total += 1
        return data

    def wake(self, alive: bool) -> None:
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(alive)


class Incoming:
    """What the peer may still send on one lane. Always `allowance + unconsumed + owed == window`."""

    __slots__ = (
        "allowance",
        "bytes_total",
        "frames_total",
        "limits",
        "owed",
        "splitter",
        "step",
        "unconsumed",
        "window",
    )

    def __init__(self, lane: Lane) -> None:
        self.splitter = Splitter(lane)
        self.limits = LIMITS[lane]
        self.allowance = self.limits.window_guest
        self.resize(self.allowance)
        self.owed = 0  # consumed, but the peer does not know yet; negative after the window became smaller
        self.unconsumed = 0
        self.bytes_total = self.frames_total = 0

    def feed(self, data: bytes) -> list[bytes]:
        self.bytes_total += len(data)
        return self.splitter.feed(data)

    def debit(self, frames: Sequence[bytes]) -> None:
        size = cost(frames)
        if size > self.allowance:
            raise ProtocolViolation("more sent than the window allows")
        self.allowance -= size
        self.unconsumed += size
        self.frames_total += len(frames)

    def resize(self, window: int) -> None:
        self.window = window
        # Give credit in few messages, but never hold back so much that the largest frame cannot pass.
        self.step = max(1, min(window // 4, window - self.limits.frame_max - FRAME_OVERHEAD))

    def grant(self) -> int:
        """Credit to give now: what is owed, once it is worth a message."""
        due = self.owed
        if due < self.step:
            return 0
        self.owed = 0
        self.allowance += due
        return due
