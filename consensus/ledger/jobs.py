"""What jobs leave in the state: their names, their records, and the lists and counts that they stand in."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from octra.consensus.ledger import handles, keys
from octra.consensus.ledger.errors import LimitReached, NotAssigned
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import Job, Private, Purpose
from octra.crypto.hash import H


def evaluation_digest(digests: tuple[bytes, ...]) -> bytes:
    """One digest for all outputs of a job, from the digests of their ciphertexts."""
    return H("octra.evaluation", *digests)


def evaluation_commitment(job: bytes, node_id: bytes, digests: tuple[bytes, ...], trace: bytes, salt: bytes) -> bytes:
    """What an evaluator orders before it shows its result. It names the node, so a copy opens for nobody else."""
    return H("octra.job.commit", job, node_id, evaluation_digest(digests), trace, salt)


def job_name(purpose: Purpose, inputs: tuple[bytes, ...], tx: bytes) -> bytes:
    """The name of a job."""
    return H("octra.job", bytes([purpose]), *inputs, tx)


def certified_digests(job: Job, evaluators: int) -> tuple[bytes, ...]:
    """The digests that f + 1 evaluators agreed on first."""
    counts: Counter[tuple[bytes, ...]] = Counter()
    for reveal in job.reveals:
        counts[reveal.digests] += 1
        if counts[reveal.digests] == evaluators:
            return reveal.digests
    raise AssertionError("the job is certified")


def find(x: Execution, name: bytes) -> Job:
    job = x.state.load(keys.job(name), Job)
    if job is None:
        raise NotAssigned("no such job")
    return job


def store(x: Execution, job: Job) -> None:
    x.state.store(keys.job(job.name), job)


def store_due(x: Execution, job: Job, round: int) -> None:
    unlist(x, job)
    x.state.put(keys.due(round, job.name), b"j")
    store(x, replace(job, due_round=round))


def unlist(x: Execution, job: Job) -> None:
    if job.due_round:
        x.state.delete(keys.due(job.due_round, job.name))


def end(x: Execution, job: Job) -> Job:
    """The job is over: it leaves the lists and the counts."""
    unlist(x, job)
    count_pending(x, Purpose(job.purpose), job.account, -1)
    x.count(backlog_boots=-job.boots)
    job = replace(job, due_round=0)
    store(x, job)
    return job


def count_pending(x: Execution, purpose: Purpose, account: bytes, change: int) -> None:
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
