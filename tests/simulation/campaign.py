"""Every strategy of faulty seats and every hostile network by name, many seeds each: what `./run sim --strategies` runs.

Each seed is a run of its own; finished ones are kept in a file of lines, so that a campaign that was stopped goes on.
Seeds are done in slices over all names, so that a campaign that was stopped says something of each.
"""

from __future__ import annotations

import gc
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

from epochs.faulty import HABITS
from epochs.trials import draw_plan
from epochs.world import run_plan
from ordering.byzantine import STRATEGIES
from ordering.runs import run_scenario
from ordering.trials import NETWORKS, draw_trial

SLICES = 10
WHAT = "./run sim --strategies: f of n seats with one strategy, or links with one fault, a seed a run"
REPLAY_EVERY = 25  # of so many seeds one is run twice, and must give the same trace


@dataclass(frozen=True)
class Job:
    """One run: `kind` says which simulator."""

    kind: str  # "seats": f seats with a strategy; "network": links; "epochs": nodes of a chain with drawn committees
    name: str
    size: int
    seed: int

    @property
    def key(self) -> str:
        """Its name in the file of finished runs."""
        return f"{self.kind} {self.name} {self.size} {self.seed}"


@dataclass
class Row:
    """What the runs of one name and committee size showed."""

    kind: str
    name: str
    size: int
    runs: int = 0
    safe: int = 0
    live: int = 0
    proven: int = 0  # runs in which an honest seat holds a proof against a faulty one
    refused: int = 0  # messages that honest seats refused
    rounds_to_live: int = 0  # the most that any run needed from the end of all faults to the end of its work
    commit_rounds: dict[str, int] = field(default_factory=dict)  # rounds until an honest vertex was in a block: count
    cpu_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def rounds_to_commit(self, share: float) -> int | None:
        """The rounds within which so large a share of the honest vertices was in a block."""
        total = sum(self.commit_rounds.values())
        seen = 0
        for rounds in sorted(int(key) for key in self.commit_rounds):
            seen += self.commit_rounds[str(rounds)]
            if seen >= share * total:
                return rounds
        return None


def names() -> list[tuple[str, str]]:
    """All (kind, name), in the order of the report."""
    return [
        *(("seats", name) for name in STRATEGIES),
        *(("network", name) for name in NETWORKS),
        *(("epochs", name) for name in HABITS),
    ]


def plan(seeds: dict[int, int], only: list[str]) -> list[Job]:
    """All runs for so many seeds per committee size, a slice of the seeds of every name after the other."""
    jobs = []
    for part in range(SLICES):
        for size, count in seeds.items():
            for kind, name in names():
                if not only or name in only:
                    mine = range(part * count // SLICES, (part + 1) * count // SLICES)
                    jobs += [Job(kind, name, size, seed) for seed in mine]
    return jobs


def run_job(job: Job) -> Row:
    """One run as a row; some seeds are run twice."""
    gc.disable()  # a run makes millions of small objects and hardly a cycle
    try:
        return _run_twice(job) if job.seed % REPLAY_EVERY == 0 else _run_once(job)[0]
    except Exception as error:  # whatever the core or a check raises is a finding; the other runs go on
        return Row(job.kind, job.name, job.size, runs=1, problems=[f"seed {job.seed}: {error!r}"])
    finally:
        gc.enable()


def _run_twice(job: Job) -> Row:
    (row, trace), (again, other) = _run_once(job), _run_once(job)
    row.cpu_seconds += again.cpu_seconds
    if trace != other:
        row.safe = 0
        row.problems.append(f"seed {job.seed}: a replay gives another trace")
    return row


def _run_once(job: Job) -> tuple[Row, str]:
    if job.kind == "epochs":
        closed = run_plan(draw_plan(job.name, job.seed, job.size))
        result, rounds, commits = closed, 0, Counter[int]()
    else:
        ended = run_scenario(draw_trial(job.name, job.seed, job.size))
        result, rounds, commits = ended, ended.rounds_to_live, ended.commit_rounds
    row = Row(
        job.kind,
        job.name,
        job.size,
        runs=1,
        safe=int(not result.unsafe),
        live=int(not result.stalled),
        proven=int(bool(result.proofs)),
        refused=result.refused.total(),
        rounds_to_live=rounds,
        commit_rounds={str(key): count for key, count in sorted(commits.items())},
        cpu_seconds=result.cpu_seconds,
        problems=[f"seed {job.seed}: {problem}" for problem in result.problems[:2]],
    )
    return row, result.trace


def run_campaign(jobs: list[Job], processes: int, journal: Path) -> list[Row]:
    """Run what the journal does not hold yet, and add up all that it holds then. Shows how far it is."""
    done = dict(_read(journal))
    todo = [job for job in jobs if job.key not in done]
    print(f"{len(jobs):,} runs, {len(jobs) - len(todo):,} of them done before", flush=True)
    started, bad = time.monotonic(), 0
    with journal.open("a") as lines, get_context("spawn").Pool(processes) as pool:
        lines.write("\n")  # the last line may have been cut off
        for count, (key, row) in enumerate(pool.imap_unordered(_run_keyed, todo, chunksize=4), start=1):
            done[key] = row
            lines.write(json.dumps([key, asdict(row)]) + "\n")
            lines.flush()
            if row.problems:
                bad += 1
                print(f"\n{key}: {row.problems[0]}", flush=True)
            if count % 20 == 0 or count == len(todo):
                left = (time.monotonic() - started) / count * (len(todo) - count)
                print(f"\r{count:,}/{len(todo):,} runs, {bad} bad, {left / 60:.0f} min left ", end="", flush=True)
    print()
    return add_up([done[job.key] for job in jobs if job.key in done])


def finished(jobs: list[Job], journal: Path) -> list[Row]:
    """What the journal holds of these runs, without running the others."""
    done = dict(_read(journal))
    return add_up([done[job.key] for job in jobs if job.key in done])


def _run_keyed(job: Job) -> tuple[str, Row]:
    return job.key, run_job(job)


def _read(journal: Path) -> Iterator[tuple[str, Row]]:
    for line in journal.read_text().splitlines() if journal.exists() else ():
        try:
            key, fields = json.loads(line)
        except ValueError:
            continue  # empty, or cut off when the campaign was stopped
        yield key, Row(**fields)


def add_up(parts: list[Row]) -> list[Row]:
    """One row per kind, name and size."""
    rows: dict[tuple[str, str, int], Row] = {}
    for part in sorted(parts, key=lambda part: (part.size, names().index((part.kind, part.name)))):
        row = rows.setdefault((part.kind, part.name, part.size), Row(part.kind, part.name, part.size))
        for name in ("runs", "safe", "live", "proven", "refused", "cpu_seconds"):
            setattr(row, name, getattr(row, name) + getattr(part, name))
        row.rounds_to_live = max(row.rounds_to_live, part.rounds_to_live)
        for rounds, count in part.commit_rounds.items():
            row.commit_rounds[rounds] = row.commit_rounds.get(rounds, 0) + count
        row.problems += part.problems
    return list(rows.values())


def report(rows: list[Row]) -> str:
    """A table for people."""
    head = ("strategy", "n", "runs", "safe", "live", "proven", "refused", "p50", "p99", "healed", "CPU s")
    lines = [head]
    for row in rows:
        lines.append((
            f"{row.kind} {row.name}", str(row.size), str(row.runs), str(row.safe), str(row.live), str(row.proven), f"{row.refused:,}",
            str(row.rounds_to_commit(0.5) or "-"), str(row.rounds_to_commit(0.99) or "-"),
            str(row.rounds_to_live or "-"), f"{row.cpu_seconds:.0f}",
        ))  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = []
    for first, *others in lines:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        table.append("  ".join([first.ljust(widths[0]), *numbers]))
    runs, safe, live, cpu = (
        sum(getattr(row, name) for row in rows) for name in ("runs", "safe", "live", "cpu_seconds")
    )
    return "\n".join([*table, f"{runs:,} runs, {safe:,} safe, {live:,} live, {cpu:.0f} CPU s"])


def to_json(rows: list[Row]) -> str:
    """The rows for a file of results, one a line."""
    lines = [json.dumps(_figures(row)) for row in rows]
    return '{"what": "' + WHAT + '", "rows": [\n ' + ",\n ".join(lines) + "\n]}\n"


def _figures(row: Row) -> dict[str, object]:
    return {
        "kind": row.kind,
        "name": row.name,
        "size": row.size,
        "runs": row.runs,
        "safe": row.safe,
        "live": row.live,
        "proven": row.proven,
        "refused": row.refused,
        "rounds_to_commit_p50": row.rounds_to_commit(0.5),
        "rounds_to_commit_p99": row.rounds_to_commit(0.99),
        "rounds_to_live_max": row.rounds_to_live,
        "cpu_seconds": round(row.cpu_seconds, 1),
        "problems": row.problems,
    }
