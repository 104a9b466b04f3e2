"""Evaluates jobs on encrypted balances: the same bytes at every evaluator, and the trace that proves own work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from octra.consensus import circuits
from octra.consensus.circuits import WIDTH, BalanceCircuit
from octra.crypto.hash import H, merkle_root
from octra.errors import InvalidInput
from octra.hfhe import wire
from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.bootstrap import packed, unpack
from octra.hfhe.ciphertext import EntryBits, PackedBits, U32Array
from octra.hfhe.encrypt import trivial_bits
from octra.hfhe.errors import WrongKey, WrongParameters
from octra.hfhe.execute import Completed, Executor, Job, Progress

Operand = PackedBits | int  # a certified ciphertext of 50 bits, or a public constant


class WrongOperand(InvalidInput):
    """An operand of an evaluation has the wrong width, or one ciphertext was given twice."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"wrong operand: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Evaluator:
    """What computes: a backend, the network's evaluation key prepared for it, and an executor on both."""

    backend: Backend
    key: PreparedKey
    executor: Executor
    security_bits: int = 128


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The result of a job. `outputs` by name in the circuit's order; `steps` is what each bootstrap gave, in order."""

    outputs: dict[str, PackedBits]
    steps: U32Array

    def digests(self) -> dict[str, bytes]:
        """The digest that names each output's ciphertext."""
        return {name: ciphertext_digest(value) for name, value in self.outputs.items()}

    def trace(self, node_id: bytes, job: bytes) -> bytes:
        """The Merkle root over all intermediate results, bound to who computed them: it cannot be copied."""
        return trace_root(node_id, job, self.steps)


def ciphertext_digest(value: PackedBits) -> bytes:
    """The digest by which the chain knows a ciphertext."""
    return H("octra.fhe.ct", wire.encode_packed(value))


def trace_root(node_id: bytes, job: bytes, steps: U32Array) -> bytes:
    """The root that `node_id` must have committed to if it computed `steps` itself."""
    rows = np.ascontiguousarray(steps, dtype="<u4")
    return merkle_root(
        [H("octra.job.leaf", node_id, job, j.to_bytes(4, "little"), row.tobytes()) for j, row in enumerate(rows)]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A job ready to run: checked operands, entry bootstraps done."""

    circuit: BalanceCircuit
    operands: U32Array
    context: bytes


def debit_work(evaluator: Evaluator, spendable: Operand, amount: EntryBits, context: bytes) -> Work:
    """Take a hidden amount from a balance: outputs `spendable`, `transferred` and `ok`.

    The amount's bits pass the entry bootstrap here and nothing else reads them: a value near the decision line could
    otherwise count as 0 in the comparison and as 1 in the transfer.
    """
    if amount.count != WIDTH:
        raise WrongOperand(f"amount of {amount.count} bits, expected {WIDTH}")
    left = _bits(evaluator, spendable)
    entered = evaluator.backend.entry(evaluator.key, amount)
    circuit = circuits.debit(evaluator.key.params, evaluator.security_bits)
    return Work(circuit, np.concatenate([left, entered]), context)


def withdraw_work(evaluator: Evaluator, spendable: Operand, amount: int, context: bytes) -> Work:
    """Take a public amount from a balance: outputs `spendable` and `ok`."""
    circuit = circuits.withdraw(evaluator.key.params, evaluator.security_bits)
    return Work(circuit, np.concatenate([_bits(evaluator, spendable), _bits(evaluator, amount)]), context)


def credit_work(evaluator: Evaluator, balance: Operand, amount: Operand, context: bytes) -> Work:
    """Add an amount, hidden or public, to a balance: output `balance`."""
    hidden = [ciphertext_digest(operand) for operand in (balance, amount) if isinstance(operand, PackedBits)]
    if len(set(hidden)) < len(hidden):  # their noise would be one, counted as two
        raise WrongOperand("the same ciphertext twice")
    circuit = circuits.credit(evaluator.key.params, evaluator.security_bits)
    return Work(circuit, np.concatenate([_bits(evaluator, balance), _bits(evaluator, amount)]), context)


def evaluate(
    evaluator: Evaluator, works: Sequence[Work], on_progress: Callable[[Progress], None] | None = None
) -> tuple[Evaluation, ...]:
    """All results, in order. Works together cost less time than one by one: their ripples share blocks."""
    jobs = [Job(work.circuit.plan, work.operands, work.context, keep_steps=True) for work in works]
    evaluations = []
    for work, result in zip(works, evaluator.executor.run(jobs, on_progress=on_progress), strict=True):
        if not isinstance(result, Completed):
            raise result.error
        assert result.steps is not None
        entered = work.operands[len(work.operands) - work.circuit.entry_bits :]
        steps = np.concatenate([entered, result.steps])
        evaluations.append(Evaluation(_packed_words(evaluator, work.circuit, result.outputs), steps))
    return tuple(evaluations)


def evaluate_debit(evaluator: Evaluator, spendable: Operand, amount: EntryBits, context: bytes) -> Evaluation:
    """`debit_work`, alone."""
    return evaluate(evaluator, [debit_work(evaluator, spendable, amount, context)])[0]


def evaluate_withdraw(evaluator: Evaluator, spendable: Operand, amount: int, context: bytes) -> Evaluation:
    """`withdraw_work`, alone."""
    return evaluate(evaluator, [withdraw_work(evaluator, spendable, amount, context)])[0]


def evaluate_credit(evaluator: Evaluator, balance: Operand, amount: Operand, context: bytes) -> Evaluation:
    """`credit_work`, alone."""
    return evaluate(evaluator, [credit_work(evaluator, balance, amount, context)])[0]


def _bits(evaluator: Evaluator, operand: Operand) -> U32Array:
    params, key_id = evaluator.key.params, evaluator.key.public.key_id
    if isinstance(operand, int):
        if not 0 <= operand < 1 << WIDTH:
            raise WrongOperand(f"constant outside {WIDTH} bits")
        return trivial_bits(params, [operand >> i & 1 for i in range(WIDTH)])
    if operand.params is not params:
        raise WrongParameters(params.set_id, operand.params.set_id)
    if operand.key_id != key_id:
        raise WrongKey(key_id, operand.key_id)
    if operand.count != WIDTH:
        raise WrongOperand(f"{operand.count} bits, expected {WIDTH}")
    return unpack(operand)


def _packed_words(evaluator: Evaluator, circuit: BalanceCircuit, bits: U32Array) -> dict[str, PackedBits]:
    """Each output word as a ciphertext of its own, because each is a value of its own on the chain."""
    outputs, position = {}, 0
    for word in circuit.plan.graph.outputs:
        chunk = bits[position : position + len(word.literals)]
        position += len(word.literals)
        outputs[word.name] = packed(evaluator.key, evaluator.backend.pack(evaluator.key, chunk), len(chunk))
    return outputs
