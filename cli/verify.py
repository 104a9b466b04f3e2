"""`octra verify`: a proof, checked by a light node from the genesis on, or saved to be checked elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from octra.cli import client
from octra.cli.output import Answer, CommandFailed
from octra.primitives import parse_address, print_amount

app = typer.Typer(add_completion=False)

PROOF_BYTES_MAX = 1 << 20
SCHEMA = "octra.proof-file/v1"


@app.command(help="Have a light node verify an account or a transaction, or save the proof of one.")
def verify(
    address: str = typer.Argument(None, help="the account"),
    tx: str = typer.Option(None, help="a transaction's id, instead of an account"),
    proof: Path = typer.Option(None, help="check the proof in this file instead of asking for a fresh one"),
    save: Path = typer.Option(None, help="ask a full node for a proof and write it here, unchecked"),
) -> Answer:
    """What a light node says after it has checked every signature and hash itself."""
    if (address is None) == (tx is None):
        raise CommandFailed(1002, "name an account, or a transaction with --tx")
    if address is not None:
        parse_address(address)
    kind, name = ("account", address) if tx is None else ("transaction", tx)
    if save:
        return _save(kind, name, save)
    if proof:
        found = client.call("octra_lightVerify", name, _read(proof, kind))
    else:
        found = client.call("octra_lightAccount" if tx is None else "octra_lightTransaction", name)
    signed = f"  at height {found['height']}, signed by {found['signers']} nodes"
    return Answer(dict(found), f"verified: {_claim(kind, name, found)}\n{signed}")


def _claim(kind: str, name: str, found: dict[str, Any]) -> str:
    if kind == "transaction":
        outcome = found["status"] + (f" (OCT-{found['code']})" if found["code"] else "")
        place = f"number {found['index']} of height {found['executed_height']}"
        return f"{name} was executed: {outcome}, {place}, fee {print_amount(int(found['fee_units']))} OCT"
    if not found["exists"]:
        return f"{name} does not exist"
    return f"{name} holds {print_amount(int(found['balance_units']))} OCT"


def _save(kind: str, name: str, path: Path) -> Answer:
    found = client.call("octra_proof", kind, name)
    if not found.get("certificate") and not found.get("checkpoint"):
        raise CommandFailed(5031, "nothing proves that height just now; ask again in a moment")
    try:
        path.write_text(json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise CommandFailed(1002, f"cannot write {path}: {error.strerror}") from error
    return Answer({"file": str(path), "height": found["height"]}, f"proof at height {found['height']} saved to {path}")


def _read(path: Path, kind: str) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text()[:PROOF_BYTES_MAX])
    except (OSError, ValueError, RecursionError) as error:
        raise CommandFailed(1002, f"{path} is not a proof file") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise CommandFailed(1002, f"{path} is not a proof file")
    if (facts.get("kind") == "transaction") != (kind == "transaction"):
        raise CommandFailed(1002, f"{path} proves something else than a {kind}")
    return facts
