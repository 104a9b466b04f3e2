"""The story that `octra demo` tells: real nodes, real `octra` commands, each step checked before the next one."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from octra.cli import client, settings
from octra.cli.output import CommandFailed, say
from octra.codec import decode, encode
from octra.consensus.ledger.records import Account
from octra.node.localnet import LocalNetwork
from octra.primitives import UNITS_PER_OCT, print_amount

COMMAND_S_MAX = 1_800
CATCH_UP_S_MAX = 180
ALICE, BOB, STRANGER = "alice", "bob", "stranger"
PUBLIC, ENCRYPTED, SENT, TOO_MUCH = "25", "60", "12.5", "100"
VICTIM = "node3"  # killed in the middle of the story; not the node that the commands talk to


class StepFailed(CommandFailed):
    """The story went otherwise than it should."""

    def __init__(self, what: str) -> None:
        super().__init__(5001, what)


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the table at the end: the step in two or three words, and what came of it."""

    what: str
    result: str
    seconds: float


@dataclass
class Story:
    """Where the story plays, and what has happened so far."""

    home: Path
    network: LocalNetwork
    passphrase_file: Path
    steps: list[Step] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def node(self) -> str:
        """The URL of the node that the commands talk to."""
        return self.url("node0")

    def url(self, name: str) -> str:
        """Where a node answers."""
        return f"http://{self.network.place(name).http}"

    @contextmanager
    def step(self, short: str, line: str) -> Iterator[Callable[[str], None]]:
        """Tell `line` now and its time when it is done; the body tells the result by calling what it gets."""
        began, results = time.monotonic(), list[str]()
        say(f"{_ink(f'{began - self.started:6.1f} s', '2')}  {_ink(line, '1')}")
        yield results.append
        seconds = time.monotonic() - began
        say(f"          {results[-1]}  {_ink(f'{seconds:.1f} s', '2')}")
        self.steps.append(Step(short, results[-1], seconds))

    def octra(self, *words: str, wallet: str = "", node: str = "", stdin: str = "", cwd: Path | None = None) -> Any:
        """The data of an `octra` command that must succeed."""
        code, envelope = self.run(*words, wallet=wallet, node=node, stdin=stdin, cwd=cwd)
        if code or not envelope["ok"]:
            error = envelope.get("error") or {}
            raise StepFailed(
                f"octra {words[0]} ended with exit code {code}: {error.get('code')} {error.get('message')}"
            )
        return envelope["data"]

    def refused(self, code: str, *words: str, wallet: str = "", node: str = "") -> str:
        """The message of an `octra` command that must be refused with this code of the catalogue."""
        exit_code, envelope = self.run(*words, wallet=wallet, node=node)
        error = envelope.get("error") or {}
        if not exit_code or error.get("code") != code:
            raise StepFailed(f"octra {words[0]} should be refused with {code}, but ended with {exit_code}: {envelope}")
        return str(error["message"])

    def run(
        self, *words: str, wallet: str = "", node: str = "", stdin: str = "", cwd: Path | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Exit code and envelope of an `octra` command, run as its own process with --json."""
        command = [sys.executable, "-m", "octra.cli", *words, "--json", "--yes", "--home", str(self.home)]
        command += ["--node", node or self.node, "--passphrase-file", str(self.passphrase_file)]
        command += ["--wallet", wallet] if wallet else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTRA_")}
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, cwd=cwd, env=environment, timeout=COMMAND_S_MAX,
            check=False,
        )  # fmt: skip
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError as error:
            raise StepFailed(f"octra {words[0]} printed no envelope: {done.stderr[-300:]}") from error

    def ask(self, method: str, *parameters: Any, node: str = "") -> Any:
        """A question to a node's API, for what no command shows."""
        settings.current = replace(settings.current, node=node or self.node)
        return client.call(method, *parameters)

    def private_balance(self, wallet: str) -> int:
        """What the seats open to the owner, in units."""
        data = self.octra("balance", "--reveal", wallet=wallet)
        return int(data["private"]["revealed_units"])


def check(holds: bool, otherwise: str) -> None:
    """Stop the story with `otherwise` unless it `holds`."""
    if not holds:
        raise StepFailed(otherwise)


# --- the chapters ---


def money(story: Story) -> None:
    """Wallets, coins, and a payment that everybody can read."""
    with story.step("wallets", "Alice, Bob and a stranger make wallets") as tell:
        for name in (ALICE, BOB, STRANGER):
            story.addresses[name] = story.octra("wallet", "new", "--name", name)["address"]
        tell(f"Alice is {story.addresses[ALICE][:11]}..., Bob is {story.addresses[BOB][:11]}...")
    with story.step("faucet", "The faucet gives Alice and the stranger test coins") as tell:
        for name in (ALICE, STRANGER):
            data = story.octra("faucet", wallet=name)
        tell(f"{print_amount(int(data['amount_units']))} OCT each")
    with story.step("public transfer", f"Alice pays Bob {PUBLIC} OCT in public") as tell:
        data = story.octra("send", story.addresses[BOB], PUBLIC, wallet=ALICE)
        held = int(story.octra("balance", wallet=BOB)["public_units"])
        check(held == int(PUBLIC) * UNITS_PER_OCT, f"Bob holds {held} units")
        tell(f"final at height {data['height']}, fee {print_amount(int(data['fee_units']))} OCT")


def privacy(story: Story) -> None:
    """A payment whose amount no node ever sees."""
    with story.step("encrypt", f"Alice encrypts {ENCRYPTED} OCT: from here on her balance is a ciphertext") as tell:
        data = story.octra("encrypt", ENCRYPTED, wallet=ALICE)
        tell(f"final at height {data['height']}")
    with story.step("private transfer", "She sends some of it to Bob; the amount leaves only in sealed shares") as tell:
        data = story.octra("send", story.addresses[BOB], "-", "--private", wallet=ALICE, stdin=SENT)
        seen = story.ask("octra_getTransaction", data["tx_id"])
        check(seen["op"]["amount_units"] is None, "the chain shows an amount")
        tell(f"final at height {seen['height']}; strangers see sender, receiver, fee, and no amount")
    with story.step("evaluation", "Nodes computed on ciphertexts; their results agree byte for byte") as tell:
        tell(_agreement(story, data["jobs"]))
    with story.step("owner opens", "Bob asks the seats to open his balance, for his eyes only") as tell:
        _expect_balance(story, BOB, SENT)
        tell(f"he reads {SENT} OCT")
    with story.step("stranger asks", "The stranger asks for Bob's balance too") as tell:
        reason = story.refused("OCT-4031", "balance", story.addresses[BOB], "--reveal", wallet=STRANGER)
        tell(f"refused: {reason}")
    with story.step("overdraft", f"Alice tries to send {TOO_MUCH} OCT, more than she has left in private") as tell:
        story.octra("send", story.addresses[BOB], "-", "--private", wallet=ALICE, stdin=TOO_MUCH)
        _expect_balance(story, BOB, SENT)
        _expect_balance(story, ALICE, "47.5")
        tell(f"nothing moved, and nobody else can tell: Bob {SENT}, Alice 47.5 OCT")


def _agreement(story: Story, jobs: list[str]) -> str:
    """What the evaluators of a transaction's jobs revealed."""
    check(bool(jobs), "the private transfer caused no evaluation")
    told = []
    for name in jobs:
        job = story.ask("octra_job", name)
        digests = [tuple(reveal["digests"]) for reveal in job["revealed"]]
        needed = int(story.ask("octra_chain")["evaluators"])
        check(job["state"] == "certified", f"job {name[:8]} is {job['state']}")
        check(len(digests) >= needed and len(set(digests)) == 1, f"evaluators of job {name[:8]} disagree")
        seats = " and ".join(str(reveal["seat"]) for reveal in job["revealed"])
        told.append(f"job {name[:8]}, {job['bootstraps']} bootstraps: seats {seats} both say {digests[0][0][:12]}...")
    return "; ".join(told)


def _expect_balance(story: Story, wallet: str, amount: str) -> None:
    units = story.private_balance(wallet)
    check(print_amount(units) == amount, f"{wallet} holds another private balance than {amount} OCT")


def circles(story: Story) -> None:
    """A program of the user's own on the chain, while one node is gone."""
    with story.step("kill -9", f"Somebody pulls the plug of {VICTIM}: kill -9") as tell:
        story.network.kill(VICTIM)
        tell("three of four nodes go on")
    with story.step("Circle deployed", "Alice makes a Circle from a template, builds it and deploys it") as tell:
        folder = story.home / "work"
        folder.mkdir()
        story.octra("circle", "new", "visits", cwd=folder)
        built = story.octra("circle", "build", cwd=folder / "visits")
        deployed = story.octra("circle", "deploy", wallet=ALICE, cwd=folder / "visits")
        circle, address = deployed["circle_id"], deployed["url"]
        tell(f"{built['code_bytes']:,} bytes of wasm live as {circle[:11]}...")
    with story.step("Circle called", "Three people count themselves in; a view asks for the count") as tell:
        gas = [story.octra("circle", "call", circle, "inc", wallet=name)["gas"] for name in (ALICE, BOB, STRANGER)]
        count = story.octra("circle", "view", circle, "get")["value"]
        check(count == 3, f"the Circle counts {count}")
        tell(f"it says 3; a call burned {gas[0]:,} gas")
    with story.step("Circle's page", "Its page is served under an origin of its own") as tell:
        host = address.removeprefix("http://").rstrip("/")
        tell(_page(story, host))
    with story.step("catch-up", f"{VICTIM} comes back and catches up") as tell:
        story.network.spawn(VICTIM)
        story.network.wait_ready(VICTIM)
        tell(_caught_up(story))


def _page(story: Story, host: str) -> str:
    """Fetch the Circle's page as a browser would, and make sure the node's own pages are elsewhere."""
    node = story.network.place("node0").http
    status, headers, body = _get(node, "/", host)
    check(status == 200 and "text/html" in headers.get("content-type", ""), f"the page answers {status}")
    check("default-src 'none'" in headers.get("content-security-policy", ""), "the page lacks its security policy")
    _, _, explorer = _get(node, "/", node)
    check(body != explorer, "the Circle is served under the node's own origin")
    return f"{len(body):,} bytes of HTML at http://{host[:12]}....localhost"


def _get(node: str, path: str, host: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(node, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def _caught_up(story: Story) -> str:
    """Wait until the returned node has a block that was made after its return, with the same state root."""
    returned = story.url(VICTIM)
    target = int(story.ask("octra_chain")["certified_height"]) + 1
    deadline = time.monotonic() + CATCH_UP_S_MAX
    while int(story.ask("octra_chain", node=returned)["height"]) < target:
        check(time.monotonic() < deadline, f"{VICTIM} has not caught up after {CATCH_UP_S_MAX} s")
        time.sleep(0.2)
    roots = {story.ask("octra_getBlock", target, node=url)["state_root"] for url in (story.node, returned)}
    check(len(roots) == 1, "state roots differ after the restart")
    return f"height {target} with the same state root {roots.pop()[:12]}..."


def light(story: Story) -> None:
    """A node that holds no state believes signatures and hashes, and nobody."""
    bob, url = story.addresses[BOB], story.url("light0")
    with story.step("light node", "The light node, which holds no state, verifies Bob's account") as tell:
        found = story.octra("verify", bob, node=url)
        check(found["exists"] is True, "Bob's account is missing")
        tell(f"{print_amount(int(found['balance_units']))} OCT proven at height {found['height']}, "
             f"signed by {found['signers']} seats")  # fmt: skip
    with story.step("forged proof", "Somebody shows it a forged proof: Bob with a million more") as tell:
        file = story.home / "proof.json"
        _saved_proof(story, bob, file)
        check(story.octra("verify", bob, "--proof", str(file), node=url)["verified"] is True, "an honest proof fails")
        facts = json.loads(file.read_text())
        account = decode(base64.b64decode(facts["value"]), Account)
        forged = Account(account.balance + 10**6 * UNITS_PER_OCT, account.nonce, account.used)
        file.write_text(json.dumps(facts | {"value": base64.b64encode(encode(forged)).decode()}))
        tell(story.refused("OCT-3010", "verify", bob, "--proof", str(file), node=url))


def _saved_proof(story: Story, address: str, file: Path) -> None:
    """Save a proof of a certified height; certificates of the newest heights take a moment to form."""
    deadline = time.monotonic() + 60
    while True:
        code, envelope = story.run("verify", address, "--save", str(file))
        if not code:
            return
        check(time.monotonic() < deadline, f"no proof to be had: {envelope['error']}")
        time.sleep(0.5)


def _ink(text: str, code: str) -> str:
    wanted = sys.stderr.isatty() and not settings.current.no_color and os.environ.get("TERM") != "dumb"
    return f"\033[{code}m{text}\033[0m" if wanted else text


CHAPTERS: tuple[Callable[[Story], None], ...] = (money, privacy, circles, light)
