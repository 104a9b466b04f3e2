"""Runs plans on the machines of a Ray cluster; the extra `octra-node[ray]`, imported only by who asks for it.

    with RayExecutor(evaluation_key, address="head:6379") as executor:
        (result,) = executor.run([Job(plan, inputs, context)])

One actor per machine holds the expanded key; the seeded key travels once. Blocks of forms go out, bootstraps come back,
and since a bootstrap is a function of its form, the bytes are those of `LocalExecutor`. A block whose machine is lost
runs again elsewhere. One block in 64 is repeated on another machine and compared: that finds broken memory and wrong
kernels, not a machine that lies on purpose. Every machine needs this package installed in the same version.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from octra.errors import Corrupt, OctraError, Unavailable
from octra.hfhe import wire
from octra.hfhe.backend import PreparedKey, choose
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.errors import BackendUnavailable, KernelMismatch
from octra.hfhe.execute import BLOCK_MAX
from octra.hfhe.keys import EvaluationKey
from octra.hfhe.schedule import Cancelled, Job, Progress, Result, Schedule, Task, forms_of

REPEAT_EVERY: Final = 64  # of so many blocks one is computed twice: 1.6 % more work

Reference = Any  # ray is untyped: the promise of a value on some machine


class WorkersLost(Unavailable):
    """No machine is left that holds the key; `reason` is why the last one went."""

    oct_code = 8012

    def __init__(self, count: int, reason: str) -> None:
        super().__init__(f"none of {count} workers of the cluster is left: {reason}")
        self.count, self.reason = count, reason


class WorkerFailed(Corrupt):
    """A worker's arithmetic stopped it; the reason is its own."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(f"worker {worker}: {reason}")
        self.worker, self.reason = worker, reason


class Evaluator:
    """What runs on a machine of the cluster: the prepared key, and the kernel that fits the machine."""

    def __init__(self, key: bytes) -> None:
        self._backend = choose()
        # Whoever started the cluster chose the parameter set; here nothing is encrypted.
        decoded = wire.decode_evaluation_key(key, wire.Gate(allow_insecure=True))
        self._key = self._backend.prepare(decoded)

    def backend_name(self) -> str:
        """The kernel in use; the first answer tells that the key is ready."""
        return self._backend.name

    def bootstrap(self, forms: U32Array) -> U32Array:
        """[count, M + 1] to [count, M + 1]."""
        with _told_in_words():
            return self._backend.bootstrap(self._key, forms)

    def pack(self, bits: U32Array) -> U32Array:
        """[count, M + 1] to one ring ciphertext [k + 1, N]."""
        with _told_in_words():
            return self._backend.pack(self._key, bits)


@contextmanager
def _told_in_words() -> Iterator[None]:
    """Our errors carry facts and do not survive the way to another process; their text does."""
    try:
        yield
    except OctraError as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


@dataclass(frozen=True, slots=True, eq=False)
class Worker:
    """One actor: its machine, how many blocks it takes at once, its kernel."""

    name: str
    threads: int
    backend: str
    actor: Any  # an actor's methods are made at run time


@dataclass(slots=True, eq=False)
class _Sent:
    """A block under way. `expected` is set when it is a repetition: what another machine gave."""

    worker: Worker
    block: list[Task]
    forms: U32Array
    repeat: bool = False
    expected: U32Array | None = None


class RayExecutor:
    """An `Executor` over a cluster; also packs. `address` None starts a cluster of this machine alone.

    Raises `BackendUnavailable` without Ray or cluster, `WorkersLost`, `KernelMismatch`, `WorkerFailed`.
    """

    def __init__(
        self,
        key: EvaluationKey,
        *,
        address: str | None = None,
        per_machine: int = 1,
        block_max: int = BLOCK_MAX,
        repeat_every: int = REPEAT_EVERY,
    ) -> None:
        self.key, self.block_max, self.repeat_every = key, block_max, repeat_every
        self._ray, self._ours = _connected(address)
        self.workers: tuple[Worker, ...] = ()
        self._started, self._blocks, self._last_loss = 0, 0, "no machine has cores to offer"
        self._start(per_machine)

    @property
    def threads(self) -> int:
        """Blocks that the cluster computes at once."""
        return sum(worker.threads for worker in self.workers)

    def run(
        self,
        jobs: Sequence[Job],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Result, ...]:
        """Results in the order of the jobs, after all comparisons."""
        schedule, sent = Schedule(jobs, self.key.params), dict[Reference, _Sent]()
        while True:
            self._send_ready(schedule, sent)
            if not sent:
                return schedule.results()
            done, _ = self._ray.wait(list(sent), num_returns=1)
            for reference in done:
                self._receive(schedule, sent, reference)
            if on_progress:
                on_progress(schedule.progress())
            if cancelled and cancelled():
                raise Cancelled(schedule.done, schedule.total)

    def pack(self, key: PreparedKey, bits: U32Array) -> U32Array:
        """At most N bits as one ring ciphertext, packed by any machine under this executor's key."""
        assert key.public.key_id == self.key.key_id
        while True:
            worker = self._workers_left()[0]
            packed: U32Array | None = self._value(worker.actor.pack.remote(bits), worker)
            if packed is not None:
                return packed

    def close(self) -> None:
        """Frees the keys on all machines; ends the cluster if this executor started it."""
        for worker in self.workers:
            self._ray.kill(worker.actor)
        self.workers = ()
        if self._ours:
            self._ray.shutdown()
            self._ours = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, per_machine: int) -> None:
        """One actor, or `per_machine`, on each machine that has cores to offer; returns when all hold the key."""
        strategies = self._ray.util.scheduling_strategies
        content = self._ray.put(wire.encode_evaluation_key(self.key))
        starting = []
        for node in self._ray.nodes():
            cores = int(node["Resources"].get("CPU", 0)) if node["Alive"] else 0
            threads = max(1, cores // per_machine)
            for number in range(per_machine if cores else 0):
                actor_type = self._ray.remote(
                    num_cpus=0,  # a cluster that is busy with other work must not make us wait forever
                    max_concurrency=threads,
                    scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                )(Evaluator)
                actor = actor_type.remote(content)
                starting.append((f"{node['NodeManagerAddress']}/{number}", threads, actor, actor.backend_name.remote()))
        self._started, workers = len(starting), []
        for name, threads, actor, answer in starting:
            backend = self._value(answer, Worker(name, threads, "", actor))
            if backend is not None:
                workers.append(Worker(name, threads, backend, actor))
        self.workers = tuple(workers)
        self._workers_left()

    def _send_ready(self, schedule: Schedule, sent: dict[Reference, _Sent]) -> None:
        """Fill the free places: what is ready is shared among them, as among local threads."""
        busy = Counter(block.worker.name for block in sent.values())
        free = [worker for worker in self.workers for _ in range(worker.threads - busy[worker.name])]
        while free and schedule.ready:
            block = schedule.take(min(self.block_max, -(-schedule.ready // len(free))))
            repeat = self._blocks % self.repeat_every == 0
            self._blocks += 1
            self._send(sent, _Sent(free.pop(0), block, forms_of(block, self.key.public), repeat))

    def _send(self, sent: dict[Reference, _Sent], block: _Sent) -> None:
        sent[block.worker.actor.bootstrap.remote(block.forms)] = block

    def _receive(self, schedule: Schedule, sent: dict[Reference, _Sent], reference: Reference) -> None:
        block = sent.pop(reference)
        values = self._value(reference, block.worker)
        if block.expected is not None:
            if values is None:  # the second machine is gone: ask a third, if there is one
                self._repeat(sent, block, block.expected)
            elif not np.array_equal(values, block.expected):
                raise KernelMismatch(f"of worker {block.worker.name}", "a block that was computed twice")
            return
        if values is None:
            self._workers_left()
            schedule.put_back(block.block)
            return
        schedule.finish(block.block, values)
        if block.repeat:
            self._repeat(sent, block, values)

    def _repeat(self, sent: dict[Reference, _Sent], first: _Sent, values: U32Array) -> None:
        others = [worker for worker in self.workers if worker is not first.worker]
        if others:
            other = others[self._blocks % len(others)]
            self._send(sent, _Sent(other, first.block, first.forms, expected=values))

    def _value(self, reference: Reference, worker: Worker) -> Any:
        """The value, or None when its machine is gone, which is then asked no more."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (errors.RayActorError, errors.ObjectLostError, errors.WorkerCrashedError) as error:
            self.workers = tuple(other for other in self.workers if other is not worker)
            self._last_loss = next(iter(str(error).splitlines()), type(error).__name__)
            return None
        except errors.RayError as error:
            raise WorkerFailed(worker.name, str(getattr(error, "cause", error))) from error

    def _workers_left(self) -> tuple[Worker, ...]:
        if not self.workers:
            raise WorkersLost(self._started, self._last_loss)
        return self.workers


def _connected(address: str | None) -> tuple[Any, bool]:  # Any: the module is untyped
    """The module, connected; and whether this process has to end the cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise BackendUnavailable("ray", "not installed: pip install octra-node[ray]") from error
    if ray.is_initialized():
        return ray, False
    own = {"include_dashboard": False} if address is None else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendUnavailable("ray", f"no cluster at {address}: {reason}") from error
    return ray, address is None
