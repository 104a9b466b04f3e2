"""Signature verification against libsodium and ed25519-zebra, in microseconds of processor time for one signature.

    ./run bench ed25519 [--rounds 15] [--core 1] [--no-record] [--json]

All take turns round by round on one pinned core and one thread; every ratio is of two medians of one run. libsodium
(PyNaCl) and zebra (the Rust verifier of Zcash, ZIP-215 like ours) are called once for each signature: their wheels
offer no batches. Every batch has as many signers as signatures: `new keys` are decoded in the call, `known keys` come
from the cache. Without the zebra wheel its column is missing, and said so.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nacl.bindings as sodium

from octra.crypto import ed25519_native
from octra.crypto.ed25519 import SigningKey
from octra.crypto.ed25519_native import NativeEngine
from octra.crypto.ed25519_sodium import SodiumEngine

ZEBRA = "py-ed25519-zebra-bindings==1.3.0"
HERE = Path(__file__).resolve().parent
PEER_FOLDER = HERE.parent / "build" / "zebra-peer"
BATCHES = (1, 16, 128, 1024)
POOL = max(BATCHES)
MESSAGE_SIZE = 250  # bytes: a transfer
SAMPLE = 128  # signatures of one turn, at least
LIMIT, GOAL = 3.5, 5.0  # times libsodium, at 1,024 new keys
Item = tuple[bytes, bytes, bytes]


class Case:
    """Something that verifies the pool in batches of one size, and the times it took."""

    def __init__(self, verify: Callable[[list[Item]], bool], batch: int) -> None:
        self._verify, self._batch, self._next, self.us = verify, batch, 0, list[float]()

    def turn(self, items: list[Item]) -> None:
        """One timed turn over the next signatures of the pool."""
        count = max(self._batch, SAMPLE)
        chosen = (items + items)[self._next : self._next + count]
        self._next = (self._next + count) % len(items)
        parts = [chosen[i : i + self._batch] for i in range(0, count, self._batch)]
        started = time.process_time_ns()
        verdicts = [self._verify(part) for part in parts]
        self.us.append((time.process_time_ns() - started) / 1e3 / count)
        assert all(verdicts)


def libsodium(items: list[Item]) -> bool:
    for key, signature, message in items:
        sodium.crypto_sign_open(signature + message, key)  # raises if it refuses
    return True


def zebra() -> Callable[[list[Item]], bool] | None:
    """The peer, from a folder of its own; None where there is no such wheel."""
    if not PEER_FOLDER.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*install, "--target", str(PEER_FOLDER), ZEBRA], check=False, stderr=subprocess.DEVNULL)
    sys.path.append(str(PEER_FOLDER))
    try:
        verify = importlib.import_module("ed25519_zebra").ed_verify
    except ImportError:
        return None
    return lambda items: all(verify(signature, message, key) for key, signature, message in items)


def cases(peer: Callable[[list[Item]], bool] | None) -> dict[str, Case]:
    """Everything that takes turns, by name."""
    made = {"libsodium": Case(libsodium, 1)}
    if peer is not None:
        made["zebra"] = Case(peer, 1)
    for variant in ed25519_native.available():
        for batch in BATCHES:
            # One set of eight lines forgets a key long before the pool comes around to it again.
            for keys, engine in (("new keys", NativeEngine(variant, 8)), ("known keys", NativeEngine(variant))):
                made[f"{variant}, {keys}, batch {batch}"] = Case(
                    lambda items, engine=engine: all(engine.verify_many(items)), batch
                )
    return made


def failures(items: list[Item], rounds: int) -> dict[str, float]:
    """Microseconds for one signature of a batch that fails, by how many are bad; and of libsodium's second look."""
    result = {}
    bad = [(key, signature, message + b"!") for key, signature, message in items]
    for variant in ed25519_native.available():
        engine = NativeEngine(variant)
        for count in (1, 16, len(items)):
            step = len(items) // count
            mixed = [bad[i] if i % step == 0 else items[i] for i in range(len(items))]
            assert engine.verify_many(mixed).count(False) == count
            us = [timed(engine, mixed) / len(items) for _ in range(rounds)]
            result[f"{variant}, {count} bad of {len(items)}"] = round(statistics.median(us), 2)
    us = [timed(SodiumEngine(), bad[:SAMPLE]) / SAMPLE for _ in range(rounds)]
    return {**result, "libsodium, refused and checked by ZIP-215": round(statistics.median(us), 2)}


def timed(engine: NativeEngine | SodiumEngine, items: list[Item]) -> float:
    """Microseconds of processor time for one batch."""
    started = time.process_time_ns()
    engine.verify_many(items)
    return (time.process_time_ns() - started) / 1e3


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {"processor": names[0] if names else platform.machine(), "python": platform.python_version()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--no-record", action="store_true", help="write nothing to benchmarks/results")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    os.sched_setaffinity(0, {arguments.core})

    keys = [SigningKey(i.to_bytes(32, "big")) for i in range(1, POOL + 1)]
    texts = [i.to_bytes(2, "big") * (MESSAGE_SIZE // 2) for i in range(POOL)]
    items = [(key.public, key.sign(text), text) for key, text in zip(keys, texts, strict=True)]
    peer = zebra()
    turns = cases(peer)
    for case in turns.values():  # fills caches, and every signature is seen once
        for _ in range(POOL // SAMPLE):
            case.turn(items)
        case.us.clear()
    for _ in range(arguments.rounds):
        for case in turns.values():
            case.turn(items)

    median = {name: statistics.median(case.us) for name, case in turns.items()}
    figures = {
        name: {
            "median_us": round(median[name], 2),
            "least_us": round(min(case.us), 2),
            "times_libsodium": round(median["libsodium"] / median[name], 2),
            **({"times_zebra": round(median["zebra"] / median[name], 2)} if peer else {}),
        }
        for name, case in turns.items()
    }
    best = f"{ed25519_native.available()[0]}, new keys, batch {POOL}" if ed25519_native.available() else "libsodium"
    reached = figures[best]["times_libsodium"]
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "load_average_before": round(load, 2),
        "rounds": arguments.rounds,
        "message_bytes": MESSAGE_SIZE,
        "zebra": ZEBRA if peer else "missing: no wheel for this machine",
        "figures": figures,
        "failures_us": failures(items, 3),
        "bar": {
            "name": f"times libsodium: {best}",
            "value": reached,
            "limit": LIMIT,
            "goal": GOAL,
            "met": reached >= LIMIT,
        },
    }
    text = json.dumps(report, indent=1)
    if not arguments.no_record:
        (HERE / "results" / f"ed25519-{report['date']}.json").write_text(text + "\n")
    print(text if arguments.json else table(report))
    return 0 if reached >= LIMIT else 1


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{'us for one signature':<36} {'median':>8} {'least':>8} {'x libsodium':>12} {'x zebra':>8}"]
    for name, f in report["figures"].items():
        zebra_ratio = f.get("times_zebra", "-")
        lines.append(f"{name:<36} {f['median_us']:>8} {f['least_us']:>8} {f['times_libsodium']:>12} {zebra_ratio:>8}")
    lines += [f"{name:<48} {us:>8}" for name, us in report["failures_us"].items()]
    bar = report["bar"]
    lines.append(f"{bar['name']}: {bar['value']} (limit {bar['limit']}, goal {bar['goal']})")
    if "missing" in report["zebra"]:
        lines.append(f"zebra: {report['zebra']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
