"""Encrypted balances: encrypt, decrypt, private transfer, collect. Money moves between names before any value exists.

The commit order fixes a chain S -> S' -> S'' of handles, so nothing is spent twice; evaluators fill in values later.
Whatever public constants decide alone (adding to the constant 0, say) becomes no job.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from octra.consensus.ledger import handles, inputs, keys, openings, ops, work
from octra.consensus.ledger.errors import InsufficientPrivate, OriginUnproven
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import BIT, ZERO, Circuit, HandleStatus, Job, Purpose
from octra.consensus.ledger.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Started:
    """What an encrypted operation set going: its unfinished jobs, and how much of its work fee they hold."""

    jobs: tuple[bytes, ...] = ()
    work_units: int = 0

    @property
    def pending(self) -> bool:
        """Does the transaction wait for evaluators?"""
        return bool(self.jobs)


def encrypt(x: Execution, transaction: Transaction, op: ops.Encrypt) -> Started:
    """Public units become part of the sender's encrypted balance."""
    owner = transaction.sender
    x.debit(owner, op.amount)
    x.money.public -= op.amount
    x.money.private_pool += op.amount
    spendable = _usable(x, handles.private_of(x.state, owner).spendable)
    addend = handles.constant(x.state, op.amount)
    boots = x.params.prices.work.encrypt
    total, job = _add(x, transaction, Purpose.ENCRYPT, owner, spendable, addend, boots, amount=op.amount)
    _set_balance(x, owner, spendable=total)
    return _started(job)


def collect(x: Execution, transaction: Transaction) -> Started:
    """What others sent becomes spendable; incoming starts again at the constant 0."""
    owner = transaction.sender
    private = handles.private_of(x.state, owner)
    spendable, incoming = _usable(x, private.spendable), _usable(x, private.incoming)
    boots = x.params.prices.work.collect
    total, job = _add(x, transaction, Purpose.COLLECT, owner, spendable, incoming, boots)
    _set_balance(x, owner, spendable=total, incoming=ZERO)
    return _started(job)


def transfer(x: Execution, transaction: Transaction, op: ops.PrivateTransfer) -> Started:
    """A hidden amount leaves `spendable` of the sender for `incoming` of the receiver, who may be the sender.

    When the balance does not cover the amount, the amount that moves is an encryption of 0: only the owner can tell.
    """
    sender, receiver = transaction.sender, op.to
    spendable = _usable(x, handles.private_of(x.state, sender).spendable)
    incoming = _usable(x, handles.private_of(x.state, receiver).incoming)
    inputs.check_seats(op.input)
    if handles.resolve(x.state, spendable)[1].constant == 0:
        return Started()  # a balance that is publicly empty: nothing moves, and the seats are not troubled
    dealt = inputs.order(x, transaction, op.input)
    table, prices = x.params.prices.work, x.params.prices
    credit_units = prices.work_units(table.collect)
    debit_units = prices.work_units(table.transfer) - credit_units
    debit = work.create(
        x,
        Circuit.DEBIT,
        Purpose.TRANSFER,
        (spendable, dealt),
        readers=((sender,), _each_once(sender, receiver)),
        boots=table.transfer - table.collect,
        account=sender,
        payer=sender,
        escrow=_hold(x, debit_units),
        amount=0,
        tx=transaction.id,
    )
    rest, sent = debit.outputs
    _set_balance(x, sender, spendable=rest)
    total, credit = _add(x, transaction, Purpose.RECEIVE, receiver, incoming, sent, table.collect)
    _set_balance(x, receiver, incoming=total)
    if credit is None:
        return Started((debit.name,), debit_units)
    x.state.store(keys.job(debit.name), replace(debit, follow=credit.name))
    return Started((debit.name, credit.name), debit_units + credit_units)


def decrypt(x: Execution, transaction: Transaction, op: ops.Decrypt) -> Started:
    """Units leave the encrypted balance if it holds them. The turnstile: never more than all ever encrypted."""
    owner = transaction.sender
    if op.amount > x.money.private_pool:
        raise InsufficientPrivate
    openings.check_cap(x, 1)
    spendable = _usable(x, handles.private_of(x.state, owner).spendable)
    amount = handles.constant(x.state, op.amount)
    decided = work.simplify(x, Circuit.DECRYPT, (spendable, amount))
    x.money.private_pool -= op.amount
    if decided is not None:
        rest, verdict = decided
        if handles.resolve(x.state, verdict)[1].constant != 1:
            raise InsufficientPrivate
        x.money.public += op.amount
        x.credit(owner, op.amount)
        _set_balance(x, owner, spendable=rest)
        return Started()
    x.money.escrow += op.amount
    boots = x.params.prices.work.decrypt
    job = work.create(
        x,
        Circuit.DECRYPT,
        Purpose.DECRYPT,
        (spendable, amount),
        readers=((owner,), ()),
        boots=boots,
        account=owner,
        payer=owner,
        escrow=_hold(x, x.params.prices.work_units(boots)),
        amount=op.amount,
        tx=transaction.id,
    )
    _set_balance(x, owner, spendable=job.outputs[0])
    return _started(job)


def _add(
    x: Execution,
    transaction: Transaction,
    purpose: Purpose,
    owner: bytes,
    base: bytes,
    addend: bytes,
    boots: int,
    *,
    amount: int = 0,
) -> tuple[bytes, Job | None]:
    """The handle of base + addend, and the job that computes it unless public constants decide it."""
    decided = work.simplify(x, Circuit.CREDIT, (base, addend))
    if decided is not None:
        return decided[0], None
    job = work.create(
        x,
        Circuit.CREDIT,
        purpose,
        (base, addend),
        readers=((owner,),),
        boots=boots,
        account=owner,
        payer=transaction.sender,
        escrow=_hold(x, x.params.prices.work_units(boots)),
        amount=amount,
        tx=transaction.id,
    )
    return job.outputs[0], job


def _hold(x: Execution, units: int) -> int:
    """Fee that the sender has paid already moves to escrow."""
    x.money.public_to_escrow(units)
    return units


def _started(job: Job | None) -> Started:
    return Started() if job is None else Started((job.name,), job.escrow)


def _usable(x: Execution, name: bytes) -> bytes:
    _, handle = handles.resolve(x.state, name)
    if handle.status == HandleStatus.FROZEN:
        raise OriginUnproven("the balance is frozen: its certificate was contradicted")
    assert handle.type != BIT
    return name


def _set_balance(x: Execution, owner: bytes, *, spendable: bytes | None = None, incoming: bytes | None = None) -> None:
    private = handles.private_of(x.state, owner)
    x.state.store(
        keys.private(owner),
        replace(
            private,
            spendable=private.spendable if spendable is None else spendable,
            incoming=private.incoming if incoming is None else incoming,
        ),
    )


def _each_once(*addresses: bytes) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(addresses))
