"""A home with a wallet, and a node that answers as scripted but checks every transaction by the real static rules."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from octra import keystore
from octra.cli import output
from octra.cli.__main__ import main
from octra.consensus.ledger import fees
from octra.consensus.ledger.transactions import StaticRules, Transaction, admit
from octra.crypto import seal

CHAIN = bytes([3]) * 32
CHAIN_ID = "octra:localnet-03030303"
EPOCH = 7


@dataclass
class ScriptedNode:
    """`answers` by method: a value, or a function of the parameters. Submitted transactions are admitted for real."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    submitted: list[Transaction] = field(default_factory=list)
    seat_secrets: list[bytes] = field(default_factory=list)
    hang_up_on: str = ""  # the connection breaks when this method is called

    def __post_init__(self) -> None:
        pairs = [seal.generate() for _ in range(4)]
        self.seat_secrets = [secret for secret, _ in pairs]
        seats = [{"index": i, "x25519": b64encode(public).decode()} for i, (_, public) in enumerate(pairs)]
        self.answers = {
            "octra_chain": {
                "chain_id": CHAIN_ID, "chain": CHAIN.hex(), "height": 90, "epoch": EPOCH, "boot_price_milli": 2000,
                "evaluators": 2, "parameters": "TEST", "key_origin": "dealer (test network)", "secrecy": "none",
            },
            "octra_committee": {"key_id": "00" * 32, "groups": [{"seats": seats}]},
            "octra_getAccount": account(10_000_000),
            "octra_transactionsByAddress": {"transactions": [], "rejected": []},
            "octra_submitRaw": self.submit,
            "octra_wait": self.settled,
        }  # fmt: skip

    def submit(self, wire: str) -> dict[str, Any]:
        """Admit an item by the real rules; refusals go out as the real node words them."""
        rules = StaticRules(CHAIN, EPOCH, (fees.Prices(evaluators=2),), seats=4)
        transaction = admit(b64decode(wire), rules)
        self.submitted.append(transaction)
        return {"tx_id": transaction.id.hex(), "status": "accepted", "nonce": transaction.nonce}

    @staticmethod
    def refuse(code: int, detail: str) -> Callable[..., Any]:
        """An answer that is an error of the catalogue."""

        def answer(*_: object) -> Any:
            raise Refusal(code, detail)

        return answer

    def settled(self, tx_id: str, *_: object) -> dict[str, Any]:
        """A transaction that went through."""
        return row(tx_id, "ok")


def account(units: int, nonce: int = 0, private: dict[str, str] | None = None) -> dict[str, Any]:
    """An account as the API words it."""
    return {"public_units": str(units), "nonce": nonce, "pending_nonce": nonce, "private": private}


def row(tx_id: str, status: str, **more: object) -> dict[str, Any]:
    """A transaction in a certified block as the API words it."""
    receipt = {"status": status, "fee_charged_units": "1000", "refunded_units": None, "jobs": [], "gas": 0}
    return {
        "id": tx_id,
        "status": status,
        "level": "certified",
        "height": 91,
        "epoch": EPOCH,
        "receipt": receipt,
    } | more


class Refusal(Exception):
    """Answer a call with this error of the catalogue."""

    def __init__(self, code: int, detail: str) -> None:
        self.code, self.detail = code, detail


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    scripted = ScriptedNode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if call["method"] == scripted.hang_up_on:
                self.close_connection = True
                return
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
            try:
                found = scripted.answers[call["method"]]
                answer["result"] = found(*call["params"]) if callable(found) else found
            except Refusal as refusal:
                answer["error"] = {"code": 1, "message": "no", "data": f"OCT-{refusal.code:04d}: {refusal.detail}"}
            except KeyError:
                answer["error"] = {"code": -32601, "message": "method not found", "data": "OCT-4041: no such method"}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    yield scripted
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an own home, with a passphrase file; key stretching is cheap here."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("OCTRA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("octra.keystore.STANDARD", keystore.RANDOM_PASSPHRASE)
    monkeypatch.setattr(output, "meta", dict(output.meta))

    def run(*words: str) -> Ran:
        code = main([*words, "--passphrase-file", str(passphrase)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def wallet(cli: Run) -> str:
    """The address of a wallet named default."""
    return str(cli("wallet", "new", "--json").envelope["data"]["address"])
