"""What the actors of one node post for its interfaces to read: marks, pool, and how long finality takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field

from octra.consensus.ledger.mempool import Pool

SAMPLES = 512
RATE_WINDOW_MS = 60_000


@dataclass(slots=True)
class Board:
    """Written by actors, read by the facade; all on one event loop."""

    pool: Pool = field(default_factory=Pool)
    round: int = 0
    lag_rounds: int = 0
    certified: int = 0
    checkpointed: int = 0
    blocks_executed: int = 0  # since the start, as the next one
    blocks_applied: int = 0  # from certified deltas
    observing: bool = False  # holds a seat, but its sign log was lost
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived_ms: dict[bytes, int] = field(default_factory=dict)
    _waits: deque[tuple[int, bytes]] = field(default_factory=deque)  # (height, id) executed, not yet certified
    _finality_ms: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _executed: deque[tuple[int, int]] = field(default_factory=deque)  # (when, how many)

    def submitted(self, tx_id: bytes, now_ms: int) -> None:
        """A transaction came in at this node: its finality will be a sample."""
        self._arrived_ms[tx_id] = now_ms
        if len(self._arrived_ms) > 8 * SAMPLES:  # the oldest never comes: refused, or executed before
            del self._arrived_ms[next(iter(self._arrived_ms))]

    def executed(self, height: int, ids: tuple[bytes, ...], now_ms: int) -> None:
        """A block is stored."""
        self._executed.append((now_ms, len(ids)))
        while self._executed and self._executed[0][0] < now_ms - RATE_WINDOW_MS:
            self._executed.popleft()
        if self._arrived_ms:
            self._waits.extend((height, tx_id) for tx_id in ids if tx_id in self._arrived_ms)
        self.notify()

    def certify(self, height: int, now_ms: int) -> None:
        """A quorum published equal roots up to this height."""
        self.certified = max(height, self.certified)
        while self._waits and self._waits[0][0] <= self.certified:
            _, tx_id = self._waits.popleft()
            self._finality_ms.append(now_ms - self._arrived_ms.pop(tx_id, now_ms))
        self.notify()

    @property
    def finality_p50_ms(self) -> int | None:
        """Median time from submission here to certification, over the last samples."""
        samples = sorted(self._finality_ms)
        return samples[len(samples) // 2] if samples else None

    def transactions_per_s(self, now_ms: int) -> float | None:
        """Executed transactions a second over the last minute."""
        recent = [(at, count) for at, count in self._executed if at >= now_ms - RATE_WINDOW_MS]
        if len(recent) < 2:
            return None
        return sum(count for _, count in recent) * 1_000 / max(1, now_ms - recent[0][0])

    def notify(self) -> None:
        """Wake all who wait for news."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def news(self, timeout_s: float) -> None:
        """Return when something changed, or after the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
