"""JSON-RPC methods of a light node: facts it has verified itself, and the checking of proofs that others bring."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from octra.consensus.certificate import BlockHeader
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import Account
from octra.consensus.light import Trusted
from octra.node.proof_file import Document
from octra.node.rpc import service
from octra.node.rpc.errors import NotOffered
from octra.node.rpc.jsonrpc import Parameters
from octra.node.rpc.limits import PRICE_PROOF
from octra.node.rpc.methods import Context, table
from octra.primitives import parse_address


class Verified(Protocol):
    """A fact with the block that proves it."""

    @property
    def header(self) -> BlockHeader: ...
    @property
    def signers(self) -> int: ...


class VerifiedAccount(Verified, Protocol):
    """An account, or its absence."""

    @property
    def account(self) -> Account | None: ...


class VerifiedTransaction(Verified, Protocol):
    """A transaction that was executed."""

    @property
    def receipt(self) -> Receipt: ...


@runtime_checkable
class Verifier(Protocol):
    """The node behind these methods."""

    @property
    def trusted(self) -> Trusted: ...
    @property
    def head(self) -> BlockHeader | None: ...
    async def verified_account(self, address: bytes) -> VerifiedAccount: ...
    async def verified_transaction(self, tx_id: bytes) -> VerifiedTransaction: ...
    def check_account(self, address: bytes, document: Document) -> VerifiedAccount: ...
    def check_transaction(self, tx_id: bytes, document: Document) -> VerifiedTransaction: ...


@table.method("octra_lightStatus", "", "What a light node has verified so far")
async def _status(context: Context, _: Parameters) -> object:
    node = _verifier(context)
    head = node.head
    return {
        "height": None if head is None else head.height,
        "epoch": None if head is None else head.epoch,
        "state_root": None if head is None else head.state_root.hex(),
        "checkpoint_height": node.trusted.height,
        "checkpoint_epoch": node.trusted.epoch,
    }


@table.method("octra_lightAccount", "address", "An account, proven by a peer and verified by this node", PRICE_PROOF)
async def _account(context: Context, p: Parameters) -> object:
    return _found(p.text(0), await _verifier(context).verified_account(parse_address(p.text(0))))


@table.method("octra_lightTransaction", "tx_id", "A transaction, proven by a peer and verified here", PRICE_PROOF)
async def _transaction(context: Context, p: Parameters) -> object:
    return _executed(await _verifier(context).verified_transaction(service.parse_id(p.text(0))))


@table.method("octra_lightVerify", "address or tx_id, proof document", "Check what octra_proof gave", PRICE_PROOF)
async def _verify(context: Context, p: Parameters) -> object:
    name, document = p.text(0), p.value(1, dict[str, object], "a proof document")
    if document.get("kind") == "transaction":
        return _executed(_verifier(context).check_transaction(service.parse_id(name), document))
    return _found(name, _verifier(context).check_account(parse_address(name), document))


def _verifier(context: Context) -> Verifier:
    if not isinstance(context.facade, Verifier):
        raise NotOffered("verification by a light node")
    return context.facade


def _found(address: str, verified: VerifiedAccount) -> dict[str, object]:
    account = verified.account
    return {
        "kind": "account",
        "address": address,
        "exists": account is not None,
        "balance_units": str(account.balance if account else 0),
        "nonce": account.nonce if account else 0,
    } | _proven(verified)


def _executed(verified: VerifiedTransaction) -> dict[str, object]:
    receipt = verified.receipt
    return {
        "kind": "transaction",
        "id": receipt.tx.hex(),
        "status": receipt.status,
        "code": receipt.code,
        "fee_units": str(receipt.fee_charged),
        "executed_height": receipt.height,
        "index": receipt.index,
    } | _proven(verified)


def _proven(verified: Verified) -> dict[str, object]:
    header = verified.header
    return {
        "verified": True,
        "height": header.height,
        "block_id": header.block_id.hex(),
        "state_root": header.state_root.hex(),
        "signers": verified.signers,
    }
