"""Looks at the network while it runs: progress, agreement, memory and disk."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from endurance.rpc import NoAnswer, Refused, call
from endurance.seats import Seats

LOOK_S = 1.0
COMPARE_S, MEMORY_S, DISK_S = 15.0, 5.0, 30.0
ASK_S = 5.0
KIB_MIB = 1 / 1_024


@dataclass(slots=True)
class Life:
    """The memory of one process: (seconds, MiB of its own), from its start to its end."""

    name: str
    samples: list[tuple[float, float]] = field(default_factory=list)

    def growth(self, since_s: float) -> tuple[float, float, float] | None:
        """(seconds, mean MiB, MiB a minute by a straight line) from a moment on; None for too short a life."""
        points = [point for point in self.samples if point[0] >= since_s]
        if len(points) < 12:
            return None
        mean_s, mean_mib = fmean(at for at, _ in points), fmean(mib for _, mib in points)
        spread = sum((at - mean_s) ** 2 for at, _ in points)
        slope = sum((at - mean_s) * (mib - mean_mib) for at, mib in points) / spread
        return points[-1][0] - points[0][0], mean_mib, slope * 60


@dataclass(slots=True)
class Seen:
    """What was seen. Times are seconds on the monotonic clock."""

    progress: list[tuple[float, int]] = field(default_factory=list)  # when a higher certified height was first seen
    lives: dict[int, Life] = field(default_factory=dict)  # by process id
    disk: list[tuple[float, int]] = field(default_factory=list)  # bytes of all nodes
    load: list[float] = field(default_factory=list)  # of the machine: processes that want to run
    compared: int = 0  # (height, node) pairs whose block was compared while the network ran
    disagreements: list[str] = field(default_factory=list)

    def longest_gap_s(self, but: list[tuple[float, float]]) -> float:
        """The longest time without a new certified block, outages of the whole network (`but`) left out."""
        gaps = [0.0]
        for (start, _), (end, _) in pairwise(self.progress):
            if not any(start < until and end > since for since, until in but):
                gaps.append(end - start)
        return max(gaps)


class Watch:
    """Samples until it is cancelled."""

    def __init__(self, seats: Seats) -> None:
        self.seen = Seen()
        self._seats = seats

    async def run(self) -> None:
        """Look, for ever."""
        await asyncio.gather(
            self._every(LOOK_S, self._progress),
            self._every(COMPARE_S, self._compare),
            self._every(MEMORY_S, self._memory),
            self._every(DISK_S, self._disk),
        )

    async def _every(self, seconds: float, look) -> None:
        while True:
            await look()
            await asyncio.sleep(seconds)

    async def _progress(self) -> None:
        height = await self._seats.height()
        if height > (self.seen.progress[-1][1] if self.seen.progress else 0):
            self.seen.progress.append((time.monotonic(), height))

    async def _compare(self) -> None:
        """Every node that answers names the same block and state root at a recent height."""
        if not self.seen.progress:
            return
        height = max(1, self.seen.progress[-1][1] - 20)

        async def block(name: str) -> tuple[str, str] | None:
            try:
                facts = await call(self._seats.nodes[name], "octra_getBlock", height, timeout_s=ASK_S)
            except (NoAnswer, Refused):
                return None
            return facts["block_id"], facts["state_root"]

        found = await asyncio.gather(*(block(name) for name in self._seats.names))
        known = {names for names in found if names is not None}
        self.seen.compared += sum(names is not None for names in found)
        if len(known) > 1:
            self.seen.disagreements.append(f"height {height}: {len(known)} different blocks")

    async def _memory(self) -> None:
        now = time.monotonic()
        self.seen.load.append(os.getloadavg()[0])
        for name, pid in self._seats.pids.items():
            if (mib := own_memory_mib(pid)) is not None:
                self.seen.lives.setdefault(pid, Life(name)).samples.append((now, mib))

    async def _disk(self) -> None:
        size = await asyncio.to_thread(disk_bytes, self._seats.network.directory)
        self.seen.disk.append((time.monotonic(), size))


def own_memory_mib(pid: int) -> float | None:
    """Resident memory that is no file's, of one process; None when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kib = next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), None)
    return None if kib is None else kib * KIB_MIB


def disk_bytes(directory: Path) -> int:
    """What the files below a directory take on the disk."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # the database has just removed it
    return total
