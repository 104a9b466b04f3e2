"""`./run sim`: whole networks of the real ordering core in virtual time, a scenario per seed.

run.py --nodes 4 --seeds 1000 --jobs 2      many seeds; exit 1 and the failing seeds if a check fails
run.py --nodes 7 --seed 123                 one seed, in detail
run.py --strategies                         every faulty seat and hostile network by name: 200 seeds at n = 7, 20 at 24
run.py --strategies flood --nodes 7         one of them
run.py --epochs 10                          120 validators, a fifth of them dishonest, drawn committees, churn
run.py --twins                              one seat runs twice: all partitions of eight rounds, all leaders
run.py --dags 20000                         so many random DAGs of each kind, and a tenth of that for n = 5 and 7
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/consensus/epochs"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/consensus/ledger"))

import campaign
from epochs.world import large_plan, run_plan
from ordering.dags import fuzz
from ordering.exhaustive import explore_slot
from ordering.runs import Result, run_seed
from ordering.trials import LARGE
from ordering.twins import explore_cores, explore_rule

DAGS_PER_JOB = 100
JOURNAL = Path(tempfile.gettempdir()) / "octra-campaign.jsonl"


def main() -> int:
    """Run the seeds that the command line asks for and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", help="committee sizes (default 4 7; with --strategies 7 24)")
    parser.add_argument("--seeds", type=int, help="seeds per size (default 200; with --strategies 20 where n > 15)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--seed", type=int, help="run this seed alone and print it")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--real-crypto", action="store_true", help="Ed25519 and BLS instead of hashes (slow)")
    parser.add_argument("--epochs", type=int, help="instead: so many epochs of a large chain with drawn committees")
    parser.add_argument("--twins", action="store_true", help="instead: two copies of one seat under all partitions")
    parser.add_argument("--dags", type=int, help="instead: so many wide and so many aimed DAGs, without a network")
    parser.add_argument("--strategies", nargs="*", metavar="NAME", help="instead: a campaign over these (default all)")
    parser.add_argument("--journal", type=Path, default=JOURNAL, help="finished runs of campaigns, to go on later")
    parser.add_argument("--finished", action="store_true", help="with --strategies: run nothing, report the journal")
    parser.add_argument("--write", type=Path, help="with --strategies: write the figures to this file")
    options = parser.parse_args()
    if options.twins:
        return _run_twins()
    if options.dags:
        return _run_dags(options.dags, options.first, options.jobs)
    if options.epochs:
        return _run_epochs(options.seed or 1, options.epochs)
    if options.strategies is not None:
        return _run_strategies(options)
    options.nodes, options.seeds = options.nodes or [4, 7], options.seeds or 200
    if options.seed is not None:
        results = [run_seed(options.seed, size, real_crypto=options.real_crypto) for size in options.nodes]
        for result in results:
            _print_one(result)
        return any(result.problems for result in results)
    work = [
        (seed, size, options.real_crypto)
        for size in options.nodes
        for seed in range(options.first, options.first + options.seeds)
    ]
    return _report(list(_run_all(work, options.jobs)), options.nodes)


def _run_strategies(options: argparse.Namespace) -> int:
    unknown = set(options.strategies) - {name for _, name in campaign.names()}
    if unknown:
        print(f"no such strategy: {', '.join(sorted(unknown))}\nthere are: {', '.join(n for _, n in campaign.names())}")
        return 2
    seeds = {size: options.seeds or (20 if size >= LARGE else 200) for size in options.nodes or [7, 24]}
    jobs = campaign.plan(seeds, options.strategies)
    if options.finished:
        rows = campaign.finished(jobs, options.journal)
    else:
        rows = campaign.run_campaign(jobs, options.jobs, options.journal)
    print(campaign.report(rows))
    if options.write is not None:
        options.write.write_text(campaign.to_json(rows))
    return any(row.problems for row in rows)


def _run_epochs(seed: int, epochs: int) -> int:
    result = run_plan(large_plan(seed, epochs))
    print(f"{result.epochs} epochs, height {result.height}, {result.deliveries:,} deliveries")
    print(f"committees of {result.committees}, dishonest seats {result.faulty_seats}, {result.removed} removed")
    print(f"coins not ready in time {result.kept}; checkpointed up to the close before epoch {result.signed_epoch}")
    print(f"{result.virtual_ms / 1000:.0f} virtual s, CPU {result.cpu_seconds:.0f} s, trace {result.trace}")
    for problem in result.problems:
        print(f"PROBLEM {problem}")
    return bool(result.problems)


def _run_twins() -> int:
    """Every view of the rule, each slot pattern, and the whole core under a seventh of all partitions."""
    searches = {"slot": explore_slot, "rule": explore_rule, "cores": lambda: explore_cores(stride=7)}
    problems = []
    for name, search in searches.items():
        started = time.process_time()
        found = search()
        problems += found.problems
        print(
            f"{name}: {found.patterns:,} cases, {found.views:,} views, {found.decisions:,} decisions,"
            f" CPU {time.process_time() - started:.0f} s",
            flush=True,
        )
    for problem in problems[:20]:
        print(f"PROBLEM {problem}")
    return bool(problems)


def _run_dags(count: int, first: int, jobs: int) -> int:
    """No two views of a DAG may decide differently."""
    failed = 0
    with get_context("spawn").Pool(jobs) as pool:
        for kind, size in product(("wide", "intent"), (4, 5, 7)):
            end = first + (count if size == 4 else count // 10)
            chunks = [
                (kind, range(start, min(start + DAGS_PER_JOB, end)), size) for start in range(first, end, DAGS_PER_JOB)
            ]
            found = pool.starmap(fuzz, chunks, chunksize=1)
            bad = [seed for result in found for seed in result.bad]
            failed += len(bad)
            dags, decisions = sum(result.dags for result in found), sum(result.decisions for result in found)
            print(f"{kind} n = {size}: {dags:,} DAGs, {decisions:,} decisions, {len(bad)} bad {bad[:10]}", flush=True)
    return bool(failed)


def _run_all(work: list[tuple[int, int, bool]], jobs: int) -> list[Result]:
    started, results, failed = time.monotonic(), [], 0
    with get_context("spawn").Pool(jobs) as pool:
        for done, result in enumerate(pool.imap_unordered(_run_one, work), start=1):
            results.append(result)
            if result.problems:
                failed += 1
                print(f"\nseed {result.scenario.seed} n={result.scenario.size}: {result.problems[0]}", flush=True)
            if done % 20 == 0 or done == len(work):
                spent = time.monotonic() - started
                print(f"\r{done}/{len(work)} runs, {failed} failed, {spent:.0f} s", end="", flush=True)
    print()
    return sorted(results, key=lambda result: (result.scenario.size, result.scenario.seed))


def _run_one(job: tuple[int, int, bool]) -> Result:
    seed, size, real_crypto = job
    return run_seed(seed, size, real_crypto=real_crypto)


def _report(results: list[Result], sizes: list[int]) -> int:
    for size in sizes:
        mine = [result for result in results if result.scenario.size == size]
        faults = Counter(name for result in mine for name in result.scenario.strategies.values())
        print(f"\nn = {size}: {len(mine)} seeds, {sum(bool(result.problems) for result in mine)} failed")
        print(
            f"  blocks {sum(result.height for result in mine):,}  rounds {sum(result.rounds for result in mine):,}"
            f"  honest batches executed by all {sum(result.batches for result in mine):,}"
            f"  deliveries {sum(result.deliveries for result in mine):,}"
        )
        print(
            f"  runs past the floor {sum(result.floor > 0 for result in mine):,}"
            f"  ranges fetched {sum(result.ranges for result in mine):,}"
        )
        print(
            f"  virtual seconds per run: median {median(result.virtual_ms for result in mine) / 1000:.1f},"
            f" longest {max(result.virtual_ms for result in mine) / 1000:.1f}"
            f"  CPU {sum(result.cpu_seconds for result in mine):.0f} s"
        )
        print("  faulty seats: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
    failed = [result for result in results if result.problems]
    for result in failed[:20]:
        _print_one(result)
    print("\nequal order, blocks and roots; nothing honest lost; progress after healing" if not failed else "\nFAILED")
    return bool(failed)


def _print_one(result: Result) -> None:
    print(f"seed {result.scenario.seed}: {result.scenario.describe()}")
    print(f"  trace {result.trace}  {result.virtual_ms / 1000:.1f} virtual s  height {result.height}", end="")
    print(f"  rounds {result.rounds}  deliveries {result.deliveries}  CPU {result.cpu_seconds:.2f} s")
    for problem in result.problems:
        print(f"  PROBLEM {problem}")


if __name__ == "__main__":
    sys.exit(main())
