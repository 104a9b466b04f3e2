"""Evaluations that wait for one another share a run, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from octra.codec import decode
from octra.consensus.ledger.records import Circuit
from octra.crypto.hash import H
from octra.hfhe import params, wire
from octra.hfhe.threshold import dealer
from octra.node.actors.joint import EvaluationRefused, JointRuns
from octra.node.actors.workers import InlineWorkers, Work
from octra.node.evaluation import Evaluated, EvaluateTask, EvaluateTasks, KeyPlace


class CountingWorkers(InlineWorkers):
    """The real work, one run after the other; says how many jobs each run had."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    async def run(self, work: Work, task: bytes) -> bytes:
        self.runs.append(len(decode(task, EvaluateTasks).jobs))
        await asyncio.sleep(0.01)  # others may come meanwhile
        return await super().run(work, task)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> KeyPlace:
    key = dealer.deal(params.get("TEST", allow_insecure=True), b"\x07" * 32, 4)
    data, path = wire.encode_evaluation_key(key.evaluation), tmp_path_factory.mktemp("key") / "evaluation.key"
    path.write_bytes(data)
    return KeyPlace(str(path), H("octra.fhe.eval", data), "TEST", 128, True, 1)


def add(job: int, one: int, other: int) -> EvaluateTask:
    return EvaluateTask(int(Circuit.CREDIT), (one, other), bytes([job]) * 32, b"n" * 32)


def evaluate(place: KeyPlace, workers: CountingWorkers, tasks: list[EvaluateTask]) -> list[Any]:
    """What came of tasks that are all asked for at once."""

    async def run() -> list[Any]:
        runs = JointRuns(workers, place, asyncio.ensure_future)
        return await asyncio.gather(*(runs.evaluate(task) for task in tasks), return_exceptions=True)

    return asyncio.run(run())


def test_jobs_that_come_together_share_a_run_and_give_the_bytes_that_each_gives_alone(place: KeyPlace) -> None:
    workers, tasks = CountingWorkers(), [add(1, 5, 6), add(2, 7, 8)]
    together = evaluate(place, workers, tasks)
    assert workers.runs == [2]
    assert together == [evaluate(place, CountingWorkers(), [task])[0] for task in tasks]
    assert all(isinstance(one, Evaluated) for one in together)


def test_a_job_whose_operands_do_not_fit_stops_no_other(place: KeyPlace) -> None:
    refused, done = evaluate(place, CountingWorkers(), [add(3, 1 << 50, 6), add(4, 7, 8)])
    assert isinstance(refused, EvaluationRefused)
    assert isinstance(done, Evaluated)


def test_a_key_file_that_is_not_the_one_of_genesis_fails_every_job_of_the_run(place: KeyPlace) -> None:
    other = KeyPlace(place.path, bytes(32), "TEST", 128, True, 1)
    outcomes = evaluate(other, CountingWorkers(), [add(5, 1, 2), add(6, 3, 4)])
    assert [type(outcome).__name__ for outcome in outcomes] == ["WrongEvaluationKey"] * 2


def test_at_most_eight_jobs_share_a_run(place: KeyPlace) -> None:
    workers = CountingWorkers()
    evaluate(place, workers, [add(10 + number, 1 << 50, 0) for number in range(11)])  # refused before any work
    assert workers.runs == [8, 3]
