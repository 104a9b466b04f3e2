"""`octra node ...`: set up, start, ask and stop one node."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import typer

from octra.cli import client, output, settings
from octra.cli.output import Answer, CommandFailed

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Set up, start and ask a node.")


@app.command()
def init(
    genesis: Path = typer.Option(..., help="genesis.json of the network to join"),
    bootstrap: list[str] = typer.Option([], help="address of a node: /ip4/A/tcp/P/p2p/ID; give several"),
    role: str = typer.Option("light", help="light or standard"),
    listen: str = typer.Option("/ip4/127.0.0.1/tcp/9000", help="where this node listens for others"),
    http: str = typer.Option("127.0.0.1:8080", help="where it answers people"),
) -> Answer:
    """Write settings and a node key into --home (or OCTRA_HOME)."""
    from octra import keystore
    from octra.crypto.ed25519 import SigningKey
    from octra.node import config, home
    from octra.node.p2p.address import print_node_id

    if role not in ("light", "standard", "bootstrap"):
        raise CommandFailed(1002, "--role is light, standard or bootstrap")
    directory = settings.current.directory
    source = home.read_genesis(genesis.parent if genesis.is_file() else genesis)
    if (directory / config.CONFIG_FILE).exists():
        home.write_genesis(directory, source)  # raises when it holds another chain
        raise CommandFailed(1002, f"{directory} is set up already")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = config.Config(
        node=config.NodeSection(role=config.Role(role)),
        p2p=config.P2PSection(listen=(listen,), bootstrap=tuple(bootstrap)),
        http=config.HttpSection(listen=http),
        fhe=config.FheSection(evaluator=False),
    )
    home.write_genesis(directory, source)
    keys = home.NodeKeys(SigningKey(os.urandom(32)))
    if settings.current.passphrase_file:
        from octra.cli.wallets import new_passphrase

        home.write_keys(directory, keys, new_passphrase(), keystore.STANDARD)
    else:
        home.write_keys(directory, keys, home.write_random_passphrase(directory), keystore.RANDOM_PASSPHRASE)
    (directory / config.CONFIG_FILE).write_text(config.dump(chosen))
    line = f"octra node start --home {directory}"
    data = {"node_id": print_node_id(keys.node_id), "role": role, "chain_id": source.chain_id, "home": str(directory)}
    return Answer(data, f"a {role} node of {source.chain_id}\nnode id  {data['node_id']}\nnext     {line}")


@app.command()
def start() -> Answer:
    """Run the node of --home until it is told to stop (Ctrl-C, SIGTERM)."""
    from octra.node.daemon import run

    passphrase = None
    if settings.current.passphrase_file:
        from octra.cli.wallets import passphrase_for

        passphrase = passphrase_for("the node key")
    run(settings.current.directory, passphrase)
    return Answer({"stopped": True})


@app.command()
def stop() -> Answer:
    """Stop the node that runs with --home, and wait for it."""
    from octra.node import home

    path = settings.current.directory / home.LOCK_FILE
    try:
        pid = int(path.read_text().strip() or "0")
        with home.lock(settings.current.directory):
            pid = 0  # nobody held the lock
    except (OSError, ValueError):
        pid = 0
    except home.DirectoryInUse:
        os.kill(pid, signal.SIGTERM)
    if not pid:
        return Answer({"was_running": False}, "no node runs with this directory")
    deadline = time.monotonic() + settings.current.timeout_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return Answer({"was_running": True}, "stopped")
        time.sleep(0.1)
    raise CommandFailed(5041, f"process {pid} still runs after {settings.current.timeout_s:.0f} s")


@app.command()
def status() -> Answer:
    """What the node says about itself: of --home if one is set up there, else of --node."""
    if not settings.current.node and (settings.current.directory / "config.toml").exists():
        from dataclasses import replace

        from octra.node import config

        listen = config.load(settings.current.directory).http.listen
        settings.current = replace(settings.current, node=f"http://{listen}")
    facts: dict[str, Any] = client.call("octra_status")
    output.meta.update({name: facts.get(name) for name in ("chain_id", "height", "epoch")}, node=client.node_url())
    lines = [f"{name:<11} {value}" for name, value in _status_lines(facts)]
    return Answer(facts, "\n".join(lines), warnings=list(facts.get("warnings", [])))


def _status_lines(facts: dict[str, Any]) -> list[tuple[str, object]]:
    shown = ("chain_id", "role", "state", "height", "epoch", "round", "peers", "node_id", "key", "coin", "kernel")
    return [(name.replace("_", " "), facts[name]) for name in shown if facts.get(name) is not None]
