"""`octra balance`, `send`, `encrypt`, `decrypt`, `collect`, `faucet`: public money and private money."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from octra.cli import amounts, client, network, private, settings, signing
from octra.cli.address import check_words
from octra.cli.network import Network
from octra.cli.output import Answer, CommandFailed, say
from octra.cli.signing import Operation, Sender, Terms
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.records import request_name
from octra.crypto import seal
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node.localnet_seed import FAUCET_SEED
from octra.primitives import UNITS_PER_OCT, address_of, parse_address, print_address, print_amount

if TYPE_CHECKING:
    from octra.consensus.ledger.client import Opened

app = typer.Typer(add_completion=False)

FAUCET_UNITS = 1_000 * UNITS_PER_OCT
FAUCET_TRIES = 5  # two people asking at once take the same nonce; one of them asks again
NONCE_USED = 2102

_AMOUNT = typer.Argument(help="OCT, such as 12.5; - reads it from standard input")
_FEE = typer.Option("", help="highest fee in OCT; default: the lowest that is accepted")
_EXPIRES = typer.Option(signing.EXPIRES_IN, "--expires-in", min=1, max=1024, help="epochs in which it may run")
_WAIT = typer.Option(True, "--wait/--no-wait", help="wait until it is final")
_MEMO = typer.Option("", help="a few words for the receiver; public unless --private")


@app.command()
def balance(
    address: str = typer.Argument("", help="default: the wallet's own"),
    reveal: bool = typer.Option(False, "--reveal", help="have the seats open the private part for you (costs a fee)"),
) -> Answer:
    """Public balance, and the private one as dots until --reveal."""
    shown = address or _own_address()
    account_bytes = parse_address(shown)
    chain, account = network.read(), network.account(shown)
    lines = [f"{shown}  ({check_words(account_bytes)})", f"public   {print_amount(account.balance_units)} OCT"]
    data: dict[str, Any] = {"address": shown, "public_units": str(account.balance_units), "private": None}
    if account.handles:
        data["private"] = {"sealed": True, "spendable": account.spendable, "incoming": account.incoming}
    if not reveal:
        lines.append("private  *** OCT, sealed (--reveal opens it for you)" if account.handles else "private  none yet")
        return Answer(data, "\n".join(lines))
    revealed = _reveal(chain, shown)
    data["private"] = {
        "sealed": False,
        "spendable_units": str(revealed.spendable),
        "incoming_units": str(revealed.incoming),
        "revealed_units": str(revealed.total),
        "liars": list(revealed.liars),
    }
    lines.append(f"private  {print_amount(revealed.total)} OCT")
    if revealed.incoming:
        lines.append(f"         of it {print_amount(revealed.incoming)} to be had after: octra collect")
    warnings = [f"seat {seat} gave a wrong share; the others outvoted it" for seat in revealed.liars]
    return Answer(data, "\n".join(lines), warnings=warnings)


@app.command()
def send(
    to: str = typer.Argument(help="address of the receiver"),
    amount: str = _AMOUNT,
    is_private: bool = typer.Option(False, "--private", help="hide the amount; it leaves your encrypted balance"),
    memo: str = _MEMO,
    fee: str = _FEE,
    expires_in: int = _EXPIRES,
    wait: bool = _WAIT,
) -> Answer:
    """Send OCT: in public, or with --private so that nobody but you and the receiver can learn the amount."""
    receiver = parse_address(to)
    units = amounts.read(amount, private=is_private, zero=is_private)
    if len(memo.encode()) > private.MEMO_BYTES_MAX:
        raise CommandFailed(1002, f"a memo has at most {private.MEMO_BYTES_MAX} bytes")
    chain, who = network.read(), signing.sender()
    if is_private:
        operation, warnings = _private_transfer(chain, who, receiver, units, memo)
    else:
        operation, warnings = _public_transfer(who, receiver, units, memo), []
    outcome = signing.carry_out(chain, who, operation, _terms(fee, expires_in, wait))
    answer = signing.answer(outcome, "private transfer" if is_private else f"{print_amount(units)} OCT to {to}")
    return Answer(answer.data, answer.text, warnings=warnings)


@app.command()
def encrypt(amount: str = _AMOUNT, fee: str = _FEE, expires_in: int = _EXPIRES, wait: bool = _WAIT) -> Answer:
    """Move OCT from the public to the private balance. This amount is public; what you do with it later is not."""
    units = amounts.read(amount, private=True)
    sees = f"that you moved {print_amount(units)} OCT into your private balance"
    return _own(ops.Encrypt(units), "encrypt", sees, units, _terms(fee, expires_in, wait))


@app.command()
def decrypt(amount: str = _AMOUNT, fee: str = _FEE, expires_in: int = _EXPIRES, wait: bool = _WAIT) -> Answer:
    """Move OCT from the private to the public balance, if the private one holds so much."""
    units = amounts.read(amount, private=True)
    sees = f"that you asked for {print_amount(units)} OCT, and whether your private balance held it"
    return _own(ops.Decrypt(units), "decrypt", sees, units, _terms(fee, expires_in, wait))


@app.command()
def collect(fee: str = _FEE, expires_in: int = _EXPIRES, wait: bool = _WAIT) -> Answer:
    """Add what others sent you in private to what you can spend in private."""
    sees = "that you collected, not how much"
    return _own(ops.Collect(), "collect", sees, None, _terms(fee, expires_in, wait))


@app.command()
def faucet(address: str = typer.Argument("", help="default: the wallet's own")) -> Answer:
    """Test coins, on a local network."""
    shown = address or _own_address()
    receiver = parse_address(shown)
    chain = network.read()
    if not chain.faucet:
        raise CommandFailed(5031, f"{chain.chain_id} has no faucet")
    key, op = SigningKey(H("octra.faucet", FAUCET_SEED)), ops.Transfer(receiver, FAUCET_UNITS)
    fee, expiry = fees.minimum_fee(op, chain.prices), chain.epoch + signing.EXPIRES_IN
    for tries_left in reversed(range(FAUCET_TRIES)):
        nonce = network.account(print_address(address_of(key.public))).next_nonce
        try:
            tx_id = signing.submit(signing.sign_item(chain, key, nonce, op, fee, expiry))
            found = signing.wait(tx_id, signing.patience(evaluated=False))
            break
        except (client.NodeRefused, CommandFailed) as refusal:
            if refusal.oct_code != NONCE_USED or not tries_left:
                raise
    text = f"{print_amount(FAUCET_UNITS)} test OCT are yours\naccount {shown}\ntx      {tx_id}"
    return Answer({"tx_id": tx_id, "amount_units": str(FAUCET_UNITS), "address": shown, "height": found.height}, text)


# --- what the commands share ---


def _own_address() -> str:
    from octra.cli import wallets

    return wallets.header_of(settings.current.wallet).address


def _terms(fee: str, expires_in: int, wait: bool) -> Terms:
    return Terms(amounts.read(fee) if fee else 0, expires_in, wait)


def _own(op: ops.Op, title: str, sees: str, units: int | None, terms: Terms) -> Answer:
    chain, who = network.read(), signing.sender()
    operation = Operation(op, title, sees, units=units, evaluated=True, notes=(chain.secrecy,))
    return signing.answer(signing.carry_out(chain, who, operation, terms), title)


def _public_transfer(who: Sender, receiver: bytes, units: int, memo: str) -> Operation:
    to = print_address(receiver)
    return Operation(
        ops.Transfer(receiver, units, memo.encode()),
        "public transfer",
        "sender, receiver, amount and time" + (", and the memo" if memo else ""),
        receiver=to,
        units=units,
        notes=_first_payment(who.address, to),
        typed_word=to[-4:] if 2 * units > who.balance_units else "",
    )


def _private_transfer(
    chain: Network, who: Sender, receiver: bytes, units: int, memo: str
) -> tuple[Operation, list[str]]:
    to = print_address(receiver)
    dealing, sidecar = private.deal_amount(chain, who.key, who.nonce, units)
    receiver_key = _key_of(to, receiver)
    note, warnings = b"", []
    if receiver_key:
        note = private.seal_note(chain, who.key, who.nonce, receiver_key, units, memo)
    elif memo:
        warnings = ["the receiver's key is not known on this chain yet: the memo was left out"]
    operation = Operation(
        ops.PrivateTransfer(receiver, dealing, note),
        "private transfer",
        "sender, receiver, time and fee; neither the amount nor whether you had it",
        receiver=to,
        units=units,
        sidecar=sidecar,
        notes=(chain.secrecy, *_first_payment(who.address, to)),
        evaluated=True,
    )
    return operation, warnings


def _key_of(address: str, account: bytes) -> bytes:
    """The Ed25519 key behind an address, or nothing when the chain has not seen it. The node is not believed."""
    key = network.public_key(address)
    return key if len(key) == 32 and address_of(key) == account else b""


def _first_payment(sender: str, receiver: str) -> tuple[str, ...]:
    try:
        rows = client.call("octra_transactionsByAddress", sender, 500, 0)["transactions"]
    except (client.NodeRefused, KeyError, TypeError):
        return ()
    known = any(row.get("to") == receiver for row in rows)
    return () if known or sender == receiver else ("first payment to this address: compare the check words",)


@dataclass(frozen=True, slots=True)
class _Revealed:
    """What an account holds in private, in plain numbers, at its owner's."""

    spendable: int = 0
    incoming: int = 0
    liars: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """Both halves."""
        return self.spendable + self.incoming


def _reveal(chain: Network, address: str) -> _Revealed:
    """Public constants as they stand; the rest by a view request whose answer only this process can read."""
    names, facts = _certified(address)
    if not names:
        return _Revealed()
    known = {name: int(fact["constant_units"]) for name, fact in facts.items() if fact["constant_units"] is not None}
    hidden = tuple(name for name in dict.fromkeys(names) if name not in known)
    liars: tuple[int, ...] = ()
    if hidden:
        opened = _open(chain, address, hidden)
        known |= dict(zip(hidden, opened.values, strict=True))
        liars = opened.liars
    spendable, incoming = (known[name] for name in names)
    return _Revealed(spendable, incoming, liars)


def _certified(address: str) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
    """The handles of a private balance and what they stand for, once no evaluation of them is pending."""
    deadline = time.monotonic() + signing.patience(evaluated=True)
    told = False
    while True:
        names = network.account(address).handles
        facts = {name: network.handle(name) for name in names}
        if all(fact["status"] != "pending" for fact in facts.values()):
            return names, facts
        if time.monotonic() > deadline:
            raise CommandFailed(8003, "evaluators have not certified this balance yet")
        if not told:
            say("waiting for the evaluators to certify the balance")
            told = True
        time.sleep(0.5)


def _open(chain: Network, address: str, handles: tuple[str, ...]) -> Opened:
    """Ask the seats, wait for them, and put their shares together here."""
    who = signing.sender()
    reader_secret, reader = seal.generate()
    foreign = "this is not your balance: the network refuses everybody whom its owner did not allow"
    operation = Operation(
        ops.ViewRequest(tuple(bytes.fromhex(handle) for handle in handles), reader),
        "view request",
        "that you looked at this balance, not what it holds",
        receiver="" if who.address == address else address,
        evaluated=True,
        notes=(chain.secrecy,) if who.address == address else (foreign,),
    )
    outcome = signing.carry_out(chain, who, operation, Terms())
    request = request_name(bytes.fromhex(outcome.tx_id))
    deadline = time.monotonic() + settings.current.timeout_s
    while True:
        try:
            return private.open_shares(chain, request, reader_secret, client.call("octra_request", request.hex()))
        except private.SharesMissing:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.3)
