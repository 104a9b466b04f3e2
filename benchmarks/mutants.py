"""Do the tests of ordering have teeth? Breaks one line of the core at a time and lets the checks find it.

mutants.py              all mutants; exit 1 if one survives
mutants.py --only 9 20  some of them
"""

from __future__ import annotations

import argparse
import importlib.machinery
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KILLERS = ("unit", "intent", "wide", "sim")  # cheapest first; a mutant is dead when one of them fails


@dataclass(frozen=True)
class Mutant:
    """One line of one file, replaced."""

    number: int
    what: str
    file: str
    line: str
    broken: str


MUTANTS = (
    Mutant(
        1,
        "skip when any twin has q non-votes",
        "rule.py",
        "entry.supported(round, author) is None for entry in twins",
        "(entry.supported(round, author) or entry).id != max((l.id for l in store.at(round) "
        "if l.author == author), default=b'') for entry in twins",
    ),
    Mutant(2, "skip at f + 1", "rule.py", "if blames >= quorum:", "if blames >= store.size - quorum + 1:"),
    Mutant(3, "commit at f + 1", "rule.py", "if backers[id] >= quorum:", "if backers[id] >= store.size - quorum + 1:"),
    Mutant(4, "certificate at f + 1 votes", "rule.py", "if count == quorum:", "if count == (quorum + 1) // 2:"),
    Mutant(
        5, "a certificate counts weak links", "rule.py", "for parent in entry.parents:", "for parent in entry.links:"
    ),
    Mutant(
        6,
        "count vertices, not authors",
        "rule.py",
        "blames = sum(any(entry.supported(round, author) is None for entry in twins) for twins in voters.values())",
        "blames = sum(entry.supported(round, author) is None for twins in voters.values() for entry in twins)",
    ),
    Mutant(
        7, "indirect reads an anchor of r + 4", "rule.py", "range(round + WAVE, store", "range(round + WAVE - 1, store"
    ),
    Mutant(
        8,
        "the anchor search passes undecided slots",
        "rule.py",
        "            if slot not in decisions:\n                return None",
        "            if slot not in decisions:\n                continue",
    ),
    Mutant(
        9,
        "indirect skip becomes commit",
        "rule.py",
        "                cone.append(link)\n    return None",
        "                cone.append(link)\n    return anchor",
    ),
    Mutant(
        11,
        "support ignores stored order",
        "store.py",
        "    for link in entry.links:\n        if link.round == target:",
        "    for link in sorted(entry.links, key=lambda e: hash((e.id, entry.id))):\n        if link.round == target:",
    ),
    Mutant(
        12, "sub-DAG sorted by arrival", "order.py", "key=lambda e: (e.round, e.author, e.id)", "key=lambda e: e.round"
    ),
    Mutant(
        14,
        "floor from the local highest round",
        "core.py",
        "floor = max(floor, leader.round - limits.GC_ROUNDS)",
        "floor = max(floor, state.store.highest_round - 12)",
    ),
    Mutant(15, "floor off by 32", "core.py", "leader.round - limits.GC_ROUNDS)\n", "leader.round - 32)\n"),
    Mutant(16, "the second twin is not void", "order.py", "void = entry.author in here.values()", "void = False"),
    Mutant(
        17, "f attestations suffice", "order.py", "self.attestors_needed = faults + 1", "self.attestors_needed = faults"
    ),
    Mutant(18, "maturity before the reference", "order.py", "and state.author >= 0 and state.seats", "and state.seats"),
    Mutant(
        19,
        "broadcast before durable",
        "core.py",
        "    effects.append(_draft(state, own, round))",
        "    order = _draft(state, own, round)\n"
        "    from octra.consensus.vertex import seal_vertex\n"
        "    early = seal_vertex(order.header, order.body, bytes(48 if order.coin_round else 0), lambda _: bytes(64))\n"
        "    effects += [Broadcast(early), order]",
    ),
    Mutant(
        20,
        "a restart signs rounds of the mark",
        "propose.py",
        "self.last_round = resume_round  #",
        "self.last_round = max(0, resume_round - 1)  #",
    ),
    Mutant(22, "coin used before q vertices", "core.py", "or present < state.committee.quorum or", "or"),
    Mutant(
        24,
        "parents q - 1",
        "../vertex.py",
        "if len(seen) < committee.quorum:",
        "if len(seen) < committee.quorum - 1:",
    ),
    Mutant(25, "commit time is the highest clock", "order.py", "times[(len(times) - 1) // 2]", "times[-1]"),
    Mutant(
        26,
        "only the first slot of a round gives a block",
        "core.py",
        "if leader is not None:",
        "if leader and not slot.k:",
    ),
    Mutant(31, "checkpoint at exactly two thirds", "../checkpoint.py", "3 * signers > 2 *", "3 * signers >= 2 *"),
    Mutant(
        33,
        "a mismatched link resolves",
        "store.py",
        "return entry is not None and entry.round == link.round and entry.author == link.author",
        "return entry is not None",
    ),
    Mutant(
        34,
        "waiters are not looked at when the floor rises",
        "store.py",
        "            if not missing:\n                ready.append(vertex)",
        "            if not missing and vertex.round < 0:\n                ready.append(vertex)",
    ),
    Mutant(
        35,
        "a matured batch may mature again",
        "order.py",
        "return not state.matured and state.author",
        "return state.author",
    ),
    Mutant(
        36,
        "lost own batches are not proposed again",
        "propose.py",
        "            self.queue[id] = self.referenced.pop(id)[0]",
        "            self.referenced.pop(id)",
    ),
)


def main() -> int:
    """Run the mutants and print who killed each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of mutants")
    parser.add_argument("--without", nargs="*", default=[], choices=KILLERS, help="killers to leave out")
    parser.add_argument("--child", nargs=2, metavar=("NUMBER", "KILLER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        number, killer = options.child
        return _run_killer(next((m for m in MUTANTS if m.number == int(number)), None), killer)
    survivors = []
    sound = Mutant(0, "the core as it is", "", "", "")
    if (killer := _hunt(sound, list(KILLERS[:1]))[0]) is not None:
        print(f"{killer} fails without any mutant")
        return 1
    for mutant in MUTANTS:
        if options.only and mutant.number not in options.only:
            continue
        killer, seconds = _hunt(mutant, [killer for killer in KILLERS if killer not in options.without])
        print(f"{mutant.number:3d} {mutant.what:55s} {killer or 'SURVIVES':8s} {seconds:6.1f} s", flush=True)
        if killer is None:
            survivors.append(mutant.number)
    print(f"survivors: {survivors}" if survivors else "all killed")
    return bool(survivors)


def _hunt(mutant: Mutant, killers: list[str]) -> tuple[str | None, float]:
    started = time.monotonic()
    for killer in killers:
        command = [sys.executable, __file__, "--child", str(mutant.number), killer]
        if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode != 0:
            return killer, time.monotonic() - started
    return None, time.monotonic() - started


def _run_killer(mutant: Mutant | None, killer: str) -> int:
    if mutant is not None:
        _break(mutant)
    sys.path.insert(0, str(ROOT / "tests" / "simulation"))
    if killer == "unit":
        import pytest

        return int(pytest.main(["-x", "-q", "--import-mode=importlib", "tests/unit/consensus/ordering"]))
    from ordering.dags import fuzz
    from ordering.runs import run_seed

    if killer in ("intent", "wide"):
        return bool(fuzz(killer, range(2_500), 4).bad)
    return any(run_seed(seed, size).problems for size in (4, 7) for seed in range(120 if size == 4 else 40))


def _break(mutant: Mutant) -> None:
    """Load one module of the core with its line replaced; the file on disk stays as it is."""
    path = (ROOT / "consensus" / "dag" / mutant.file).resolve()
    source = path.read_text()
    assert source.count(mutant.line) == 1, f"mutant {mutant.number} fits {source.count(mutant.line)} places"
    broken = source.replace(mutant.line, mutant.broken)
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> object:
        if Path(loader.path).resolve() == path:
            return compile(broken, str(path), "exec")
        return original(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    sys.exit(main())
