"""Flow control of one lane: what may be sent before the other side has consumed what it got."""

from __future__ import annotations

import asyncio
from collections import deque

from octra.errors import InvalidInput
from octra.node.p2p.frame import LIMITS, Splitter
from octra.node.p2p.transport import Lane, cost


class ProtocolViolation(InvalidInput):
    """The peer broke a rule of the link."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"link rule broken: {rule}")
        self.rule = rule


class Outgoing:
    """Frames of one lane that wait for the peer's credit."""

    __slots__ = ("bytes_total", "credit", "frames_total", "limits", "queue", "queued", "waiting", "writes_total")

    def __init__(self, lane: Lane) -> None:
        self.limits = LIMITS[lane]
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self.credit = self.limits.window_guest
        self.waiting: list[asyncio.Future[bool]] = []
        self.bytes_total = self.frames_total = self.writes_total = 0

    def has_room(self, size: int) -> bool:
        return not self.queue or self.queued + size <= self.limits.queue_max

    def ready(self) -> list[bytes]:
        """Frames that the credit allows, in order; they leave the queue."""
        frames: list[bytes] = []
        while self.queue and (size := cost((self.queue[0],))) <= self.credit:
            self.credit -= size
            self.queued -= size
            frames.append(self.queue.popleft())
        return frames

    def wake(self, alive: bool) -> None:
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(alive)


class Incoming:
    """What the peer may still send on one lane. Always `allowance + unconsumed + owed == window`."""

    __slots__ = ("allowance", "bytes_total", "frames_total", "owed", "splitter", "unconsumed", "window")

    def __init__(self, lane: Lane) -> None:
        self.splitter = Splitter(lane)
        self.window = self.allowance = LIMITS[lane].window_guest
        self.owed = 0  # consumed, but the peer does not know yet; negative after the window became smaller
        self.unconsumed = 0
        self.bytes_total = self.frames_total = 0

    def debit(self, size: int) -> None:
        if size > self.allowance:
            raise ProtocolViolation("more sent than the window allows")
        self.allowance -= size
        self.unconsumed += size

    def grant(self, step: int) -> int:
        """Credit to give now: what is owed, once it reaches `step`."""
        due = self.owed
        if due < step:
            return 0
        self.owed = 0
        self.allowance += due
        return due
