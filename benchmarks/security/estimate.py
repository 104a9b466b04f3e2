"""Security estimates of every parameter set, written to `estimates.json` beside this file.

    python benchmarks/security/estimate.py [--record] [--estimator CHECKOUT]

By default with our own implementation in `lattice.py`: seconds, and nothing to install. `--estimator` runs the
public lattice-estimator instead, from a checkout of its repository, and needs SageMath; it takes minutes and its log
names its commit. A ring key of rank k counts as LWE of dimension k N; no attack is known that profits from the ring.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from lattice import Instance, attacks

from octra.hfhe.params import Q_BITS, SETS, ParameterSet, Q

DEVIATION = {"ternary": math.sqrt(2 / 3), "difference": math.sqrt(1 / 2), "binary": 1 / 2}
RECORDED = {  # minima of the lattice-estimator's default model, run when the sets were chosen; its commit was not noted
    "S ring": 131.3, "S lwe": 132.0, "F ring": 128.1, "F lwe": 132.0, "T ring": 129.9, "T lwe": 130.3,
    "STD128 ring": 126.2,
}  # fmt: skip
KYBER512 = Instance("Kyber512", 512, 3329, math.sqrt(1.5), math.sqrt(1.5), 512)  # whose estimates everybody publishes


def rows(params: ParameterSet) -> list[Instance]:
    """The instances whose hardness a set rests on."""
    ring, lwe = DEVIATION[params.ring_secret], DEVIATION[params.lwe_secret]
    error = params.sigma_lwe / 100
    # Committee input: the error of a key-switch row scaled up to Q, and uniform low bits below it.
    scale = 2.0 ** (Q_BITS - params.switch_log)
    found = [
        Instance(f"{params.name} ring", params.M, Q, ring, params.sigma_ring / 100),
        Instance(f"{params.name} lwe", params.n, 2**params.switch_log, lwe, error),
    ]
    entry = [
        Instance(f"{params.name} entry", params.n, Q, lwe, scale * math.sqrt(error**2 + 1 / 12)),
    ]
    return found + entry if params.secure else found


def own(instances: list[Instance]) -> dict[str, Any]:
    """The figures of `lattice.py`."""
    found = {}
    for instance in instances:
        best = attacks(instance)
        found[instance.name] = {
            "bits": round(min(attack.bits for attack in best), 1),
            **{attack.name: {"bits": round(attack.bits, 1), "chosen": attack.chosen} for attack in best},
        }
        print(f"{instance.name:14}", *(f"{attack.name} {attack.bits:.1f}" for attack in best), sep="  ")
    return found


def foreign(instances: list[Instance], checkout: Path) -> dict[str, Any]:
    """The figures of the lattice-estimator."""
    sys.path.insert(0, str(checkout))
    try:
        from estimator import LWE, ND
        from sage.all import log, oo, version
    except ImportError as error:
        raise SystemExit(f"the lattice-estimator cannot run: {error}") from error
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=checkout, check=True)
    secrets = {DEVIATION["ternary"]: ND.Uniform(-1, 1), DEVIATION["binary"]: ND.Uniform(0, 1)}
    secrets[DEVIATION["difference"]] = ND.CenteredBinomial(1)
    found: dict[str, Any] = {"commit": commit.stdout.strip(), "sage": version()}
    for instance in instances:
        problem = LWE.Parameters(
            n=instance.n, q=instance.q, Xs=secrets[instance.secret], Xe=ND.DiscreteGaussian(instance.error), m=oo
        )
        bits = {
            attack.__name__: round(float(log(attack(problem)["rop"], 2)), 1)
            for attack in (LWE.primal_usvp, LWE.primal_bdd, LWE.primal_hybrid, LWE.dual_hybrid)
        }
        found[instance.name] = {"bits": min(bits.values()), **bits}
        print(f"{instance.name:14}", bits)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--estimator", type=Path, help="a checkout of the lattice-estimator")
    arguments = parser.parse_args()
    instances = [instance for params in SETS if params.name != "TEST" for instance in rows(params)]
    report = {"date": datetime.date.today().isoformat(), "unit": "log2 of gates, classical"}
    if arguments.estimator:
        name, figures = "lattice-estimator.json", foreign(instances, arguments.estimator)
    else:
        name, figures = "estimates.json", own([KYBER512, *instances])
        report |= {"model": "benchmarks/security/lattice.py", "recorded_before": RECORDED}
    if arguments.record:
        text = json.dumps({**report, "estimates": figures}, indent=1) + "\n"
        Path(__file__).with_name(name).write_text(text)


if __name__ == "__main__":
    main()
