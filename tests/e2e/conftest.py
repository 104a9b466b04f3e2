"""One real network of processes for all end-to-end tests, and people who use it by the `octra` command."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from octra.cli import client, settings
from octra.node import founding
from octra.node.localnet import LocalNetwork, free_ports
from octra.node.localnet_seed import FAUCET_SEED

PATIENCE_S = 600.0  # a busy machine is no failure
PASSPHRASE = "canary passphrase 9b1deb4d3b7d"  # searched for afterwards, wherever it must not be


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    envelope: dict[str, Any]
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """What a command that succeeded found."""
        assert self.code == 0, (self.envelope, self.err)
        found: dict[str, Any] = self.envelope["data"]
        return found

    @property
    def error(self) -> tuple[int, str]:
        """Exit code, and code of the catalogue."""
        return self.code, (self.envelope["error"] or {}).get("code", "")


@dataclass
class World:
    """A network and a home. Commands talk to node0 unless told otherwise."""

    home: Path
    network: LocalNetwork
    people: dict[str, str] = field(default_factory=dict)

    def url(self, name: str = "node0") -> str:
        """Where a node answers."""
        return f"http://{self.network.place(name).http}"

    def command(self, *words: str, wallet: str = "", node: str = "") -> list[str]:
        """The words of a command line."""
        line = [sys.executable, "-m", "octra.cli", *words, "--json", "--yes", "--home", str(self.home)]
        line += ["--node", node or self.url(), "--passphrase-file", str(self.home / "passphrase")]
        return line + (["--wallet", wallet] if wallet else [])

    def octra(self, *words: str, wallet: str = "", node: str = "", stdin: str = "", cwd: Path | None = None) -> Ended:
        """Run a command to its end."""
        return self.end(self.start(*words, wallet=wallet, node=node, cwd=cwd), stdin)

    def start(self, *words: str, wallet: str = "", node: str = "", cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start a command."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTRA_")}
        pipe = subprocess.PIPE
        line = self.command(*words, wallet=wallet, node=node)
        return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env=environment)

    def end(self, process: subprocess.Popen[str], stdin: str = "") -> Ended:
        """Wait for a command."""
        out, err = process.communicate(stdin, timeout=600)
        return Ended(process.returncode, json.loads(out), err)

    def ask(self, method: str, *parameters: Any, node: str = "") -> Any:
        """A question to a node's API."""
        settings.current = replace(settings.current, node=node or self.url())
        return client.call(method, *parameters)

    def person(self, name: str, *, coins: bool = True) -> str:
        """A new wallet, with coins of the faucet; its address."""
        self.people[name] = str(self.octra("wallet", "new", "--name", name).data["address"])
        if coins:
            assert self.octra("faucet", wallet=name).data["amount_units"] == "1000000000"
        return self.people[name]

    def public(self, name: str) -> int:
        """Public units of a person."""
        return int(self.octra("balance", wallet=name).data["public_units"])

    def private(self, name: str) -> int:
        """Private units of a person, as the seats open them to him."""
        return int(self.octra("balance", "--reveal", wallet=name).data["private"]["revealed_units"])

    def pay(self, name: str, to: str, amount: str, *words: str) -> Ended:
        """A private transfer. The amount goes in by standard input: nothing sees it on a command line."""
        return self.octra("send", to, "-", "--private", *words, wallet=name, stdin=amount)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four nodes and a light one over libp2p, on parameters TEST, until the tests end."""
    home = tmp_path_factory.mktemp("world")
    passphrase = home / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(PASSPHRASE + "\n")
    first = free_ports(10)
    plan = founding.Plan(home / "localnet", parameters="TEST", p2p_port=first, http_port=first + 5)
    before = settings.current
    with LocalNetwork.found(plan, FAUCET_SEED, say=lambda _: None) as network:
        network.start()
        yield World(home, network)
    settings.current = before


class Refused(Exception):
    """A node answered a question with an error; `code` is that of the catalogue."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.code = data.partition(":")[0]


def rpc_call(node: str, method: str, *parameters: Any, timeout_s: float = 60) -> Any:
    """The result of a JSON-RPC method, for tests with threads; raises `Refused`, `OSError` or `HTTPException`."""
    connection = http.client.HTTPConnection(node, timeout=timeout_s)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        connection.request("POST", "/rpc", body, {"Content-Type": "application/json"})
        document = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if "error" in document:
        raise Refused(str(document["error"]["data"]))
    return document["result"]


@pytest.fixture(scope="session")
def rpc() -> Callable[..., Any]:
    """Ask a node, also from several threads: (host:port, method, parameters...) -> result."""
    return rpc_call


@pytest.fixture(scope="session")
def refused() -> type[Exception]:
    """What `rpc` raises when the node refuses."""
    return Refused


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Found and start a network of a module's own, for tests that kill or flood nodes; it ends with the module."""
    before = settings.current
    with contextlib.ExitStack() as stack:

        def make(validators: int = 4, *, light: int = 0, **plan: Any) -> World:
            home = tmp_path_factory.mktemp("own")
            (home / "passphrase").write_text(PASSPHRASE + "\n")
            nodes = validators + light
            first = free_ports(2 * nodes)
            planned = founding.Plan(
                home / "localnet", validators, light, "TEST", p2p_port=first, http_port=first + nodes, **plan
            )
            network = stack.enter_context(LocalNetwork.found(planned, FAUCET_SEED, say=lambda _: None))
            for place in network.places:
                network.spawn(place.name)
            for place in network.places:
                network.wait_ready(place.name, PATIENCE_S)
            return World(home, network)

        yield make
    settings.current = before
