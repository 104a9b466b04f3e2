"""Work on ciphertexts in another process: evaluations of ledger jobs and re-encodings for openings.

Tasks and results are bytes. The process prepares the network's evaluation key once and keeps it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus import circuits, evaluate
from octra.consensus.ledger.records import Circuit
from octra.crypto.hash import H
from octra.errors import Corrupt, InvalidInput
from octra.hfhe import params, wire
from octra.hfhe.backend import choose
from octra.hfhe.bootstrap import reencode, unpack
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.threshold import partial


class WrongEvaluationKey(Corrupt):
    """The evaluation key on disk is not the one that genesis names."""

    def __init__(self) -> None:
        super().__init__("the evaluation key's file does not match genesis; fetch it again")


class KeyPlace(Struct, frozen=True, array_like=True):
    """Which evaluation key, and how it may be used."""

    path: str
    digest: bytes
    parameters: str
    failure_bits: int
    localnet: bool  # only there may test parameters be used
    threads: int


class EvaluateTask(Struct, frozen=True, array_like=True):
    """A job: `operands` are constants or the bytes of certified ciphertexts, in the order of the job's inputs."""

    circuit: int
    operands: tuple[int | bytes, ...]
    job: bytes
    node_id: bytes


class EvaluateTasks(Struct, frozen=True, array_like=True):
    """Jobs to compute in one run: their bootstraps share blocks, which costs less time than one after the other."""

    key: KeyPlace
    jobs: tuple[EvaluateTask, ...]


class Evaluated(Struct, frozen=True, array_like=True):
    """Output ciphertexts in the order of the job's outputs, and the trace root of this node's own work.

    `refused` says why a job has none: its operands do not fit. It does not stop the jobs of the same run.
    """

    outputs: tuple[bytes, ...] = ()
    trace: bytes = b""
    refused: str = ""


class ReencodeTask(Struct, frozen=True, array_like=True):
    """One value to prepare for an opening; rotations start where its name says."""

    key: KeyPlace
    ciphertext: bytes
    opening: bytes
    attempt: int


_OUTPUTS = {
    Circuit.DEBIT: ("spendable", "transferred"),
    Circuit.CREDIT: ("balance",),
    Circuit.DECRYPT: ("spendable", "ok"),
}


def prepare_key(data: bytes) -> bytes:
    """Make ready what the first job would wait for: the `KeyPlace`'s key in the kernel's form, and the plans."""
    place = decode(data, KeyPlace)
    parameters = _evaluator(place).key.params
    for circuit in (circuits.debit, circuits.credit, circuits.withdraw):
        circuit(parameters, place.failure_bits)
    return b""


def evaluate_jobs(data: bytes) -> bytes:
    """`EvaluateTasks` to `Evaluated` of each job, in order."""
    tasks = decode(data, EvaluateTasks)
    evaluator, gate = _evaluator(tasks.key), _gate(tasks.key)
    works: list[evaluate.Work | str] = []
    for task in tasks.jobs:
        try:
            works.append(_work(evaluator, gate, task))
        except InvalidInput as error:
            works.append(str(error) or type(error).__name__)
    done = iter(evaluate.evaluate(evaluator, [work for work in works if isinstance(work, evaluate.Work)]))
    answers = []
    for task, work in zip(tasks.jobs, works, strict=True):
        if isinstance(work, str):
            answers.append(Evaluated(refused=work))
            continue
        result = next(done)
        outputs = tuple(wire.encode_packed(result.outputs[name]) for name in _OUTPUTS[Circuit(task.circuit)])
        answers.append(Evaluated(outputs, result.trace(task.node_id, task.job)))
    return encode(answers)


def _work(evaluator: evaluate.Evaluator, gate: wire.Gate, task: EvaluateTask) -> evaluate.Work:
    """The job with its operands checked; raises `InvalidInput`."""
    first, second = task.operands
    left = first if isinstance(first, int) else wire.decode_packed(first, gate)
    match Circuit(task.circuit):
        case Circuit.DEBIT:
            assert isinstance(second, bytes)
            return evaluate.debit_work(evaluator, left, wire.decode_entry(second, gate), task.job)
        case Circuit.DECRYPT:
            assert isinstance(second, int)
            return evaluate.withdraw_work(evaluator, left, second, task.job)
        case Circuit.CREDIT:
            right = second if isinstance(second, int) else wire.decode_packed(second, gate)
            return evaluate.credit_work(evaluator, left, right, task.job)


def reencode_value(data: bytes) -> bytes:
    """`ReencodeTask` to the rows of its bits, little-endian u32."""
    task = decode(data, ReencodeTask)
    evaluator = _evaluator(task.key)
    bits = unpack(wire.decode_packed(task.ciphertext, _gate(task.key)))
    start = partial.start_group(task.opening, task.attempt, evaluator.key.params)
    rows = reencode(evaluator.backend, evaluator.key, bits, start)
    return np.ascontiguousarray(rows, dtype="<u4").tobytes()


def rows_of(data: bytes, parameters: params.ParameterSet) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    """The array that `reencode_value` made."""
    return np.frombuffer(data, dtype="<u4").astype(np.uint32).reshape(-1, parameters.M + 1)


def kernel_name() -> str:
    """Which implementation computes on this machine."""
    return choose().name


def _gate(key: KeyPlace) -> wire.Gate:
    parameters = params.get(key.parameters, allow_insecure=key.localnet)
    return wire.Gate(params=parameters, key_ids=(_evaluator(key).key.public.key_id,), allow_insecure=key.localnet)


@lru_cache(maxsize=1)
def _evaluator(key: KeyPlace) -> evaluate.Evaluator:
    data = Path(key.path).read_bytes()
    if H("octra.fhe.eval", data) != key.digest:
        raise WrongEvaluationKey
    parameters = params.get(key.parameters, allow_insecure=key.localnet)
    evaluation = wire.decode_evaluation_key(data, wire.Gate(params=parameters, allow_insecure=key.localnet))
    backend = choose()
    prepared = backend.prepare(evaluation)
    executor = LocalExecutor(backend, prepared, threads=key.threads)
    return evaluate.Evaluator(backend, prepared, executor, key.failure_bits)
