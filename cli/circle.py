"""`octra circle ...`: from an empty folder to a program that lives on the chain under its own web address.

What checks and compiles programs is imported where it is used, so that help and views start at once.
"""

from __future__ import annotations

import base64
import time
import urllib.parse
from pathlib import Path
from typing import Any

import typer

from octra.circles.identity import parse_circle, print_circle
from octra.cli import amounts, arguments, client, network, preview, signing
from octra.cli.output import Answer, CommandFailed, say, table
from octra.cli.signing import Operation, Terms
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.circle_ops import encode_arguments

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, build, deploy, call and view Circles.")

GAS_LIMIT = 5_000_000  # what is not used is paid back
_CIRCLE = typer.Argument(help="id of the Circle, oct...")
_PROJECT = typer.Argument(Path("."), help="a project folder")


@app.command()
def new(
    name: str = typer.Argument(help="name of the Circle and its folder"),
    lang: str = typer.Option("rust", help="rust, cpp or wat"),
    template: str = typer.Option("counter", help="what to start from"),
) -> Answer:
    """Start a project folder."""
    from octra.circles import project

    path = project.create(name, Path.cwd(), lang, template)
    text = f"created {name}/ ({lang}, {template})\nnext: cd {name} && octra circle build"
    return Answer({"path": str(path), "lang": lang, "template": template}, text)


@app.command()
def doctor(lang: str = typer.Option("", help="only this language; exit code 3 when it is missing")) -> Answer:
    """Which languages can be compiled here, and how to get the others."""
    from octra.circles import project

    reports = [report for report in project.doctor() if lang in ("", report.language)]
    if not reports:
        raise CommandFailed(1002, "--lang is rust, cpp or wat")
    lines = []
    for report in reports:
        lines.append(f"{report.language:<7} {'ok' if report.ok else 'missing':<8} {report.detail}")
        if report.remedy:
            lines.append(f"{'':<16} {report.remedy}")
    missing = any(not report.ok for report in reports)
    if missing:
        lines.append("A program.wasm that fits its source is used as it is: the counter template needs no compiler.")
    data = [{"lang": r.language, "ok": r.ok, "detail": r.detail, "remedy": r.remedy} for r in reports]
    return Answer({"languages": data}, "\n".join(lines), exit=3 if lang and missing else 0)


@app.command()
def build(
    folder: Path = _PROJECT,
    force: bool = typer.Option(False, "--force", help="compile although nothing changed"),
) -> Answer:
    """Compile, check and pack the project."""
    from octra.circles import project

    report = project.build(folder, force=force)
    data = {
        "package": str(report.path),
        "package_root": report.package.root.hex(),
        "code_hash": report.package.code_hash.hex(),
        "code_bytes": report.code_size,
        "metered_bytes": report.metered_size,
        "call_gas": report.call_cost,
        "methods": sorted(report.package.manifest.methods),
    }
    return Answer(data, "\n".join(report.lines()))


@app.command()
def deploy(
    source: Path = typer.Argument(Path("."), help="a project folder, or a .circle package"),
    dry_run: bool = typer.Option(False, "--dry-run", help="only show what it would cost"),
) -> Answer:
    """Put a Circle on the chain: it gets an id, and a web address of its own."""
    from octra.circles import package, project
    from octra.circles.runtime import prepare
    from octra.cli import deploying

    if source.is_dir():
        packed = project.build(source).package
    else:
        try:
            packed = package.read(source.read_bytes())
        except OSError as error:
            raise CommandFailed(6003, f"cannot read {source}: {error.strerror}") from error
    chain, who = network.read(), signing.sender()
    planned = deploying.plan(chain, who, packed, len(prepare(packed.code).code))
    shown = deploying.show(chain, who, planned)
    circle = print_circle(planned.circle)
    data: dict[str, Any] = {"circle_id": circle, "version": packed.manifest.circle.version}
    data |= {"cost_units": str(planned.total), "changed": not dry_run, "preview": shown.data()}
    if dry_run:
        return Answer(data, f"{shown.text()}\nnothing was sent")
    preview.confirm(shown)
    deployed = deploying.carry_out(chain, who, planned)
    facts = _wait_callable(circle)
    address = _web_address(str(facts["label"]))
    data |= {"tx_id": deployed.id, "height": deployed.height, "url": address}
    return Answer(data, f"circle {circle}\ntx     {deployed.id}\nlive   {address}")


@app.command()
def call(
    circle: str = _CIRCLE,
    method: str = typer.Argument(help="an update method"),
    args: list[str] = typer.Argument(None, help="its arguments; bytes as hex:00ff"),
    value: str = typer.Option("", help="OCT to send along"),
    gas: int = typer.Option(GAS_LIMIT, min=1, max=ops.GAS_MAX, help="most gas it may burn; the rest is paid back"),
    wait: bool = typer.Option(True, "--wait/--no-wait", help="wait until it is final"),
) -> Answer:
    """Call a method that changes the Circle: a transaction."""
    name = parse_circle(circle)
    units = amounts.read(value) if value else 0
    values = arguments.parse_all(args or [], _types_of(name, method))
    chain, who = network.read(), signing.sender()
    operation = Operation(
        ops.CircleCall(name, method, encode_arguments(*values), units, gas),
        f"call {method} of a Circle",
        "everything: caller, method, arguments and value",
        receiver=circle,
        units=units if value else None,
    )
    outcome = signing.carry_out(chain, who, operation, Terms(wait=wait))
    answer = signing.answer(outcome, f"called {method}")
    if outcome.transaction is None:
        return answer
    gas_used = int((outcome.transaction.row.get("receipt") or {}).get("gas") or 0)
    text = f"ok  gas {gas_used:,}  height {outcome.transaction.height}\n{answer.text}"
    return Answer(answer.data | {"gas": gas_used}, text)


@app.command()
def view(
    circle: str = _CIRCLE,
    method: str = typer.Argument(help="a query method"),
    args: list[str] = typer.Argument(None, help="its arguments; bytes as hex:00ff"),
) -> Answer:
    """Ask a Circle; nothing changes and nothing is paid. The value alone goes to stdout."""
    name = parse_circle(circle)
    values = arguments.parse_all(args or [], _types_of(name, method))
    client.chain()
    found = client.call("circle_view", circle, method, [arguments.to_json(value) for value in values])
    if found["status"] != "ok":
        raise CommandFailed(6004, f"{found['status']}: {found['detail']}" if found["detail"] else found["status"])
    say(f"gas {found['gas']:,}  height {found['height']}")
    return Answer(dict(found), arguments.show(found["value"]))


@app.command("list")
def list_() -> Answer:
    """Circles on this chain."""
    client.chain()
    circles = client.call("circle_list", 100)["circles"]
    if not circles:
        return Answer({"circles": []}, "no Circles yet: octra circle new")
    rows = [[c["name"], c["version"], c["circle"], f"{c['stable_bytes']:,} B"] for c in circles]
    return Answer({"circles": circles}, table(rows, ["name", "version", "id", "state"]))


def _types_of(circle: bytes, method: str) -> list[str] | None:
    """Argument types by the Circle's manifest; raises when it has no such method. None: no manifest is readable."""
    from octra.circles import manifest
    from octra.circles.errors import InvalidManifest

    answer = client.call("octra_state", base64.b64encode(keys.circle_manifest(circle)).decode())
    if answer.get("value") is None:
        raise CommandFailed(4041, "there is no such Circle on this chain")
    try:
        methods = manifest.decode(base64.b64decode(answer["value"])).methods
    except InvalidManifest:  # of a newer program
        return None
    if method not in methods:
        raise CommandFailed(6004, f"the Circle has no method {method!r}; it has: {', '.join(sorted(methods))}")
    return [argument.type for argument in methods[method].args]


def _wait_callable(circle: str) -> dict[str, Any]:
    """The Circle's facts once it can be called: validators compile new code for some heights."""
    deadline = time.monotonic() + max(120.0, signing.patience(evaluated=False))
    told = False
    while time.monotonic() < deadline:
        facts: dict[str, Any] = client.call("circle_info", circle)
        if facts["callable"]:
            return facts
        if not told:
            say(f"validators prepare its code; it can be called from height {facts['active_from']}")
            told = True
        time.sleep(0.25)
    raise CommandFailed(5041, "the Circle is on the chain, but cannot be called yet; look again in a moment")


def _web_address(label: str) -> str:
    """The Circle's own origin at the node that we talk to."""
    node = urllib.parse.urlsplit(client.node_url())
    return f"http://{label}.localhost:{node.port or 80}/"
