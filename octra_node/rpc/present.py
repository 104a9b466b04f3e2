"""Facts as JSON: amounts are decimal texts under `_units`, hashes lower hex, bytes base64, times RFC 3339 UTC."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime

from octra import catalogue
from octra.circles.identity import print_account, print_circle
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import ops
from octra.consensus.ledger.records import (
    Circuit,
    Handle,
    HandleStatus,
    Job,
    JobStatus,
    Purpose,
    Request,
    RequestStatus,
)
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.facts import AccountFacts, CircleFacts, EpochFacts, HeightFacts, NetworkFacts, TransactionFacts
from octra.node.rpc.reading import StoredView
from octra.node.rpc.service import Simulation
from octra.primitives import print_address, print_amount

Json = dict[str, object]
NONCE_WINDOW = 64


def b64(data: bytes) -> str:
    """Bytes as base64 text."""
    return b64encode(data).decode()


def utc(time_ms: int) -> str:
    """A time as RFC 3339 in UTC, milliseconds kept."""
    whole, part = divmod(time_ms, 1_000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{part:03d}Z"


def key_warning(genesis: Genesis) -> str:
    """What every status says about the network key, and what secrecy it gives."""
    if genesis.key.origin == "dealer":
        return "dealer (test network, no secrecy against its operator)"
    if not genesis.key.exists:
        return "none (public operations only)"
    return genesis.key.origin


def secrecy(genesis: Genesis) -> str:
    """`none` when a single party could read everything."""
    one_party = genesis.key.origin == "dealer" or len(genesis.validators) < 4
    return "none" if one_party or not genesis.key.exists else "threshold"


def chain(facade: NodeFacade, view: StoredView) -> Json:
    """`octra_chain`."""
    genesis, prices = facade.genesis, facade.params.prices
    return {
        "chain_id": genesis.chain_id,
        "chain": genesis.chain.hex(),
        "height": view.height,
        "epoch": view.epoch_now,
        "certified_height": view.certified,
        "checkpointed_height": view.checkpointed,
        "state_root": view.state_root.hex(),
        "epoch_length_ms": genesis.epoch_ms,
        "legacy_signing": genesis.legacy_signing,
        "nonce_window": NONCE_WINDOW,
        "boot_price_milli": prices.boot_price_milli,
        "evaluators": prices.evaluators,
        "work_boots": {name: getattr(prices.work, name) for name in ("encrypt", "decrypt", "transfer", "collect")},
        "parameters": genesis.key.parameters,
        "key_id": genesis.key.key_id.hex(),
        "key_origin": key_warning(genesis),
        "coin_origin": genesis.coin.origin,
        "secrecy": secrecy(genesis),
        "seat_epoch": 0,
        "nodes": len(genesis.validators),
    }


def status(facade: NodeFacade, view: StoredView | None) -> Json:
    """`octra_status`; a node without state answers without heights."""
    genesis, facts = facade.genesis, facade.status()
    answer: Json = {
        "chain_id": genesis.chain_id,
        "role": facts.role,
        "state": facts.state,
        "ready": facts.ready,
        "reasons": list(facts.reasons),
        "round": facts.round,
        "peers": facts.peers,
        "lag": facts.lag,
        "pending": facade.pending_count(),
        "node_id": facts.node_id,
        "version": facts.version,
        "kernel": facts.kernel,
        "key": key_warning(genesis),
        "coin": coin_warning(genesis),
        "secrecy": secrecy(genesis),
        "finality_p50_ms": facts.finality_p50_ms,
        "transactions_per_s": facts.transactions_per_s,
        "warnings": list(facts.warnings),
        "execution": facts.execution,
        "blocks_executed": facts.blocks_executed,
        "blocks_applied": facts.blocks_applied,
    }
    if view is not None:
        answer.update(
            height=view.height,
            epoch=view.epoch_now,
            certified_height=view.certified,
            checkpointed_height=view.checkpointed,
            state_root=view.state_root.hex(),
            origin="genesis" if view.origin is None else f"the snapshot of height {view.origin.height}",
        )
    return answer


def coin_warning(genesis: Genesis) -> str:
    """Who made the coin, in words."""
    if genesis.coin.origin == "dealt":
        return "dealt by one party, who knows every leader in advance; safety is unaffected"
    return genesis.coin.origin


def committee(facade: NodeFacade) -> Json:
    """`octra_committee`: what a client verifies and seals to."""
    params = facade.params
    return {
        "chain_id": params.chain_id,
        "epoch": 0,
        "era": 0,
        "n": len(params.seats),
        "f": params.faults,
        "quorum": params.quorum,
        "threshold": params.faults + 1,
        "parameters": params.key_set,
        "key_id": params.key_id.hex(),
        "key_origin": key_warning(facade.genesis),
        "secrecy": secrecy(facade.genesis),
        "groups": [
            {
                "seats": [
                    {
                        "index": number,
                        "node_id": seat.node_id.hex(),
                        "x25519": b64(seat.view_key),
                        "bls": b64(seat.bls_key),
                        "operator": print_address(seat.operator),
                    }
                    for number, seat in enumerate(params.seats)
                ]
            }
        ],
    }


def network(facts: NetworkFacts) -> Json:
    """Nodes and links, without hosts."""
    names = {node.node_id: node.name for node in facts.nodes}
    return {
        "nodes": [
            {
                "id": node.name,
                "role": node.role,
                "state": node.state,
                "seat": node.seat,
                "height": node.height,
                "version": node.version,
                "own": node.own,
            }
            for node in facts.nodes
        ],
        "edges": [
            {"a": names[edge.a], "b": names[edge.b], "latency_ms": edge.latency_ms}
            for edge in facts.edges
            if edge.a in names and edge.b in names
        ],
    }


def block(facts: HeightFacts) -> Json:
    """One block."""
    return {
        "height": facts.height,
        "block_id": facts.block_id.hex(),
        "epoch": facts.epoch,
        "time": utc(facts.time_ms),
        "leader": facts.leader.hex(),
        "parent": facts.parent.hex(),
        "state_root": facts.state_root.hex(),
        "tx_root": facts.tx_root.hex(),
        "receipts_root": facts.receipts_root.hex(),
        "transactions": facts.transactions,
        "level": facts.level.word,
    }


def epoch(facts: EpochFacts) -> Json:
    """One epoch."""
    return {
        "epoch": facts.epoch,
        "first_height": facts.first_height,
        "last_height": facts.last_height,
        "start": utc(facts.start_ms),
        "end": utc(facts.end_ms),
        "transactions": facts.transactions,
        "closed": facts.closed,
        "checkpoint": None if facts.checkpoint is None else b64(facts.checkpoint),
    }


def account(facts: AccountFacts) -> Json:
    """The public side of an account; private balances are handles only."""
    private = facts.private
    return {
        "address": print_account(facts.address),
        "public_units": str(facts.public.balance),
        "public": print_amount(facts.public.balance),
        "nonce": facts.public.nonce,
        "pending_nonce": facts.pending_nonce,
        "private": None
        if private is None
        else {
            "spendable": private.spendable.hex(),
            "incoming": private.incoming.hex(),
            "pending_own": private.pending_own,
            "pending_incoming": private.pending_incoming,
        },
    }


def transaction(facts: TransactionFacts) -> Json:
    """One transaction with its receipt."""
    answer: Json = {
        "id": facts.id.hex(),
        "status": facts.status,
        "level": facts.level.word,
        "form": "legacy" if facts.timestamp is not None else "v2",
        "from": print_address(facts.sender),
        "nonce": facts.nonce,
        "fee_units": str(facts.fee),
        "expiry_epoch": facts.expiry_epoch,
        "op": op(facts.op),
        "height": facts.height,
        "epoch": facts.epoch,
        "time": None if facts.time_ms is None else utc(facts.time_ms),
        "receipt": None,
        "error": None,
    }
    if facts.receipt is not None:
        answer["receipt"] = receipt(facts)
    if facts.code:
        answer["error"] = error(facts.code, facts.reason)
    return answer


def receipt(facts: TransactionFacts) -> Json:
    """The outcome of an executed transaction, settled or not."""
    found, settled = facts.receipt, facts.settlement
    assert found is not None
    return {
        "status": found.status,
        "settled": None if settled is None else settled.status,
        "settled_height": None if settled is None else settled.height,
        "refunded_units": None if settled is None else str(settled.refunded),
        "code": found.code,
        "detail": found.detail,
        "fee_charged_units": str(found.fee_charged),
        "gas": found.gas,
        "jobs": [name.hex() for name in found.jobs],
        "index": found.index,
    }


def error(code: int, detail: str) -> Json:
    """A row of the catalogue with what happened."""
    row = catalogue.row(code)
    return {"code": row.text, "title": row.title, "detail": detail, "hint": row.remedy}


def op(value: ops.Op) -> Json:
    """The fields of an operation that mean something to people. Sealed bytes show their size only."""
    answer: Json = {"kind": value.name}
    match value:
        case ops.Transfer():
            answer |= {"to": print_account(value.to), "amount_units": str(value.amount), "memo": text(value.memo)}
        case ops.MultiTransfer():
            items = [{"to": print_account(item.to), "amount_units": str(item.amount)} for item in value.items]
            answer |= {"items": items, "memo": text(value.memo)}
        case ops.Burn() | ops.Encrypt() | ops.Decrypt():
            answer |= {"amount_units": str(value.amount)}
        case ops.PrivateTransfer():
            answer |= {"to": print_account(value.to), "amount_units": None, "note": b64(value.note)}
        case ops.ViewRequest():
            answer |= {"handles": [name.hex() for name in value.handles], "reader": b64(value.reader)}
        case ops.CircleDeploy():
            answer |= {"code_hash": value.code_hash.hex(), "package_root": value.package_root.hex()}
        case ops.CircleUpgrade():
            answer |= {"circle": print_circle(value.circle), "code_hash": value.code_hash.hex()}
        case ops.CircleCall():
            answer |= {
                "circle": print_circle(value.circle),
                "method": value.method,
                "arguments": b64(value.arguments),
                "value_units": str(value.value),
                "gas_limit": value.gas_limit,
            }
        case ops.CircleAssets():
            answer |= {"circle": print_circle(value.circle), "files": [file.path for file in value.files]}
        case ops.CircleBlobPut():
            answer |= {"blob": value.blob.hex(), "index": value.index, "bytes": len(value.data)}
        case _:
            pass
    return answer


def handle(name: bytes, facts: Handle) -> Json:
    """An encrypted value: everything about it but the value."""
    return {
        "handle": name.hex(),
        "type_bits": facts.type,
        "status": HandleStatus(facts.status).name.lower(),
        "origin": facts.origin.hex(),
        "digest": facts.digest.hex(),
        "alias": facts.alias.hex(),
        "constant_units": None if facts.constant is None else str(facts.constant),
        "readers": [print_account(reader) for reader in facts.readers],
    }


def job(facts: Job) -> Json:
    """An evaluation job."""
    return {
        "job": facts.name.hex(),
        "state": JobStatus(facts.status).name.lower(),
        "circuit": Circuit(facts.circuit).name.lower(),
        "purpose": Purpose(facts.purpose).name.lower(),
        "inputs": [name.hex() for name in facts.inputs],
        "outputs": [name.hex() for name in facts.outputs],
        "bootstraps": facts.boots,
        "escrow_units": str(facts.escrow),
        "transaction": facts.tx.hex(),
        "evaluators": list(facts.evaluators),
        "committed": [commit.seat for commit in facts.commits],
        "revealed": [
            {"seat": reveal.seat, "digests": [digest.hex() for digest in reveal.digests]} for reveal in facts.reveals
        ],
        "attempts": facts.attempts,
    }


def request(facts: Request, shares: list[tuple[int, bytes]]) -> Json:
    """An opening request with what the seats have answered."""
    return {
        "request": facts.name.hex(),
        "state": RequestStatus(facts.status).name.lower(),
        "owner": print_account(facts.owner),
        "reader": b64(facts.reader),
        "public": facts.public,
        "transaction": facts.tx.hex(),
        "openings": [
            {
                "name": opening.name.hex(),
                "handle": opening.handle.hex(),
                "digest": opening.digest.hex(),
                "bits": opening.bits,
                "noise_index": opening.noise_index,
                "attempt": opening.attempt,
                "value": opening.value,
            }
            for opening in facts.openings
        ],
        "committed": [{"seat": commit.seat, "commitment": b64(commit.commitment)} for commit in facts.commits],
        "shares": [{"seat": seat, "share": b64(share)} for seat, share in shares],
        "liars": list(facts.liars),
    }


def circle(facts: CircleFacts) -> Json:
    """The public part of a Circle."""
    record = facts.record
    return {
        "circle": print_circle(record.name),
        "name": facts.title,
        "version": facts.version,
        "update": record.version,
        "owner": print_account(record.owner),
        "balance_units": str(facts.balance),
        "code_hash": record.code_hash.hex(),
        "manifest_hash": record.manifest_hash.hex(),
        "stable_root": record.stable_root.hex(),
        "assets_root": record.assets_root.hex(),
        "stable_bytes": record.stable_bytes,
        "max_stable_bytes": facts.max_stable_bytes,
        "assets_bytes": record.assets_bytes,
        "active_from": record.active_from,
        "callable": facts.callable,
        "methods": dict(facts.methods),
        "label": facts.label,
    }


def simulation(found: Simulation) -> Json:
    """What the checks say, and what strangers will see."""
    failure = None if found.error is None else error(found.error.oct_code, str(found.error))
    return {
        "ok": found.error is None,
        "fee_units": str(found.minimum_fee),
        "effects": op(found.op),
        "strangers_see": strangers_see(found.op),
        "checked": ["form", "chain", "expiry", *(["signature"] if found.signed else []), "fee", "nonce", "balance"],
        "error": failure,
    }


def strangers_see(value: ops.Op) -> str:
    """What anybody learns from the chain, in one sentence."""
    match value:
        case ops.PrivateTransfer():
            return "sender, receiver, time and fee, and that it was private; not the amount"
        case ops.Encrypt() | ops.Decrypt():
            return "you, the amount, time and fee"
        case ops.Collect() | ops.ViewRequest():
            return "you, time and fee; no amount"
        case _:
            return "everything in it, for ever"


def text(data: bytes) -> str:
    """Bytes that people wrote, as text; what is no UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def as_of(view: StoredView) -> Mapping[str, object]:
    """The height that an answer holds for."""
    return {"height": view.height, "epoch": view.epoch_now, "state_root": view.state_root.hex()}
