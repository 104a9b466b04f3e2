"""Runs plans on this machine: bootstraps of all jobs and levels that are ready share blocks.

A bootstrap's result is a function of its form alone, and a form is an exact sum: so block size, number of threads and
the mix of jobs change the speed and never a byte. This is the only module of the package that uses threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.schedule import (
    Cancelled,
    Completed,
    Executor,
    Failed,
    Job,
    JobRejected,
    Progress,
    Result,
    Schedule,
    Task,
    forms_of,
)

__all__ = [
    "BLOCK_MAX", "Cancelled", "Completed", "Executor", "Failed", "Job", "JobRejected", "LocalExecutor", "Progress",
    "Result",
]  # fmt: skip

BLOCK_MAX: Final = 64  # past that a block's accumulators leave the cache (measured)


class LocalExecutor:
    """Runs on this machine's cores. Threads share the key and split the work by blocks, never a rotation."""

    def __init__(self, backend: Backend, key: PreparedKey, *, threads: int | None = None, block_max: int = BLOCK_MAX):
        assert block_max >= 1
        self.backend, self.key, self.block_max = backend, key, block_max
        self.threads = len(os.sched_getaffinity(0)) if threads is None else threads

    def run(
        self,
        jobs: Sequence[Job],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Result, ...]:
        """Results in the order of the jobs; raises `Cancelled`, and what stops a node (`Corrupt`)."""
        schedule = Schedule(jobs, self.key.params)
        report = on_progress or (lambda progress: None)
        stop = cancelled or (lambda: False)
        if self.threads == 1:
            self._run_alone(schedule, report, stop)
        else:
            self._run_threads(schedule, report, stop)
        return schedule.results()

    def _run_alone(self, schedule: Schedule, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
        while block := schedule.take(self.block_max):
            if stop():
                raise Cancelled(schedule.done, schedule.total)
            schedule.finish(block, self._bootstrap(block))
            report(schedule.progress())

    def _run_threads(self, schedule: Schedule, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
        working: dict[Future[U32Array], list[Task]] = {}
        with ThreadPoolExecutor(self.threads) as pool:
            while True:
                # What is ready is shared among the threads that are free, so that none waits for another's large block.
                while len(working) < self.threads:
                    share = -(-schedule.ready // (self.threads - len(working)))
                    block = schedule.take(min(self.block_max, share))
                    if not block:
                        break
                    working[pool.submit(self._bootstrap, block)] = block
                if not working:
                    return
                for future in wait(working, return_when=FIRST_COMPLETED).done:
                    schedule.finish(working.pop(future), future.result())
                    report(schedule.progress())
                if stop():
                    raise Cancelled(schedule.done, schedule.total)

    def _bootstrap(self, block: Sequence[Task]) -> U32Array:
        return self.backend.bootstrap(self.key, forms_of(block, self.key.public))
