"""From epoch to epoch: what the record of a close says, and what the first block of the next epoch does with it.

Order of things. An epoch closes with its last block. Its state, and the beacon that the seats reveal only then, give
the record: who sits next (drawn one epoch ago), with which coin, and who sits after that (drawn now, from candidates
that were frozen before anybody could know this beacon). The id of the record is the anchor of the next epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.checkpoint import VERSION as CHECKPOINT_VERSION
from octra.consensus.checkpoint import CheckpointBody, Validator, registered_root, verify_checkpoint
from octra.consensus.coin import beacon_value
from octra.consensus.coin_dealing import CoinKey
from octra.consensus.committee import draw
from octra.consensus.epoch import Committee, EpochRecord, EpochRules
from octra.consensus.errors import InvalidCheckpoint
from octra.consensus.ledger import coin_rules, keys, ops, validators
from octra.consensus.ledger.epoch_records import (
    Candidates,
    CoinProgress,
    EpochState,
    Registered,
    ValidatorRecord,
    ValidatorStatus,
)
from octra.consensus.ledger.errors import NotAssigned
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.params import LedgerParams, Seat
from octra.consensus.ledger.records import Clock
from octra.consensus.ledger.state import load, read
from octra.consensus.ports import StateView
from octra.crypto.hash import H, merkle_root
from octra.primitives import NodeId

RECORD_VERSION = 1
DEAL_PART = 3  # dealings are taken in the first third of an epoch


def epoch_of(view: StateView) -> EpochState | None:
    """The running epoch; None on a chain whose committee is fixed."""
    return load(view, keys.EPOCH, EpochState)


def authors_of(view: StateView, seats: Sequence[bytes]) -> tuple[Seat, ...]:
    """The validators behind the seats that order, with the accounts that get their tips."""
    rows = [_validator(view, node) for node in seats]
    return tuple(Seat(one.node, one.bls_key, one.view_key, one.owner) for one in rows)


# --- the record ---


def close_record(
    view: StateView, params: LedgerParams, close_block: bytes, state_root: bytes, beacon_signature: bytes
) -> EpochRecord:
    """The record that opens the next epoch, from the state of this one's last block. The signature was verified."""
    epoch, clock = _require(view)
    opens = clock.epoch + 1
    beacon = beacon_value(beacon_signature)
    progress = coin_rules.progress_of(view, opens)
    handed_over = progress is not None and progress.key is not None
    seats, coin = (epoch.seats_next, progress.key) if progress and progress.key else (epoch.seats, epoch.coin)
    assert coin is not None
    frozen = load(view, keys.CANDIDATES, Candidates)
    assert frozen is not None
    standing = validators.standing(view, opens)
    return EpochRecord(
        version=RECORD_VERSION,
        chain_id=params.chain_id,
        epoch=opens,
        previous=epoch.record,
        close_height=clock.height,
        close_block=close_block,
        state_root=state_root,
        close_time_ms=clock.time_ms,
        beacon=beacon,
        beacon_signature=beacon_signature,
        seats_next=seats if handed_over else epoch.seats,
        coin_group_key_next=coin.group_key,
        coin_commitments_next=merkle_root(list(coin.share_keys)),
        seats_after_next=_draw(frozen, standing, beacon) or epoch.seats,
        registered_root=registered_root(_signers(standing)),
        scores_id=H("octra.scores", encode(frozen)),
        params_id=H("octra.params", encode(params)),
    )


def committee_of(view: StateView, record: EpochRecord) -> Committee:
    """The committee that a record seats; `view` is the state that the record closes, or a later one of its epoch."""
    epoch, _ = _require(view)
    coin = epoch.coin
    if coin.group_key != record.coin_group_key_next:
        progress = coin_rules.progress_of(view, record.epoch)
        assert progress is not None
        assert progress.key is not None
        coin = progress.key
    seats = tuple(NodeId(node) for node in record.seats_next)
    return Committee(record.id, seats, coin.group_key, coin.share_keys)


def _draw(frozen: Candidates, standing: Sequence[ValidatorRecord], beacon: bytes) -> tuple[bytes, ...]:
    """Those of the frozen candidates who still stand; everybody who stands if all of them left."""
    here = {one.node for one in standing}
    rows = [one for one in frozen.rows if one.node in here] or [one.candidate for one in standing]
    return tuple(draw(rows, beacon))


# --- the first block of an epoch ---


def open_epoch(x: Execution, record: EpochRecord) -> None:
    """Take over what the record says; the clock of the execution is that of the new epoch already."""
    before = x.state.require(keys.EPOCH, EpochState)
    coin, coin_epoch = before.coin, before.coin_epoch
    progress = coin_rules.progress_of(x.state, record.epoch)
    if record.coin_group_key_next != coin.group_key:
        assert progress is not None
        assert progress.key is not None
        coin_rules.forget(x, coin_epoch)
        coin, coin_epoch = progress.key, record.epoch
    elif progress is not None:
        coin_rules.forget(x, record.epoch)  # it was not ready in time
    closed = load(x.before, keys.CLOCK, Clock)
    assert closed is not None
    epoch = EpochState(
        record=record.id,
        base_round=closed.round,
        seats=record.seats_next,
        seats_next=record.seats_after_next,
        coin_epoch=coin_epoch,
        coin=coin,
        signed_epoch=before.signed_epoch,
    )
    standing = validators.standing(x.state, record.epoch)
    x.state.store(keys.EPOCH, epoch)
    x.state.store(keys.epoch_record(record.epoch), record)
    x.state.store(keys.registered(record.epoch), Registered(_signers(standing)))
    x.state.store(keys.CANDIDATES, Candidates(tuple(one.candidate for one in standing)))
    _start_dealing(x, record)
    validators.epoch_ended(x)


def _start_dealing(x: Execution, record: EpochRecord) -> None:
    """The seats of the epoch after this one begin to make their coin."""
    receive_keys = tuple(_validator(x.state, node).coin_key for node in record.seats_after_next)
    progress = first_progress(record, receive_keys, x.params.epoch_ms)
    x.state.store(keys.coin_progress(progress.epoch), progress)


def first_progress(record: EpochRecord, receive_keys: tuple[bytes, ...], epoch_ms: int) -> CoinProgress:
    """A dealing that begins with the epoch which `record` opens."""
    return CoinProgress(
        epoch=record.epoch + 1,
        context=record.id,
        seats=record.seats_after_next,
        receive_keys=receive_keys,
        deal_until_ms=record.close_time_ms + epoch_ms // DEAL_PART,
    )


# --- checkpoints ---


def checkpoint_body(record: EpochRecord, registered_count: int) -> CheckpointBody:
    """What registered validators sign once an epoch is closed: the state below the record that opens the next."""
    return CheckpointBody(
        version=CHECKPOINT_VERSION,
        chain_id=record.chain_id,
        epoch=record.epoch - 1,
        height=record.close_height,
        block_id=record.close_block,
        state_root=record.state_root,
        epoch_record=record.id,
        registered_root=record.registered_root,
        registered_count=registered_count,
    )


def registered_at(view: StateView, epoch: int) -> tuple[Validator, ...] | None:
    """The registered validators as of the record that opened `epoch`, while the state still holds them."""
    row = load(view, keys.registered(epoch), Registered)
    return None if row is None else row.validators


def take_checkpoint(x: Execution, op: ops.Checkpoint, sender: bytes) -> None:
    """The aggregate that a seat or a validator brings; once an epoch, signed by the set of the checkpoint before."""
    if x.state.get(keys.validator(sender)) is None:
        raise NotAssigned("the sender is no validator")
    state = x.state.require(keys.EPOCH, EpochState)
    opened = op.checkpoint.body.epoch + 1
    record = x.state.load(keys.epoch_record(opened), EpochRecord) if opened < 1 << 32 else None
    registered = registered_at(x.state, opened) if record is not None else None
    if opened <= state.signed_epoch or record is None or registered is None:
        raise NotAssigned("no close of an epoch waits for this checkpoint")
    if op.checkpoint.body != checkpoint_body(record, len(registered)):
        raise NotAssigned("not what this chain closed with")
    signers = registered_at(x.state, state.signed_epoch)
    assert signers is not None, "the rows of the last checkpoint stay until the next"
    try:
        verify_checkpoint(op.checkpoint, signers)
    except InvalidCheckpoint as error:
        raise NotAssigned(error.reason) from error
    for epoch in range(state.signed_epoch, opened):
        x.state.delete(keys.registered(epoch))
        x.state.delete(keys.epoch_record(epoch))
    x.state.store(keys.EPOCH, replace(state, signed_epoch=opened))
    x.emit("checkpoint", op.checkpoint.body.epoch, op.checkpoint.body.height)


# --- genesis ---


def genesis_rows(
    record: EpochRecord,
    rules: EpochRules,
    params: LedgerParams,
    coin: CoinKey,
    coin_keys: Sequence[bytes],
) -> dict[bytes, bytes]:
    """The rows of a chain with drawn committees at height 0: the founding validators stand, and all of them sit."""
    founding = [
        ValidatorRecord(
            node=seat.node_id,
            owner=seat.operator,
            bls_key=seat.bls_key,
            coin_key=coin_key,
            view_key=seat.view_key,
            operator=b"",
            status=ValidatorStatus.ACTIVE,
            founding=True,
        )
        for seat, coin_key in zip(params.seats, coin_keys, strict=True)
    ]
    by_node = sorted(founding, key=lambda one: one.node)
    epoch = EpochState(record.id, 0, record.seats_next, record.seats_after_next, 0, coin)
    return {
        keys.EPOCH_RULES: encode(rules),
        keys.EPOCH: encode(epoch),
        keys.CANDIDATES: encode(Candidates(tuple(one.candidate for one in by_node))),
        keys.registered(0): encode(Registered(_signers(by_node))),
        keys.epoch_record(0): encode(record),
        keys.coin_progress(1): encode(first_progress(record, tuple(coin_keys), params.epoch_ms)),
    } | {keys.validator(one.node): encode(one) for one in founding}


def _validator(view: StateView, node: bytes) -> ValidatorRecord:
    row = view.get(keys.validator(node))
    assert row is not None, "who holds a seat does not withdraw"
    return read(row, ValidatorRecord)


def _signers(standing: Sequence[ValidatorRecord]) -> tuple[Validator, ...]:
    return tuple(Validator(one.node, one.bls_key) for one in standing)


def _require(view: StateView) -> tuple[EpochState, Clock]:
    epoch, clock = epoch_of(view), load(view, keys.CLOCK, Clock)
    assert epoch is not None
    assert clock is not None
    return epoch, clock
