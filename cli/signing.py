"""From an operation to a final transaction: preview, yes, signature, submission, and the wait for its outcome."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from octra.cli import client, network, preview, settings, wallets
from octra.cli.network import Network, Transaction
from octra.cli.output import Answer, CommandFailed
from octra.consensus.ledger import fees, ops, transactions
from octra.crypto.ed25519 import SigningKey
from octra.primitives import print_amount

EXPIRES_IN = 128  # epochs
WAIT_S, EVALUATION_WAIT_S = 30.0, 900.0  # without --timeout: for ordering, and for work on ciphertexts
_POLL_S = 10.0  # of one `octra_wait`; the node allows 25


@dataclass(frozen=True, slots=True)
class Sender:
    """Who signs, known without a passphrase."""

    name: str
    address: str
    key: bytes  # Ed25519 public key
    balance_units: int
    nonce: int  # the next free one


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, and how to explain it to the one who signs."""

    op: ops.Op
    title: str
    strangers_see: str
    receiver: str = ""
    units: int | None = None  # for the preview only
    sidecar: bytes = b""
    notes: tuple[str, ...] = ()
    typed_word: str = ""  # ask for this word instead of a yes
    evaluated: bool = False  # its outcome waits for work on ciphertexts


@dataclass(frozen=True, slots=True)
class Terms:
    """What --fee, --expires-in and --wait say. A fee of 0 means: the lowest."""

    fee: int = 0
    expires_in: int = EXPIRES_IN
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transaction that was sent. `transaction` is None where nobody waited for it."""

    tx_id: str
    transaction: Transaction | None
    preview: preview.Preview


def sender(name: str = "") -> Sender:
    """The wallet that --wallet names, with its account as the node knows it."""
    header = wallets.header_of(name or settings.current.wallet)
    account = network.account(header.address)
    return Sender(header.name, header.address, header.public_key, account.balance_units, account.next_nonce)


def sign_item(
    chain: Network, key: SigningKey, nonce: int, op: ops.Op, fee: int, expiry: int, sidecar: bytes = b""
) -> bytes:
    """The bytes of a batch item: the signed wire form and what travels beside it."""
    body = transactions.build(chain=chain.chain, sender=key.public, nonce=nonce, expiry_epoch=expiry, fee=fee, op=op)
    return transactions.sign(body, key) + sidecar


def carry_out(chain: Network, who: Sender, operation: Operation, terms: Terms) -> Outcome:
    """Preview, confirm, sign, submit and wait; raises what became of it unless it went through."""
    fee = terms.fee or fees.minimum_fee(operation.op, chain.prices)
    expiry = chain.epoch + terms.expires_in
    shown = preview.Preview(
        operation=operation.title,
        sender_key=who.key,
        receiver=operation.receiver,
        units=operation.units,
        fee=fee,
        nonce=who.nonce,
        expiry_epoch=expiry,
        chain_id=chain.chain_id,
        strangers_see=operation.strangers_see,
        notes=operation.notes,
    )
    preview.confirm(shown, operation.typed_word)
    key = wallets.open_wallet().key
    assert key.public == who.key
    item = sign_item(chain, key, who.nonce, operation.op, fee, expiry, operation.sidecar)
    tx_id = submit(item)
    transaction = wait(tx_id, patience(operation.evaluated)) if terms.wait else None
    return Outcome(tx_id, transaction, shown)


def patience(evaluated: bool) -> float:
    """How long to wait for an outcome: --timeout, else what such operations take at most."""
    if settings.current.timeout_given:
        return settings.current.timeout_s
    return EVALUATION_WAIT_S if evaluated else WAIT_S


def submit(item: bytes) -> str:
    """Hand the item to the node; raises its refusal, or exit 7 when the connection broke after it was sent."""
    tx_id = transactions.decode_item(item).id.hex()
    try:
        client.call("octra_submitRaw", base64.b64encode(item).decode())
    except client.NoNode as error:
        if not error.sent:
            raise
        raise outcome_unknown(tx_id, "the node went away while it took the transaction") from error
    return tx_id


def wait(tx_id: str, patience_s: float, level: str = "certified") -> Transaction:
    """The transaction with its effect; raises its failure, or exit 7 when it is not final in time."""
    started = time.monotonic()
    report = _reporter(started)
    stage_level = "ordered"  # first, so that the line on the terminal moves; then what was asked for
    while (left := patience_s - (time.monotonic() - started)) > 0:
        asked = time.monotonic()
        try:
            found = network.wait(tx_id, stage_level, min(_POLL_S, left))
        except client.NoNode:  # it may come back; the transaction is on its way in any case
            stage = "the node does not answer"
        else:
            if found.failed:
                report("")
                raise failure(found)
            if found.done and network.reached(found, level):
                report("")
                return found
            if network.reached(found, stage_level):
                stage_level = level
            stage = f"ordered at height {found.height}, evaluators are at work" if found.height else "on its way"
        report(stage)
        if time.monotonic() - asked < 0.2:  # an answer at once is no news: do not spin
            time.sleep(0.25)
    report("")
    raise outcome_unknown(tx_id, f"it is not final after {patience_s:.0f} s")


def outcome_unknown(tx_id: str, reason: str) -> CommandFailed:
    """Never called a failure: the transaction may still run."""
    return CommandFailed(2122, f"{reason}; ask again with: octra tx wait {tx_id}", tx_id=tx_id)


def failure(found: Transaction) -> CommandFailed:
    """Why the network refused or undid a transaction."""
    detail = found.detail or "the network refused it"
    return CommandFailed(found.code or 2105, detail, tx_id=found.id, height=found.height)


def answer(outcome: Outcome, what: str, **data: Any) -> Answer:
    """The usual answer about a transaction; `data` goes on top."""
    found, tx_id = outcome.transaction, outcome.tx_id
    fields: dict[str, Any] = {"tx_id": tx_id, "status": "pending", "preview": outcome.preview.data(), **data}
    if found is None:
        return Answer(fields, f"{what}: sent\ntx      {tx_id}\nnext    octra tx wait {tx_id}")
    fields |= {"status": found.status, "height": found.height, "epoch": found.epoch, "level": found.level}
    fields |= {"fee_units": str(found.fee_units), "jobs": list(found.jobs)}
    lines = [
        f"{what}: final at height {found.height}, epoch {found.epoch}",
        f"fee     {print_amount(found.fee_units or 0)} OCT",
        f"tx      {tx_id}",
        f"page    {client.node_url()}/tx/{tx_id}",
    ]
    return Answer(fields, "\n".join(lines))


def _reporter(started: float) -> Callable[[str], None]:
    """One line on the terminal that is rewritten while we wait; silent elsewhere."""
    if settings.current.json or settings.current.quiet or not sys.stderr.isatty():
        return lambda stage: None
    width = 0

    def show(stage: str) -> None:
        nonlocal width
        elapsed = time.monotonic() - started
        if not stage and width:
            print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)
        elif stage and elapsed > 0.5:
            line = f"{stage} ({elapsed:.0f} s)"
            print("\r" + line.ljust(width), end="", file=sys.stderr, flush=True)
            width = max(width, len(line))

    return show
