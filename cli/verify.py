"""`octra verify`: an account's proof, checked by a light node from the genesis on, or saved to be checked elsewhere."""

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


@app.command(help="Have a light node verify an account, or save the proof of one.")
def verify(
    address: str = typer.Argument(help="the account"),
    proof: Path = typer.Option(None, help="check the proof in this file instead of asking for a fresh one"),
    save: Path = typer.Option(None, help="ask a full node for a proof and write it here, unchecked"),
) -> Answer:
    """What a light node says after it has checked every signature and hash itself."""
    parse_address(address)
    if save:
        return _save(address, save)
    if proof:
        facts = _read(proof)
        parts = (facts.get(name) for name in ("value", "header", "certificate", "proof"))
        found = client.call("octra_lightVerify", address, *parts)
    else:
        found = client.call("octra_lightAccount", address)
    held = f"holds {print_amount(int(found['balance_units']))} OCT" if found["exists"] else "does not exist"
    text = f"verified: {address} {held}\n  at height {found['height']}, signed by {found['signers']} seats"
    return Answer(dict(found), text)


def _save(address: str, path: Path) -> Answer:
    found = client.call("octra_proof", "account", address)
    if not found.get("certificate"):
        raise CommandFailed(5031, "the node has no certificate for that height just now; ask again in a moment")
    try:
        path.write_text(json.dumps({"schema": SCHEMA, "address": address, **found}, indent=1) + "\n")
    except OSError as error:
        raise CommandFailed(1002, f"cannot write {path}: {error.strerror}") from error
    return Answer({"file": str(path), "height": found["height"]}, f"proof at height {found['height']} saved to {path}")


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text()[:PROOF_BYTES_MAX])
    except (OSError, ValueError, RecursionError) as error:
        raise CommandFailed(1002, f"{path} is not a proof file") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise CommandFailed(1002, f"{path} is not a proof file")
    return facts
