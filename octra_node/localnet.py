"""A whole network on one machine: every node a process of its own, started, killed and stopped from here."""

from __future__ import annotations

import http.client
import json
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from octra.errors import Unavailable
from octra.node import config, founding, home
from octra.node.children import Launcher, NodeFailed, NodeProcess, last_line

STATE_FILE = "network.json"
READY_WAIT_S = 120.0
STOP_WAIT_S = 20.0


class PortsTaken(Unavailable):
    """A port that the network wants is in use."""

    oct_code = 1110

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use; stop the other program or choose others with --http-port, --p2p-port")


@dataclass(slots=True)
class LocalNetwork:
    """The nodes of a founded network. Use as a context manager: it leaves no process behind."""

    directory: Path
    places: list[founding.NodePlace]
    processes: dict[str, NodeProcess] = field(default_factory=dict)
    _launcher: Launcher | None = None

    @classmethod
    def found(cls, plan: founding.Plan, seed: bytes, say: Callable[[str], None] = print) -> LocalNetwork:
        """Make genesis, keys and directories for `plan`."""
        places = founding.found(plan, seed, int(time.time() * 1000), say=say)
        network = cls(plan.directory, places)
        network._write_state(seed)
        return network

    @classmethod
    def load(cls, directory: Path) -> LocalNetwork:
        """A network that was founded before."""
        document = json.loads((directory / STATE_FILE).read_text())
        places = [
            founding.NodePlace(entry["name"], config.Role(entry["role"]), directory / entry["name"], entry["http"])
            for entry in document["nodes"]
        ]
        return cls(directory, places)

    def __enter__(self) -> LocalNetwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def place(self, name: str) -> founding.NodePlace:
        """The node called `name`."""
        return next(place for place in self.places if place.name == name)

    def start(self) -> None:
        """Start all nodes and wait until each is ready; raises `NodeFailed` or `PortsTaken`."""
        for place in self.places:
            _check_free(place.http)
        for place in self.places:
            self.spawn(place.name)
        for place in self.places:
            self.wait_ready(place.name)

    def spawn(self, name: str) -> None:
        """Start one node's process; it ends with this one."""
        place = self.place(name)
        (place.directory / "logs").mkdir(exist_ok=True)
        if self._launcher is None:
            self._launcher = Launcher.open(self.directory, self.directory / "launcher.log")
        self.processes[name] = self._launcher.start(place.directory, place.directory / "logs" / "node.log")

    def wait_ready(self, name: str, timeout_s: float = READY_WAIT_S) -> None:
        """Wait until the node answers that it is synced; raises `NodeFailed`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            process = self.processes[name]
            if process.poll() is not None:
                raise NodeFailed(f"{name} ended with exit code {process.returncode}: {self.last_log_line(name)}")
            if probe(self.place(name).http, "/readyz") == 200:
                return
            time.sleep(0.1)
        raise NodeFailed(f"{name} is not ready after {timeout_s:.0f} s: {self.last_log_line(name)}")

    def kill(self, name: str) -> None:
        """End a node with SIGKILL, as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End all nodes, politely first."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None

    def last_log_line(self, name: str) -> str:
        """The end of a node's log, for messages."""
        return last_line(self.place(name).directory / "logs" / "node.log")

    def _write_state(self, seed: bytes) -> None:
        document = {
            "schema": "octra.localnet/v1",
            "chain_id": home.read_genesis(self.places[0].directory).chain_id,
            "faucet_seed": seed.hex(),  # public: it guards test coins only
            "nodes": [{"name": place.name, "role": place.role.value, "http": place.http} for place in self.places],
        }
        (self.directory / STATE_FILE).write_text(json.dumps(document, indent=1) + "\n")


def probe(address: str, path: str, timeout_s: float = 2.0) -> int | None:
    """HTTP status of a GET, or None when nothing answers."""
    connection = http.client.HTTPConnection(address, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that are free now, below the range that the system hands out."""
    start = 18_000 + secrets.randbelow(10_000)  # anywhere, so that two programs that look at once seldom meet
    for first in range(start, 32_000, count):
        try:
            for port in range(first, first + count):
                _check_free(f"127.0.0.1:{port}")
        except PortsTaken:
            continue
        return first
    raise PortsTaken(start)


def _check_free(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((host, int(port)))
        except OSError as error:
            raise PortsTaken(int(port)) from error
