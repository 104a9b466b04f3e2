"""Throughput and finality of a local network: real processes, libp2p, disk, signatures, state roots, coin.

    ./run bench [--nodes 4] [--seconds 20] [--rate 600] [--json]

Transfers are signed outside the clock and offered at a fixed rate to all validators in turn. Counted are those in
blocks whose root a quorum published, as seen at a node that did not take them. CPU is that of all node processes.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign, transaction_id
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node import founding
from octra.node.localnet import LocalNetwork, free_ports
from octra.primitives import address_of

CALL = 100  # transactions in one request
ACCOUNTS = 400
FINALITY_SAMPLES = 20


def call(address: str, method: str, *parameters: Any, timeout_s: float = 60) -> Any:
    """One JSON-RPC call."""
    connection = http.client.HTTPConnection(address, timeout=timeout_s)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    connection.request("POST", "/rpc", body, {"Content-Type": "application/json"})
    document = json.loads(connection.getresponse().read())
    connection.close()
    if "error" in document:
        raise RuntimeError(document["error"])
    return document["result"]


def transfers(chain: bytes, keys: list[SigningKey], count: int) -> list[tuple[bytes, str]]:
    """Signed transfers (id, base64) round robin over the accounts, nonces from 1."""
    made = []
    for number in range(count):
        key, nonce = keys[number % len(keys)], number // len(keys) + 1
        to = address_of(keys[(number + 1) % len(keys)].public)
        body = build(
            chain=chain, sender=key.public, nonce=nonce, expiry_epoch=500, fee=1_000, op=ops.Transfer(to, 1, b"")
        )
        made.append((transaction_id(body), base64.b64encode(sign(body, key)).decode()))
    return made


def cpu_seconds(network: LocalNetwork) -> float:
    """User and system time of all node processes and their children so far."""
    ticks, total = os.sysconf("SC_CLK_TCK"), 0
    for process in network.processes.values():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        total += sum(int(field) for field in fields[11:15])
    return total / ticks


def offer(network: LocalNetwork, made: list[tuple[bytes, str]], rate: int) -> tuple[int, float]:
    """Submit everything at `rate` a second, spread over the validators; the answer is (refused, seconds)."""
    places = [place.http for place in network.places if place.role.value != "light"]
    refused, lock, started = 0, threading.Lock(), time.monotonic()
    groups = [made[i : i + CALL] for i in range(0, len(made), CALL)]

    def worker(offset: int) -> None:
        nonlocal refused
        for number in range(offset, len(groups), len(places)):
            pause = started + number * CALL / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            answers = call(places[offset], "octra_submitMany", [text for _, text in groups[number]])
            with lock:
                refused += sum(answer["status"] != "accepted" for answer in answers)

    threads = [threading.Thread(target=worker, args=(offset,)) for offset in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused, time.monotonic() - started


def finality(network: LocalNetwork, made: list[tuple[bytes, str]]) -> list[float]:
    """Seconds from submission at one node to certification at another, one transaction at a time."""
    places, samples = [place.http for place in network.places], []
    for number, (tx_id, text) in enumerate(made):
        started = time.monotonic()
        call(places[number % 2], "octra_submitRaw", text)
        call(places[2 % len(places)], "octra_wait", tx_id.hex(), "certified", 25)
        samples.append(time.monotonic() - started)
        time.sleep(0.37)  # not in step with the rounds
    return sorted(samples)


def main() -> int:
    """Run and print; exit 1 when something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="network", choices=["network"])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=600, help="transfers offered a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    keys = [SigningKey(H("octra.bench", number.to_bytes(4, "big"))) for number in range(ACCOUNTS)]
    ports = free_ports(2 * options.nodes)
    with tempfile.TemporaryDirectory(prefix="octra-bench-") as directory:
        plan = founding.Plan(
            Path(directory) / "net",
            validators=options.nodes,
            light=0,
            parameters="TEST",
            http_port=ports,
            p2p_port=ports + options.nodes,
            accounts=tuple(address_of(key.public) for key in keys),
        )
        with LocalNetwork.found(plan, bytes(32), say=lambda text: print(text, file=sys.stderr)) as network:
            network.start()
            chain = bytes.fromhex(call(network.places[0].http, "octra_chain")["chain"])
            total = options.rate * options.seconds
            print(f"signing {total + FINALITY_SAMPLES} transfers", file=sys.stderr)
            made = transfers(chain, keys, total + FINALITY_SAMPLES)
            waits = finality(network, made[:FINALITY_SAMPLES])
            print("offering", file=sys.stderr)
            cpu_before, started = cpu_seconds(network), time.monotonic()
            load = made[FINALITY_SAMPLES:]
            refused, offered_s = offer(network, load, options.rate)
            watcher = network.places[-1].http
            for tx_id, _ in (load[-1], load[-CALL], load[-2 * CALL]):
                call(watcher, "octra_wait", tx_id.hex(), "certified", 25, timeout_s=40)
            seconds = time.monotonic() - started
            missing = sum(
                call(watcher, "octra_wait", tx_id.hex(), "certified", 25, timeout_s=40)["status"] != "ok"
                for tx_id, _ in load[:: max(1, len(load) // 200)]
            )
            cpu = cpu_seconds(network) - cpu_before
            status = call(watcher, "octra_status")
    result = {
        "nodes": options.nodes,
        "transport": "libp2p",
        "cores": len(os.sched_getaffinity(0)),
        "offered": len(load),
        "refused": refused,
        "sampled_missing": missing,
        "offered_s": round(offered_s, 2),
        "committed_per_s": round((len(load) - refused) / seconds, 1),
        "cpu_us_per_transaction": round(cpu * 1e6 / max(1, len(load) - refused)),
        "idle_finality_s": {
            "median": round(waits[len(waits) // 2], 3),
            "p90": round(waits[len(waits) * 9 // 10], 3),
            "max": round(waits[-1], 3),
        },
        "loaded_finality_p50_ms": status["finality_p50_ms"],
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<24} {value}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
