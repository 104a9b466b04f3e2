"""Time as the node sees it: a monotonic clock that decides, and a wall clock for people and skew only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What an actor may know of time."""

    def monotonic_ms(self) -> int: ...
    def wall_ms(self) -> int: ...
    async def sleep_until(self, monotonic_ms: int) -> None: ...
    async def yield_(self) -> None: ...


class LoopClock:
    """The running event loop's time: real in the daemon, virtual under the simulation's loop.

    `wall_offset_ms` ties the wall clock to the loop's, so that a simulation has a wall clock too.
    """

    def __init__(self, wall_offset_ms: int | None = None) -> None:
        self._wall_offset_ms = wall_offset_ms
        self._time: Callable[[], float] | None = None  # of the first loop: to find it costs more than the time

    def monotonic_ms(self) -> int:
        """Milliseconds since some fixed moment; never goes back."""
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return int(self._time() * 1_000)

    def wall_ms(self) -> int:
        """Unix time in milliseconds: for logs, hellos and proposals, never for a local decision."""
        if self._wall_offset_ms is not None:
            return self._wall_offset_ms + self.monotonic_ms()
        return time.time_ns() // 1_000_000

    async def sleep_until(self, monotonic_ms: int) -> None:
        """Return once the clock shows `monotonic_ms` or later."""
        await asyncio.sleep(max(0, monotonic_ms - self.monotonic_ms()) / 1_000)

    async def yield_(self) -> None:
        """Let every other ready task run once."""
        await asyncio.sleep(0)
