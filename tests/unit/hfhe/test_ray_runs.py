"""Plans on a cluster of two machines (two Ray nodes here): the bytes of a local run, whatever happens to a machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from octra.hfhe import execute_ray, params
from octra.hfhe.backend import Backend, PreparedKey, choose
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.encrypted import bind, decrypt_words, encrypt_words, pack_outputs
from octra.hfhe.errors import BackendUnavailable, KernelMismatch
from octra.hfhe.execute import Cancelled, Completed, Failed, Job, LocalExecutor, Progress
from octra.hfhe.execute_ray import Evaluator, RayExecutor, WorkerFailed, WorkersLost
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.planner import make_plan
from octra.hfhe.tracing import circuit
from octra.hfhe.words import U16


@circuit
def product(a: U16, b: U16) -> U16:
    return a * b


@dataclass(frozen=True)
class Bench:
    """Keys of set TEST, and a job of 361 bootstraps with what a local run makes of it."""

    secret: SecretKey
    key: EvaluationKey
    backend: Backend
    prepared: PreparedKey
    job: Job
    local: Completed


@pytest.fixture(scope="module")
def bench() -> Bench:
    secret = SecretKey.generate(params.TEST, bytes(32))
    key = EvaluationKey.generate(secret, bytes(32))
    backend = choose()
    prepared = backend.prepare(key)
    words = encrypt_words(key.public, [("u16", 300), ("u16", 77)], bytes([1]) * 32)
    graph, inputs, context = bind(product.graph, {"a": words.word(0), "b": words.word(1)}, key)
    job = Job(make_plan(graph, params.TEST), inputs, context)
    (local,) = LocalExecutor(backend, prepared, threads=1).run([job])
    assert isinstance(local, Completed)
    return Bench(secret, key, backend, prepared, job, local)


@pytest.fixture
def machines() -> Iterator[Any]:
    """A cluster of two machines with one core each; `machines.lose()` pulls the plug of one."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.lose = lambda: cluster.remove_node(second, allow_graceful=False)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def after(done: int, action: Callable[[], object]) -> Callable[[Progress], None]:
    """A progress callback that acts once, when so many bootstraps are done."""
    acted: list[object] = []

    def report(progress: Progress) -> None:
        if progress.done >= done and not acted:
            acted.append(action())

    return report


@pytest.mark.long
def test_a_cluster_gives_the_bytes_of_a_local_run(bench: Bench, machines: Any) -> None:
    rejected = Job(bench.job.plan, bench.job.inputs[:-1], bench.job.context)
    other = Job(bench.job.plan, bench.job.inputs, bytes(32))
    (other_local,) = LocalExecutor(bench.backend, bench.prepared, threads=1).run([other])
    seen: list[Progress] = []
    with RayExecutor(bench.key, repeat_every=3) as executor:
        assert [worker.threads for worker in executor.workers] == [1, 1]
        first, refused, second = executor.run([bench.job, rejected, other], on_progress=seen.append)
        assert isinstance(first, Completed)
        assert isinstance(second, Completed)
        assert isinstance(refused, Failed)
        assert np.array_equal(first.outputs, bench.local.outputs)
        assert isinstance(other_local, Completed)
        assert np.array_equal(second.outputs, other_local.outputs)
        assert not np.array_equal(first.outputs, second.outputs)
        assert seen[-1].done == seen[-1].total == 2 * bench.job.plan.bootstraps
        words = pack_outputs(executor, bench.key, bench.job.plan, first.outputs)
    local = pack_outputs(bench.backend, bench.prepared, bench.job.plan, bench.local.outputs)
    assert words.encode() == local.encode()
    assert decrypt_words(bench.secret, words, bench.key.key_id)[0] == (300 * 77,)


@pytest.mark.long
def test_a_machine_lost_in_the_middle_costs_time_and_nothing_else(bench: Bench, machines: Any) -> None:
    with RayExecutor(bench.key, block_max=4, repeat_every=2) as executor:
        (result,) = executor.run([bench.job], on_progress=after(100, machines.lose))
        assert len(executor.workers) == 1
        assert isinstance(result, Completed)
        assert np.array_equal(result.outputs, bench.local.outputs)


@pytest.mark.long
def test_a_killed_worker_leaves_its_block_to_the_others(bench: Bench, machines: Any) -> None:
    import ray

    with RayExecutor(bench.key, per_machine=2, block_max=4) as executor:
        assert len(executor.workers) == 4
        victim = executor.workers[0].actor
        (result,) = executor.run([bench.job], on_progress=after(50, lambda: ray.kill(victim)))
        assert isinstance(result, Completed)
        assert np.array_equal(result.outputs, bench.local.outputs)
        assert len(executor.workers) == 3


@pytest.mark.long
def test_without_any_worker_left_the_run_says_so(bench: Bench, machines: Any) -> None:
    import ray

    with RayExecutor(bench.key, block_max=4) as executor:
        actors = [worker.actor for worker in executor.workers]
        with pytest.raises(WorkersLost) as lost:
            executor.run([bench.job], on_progress=after(50, lambda: [ray.kill(actor) for actor in actors]))
        assert lost.value.count == 2


@pytest.mark.long
def test_a_run_can_be_cancelled_between_blocks(bench: Bench, machines: Any) -> None:
    with RayExecutor(bench.key, block_max=4) as executor:
        with pytest.raises(Cancelled):
            executor.run([bench.job], cancelled=lambda: True)
        (result,) = executor.run([bench.job])  # and the cluster is as good as before
        assert isinstance(result, Completed)
        assert np.array_equal(result.outputs, bench.local.outputs)


@pytest.mark.long
def test_machines_that_disagree_stop_the_run(bench: Bench, machines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenMemory(Evaluator):
        """Each machine adds an error of its own."""

        def bootstrap(self, forms: U32Array) -> U32Array:
            return super().bootstrap(forms) ^ np.uint32(os.getpid())

    monkeypatch.setattr(execute_ray, "Evaluator", BrokenMemory)
    with RayExecutor(bench.key) as executor, pytest.raises(KernelMismatch):
        executor.run([bench.job])


@pytest.mark.long
def test_a_fault_on_a_machine_is_told_with_its_reason(
    bench: Bench, machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenKernel:
        name = "broken"

        def bootstrap(self, *_: object) -> U32Array:
            raise KernelMismatch("native-avx2", "rotate")

    class Faulty(Evaluator):
        def __init__(self, key: bytes) -> None:
            super().__init__(key)
            self._backend = BrokenKernel()

    monkeypatch.setattr(execute_ray, "Evaluator", Faulty)
    with RayExecutor(bench.key) as executor, pytest.raises(WorkerFailed, match="wrong bytes in rotate"):
        executor.run([bench.job])


def test_without_ray_the_remedy_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r"pip install octra-node\[ray\]"):
        RayExecutor(bench.key)


def test_the_library_never_imports_ray_by_itself() -> None:
    import subprocess

    program = (
        "import octra.hfhe.simple, octra.hfhe.execute_ray, octra.cli.fhe_run, sys; assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
