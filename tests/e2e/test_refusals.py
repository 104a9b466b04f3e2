"""Whatever goes wrong is told in one clear line with what to do, and the same in JSON, with the documented exit code."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from octra import catalogue
from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign
from octra.crypto.ed25519 import SigningKey
from octra.node import config, founding
from octra.node.localnet import LocalNetwork, free_ports
from octra.primitives import print_address

pytestmark = pytest.mark.process

NOBODY = print_address(bytes(31) + b"\x07")  # well formed, and never seen on the chain
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Case:
    """A home with a wallet that has coins, a node's directory of its own, and another chain's genesis."""

    url: str
    home: Path
    address: str
    passphrase: Path
    wrong_passphrase: Path
    node_home: Path
    other_home: Path
    taken_port: int

    def octra(self, *words: str) -> list[str]:
        """A command line with everything right."""
        line = [sys.executable, "-m", "octra.cli", *words, "--home", str(self.home), "--node", self.url, "--yes"]
        return [*line, "--wallet", "rex", "--passphrase-file", str(self.passphrase)]


@pytest.fixture(scope="module")
def case(world, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Everything that the mistakes below need."""
    folder = tmp_path_factory.mktemp("refusals")
    address = world.person("rex")
    wrong = folder / "wrong"
    wrong.write_text("not the passphrase\n")
    first = free_ports(4)
    for name, port in (("net", first), ("other", first + 2)):
        plan = founding.Plan(folder / name, 1, 0, "TEST", p2p_port=port, http_port=port + 1)
        LocalNetwork.found(plan, bytes(32), say=lambda _: None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield Case(
            url=world.url(),
            home=world.home,
            address=address,
            passphrase=world.home / "passphrase",
            wrong_passphrase=wrong,
            node_home=folder / "net" / "node0",
            other_home=folder / "other" / "node0",
            taken_port=listener.getsockname()[1],
        )


def wrong_passphrase(case: Case) -> list[str]:
    return [*case.octra("send", NOBODY, "1"), "--passphrase-file", str(case.wrong_passphrase)]


def mistyped_address(case: Case) -> list[str]:
    return case.octra("send", case.address[:-1], "1")


def unknown_transaction(case: Case) -> list[str]:
    return case.octra("tx", "show", "00" * 32)


def insufficient_funds(case: Case) -> list[str]:
    return case.octra("send", NOBODY, "5000", "--confirm", NOBODY[-4:])


def wrong_chain(case: Case) -> list[str]:
    return case.octra("send", NOBODY, "1", "--chain", "octra:main-00000000")


def node_down(case: Case) -> list[str]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    return [*case.octra("balance"), "--node", f"http://127.0.0.1:{port}"]


def http_port_taken(case: Case) -> list[str]:
    return start(case, http=config.HttpSection(listen=f"127.0.0.1:{case.taken_port}"))


def p2p_port_taken(case: Case) -> list[str]:
    return start(case, p2p=config.P2PSection(listen=(f"/ip4/127.0.0.1/tcp/{case.taken_port}",)))


def localnet_port_taken(case: Case) -> list[str]:
    words = ("localnet", "--parameters", "TEST", "--nodes", "1", "--light", "0", "--http-port", str(case.taken_port))
    return [*case.octra(*words), "--home", str(case.node_home.parent / "localnet")]


def set_up_for_another_chain(case: Case) -> list[str]:
    words = ("node", "init", "--genesis", str(case.other_home / "genesis.json"))
    return [*case.octra(*words), "--home", str(case.node_home)]


def blocks_of_another_chain(case: Case) -> list[str]:
    """The database of one chain under the genesis of another: signing there would be worst of all."""
    home = case.node_home.parent / "swapped"
    if not home.exists():
        shutil.copytree(case.node_home, home)
        make_database(home)
        shutil.copy(case.other_home / "genesis.json", home / "genesis.json")
    return [*line_of("node", "start"), "--home", str(home)]


MISTAKES: dict[Callable[[Case], list[str]], int] = {
    wrong_passphrase: 1101,
    mistyped_address: 1202,
    unknown_transaction: 4041,
    insufficient_funds: 2104,
    wrong_chain: 3005,
    node_down: 3006,
    http_port_taken: 1110,
    p2p_port_taken: 1110,
    localnet_port_taken: 1110,
    set_up_for_another_chain: 1004,
    blocks_of_another_chain: 1004,
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__.replace("_", " "))
def test_a_mistake_is_one_clear_line_with_what_to_do_and_the_same_in_json(case: Case, mistake) -> None:
    line = mistake(case)
    plain, machine = run(line), run([*line, "--json"])
    check(plain, machine, MISTAKES[mistake])


def test_an_expired_transaction_is_told_like_every_mistake(case: Case, rpc) -> None:
    """Whoever looks at the preview for too long signs what no block may take any more."""
    line = [word for word in case.octra("send", NOBODY, "1", "--expires-in", "1") if word != "--yes"]
    answers = [Answering(line), Answering([*line, "--json"])]
    node = case.url.removeprefix("http://")
    for answer in answers:
        answer.wait_for("[y/N]")
    began = int(rpc(node, "octra_chain")["epoch"])
    deadline = time.monotonic() + PATIENCE_S
    while int(rpc(node, "octra_chain")["epoch"]) < began + 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    plain, machine = (answer.say("y") for answer in answers)
    text = plain.stderr.partition("[y/N]")[2]
    check(Ended(plain.code, plain.stdout, text), machine, 2119, asked=True)


def test_a_transaction_of_another_chain_or_epoch_is_refused_by_rpc_and_rest_alike(case: Case, rpc, refused) -> None:
    node = case.url.removeprefix("http://")
    facts, key = rpc(node, "octra_chain"), SigningKey(bytes(range(32)))
    chain, epoch = bytes.fromhex(facts["chain"]), int(facts["epoch"])
    wanted = {(bytes(32), epoch + 9): 2118, (chain, epoch + 5_000): 2119, (chain, epoch + 9): 2100}
    for (bound, expiry), code in wanted.items():
        op = ops.Transfer(bytes(32), 1)
        body = build(chain=bound, sender=key.public, nonce=1, expiry_epoch=expiry, fee=1_000, op=op)
        wire = sign(body, key)
        with pytest.raises(refused) as by_rpc:
            rpc(node, "octra_submitRaw", base64.b64encode(wire).decode())
        status, problem = post(node, "/api/v1/transactions", wire)
        row = catalogue.row(code)
        assert (by_rpc.value.code, problem["code"], status) == (row.text, row.text, row.http)
        assert problem["hint"] == row.remedy


# --- running and checking ---


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def check(plain: Ended, machine: Ended, code: int, *, asked: bool = False) -> None:
    """One line that says what, one that says what to do; the same in JSON; the exit code of the catalogue."""
    row = catalogue.ROWS[code]
    assert (plain.code, machine.code) == (row.exit, row.exit), (plain, machine)
    lines = [line for line in plain.stderr.splitlines() if line.strip() and not line.startswith("{")]  # { a log line
    assert len(lines[-2:]) == 2, plain
    assert lines[-2].startswith("error: "), plain
    assert lines[-2].endswith(f"({row.text})"), plain
    assert lines[-1].strip() == row.remedy
    assert sum(line.startswith("error") for line in lines) == 1
    assert "Traceback" not in plain.stderr + machine.stderr
    assert plain.stdout == ""
    envelope = json.loads(machine.stdout)
    error = envelope["error"]
    assert (envelope["ok"], envelope["data"], error["code"], error["hint"]) == (False, None, row.text, row.remedy)
    assert "\n" not in error["message"]
    if not asked:
        assert [line for line in machine.stderr.splitlines() if line.startswith("error")] == []


def run(line: list[str]) -> Ended:
    """Run a command to its end, away from any terminal."""
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL, env=bare()
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Answering:
    """A command on a terminal that asks a question, and waits."""

    def __init__(self, line: list[str]) -> None:
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            line, stdin=inner, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=bare()
        )
        os.close(inner)
        self._heard = ""

    def wait_for(self, text: str) -> None:
        """Read until the question is asked."""
        assert self._process.stderr is not None
        while text not in self._heard:
            letter = self._process.stderr.read(1)
            assert letter, self._heard
            self._heard += letter

    def say(self, text: str) -> Ended:
        """Answer, and wait for the end."""
        os.write(self._terminal, f"{text}\n".encode())
        out, err = self._process.communicate(timeout=PATIENCE_S)
        os.close(self._terminal)
        return Ended(self._process.returncode, out, self._heard + err)


def line_of(*words: str) -> list[str]:
    """A command line without options."""
    return [sys.executable, "-m", "octra.cli", *words]


def bare() -> dict[str, str]:
    """The environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OCTRA_")}


def start(case: Case, **sections: object) -> list[str]:
    """The start of a node whose settings name something that is taken."""
    name = "-".join(sections)
    home = case.node_home.parent / f"{name}-taken"
    if not home.exists():
        shutil.copytree(case.node_home, home)
        settings = config.load(home).model_copy(update=sections)
        (home / config.CONFIG_FILE).write_text(config.dump(settings))
    return [*line_of("node", "start"), "--home", str(home)]


def make_database(home: Path) -> None:
    """Let the node of a directory begin its database, and end."""
    process = subprocess.Popen([*line_of("node", "start"), "--home", str(home)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "node started" in line:
            break
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def post(node: str, path: str, body: bytes) -> tuple[int, dict[str, object]]:
    """Status and JSON of a POST."""
    connection = http.client.HTTPConnection(node, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
