"""Where a node's processor time goes, by sampling: off unless the environment has `OCTRA_CPU_SAMPLES`.

Every 10 ms of processor time the kernel interrupts the process; the handler looks which parts of the program its
threads are in, leaves out those that wait, and shares the 10 ms among the rest. The sums are a file in the node's
directory, mapped into memory, so that a benchmark reads them while the node runs. A sample costs some ten microseconds.
"""

from __future__ import annotations

import atexit
import mmap
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Final

VARIABLE: Final = "OCTRA_CPU_SAMPLES"
FILE: Final = "cpu.samples"
INTERVAL_S: Final = 0.01
ELSEWHERE: Final = "elsewhere"  # every Python thread was waiting: RocksDB's own threads, or the kernel
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
_WHOLE: Final = 60  # a sample: divides by as many threads as are ever busy at once
_SLOT: Final = 8


class Sampler:
    """Sums up samples of this process by part into `path`."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_SLOT * len(NAMES))
            self._sums = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self._known: dict[str, int | None] = {}

    def start(self) -> None:
        """Begin to sample; called once, on the main thread."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # system calls of other threads go on
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
        atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)  # without its handler the signal kills

    def _sample(self, _: int, interrupted: FrameType | None) -> None:
        own = threading.get_ident()
        frames = [interrupted if thread == own else frame for thread, frame in sys._current_frames().items()]
        busy = [part for part in map(self._part_in, frames) if part != _WAITS] or [_ELSEWHERE]
        for part in busy:
            self._sums[part] += _WHOLE // len(busy)

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
    return {name: total / _WHOLE * INTERVAL_S for name, total in zip(NAMES, sums, strict=True)}
