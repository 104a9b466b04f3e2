"""A node that joins an old network takes the state of a checkpoint, not its history; then it is a node like others."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from octra.consensus.ledger import keys
from octra.node import config
from octra.node.home import read_keys
from octra.node.installing import origin_of
from octra.node.localnet import free_ports, probe
from octra.node.p2p.address import Place, PlaceKind, parse_place
from octra.node.snapshots import Shelf
from octra.storage.blocks import BlockStore
from octra.storage.kv import Family, u32
from octra.storage.rocks import open_rocks

pytestmark = pytest.mark.process

PATIENCE_S = 600.0  # a busy machine is no failure
EPOCH_MS = 5_000


def until(ask: Callable[[], Any]) -> Any:
    """What the question answers, once that counts as true."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.2)
    raise AssertionError("it never came true")


def octra(home: Path, *words: str) -> dict[str, Any]:
    """What a command with this home says."""
    line = [sys.executable, "-m", "octra.cli", *words, "--json", "--yes", "--home", str(home)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)["data"]
    return found


@contextmanager
def running(home: Path, *words: str) -> Iterator[None]:
    """The node of a home, in a process of its own."""
    line = [sys.executable, "-m", "octra.cli", "node", "start", "--home", str(home), *words]
    with (home / "node.log").open("a") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def set_up(home: Path, server: Path, role: str = "standard") -> str:
    """A node that knows one address; where it answers."""
    first = parse_place(config.load(server).p2p.listen[0])
    bootstrap = config.load(server.parent / "node1").p2p.bootstrap[0]  # that of node0, with its name
    port = free_ports(2)
    listen = str(Place(first.kind, first.host, port))
    words = ("--role", role, "--bootstrap", bootstrap, "--listen", listen, "--http", f"127.0.0.1:{port + 1}")
    octra(home, "node", "init", "--genesis", str(server), *words)
    return f"127.0.0.1:{port + 1}"


def test_a_joiner_replays_nothing_and_then_registers(
    found: Callable[..., Any], rpc: Callable[..., Any], refused: type[Exception], tmp_path: Path
) -> None:
    world = found(4, light=1, epoch_ms=EPOCH_MS, network_key=False, drawn=True, transport=PlaceKind.TLS)
    server = world.network.place("node0").directory
    seat, alice = world.network.place("node1").http, world.person("alice")
    until(lambda: Shelf(server).heights())

    home = tmp_path / "joiner"
    http = set_up(home, server)
    with running(home):
        until(lambda: probe(http, "/readyz") == 200)
        origin = int(rpc(http, "octra_status")["origin"].rpartition(" ")[2])
        assert rpc(http, "octra_balance", alice)["balance"] == rpc(seat, "octra_balance", alice)["balance"]
        with pytest.raises(refused) as older:
            rpc(http, "octra_getBlock", origin - 1)
        assert older.value.code == "OCT-4101"

        me = ("--passphrase-file", str(world.home / "passphrase"), "--node", f"http://{http}", "--wallet", "owner")
        octra(home, "wallet", "new", "--name", "owner", *me)
        octra(home, "faucet", *me)
        octra(home, "node", "register", *me)
        row = base64.b64encode(keys.validator(read_keys(home).node_id)).decode()
        assert until(lambda: rpc(seat, "octra_state", row)["value"])
        height = rpc(http, "octra_status")["height"]
        assert height > origin
        until(lambda: rpc(seat, "octra_status")["height"] >= height)  # it may execute later than the joiner
        roots = {rpc(at, "octra_getBlock", height - 1)["state_root"] for at in (http, seat)}
        assert len(roots) == 1

        light = world.network.place("light0").http  # has followed the committees meanwhile
        assert until(lambda: rpc(light, "octra_lightStatus")["checkpoint_height"] >= origin)
        assert rpc(light, "octra_lightAccount", alice)["exists"]

    file, other = tmp_path / "state.snapshot", tmp_path / "other"
    exported = octra(server, "snapshot", "export", str(file))
    http = set_up(other, server)
    with running(other, "--snapshot", str(file), "--checkpoint", exported["checkpoint"]):
        until(lambda: probe(http, "/readyz") == 200)
        assert rpc(http, "octra_status")["origin"] == f"the snapshot of height {exported['height']}"
        assert rpc(http, "octra_status")["height"] > exported["height"]

    watcher = tmp_path / "watcher"
    http = set_up(watcher, server, "light")
    line = [sys.executable, "-m", "octra.cli", "node", "start", "--home", str(watcher), "--snapshot", str(file)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert (ended.returncode, "holds no state" in ended.stderr) == (2, True), ended.stderr
    with running(watcher, "--checkpoint", exported["checkpoint"]):
        until(lambda: probe(http, "/readyz") == 200)
        assert rpc(http, "octra_lightStatus")["checkpoint_height"] >= exported["height"]
        assert rpc(http, "octra_lightAccount", alice)["exists"]

    store = open_rocks(home / "db")
    try:
        assert min(height for height, _ in BlockStore(store).commits(0, 10**6)) == origin
        epoch = (origin_of(store) or pytest.fail("it replayed")).epoch
        assert not list(store.scan(Family.VERTEX, b"", u32(epoch + 1), limit=1)), "nothing was replayed"
    finally:
        store.close()
