"""Jobs that come while others are computed wait, and then share one run: together they cost less than apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from octra.codec import decode, encode
from octra.errors import InvalidInput, OctraError
from octra.node.actors.workers import Workers
from octra.node.evaluation import Evaluated, EvaluateTask, EvaluateTasks, KeyPlace, evaluate_jobs

JOBS_MAX = 8  # of one run: more would only make the first of them wait for the last


class EvaluationRefused(InvalidInput):
    """The operands of a job do not fit its circuit or the network's key."""


class JointRuns:
    """Evaluates jobs for one node; `spawn` starts a task that ends with the node."""

    def __init__(self, workers: Workers, key: KeyPlace, spawn: Callable[[Coroutine[None, None, None]], object]) -> None:
        self._workers, self._key, self._spawn = workers, key, spawn
        self._waiting: list[tuple[EvaluateTask, asyncio.Future[Evaluated]]] = []
        self._busy = False

    async def evaluate(self, task: EvaluateTask) -> Evaluated:
        """The result; raises `EvaluationRefused`, or what kept the worker from its run (`Unavailable`, `Corrupt`)."""
        result: asyncio.Future[Evaluated] = asyncio.get_running_loop().create_future()
        self._waiting.append((task, result))
        if not self._busy:
            self._busy = True
            self._spawn(self._run_all())
        return await result

    async def _run_all(self) -> None:
        """One run after the other until nothing waits."""
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:JOBS_MAX], self._waiting[JOBS_MAX:]
                await self._run([task for task, _ in taken], [result for _, result in taken])
        finally:
            self._busy = False

    async def _run(self, tasks: list[EvaluateTask], results: list[asyncio.Future[Evaluated]]) -> None:
        try:
            order = encode(EvaluateTasks(self._key, tuple(tasks)))
            answers = decode(await self._workers.run(evaluate_jobs, order), list[Evaluated])
        except OctraError as error:
            for result in results:
                if not result.done():
                    result.set_exception(error)
            return
        for result, answer in zip(results, answers, strict=True):
            if result.done():
                continue  # who asked has gone
            if answer.refused:
                result.set_exception(EvaluationRefused(answer.refused))
            else:
                result.set_result(answer)
