"""Where a node's processor time goes, by sampling: off unless the environment has `OCTRA_CPU_SAMPLES`.

Every 25 ms of processor time the kernel interrupts the process; the handler looks which parts of the program its
threads are in, and counts for each what its thread's own clock has advanced. The sums are a file in the node's
directory, mapped into memory, so that a benchmark reads them while the node runs. A sample costs some 40 microseconds.
"""

from __future__ import annotations

import atexit
import mmap
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

VARIABLE: Final = "OCTRA_CPU_SAMPLES"
FILE: Final = "cpu.samples"
INTERVAL_S: Final = 0.025
ELSEWHERE: Final = "elsewhere"  # threads that Python does not know: RocksDB's own
WAITING: Final = ("/selectors.py", "/threading.py", "/concurrent/futures/")

# A part, and what the path of a source file contains that belongs to it. The innermost frame that belongs to any part
# counts, so a hash or a codec costs the part that asked for it.
PARTS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("verify", ("/crypto/ed25519",)),
    ("coin", ("/crypto/bls", "/consensus/coin")),
    ("tree", ("/storage/tree/", "/storage/state.py")),
    ("disk", ("/storage/",)),
    ("mempool", ("/consensus/ledger/mempool", "/actors/mempool", "/consensus/batch", "/ledger/transactions")),
    ("ledger", ("/consensus/ledger/", "/actors/ledger", "/node/board.py", "/octra_node/board.py")),
    ("dag", ("/consensus/", "/actors/ordering")),
    ("rpc", ("/rpc/", "/uvicorn/", "/starlette/", "/node/facade.py", "/octra_node/facade.py")),
    ("network", ("/p2p/", "/asyncio/sslproto", "/ssl.py")),
    ("actors", ("/actors/",)),
    ("loop", ("/asyncio/",)),
    ("rest", ("",)),
    (ELSEWHERE, ()),
)
NAMES: Final = tuple(name for name, _ in PARTS)
_REST, _ELSEWHERE = NAMES.index("rest"), NAMES.index(ELSEWHERE)
_WAITS: Final = -1
_OTHERS: Final = 0  # no thread's name
_SLOT: Final = 8  # nanoseconds of a part


class Sampler:
    """Sums up samples of this process by part into `path`."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_SLOT * len(NAMES))
            self._sums = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self._known: dict[str, int | None] = {}
        self._clocks: dict[int, int] = {}  # of each thread, when it was last seen
        self._open: Counter[int] = Counter()  # of each thread: nanoseconds that no part has yet
        self._clock = time.process_time_ns()
        self._sampling = False

    def start(self) -> None:
        """Begin to sample; called once, on the main thread."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # system calls of other threads go on
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
        atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)  # without its handler the signal kills

    def _sample(self, _: int, interrupted: FrameType | None) -> None:
        if self._sampling:  # a signal in the middle of the last one's handler
            return
        self._sampling = True
        others, self._clock = -self._clock, time.process_time_ns()
        others += self._clock
        frames: dict[int, FrameType | None] = dict(sys._current_frames())
        frames[threading.get_ident()] = interrupted  # not our own: it would refer to itself, and to all below it
        for thread, frame in frames.items():
            clock = time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
            spent = max(0, clock - self._clocks.get(thread, clock))  # a name may be another thread's by now
            self._clocks[thread] = clock
            self._open[thread] += spent
            others -= spent
            part = self._part_in(frame)
            if part != _WAITS:  # else it counts where the thread is next seen at work
                self._sums[part] += self._open.pop(thread)
        self._open[_OTHERS] += others  # for moments below zero: a thread may run while the clocks are read
        if self._open[_OTHERS] > 0:
            self._sums[_ELSEWHERE] += self._open.pop(_OTHERS)
        self._sampling = False

    def _part_in(self, frame: FrameType | None) -> int:
        innermost = True
        while frame is not None:
            path = frame.f_code.co_filename
            if innermost and any(mark in path for mark in WAITING):
                return _WAITS
            innermost = False
            if path not in self._known:
                self._known[path] = part_of(path)
            if (part := self._known[path]) is not None:
                return part
            frame = frame.f_back
        return _REST


def part_of(path: str) -> int | None:
    """The number of the part that a source file belongs to, or None for one that serves whoever calls it."""
    return next((number for number, (_, marks) in enumerate(PARTS[:_REST]) if any(m in path for m in marks)), None)


def start_if_asked(directory: Path) -> None:
    """Sample when the environment says so, into the node's directory."""
    if os.environ.get(VARIABLE):
        Sampler(directory / FILE).start()


def read(directory: Path) -> dict[str, float]:
    """Seconds of each part so far, of the node in `directory`."""
    sums = memoryview((directory / FILE).read_bytes()).cast("Q")
    return {name: total / 1e9 for name, total in zip(NAMES, sums, strict=True)}
