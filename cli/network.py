"""What the node answers, checked once and typed: the chain, an account, an encrypted value, a transaction.

Every command reads the API through this module, so a change of a field has one place here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from octra.cli import client
from octra.consensus.ledger.fees import WORK_128, Prices, WorkTable

FAUCET_CHAINS = "octra:localnet-"  # genesis gives the public faucet key its coins there, and nowhere else


_LEVELS = ("pending", "ordered", "certified", "checkpointed")


class OddAnswer(client.NodeRefused):
    """The node's answer lacks something or has another form than this program knows."""

    def __init__(self, method: str) -> None:
        super().__init__(f"the node's answer to {method} has an unknown form; is it of another version?", 3005)


@dataclass(frozen=True, slots=True)
class Network:
    """The facts of a chain that signing needs. `chain` is the genesis hash: signatures are bound to it."""

    chain: bytes
    chain_id: str
    height: int
    epoch: int
    prices: Prices
    view_keys: tuple[bytes, ...]  # X25519 key of each seat, in seat order
    key_set: str
    key_origin: str
    secret: bool  # no single party can read private amounts

    @property
    def faults(self) -> int:
        """Seats that may lie, be silent or collude without harm."""
        return (len(self.view_keys) - 1) // 3

    @property
    def faucet(self) -> bool:
        """Does the chain give test coins away?"""
        return self.chain_id.startswith(FAUCET_CHAINS)

    @property
    def secrecy(self) -> str:
        """One honest line about who could read private amounts."""
        if self.key_origin.startswith(("dealer", "none")):
            return f"key: {self.key_origin}"
        if not self.secret:
            return "key: no secrecy, a single seat can read everything"
        return f"key: hidden from any {self.faults} of {len(self.view_keys)} seats together"


@dataclass(frozen=True, slots=True)
class Account:
    """The public side of an account. The handles name its encrypted balance; empty if it never had one."""

    balance_units: int
    next_nonce: int
    spendable: str = ""
    incoming: str = ""

    @property
    def handles(self) -> tuple[str, ...]:
        """Both handles, or none."""
        return (self.spendable, self.incoming) if self.spendable else ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction wherever it is. Final means: settled, and a quorum of seats stands behind the state."""

    id: str
    status: str  # pending, working, ok, failed, refused, dropped
    level: str
    height: int | None
    epoch: int | None
    fee_units: int | None
    jobs: tuple[str, ...]
    code: int  # of the catalogue, where it failed
    detail: str
    row: dict[str, Any]  # all that the node said

    @property
    def failed(self) -> bool:
        """Did it end without effect?"""
        return self.status in ("failed", "refused", "dropped")

    @property
    def done(self) -> bool:
        """Did it end with effect?"""
        return self.status == "ok"


def read() -> Network:
    """Ask the node; raises `NoNode`, `NodeRefused` (also for another chain than --chain) or `OddAnswer`."""
    facts, committee = client.chain(), client.call("octra_committee")
    try:
        seats = sorted(committee["groups"][0]["seats"], key=lambda seat: int(seat["index"]))
        view_keys = tuple(base64.b64decode(seat["x25519"], validate=True) for seat in seats)
        found = Network(
            chain=bytes.fromhex(facts["chain"]),
            chain_id=str(facts["chain_id"]),
            height=int(facts["height"]),
            epoch=int(facts["epoch"]),
            prices=Prices(int(facts["boot_price_milli"]), int(facts["evaluators"]), _work(facts)),
            view_keys=view_keys,
            key_set=str(facts["parameters"]),
            key_origin=str(facts["key_origin"]),
            secret=facts["secrecy"] == "threshold",
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise OddAnswer("octra_chain") from error
    if len(found.chain) != 32 or not view_keys or any(len(key) != 32 for key in view_keys):
        raise OddAnswer("octra_committee")
    return found


def _work(facts: dict[str, Any]) -> WorkTable:
    """Bootstraps that operations pay for; what the node leaves out is what set T needs."""
    told = facts.get("work_boots") or {}
    return replace(WORK_128, **{name: int(told[name]) for name in WorkTable.__struct_fields__ if name in told})


def account(address: str) -> Account:
    """The account of an address; an empty one if nothing has ever touched it."""
    try:
        facts = client.call("octra_getAccount", address)
        private = facts["private"] or {"spendable": "", "incoming": ""}
        return Account(
            int(facts["public_units"]), int(facts["pending_nonce"]) + 1, private["spendable"], private["incoming"]
        )
    except client.NodeRefused as refusal:
        if refusal.oct_code != 2100:
            raise
        return Account(0, 1)
    except (KeyError, TypeError, ValueError) as error:
        raise OddAnswer("octra_getAccount") from error


def public_key(address: str) -> bytes:
    """What the node says is the Ed25519 key of an address, or nothing. The caller checks it against the address."""
    try:
        facts = client.call("octra_publicKey", address)
        return base64.b64decode(facts["public_key"] or "", validate=True)
    except (client.NodeRefused, KeyError, TypeError, ValueError):
        return b""


def handle(name: str) -> dict[str, Any]:
    """An encrypted value: status, and `constant_units` where it is a public constant."""
    facts = client.call("octra_handle", name)
    if not isinstance(facts, dict) or "status" not in facts:
        raise OddAnswer("octra_handle")
    return facts


def transaction(tx_id: str) -> Transaction:
    """A transaction by its id; raises `NodeRefused` when the node knows none."""
    return parse_transaction(tx_id, client.call("octra_getTransaction", tx_id))


def wait(tx_id: str, level: str, seconds: float) -> Transaction:
    """The transaction at the level, or however far it has come after `seconds` (25 at most)."""
    facts = client.call("octra_wait", tx_id, level, int(seconds) or 1, timeout_s=seconds + 5)
    return parse_transaction(tx_id, facts)


def reached(found: Transaction, level: str) -> bool:
    """Is the transaction as final as `level` says?"""
    return _LEVELS.index(found.level) >= _LEVELS.index(level)


def parse_transaction(tx_id: str, row: Any) -> Transaction:  # JSON from outside
    """A row of the API as a value; raises `OddAnswer`."""
    try:
        receipt, problem = row.get("receipt"), row.get("error") or {}
        fee = None
        if receipt:
            fee = int(receipt["fee_charged_units"]) - int(receipt.get("refunded_units") or 0)
        return Transaction(
            id=tx_id,
            status=row["status"],
            level=_LEVELS[_LEVELS.index(row.get("level", "pending"))],
            height=row.get("height"),
            epoch=row.get("epoch"),
            fee_units=fee,
            jobs=tuple(receipt["jobs"]) if receipt else (),
            code=int(str(problem.get("code", "0")).removeprefix("OCT-")),
            detail=str(problem.get("detail") or problem.get("title") or ""),
            row=row,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise OddAnswer("octra_wait") from error
