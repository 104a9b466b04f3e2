"""Virtual time: what happens when, and nothing happens otherwise."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """Actions in the order of their times; equal times keep the order in which they were asked for."""

    def __init__(self, now_ms: int, check_ms: int) -> None:
        """`check_ms`: how often `run_until` asks whether it is done."""
        self.now_ms, self._check_ms = now_ms, check_ms
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._serial, action, arguments))

    def run_until(self, done: Callable[[], bool], deadline_ms: int) -> bool:
        """Let time pass until `done` or the deadline; returns what `done` said last."""
        next_check = self.now_ms
        while self._queue:
            time_ms = self.now_ms = self._queue[0][0]
            if time_ms >= next_check:
                next_check = time_ms + self._check_ms
                if done():
                    return True
                if time_ms > deadline_ms:
                    return False
            _, _, action, arguments = heapq.heappop(self._queue)
            action(*arguments)
        return done()
