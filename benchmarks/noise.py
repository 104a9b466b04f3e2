"""Noise and failures of real gates, held against the model that the budgets follow from.

    ./run bench noise [--set S] [--gates 10000] [--keys 4] [--tilted 2000] [--kernels 64] [--pairs 5000] [--record] [--json]

Random gates of all kinds run on sources that came out of other gates, and every bit is checked. The outputs of
`--pairs` gates are computed twice with two salts, to see that their noises are independent. *Tilted* gates are pushed towards the decision
line until the model expects one in a hundred or in a thousand to fail: only they test the tail. The gates of
`--kernels` are run again by every backend of this machine, and the bytes compared. `--gates 1000000` takes hours.

The exit status is 0 when no gate was wrong and every figure agrees with the model.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from octra.hfhe import backend_native, params
from octra.hfhe.backend import choose
from octra.hfhe.measure import Laboratory, Moments, Observations, Tilted, at_full_noise
from octra.hfhe.params import Variances, failure_log2

RESULTS = Path(__file__).with_name("results")
BLOCK = 512
TILTS = [(width, probability) for width in (1, 2, 9) for probability in (1e-2, 1e-3)]
ABOVE_MODEL_MAX = 1.10  # measured variance over the model's: past it the model must be mended
DEVIATIONS_MAX = 4


def machine() -> dict[str, Any]:
    """What ran this."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": ["numpy", *backend_native.available()],
    }


def version() -> str:
    """The commit that was measured."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent)
    return done.stdout.strip() or "unknown"


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def moments(seen: Moments, model: float) -> dict[str, float]:
    """One row of the table."""
    if not seen.count:
        return {"count": 0}
    return {
        "count": seen.count,
        "mean": rounded(seen.mean),
        "variance": rounded(seen.variance),
        "model": rounded(model),
        "ratio": round(seen.variance / model, 4),
        "error": round(math.sqrt(2 / seen.count), 4),  # of the ratio, one standard deviation
        "fourth": round(seen.fourth, 3),
    }


def summary(labs: list[Laboratory], tilted: list[list[Tilted]]) -> dict[str, Any]:
    """All figures so far, over all keys."""
    seen = reduce(Observations.merged, (lab.seen for lab in labs))
    model: Variances = labs[0].model
    switching = model.key_switch + model.modulus_switch
    pairs = seen.salted.count
    found = {
        "gates": sum(seen.gates.values()),
        "gates_of_kind": dict(sorted(seen.gates.items())),
        "bootstraps": seen.bootstraps,
        "wrong": sum(seen.wrong.values()),
        "rotation": moments(seen.rotation, model.rotation),
        "switching": moments(seen.switching, switching),
        "packing": moments(seen.packing, model.packing),
        "deciding": moments(seen.deciding, 1.0),
        "means_of_keys": {
            "rotation": [rounded(lab.seen.rotation.mean) for lab in labs],
            "switching": [rounded(lab.seen.switching.mean) for lab in labs],
        },
        "variances_of_keys": {
            "rotation": [rounded(lab.seen.rotation.variance) for lab in labs],
            "switching": [rounded(lab.seen.switching.variance) for lab in labs],
        },
        "bound": {"source": rounded(model.source), "local": rounded(model.local)},
        "measured": {
            "source": rounded(seen.rotation.variance + seen.packing.variance),
            "local": rounded(seen.switching.variance),
        },
    }
    if pairs:
        found["salted_pairs"] = {
            "count": pairs,
            "correlation": round(seen.salted.mean * model.rotation / seen.rotation.variance, 5),
            "error": round(1 / math.sqrt(pairs), 5),
        }
    found["tilted"] = [
        {
            "xor_width": group[0].width,
            "probability": group[0].probability,
            "gates": sum(t.gates for t in group),
            "expected": round(sum(t.expected for t in group), 1),
            "wrong": sum(t.wrong for t in group),
            "deviations": round(together(group).deviations, 2),
        }
        for group in tilted
        if group
    ]
    return found


def together(group: list[Tilted]) -> Tilted:
    """The same tilt under several keys as one count."""
    first = group[0]
    return Tilted(
        first.width,
        first.probability,
        sum(t.gates for t in group),
        sum(t.expected for t in group),
        sum(t.wrong for t in group),
    )


def same_bytes(lab: Laboratory, gates: int) -> dict[str, Any]:
    """Random gates run by every backend of this machine; the first one that differs ends the run."""
    names = ["numpy", *(f"native-{variant}" for variant in backend_native.available())]
    forms = lab.run(gates)
    expected = lab.backend.bootstrap(lab.key, forms)
    for name in names:
        backend = choose(name)
        if backend.name != lab.backend.name:
            key = backend.prepare(lab.evaluation)
            for first in range(0, len(forms), BLOCK):
                got = backend.bootstrap(key, forms[first : first + BLOCK])
                if not (got == expected[first : first + BLOCK]).all():
                    raise SystemExit(f"{name} and {lab.backend.name} disagree")
                print(f"  {name}: {first + len(got):,} of {len(forms):,} bootstraps equal", file=sys.stderr)
    return {"backends": names, "gates": gates, "bootstraps": len(forms), "equal": True}


def faults(found: dict[str, Any]) -> list[str]:
    """What does not agree with the model."""
    out = [f"{found['wrong']} wrong bits"] if found["wrong"] else []
    for part in ("source", "local"):
        measured, bound = found["measured"][part], found["bound"][part]
        if measured > ABOVE_MODEL_MAX * bound:
            out.append(f"the {part} variance {measured} is more than a tenth above the bound {bound}")
    for tilt in found["tilted"]:
        if abs(tilt["deviations"]) > DEVIATIONS_MAX:
            out.append(f"tilted gates: {tilt['wrong']} wrong, {tilt['expected']} expected")
    pairs = found.get("salted_pairs")
    if pairs and abs(pairs["correlation"]) > DEVIATIONS_MAX * pairs["error"]:
        out.append(f"salted copies correlate: {pairs['correlation']}")
    return out


def show(name: str, found: dict[str, Any]) -> None:
    """The table for people."""
    print(f"set {name}: {found['gates']:,} gates, {found['bootstraps']:,} bootstraps, {found['wrong']} wrong")
    print(f"{'noise of':12} {'count':>9} {'mean':>8} {'variance':>9} {'model':>9} {'ratio':>7} {'+-':>6} {'4th':>6}")
    for part in ("rotation", "switching", "packing", "deciding"):
        row = found[part]
        if row["count"]:
            numbers = (
                row["count"],
                row["mean"],
                row["variance"],
                row["model"],
                row["ratio"],
                row["error"],
                row["fourth"],
            )
            print("{:12} {:9,} {:8.4f} {:9.4g} {:9.4g} {:7.4f} {:6.4f} {:6.3f}".format(part, *numbers))
    for tilt in found["tilted"]:
        print(
            f"tilted, XOR of {tilt['xor_width']} to {tilt['probability']}: {tilt['wrong']} wrong of {tilt['gates']:,}, "
            f"{tilt['expected']} expected ({tilt['deviations']:+.1f} standard deviations)"
        )
    if "salted_pairs" in found:
        pairs = found["salted_pairs"]
        print(
            f"noise of two salted copies: correlation {pairs['correlation']} +- {pairs['error']} ({pairs['count']:,})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="S", dest="name")
    parser.add_argument("--gates", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=4)
    parser.add_argument("--tilted", type=int, default=2_000, help="gates of each tilt, all keys together")
    parser.add_argument("--kernels", type=int, default=64, help="gates repeated by every backend")
    parser.add_argument("--pairs", type=int, default=5_000, help="gates that are salted twice, to compare the noises")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/noise-DATE.json as it goes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    chosen, backend = at_full_noise(params.get(arguments.name, allow_insecure=True)), choose()
    started, keys = time.process_time(), max(1, arguments.keys)
    seeds = [bytes([number]) * 32 for number in range(1, keys + 1)]  # keys that protect nothing: the same in every run
    labs = [Laboratory(chosen, backend, seed) for seed in seeds]
    tilted: list[list[Tilted]] = [[] for _ in TILTS]
    report: dict[str, Any] = {
        "what": "noise of gates against the model of hfhe/params.py, in units of 1/2N turn",
        "date": datetime.date.today().isoformat(),
        "commit": version(),
        "machine": machine(),
        "set": chosen.name,
        "sigma": {"ring": chosen.sigma_ring / 100, "lwe": chosen.sigma_lwe / 100},
        "keys": keys,
        "backend": backend.name,
        "failure_log2_norm2_2": round(failure_log2(params.get(arguments.name, allow_insecure=True), 2), 1),
    }
    target = RESULTS / f"noise-{chosen.name}-{report['date']}.json"

    def update() -> None:
        report.update(summary(labs, tilted), cpu_seconds=round(time.process_time() - started))
        if arguments.record:
            RESULTS.mkdir(exist_ok=True)
            target.write_text(json.dumps(report, indent=1) + "\n")

    if arguments.kernels:
        report["same_bytes"] = same_bytes(labs[0], arguments.kernels)
    per_tilt = arguments.tilted // keys
    for position, (width, probability) in enumerate(TILTS if per_tilt else []):
        tilted[position] = [lab.tilt(width, probability, per_tilt) for lab in labs]
        print(f"  tilted: {position + 1} of {len(TILTS)}", file=sys.stderr)
    done = 0
    while done < arguments.gates:
        count = min(BLOCK, arguments.gates - done)
        labs[done // BLOCK % keys].run(count, pairs=done < arguments.pairs)
        done += count
        if done // BLOCK % (4 * keys) == 0 or done == arguments.gates:
            update()
            print(f"  {done:,} of {arguments.gates:,} gates, {report['cpu_seconds']} s of CPU", file=sys.stderr)
    update()
    if arguments.json:
        print(json.dumps(report))
    else:
        show(chosen.name, report)
    for fault in faults(report):
        print(f"DISAGREES: {fault}", file=sys.stderr)
    return 1 if faults(report) else 0


if __name__ == "__main__":
    sys.exit(main())
