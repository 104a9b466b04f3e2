"""Private transfers on a local network of real processes: seconds from submission to settled, by stage.

    ./run bench private [--transfers 5] [--together 3] [--parameters T] [--json]

Every node runs as its own process, with the compiled kernel where there is one. A payer encrypts, then sends private
transfers one after the other; afterwards several payers send at once. The stages are read from the chain, and the
times from the log of the node that took the transactions: the moment at which it executed the block of a step.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from octra.consensus.ledger import client, fees, ops
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.transactions import build, sign
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node import chain, founding, home
from octra.node.localnet import LocalNetwork, free_ports
from octra.primitives import UNITS_PER_OCT, address_of

STAGES = (
    ("entered", "input formed"),  # the dealing was checked, its ciphertext has formed
    ("debit drawn", "job opened"),
    ("debit evaluated", "job evaluated"),
    ("debit agreed", "job certified"),
    ("credit drawn", "job opened"),
    ("credit evaluated", "job evaluated"),
    ("credit agreed", "job certified"),
)


def call(node: str, method: str, *parameters: Any) -> Any:
    """One JSON-RPC call."""
    connection = http.client.HTTPConnection(node, timeout=60)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    try:
        connection.request("POST", "/rpc", body)
        document = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if "error" in document:
        raise RuntimeError(document["error"])
    return document["result"]


def cpu_seconds(network: LocalNetwork) -> float:
    """User and system time of the node processes so far, without those that evaluate."""
    total = 0
    for process in network.processes.values():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Payer:
    """An account that pays in private, and its next nonce."""

    key: SigningKey
    nonce: int = 1

    @classmethod
    def number(cls, number: int) -> Payer:
        """The payer of that number, the same in each run."""
        return cls(SigningKey(H("octra.bench", b"private", number.to_bytes(4, "big"))))

    def send(self, node: str, params: LedgerParams, op: ops.Op, sidecar: bytes = b"") -> str:
        """Sign and submit; the id."""
        fee = fees.minimum_fee(op, params.prices)
        body = build(
            chain=params.chain, sender=self.key.public, nonce=self.nonce, expiry_epoch=500, fee=fee, op=op
        )  # fmt: skip
        self.nonce += 1
        item = sign(body, self.key) + sidecar
        return str(call(node, "octra_submitRaw", base64.b64encode(item).decode())["tx_id"])

    def pay(self, node: str, params: LedgerParams, receiver: bytes, units: int) -> str:
        """Deal and submit a private transfer; the id."""
        dealing, sidecar = client.deal_amount(
            units,
            chain=params.chain,
            sender_key=self.key.public,
            nonce=self.nonce,
            view_keys=[seat.view_key for seat in params.seats],
            seed=os.urandom(32),
        )
        return self.send(node, params, ops.PrivateTransfer(receiver, dealing), sidecar)


def settled(node: str, tx_id: str) -> dict[str, Any]:
    """The transaction once all its encrypted work is done and certified."""
    while True:
        row: dict[str, Any] = call(node, "octra_wait", tx_id, "certified", 25)
        if row["status"] not in ("pending", "working"):
            if row["status"] != "ok":
                raise RuntimeError(row)
            return row


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a node's log."""

    at: float  # Unix time
    event: str
    fields: dict[str, Any]


def log_of(place: founding.NodePlace) -> list[Line]:
    """What a node wrote so far."""
    text = (place.directory / "logs" / "node.log").read_text()
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [Line(datetime.fromisoformat(row["timestamp"]).timestamp(), row["event"], row) for row in rows]


def evaluations(network: LocalNetwork) -> list[Line]:
    """Each evaluation of each node."""
    return [line for place in network.places for line in log_of(place) if line.event == "job evaluated"]


def stages(network: LocalNetwork, row: dict[str, Any], started: float, ended: float) -> dict[str, float]:
    """Seconds of each stage of one transfer that was alone in the network. `started`, `ended`: Unix times."""
    lines = [line for line in log_of(network.places[0]) if line.event != "job evaluated"]
    lines += second_evaluations(network)
    happened = [line for line in sorted(lines, key=lambda line: line.at) if started <= line.at <= ended]
    found, before = {}, started
    ordered = next(line.at for line in happened if line.fields.get("height") == row["height"])
    marks = [("ordered", ordered)]
    for name, event in STAGES:
        reached = [line.at for line in happened if line.event == event and line.at >= marks[-1][1]]
        if not reached:
            break  # the first credit of an account adds to the constant 0: no job
        marks.append((name, reached[0]))
    for name, moment in [*marks, ("told", ended)]:
        found[name], before = moment - before, moment
    return found


def second_evaluations(network: LocalNetwork) -> list[Line]:
    """Of each job the evaluation that made it two, which is what a network of four nodes waits for."""
    by_job: dict[str, list[Line]] = {}
    for line in sorted(evaluations(network), key=lambda line: line.at):
        by_job.setdefault(line.fields["job"], []).append(line)
    return [lines[1] for lines in by_job.values() if len(lines) > 1]


def one_by_one(network: LocalNetwork, params: LedgerParams, payer: Payer, receiver: bytes, count: int) -> list[Any]:
    """`count` transfers, each after the one before it has settled: [(seconds, stages)]."""
    node, measured = network.places[0].http, []
    for _ in range(count):
        started = time.time()
        row = settled(node, payer.pay(node, params, receiver, UNITS_PER_OCT))
        ended = time.time()
        measured.append((ended - started, stages(network, row, started, ended)))
        print(f"settled after {ended - started:.2f} s", file=sys.stderr)
    return measured


def at_once(network: LocalNetwork, params: LedgerParams, payers: Sequence[Payer]) -> list[float]:
    """One transfer of each payer to the next, all at once: seconds of each."""
    seconds: list[float] = []

    def pay(number: int) -> None:
        node = network.places[number % len(network.places)].http
        receiver = address_of(payers[(number + 1) % len(payers)].key.public)
        started = time.monotonic()
        settled(node, payers[number].pay(node, params, receiver, UNITS_PER_OCT))
        seconds.append(time.monotonic() - started)

    threads = [threading.Thread(target=pay, args=(number,)) for number in range(len(payers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(seconds)


def measure(network: LocalNetwork, params: LedgerParams, transfers: int, together: int) -> dict[str, Any]:
    """The whole measurement on a network that runs."""
    node = network.places[0].http
    payers = [Payer.number(number) for number in range(max(1, together))]
    started = time.monotonic()
    entered = [payer.send(node, params, ops.Encrypt(1_000 * UNITS_PER_OCT)) for payer in payers]
    for tx_id in entered:  # adding to the constant 0 takes no evaluation
        settled(node, tx_id)
    encrypt_s = time.monotonic() - started
    receiver = address_of(SigningKey(H("octra.bench", b"receiver")).public)
    cpu, started = cpu_seconds(network), time.monotonic()
    alone = one_by_one(network, params, payers[0], receiver, transfers)
    share = (cpu_seconds(network) - cpu) / (time.monotonic() - started)
    crowd = at_once(network, params, payers) if together > 1 else []
    whole = [found for _, found in alone if len(found) == len(STAGES) + 2]
    return {
        "encrypt_s": round(encrypt_s, 2),
        "first_s": round(alone[0][0], 2),  # keys may still be prepared; its credit takes no evaluation
        "end_to_end_s": summary([seconds for seconds, _ in alone[1:]]),
        "stages_s": {name: round(statistics.median(found[name] for found in whole), 2) for name in whole[0]},
        "together": together,
        "together_s": summary(crowd) if crowd else None,
        "evaluation_ms": summary([line.fields["ms"] for line in evaluations(network)]),
        "cores_used_by_consensus_and_rpc": round(share, 2),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return {"min": round(low, 2), "median": round(middle, 2), "max": round(high, 2)}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--transfers", type=int, default=5, help="one after the other")
    parser.add_argument("--together", type=int, default=3, help="payers that send at once; 0: none")
    parser.add_argument("--parameters", default="T")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    payers = tuple(address_of(Payer.number(number).key.public) for number in range(max(1, options.together)))
    ports = free_ports(2 * options.nodes)
    with tempfile.TemporaryDirectory(prefix="octra-bench-") as directory:
        plan = founding.Plan(
            Path(directory) / "net",
            validators=options.nodes,
            light=0,
            parameters=options.parameters,
            http_port=ports,
            p2p_port=ports + options.nodes,
            accounts=payers,
        )
        with LocalNetwork.found(plan, bytes(32), say=lambda text: print(text, file=sys.stderr)) as network:
            network.start()
            params = chain.ledger_params_of(home.read_genesis(network.places[0].directory))
            kernel = call(network.places[0].http, "octra_status")["kernel"]
            found = measure(network, params, options.transfers, options.together)
    cores = len(os.sched_getaffinity(0))
    result = {"nodes": options.nodes, "set": options.parameters, "kernel": kernel, "cores": cores, **found}
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<32} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
