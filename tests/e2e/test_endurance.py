"""A share of `./run endure`: what `test_kill_nodes` does not do to a network under load. The long run is for nights."""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from endurance.faults import Fault, Kind
from endurance.judge import judge
from endurance.payments import AMOUNT
from endurance.story import Plan, Result, run

from octra.node import chain
from octra.node.home import read_genesis

pytestmark = pytest.mark.process

OTHERS = {seat: tuple(other for other in range(4) if other != seat) for seat in range(4)}
SCRIPT = (
    Fault(Kind.PAUSE, (0,), 6),
    Fault(Kind.CUT_IN, (1,), 17, OTHERS[1]),  # longer than a link may be silent: it is made anew
    Fault(Kind.CUT_OUT, (2,), 5, OTHERS[2]),
    Fault(Kind.SLOW_DISK, (3,), 6, sync_ms=300),
)
PLAN = Plan(nodes=4, seconds=36, rate=3, script=SCRIPT)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the network lives, and its disks lie afterwards."""
    return tmp_path_factory.mktemp("endurance")


@pytest.fixture(scope="module")
def result(directory: Path) -> Result:
    """The whole story."""
    return run(PLAN, directory, say=lambda _: None)


def judged(directory: Path, result: Result, history) -> str:
    """What the judge says of the same disks and another history."""
    places = {f"node{seat}": directory / "net" / f"node{seat}" for seat in range(4)}
    committee = chain.committee_of(read_genesis(places["node0"]))
    return "\n".join(judge(places, committee, history, result.plan.seed).problems)


def test_pauses_cut_links_and_a_slow_disk_break_no_promise(result: Result) -> None:
    assert result.problems == []
    assert len(result.history.acknowledged) == len(result.history.transfers) == PLAN.seconds * PLAN.rate
    assert result.verdict.executed == len(result.history.transfers)
    assert {one.acknowledged_by for one in result.history.transfers} == {f"node{seat}" for seat in range(4)}
    assert result.seen.compared > 0


def test_every_seat_catches_up_after_its_trouble(result: Result) -> None:
    assert sum(result.record.done.values()) == len(SCRIPT)
    assert {kind: len(waits) for kind, waits in result.record.recovery_s.items()} == dict(result.record.done)


def test_a_lost_transfer_would_be_found(directory: Path, result: Result) -> None:
    history = deepcopy(result.history)
    history.transfers[5].id = bytes(32)
    found = judged(directory, result, history)
    assert f"lost: {bytes(32).hex()}" in found
    assert "expected" in found, "its account's balance is another one, too"


def test_a_wrong_balance_would_be_found(directory: Path, result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endurance.judge.AMOUNT", AMOUNT + 1)
    assert "expected" in judged(directory, result, result.history)
