"""Evaluation jobs: who must compute, whose digests count, and what happens when they do not agree.

A job opens when its inputs are certified. A later coin draws f + 1 seats; each commits to a digest before it shows it;
f + 1 equal digests certify the outputs. Silence or disagreement asks the next seats of the draw. A handle that ends
wakes the jobs that wait for it (`settle_woken`), in order and without recursion.
"""

from __future__ import annotations

from collections import Counter
from typing import assert_never

from msgspec.structs import replace

from octra.consensus.ledger import handles, keys, ops
from octra.consensus.ledger.errors import (
    EvaluationFailed,
    InvalidInputDealing,
    LimitReached,
    NotAssigned,
)
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.openings import open_verdict, pay_verdict
from octra.consensus.ledger.params import ERA
from octra.consensus.ledger.receipts import FAILED, OK
from octra.consensus.ledger.records import (
    BIT,
    WORD,
    ZERO,
    Circuit,
    EvaluatorCommit,
    EvaluatorReveal,
    Fault,
    FaultKind,
    Handle,
    HandleStatus,
    Job,
    JobStatus,
    Node,
    Pool,
    Private,
    Purpose,
    Source,
    handle_name,
)
from octra.consensus.ledger.transactions import Transaction
from octra.crypto.hash import H

_OUTPUTS = {Circuit.DEBIT: (WORD, WORD), Circuit.CREDIT: (WORD,), Circuit.DECRYPT: (WORD, BIT)}
_SOURCE = {Circuit.DEBIT: Source.DEBIT, Circuit.CREDIT: Source.CREDIT, Circuit.DECRYPT: Source.DECRYPT}


def evaluation_digest(digests: tuple[bytes, ...]) -> bytes:
    """One digest for all outputs of a job, from the digests of their ciphertexts."""
    return H("octra.evaluation", *digests)


def evaluation_commitment(job: bytes, node_id: bytes, digests: tuple[bytes, ...], trace: bytes, salt: bytes) -> bytes:
    """What an evaluator orders before it shows its result. It names the node, so a copy opens for nobody else."""
    return H("octra.job.commit", job, node_id, evaluation_digest(digests), trace, salt)


def job_name(purpose: Purpose, inputs: tuple[bytes, ...], tx: bytes) -> bytes:
    """The name of a job."""
    return H("octra.job", bytes([purpose]), *inputs, tx)


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
    _count_pending(x, purpose, account, +1)
    name = job_name(purpose, inputs, tx)
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
        _finish_simplified(x, job, outputs)
        return
    inputs = [handles.resolve(x.state, name) for name in job.inputs]
    if any(handle.status == HandleStatus.FROZEN for _, handle in inputs):
        _fail(x, job)
        return
    pending = [name for name, handle in inputs if handle.status == HandleStatus.PENDING]
    for name in pending:
        x.state.put(keys.waiting(name, job.name), b"")
    if not pending:
        job = replace(job, status=JobStatus.READY, changed_round=x.clock.round)
        _store_due(x, job, x.clock.round + 1)


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
            _store_due(x, job, job.reveal_by + 1)
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
    _store_due(x, job, commit_by + 1)
    x.emit("job_opened", job.name, job.evaluators)


def _widen(x: Execution, job: Job) -> None:
    """Ask the next seats of the draw; with all seats asked the job has failed."""
    seats = len(x.params.seats)
    wider = [width for width in (2 * x.params.faults + 1, seats) if width > job.width]
    if wider:
        _open(x, replace(job, width=wider[0]))
    else:
        _fail(x, job)


# --- what evaluators send ---


def take_commit(x: Execution, op: ops.EvaluationCommit, seat: int) -> None:
    """An evaluator's commitment; raises `NotAssigned`."""
    job = _open_job(x, op.job)
    if job.status != JobStatus.OPEN or seat not in job.evaluators or job.commitment_of(seat) is not None:
        raise NotAssigned("no evaluation to commit to")
    _store(x, replace(job, commits=(*job.commits, EvaluatorCommit(seat, op.commitment))))


def may_reveal(job: Job, round: int, evaluators: int) -> bool:
    """Has the time come to open commitments: nobody can aim at them any more?"""
    return len(job.commits) >= evaluators or round > job.commit_by


def take_reveal(x: Execution, transaction: Transaction, op: ops.EvaluationReveal, seat: int) -> None:
    """An evaluator's result; certifies at f + 1 equal ones. Raises `NotAssigned`."""
    job = _open_job(x, op.job)
    commitment = job.commitment_of(seat)
    if job.status not in (JobStatus.OPEN, JobStatus.CERTIFIED) or commitment is None or job.has_revealed(seat):
        raise NotAssigned("no evaluation to reveal")
    if not may_reveal(job, x.clock.round, x.params.evaluators):
        raise NotAssigned("too early to reveal")
    node_id = x.params.seats[seat].node_id
    expected = evaluation_commitment(job.name, node_id, op.digests, op.trace, op.salt)
    if expected != commitment or len(op.digests) != len(job.outputs):
        raise NotAssigned("the result is not the one that was committed to")
    reveal = EvaluatorReveal(seat, op.digests, op.trace, transaction.id)
    job = replace(job, reveals=(*job.reveals, reveal))
    _store(x, job)
    equal = Counter(reveal.digests for reveal in job.reveals)[op.digests]
    if job.status == JobStatus.CERTIFIED:
        _compare_late(x, job, reveal, equal)
    elif equal >= x.params.evaluators:
        _certify(x, job, op.digests)
    elif len(job.reveals) == job.width:
        _widen(x, job)


def certified_digests(job: Job, evaluators: int) -> tuple[bytes, ...]:
    """The digests that f + 1 evaluators agreed on first."""
    counts: Counter[tuple[bytes, ...]] = Counter()
    for reveal in job.reveals:
        counts[reveal.digests] += 1
        if counts[reveal.digests] == evaluators:
            return reveal.digests
    raise AssertionError("the job is certified")


def _certify(x: Execution, job: Job, digests: tuple[bytes, ...]) -> None:
    for name, digest in zip(job.outputs, digests, strict=True):
        handles.certify(x, name, digest)
    for reveal in job.reveals:
        if reveal.digests == digests:
            node = x.node(reveal.seat)
            x.store_node(Node(node.seat, node.tips, node.skipped, node.certified + 1, node.faults))
        else:
            _blame(x, job, reveal, digests)
    x.money.spend_escrow(job.escrow, Pool.FHE)
    job = _end(x, replace(job, status=JobStatus.CERTIFIED, escrow=0))
    x.emit("job_certified", job.name, job.outputs, digests, [reveal.seat for reveal in job.reveals])
    match Purpose(job.purpose):
        case Purpose.DECRYPT:
            open_verdict(x, job)
        case Purpose.TRANSFER if job.follow:
            pass  # the receiver's credit settles the transaction
        case Purpose.TRANSFER | Purpose.ENCRYPT | Purpose.RECEIVE | Purpose.COLLECT:
            _settle(x, job, OK)
        case never:
            assert_never(never)


def _compare_late(x: Execution, job: Job, reveal: EvaluatorReveal, equal: int) -> None:
    digests = certified_digests(job, x.params.evaluators)
    if reveal.digests == digests:
        return
    _blame(x, job, reveal, digests)
    if equal >= x.params.evaluators:  # more than f seats lie, or the kernel is not exact: stop using the values
        for name in job.outputs:
            handles.freeze(x, name)
        x.emit("alarm", "two certified results", job.name)


def _blame(x: Execution, job: Job, reveal: EvaluatorReveal, digests: tuple[bytes, ...]) -> None:
    x.record_fault(
        Fault(
            FaultKind.CONTRADICTED_DIGEST,
            reveal.seat,
            job.name,
            x.clock.height,
            evaluation_digest(reveal.digests),
            evaluation_digest(digests),
            reveal.tx,
        )
    )


# --- ends ---


def _finish_simplified(x: Execution, job: Job, outputs: tuple[bytes, ...]) -> None:
    refunded = job.escrow
    x.refund(job.payer, job.escrow)
    for name, target in zip(job.outputs, outputs, strict=True):
        handles.alias(x, name, target)
    job = _end(x, replace(job, status=JobStatus.SIMPLIFIED, escrow=0))
    match Purpose(job.purpose):
        case Purpose.TRANSFER:
            _, amount = handles.resolve(x.state, job.inputs[1])
            if amount.constant is not None:  # only a dealing that failed becomes a constant
                _settle_failed_transfer(x, job, InvalidInputDealing.oct_code, refunded)
            elif not job.follow:
                _settle(x, job, OK, 0, refunded)
        case Purpose.DECRYPT:
            _, verdict = handles.resolve(x.state, job.outputs[1])
            pay_verdict(x, job, covered=verdict.constant == 1, refunded=refunded)
        case Purpose.ENCRYPT | Purpose.RECEIVE | Purpose.COLLECT:
            _settle(x, job, OK, 0, refunded)
        case never:
            assert_never(never)


def _fail(x: Execution, job: Job) -> None:
    """No certificate at full width: fall back, give the fee of the work back, or try again next epoch."""
    x.emit("job_failed", job.name, [reveal.seat for reveal in job.reveals])
    purpose = Purpose(job.purpose)
    if purpose in (Purpose.RECEIVE, Purpose.COLLECT):
        # The money has left its source already: an alias to nothing would destroy it.
        _unlist(x, job)
        _store(x, replace(job, status=JobStatus.RETRY, due_round=0))
        x.state.put(keys.retry(job.name), b"")
        return
    refunded = job.escrow
    x.refund(job.payer, job.escrow)
    handles.alias(x, job.outputs[0], job.inputs[0])
    if purpose == Purpose.TRANSFER:
        handles.alias(x, job.outputs[1], ZERO)
    elif purpose == Purpose.DECRYPT:
        handles.alias(x, job.outputs[1], handles.constant(x.state, 0, BIT))
    job = _end(x, replace(job, status=JobStatus.FAILED, escrow=0))
    if purpose == Purpose.TRANSFER:
        _settle_failed_transfer(x, job, EvaluationFailed.oct_code, refunded)
    elif purpose == Purpose.ENCRYPT:
        x.money.private_pool -= job.amount
        x.money.public += job.amount
        x.credit(job.payer, job.amount)
        _settle(x, job, FAILED, EvaluationFailed.oct_code, refunded)
    else:
        pay_verdict(x, job, covered=False, refunded=refunded, code=EvaluationFailed.oct_code)


def _settle_failed_transfer(x: Execution, job: Job, code: int, refunded: int) -> None:
    """Nothing moved. The receiver's credit, if it is a job, ends by itself and must not report success."""
    if job.follow:
        credit = x.state.require(keys.job(job.follow), Job)
        refunded += credit.escrow
        _store(x, replace(credit, tx=b""))
    _settle(x, job, FAILED, code, refunded)


def _settle(x: Execution, job: Job, status: str, code: int = 0, refunded: int = 0) -> None:
    if job.tx:
        x.settle(job.tx, status, code, refunded)


def _end(x: Execution, job: Job) -> Job:
    """The job is over: it leaves the lists and the counts."""
    _unlist(x, job)
    _count_pending(x, Purpose(job.purpose), job.account, -1)
    x.count(backlog_boots=-job.boots)
    job = replace(job, due_round=0)
    _store(x, job)
    return job


def _count_pending(x: Execution, purpose: Purpose, account: bytes, change: int) -> None:
    private = handles.private_of(x.state, account)
    own, incoming = private.pending_own, private.pending_incoming
    if purpose == Purpose.RECEIVE:
        incoming += change
        if change > 0 and incoming > x.params.limits.pending_incoming:
            raise LimitReached("unfinished credits of the receiver", x.params.limits.pending_incoming)
    else:
        own += change
        if change > 0 and own > x.params.limits.pending_own:
            raise LimitReached("unfinished encrypted operations of the account", x.params.limits.pending_own)
    x.state.store(keys.private(account), Private(private.spendable, private.incoming, own, incoming))


def _open_job(x: Execution, name: bytes) -> Job:
    job = x.state.load(keys.job(name), Job)
    if job is None:
        raise NotAssigned("no such job")
    return job


def _store(x: Execution, job: Job) -> None:
    x.state.store(keys.job(job.name), job)


def _store_due(x: Execution, job: Job, round: int) -> None:
    _unlist(x, job)
    x.state.put(keys.due(round, job.name), b"j")
    _store(x, replace(job, due_round=round))


def _unlist(x: Execution, job: Job) -> None:
    if job.due_round:
        x.state.delete(keys.due(job.due_round, job.name))
