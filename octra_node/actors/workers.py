"""Where CPU work over 20 ms goes: bytes in, bytes out, in the same order of results as of calls."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from octra.errors import Unavailable

NICENESS = 5  # of a worker: where cores are few, agreeing on blocks goes before computing on ciphertexts

Work = Callable[[bytes], bytes]  # a plain function at module level: another process imports it by name


class WorkerLost(Unavailable):
    """The process that had the task died; the task may be given again, since work has no side effect."""


class Workers(Protocol):
    """Runs pure functions somewhere else."""

    async def run(self, work: Work, task: bytes) -> bytes: ...
    async def stop(self) -> None: ...


class InlineWorkers:
    """Runs at once on the caller's loop: for tests and simulations."""

    async def run(self, work: Work, task: bytes) -> bytes:
        return work(task)

    async def stop(self) -> None:
        return


class ProcessWorkers:
    """Runs in `count` other processes, started with the first task."""

    def __init__(self, count: int) -> None:
        assert count >= 1
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, work: Work, task: bytes) -> bytes:
        """The result of `work(task)`; raises `WorkerLost` if its process dies."""
        if self._pool is None:
            # Spawn: a forked child would share our threads' locks and open stores.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._count, context, initializer=_begin)
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, task)
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = None
                pool.shutdown(wait=False)
            raise WorkerLost("a worker process died") from error

    async def stop(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """A killed node leaves no worker behind: without this a worker waits for tasks for ever."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    os.nice(NICENESS)
