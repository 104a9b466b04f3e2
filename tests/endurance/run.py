"""`./run endure`: a real network under load and in trouble, for minutes or hours; every promise is checked.

run.py --nodes 24 --minutes 30          the long run
run.py --nodes 4 --minutes 2 --seed 7   a short one, with other faults
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from endurance import report
from endurance.story import Plan, run

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "endurance.json"


def main() -> int:
    """Run, report, and exit with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4, help="validators (default 4)")
    parser.add_argument("--minutes", type=float, default=5, help="of load and trouble (default 5)")
    parser.add_argument("--rate", type=float, default=10, help="transfers a second (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="which faults come, and in which order (default 1)")
    parser.add_argument("--transport", default="tls", choices=["libp2p", "tls"])
    parser.add_argument("--out", type=Path, help=f"file of the results (default for 24 nodes: {RESULTS.name})")
    parser.add_argument("--keep", type=Path, help="directory of the network, kept for a look; default: removed")
    options = parser.parse_args()
    plan = Plan(options.nodes, options.minutes * 60, options.rate, options.seed, options.transport)
    with tempfile.TemporaryDirectory(prefix="octra-endure-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        found = report.document(run(plan, directory, say))
    print(report.table(found))
    out = options.out or (RESULTS if options.nodes == 24 else None)
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n")
    return bool(found["problems"])


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
