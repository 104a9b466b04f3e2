"""`CircleEngine` for nodes: calls run in confined child processes, and nothing that happens to one changes a result.

A worker that crashes, stalls or talks nonsense is killed and its calls run again in a new one, at last under the
engine's interpreter. Only when all fail is the answer `ExecutorUnavailable`; it is never a verdict on a call.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from octra.circles import limits
from octra.circles.engine import Backend
from octra.circles.errors import ExecutorUnavailable, InvalidModule
from octra.circles.wire import (
    Channel,
    Check,
    Checked,
    Code,
    Done,
    Execute,
    Outcome,
    Preparing,
    ReadCode,
    ReadKey,
    ReadRows,
    Ready,
    Refused,
    Report,
    Rows,
    Trouble,
    Value,
)
from octra.consensus.ports import CallOutcome, CircleCall, CircleView
from octra.crypto.hash import H

_ATTEMPTS: tuple[Backend, ...] = ("cranelift", "cranelift", "pulley")


class WorkerProcess:
    """One child process and the socket to it."""

    def __init__(self, backend: Backend, stall_seconds: float) -> None:
        self.backend = backend
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "octra.circles.worker", str(theirs.fileno()), backend],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for the node, which ends its workers itself
            )
        self.channel: Channel[Report] = Channel(ours, Report)
        self.channel.be_patient(limits.WORKER_START_SECONDS)
        try:
            first = self.channel.receive()
            if not isinstance(first, Ready):
                raise ExecutorUnavailable(first.reason if isinstance(first, Trouble) else "a worker did not start")
        except BaseException:
            self.kill()
            raise
        self.channel.be_patient(stall_seconds)

    def kill(self) -> None:
        """Ends the process at once and collects it."""
        self.channel.close()
        self.process.kill()
        self.process.wait()

    @property
    def worn(self) -> bool:
        """Has it ended, or grown so large that a new one is due?"""
        if self.process.poll() is not None:
            return True
        try:
            with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
                resident = int(file.read().split()[1])
        except OSError:
            return True
        return resident * os.sysconf("SC_PAGESIZE") > limits.WORKER_RESIDENT_MAX


@dataclass(slots=True)
class _Task:
    """Calls for one worker, where they stand in the whole, and what has been answered."""

    lane: int
    calls: list[CircleCall] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    outcomes: list[CallOutcome] = field(default_factory=list)
    preparing: bool = False  # its worker compiles a module, which may take long
    finished: bool = False


class ExecutorPool:
    """A few workers for execution and one for views; started when first needed, replaced when broken or worn."""

    def __init__(self, workers: int = 1, stall_seconds: float = limits.STALL_SECONDS) -> None:
        assert workers >= 1
        self._stall_seconds = stall_seconds
        self._view_lane = workers
        self._workers: list[WorkerProcess | None] = [None] * (workers + 1)
        self._execution, self._viewing = threading.Lock(), threading.Lock()

    def start(self) -> None:
        """Starts all workers now, so that a machine whose engine fails the self-test says so at once."""
        with self._execution, self._viewing:
            for lane in range(len(self._workers)):
                self._worker(lane, "cranelift")

    def check(self, code: bytes) -> int:
        """Size of the metered code; raises `InvalidModule`."""
        with self._execution:
            return self._check(code)

    def execute(self, calls: Sequence[CircleCall], view: CircleView) -> Sequence[CallOutcome]:
        """Outcomes in the order of the calls. Calls of one Circle stay in order on one worker."""
        with self._execution:
            tasks = [_Task(lane) for lane in range(self._view_lane)]
            for position, call in enumerate(calls):
                task = tasks[_favourite(call.circle, self._view_lane)]
                task.calls.append(call)
                task.positions.append(position)
            return self._run(tasks, view, len(calls))

    def query(self, call: CircleCall, view: CircleView) -> CallOutcome:
        """A view's outcome; nothing is written, whatever the flag in `call` says."""
        with self._viewing:
            task = _Task(self._view_lane, [msgspec.structs.replace(call, view=True)], [0])
            return self._run([task], view, 1)[0]

    def process_ids(self) -> list[int]:
        """Of the running workers, execution first."""
        return [worker.process.pid for worker in self._workers if worker is not None]

    def close(self) -> None:
        """Ends all workers."""
        with self._execution, self._viewing:
            for lane in range(len(self._workers)):
                self._drop(lane)

    def __enter__(self) -> ExecutorPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, tasks: list[_Task], view: CircleView, count: int) -> list[CallOutcome]:
        reason = ""
        for backend in _ATTEMPTS:
            waiting = [task for task in tasks if task.calls and not task.finished]
            if not waiting:
                break
            reason = self._attempt(waiting, view, backend) or reason
        if any(task.calls and not task.finished for task in tasks):
            raise ExecutorUnavailable(reason)
        outcomes: dict[int, CallOutcome] = {}
        for task in tasks:
            outcomes.update(zip(task.positions, task.outcomes, strict=True))
        return [outcomes[position] for position in range(count)]

    def _attempt(self, tasks: list[_Task], view: CircleView, backend: Backend) -> str:
        """Runs the tasks side by side; those that fail stay unfinished. Returns the last failure's reason."""
        reason = ""
        talking: dict[int, _Task] = {}
        with selectors.DefaultSelector() as selector:
            try:
                for task in tasks:
                    task.outcomes.clear()
                    task.preparing = False
                    try:
                        worker = self._worker(task.lane, backend)
                        worker.channel.send(Execute.of(task.calls))
                    except ExecutorUnavailable as error:
                        reason = error.reason
                        self._drop(task.lane)
                        continue
                    selector.register(worker.channel, selectors.EVENT_READ, task)
                    talking[task.lane] = task
                while talking:
                    compiling = any(task.preparing for task in talking.values())
                    ready = selector.select(limits.PREPARE_SECONDS if compiling else self._stall_seconds)
                    if not ready:
                        reason = "the worker processes stalled"
                        break
                    for key, _ in ready:
                        task = key.data
                        try:
                            ended = self._answer_all(task, view)
                        except ExecutorUnavailable as error:
                            reason = error.reason
                            selector.unregister(key.fileobj)
                            self._drop(task.lane)
                            del talking[task.lane]
                            continue
                        if ended:
                            selector.unregister(key.fileobj)
                            del talking[task.lane]
            finally:
                # Also when the view fails: a worker in the middle of a conversation cannot be used again.
                for lane in talking:
                    self._drop(lane)
        return reason

    def _answer_all(self, task: _Task, view: CircleView) -> bool:
        """Takes what the task's worker has sent; True when its calls are done."""
        worker = self._workers[task.lane]
        assert worker is not None
        while not self._answer(task, worker, view):
            if not worker.channel.has_waiting:
                return False
        return True

    def _answer(self, task: _Task, worker: WorkerProcess, view: CircleView) -> bool:
        """Takes one report; True when it was the last."""
        report = worker.channel.receive()
        task.preparing = isinstance(report, Preparing)
        match report:
            case Preparing():
                pass
            case ReadKey():
                self._own(task, report.circle)
                worker.channel.send(Value(view.get(report.circle, report.key)))
            case ReadRows():
                self._own(task, report.circle)
                limit = min(report.limit, limits.WORKER_SCAN_PAGE)
                worker.channel.send(Rows(tuple(view.scan(report.circle, report.start, report.end, limit))))
            case ReadCode():
                worker.channel.send(Code(view.code(report.code_hash)))
            case Outcome():
                task.outcomes.append(report.outcome)
            case Done() if len(task.outcomes) == len(task.calls):
                task.finished = True
            case Trouble():
                raise ExecutorUnavailable(report.reason)
            case Done() | Ready() | Checked() | Refused():
                raise ExecutorUnavailable("a worker process answered out of turn")
            case _:
                assert_never(report)
        return task.finished

    @staticmethod
    def _own(task: _Task, circle: bytes) -> None:
        """A worker reads only the Circles whose calls it was given: a broken-out guest learns nothing else."""
        if all(call.circle != circle for call in task.calls):
            raise ExecutorUnavailable("a worker process asked for another Circle's state")

    def _check(self, code: bytes) -> int:
        reason = ""
        for backend in _ATTEMPTS:
            try:
                worker = self._worker(0, backend)
                worker.channel.be_patient(limits.PREPARE_SECONDS)
                worker.channel.send(Check(code))
                report = worker.channel.receive()
                worker.channel.be_patient(self._stall_seconds)
            except ExecutorUnavailable as error:
                reason = error.reason
                self._drop(0)
                continue
            if isinstance(report, Checked):
                return report.size
            if isinstance(report, Refused):
                raise InvalidModule(report.rule, report.function, report.offset, report.detail)
            reason = report.reason if isinstance(report, Trouble) else "a worker process answered out of turn"
            self._drop(0)
        raise ExecutorUnavailable(reason)

    def _worker(self, lane: int, backend: Backend) -> WorkerProcess:
        worker = self._workers[lane]
        if worker is not None and (worker.backend != backend or worker.worn):
            self._drop(lane)
            worker = None
        if worker is None:
            worker = self._workers[lane] = WorkerProcess(backend, self._stall_seconds)
        return worker

    def _drop(self, lane: int) -> None:
        worker, self._workers[lane] = self._workers[lane], None
        if worker is not None:
            worker.kill()


def _favourite(circle: bytes, lanes: int) -> int:
    """The lane where this Circle's module is likely compiled already (rendezvous hashing)."""
    return max(range(lanes), key=lambda lane: H("octra.c.worker", circle, bytes((lane,))))
