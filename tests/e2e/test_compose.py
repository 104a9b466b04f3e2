"""The container files do what they say: their commands run here as local processes, in the order that they ask for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from octra.node import config
from octra.node.founding import faucet_key
from octra.node.localnet import free_ports
from octra.node.localnet_seed import FAUCET_SEED
from octra.primitives import address_of, print_address

pytestmark = pytest.mark.process

DOCKER = Path(__file__).parents[2] / "docker"
PATIENCE_S = 600.0
FAUCET = print_address(address_of(faucet_key(FAUCET_SEED).public))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file."""
    document: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile: (word, rest), continued lines joined."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_runs_the_command_without_root(dockerfile: list[tuple[str, str]], compose: dict[str, Any]) -> None:
    stages = {rest.split(" AS ")[1]: number for number, (word, rest) in enumerate(dockerfile) if word == "FROM"}
    last = dict(dockerfile[max(stages.values()) :])
    assert json.loads(last["ENTRYPOINT"]) == ["octra"]
    assert last["USER"] not in ("root", "0")
    assert last["VOLUME"] == "/net"
    for word, rest in dockerfile:
        if word == "COPY" and (source := re.search(r"--from=(\w+)", rest)):
            assert source[1] in stages
    for service in compose["services"].values():
        assert service["build"]["target"] in stages
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
        assert (DOCKER / service["build"]["context"] / "pyproject.toml").exists()


def test_every_node_has_an_address_of_its_own_that_genesis_knows(compose: dict[str, Any]) -> None:
    hosts = hosts_of(compose)
    nodes = {name: service for name, service in compose["services"].items() if name != "genesis"}
    assert [service["networks"]["octra"]["ipv4_address"] for service in nodes.values()] == hosts
    assert len(set(hosts)) == len(nodes) == 5
    for name, service in nodes.items():
        assert service["command"] == ["node", "start", f"--home=/net/octra/{name}"]
        assert service["volumes"] == ["net:/net"]


# --- the same commands as processes ---


@dataclass
class Local:
    """Services of the compose file as processes of this machine."""

    services: dict[str, Any]
    folder: Path
    hosts: list[str]
    first_port: int
    processes: dict[str, subprocess.Popen[bytes]]

    def words(self, words: list[str]) -> list[str]:
        """A command of a container, for here: other folder, loopback, free ports, and the fast parameter set."""
        words = [word.replace("/net/", f"{self.folder}/") for word in words]
        words = [re.sub("|".join(map(re.escape, self.hosts)), "127.0.0.1", word) for word in words]
        if words[:2] == ["localnet", "init"]:
            ports = [f"--http-port={self.first_port}", f"--p2p-port={self.first_port + len(self.hosts)}"]
            words += [*ports, "--parameters=TEST"]
        return [sys.executable, "-m", "octra.cli", *words]

    def start(self, name: str) -> None:
        """Start a service once what it depends on is as it should be."""
        if name in self.processes:
            return
        service = self.services[name]
        for other, wanted in service.get("depends_on", {}).items():
            self.start(other)
            match wanted["condition"]:
                case "service_completed_successfully":
                    assert self.processes[other].wait(PATIENCE_S) == 0, other
                case "service_healthy":
                    self.wait_until_healthy(other)
                case unknown:
                    raise AssertionError(unknown)
        log = (self.folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(self.words(service["command"]), stdout=log, stderr=log)
        log.close()

    def wait_until_healthy(self, name: str) -> None:
        """Run the health check of a service, as the engine would, until it succeeds."""
        kind, entry, *words = self.services[name]["healthcheck"]["test"]
        assert (kind, entry) == ("CMD", "octra")
        deadline = time.monotonic() + PATIENCE_S
        while subprocess.run(self.words(words), capture_output=True, check=False).returncode:
            assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()[-2_000:]
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def http(self, name: str) -> str:
        """Where a node answers."""
        return config.load(self.folder / "octra" / name).http.listen

    def stop(self) -> dict[str, int]:
        """What the engine does first: SIGTERM. The answer is each exit code."""
        running = {name: process for name, process in self.processes.items() if process.poll() is None}
        for process in running.values():
            process.terminate()
        return {name: process.wait(PATIENCE_S) for name, process in running.items()}


@pytest.fixture(scope="module")
def local(compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """All services, started."""
    hosts = hosts_of(compose)
    up = Local(compose["services"], tmp_path_factory.mktemp("compose"), hosts, free_ports(2 * len(hosts)), {})
    with ExitStack() as stack:
        stack.callback(kill_all, up.processes)
        for name in up.services:
            up.start(name)
        yield up


def test_the_services_make_a_network_whose_blocks_are_final(local: Local, rpc) -> None:
    node = local.http("node0")
    await_(lambda: int(rpc(node, "octra_chain")["certified_height"]) >= 5)
    roots = set()
    for name in ("node0", "node1", "node2", "node3"):
        await_(lambda name=name: int(answer(rpc, local.http(name), "octra_chain").get("height", 0)) >= 5)
        roots.add(rpc(local.http(name), "octra_getBlock", 5)["state_root"])
    assert len(roots) == 1
    linked = [one for one in rpc(node, "octra_network")["nodes"] if one["state"] == "linked"]
    assert len(linked) >= 3


def test_the_light_service_verifies_an_account(local: Local, rpc) -> None:
    light = local.http("light0")
    await_(lambda: answer(rpc, light, "octra_lightStatus").get("height") is not None)
    line = [*local.words(["verify", FAUCET]), "--node", f"http://{light}", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    found = json.loads(done.stdout)["data"]
    assert (found["verified"], found["exists"], found["signers"] >= 3) == (True, True, True)


def test_genesis_that_runs_again_changes_nothing(local: Local) -> None:
    before = (local.folder / "octra" / "node0" / "genesis.json").read_bytes()
    assert subprocess.run(local.words(local.services["genesis"]["command"]), check=False).returncode == 0
    assert (local.folder / "octra" / "node0" / "genesis.json").read_bytes() == before


def test_the_stop_signal_ends_every_service_by_itself(local: Local) -> None:
    assert set(local.stop().items()) == {(name, 0) for name in local.services if name != "genesis"}


# --- small things ---


def hosts_of(compose: dict[str, Any]) -> list[str]:
    """Addresses of the nodes, as the genesis service is told."""
    option = next(word for word in compose["services"]["genesis"]["command"] if word.startswith("--hosts="))
    return str(option).removeprefix("--hosts=").split(",")


def kill_all(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Leave nothing behind, whatever happened."""
    for process in processes.values():
        if process.poll() is None:
            process.kill()
        process.wait()


def await_(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answer(ask: Callable[..., Any], node: str, method: str) -> dict[str, Any]:
    """The answer of a node that may still be starting."""
    try:
        found: dict[str, Any] = ask(node, method)
    except OSError:
        return {}
    return found
