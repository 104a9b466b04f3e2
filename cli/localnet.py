"""`octra localnet`: a whole network on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from octra.cli import output
from octra.cli.localnet_state import STATE_FILE, default_directory
from octra.cli.output import Answer, CommandFailed, say
from octra.node.localnet_seed import FAUCET_SEED, FIRST_HTTP_PORT, FIRST_P2P_PORT

if TYPE_CHECKING:
    from octra.node.config import Execution
    from octra.node.localnet import LocalNetwork
    from octra.node.p2p.address import PlaceKind

app = typer.Typer(add_completion=False, invoke_without_command=True, help="A whole network on this machine.")

_NODES = typer.Option(4, min=1, max=24, help="validators; below 4 nothing is tolerated, above 10 nothing is private")
_LIGHT = typer.Option(1, min=0, max=4, help="light nodes")
_PARAMETERS = typer.Option("T", help="FHE parameter set of the network key: T, or TEST (fast, hides nothing)")
_EPOCH = typer.Option(20, min=5, help="seconds of an epoch")
_HTTP = typer.Option(FIRST_HTTP_PORT, help="HTTP port of the first node")
_P2P = typer.Option(FIRST_P2P_PORT, help="port of the first node for other nodes")
_TRANSPORT = typer.Option("libp2p", help="libp2p, or tls (half of its work)")

_EXECUTION = typer.Option("all", help="who executes blocks: every validator (all), or f + 1 in turn (split)")


@app.callback()
def localnet(
    context: typer.Context,
    nodes: int = _NODES,
    light: int = _LIGHT,
    parameters: str = _PARAMETERS,
    epoch: int = _EPOCH,
    http_port: int = _HTTP,
    p2p_port: int = _P2P,
    transport: str = _TRANSPORT,
    execution: str = _EXECUTION,
    committee: str = typer.Option("fixed", help="who orders: the same nodes (fixed), or all who register (drawn)"),
    fresh: bool = typer.Option(False, "--fresh", help="forget the network of last time"),
) -> Answer | None:
    """Start a local network (or last time's again) and keep it until Ctrl-C or SIGTERM."""
    from octra.node import founding
    from octra.node.localnet import LocalNetwork

    if context.invoked_subcommand:
        return None
    directory = default_directory()
    if fresh and directory.exists():
        shutil.rmtree(directory)
    if (directory / STATE_FILE).exists():
        say(f"using the network in {directory} (--fresh starts anew)")
        network = LocalNetwork.load(directory)
    else:
        plan = founding.Plan(
            directory,
            nodes,
            light,
            _known(parameters),
            epoch * 1000,
            p2p_port=p2p_port,
            http_port=http_port,
            transport=_transport(transport),
            execution=_execution(execution),
            drawn=_is_drawn(committee),
        )
        network = LocalNetwork.found(plan, FAUCET_SEED, say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it leaves no node behind either
    with network:
        try:
            network.start()
            _announce(network)
            while all(process.poll() is None for process in network.processes.values()):
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("stopping")
            return Answer({"stopped": True})
        ended = next(name for name, process in network.processes.items() if process.poll() is not None)
        raise CommandFailed(5001, f"{ended} ended: {network.last_log_line(ended)}")


@app.command()
def init(
    out: Path = typer.Option(..., help="directory to write"),
    nodes: int = _NODES,
    light: int = _LIGHT,
    parameters: str = _PARAMETERS,
    epoch: int = _EPOCH,
    http_port: int = _HTTP,
    p2p_port: int = _P2P,
    transport: str = _TRANSPORT,
    execution: str = _EXECUTION,
    hosts: str = typer.Option("", help="IPv4 addresses of the nodes, comma separated; default: all on loopback"),
) -> Answer:
    """Only write the directories of a network; start each with `octra node start --home OUT/nodeN`."""
    from octra.node import founding
    from octra.node.localnet import LocalNetwork

    if (out / STATE_FILE).exists():
        network = LocalNetwork.load(out)
        return Answer(
            {"directory": str(out), "created": False}, f"{out} holds a network of {len(network.places)} nodes"
        )
    addresses = tuple(host for host in hosts.split(",") if host)
    if addresses and len(addresses) != nodes + light:
        raise CommandFailed(1002, f"--hosts names {len(addresses)} addresses for {nodes + light} nodes")
    plan = founding.Plan(
        out,
        nodes,
        light,
        _known(parameters),
        epoch * 1000,
        p2p_port=p2p_port,
        http_port=http_port,
        transport=_transport(transport),
        execution=_execution(execution),
        hosts=addresses,
    )
    network = LocalNetwork.found(plan, FAUCET_SEED, say)
    names = [place.name for place in network.places]
    return Answer({"directory": str(out), "created": True, "nodes": names}, f"wrote {', '.join(names)} under {out}")


def _is_drawn(committee: str) -> bool:
    if committee not in ("fixed", "drawn"):
        raise CommandFailed(1002, "--committee is fixed or drawn")
    return committee == "drawn"


def _known(parameters: str) -> str:
    if parameters.upper() not in ("T", "TEST"):
        raise CommandFailed(1002, "--parameters is T or TEST")
    return parameters.upper()


def _transport(name: str) -> PlaceKind:
    from octra.node.p2p.address import PlaceKind

    if name not in (PlaceKind.LIBP2P.value, PlaceKind.TLS.value):
        raise CommandFailed(1002, "--transport is libp2p or tls")
    return PlaceKind(name)


def _execution(name: str) -> Execution:
    from octra.node.config import Execution

    if name not in (Execution.ALL.value, Execution.SPLIT.value):
        raise CommandFailed(1002, "--execution is all or split")
    return Execution(name)


def _announce(network: LocalNetwork) -> None:
    from octra.node.home import read_genesis
    from octra.node.rpc.present import key_warning

    first = network.places[0].http
    rows = [[place.name, place.role.value, f"http://{place.http}/"] for place in network.places]
    say(output.table(rows, ["node", "role", "explorer and API"]))
    say(f"key: {key_warning(read_genesis(network.places[0].directory))}")
    print(json.dumps({"event": "ready", "rpc": f"http://{first}/rpc", "explorer": f"http://{first}/"}), flush=True)
