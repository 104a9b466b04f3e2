"""`./run mutants`: do the tests have teeth? Breaks one line of the code at a time; every guard of it must notice.

gate.py                        all mutants, two at a time; exit 1 if a guard misses one
gate.py --only 1 2 3           some of them
gate.py --guards intent twins  these guards instead of those that the mutants name: who finds what?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from breaking import NATIVE, ROOT, DoesNotFitError, break_process, use_native
from guards import SEARCHES, run_guard
from mutants import MUTANTS, Mutant

SOUND = 0  # the number of no mutant
PATIENCE_S = 300  # of processor time: a guard that takes more hangs, and so has noticed the mutant


@dataclass(frozen=True)
class Trial:
    """One guard against one mutant. `by` says what noticed it; None: nothing did.

    Seconds are of processor time, start and compiler included: other load on the machine tells little on them.
    """

    number: int
    guard: str
    by: str | None
    seconds: float


def main() -> int:
    """Show that the sound code passes, then run the mutants."""
    options = _options()
    if options.child:
        return _child(int(options.child[0]), options.child[1])
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.number in options.only]
    pairs = [(mutant.number, guard) for mutant in chosen for guard in options.guards or mutant.guards]
    pairs.sort(key=lambda pair: (_cost(pair[1]), pair[0]))
    started, load = time.monotonic(), os.getloadavg()[0]
    sound = list(_run([(SOUND, guard) for guard in dict.fromkeys(guard for _, guard in pairs)], options.jobs))
    false_alarms = [trial for trial in sound if trial.by is not None]
    for trial in false_alarms:
        print(f"{trial.guard} fails without any mutant: {trial.by}")
    if false_alarms:
        return 1
    print(f"sound code passes {len(sound)} guards, CPU {sum(trial.seconds for trial in sound):.0f} s", flush=True)
    trials = []
    for trial in _run(pairs, options.jobs):
        trials.append(trial)
        what = next(mutant.what for mutant in MUTANTS if mutant.number == trial.number)
        print(f"{trial.number:3d} {what:60.60s} {_short(trial.guard):18s} {trial.seconds:5.1f} s  ", end="")
        print(trial.by or "MISSED", flush=True)
    wall = time.monotonic() - started
    missed = [trial for trial in trials if trial.by is None]
    killed = {mutant.number for mutant in chosen} - {trial.number for trial in missed}
    cpu = sum(trial.seconds for trial in (*sound, *trials))
    print(f"\n{len(killed)} of {len(chosen)} mutants killed by all their guards: CPU {cpu:.0f} s, ", end="")
    print(f"{wall:.0f} s with {options.jobs} jobs")
    for trial in missed:
        print(f"{_short(trial.guard)} misses mutant {trial.number}")
    if options.json:
        _record(options.json, chosen, sound, trials, wall, options.jobs, load)
    return bool(missed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants")
    parser.add_argument("--guards", nargs="+", choices=[*SEARCHES], help="searches to use instead")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--child", nargs=2, metavar=("NUMBER", "GUARD"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _cost(guard: str) -> int:
    return 1 + list(SEARCHES).index(guard) if guard in SEARCHES else 0


def _short(guard: str) -> str:
    return Path(guard).stem.removeprefix("test_")


def _run(pairs: Sequence[tuple[int, str]], jobs: int) -> Iterator[Trial]:
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda pair: _try(*pair), pairs)


def _try(number: int, guard: str) -> Trial:
    """A process of its own for each: a mutant may break whatever it likes."""
    command = [sys.executable, __file__, "--child", str(number), guard]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGXCPU:
        return Trial(number, guard, "does not end", PATIENCE_S)
    if done.returncode != 0:
        raise RuntimeError(f"mutant {number}, {guard}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    by, seconds = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    return Trial(number, guard, by, seconds)


def _child(number: int, guard: str) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S + 1))
    mutant = next((mutant for mutant in MUTANTS if mutant.number == number), None)
    try:
        if mutant is not None:
            break_process(mutant)
        elif any(guard in mutant.guards and mutant.file.startswith(NATIVE) for mutant in MUTANTS):
            use_native(None)  # so that what kills is the mutant, not the way in which it is loaded
    except DoesNotFitError as error:
        print(error)
        return 1
    by = run_guard(guard)
    compiler = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{json.dumps([by, time.process_time() + compiler.ru_utime + compiler.ru_stime])}")
    return 0


def _record(
    path: Path,
    chosen: Sequence[Mutant],
    sound: Sequence[Trial],
    trials: Sequence[Trial],
    wall_s: float,
    jobs: int,
    load: float,
) -> None:
    figures = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "load_average_before": round(load, 2),
        "jobs": jobs,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(sum(trial.seconds for trial in (*sound, *trials)), 1),
        "sound_cpu_s": {_short(trial.guard): round(trial.seconds, 1) for trial in sound},
        "mutants": [
            {
                "number": mutant.number,
                "what": mutant.what,
                "file": mutant.file,
                "killed": all(trial.by for trial in trials if trial.number == mutant.number),
                "guards": [
                    {"guard": _short(trial.guard), "by": trial.by, "cpu_s": round(trial.seconds, 1)}
                    for trial in trials
                    if trial.number == mutant.number
                ],
            }
            for mutant in chosen
        ],
    }
    path.write_text(json.dumps(figures, indent=1) + "\n")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
