"""How many transfers a network commits, at what cost, and how long each waits: real processes, nothing left out.

    ./run bench chain [--sizes 4,10,16,24] [--transport tls] [--rate 1000] [--seconds 60] [--warm 60]

Disk, state roots, signatures and the common coin are on; every validator is a process of its own. Transfers of 10,000
accounts are signed outside the clock and offered at a fixed rate, whatever the network answers (open loop). Counted are
transactions in blocks whose root a quorum has published, as one seat sees them; that every accepted transfer was executed
is checked afterwards at a seat that did not take it. Processor time is that of all node processes; where it goes is
sampled inside them (`octra_node/sampling.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import build, sign, transaction_id
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node import founding, sampling
from octra.node.localnet import LocalNetwork, free_ports
from octra.node.p2p.address import PlaceKind
from octra.primitives import address_of, print_address

ACCOUNTS = 10_000
PROBES = 200  # of these are for transfers that are timed one by one, so that no nonce waits for another's turn
CALL = 100  # transfers in one request
CONNECTIONS = 64  # to each node: an answer comes with the batch, seconds later, and must not hold up the next request
IDLE_S = 30.0  # the node closes an unused connection after a minute
PROBE_PAUSE_S = 0.37  # not in step with the rounds
EDGE_S = 20  # the longest wait for a block, at both edges of a measurement together
POLL_S = 0.1
DRAIN_S = 60.0
RESULTS = Path(__file__).parent / "results"


class Client:
    """JSON-RPC over a few kept connections to one node."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = deque()  # since when
        self._places = asyncio.Semaphore(CONNECTIONS)

    async def post(self, body: bytes) -> bytes:
        """Send a prepared JSON-RPC request; the answer's body."""
        head = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return await self._send((head % len(body)).encode() + body)

    async def get(self, path: str) -> Any:
        """The document at a path."""
        return json.loads(await self._send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()))

    async def _send(self, data: bytes) -> bytes:
        async with self._places:
            while self._idle and (self._idle[0][2] < time.monotonic() - IDLE_S or self._idle[0][0].at_eof()):
                self._idle.popleft()[1].close()
            if self._idle:
                reader, writer, _ = self._idle.popleft()
            else:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(data)
            fields = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(fields.partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(size)
            self._idle.append((reader, writer, time.monotonic()))
            return answer

    async def call(self, method: str, *parameters: Any) -> Any:
        """One call; raises RuntimeError for an error answer."""
        answer = json.loads(await self.post(request(method, *parameters)))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        for _, writer, _ in self._idle:
            writer.close()


def request(method: str, *parameters: Any) -> bytes:
    """The body of a call."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()


@dataclass
class Load:
    """Signed transfers, to be sent in the order they are made: an account's nonces then arrive in order at its node."""

    chain: bytes
    keys: Sequence[SigningKey]
    nodes: int
    _next: int = 0

    def __post_init__(self) -> None:
        self.nonces = [0] * len(self.keys)

    def transfer(self) -> tuple[int, bytes, str]:
        """The next one: its node, its id, and its text."""
        sender = self._next % len(self.keys)
        self._next += 1
        self.nonces[sender] += 1
        key, to = self.keys[sender], address_of(self.keys[(sender + 1) % len(self.keys)].public)
        body = build(
            chain=self.chain,
            sender=key.public,
            nonce=self.nonces[sender],
            expiry_epoch=500,
            fee=1_000,
            op=ops.Transfer(to, 1, b""),
        )
        return sender % self.nodes, transaction_id(body), base64.b64encode(sign(body, key)).decode()

    def requests(self, count: int) -> list[tuple[int, bytes]]:
        """About `count` transfers as (node, request body), the nodes in turn."""
        waiting: list[list[str]] = [[] for _ in range(self.nodes)]
        made = []
        for _ in range(count):
            node, _, text = self.transfer()
            waiting[node].append(text)
            if len(waiting[node]) == CALL:
                made.append((node, request("octra_submitMany", waiting[node])))
                waiting[node] = []
        made += [(node, request("octra_submitMany", texts)) for node, texts in enumerate(waiting) if texts]
        return made


@dataclass
class Offered:
    """What became of the requests sent so far."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0  # requests without an answer
    latest_s: float = 0.0  # how far behind its plan the client was at worst


async def offer(clients: Sequence[Client], made: Sequence[tuple[int, bytes]], rate: float, seen: Offered) -> None:
    """Send the requests at `rate` transfers a second and wait for their answers."""
    started, tasks = time.monotonic(), []

    async def one(node: int, body: bytes) -> None:
        try:
            answer = await clients[node].post(body)
        except (OSError, EOFError):
            seen.failed += 1
            return
        accepted = answer.count(b'"accepted"')
        seen.accepted += accepted
        seen.refused += answer.count(b'"refused"')

    for number, (node, body) in enumerate(made):
        pause = started + number * CALL / rate - time.monotonic()
        seen.latest_s = max(seen.latest_s, -pause)
        await asyncio.sleep(max(0.0, pause))
        tasks.append(asyncio.create_task(one(node, body)))
    await asyncio.gather(*tasks)


async def probe(clients: Sequence[Client], load: Load, count: int) -> dict[str, float | None]:
    """Seconds from submitting at one seat to certification seen at another, one transfer at a time; None: over 25."""
    waits = []
    for _ in range(count):
        node, tx_id, text = load.transfer()
        started = time.monotonic()
        await clients[node].call("octra_submitRaw", text)
        found = await clients[(node + 1) % len(clients)].call("octra_wait", tx_id.hex(), "certified", 25)
        waits.append(time.monotonic() - started if found["status"] == "ok" else float("inf"))
        await asyncio.sleep(PROBE_PAUSE_S)
    waits.sort()
    found = {f"p{part}": waits[min(count - 1, count * part // 100)] for part in (50, 90, 99)}
    return {name: round(wait, 3) if wait < float("inf") else None for name, wait in found.items()}


@dataclass
class Usage:
    """Processor seconds of all nodes so far: whole, and by part."""

    seconds: float
    parts: dict[str, float]

    @classmethod
    def now(cls, network: LocalNetwork) -> Usage:
        ticks, seconds = os.sysconf("SC_CLK_TCK"), 0
        parts = dict.fromkeys(sampling.NAMES, 0.0)
        for place in network.places:
            stat = Path(f"/proc/{network.processes[place.name].pid}/stat").read_text().rsplit(") ", 1)[1].split()
            seconds += int(stat[11]) + int(stat[12])
            for name, spent in sampling.read(place.directory).items():
                parts[name] += spent
        return cls(seconds / ticks, parts)

    def since(self, earlier: Usage) -> Usage:
        """What was spent between two moments."""
        parts = {name: spent - earlier.parts[name] for name, spent in self.parts.items()}
        return Usage(self.seconds - earlier.seconds, parts)


def memory_mib(network: LocalNetwork) -> dict[str, float]:
    """Resident and proportional memory of all nodes together."""
    totals = {"Rss": 0, "Pss": 0}
    for process in network.processes.values():
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in totals:
                totals[name] += int(rest.split()[0])
    return {f"{name.lower()}_mib": round(kib / 1_024) for name, kib in totals.items()}


async def certified(client: Client) -> tuple[int, int]:
    """(height, round) that a seat knows: certified height, running round."""
    status = await client.call("octra_status")
    return int(status["certified_height"]), int(status["round"])


async def next_certified(client: Client) -> tuple[int, int]:
    """The same at the moment when another block is certified: full ones are seconds apart, so that else a measurement
    of a minute holds a block too much or too little."""
    known = latest = await certified(client)
    deadline = time.monotonic() + EDGE_S / 2
    while latest[0] == known[0] and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        latest = await certified(client)
    return latest


async def transactions(client: Client, first: int, last: int) -> int:
    """Transactions in blocks `first` to `last`."""
    found, cursor = 0, ""
    while True:
        page = await client.get(f"/api/v1/heights?limit=100{cursor}")
        found += sum(int(block["transactions"]) for block in page["items"] if first <= block["height"] <= last)
        if page["next"] is None or page["items"][-1]["height"] <= first:
            return found
        cursor = f"&cursor={page['next']}"


async def missing(clients: Sequence[Client], load: Load) -> int:
    """Transfers that a seat which did not take them has not executed, after waiting for the last ones."""
    sent = tuple(load.nonces)

    async def behind(account: int) -> int:
        address = print_address(address_of(load.keys[account].public))
        found = await clients[(account + 1) % len(clients)].call("octra_getAccount", address)
        return sent[account] - int(found["nonce"])

    deadline = time.monotonic() + DRAIN_S
    used = [account for account, nonce in enumerate(sent) if nonce]
    while True:
        sample = used[:: max(1, len(used) // 500)]
        left = sum(await asyncio.gather(*(behind(account) for account in sample)))
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(1)


async def measure(network: LocalNetwork, keys: Sequence[SigningKey], options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    clients = [Client(place.http) for place in network.places]
    watcher = clients[-1]
    chain = bytes.fromhex((await watcher.call("octra_chain"))["chain"])
    load, probes = Load(chain, keys[PROBES:], len(clients)), Load(chain, keys[:PROBES], len(clients))
    idle = await probe(clients, probes, options.probes)
    say(f"idle finality {idle}; signing {options.rate * (options.warm + options.seconds + EDGE_S)} transfers")
    warm, main = load.requests(options.rate * options.warm), load.requests(options.rate * (options.seconds + EDGE_S))
    say("warming up")
    seen = Offered()
    await offer(clients, warm, options.rate, Offered())
    say("measuring")
    sending = asyncio.create_task(offer(clients, main, options.rate, seen))
    first, before, started = await next_certified(watcher), Usage.now(network), time.monotonic()
    await asyncio.sleep(options.seconds)
    last, after, seconds = await next_certified(watcher), Usage.now(network), time.monotonic() - started
    memory = memory_mib(network)
    await sending
    spent = after.since(before)
    committed = await transactions(watcher, first[0] + 1, last[0])
    lost = await missing(clients, load) if not seen.refused else 0
    say(f"{committed / seconds:.0f} committed a second, {lost} missing; then half the rate")
    rate = options.rate // 2
    half = load.requests(rate * (options.half_warm + options.half_seconds)) if options.half_seconds else []
    background = asyncio.create_task(offer(clients, half, rate, Offered()))
    await asyncio.sleep(options.half_warm if half else 0)
    loaded = await probe(clients, probes, min(options.probes, options.half_seconds)) if half else {}
    await background
    for client in clients:
        client.close()
    each = 1e6 / max(1, committed)
    sampled = sum(spent.parts.values()) or 1.0
    return {
        "nodes": len(clients),
        "transport": options.transport,
        "offered_per_s": options.rate,
        "committed_per_s": round(committed / seconds, 1),
        "accepted": seen.accepted,
        "refused": seen.refused,
        "failed_requests": seen.failed,
        "client_late_s": round(seen.latest_s, 2),
        "missing": lost,
        "seconds": round(seconds, 1),
        "cores_used": round(spent.seconds / seconds, 2),
        "cpu_us_per_transaction": round(spent.seconds * each),
        "split_us": {name: round(part / sampled * spent.seconds * each) for name, part in spent.parts.items()},
        "rounds_per_s": round((last[1] - first[1]) / seconds, 2),
        "blocks_per_s": round((last[0] - first[0]) / seconds, 2),
        "finality_idle_s": idle,
        "finality_half_load_s": loaded,
        **memory,
    }


def run(size: int, keys: Sequence[SigningKey], options: argparse.Namespace) -> dict[str, Any]:
    """Found a network of `size` validators, measure it, and stop it."""
    os.environ[sampling.VARIABLE] = "1"
    ports = free_ports(2 * size)
    with tempfile.TemporaryDirectory(prefix="octra-bench-") as directory:
        plan = founding.Plan(
            Path(directory) / "net",
            validators=size,
            light=0,
            parameters="TEST",
            http_port=ports,
            p2p_port=ports + size,
            transport=PlaceKind(options.transport),
            network_key=False,
            accounts=tuple(address_of(key.public) for key in keys),
        )
        with LocalNetwork.found(plan, bytes(32), say=say) as network:
            started = time.monotonic()
            network.start()
            ready_s = round(time.monotonic() - started, 1)
            say(f"{size} nodes ready after {ready_s} s")
            return {**asyncio.run(measure(network, keys, options)), "ready_s": ready_s}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for people."""
    lines = ["nodes transport  tx/s  CPU-us/tx  cores  rounds/s  idle p50  half p50  p99    PSS MiB  start s"]
    for row in rows:
        idle, half = row["finality_idle_s"], row["finality_half_load_s"]
        waits = [idle.get("p50"), half.get("p50"), half.get("p99")]
        idle_p50, half_p50, half_p99 = ("-" if wait is None else f"{wait:.2f}" for wait in waits)
        lines.append(
            f"{row['nodes']:>5} {row['transport']:<9} {row['committed_per_s']:>6.0f} {row['cpu_us_per_transaction']:>9}"
            f" {row['cores_used']:>7.2f} {row['rounds_per_s']:>8.2f} {idle_p50:>9} {half_p50:>9}"
            f" {half_p99:>6} {row['pss_mib']:>8} {row['ready_s']:>7.1f}"
        )
        split = sorted(row["split_us"].items(), key=lambda item: -item[1])
        lines.append("      us: " + ", ".join(f"{name} {us}" for name, us in split if us))
    return "\n".join(lines)


def main() -> int:
    """Measure each size, print the table, write the results; exit 1 when a transfer was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="24", help="validators, or several counts with commas between")
    parser.add_argument("--transport", default="libp2p", choices=["libp2p", "tls"])
    parser.add_argument("--rate", type=int, default=1_000, help="transfers offered a second")
    parser.add_argument("--seconds", type=int, default=60, help="measured, after the warm-up")
    parser.add_argument("--warm", type=int, default=60, help="seconds before: a full network's transfer takes 30")
    parser.add_argument("--half-warm", type=int, default=20, help="at half the rate, before finality is timed")
    parser.add_argument("--half-seconds", type=int, default=20, help="at half the rate, for finality")
    parser.add_argument("--probes", type=int, default=20, help="transfers whose finality is timed one by one")
    parser.add_argument("--out", type=Path, help="file of the results (default: benchmarks/results/chain-<date>.json)")
    options = parser.parse_args()
    keys = [SigningKey(H("octra.bench", number.to_bytes(4, "big"))) for number in range(ACCOUNTS)]
    rows = [run(int(size), keys, options) for size in options.sizes.split(",")]
    print(table(rows))
    out = options.out or RESULTS / f"chain-{time.strftime('%Y-%m-%d')}.json"
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    held = json.loads(out.read_text())["rows"] if out.exists() else []
    out.write_text(json.dumps({"schema": "octra.bench.chain/v1", **machine, "rows": held + rows}, indent=1) + "\n")
    return 1 if any(row["missing"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
