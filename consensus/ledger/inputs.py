"""Dealt inputs: from a user's sealed shares to a ciphertext that nobody chose.

The seats check that every dealt value is a bit before any of them publishes a part, because an unchecked value would
let a user place a phase on the decision line and learn the key. The check values are asked for by a coin that nobody
knew when the input was dealt. The ciphertext then follows from ordered bytes alone.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from octra.consensus.ledger import handles, keys, ops
from octra.consensus.ledger.errors import NotAssigned, StaleSeats
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.params import ERA, SEAT_EPOCH
from octra.consensus.ledger.records import (
    WORD,
    ZERO,
    DealtInput,
    Fault,
    FaultKind,
    Handle,
    InputStage,
    SeatBytes,
    Source,
    handle_name,
)
from octra.consensus.ledger.sidecar import input_id
from octra.consensus.ledger.transactions import Transaction

CHECK_BYTES_MAX: Final = 64  # a row has 34; what is larger would bloat the state


def input_handle(name: bytes) -> bytes:
    """The handle of a dealt word: it exists when the dealing is ordered."""
    return handle_name(Source.INPUT, WORD, (), (name, 0))


def check_seats(dealing: ops.InputDealing) -> None:
    """Raises `StaleSeats` when the dealing is not for the seats of now."""
    if dealing.seat_epoch != SEAT_EPOCH:
        raise StaleSeats(f"dealt to the seats of epoch {dealing.seat_epoch}, they sit since epoch {SEAT_EPOCH}")


def order(x: Execution, transaction: Transaction, dealing: ops.InputDealing) -> bytes:
    """The handle of a dealing that was just ordered."""
    name = input_id(sender=transaction.sender_key, nonce=transaction.nonce, index=0, era=ERA, bits=dealing.bits)
    handle = input_handle(name)
    x.state.store(keys.handle(handle), Handle(WORD, name))
    deadline = x.clock.round + x.params.limits.input_rounds
    record = DealtInput(name, handle, transaction.id, dealing.bits, dealing.sidecar, x.clock.round, deadline)
    x.blobs[dealing.sidecar] = transaction.sidecar
    _store_due(x, record, x.clock.round + 1)
    return handle


def on_due(x: Execution, record: DealtInput) -> None:
    """The first coin after the order asks for check values; the deadline turns the amount into the constant 0."""
    if x.clock.round > record.deadline:
        _fail(x, record, "the seats formed no ciphertext in time")
    elif record.stage == InputStage.ORDERED:
        _store_due(x, replace(record, stage=InputStage.CHECK, coin=x.coin), record.deadline + 1)


def take_check(x: Execution, op: ops.DealCheck, seat: int) -> None:
    """A seat's check values; the verdict falls as soon as enough rows decide it. Raises `NotAssigned`."""
    record = _load(x, op.input)
    known = {row.seat: row.data for row in record.checks}
    if record.stage not in (InputStage.CHECK, InputStage.PARTS) or seat in known:
        raise NotAssigned("no dealing to check")
    if len(op.values) > CHECK_BYTES_MAX:
        raise NotAssigned("a check row of another size")
    record = replace(record, checks=(*record.checks, SeatBytes(seat, op.values)))
    rows = {**known, seat: op.values}
    verdict = x.math.judge(rows, record.bits, record.name, record.coin)
    if record.stage == InputStage.PARTS:
        # Accepted before: a late row only decides whether its seat holds a share that fits.
        fits = verdict is not None and verdict.accepted and seat not in verdict.off
        _store(x, replace(record, off=record.off if fits else (*record.off, seat)))
    elif verdict is None:
        _store(x, record)
    elif verdict.accepted:
        _store(x, replace(record, stage=InputStage.PARTS, off=verdict.off))
    else:
        _fail(x, record, verdict.reason)


def may_give_part(record: DealtInput, seat: int) -> bool:
    """Did the seat's check row fit, and is its part still missing?"""
    checked = any(row.seat == seat for row in record.checks)
    return checked and seat not in record.off and all(row.seat != seat for row in record.parts)


def take_part(x: Execution, transaction: Transaction, op: ops.InputPart, seat: int) -> None:
    """A seat's part of the ciphertext; the ciphertext follows as soon as enough parts agree. Raises `NotAssigned`."""
    record = _load(x, op.input)
    if record.stage not in (InputStage.PARTS, InputStage.FORMED) or not may_give_part(record, seat):
        raise NotAssigned("no input to give a part of")
    if len(op.values) != x.math.part_bytes(record.bits):
        raise NotAssigned("a part of another size")
    record = replace(record, parts=(*record.parts, SeatBytes(seat, op.values)))
    formed = x.math.form_input({row.seat: row.data for row in record.parts}, record.bits, record.name)
    if formed is None:
        _store(x, record)
        return
    for liar in formed.liars:
        if liar not in record.liars:
            fault = Fault(FaultKind.WRONG_INPUT_PART, liar, record.name, x.clock.height, tx=transaction.id)
            x.record_fault(fault)
    record = replace(record, liars=formed.liars)
    if record.stage == InputStage.FORMED:
        _store(x, record)
        return
    _unlist(x, record)
    _store(x, replace(record, stage=InputStage.FORMED, due_round=0))
    x.blobs[formed.digest] = formed.ciphertext
    handles.certify(x, record.handle, formed.digest)
    x.emit("input_formed", record.name, formed.digest)


def _fail(x: Execution, record: DealtInput, reason: str) -> None:
    """The amount counts as 0: nothing moves, and the fee of the work goes back."""
    _unlist(x, record)
    _store(x, replace(record, stage=InputStage.FAILED, due_round=0, checks=(), parts=()))
    handles.alias(x, record.handle, ZERO)
    x.emit("input_failed", record.name, reason)


def _load(x: Execution, name: bytes) -> DealtInput:
    record = x.state.load(keys.dealt_input(name), DealtInput)
    if record is None:
        raise NotAssigned("no such input")
    return record


def _store(x: Execution, record: DealtInput) -> None:
    x.state.store(keys.dealt_input(record.name), record)


def _store_due(x: Execution, record: DealtInput, round: int) -> None:
    _unlist(x, record)
    x.state.put(keys.due(round, record.name), b"i")
    _store(x, replace(record, due_round=round))


def _unlist(x: Execution, record: DealtInput) -> None:
    if record.due_round:
        x.state.delete(keys.due(record.due_round, record.name))
