"""Which bootstraps of which jobs are ready, and their forms: the state of a run, without threads or machines.

Executors take blocks of ready steps, bootstrap their forms wherever they like, and hand the results back.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from octra.crypto.hash import H
from octra.errors import InvalidInput, Unavailable
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.encrypt import encrypt_zero
from octra.hfhe.keys import PublicKey
from octra.hfhe.noise import Form
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.plan import UNSALTED, Plan

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


def check(job: Job, params: ParameterSet) -> InvalidInput | None:
    """Why the job cannot run under a key of this set, or None."""
    expected = (job.plan.input_bits, params.M + 1)
    if job.plan.set_id != params.set_id:
        return JobRejected(f"plan for parameter set {job.plan.set_id}, key of set {params.set_id}")
    if job.inputs.shape != expected or job.inputs.dtype != np.uint32:
        return JobRejected(f"inputs of shape {job.inputs.shape}, expected {expected}")
    if len(job.context) != CONTEXT_SIZE:
        return JobRejected(f"context of {len(job.context)} bytes, expected {CONTEXT_SIZE}")
    return None


def forms_of(block: Sequence[Task], public: PublicKey) -> U32Array:
    """The ciphertexts [len(block), M + 1] that the steps of a block bootstrap, salts of sealed outputs added."""
    forms = np.stack([run.form(run.job.plan.steps[step].form) for run, step in block])
    salted = [row for row, (run, step) in enumerate(block) if run.job.plan.steps[step].salt != UNSALTED]
    if salted:
        zeros = encrypt_zero(public, [_salt_seed(*block[row]) for row in salted])
        forms[salted] = (forms[salted].astype(np.uint64) + zeros) % Q
    return forms


def _salt_seed(run: Run, step: int) -> bytes:
    """Same job, same salt, same bytes; another job has independent noise in its outputs."""
    plan = run.job.plan
    return H("octra.fhe.salt", run.job.context, plan.plan_id, plan.steps[step].salt.to_bytes(4, "little"))


@dataclass(slots=True, eq=False)
class Run:
    """The state of one job: live sources, and for each step what it waits for and who waits for it.

    Memory is bounded by what is live: a bootstrap's result, 4 (M + 1) bytes, is dropped when its last user has run.
    Only outputs live to the end, and all results where the job keeps its steps.
    """

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
        self.values[source] = value.copy()  # a row of its own: a view would keep its whole block alive
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


Task = tuple[Run, int]


class Schedule:
    """Steps that are ready, of all jobs that fit: the longest way to an output first, then by job and step."""

    def __init__(self, jobs: Sequence[Job], params: ParameterSet) -> None:
        self.errors = [check(job, params) for job in jobs]
        self.runs = [Run(job) for job, error in zip(jobs, self.errors, strict=True) if error is None]
        self.done, self.total = 0, sum(run.left for run in self.runs)
        self.heap = [
            (-run.urgency[step], order, step)
            for order, run in enumerate(self.runs)
            for step, waiting in enumerate(run.waiting)
            if not waiting
        ]
        heapq.heapify(self.heap)
        self.order = {id(run): order for order, run in enumerate(self.runs)}

    @property
    def ready(self) -> int:
        """How many steps could be taken now."""
        return len(self.heap)

    def take(self, count: int) -> list[Task]:
        """The most urgent steps, at most `count`."""
        tasks: list[Task] = []
        while self.heap and len(tasks) < count:
            _, order, step = heapq.heappop(self.heap)
            tasks.append((self.runs[order], step))
        return tasks

    def put_back(self, block: Sequence[Task]) -> None:
        """Make a taken block ready again: whoever had it is gone."""
        for run, step in block:
            heapq.heappush(self.heap, (-run.urgency[step], self.order[id(run)], step))

    def finish(self, block: Sequence[Task], values: U32Array) -> None:
        """Store the results of a taken block; steps that waited for them become ready."""
        for (run, step), value in zip(block, values, strict=True):
            for user in run.finish(step, value):
                heapq.heappush(self.heap, (-run.urgency[user], self.order[id(run)], user))
        self.done += len(block)

    def progress(self) -> Progress:
        """How far all jobs are."""
        return Progress(self.done, self.total, self.ready, sum(run.left > 0 for run in self.runs))

    def results(self) -> tuple[Result, ...]:
        """Of each job in order: its outputs, or why it could not run. Only when nothing is left."""
        finished = iter(self.runs)
        return tuple(next(finished).result() if error is None else Failed(error) for error in self.errors)
