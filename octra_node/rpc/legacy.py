"""The methods that existing Octra wallets call, with the field names and types that they read.

Those clients break on a null or a wrong type, so optional fields are left out instead. `epoch` is our epoch; amounts
are texts, in OCT in some methods and in units in others, as the clients expect them.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Final

import msgspec
from msgspec import Raw, Struct

from octra import catalogue
from octra.circles.identity import print_account
from octra.codec import encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.errors import BadSignature
from octra.consensus.ledger.legacy import print_legacy
from octra.consensus.ledger.transactions import SignedLegacy
from octra.crypto import ed25519
from octra.crypto.seal import view_key
from octra.errors import InvalidInput, Malformed
from octra.node.rpc import service
from octra.node.rpc.errors import BadRequest, NotFound, NotOffered
from octra.node.rpc.facts import Level, TransactionFacts
from octra.node.rpc.jsonrpc import Parameters
from octra.node.rpc.limits import PRICE_PROOF, PRICE_SUBMIT
from octra.node.rpc.methods import Context, table
from octra.node.rpc.present import text
from octra.primitives import address_of, parse_address, print_address, print_amount

STAGING_MAX: Final = 100
HISTORY_MAX, HISTORY_DEFAULT = 500, 50

_TIMESTAMP: Final = re.compile(r"(0|[1-9][0-9]{0,10})(\.[0-9]{1,9})?")
_DIGITS: Final = re.compile(r"(0|[1-9][0-9]{0,18})")
_OP_NAMES: Final = {"transfer": "standard"}


class SubmittedLegacy(Struct):
    """What a wallet posts. The timestamp stays text: a float would change what was signed."""

    from_: str = msgspec.field(name="from")
    to_: str
    amount: str | int
    nonce: int
    ou: str | int
    timestamp: Raw
    signature: str
    public_key: str
    op_type: str | None = None
    encrypted_data: str | None = None
    message: str | None = None


def signed_legacy(tx: SubmittedLegacy) -> bytes:
    """The wire form of a posted transaction: the text that its signature verifies for, and nothing rebuilt later."""
    timestamp = bytes(tx.timestamp).decode()
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Malformed("legacy transaction", "the timestamp is seconds with at most nine decimals")
    for number in (str(tx.amount), str(tx.ou)):
        if not _DIGITS.fullmatch(number):
            raise Malformed("legacy transaction", "amount and ou are whole units")
    key, signature = _fixed_base64(tx.public_key, 32), _fixed_base64(tx.signature, 64)
    if print_address(address_of(key)) != tx.from_:
        raise Malformed("legacy transaction", "the key does not belong to the sender")
    # Wallets in JavaScript print a whole number without its fraction, but sign it with one.
    forms = [timestamp] if "." in timestamp else [f"{timestamp}.0", timestamp]
    for form in forms:
        signed = print_legacy(
            sender=tx.from_,
            to=tx.to_,
            amount=int(tx.amount),
            nonce=tx.nonce,
            fee=int(tx.ou),
            timestamp=form,
            op_type=tx.op_type or "standard",
            data=tx.encrypted_data or "",
            message=tx.message or "",
        )
        if ed25519.verify(key, signature, signed):
            return encode(SignedLegacy(signed, signature, key))
    raise BadSignature


@table.method("octra_submit", "transaction", "Take a transaction in the legacy form", PRICE_SUBMIT)
async def _submit(context: Context, p: Parameters) -> object:
    return await _submit_one(context, p.value(0, SubmittedLegacy, "a transaction"))


@table.method("octra_submitBatch", "transactions <= 100", "Take several legacy transactions", 10 * PRICE_SUBMIT)
async def _submit_batch(context: Context, p: Parameters) -> object:
    transactions = p.value(0, list[SubmittedLegacy], "a list of transactions")
    if len(transactions) > STAGING_MAX:
        raise BadRequest(f"at most {STAGING_MAX} transactions")
    results: list[object] = []
    accepted = 0
    for transaction in transactions:
        try:
            results.append(await _submit_one(context, transaction))
            accepted += 1
        except InvalidInput as error:
            results.append({"status": "rejected", "error": f"{catalogue.row(error.oct_code).text}: {error}"})
    rejected = len(results) - accepted
    return {"total": len(results), "accepted": accepted, "rejected": rejected, "results": results}


async def _submit_one(context: Context, tx: SubmittedLegacy) -> dict[str, object]:
    tx_id, unchecked = await service.submit(context.facade, signed_legacy(tx))
    return {
        "tx_hash": tx_id.hex(),
        "status": "accepted",
        "nonce": unchecked.content.nonce,
        "ou_cost": str(unchecked.content.fee),
    }


@table.method("octra_balance", "address", "Public balance and nonces")
async def _balance(context: Context, p: Parameters) -> object:
    address = parse_address(p.text(0))
    facts = service.account(context.facade, context.view, address)
    return {
        "address": print_address(address),
        "balance": print_amount(facts.public.balance),
        "balance_raw": str(facts.public.balance),
        "nonce": facts.public.nonce,
        "pending_nonce": facts.pending_nonce,
        "has_public_key": bool(facts.public.nonce or facts.public.used),
    }


@table.method("octra_nonce", "address", "The highest used nonce, the pool included")
async def _nonce(context: Context, p: Parameters) -> object:
    facts = service.account(context.facade, context.view, parse_address(p.text(0)))
    return {"address": p.text(0), "nonce": facts.public.nonce, "pending_nonce": facts.pending_nonce}


@table.method("octra_validateAddress", "text", "Whether a text is an address")
async def _validate_address(_: Context, p: Parameters) -> object:
    try:
        parse_address(p.text(0))
    except InvalidInput as error:
        return {"address": p.text(0), "valid": False, "error": str(error)}
    return {"address": p.text(0), "valid": True}


@table.method("staging_view", "", "Transactions that wait for a block, at most 100")
async def _staging(context: Context, _: Parameters) -> object:
    count = context.facade.pending_count()
    waiting = service.pending(context.facade, STAGING_MAX)
    rows = [
        _row(facts) | {"amount_raw": str(amount_of(facts)), "nonce": facts.nonce, "message": memo_of(facts.op)}
        for facts in waiting
    ]
    return {"count": len(rows), "total": count, "truncated": count > len(rows), "transactions": rows}


@table.method("octra_recommendedFee", "op_type = standard", "Fees of an operation")
async def _recommended_fee(context: Context, p: Parameters) -> object:
    op_type = p.text(0, "standard")
    minimum = service.minimum_fee(context.facade, op_type)
    waiting = context.facade.pending_count()
    return {
        "minimum": str(minimum),
        "base_fee": str(minimum),
        "recommended": str(minimum),
        "fast": str(2 * minimum),
        "staging_ou": "0",
        "epoch_capacity": "0",
        "staging_size": waiting,
        "usage_pct": min(100, waiting // 1_000),
        "stealth_class": op_type == "stealth",
    }


@table.method("octra_transactionsByAddress", "address, limit <= 500, offset", "History of an account", PRICE_PROOF)
async def _by_address(context: Context, p: Parameters) -> object:
    address = parse_address(p.text(0))
    limit = p.integer(1, HISTORY_DEFAULT, low=1, high=HISTORY_MAX)
    offset = p.integer(2, 0, high=service.HISTORY_MAX)
    found = service.history_by_offset(context.view, address, limit, offset)
    done = [facts for facts in found.items if facts.status != "failed"]
    failed = [facts for facts in found.items if facts.status == "failed"]
    return {
        "address": print_address(address),
        "total": found.total,
        "count": len(done),
        "offset": offset,
        "limit": limit,
        "has_more": found.next is not None,
        "transactions": [_raw_row(facts) for facts in done],
        "rejected": [_raw_row(facts) | _rejection(facts) for facts in failed],
        "dropped": [],
    }


@table.method("octra_recentTransactions", "limit <= 100", "The newest transactions", PRICE_PROOF)
async def _recent(context: Context, p: Parameters) -> object:
    limit = p.integer(0, 15, low=1, high=100)
    found, _ = context.view.recent_transactions(limit)
    return {"count": len(found[:limit]), "transactions": [_raw_row(facts) for facts in found[:limit]]}


@table.method("octra_transaction", "hash", "One transaction")
async def _transaction(context: Context, p: Parameters) -> object:
    facts = service.transaction(context.facade, context.view, service.parse_id(p.text(0)))
    row = _row(facts)
    answer = {"tx_hash": row.pop("hash"), "status": _status_word(facts)} | row
    answer |= {
        "amount_raw": str(amount_of(facts)),
        "nonce": facts.nonce,
        "message": memo_of(facts.op),
        "signature": b64encode(facts.signature).decode(),
        "public_key": b64encode(facts.sender_key).decode(),
    }
    if facts.height is None:
        answer["epoch"] = None
    else:
        answer["block_height"] = facts.height
    if answer["status"] == "rejected":
        answer["error"] = {"type": catalogue.row(facts.code).name, "reason": facts.reason}
        answer["rejected_at"] = _seconds(facts)
    elif answer["status"] == "dropped":
        assert facts.fate is not None
        answer |= {"reason": facts.fate.reason, "detail": facts.fate.reason, "dropped_at": _seconds(facts)}
    return answer


@table.method("octra_viewPubkey", "address", "The key that messages to an account are sealed to")
async def _view_pubkey(context: Context, p: Parameters) -> object:
    address = parse_address(p.text(0))
    for _, _, facts in context.view.transactions_of(address, service.HISTORY_MAX):
        if facts.sender == address:
            key = view_key(facts.sender_key)
            return {"address": print_address(address), "view_pubkey": b64encode(key).decode()}
    return {"address": print_address(address), "view_pubkey": None, "reason": "the account has not signed anything yet"}


@table.method("octra_publicKey", "address", "The Ed25519 key of an account that has signed")
async def _public_key(context: Context, p: Parameters) -> object:
    address = parse_address(p.text(0))
    for _, _, facts in context.view.transactions_of(address, service.HISTORY_MAX):
        if facts.sender == address:
            return {"address": print_address(address), "public_key": b64encode(facts.sender_key).decode()}
    raise NotFound("public key")


@table.method("octra_registerPublicKey", "address, key, signature", "Not needed: a transaction carries its key")
async def _register_public_key(_: Context, p: Parameters) -> object:
    _check_owner(p.text(0), p.text(1), p.text(2), "register_pubkey:" + p.text(0))
    return {"ok": True, "address": p.text(0), "status": "not_needed"}


@table.method("octra_encryptedBalance", "address, signature, key", "Whether an encrypted balance exists")
async def _encrypted_balance(context: Context, p: Parameters) -> object:
    address = _check_owner(p.text(0), p.text(2), p.text(1), "octra_encryptedBalance|" + p.text(0))
    if context.view.private(address) is not None:
        raise NotOffered("the encrypted balance in this form; use octra balance --reveal")
    return {"address": print_address(address), "cipher": "0", "has_pvac_pubkey": False}


@table.method("octra_tokensByAddress", "address", "Tokens of an account: none")
async def _tokens(_: Context, p: Parameters) -> object:
    return {"wallet_address": print_address(parse_address(p.text(0))), "count": 0, "tokens": []}


@table.method("octra_tokenTransfersByAddress", "address, limit, offset", "Token transfers of an account: none")
async def _token_transfers(_: Context, p: Parameters) -> object:
    limit, offset = p.integer(1, HISTORY_DEFAULT, high=HISTORY_MAX), p.integer(2, 0)
    answer: dict[str, object] = {"address": print_address(parse_address(p.text(0))), "total": 0, "count": 0}
    answer |= {"offset": offset, "limit": limit, "has_more": False}
    return answer | {"incoming": [], "outgoing": [], "transactions": []}


async def _stealth_outputs(_: Context, p: Parameters) -> object:
    answer: dict[str, object] = {"from_epoch": p.integer(0, 0), "before_id": None, "count": 0, "scanned": 0}
    return answer | {"has_more": False, "next_before_id": None, "outputs": []}


for _name in ("octra_stealthOutputs", "octra_stealthOutputsPage"):
    table.method(_name, "from_epoch", "Stealth outputs: none on this network")(_stealth_outputs)


async def _no_pvac(_: Context, __: Parameters) -> object:
    raise NotOffered("this network has no PVAC keys")


for _name in ("octra_pvacPubkey", "octra_pvacMigrationStatus", "octra_registerPvacPubkey"):
    table.method(_name, "", "Not offered: this network has no PVAC keys")(_no_pvac)


@table.method("node_status", "", "Where the chain is, as existing wallets read it")
async def _node_status(context: Context, _: Parameters) -> object:
    view, facts = context.view, context.facade.status()
    clock = view.clock
    return {
        "epoch": view.epoch_now,
        "current_epoch": view.epoch_now,
        "head_epoch": view.epoch_now,
        "validator": facts.node_id,
        "roots": 1,
        "timestamp": (0 if clock is None else clock.time_ms) / 1_000,
        "network_version": facts.version,
        "state_root": view.state_root.hex(),
        "txid_hi": view.height,
        "irmin_commit": None,
    }


@table.method("node_version", "", "Version of this program")
async def _node_version(context: Context, _: Parameters) -> object:
    return {"version": context.facade.status().version}


@table.method("epoch_current", "", "The epoch that runs")
async def _epoch_current(context: Context, _: Parameters) -> object:
    return {"epoch_id": context.view.epoch_now, "height": context.view.height}


@table.method("octra_supply", "", "Where all money is")
async def _supply(context: Context, _: Parameters) -> object:
    supply = context.view.supply()
    if supply is None:
        raise NotOffered("the supply, before the genesis is stored")
    return {
        "total": print_amount(supply.total),
        "public": print_amount(supply.public),
        "encrypted": print_amount(supply.private_pool),
        "burned": print_amount(supply.burned),
        "unissued": print_amount(supply.emission_left),
    }


# --- words of the existing clients ---


def amount_of(facts: TransactionFacts) -> int:
    """The public amount of an operation; 0 where there is none, or where it is hidden."""
    op = facts.op
    return op.amount if isinstance(op, ops.Decrypt) else service.public_amount(op)


def receiver_of(facts: TransactionFacts) -> str:
    """Whom an operation is for; the sender where it concerns nobody else."""
    match facts.op:
        case ops.Transfer(to=to) | ops.PrivateTransfer(to=to):
            return print_account(to)
        case ops.MultiTransfer(items=items):
            return print_account(items[0].to)
        case ops.CircleCall(circle=circle) | ops.CircleUpgrade(circle=circle) | ops.CircleAssets(circle=circle):
            return print_account(circle)
        case _:
            return print_address(facts.sender)


def memo_of(op: ops.Op) -> str | None:
    """The public memo, or `None`."""
    memo = op.memo if isinstance(op, ops.Transfer | ops.MultiTransfer) else b""
    return text(memo) or None


def _row(facts: TransactionFacts) -> dict[str, object]:
    """The fields of every list row, amounts in OCT."""
    row: dict[str, object] = {
        "hash": facts.id.hex(),
        "from": print_address(facts.sender),
        "to": receiver_of(facts),
        "amount": print_amount(amount_of(facts)),
        "ou": str(facts.fee),
        "timestamp": _seconds(facts),
        "op_type": _OP_NAMES.get(facts.op.name, facts.op.name),
    }
    if facts.epoch is not None:
        row |= {"epoch": facts.epoch, "height": facts.height}
    return row


def _raw_row(facts: TransactionFacts) -> dict[str, object]:
    """The same with the amount in units, as histories have it."""
    return _row(facts) | {"amount": str(amount_of(facts))}


def _rejection(facts: TransactionFacts) -> dict[str, object]:
    name = catalogue.row(facts.code).name
    return {"nonce": facts.nonce, "error_type": name, "reason": facts.reason, "type": "rejected"}


def _status_word(facts: TransactionFacts) -> str:
    match facts.status:
        case "failed" | "refused":
            return "rejected"
        case "dropped":
            return "dropped"
        case _:
            return "confirmed" if facts.level >= Level.CERTIFIED else "pending"


def _seconds(facts: TransactionFacts) -> float:
    """Seconds for people: nothing here is signed or compared."""
    if facts.time_ms is not None:
        return facts.time_ms / 1_000
    if facts.fate is not None:
        return facts.fate.time_ms / 1_000
    return float(facts.timestamp) if facts.timestamp is not None else 0.0


def _check_owner(address: str, key: str, signature: str, message: str) -> bytes:
    public_key = _fixed_base64(key, 32)
    owner = parse_address(address)
    if address_of(public_key) != owner or not ed25519.verify(
        public_key, _fixed_base64(signature, 64), message.encode()
    ):
        raise BadSignature
    return owner


def _fixed_base64(value: str, size: int) -> bytes:
    try:
        data = b64decode(value, validate=True)
    except ValueError as error:
        raise Malformed("legacy transaction", "a key or signature is not base64") from error
    if len(data) != size:
        raise Malformed("legacy transaction", "a key or signature has the wrong size")
    return data
