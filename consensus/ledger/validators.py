"""Validators: how a node registers, bonds, stands for the draw, leaves, and what a proven fault costs it."""

from __future__ import annotations

from msgspec.structs import replace

from octra.consensus.epoch import EpochRules
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.epoch_records import FULL_SCORE, EpochState, ValidatorRecord, ValidatorStatus
from octra.consensus.ledger.errors import InvalidTarget, LimitReached, NotFound, NotOwner
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.state import read
from octra.consensus.ledger.transactions import Transaction
from octra.consensus.limits import REGISTERED_MAX
from octra.consensus.ports import StateView

EQUIVOCATION_PERMILLE = 200  # of the bond; more when others did it at about the same time
CORRELATION_PERMILLE, CORRELATION_EPOCHS = 3_000, 24
ROWS_MAX, UNBONDED_EPOCHS = 1_024, 64  # a row without a bond costs little, so there are few, and not for long
SEATED_EPOCHS = 2  # committees that are drawn already when a validator leaves


def register(x: Execution, transaction: Transaction, op: ops.NodeRegister) -> None:
    """A new row, or new keys for a row of the sender. A node that was removed never comes back."""
    old = _find(x, op.node)
    if old is not None and old.status != ValidatorStatus.REMOVED:
        _check_owner(old, transaction)
        own = {"bls_key": op.bls_key, "coin_key": op.coin_key, "view_key": op.view_key, "operator": op.operator}
        new = replace(old, **own)
    elif old is not None:
        raise InvalidTarget("this node was removed")
    else:
        if len(all_validators(x.state)) >= ROWS_MAX:
            raise LimitReached("registered nodes", ROWS_MAX)
        drop = x.clock.epoch + UNBONDED_EPOCHS
        new = ValidatorRecord(op.node, transaction.sender, op.bls_key, op.coin_key, op.view_key, op.operator, left=drop)
    _store(x, new)
    x.emit("node_registered", op.node)


def bond(x: Execution, transaction: Transaction, op: ops.Bond) -> None:
    """Money of the owner goes behind its node."""
    validator = _own(x, transaction, op.node)
    if validator.status not in (ValidatorStatus.REGISTERED, ValidatorStatus.ACTIVE):
        raise InvalidTarget("the node is leaving")
    x.debit(transaction.sender, op.amount)
    x.money.public_to_bond(op.amount)
    _store(x, replace(validator, bond=validator.bond + op.amount))


def ready(x: Execution, transaction: Transaction, op: ops.Ready) -> None:
    """The node stands for the draw after its time as a shadow."""
    validator = _own(x, transaction, op.node)
    if validator.status != ValidatorStatus.REGISTERED:
        raise InvalidTarget("the node is ready already, or leaving")
    rules = rules_of(x.state)
    if not validator.founding and validator.bond < rules.bond_units:
        raise InvalidTarget(f"the bond is {validator.bond} of {rules.bond_units} units")
    if sum(one.status == ValidatorStatus.ACTIVE for one in all_validators(x.state)) >= REGISTERED_MAX:
        raise LimitReached("validators", REGISTERED_MAX)
    since = x.clock.epoch + rules.shadow_epochs
    _store(x, replace(validator, status=ValidatorStatus.ACTIVE, since=since))
    x.emit("node_ready", op.node, since)


def leave(x: Execution, transaction: Transaction, op: ops.Exit) -> None:
    """No further draw takes the node. The last one that stands for the draw cannot leave."""
    validator = _own(x, transaction, op.node)
    if validator.status != ValidatorStatus.ACTIVE:
        raise InvalidTarget("the node does not stand for the draw")
    others = [other for other in standing(x.state, x.clock.epoch) if other.node != op.node]
    if not others:
        raise InvalidTarget("no other validator would be left")
    left = x.clock.epoch + SEATED_EPOCHS
    _store(x, replace(validator, status=ValidatorStatus.EXITING, left=left))
    x.emit("node_exits", op.node, left)


def withdraw(x: Execution, transaction: Transaction, op: ops.Withdraw) -> None:
    """What is left of the bond comes back: after the unbonding time, and behind a checkpoint."""
    validator = _own(x, transaction, op.node)
    epoch = x.state.require(keys.EPOCH, EpochState)
    if validator.status not in (ValidatorStatus.EXITING, ValidatorStatus.REMOVED):
        raise InvalidTarget("the node has not left")
    due = validator.left + rules_of(x.state).unbonding_epochs
    if x.clock.epoch < due:
        raise InvalidTarget(f"the bond is free from epoch {due} on")
    if op.node in (*epoch.seats, *epoch.seats_next):
        raise InvalidTarget("the node still holds a seat")
    if epoch.signed_epoch < validator.left:
        raise InvalidTarget("no checkpoint lies above the node's last epoch yet")
    x.money.public_to_bond(-validator.bond)
    x.credit(transaction.sender, validator.bond)
    if validator.status == ValidatorStatus.REMOVED:
        _store(x, replace(validator, bond=0))
    else:
        x.state.delete(keys.validator(op.node))


def remove_for_equivocation(x: Execution, node: bytes) -> None:
    """Two vertices of one round, proven: never drawn again, and part of the bond is burned."""
    validator = _find(x, node)
    if validator is None or validator.status == ValidatorStatus.REMOVED:
        return
    everybody = all_validators(x.state)
    recent = x.clock.epoch - CORRELATION_EPOCHS
    removed = (other for other in everybody if other.status == ValidatorStatus.REMOVED)
    offenders = 1 + sum(other.left - SEATED_EPOCHS > recent for other in removed)
    permille = min(1_000, EQUIVOCATION_PERMILLE + CORRELATION_PERMILLE * offenders // len(everybody))
    penalty = validator.bond * permille // 1_000
    x.money.slash(penalty)
    left = x.clock.epoch + SEATED_EPOCHS
    status = ValidatorStatus.REMOVED
    _store(x, replace(validator, status=status, bond=validator.bond - penalty, left=left, score=0))
    x.emit("node_removed", node, penalty)


def lower_score(x: Execution, node: bytes) -> None:
    """Other proven misbehaviour: less often drawn, until epochs without any have passed."""
    validator = _find(x, node)
    if validator is not None and validator.score:
        _store(x, replace(validator, score=validator.score // 2))


def epoch_ended(x: Execution) -> None:
    """What faults took from scores comes back step by step; nodes that never bonded are forgotten."""
    for validator in all_validators(x.state):
        if validator.status == ValidatorStatus.REGISTERED and not validator.bond and validator.left <= x.clock.epoch:
            x.state.delete(keys.validator(validator.node))
        elif validator.score < FULL_SCORE and validator.status != ValidatorStatus.REMOVED:
            _store(x, replace(validator, score=validator.score + 1))


def all_validators(view: StateView) -> list[ValidatorRecord]:
    """Every row, by node id; removed ones, too."""
    return [read(value, ValidatorRecord) for _, value in view.scan(keys.VALIDATOR, 1 << 20)]


def standing(view: StateView, epoch: int) -> list[ValidatorRecord]:
    """Who may be drawn, and signs checkpoints, from `epoch` on; by node id."""
    return [one for one in all_validators(view) if one.status == ValidatorStatus.ACTIVE and one.since <= epoch]


def rules_of(view: StateView) -> EpochRules:
    """The rules that genesis set."""
    data = view.get(keys.EPOCH_RULES)
    assert data is not None, "genesis writes the rules"
    return read(data, EpochRules)


def _find(x: Execution, node: bytes) -> ValidatorRecord | None:
    return x.state.load(keys.validator(node), ValidatorRecord)


def _own(x: Execution, transaction: Transaction, node: bytes) -> ValidatorRecord:
    validator = _find(x, node)
    if validator is None:
        raise NotFound("validator")
    _check_owner(validator, transaction)
    return validator


def _check_owner(validator: ValidatorRecord, transaction: Transaction) -> None:
    if validator.owner != transaction.sender:
        raise NotOwner("the node")


def _store(x: Execution, validator: ValidatorRecord) -> None:
    x.state.store(keys.validator(validator.node), validator)
