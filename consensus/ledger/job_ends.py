"""How jobs end: certified, simplified away, or failed with the fallback of their operation. Money follows here."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from octra.consensus.ledger import handles, jobs, keys
from octra.consensus.ledger.errors import EvaluationFailed, InvalidInputDealing
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.openings import open_verdict, pay_verdict
from octra.consensus.ledger.receipts import FAILED, OK
from octra.consensus.ledger.records import (
    BIT,
    ZERO,
    EvaluatorReveal,
    Fault,
    FaultKind,
    Job,
    JobStatus,
    Node,
    Pool,
    Purpose,
)


def certify(x: Execution, job: Job, digests: tuple[bytes, ...]) -> None:
    for name, digest in zip(job.outputs, digests, strict=True):
        handles.certify(x, name, digest)
    for reveal in job.reveals:
        if reveal.digests == digests:
            node_id = x.params.seats[reveal.seat].node_id
            node = x.node(node_id)
            x.store_node(node_id, Node(node.seat, node.tips, node.skipped, node.certified + 1, node.faults))
        else:
            _blame(x, job, reveal, digests)
    x.money.spend_escrow(job.escrow, Pool.FHE)
    job = jobs.end(x, replace(job, status=JobStatus.CERTIFIED, escrow=0))
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


def compare_late(x: Execution, job: Job, reveal: EvaluatorReveal, equal: int) -> None:
    digests = jobs.certified_digests(job, x.params.evaluators)
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
            jobs.evaluation_digest(reveal.digests),
            jobs.evaluation_digest(digests),
            reveal.tx,
        )
    )


def simplified(x: Execution, job: Job, outputs: tuple[bytes, ...]) -> None:
    refunded = job.escrow
    x.refund(job.payer, job.escrow)
    for name, target in zip(job.outputs, outputs, strict=True):
        handles.alias(x, name, target)
    job = jobs.end(x, replace(job, status=JobStatus.SIMPLIFIED, escrow=0))
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


def fail(x: Execution, job: Job) -> None:
    """No certificate at full width: fall back, give the fee of the work back, or try again next epoch."""
    x.emit("job_failed", job.name, [reveal.seat for reveal in job.reveals])
    purpose = Purpose(job.purpose)
    if purpose in (Purpose.RECEIVE, Purpose.COLLECT):
        # The money has left its source already: an alias to nothing would destroy it.
        jobs.unlist(x, job)
        jobs.store(x, replace(job, status=JobStatus.RETRY, due_round=0))
        x.state.put(keys.retry(job.name), b"")
        return
    refunded = job.escrow
    x.refund(job.payer, job.escrow)
    handles.alias(x, job.outputs[0], job.inputs[0])
    if purpose == Purpose.TRANSFER:
        handles.alias(x, job.outputs[1], ZERO)
    elif purpose == Purpose.DECRYPT:
        handles.alias(x, job.outputs[1], handles.constant(x.state, 0, BIT))
    job = jobs.end(x, replace(job, status=JobStatus.FAILED, escrow=0))
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
        jobs.store(x, replace(credit, tx=b""))
    _settle(x, job, FAILED, code, refunded)


def _settle(x: Execution, job: Job, status: str, code: int = 0, refunded: int = 0) -> None:
    if job.tx:
        x.settle(job.tx, status, code, refunded)
