"""The checks that are to notice a mutant: files of unit tests, and searches through DAGs, partitions and networks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "simulation"))

INTENT_DAGS, WIDE_DAGS, CHUNK = 1_000, 300, 50
TWINS_STRIDE = 20
CORES_STRIDE = 200
NETWORK_SEEDS = 40


def run_guard(guard: str) -> str | None:
    """What noticed something, or None. A crash of the broken code is noticed too."""
    if guard.endswith(".py"):
        return _run_tests(TESTS / guard)
    try:
        return SEARCHES[guard]()
    except Exception as error:  # whatever the mutant brings about
        return f"{guard}: {type(error).__name__}"


def _run_tests(path: Path) -> str | None:
    os.environ["CI"] = "true"  # hypothesis draws the same examples each time
    failures = _Failures()
    code = pytest.main(["-x", "-q", "--import-mode=importlib", str(path)], plugins=[failures])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest could not run {path.name}: {code!r}")
    return failures.first


class _Failures:
    first: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.first is None:
            self.first = report.nodeid.rpartition("::")[2]


def _search_slot() -> str | None:
    from ordering.exhaustive import explore_slot

    return next(iter(explore_slot(stop=True).problems), None)


def _search_twins() -> str | None:
    from ordering.twins import explore_rule

    return next(iter(explore_rule(TWINS_STRIDE, stop=True).problems), None)


def _search_cores() -> str | None:
    from ordering.twins import explore_cores

    return next(iter(explore_cores(CORES_STRIDE, stop=True).problems), None)


def _search_dags(kind: str, count: int) -> str | None:
    from ordering.dags import fuzz

    for first in range(0, count, CHUNK):
        bad = fuzz(kind, range(first, min(first + CHUNK, count)), 4).bad
        if bad:
            return f"DAG {bad[0]}"
    return None


def _search_networks() -> str | None:
    """Networks in which one seat shows a second vertex late, to one other: who knows of it, and who does not yet?"""
    from ordering.runs import run_scenario
    from ordering.trials import draw_trial

    for seed in range(NETWORK_SEEDS):
        problems = run_scenario(draw_trial("late_twin", seed, 4)).problems
        if problems:
            return f"seed {seed}: {problems[0]}"
    return None


SEARCHES: dict[str, Callable[[], str | None]] = {  # cheapest first
    "exhaustive": _search_slot,
    "twins": _search_twins,
    "cores": _search_cores,
    "wide": lambda: _search_dags("wide", WIDE_DAGS),
    "intent": lambda: _search_dags("intent", INTENT_DAGS),
    "network": _search_networks,
}
