"""Openings: what the seats may decrypt, for whom, and how the shares become bits.

Only certified values are opened, only for their owner or as the verdict of a decryption. A ciphertext has one opening:
who asks again gets the same bytes under the same noise, sealed to another reader. Each seat re-encodes the value itself
from the certified bytes, which is deterministic, and commits to its share before it sees another one.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from octra.consensus.ledger import handles, keys, ops
from octra.consensus.ledger.errors import (
    InsufficientPrivate,
    InvalidTarget,
    LimitReached,
    NotAssigned,
    NotCertified,
    NotFound,
    NotOwner,
    OriginUnproven,
)
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.fees import WORD_BITS
from octra.consensus.ledger.receipts import FAILED, OK
from octra.consensus.ledger.records import (
    BIT,
    EvaluatorCommit,
    Fault,
    FaultKind,
    Handle,
    HandleStatus,
    Job,
    Opening,
    Request,
    RequestStatus,
    SeatBytes,
    opening_name,
    request_name,
)
from octra.consensus.ledger.transactions import Transaction
from octra.crypto.seal import OVERHEAD

SALT_BYTES: Final = 16
OPENING_FAILED: Final = 8008
PUBLIC: Final = b""


# --- requests ---


def request_view(x: Execution, transaction: Transaction, op: ops.ViewRequest) -> Request:
    """The request of an owner to see certified values; raises the rule that forbids it."""
    return _start(x, transaction.id, transaction.sender, op.reader, op.handles, job=b"")


def open_verdict(x: Execution, job: Job) -> None:
    """Open the success bit of a decryption to everybody."""
    _start(x, job.name, job.account, PUBLIC, (job.outputs[1],), job=job.name)


def admit(x: Execution, owner: bytes, name: bytes, *, verdict: bool = False) -> Opening:
    """The opening of a value, if `owner` may have it: the same one for everybody who asks. Counts new bits."""
    asked = x.state.load(keys.handle(name), Handle)
    if asked is None:
        raise NotFound("handle")
    if owner not in asked.readers and not verdict:
        raise NotOwner("the value")
    end, handle = handles.resolve(x.state, name)
    if handle.constant is not None:
        raise InvalidTarget("the value is a public constant")
    if handle.status == HandleStatus.PENDING:
        raise NotCertified
    if handle.status == HandleStatus.FROZEN:
        raise OriginUnproven("its certificate was contradicted")
    known = x.state.load(keys.opening(handle.digest), Opening)
    if known is not None:
        return known
    bits = 1 if handle.type == BIT else WORD_BITS
    if not verdict:  # money hangs on a verdict: it is opened although the last bits are used up meanwhile
        check_cap(x, bits)
    return _new_opening(x, end, handle.digest, bits, attempt=0)


def check_cap(x: Execution, bits: int) -> None:
    """Raises `LimitReached` when so many more openings would leak too much about the network key."""
    if x.counters().opened_bits + bits > x.params.limits.openings_bits:
        raise LimitReached("openings under this network key", x.params.limits.openings_bits)


def price_factor(opened_bits: int, bits_max: int) -> int:
    """Openings get dearer as they use up what one key can bear."""
    return 4 if 5 * opened_bits >= 4 * bits_max else 2 if 2 * opened_bits >= bits_max else 1


def _new_opening(x: Execution, name: bytes, digest: bytes, bits: int, attempt: int) -> Opening:
    noise_index = x.counters().opened_bits
    opening = Opening(opening_name(digest, attempt), name, digest, bits, noise_index, attempt)
    x.count(opened_bits=bits)
    x.state.store(keys.opening(digest), opening)
    return opening


def _start(x: Execution, tx: bytes, owner: bytes, reader: bytes, names: tuple[bytes, ...], *, job: bytes) -> Request:
    openings = tuple(admit(x, owner, name, verdict=bool(job)) for name in names)
    # A verdict waits for its seats however long that takes: money hangs on it.
    due = keys.ROUND_NEVER if job else x.clock.round + x.params.limits.opening_rounds
    request = Request(request_name(tx), tx, owner, reader, openings, job, due)
    x.state.put(keys.due(due, request.name), b"r")
    _store(x, request)
    x.emit("opening_requested", request.name, [opening.handle for opening in openings])
    return request


def on_due(x: Execution, request: Request) -> None:
    """A view's time is over; a seat that answers later is not needed."""
    if len(request.revealed) < _agree(x):
        x.settle(request.tx, FAILED, OPENING_FAILED)
    _finish(x, request)


# --- what seats send ---


def take_commit(x: Execution, op: ops.OpenCommit, seat: int) -> None:
    """A seat's commitment to its share; raises `NotAssigned`."""
    request = _load(x, op.request)
    if request.status == RequestStatus.DONE or _commitment(request, seat) is not None:
        raise NotAssigned("no opening to commit to")
    request = replace(request, commits=(*request.commits, EvaluatorCommit(seat, op.commitment)))
    if len(request.commits) >= x.params.quorum:
        request = replace(request, status=RequestStatus.REVEAL)
    _store(x, request)


def take_share(x: Execution, transaction: Transaction, op: ops.OpenShare, seat: int) -> None:
    """A seat's share; a public opening is decoded as soon as enough of them agree. Raises `NotAssigned`."""
    request = _load(x, op.request)
    commitment = _commitment(request, seat)
    late = request.status == RequestStatus.DONE and request.public
    if commitment is None or seat in request.revealed or not (request.status == RequestStatus.REVEAL or late):
        raise NotAssigned("no opening to answer")
    clear = SALT_BYTES + sum(x.math.part_bytes(opening.bits) for opening in request.openings)
    if len(op.share) != (clear if request.public else clear + OVERHEAD):
        raise NotAssigned("a share of another size")
    if request.public:
        salt, part = op.share[:SALT_BYTES], op.share[SALT_BYTES:]
        if x.math.commitment(request.name, seat, salt, part) != commitment:
            raise NotAssigned("the share is not the one that was committed to")
    x.state.store(keys.share(request.name, seat), SeatBytes(seat, op.share))
    request = replace(request, revealed=(*request.revealed, seat))
    _store(x, request)
    if request.public:
        _decode(x, request, transaction.id)
    else:
        if len(request.revealed) == _agree(x):
            x.settle(request.tx, OK, 0)
        if len(request.revealed) == len(x.params.seats):
            _finish(x, request)


def take_blame(x: Execution, transaction: Transaction, op: ops.OpenBlame) -> None:
    """A reader shows a seat's committed share that does not fit the others. Kept as a complaint, not as a proof."""
    request = x.state.load(keys.request(op.request), Request)
    if request is None:
        raise NotFound("request")
    if request.owner != transaction.sender or request.public:
        raise NotOwner("the request")
    commitment = _commitment(request, op.seat)
    if op.seat not in request.revealed or commitment is None:
        raise InvalidTarget("the seat revealed nothing")
    if x.math.commitment(request.name, op.seat, op.salt, op.share) != commitment:
        raise InvalidTarget("the share is not the one that the seat committed to")
    x.record_fault(Fault(FaultKind.READER_COMPLAINT, op.seat, request.name, x.clock.height, tx=transaction.id))


# --- results of public openings ---


def _decode(x: Execution, request: Request, tx: bytes) -> None:
    (opening,) = request.openings
    rows = {}
    for seat in request.revealed:
        share = x.state.require(keys.share(request.name, seat), SeatBytes)
        rows[seat] = share.data[SALT_BYTES:]
    opened = x.math.open_bits(rows, opening.bits, opening.name)
    if opened is None:
        if len(request.revealed) == len(x.params.seats):
            _try_again(x, request)
        return
    for seat in opened.liars:
        if seat not in request.liars:
            x.record_fault(Fault(FaultKind.WRONG_OPENING_SHARE, seat, request.name, x.clock.height, tx=tx))
    request = replace(request, liars=opened.liars)
    if request.status == RequestStatus.DONE:
        _store(x, request)
        return
    value = sum(bit << index for index, bit in enumerate(opened.bits))
    opening = replace(opening, value=value)
    x.state.store(keys.opening(opening.digest), opening)
    _finish(x, replace(request, openings=(opening,)))
    x.emit("opened", request.name, opening.handle, value, opened.liars)
    pay_verdict(x, x.state.require(keys.job(request.job), Job), covered=value == 1)


def _try_again(x: Execution, request: Request) -> None:
    """All seats answered and no polynomial fits: more than t lie. Ask again, with another noise, a few times."""
    (opening,) = request.openings
    if opening.attempt + 1 >= x.params.limits.opening_attempts:
        x.emit("alarm", "an opening cannot be decoded", request.name)
        return
    fresh = _new_opening(x, opening.handle, opening.digest, opening.bits, opening.attempt + 1)
    for seat in request.revealed:
        x.state.delete(keys.share(request.name, seat))
    _store(x, replace(request, openings=(fresh,), status=RequestStatus.COMMIT, commits=(), revealed=(), liars=()))


def pay_verdict(x: Execution, job: Job, *, covered: bool, refunded: int = 0, code: int | None = None) -> None:
    """The amount of a decryption leaves escrow: to its owner, or back into the private pool."""
    if covered:
        x.refund(job.payer, job.amount)
        x.settle(job.tx, OK, 0, refunded)
    else:
        x.money.escrow -= job.amount
        x.money.private_pool += job.amount
        x.settle(job.tx, FAILED, InsufficientPrivate.oct_code if code is None else code, refunded)
    x.state.store(keys.job(job.name), replace(job, amount=0))


# --- small things ---


def _agree(x: Execution) -> int:
    """2t + 1 shares that agree decide."""
    return 2 * x.params.faults + 1


def _commitment(request: Request, seat: int) -> bytes | None:
    return next((commit.commitment for commit in request.commits if commit.seat == seat), None)


def _load(x: Execution, name: bytes) -> Request:
    request = x.state.load(keys.request(name), Request)
    if request is None:
        raise NotAssigned("no such request")
    return request


def _store(x: Execution, request: Request) -> None:
    x.state.store(keys.request(request.name), request)


def _finish(x: Execution, request: Request) -> None:
    x.state.delete(keys.due(request.due_round, request.name))
    _store(x, replace(request, status=RequestStatus.DONE))
