"""`octra tx ...`: one transaction, the wait for it, or the history of an account."""

from __future__ import annotations

import base64
import re
from typing import Any

import typer

from octra.cli import client, network, settings, signing, wallets
from octra.cli.network import Transaction
from octra.cli.output import Answer, CommandFailed, table
from octra.primitives import print_amount

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Show a transaction, or wait for it.")

_ID = typer.Argument(help="id of a transaction, 64 hex digits")
_HEX = re.compile(r"[0-9a-f]{64}")


@app.command()
def show(
    tx_id: str = _ID,
    open_note: bool = typer.Option(False, "--open", help="open the note of a private transfer to this wallet"),
) -> Answer:
    """What became of a transaction."""
    found = network.transaction(_checked(tx_id))
    client.chain()
    lines = [f"  {name:<8} {value}" for name, value in _card(found)]
    data: dict[str, Any] = {"transaction": found.row}
    if open_note:
        units, memo = _open_note(found)
        data |= {"note": {"claimed_units": str(units), "memo": memo}}
        lines.append(f"  {'note':<8} claims {print_amount(units)} OCT{f': {memo}' if memo else ''}")
    return Answer(data, "\n".join(lines))


@app.command()
def wait(
    tx_id: str = _ID,
    level: str = typer.Option("certified", help="ordered, certified or checkpointed"),
) -> Answer:
    """Wait until a transaction is final. Exit code 7 when that is not known in time."""
    if level not in ("ordered", "certified", "checkpointed"):
        raise CommandFailed(1002, "--level is ordered, certified or checkpointed")
    client.chain()
    found = signing.wait(_checked(tx_id), signing.patience(evaluated=True), level)
    text = f"{found.status}, {found.level} at height {found.height}, epoch {found.epoch}"
    data = {"tx_id": found.id, "status": found.status, "level": found.level, "height": found.height}
    return Answer(data | {"epoch": found.epoch, "jobs": list(found.jobs)}, text)


@app.command("list")
def list_(
    address: str = typer.Option("", help="default: the wallet's own"),
    limit: int = typer.Option(25, min=1, max=500),
) -> Answer:
    """The newest transactions of an account."""
    shown = address or wallets.header_of(settings.current.wallet).address
    client.chain()
    answer = client.call("octra_transactionsByAddress", shown, limit, 0)
    rows = [*answer["transactions"], *answer["rejected"]]
    if not rows:
        return Answer({"address": shown, "transactions": []}, "no transactions yet")
    cells = [
        [row["hash"][:16], str(row.get("epoch")), row["op_type"], _direction(row, shown), _amount(row)] for row in rows
    ]
    return Answer(
        {"address": shown, "transactions": rows}, table(cells, ["transaction", "epoch", "kind", "with", "OCT"])
    )


def _checked(tx_id: str) -> str:
    if not _HEX.fullmatch(tx_id):
        raise CommandFailed(1002, "a transaction id is 64 lower-case hex digits")
    return tx_id


def _card(found: Transaction) -> list[tuple[str, str]]:
    row = found.row
    op = dict(row.get("op") or {})
    lines = [("tx", found.id), ("status", f"{found.status} ({found.level})"), ("kind", str(op.pop("kind", "?")))]
    if found.detail:
        lines.append(("reason", f"{found.detail} (OCT-{found.code:04d})"))
    lines.append(("from", str(row.get("from"))))
    for name, value in op.items():
        if name.endswith("_units"):
            lines.append(
                (name.removesuffix("_units"), "sealed" if value is None else f"{print_amount(int(value))} OCT")
            )
        elif isinstance(value, str | int) and name != "note":
            lines.append((name, str(value)))
    if found.height is not None:
        lines.append(("height", f"{found.height}, epoch {found.epoch}, {row.get('time')}"))
    if found.fee_units is not None:
        lines.append(("fee", f"{print_amount(found.fee_units)} OCT"))
    lines += [("job", job) for job in found.jobs]
    return lines


def _open_note(found: Transaction) -> tuple[int, str]:
    from octra.cli import private

    op = found.row.get("op") or {}
    note = base64.b64decode(op.get("note") or "")
    if not note:
        raise CommandFailed(4041, "this transaction carries no note")
    sender_key = network.public_key(str(found.row["from"]))
    seed = wallets.open_wallet().seed
    return private.open_note(network.read(), sender_key, int(found.row["nonce"]), seed, note)


def _direction(row: dict[str, Any], own: str) -> str:
    other = row.get("to") if row.get("from") == own else row.get("from")
    arrow = "to" if row.get("from") == own else "from"
    return f"{arrow} {str(other)[:12]}..." if other and other != own else ""


def _amount(row: dict[str, Any]) -> str:
    text = str(row.get("amount") or "")
    return print_amount(int(text)) if text.isdecimal() and text != "0" else ""
