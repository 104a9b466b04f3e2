"""Circles on the ledger: deploy, upgrade, files, and calls in three passes (gate and debit, execute, settle)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.circles import circle_id, file_leaf, tree_root
from octra.consensus.ledger import blobs, fees, keys, ops
from octra.consensus.ledger.circle_manifest import ManifestFacts, check_call, manifest_hash, read_manifest
from octra.consensus.ledger.errors import (
    CircleFailed,
    FeeTooLow,
    InvalidOp,
    InvalidTarget,
    LimitReached,
    ModuleRefused,
    NotFound,
    NotOwner,
)
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.nesting import check_nesting
from octra.consensus.ledger.receipts import Event
from octra.consensus.ledger.records import AssetRecord, CircleRecord
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transactions import Transaction
from octra.consensus.ports import Argument, CallContext, CallOutcome, CircleCall, CircleEngine, StateView
from octra.crypto.hash import EMPTY_ROOT
from octra.errors import Corrupt, InvalidInput

Diff = dict[bytes, bytes | None]
NEVER: Final = 2**53
ARGUMENTS_MAX: Final = 256


@dataclass(slots=True)
class CircleQueue:
    """Calls that passed the gate, in commit order, and what execution left."""

    calls: list[CircleCall] = field(default_factory=list)
    diffs: dict[bytes, Diff] = field(default_factory=dict)


def deploy(x: Execution, engine: CircleEngine, transaction: Transaction, op: ops.CircleDeploy) -> int:
    """Create the Circle; the answer is the price of its metered code, beyond the base fee."""
    name = circle_id(transaction.sender, transaction.nonce, op.package_root)
    if x.state.get(keys.circle(name)) is not None:
        raise InvalidTarget("the Circle exists")
    extra = _accept_code(x, engine, transaction, op)
    x.state.store(
        keys.circle(name),
        CircleRecord(
            name=name,
            owner=transaction.sender,
            version=1,
            code_hash=op.code_hash,
            manifest_hash=manifest_hash(op.manifest),
            stable_root=EMPTY_ROOT,
            assets_root=op.assets_root,
            acl_root=EMPTY_ROOT,
            stable_bytes=0,
            assets_bytes=0,
            paid_until=NEVER,
            active_from=x.clock.height + x.params.limits.circle_activation,
        ),
    )
    x.state.put(keys.circle_manifest(name), op.manifest)
    x.emit("circle_deployed", name, op.code_hash)
    return extra


def upgrade(x: Execution, engine: CircleEngine, transaction: Transaction, op: ops.CircleUpgrade) -> int:
    """Replace code, manifest and files of the owner's Circle; its state stays."""
    record = owned(x, op.circle, transaction.sender)
    if record.code_hash != op.old_code_hash:
        raise InvalidTarget("the Circle has other code by now")
    if manifest_of(x.state, op.circle).upgrade.mode == "immutable":
        raise InvalidTarget("the Circle is immutable")
    extra = _accept_code(x, engine, transaction, op)
    blobs.use(x, _code_blob(x, record.code_hash), -1)
    _drop_assets(x, op.circle)
    record = replace(
        record,
        version=record.version + 1,
        code_hash=op.code_hash,
        manifest_hash=manifest_hash(op.manifest),
        assets_root=op.assets_root,
        assets_bytes=0,
        active_from=x.clock.height + x.params.limits.circle_activation,
    )
    x.state.store(keys.circle(op.circle), record)
    x.state.put(keys.circle_manifest(op.circle), op.manifest)
    x.emit("circle_upgraded", op.circle, op.code_hash)
    return extra


def publish_assets(x: Execution, transaction: Transaction, op: ops.CircleAssets) -> None:
    """Put the files behind the Circle's assets root into the state, where the gateway reads them."""
    record = owned(x, op.circle, transaction.sender)
    leaves = [file_leaf(file.path, file.media, file.encoding, file.blob) for file in op.files]
    if tree_root(leaves) != record.assets_root:
        raise InvalidTarget("the files do not match the Circle's assets root")
    if record.assets_bytes:
        raise InvalidTarget("the files are published")
    total = sum(blobs.size_of(x.state, file.blob) for file in op.files)
    if total > x.params.limits.circle_assets_bytes:
        raise LimitReached("bytes of a Circle's files", x.params.limits.circle_assets_bytes)
    for file in op.files:
        size = blobs.size_of(x.state, file.blob)
        x.state.store(keys.circle_asset(op.circle, file.path), AssetRecord(file.media, file.encoding, file.blob, size))
        blobs.use(x, file.blob, +1)
    x.state.store(keys.circle(op.circle), replace(record, assets_bytes=total))


def read_asset(view: StateView, circle: bytes, path: str) -> tuple[AssetRecord, bytes] | None:
    """A file of a Circle's site with its content, or None."""
    record = load(view, keys.circle_asset(circle, path), AssetRecord)
    if record is None:
        return None
    content = blobs.read_blob(view, record.blob)
    assert content is not None, "a used blob is kept"
    return record, content


def queue_call(x: Execution, queue: CircleQueue, transaction: Transaction, op: ops.CircleCall) -> None:
    """Pass 1: the gate. Takes the value from the sender; raises what forbids the call."""
    record = x.state.load(keys.circle(op.circle), CircleRecord)
    if record is None:
        raise NotFound("Circle")
    if x.clock.height < record.active_from:
        raise InvalidTarget(f"the Circle can be called from height {record.active_from}")
    facts = manifest_of(x.state, op.circle)
    check_call(facts, op.method, op.value, is_owner=transaction.sender == record.owner)
    arguments = read_arguments(op.arguments)
    x.debit(transaction.sender, op.value)
    call = CircleCall(
        call_id=transaction.id,
        circle=op.circle,
        code_hash=record.code_hash,
        method=op.method,
        arguments=arguments,
        caller=transaction.sender,
        origin=transaction.sender,
        value=op.value,
        balance=x.account(op.circle).balance,
        usage=record.stable_bytes,
        max_stable_bytes=facts.limits.max_stable_bytes,
        gas_limit=op.gas_limit,
        context=call_context(x),
    )
    queue.calls.append(call)


def manifest_of(view: StateView, circle: bytes) -> ManifestFacts:
    """What the chain knows of an existing Circle's manifest."""
    data = view.get(keys.circle_manifest(circle))
    assert data is not None, "a Circle has a manifest"
    return read_manifest(data)


def read_arguments(data: bytes) -> tuple[Argument, ...]:
    """The arguments of a call; raises `Malformed` or `InvalidOp`."""
    check_nesting(data, 1, ARGUMENTS_MAX + 1, "arguments of the call")
    values: list[Argument] = []
    for value in decode(data, list[object], "arguments of the call"):
        if not isinstance(value, bool | int | str | bytes | None):
            raise InvalidOp("an argument is nothing, true, false, an integer, text or bytes")
        values.append(value)
    return tuple(values)


def call_context(x: Execution) -> CallContext:
    """Facts that all calls of this commit share."""
    return CallContext(x.params.chain_id, x.clock.height, x.clock.epoch, x.clock.time_ms, x.clock.beacon)


def settle_call(x: Execution, queue: CircleQueue, call: CircleCall, outcome: CallOutcome) -> list[Event]:
    """Pass 3: the writes, value and transfers of a call that succeeded; its value goes back when it failed."""
    if outcome.status != "ok":
        x.credit(call.origin, call.value)
        return []
    record = x.state.require(keys.circle(call.circle), CircleRecord)
    if outcome.usage > call.max_stable_bytes:
        raise Corrupt("an engine let a Circle pass its limit of stable bytes")
    queue.diffs.setdefault(call.circle, {}).update(outcome.diff)
    x.state.store(keys.circle(call.circle), replace(record, stable_bytes=outcome.usage))
    x.credit(call.circle, call.value)
    for receiver, units in outcome.transfers:
        if units < 0 or x.account(call.circle).balance < units:
            raise Corrupt("an engine let a Circle spend more than it has")
        x.debit(call.circle, units)
        x.credit(receiver, units)
    return [Event(call.circle, event.topic, event.data) for event in outcome.events]


def gas_fee(gas_used: int) -> int:
    """What a call costs in units."""
    return max(1_000, -(-gas_used // fees.GAS_PER_UNIT))


def failure_of(outcome: CallOutcome) -> CircleFailed:
    """The error of a call that did not succeed."""
    return CircleFailed(outcome.status, outcome.detail)


def owned(x: Execution, circle: bytes, sender: bytes) -> CircleRecord:
    """The record of the sender's own Circle; raises `NotFound` or `NotOwner`."""
    record = x.state.load(keys.circle(circle), CircleRecord)
    if record is None:
        raise NotFound("Circle")
    if record.owner != sender:
        raise NotOwner("the Circle")
    return record


def _accept_code(
    x: Execution, engine: CircleEngine, transaction: Transaction, op: ops.CircleDeploy | ops.CircleUpgrade
) -> int:
    read_manifest(op.manifest)
    code = blobs.read_code(x.state, op.code_hash)
    if code is None:
        raise NotFound("code")
    try:
        metered_bytes = engine.check(code)
    except InvalidInput as error:
        raise ModuleRefused(str(error)) from error
    extra = fees.DEPLOY_PRICE_PER_KIB * -(-metered_bytes // 1_024)
    required = fees.minimum_fee(op, x.params.prices) + extra
    if transaction.fee < required:
        raise FeeTooLow(required, transaction.fee)
    blobs.use(x, _code_blob(x, op.code_hash), +1)
    return extra


def _code_blob(x: Execution, code_hash: bytes) -> bytes:
    name = x.state.get(keys.code(code_hash))
    assert name is not None, "used code is kept"
    return name


def _drop_assets(x: Execution, circle: bytes) -> None:
    prefix = keys.circle_asset(circle, "")
    for key, _ in list(x.state.scan(prefix, ops.ASSET_FILES_MAX)):
        record = x.state.require(key, AssetRecord)
        blobs.use(x, record.blob, -1)
        x.state.delete(key)


def encode_arguments(*arguments: Argument) -> bytes:
    """The bytes of a call's arguments."""
    return encode(list(arguments))
