"""`octra node ...`: set up, start, ask and stop one node."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from msgspec.structs import replace

from octra.cli import client, output, settings
from octra.cli.output import Answer, CommandFailed

if TYPE_CHECKING:
    from octra.consensus.ledger.ops import Op
    from octra.node.home import NodeKeys

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
    from octra.crypto import bls
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
    checkpoint = None if role == "light" else bls.SecretScalar.from_seed(os.urandom(32))
    keys = home.NodeKeys(SigningKey(os.urandom(32)), checkpoint)
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
def start(
    checkpoint: str = typer.Option("", help="trust begins at this checkpoint: its id, or a file with it"),
    snapshot: Path | None = typer.Option(None, help="start from this file, made by `octra snapshot export`"),
) -> Answer:
    """Run the node of --home until it is told to stop (Ctrl-C, SIGTERM)."""
    from octra.node.daemon import run
    from octra.node.starting import Start

    passphrase = None
    if settings.current.passphrase_file:
        from octra.cli.wallets import passphrase_for

        passphrase = passphrase_for("the node key")
    run(settings.current.directory, passphrase, Start(checkpoint, snapshot))
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
    shown = (
        "chain_id",
        "role",
        "state",
        "height",
        "epoch",
        "round",
        "peers",
        "origin",
        "node_id",
        "key",
        "coin",
        "kernel",
    )
    lines = [(name.replace("_", " "), facts[name]) for name in shown if facts.get(name) is not None]
    if facts.get("execution") == "split":
        lines.append(("blocks", f"{facts['blocks_executed']} executed, {facts['blocks_applied']} applied since start"))
    return lines


# --- validators, where committees are drawn ---


@app.command()
def register() -> Answer:
    """Register the node of --home as a validator of the wallet; then `bond` and `ready`."""
    from octra.cli import network
    from octra.cli.signing import sender
    from octra.consensus.ledger import ops
    from octra.consensus.ledger.registration import registration_message
    from octra.crypto import sharing
    from octra.crypto.seal import view_key
    from octra.primitives import address_of

    keys = _keys()
    if keys.checkpoint is None:
        raise CommandFailed(1002, "a light node has no key for checkpoints; set up a standard one")
    op = ops.NodeRegister(
        node=keys.node_id,
        bls_key=keys.checkpoint.public(),
        bls_proof=keys.checkpoint.prove_possession(),
        coin_key=sharing.point_of(keys.coin_dealing_secrets()[0]),
        view_key=view_key(keys.node_id),
        operator=b"",
        proof=bytes(64),
    )
    message = registration_message(network.read().chain, address_of(sender().key), op)
    return _validator(replace(op, proof=keys.node.sign(message)), "register a validator")


@app.command()
def bond(
    amount: str = typer.Argument(..., help="OCT that stand behind the node; they come back by `withdraw`"),
) -> Answer:
    """Put OCT of the wallet behind the node of --home."""
    from octra.cli import amounts
    from octra.consensus.ledger import ops

    return _validator(ops.Bond(_keys().node_id, amounts.read(amount)), "bond for a validator")


@app.command()
def ready() -> Answer:
    """Let the bonded node of --home be drawn into committees, after its time as a shadow."""
    from octra.consensus.ledger import ops

    return _validator(ops.Ready(_keys().node_id), "stand for the draw")


@app.command("exit")
def leave() -> Answer:
    """Draw the node of --home no more. Seats that it holds already it serves: keep it running for two epochs."""
    from octra.consensus.ledger import ops

    return _validator(ops.Exit(_keys().node_id), "leave the draw")


@app.command()
def withdraw() -> Answer:
    """Take the bond back, once the unbonding time is over and a checkpoint lies above."""
    from octra.consensus.ledger import ops

    return _validator(ops.Withdraw(_keys().node_id), "withdraw the bond")


def _keys() -> NodeKeys:
    from octra.node import home

    passphrase = None
    if settings.current.passphrase_file and not (settings.current.directory / home.PASSPHRASE_FILE).exists():
        from octra.cli.wallets import passphrase_for

        passphrase = passphrase_for("the node key")
    return home.read_keys(settings.current.directory, passphrase)


def _validator(op: Op, title: str) -> Answer:
    """Preview, sign with the wallet, send and wait."""
    from octra.cli import network, signing

    operation = signing.Operation(op, title, "you, the node, and everything in it, for ever")
    outcome = signing.carry_out(network.read(), signing.sender(), operation, signing.Terms())
    return signing.answer(outcome, title)
