"""Runs plans: bootstraps of all jobs and levels that are ready share blocks, and the bytes never depend on how.

A bootstrap's result is a function of its form alone, and a form is an exact sum: so block size, number of threads and
the mix of jobs change the speed and nothing else. This is the only module of the package that uses threads.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from octra.crypto.hash import H
from octra.errors import InvalidInput, Unavailable
from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.encrypt import encrypt_zero
from octra.hfhe.noise import Form
from octra.hfhe.params import MU, Q
from octra.hfhe.plan import UNSALTED, Plan

BLOCK_MAX: Final = 64  # past that a block's accumulators leave the cache (measured)
CONTEXT_SIZE: Final = 32


class JobRejected(InvalidInput):
    """The job's inputs do not fit its plan or the executor's key."""

    oct_code = 8002

    def __init__(self, reason: str) -> None:
        super().__init__(f"job rejected: {reason}")
        self.reason = reason


class Cancelled(Unavailable):
    """The caller asked to stop; there is no partial result."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"cancelled after {done} of {total} bootstraps")
        self.done, self.total = done, total


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A plan with its input bits, [input_bits, M + 1]. `context` (32 bytes) names the job and salts its outputs."""

    plan: Plan
    inputs: U32Array
    context: bytes
    keep_steps: bool = False  # also return what every bootstrap gave, for evaluators that must prove their work


@dataclass(frozen=True, slots=True, eq=False)
class Completed:
    """Output bits [count, M + 1] in the order of the circuit, and all bootstraps in plan order if they were kept."""

    outputs: U32Array
    steps: U32Array | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """This job could not run; the others did."""

    error: InvalidInput


Result = Completed | Failed


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, after each block."""

    done: int
    total: int
    ready: int
    jobs_left: int


class Executor(Protocol):
    """Runs jobs that share one evaluation key; results in the order of the jobs."""

    def run(
        self,
        jobs: Sequence[Job],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Result, ...]: ...


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
        errors = [self._check(job) for job in jobs]
        runs = [_Run(job) for job, error in zip(jobs, errors, strict=True) if error is None]
        schedule = _Schedule(runs)
        report = on_progress or (lambda progress: None)
        stop = cancelled or (lambda: False)
        if self.threads == 1:
            self._run_alone(schedule, report, stop)
        else:
            self._run_threads(schedule, report, stop)
        finished = iter(runs)
        return tuple(next(finished).result() if error is None else Failed(error) for error in errors)

    def _run_alone(self, schedule: _Schedule, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
        while block := schedule.take(self.block_max):
            if stop():
                raise Cancelled(schedule.done, schedule.total)
            schedule.finish(block, self._bootstrap(block))
            report(schedule.progress())

    def _run_threads(self, schedule: _Schedule, report: Callable[[Progress], None], stop: Callable[[], bool]) -> None:
        working: dict[Future[U32Array], list[_Task]] = {}
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

    def _bootstrap(self, block: Sequence[_Task]) -> U32Array:
        forms = np.stack([run.form(run.job.plan.steps[step].form) for run, step in block])
        salted = [row for row, (run, step) in enumerate(block) if run.job.plan.steps[step].salt != UNSALTED]
        if salted:
            zeros = encrypt_zero(self.key.public, [_salt_seed(*block[row]) for row in salted])
            forms[salted] = (forms[salted].astype(np.uint64) + zeros) % Q
        return self.backend.bootstrap(self.key, forms)

    def _check(self, job: Job) -> InvalidInput | None:
        params, expected = self.key.params, (job.plan.input_bits, self.key.params.M + 1)
        if job.plan.set_id != params.set_id:
            return JobRejected(f"plan for parameter set {job.plan.set_id}, key of set {params.set_id}")
        if job.inputs.shape != expected or job.inputs.dtype != np.uint32:
            return JobRejected(f"inputs of shape {job.inputs.shape}, expected {expected}")
        if len(job.context) != CONTEXT_SIZE:
            return JobRejected(f"context of {len(job.context)} bytes, expected {CONTEXT_SIZE}")
        return None


def _salt_seed(run: _Run, step: int) -> bytes:
    """Same job, same salt, same bytes; another job has independent noise in its outputs."""
    plan = run.job.plan
    return H("octra.fhe.salt", run.job.context, plan.plan_id, plan.steps[step].salt.to_bytes(4, "little"))


@dataclass(slots=True, eq=False)
class _Run:
    """The state of one job: live sources, and for each step what it waits for and who waits for it."""

    job: Job
    values: dict[int, U32Array] = field(init=False)
    waiting: list[int] = field(init=False)
    users: dict[int, list[int]] = field(init=False)
    uses: dict[int, int] = field(init=False)
    urgency: list[int] = field(init=False)
    left: int = field(init=False)
    kept: U32Array | None = field(init=False)

    def __post_init__(self) -> None:
        plan, inputs = self.job.plan, self.job.plan.input_bits
        self.values = dict(enumerate(self.job.inputs))
        self.users, self.uses, self.left = {}, {}, len(plan.steps)
        self.kept = np.empty((len(plan.steps), self.job.inputs.shape[1]), np.uint32) if self.job.keep_steps else None
        for number, step in enumerate(plan.steps):
            for index, _ in step.terms:
                self.users.setdefault(index, []).append(number)
        for index, users in self.users.items():
            self.uses[index] = len(users)
        for form in plan.outputs:
            for index, _ in form.terms:
                self.uses[index] = self.uses.get(index, 0) + 1  # never given back: outputs live to the end
        self.waiting = [sum(index >= inputs for index, _ in step.terms) for step in plan.steps]
        self.urgency = [0] * len(plan.steps)  # bootstraps on the longest way from here to an output
        for number in range(len(plan.steps) - 1, -1, -1):
            followers = self.users.get(inputs + number, ())
            self.urgency[number] = 1 + max((self.urgency[user] for user in followers), default=0)

    def form(self, form: Form) -> U32Array:
        """The ciphertext of a form over live sources."""
        total = np.zeros(self.job.inputs.shape[1], np.int64)
        total[-1] = form.kappa * MU
        for index, coefficient in form.terms:
            total += coefficient * self.values[index].astype(np.int64)
        return (total % Q).astype(np.uint32)

    def finish(self, step: int, value: U32Array) -> list[int]:
        """Store a bootstrap's result, drop sources that nobody needs any more; returns the steps that are now ready."""
        source = self.job.plan.input_bits + step
        self.values[source] = value
        self.left -= 1
        if self.kept is not None:
            self.kept[step] = value
        for index, _ in self.job.plan.steps[step].terms:
            self.uses[index] -= 1
            if not self.uses[index]:
                del self.values[index]
        ready = []
        for user in self.users.get(source, ()):
            self.waiting[user] -= 1
            if not self.waiting[user]:
                ready.append(user)
        return ready

    def result(self) -> Completed:
        outputs = [self.form(form) for form in self.job.plan.outputs]
        return Completed(np.stack(outputs), self.kept)


_Task = tuple[_Run, int]


class _Schedule:
    """Steps that are ready, of all jobs: the longest way to an output first, then by job and step."""

    def __init__(self, runs: Sequence[_Run]) -> None:
        self.runs, self.done = runs, 0
        self.total = sum(run.left for run in runs)
        self.heap = [
            (-run.urgency[step], order, step)
            for order, run in enumerate(runs)
            for step, waiting in enumerate(run.waiting)
            if not waiting
        ]
        heapq.heapify(self.heap)
        self.order = {id(run): order for order, run in enumerate(runs)}

    @property
    def ready(self) -> int:
        return len(self.heap)

    def take(self, count: int) -> list[_Task]:
        """The most urgent steps, at most `count`."""
        tasks: list[_Task] = []
        while self.heap and len(tasks) < count:
            _, order, step = heapq.heappop(self.heap)
            tasks.append((self.runs[order], step))
        return tasks

    def finish(self, block: Sequence[_Task], values: U32Array) -> None:
        for (run, step), value in zip(block, values, strict=True):
            for user in run.finish(step, value):
                heapq.heappush(self.heap, (-run.urgency[user], self.order[id(run)], user))
        self.done += len(block)

    def progress(self) -> Progress:
        return Progress(self.done, self.total, self.ready, sum(run.left > 0 for run in self.runs))
