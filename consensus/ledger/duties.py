"""What a seat owes to the chain, read from the committed state alone: a node that restarts goes on from here.

Each duty is answered by one node operation, once. A duty stays until its answer is ordered or it has become pointless.
"""

from __future__ import annotations

from msgspec import Struct

from octra.consensus.ledger import handles, inputs, keys, work
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.records import (
    Clock,
    DealtInput,
    InputStage,
    Job,
    JobStatus,
    Opening,
    Request,
    RequestStatus,
)
from octra.consensus.ledger.state import load
from octra.consensus.ports import StateView

DUTIES_MAX = 4_096


class CheckDealing(Struct, frozen=True):
    """Open the own box of the sidecar and order `deal_check` (empty values when it is wrong)."""

    input: bytes
    bits: int
    sidecar: bytes  # under this name the sidecar lies among the blobs
    coin: bytes


class MakeInputPart(Struct, frozen=True):
    """The dealing was accepted: order `input_part`."""

    input: bytes
    bits: int
    sidecar: bytes


class ConstantInput(Struct, frozen=True):
    """A public word: its ciphertext is the trivial one."""

    value: int


class PackedInput(Struct, frozen=True):
    """A certified word: `PackedBits` of this digest."""

    handle: bytes
    digest: bytes


class DealtWord(Struct, frozen=True):
    """A word that users dealt: `EntryBits` of this digest."""

    handle: bytes
    digest: bytes


JobInput = ConstantInput | PackedInput | DealtWord


class Evaluate(Struct, frozen=True):
    """Compute the outputs and order `eval_commit`."""

    job: bytes
    circuit: int
    inputs: tuple[JobInput, ...]
    outputs: tuple[bytes, ...]
    boots: int


class RevealEvaluation(Struct, frozen=True):
    """Order `eval_reveal` for an own commitment."""

    job: bytes
    circuit: int
    inputs: tuple[JobInput, ...]
    outputs: tuple[bytes, ...]
    commitment: bytes


class CommitOpening(Struct, frozen=True):
    """Re-encode the values, make the share, order `open_commit`."""

    request: bytes
    openings: tuple[Opening, ...]


class RevealOpening(Struct, frozen=True):
    """Order `open_share`: in clear when `reader` is empty, else sealed to it."""

    request: bytes
    openings: tuple[Opening, ...]
    reader: bytes


Duty = CheckDealing | MakeInputPart | Evaluate | RevealEvaluation | CommitOpening | RevealOpening


def duties(view: StateView, seat: int, params: LedgerParams) -> list[Duty]:
    """What `seat` owes now, oldest deadline first."""
    clock = load(view, keys.CLOCK, Clock)
    assert clock is not None
    owed: list[Duty] = []
    for key, kind in view.scan(keys.DUE, DUTIES_MAX):
        name = key[9:]
        if kind == b"i":
            record = load(view, keys.dealt_input(name), DealtInput)
            assert record is not None
            owed += _for_input(record, seat)
        elif kind == b"j":
            job = load(view, keys.job(name), Job)
            assert job is not None
            owed += _for_job(view, job, seat, clock, params)
        else:
            request = load(view, keys.request(name), Request)
            assert request is not None
            owed += _for_request(request, seat)
    return owed


def job_inputs(view: StateView, job: Job) -> tuple[JobInput, ...]:
    """The ciphertexts that an open job reads."""
    found: list[JobInput] = []
    for name in job.inputs:
        end, handle = handles.resolve(view, name)
        if handle.constant is not None:
            found.append(ConstantInput(handle.constant))
        elif view.get(keys.dealt_input(handle.origin)) is not None:
            found.append(DealtWord(end, handle.digest))
        else:
            found.append(PackedInput(end, handle.digest))
    return tuple(found)


def _for_input(record: DealtInput, seat: int) -> list[Duty]:
    if record.stage not in (InputStage.CHECK, InputStage.PARTS):
        return []
    if all(row.seat != seat for row in record.checks):
        return [CheckDealing(record.name, record.bits, record.sidecar, record.coin)]
    if record.stage == InputStage.PARTS and inputs.may_give_part(record, seat):
        return [MakeInputPart(record.name, record.bits, record.sidecar)]
    return []


def _for_job(view: StateView, job: Job, seat: int, clock: Clock, params: LedgerParams) -> list[Duty]:
    if job.status != JobStatus.OPEN or seat not in job.evaluators or job.has_revealed(seat):
        return []
    commitment = job.commitment_of(seat)
    if commitment is None:
        return [Evaluate(job.name, job.circuit, job_inputs(view, job), job.outputs, job.boots)]
    # The next commit's round is what counts, and it is larger than the last one's.
    if work.may_reveal(job, clock.round, params.evaluators):
        return [RevealEvaluation(job.name, job.circuit, job_inputs(view, job), job.outputs, commitment)]
    return []


def _for_request(request: Request, seat: int) -> list[Duty]:
    if all(commit.seat != seat for commit in request.commits):
        return [CommitOpening(request.name, request.openings)]
    if request.status == RequestStatus.REVEAL and seat not in request.revealed:
        return [RevealOpening(request.name, request.openings, request.reader)]
    return []
