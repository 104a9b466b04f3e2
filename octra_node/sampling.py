"""Where a node's processor time goes, by sampling: off unless the environment has `OCTRA_CPU_SAMPLES`.

Every 10 ms of processor time the kernel interrupts the process; the handler looks which part of the program the main
thread is in and adds one to that part's counter. The counters are a file in the node's directory, mapped into memory,
so that a benchmark reads them while the node runs. A sample costs some microseconds: a tenth of a percent.
"""

from __future__ import annotations

import mmap
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

VARIABLE: Final = "OCTRA_CPU_SAMPLES"
FILE: Final = "cpu.samples"
INTERVAL_S: Final = 0.01
OTHER_THREADS: Final = "other threads"  # the main thread was waiting: libp2p, the writer, RocksDB

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
    (OTHER_THREADS, ("/selectors.py",)),
    ("loop", ("/asyncio/",)),
    ("rest", ("",)),
)
NAMES: Final = tuple(name for name, _ in PARTS)
_SLOT: Final = 8


class Sampler:
    """Counts samples of this process by part into `path`."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(_SLOT * len(NAMES))
            self._counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self._known: dict[str, int | None] = {}

    def start(self) -> None:
        """Begin to sample; called once, on the main thread."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # system calls of other threads go on
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            path = frame.f_code.co_filename
            part = self._known.get(path, -1)
            if part == -1:
                part = self._known[path] = part_of(path)
            if part is not None:
                self._counts[part] += 1
                return
            frame = frame.f_back
        self._counts[len(NAMES) - 1] += 1


def part_of(path: str) -> int | None:
    """The number of the part that a source file belongs to, or None for one that serves whoever calls it."""
    for number, (_, marks) in enumerate(PARTS[:-1]):
        if any(mark in path for mark in marks):
            return number
    return None


def start_if_asked(directory: Path) -> None:
    """Sample when the environment says so, into the node's directory."""
    if os.environ.get(VARIABLE):
        Sampler(directory / FILE).start()


def read(directory: Path) -> dict[str, float]:
    """Seconds of each part so far, of the node in `directory`."""
    counts = memoryview((directory / FILE).read_bytes()).cast("Q")
    return {name: count * INTERVAL_S for name, count in zip(NAMES, counts, strict=True)}
