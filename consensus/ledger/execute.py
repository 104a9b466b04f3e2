"""One transaction after the other: window, fee, the operation's rule, receipt. Circle calls run after all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import assert_never

from msgspec.structs import replace

from octra.columns import cut
from octra.consensus.ledger import (
    accounts,
    blobs,
    circle_ops,
    coin_rules,
    epochs,
    fees,
    inputs,
    keys,
    native,
    openings,
    ops,
    private,
    validators,
    work,
)
from octra.consensus.ledger.circle_ops import CircleQueue
from octra.consensus.ledger.errors import (
    Expired,
    FeeTooLow,
    InsufficientBalance,
    InvalidTransaction,
    NonceUsed,
    NotAssigned,
)
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.legacy import WINDOW_MS
from octra.consensus.ledger.outcome import LedgerBatch, Place, Places, Skipped, TransactionEvent
from octra.consensus.ledger.receipts import FAILED, OK, PENDING, Event, Receipt, Receipts, events_root, outcome_hash
from octra.consensus.ledger.records import Node, Pool
from octra.consensus.ledger.transactions import StaticRules, Transaction, admit_attested, check_expiry
from octra.consensus.ledger.transfers import CompiledTransfers, Transfers
from octra.consensus.ports import CallOutcome, CircleCall, CircleEngine, CircleView
from octra.errors import InvalidInput


@dataclass(slots=True)
class Run:
    """The transactions of the commit so far."""

    x: Execution
    engine: CircleEngine
    rules: StaticRules
    queue: CircleQueue = field(default_factory=CircleQueue)
    receipts: Receipts = field(default_factory=Receipts)
    events: list[TransactionEvent] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    waiting: list[tuple[int, Transaction]] = field(default_factory=list)  # calls: index of the receipt
    places: Places = field(default_factory=Places)  # of the receipts; they count all items of the commit
    transfers: Transfers = field(init=False)
    compiled: CompiledTransfers | None = field(init=False)  # instead of them

    def __post_init__(self) -> None:
        self.transfers = Transfers(self.x)
        self.compiled = CompiledTransfers(self.x, self.rules) if native.available() else None


@dataclass(slots=True)
class _Done:
    """What an operation reports when it succeeded."""

    extra_fee: int = 0  # beyond the minimum, for work that only execution can measure
    work_units: int = 0  # of the prepaid work fee, now in escrow
    jobs: tuple[bytes, ...] = ()
    pending: bool = False


def execute_batches(run: Run, batches: Sequence[LedgerBatch]) -> None:
    """Execute what the authors ordered, item after item."""
    compiled, at = run.compiled, 0
    starts = list(accumulate((len(batch.transactions) for batch in batches), initial=0))
    if compiled is not None:
        compiled.begin(batches)
    while at < starts[-1]:
        if compiled is not None:
            ran = compiled.run(at, len(run.receipts))
            run.receipts.extend(cut(ran.ids, 32), ran.receipts)
            run.places.extend(range(at, ran.end), ran.parties)
            at = ran.end
        if at < starts[-1]:
            number = bisect_right(starts, at) - 1
            batch = batches[number]
            _execute_item(run, batch.author_seat, at, batch.transactions[at - starts[number]])
            at += 1
    run.transfers.settle()


def _execute_item(run: Run, author_seat: int, position: int, item: bytes) -> None:
    x = run.x
    try:
        transaction = admit_attested(item, run.rules)
    except InvalidInput as error:
        run.transfers.settle()
        _skip(run, b"", author_seat, error)
        return
    done = len(run.receipts)
    if run.compiled is None and isinstance(transaction.op, ops.Transfer):
        receipt = run.transfers.take(transaction, transaction.op, author_seat, done)
        if receipt is not None:
            run.receipts.append(receipt)
            run.places.append(Place(position, (transaction.sender, transaction.op.to)))
            return
    run.transfers.settle()
    try:
        if transaction.op.node_op:
            _execute_node_op(run, transaction)
        else:
            _check_window(x, transaction)
            _execute(run, author_seat, transaction)
    except InvalidTransaction as error:
        _skip(run, transaction.id, author_seat, error)
    if len(run.receipts) > done:
        run.places.append(Place(position, accounts.parties(transaction)))


def _skip(run: Run, tx: bytes, author_seat: int, error: InvalidInput) -> None:
    run.skipped.append(Skipped(tx, author_seat, error.oct_code, str(error)))
    if isinstance(error, NonceUsed | NotAssigned):
        return  # mostly a second copy by another author: nobody's fault
    node_id = run.x.authors[author_seat].node_id
    node = run.x.node(node_id)
    run.x.store_node(node_id, Node(node.seat, node.tips, node.skipped + 1, node.certified, node.faults))


def _check_window(x: Execution, transaction: Transaction) -> None:
    """What may have changed since the mempool: expiry, nonce."""
    if transaction.expiry_epoch is not None:
        check_expiry(transaction.expiry_epoch, x.clock.epoch)
    else:
        assert transaction.timestamp_ms is not None
        if abs(transaction.timestamp_ms - x.clock.time_ms) > WINDOW_MS:
            raise Expired("the timestamp of a legacy transaction lies within 300 s of the commit")
    accounts.check_nonce(x.account(transaction.sender), transaction.nonce)


def required_fee(x: Execution, op: ops.Op) -> int:
    """The minimum at the prices of now."""
    minimum = fees.minimum_fee(op, x.params.prices)
    if isinstance(op, ops.ViewRequest):
        factor = openings.price_factor(x.counters().opened_bits, x.params.limits.openings_bits)
        minimum += (factor - 1) * fees.OPENING_PRICE * fees.WORD_BITS * len(op.handles)
    return minimum


def _execute(run: Run, author_seat: int, transaction: Transaction) -> None:
    """Take the fee, run the operation, give back what it did not use. Raises only before anything was taken."""
    x, op = run.x, transaction.op
    required = required_fee(x, op)
    if transaction.fee < required:
        raise FeeTooLow(required, transaction.fee)
    account = x.account(transaction.sender)
    if account.balance < transaction.fee:
        raise InsufficientBalance(transaction.fee, account.balance)
    account = accounts.use_nonce(account, transaction.nonce)
    x.state.store(keys.account(transaction.sender), replace(account, balance=account.balance - transaction.fee))

    index = len(run.receipts)
    x.begin()
    try:
        done = _run_op(run, transaction)
        work.settle_woken(x)
    except InvalidInput as error:
        x.undo()
        done, status, code, detail = _Done(), FAILED, error.oct_code, str(error)
    else:
        x.keep()
        status, code, detail = PENDING if done.pending else OK, 0, ""

    prepaid = x.params.prices.work_units(fees.boots(op, x.params.prices))
    kept = required - prepaid + done.extra_fee
    tip = transaction.fee - required - done.extra_fee
    refund = prepaid - done.work_units
    if isinstance(op, ops.CircleCall) and status == PENDING:
        run.waiting.append((index, transaction))  # how much gas it needs is not known yet
    else:
        x.money.spend(kept, _pool_of(op))
    _tip(x, author_seat, tip)
    x.credit(transaction.sender, refund)
    charged = transaction.fee - refund
    events = keep_events(run, transaction.id)
    run.receipts.append(
        Receipt(
            tx=transaction.id,
            height=x.clock.height,
            index=index,
            status=status,
            code=code,
            detail=detail,
            fee_charged=charged,
            jobs=done.jobs,
            events_root=events_root(events),
        )
    )


def _run_op(run: Run, transaction: Transaction) -> _Done:
    """The rule of the operation; raises the rule's own error."""
    x, op = run.x, transaction.op
    match op:
        case ops.Transfer():
            accounts.transfer(x, transaction, op)
        case ops.MultiTransfer():
            accounts.multi_transfer(x, transaction, op)
        case ops.Burn():
            accounts.burn(x, transaction, op)
        case ops.Encrypt():
            return _started(private.encrypt(x, transaction, op))
        case ops.Decrypt():
            return _started(private.decrypt(x, transaction, op))
        case ops.PrivateTransfer():
            return _started(private.transfer(x, transaction, op))
        case ops.Collect():
            return _started(private.collect(x, transaction))
        case ops.ViewRequest():
            openings.request_view(x, transaction, op)
            return _Done(pending=True)
        case ops.OpenBlame():
            openings.take_blame(x, transaction, op)
        case ops.CircleDeploy():
            return _Done(extra_fee=circle_ops.deploy(x, run.engine, transaction, op))
        case ops.CircleUpgrade():
            return _Done(extra_fee=circle_ops.upgrade(x, run.engine, transaction, op))
        case ops.CircleAssets():
            circle_ops.publish_assets(x, transaction, op)
        case ops.CircleBlobPut():
            blobs.put(x, transaction, op)
        case ops.CircleCall():
            circle_ops.queue_call(x, run.queue, transaction, op)
            return _Done(pending=True)
        case ops.NodeRegister():
            validators.register(x, transaction, op)
        case ops.Bond():
            validators.bond(x, transaction, op)
        case ops.Ready():
            validators.ready(x, transaction, op)
        case ops.Exit():
            validators.leave(x, transaction, op)
        case ops.Withdraw():
            validators.withdraw(x, transaction, op)
        case (
            ops.EvaluationCommit()
            | ops.EvaluationReveal()
            | ops.DealCheck()
            | ops.InputPart()
            | ops.OpenCommit()
            | ops.OpenShare()
            | ops.CoinDeal()
            | ops.CoinAck()
            | ops.CoinRepair()
            | ops.Checkpoint()
        ):
            raise AssertionError("node operations take another way")
        case _:
            assert_never(op)
    return _Done()


def _started(started: private.Started) -> _Done:
    return _Done(work_units=started.work_units, jobs=started.jobs, pending=started.pending)


def _execute_node_op(run: Run, transaction: Transaction) -> None:
    """A seat's answer to a task of its own, free of charge; raises `NotAssigned` for anything else."""
    x, op = run.x, transaction.op
    x.begin()
    try:
        match op:
            case ops.CoinDeal():
                coin_rules.take_dealing(x, op, transaction.sender_key)
            case ops.CoinAck():
                coin_rules.take_ack(x, op, transaction.sender_key)
            case ops.CoinRepair():
                coin_rules.take_repair(x, op, transaction.sender_key)
            case ops.Checkpoint():
                epochs.take_checkpoint(x, op, transaction.sender_key)
            case _:
                _execute_key_duty(x, transaction)
        work.settle_woken(x)
    except InvalidTransaction:
        x.undo()
        raise
    x.keep()
    index = len(run.receipts)
    events = keep_events(run, transaction.id)
    run.receipts.append(Receipt(transaction.id, x.clock.height, index, OK, 0, "", 0, events_root=events_root(events)))


def _execute_key_duty(x: Execution, transaction: Transaction) -> None:
    """What the holder of a share of the network key owes."""
    op, seat = transaction.op, x.params.seat_of(transaction.sender_key)
    if seat is None:
        raise NotAssigned("the sender has no seat")
    match op:
        case ops.EvaluationCommit():
            work.take_commit(x, op, seat)
        case ops.EvaluationReveal():
            work.take_reveal(x, transaction, op, seat)
        case ops.DealCheck():
            inputs.take_check(x, op, seat)
        case ops.InputPart():
            inputs.take_part(x, transaction, op, seat)
        case ops.OpenCommit():
            openings.take_commit(x, op, seat)
        case ops.OpenShare():
            openings.take_share(x, transaction, op, seat)
        case _:
            raise AssertionError("not a node operation")


def _pool_of(op: ops.Op) -> Pool:
    match op:
        case ops.Encrypt() | ops.Decrypt() | ops.PrivateTransfer() | ops.Collect():
            return Pool.FHE
        case ops.ViewRequest() | ops.OpenBlame():
            return Pool.KEYS
        case ops.CircleBlobPut() | ops.CircleAssets():
            return Pool.STORE
        case ops.NodeRegister() | ops.Bond() | ops.Ready() | ops.Exit() | ops.Withdraw():
            return Pool.VERIFY
        case _:
            return Pool.ORDER


def _tip(x: Execution, author_seat: int, units: int) -> None:
    if units:
        author = x.authors[author_seat]
        x.credit(author.operator, units)
        node = x.node(author.node_id)
        x.store_node(author.node_id, Node(node.seat, node.tips + units, node.skipped, node.certified, node.faults))


def keep_events(run: Run, tx: bytes) -> list[Event]:
    """Hand the events of what just ran to the outcome."""
    events = list(run.x.events)
    run.events.extend(TransactionEvent(tx, event) for event in events)
    run.x.events.clear()
    return events


# --- Circle calls ---


def execute_calls(run: Run, circle_view: CircleView) -> dict[bytes, CallOutcome]:
    """Passes 2 and 3: run the queued calls, then settle them in commit order."""
    if not run.queue.calls:
        return {}
    outcomes = run.engine.execute(run.queue.calls, circle_view)
    done = {}
    for call, outcome, (index, transaction) in zip(run.queue.calls, outcomes, run.waiting, strict=True):
        _settle_call(run, call, outcome, index, transaction)
        done[call.call_id] = outcome
    return done


def _settle_call(run: Run, call: CircleCall, outcome: CallOutcome, index: int, transaction: Transaction) -> None:
    x = run.x
    receipt = run.receipts[index]
    events = circle_ops.settle_call(x, run.queue, call, outcome)
    run.events.extend(TransactionEvent(transaction.id, event) for event in events)
    needed = circle_ops.gas_fee(min(outcome.gas_used, call.gas_limit))
    unused = fees.base_fee(transaction.op) - needed
    x.money.spend(needed, Pool.ORDER)
    x.credit(transaction.sender, unused)
    failed = outcome.status != "ok"
    error = circle_ops.failure_of(outcome)
    ended = replace(
        receipt,
        status=FAILED if failed else OK,
        code=error.oct_code if failed else 0,
        detail=str(error) if failed else "",
        fee_charged=receipt.fee_charged - unused,
        gas=outcome.gas_used,
        result=outcome_hash(replace(outcome, log=())),
        events_root=events_root(events),
    )
    run.receipts.change(index, ended)
