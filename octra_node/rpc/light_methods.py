"""JSON-RPC methods of a light node: accounts it has verified itself, and the checking of proofs that others bring."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from octra.consensus.certificate import BlockHeader
from octra.consensus.ledger.records import Account
from octra.consensus.light import Trusted
from octra.node.rpc.errors import NotOffered
from octra.node.rpc.jsonrpc import Parameters
from octra.node.rpc.limits import PRICE_PROOF
from octra.node.rpc.methods import Context, base64_of, table
from octra.primitives import parse_address


class Verified(Protocol):
    """An account with the block that proves it."""

    @property
    def account(self) -> Account | None: ...
    @property
    def header(self) -> BlockHeader: ...
    @property
    def signers(self) -> int: ...


@runtime_checkable
class Verifier(Protocol):
    """The node behind these methods."""

    @property
    def trusted(self) -> Trusted: ...
    @property
    def head(self) -> BlockHeader | None: ...
    async def verified_account(self, address: bytes) -> Verified: ...
    def check_account(
        self, address: bytes, value: bytes | None, header: bytes, certificate: bytes, proof: bytes
    ) -> Verified: ...


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


@table.method(
    "octra_lightVerify", "address, value|null, header, certificate, proof", "Check an account's proof", PRICE_PROOF
)
async def _verify(context: Context, p: Parameters) -> object:
    value = p.value(1, str | None, "base64 or null")  # type: ignore[arg-type]  # a union is a type to msgspec
    checked = _verifier(context).check_account(
        parse_address(p.text(0)),
        None if value is None else base64_of(p, 1),
        base64_of(p, 2),
        base64_of(p, 3),
        base64_of(p, 4),
    )
    return _found(p.text(0), checked)


def _verifier(context: Context) -> Verifier:
    if not isinstance(context.facade, Verifier):
        raise NotOffered("verification by a light node")
    return context.facade


def _found(address: str, verified: Verified) -> dict[str, object]:
    account, header = verified.account, verified.header
    return {
        "address": address,
        "verified": True,
        "exists": account is not None,
        "balance_units": str(account.balance if account else 0),
        "nonce": account.nonce if account else 0,
        "height": header.height,
        "block_id": header.block_id.hex(),
        "state_root": header.state_root.hex(),
        "signers": verified.signers,
    }
