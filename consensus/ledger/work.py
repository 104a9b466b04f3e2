"""Evaluation jobs: who must compute, whose digests count, and what happens when they do not agree.

A job opens when its inputs are certified. A later coin draws f + 1 seats; each commits to a digest before it shows it;
f + 1 equal digests certify the outputs. Silence or disagreement asks the next seats of the draw. A handle that ends
wakes the jobs that wait for it (`settle_woken`), in order and without recursion.
"""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from msgspec.structs import replace

from octra.consensus.ledger import handles, job_ends, jobs, keys, ops
from octra.consensus.ledger.errors import (
    LimitReached,
    NotAssigned,
)
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.params import ERA
from octra.consensus.ledger.records import (
    BIT,
    WORD,
    ZERO,
    Circuit,
    EvaluatorCommit,
    EvaluatorReveal,
    Handle,
    HandleStatus,
    Job,
    JobStatus,
    Purpose,
    Source,
    handle_name,
)
from octra.consensus.ledger.transactions import Transaction
from octra.crypto.hash import H

_OUTPUTS = {Circuit.DEBIT: (WORD, WORD), Circuit.CREDIT: (WORD,), Circuit.DECRYPT: (WORD, BIT)}
_SOURCE = {Circuit.DEBIT: Source.DEBIT, Circuit.CREDIT: Source.CREDIT, Circuit.DECRYPT: Source.DECRYPT}


# --- creation ---


def create(
    x: Execution,
    circuit: Circuit,
    purpose: Purpose,
    inputs: tuple[bytes, ...],
    *,
    readers: tuple[tuple[bytes, ...], ...],
    boots: int,
    account: bytes,
    payer: bytes,
    escrow: int,
    amount: int,
    tx: bytes,
    settles: bool = True,
) -> Job:
    """A new job whose output handles exist from now on; `escrow` was taken from the payer and is held here."""
    if x.counters().backlog_boots + boots > x.params.limits.backlog_boots:
        raise LimitReached("unfinished work of the network", x.params.limits.backlog_boots)
    jobs.count_pending(x, purpose, account, +1)
    name = jobs.job_name(purpose, inputs, tx)
    outputs = []
    for index, (kind, who) in enumerate(zip(_OUTPUTS[circuit], readers, strict=True)):
        output = handle_name(_SOURCE[circuit], kind, inputs, (ERA, x.params.failure_bits, tx, index))
        x.state.store(keys.handle(output), Handle(kind, name, readers=who))
        outputs.append(output)
    job = Job(
        name=name,
        circuit=circuit,
        purpose=purpose,
        inputs=inputs,
        outputs=tuple(outputs),
        boots=boots,
        account=account,
        payer=payer,
        escrow=escrow,
        amount=amount,
        tx=tx if settles else b"",
        follow=b"",
    )
    x.count(backlog_boots=boots)
    x.state.store(keys.job(name), job)
    try_start(x, job)
    return x.state.require(keys.job(name), Job)


def simplify(x: Execution, circuit: int, inputs: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """The outputs when public constants decide them without any evaluation, else None."""
    (first, one), (second, other) = (handles.resolve(x.state, name) for name in inputs)
    match Circuit(circuit):
        case Circuit.DEBIT:
            if other.constant == 0:
                return first, ZERO
            return (ZERO, ZERO) if one.constant == 0 else None
        case Circuit.CREDIT:
            if one.constant is not None and other.constant is not None:
                return (handles.constant(x.state, one.constant + other.constant),)
            if other.constant == 0:
                return (first,)
            return (second,) if one.constant == 0 else None
        case Circuit.DECRYPT:
            assert other.constant is not None
            if one.constant is None:
                return None
            covered = one.constant >= other.constant
            rest = handles.constant(x.state, one.constant - other.constant) if covered else first
            return rest, handles.constant(x.state, int(covered), BIT)
        case never:
            assert_never(never)


def try_start(x: Execution, job: Job) -> None:
    """Simplify the job, or let evaluators be drawn once its inputs are certified, or wait for these."""
    outputs = simplify(x, job.circuit, job.inputs)
    if outputs is not None:
        job_ends.simplified(x, job, outputs)
        return
    inputs = [handles.resolve(x.state, name) for name in job.inputs]
    if any(handle.status == HandleStatus.FROZEN for _, handle in inputs):
        job_ends.fail(x, job)
        return
    pending = [name for name, handle in inputs if handle.status == HandleStatus.PENDING]
    for name in pending:
        x.state.put(keys.waiting(name, job.name), b"")
    if not pending:
        job = replace(job, status=JobStatus.READY, changed_round=x.clock.round)
        jobs.store_due(x, job, x.clock.round + 1)


def settle_woken(x: Execution) -> None:
    """Start every job whose last input has come to its end; goes on until nothing changes."""
    while x.woken:
        name = x.woken.pop(0)
        prefix = keys.waiting(name)
        for key, _ in list(x.state.scan(prefix, 1 << 20)):
            x.state.delete(key)
            job = x.state.require(keys.job(key[len(prefix) :]), Job)
            if job.status == JobStatus.WAITING:
                try_start(x, job)


# --- draw, deadlines ---


def draw(coin: bytes, job: bytes, seats: int) -> tuple[int, ...]:
    """The permutation of the seats that `coin` draws for a job: first the evaluators, then who replaces them."""
    left, order = list(range(seats)), []
    for index in range(seats):
        number = int.from_bytes(H("octra.draw", coin, job, index.to_bytes(4, "little")), "big")
        order.append(left.pop(number % len(left)))
    return tuple(order)


def on_due(x: Execution, job: Job) -> None:
    """The job's time has come: draw evaluators, go on to reveals, or ask more seats."""
    round = x.clock.round
    if job.status == JobStatus.READY:
        order = draw(x.coin, job.name, len(x.params.seats))
        _open(x, replace(job, status=JobStatus.OPEN, order=order, width=x.params.evaluators, commits=(), reveals=()))
    elif job.status == JobStatus.OPEN:
        if round <= job.reveal_by and len(job.commits) >= x.params.evaluators:
            jobs.store_due(x, job, job.reveal_by + 1)
        else:
            _widen(x, job)


def retry_all(x: Execution) -> None:
    """A new epoch: jobs that must not fall back are tried again."""
    for key, _ in list(x.state.scan(keys.RETRY, x.params.limits.due_per_commit)):
        x.state.delete(key)
        job = x.state.require(keys.job(key[len(keys.RETRY) :]), Job)
        try_start(x, replace(job, attempts=job.attempts + 1))


def _open(x: Execution, job: Job) -> None:
    commit_by = x.clock.round + x.params.limits.job_rounds + job.boots // x.params.limits.boots_per_round
    job = replace(job, commit_by=commit_by, reveal_by=commit_by + x.params.limits.reveal_rounds)
    jobs.store_due(x, job, commit_by + 1)
    x.emit("job_opened", job.name, job.evaluators)


def _widen(x: Execution, job: Job) -> None:
    """Ask the next seats of the draw; with all seats asked the job has failed."""
    seats = len(x.params.seats)
    wider = [width for width in (2 * x.params.faults + 1, seats) if width > job.width]
    if wider:
        _open(x, replace(job, width=wider[0]))
    else:
        job_ends.fail(x, job)


# --- what evaluators send ---


def take_commit(x: Execution, op: ops.EvaluationCommit, seat: int) -> None:
    """An evaluator's commitment; raises `NotAssigned`."""
    job = jobs.find(x, op.job)
    if job.status != JobStatus.OPEN or seat not in job.evaluators or job.commitment_of(seat) is not None:
        raise NotAssigned("no evaluation to commit to")
    jobs.store(x, replace(job, commits=(*job.commits, EvaluatorCommit(seat, op.commitment))))


def may_reveal(job: Job, round: int, evaluators: int) -> bool:
    """Has the time come to open commitments: nobody can aim at them any more?"""
    return len(job.commits) >= evaluators or round > job.commit_by


def take_reveal(x: Execution, transaction: Transaction, op: ops.EvaluationReveal, seat: int) -> None:
    """An evaluator's result; certifies at f + 1 equal ones. Raises `NotAssigned`."""
    job = jobs.find(x, op.job)
    commitment = job.commitment_of(seat)
    if job.status not in (JobStatus.OPEN, JobStatus.CERTIFIED) or commitment is None or job.has_revealed(seat):
        raise NotAssigned("no evaluation to reveal")
    if not may_reveal(job, x.clock.round, x.params.evaluators):
        raise NotAssigned("too early to reveal")
    node_id = x.params.seats[seat].node_id
    expected = jobs.evaluation_commitment(job.name, node_id, op.digests, op.trace, op.salt)
    if expected != commitment or len(op.digests) != len(job.outputs):
        raise NotAssigned("the result is not the one that was committed to")
    reveal = EvaluatorReveal(seat, op.digests, op.trace, transaction.id)
    job = replace(job, reveals=(*job.reveals, reveal))
    jobs.store(x, job)
    equal = Counter(reveal.digests for reveal in job.reveals)[op.digests]
    if job.status == JobStatus.CERTIFIED:
        job_ends.compare_late(x, job, reveal, equal)
    elif equal >= x.params.evaluators:
        job_ends.certify(x, job, op.digests)
    elif len(job.reveals) == job.width:
        _widen(x, job)
