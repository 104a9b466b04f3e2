"""Whole networks of the real core: a small share of what `./run sim` does with thousands of seeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ordering.byzantine import STRATEGIES
from ordering.dags import fuzz
from ordering.faulty_frames import FORGERIES
from ordering.runs import Result, run_scenario, run_seed
from ordering.scenario import Crash, Cut, Scenario, draw_scenario
from ordering.trials import NETWORKS, draw_trial
from ordering.world import HashKeys

from octra.consensus.dag.deltas import DeltaTally
from octra.consensus.dag.order import Ordering
from octra.consensus.dag.propose import Proposer

LONG_SEEDS = range(1_000, 1_300)


def _sound(result: Result) -> bool:
    assert not result.problems, f"{result.scenario}: {result.problems}"
    return True


@pytest.mark.parametrize("seed", range(8))
def test_four_seats_agree_and_lose_nothing_whatever_the_seed_brings(seed: int) -> None:
    assert _sound(run_seed(seed, 4))


@pytest.mark.parametrize("seed", range(2))
def test_seven_seats_agree_and_lose_nothing_whatever_the_seed_brings(seed: int) -> None:
    assert _sound(run_seed(seed, 7))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 10])
def test_other_sizes_run_the_same_code(size: int) -> None:
    scenario = draw_scenario(3, size, tuple(STRATEGIES))
    assert _sound(
        run_scenario(replace(scenario, heal_ms=1_500, load_ms=1_000, batches_per_seat=3, cuts=(), crashes=()))
    )


@pytest.mark.parametrize("name", [*STRATEGIES, *NETWORKS])
def test_no_strategy_and_no_network_stops_or_parts_four_seats(name: str) -> None:
    assert _sound(run_scenario(draw_trial(name, 1, 4)))


@pytest.mark.parametrize("name", FORGERIES)
def test_every_forged_frame_is_refused_at_the_border(name: str) -> None:
    """And never by way of an exception that nobody expects: that would end the run."""
    result = run_scenario(draw_trial(name, 2, 4))
    assert _sound(result)
    assert result.refused.total() > 10
    assert not result.proofs  # a refused vertex is held against nobody


@pytest.mark.parametrize(
    ("name", "proof"),
    [
        ("twins_equal_parents", "Equivocation"),
        ("half_and_half", "Equivocation"),
        ("invalid_batches", "InvalidBatchReferenced"),
        ("attests_invalid", "FalseAttestation"),
    ],
)
def test_what_can_be_proven_is_proven(name: str, proof: str) -> None:
    assert run_scenario(draw_trial(name, 3, 7)).proofs[proof] == 2  # both faulty seats


# --- do the checks notice a core that is wrong? ---


def _one_fewer(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    original = owner.__init__

    def init(self: object, *arguments: object) -> None:
        original(self, *arguments)
        setattr(self, name, getattr(self, name) - 1)

    monkeypatch.setattr(owner, "__init__", init)


def test_f_attestations_that_suffice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _one_fewer(monkeypatch, Ordering, "attestors_needed")
    assert any("invalid batch" in problem for problem in run_scenario(draw_trial("attests_invalid", 0, 7)).unsafe)


def test_f_executions_that_suffice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _one_fewer(monkeypatch, DeltaTally, "_needed")
    assert any("another root" in problem for problem in run_scenario(draw_trial("wrong_delta", 0, 7)).unsafe)


def test_signatures_that_nobody_checks_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HashKeys, "verify", lambda *_: True)
    unsafe = run_scenario(draw_trial("replay_of_other_chains", 0, 7)).unsafe
    assert any("accuses honest seats" in problem for problem in unsafe)


def test_late_vertices_that_nobody_links_to_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Proposer, "weak_links", lambda *_: [])
    assert any("never orders" in problem for problem in run_scenario(draw_trial("split_off_f", 1, 7)).stalled)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    first, again, other = run_seed(5, 4), run_seed(5, 4), run_seed(6, 4)
    assert (first.trace, first.height, first.deliveries) == (again.trace, again.height, again.deliveries)
    assert first.trace != other.trace


def test_real_signatures_and_the_real_coin_give_the_same_guarantees() -> None:
    result = run_scenario(
        Scenario(4, 4, "uniform", 0.0, 0.0, {2: "bad_coin_share"}, batches_per_seat=3, real_crypto=True)
    )
    assert _sound(result)


def test_a_seat_that_was_away_for_hundreds_of_rounds_catches_up_by_ranges() -> None:
    away = Crash(400, 5_900, 2, power=False)
    result = run_scenario(Scenario(1, 4, "local", 0.0, 0.0, crashes=(away,), hurried=True, batches_per_seat=12))
    assert _sound(result)
    assert result.floor > 64
    assert result.ranges > 1


def test_a_cut_off_seat_comes_back_and_its_batches_mature() -> None:
    cut = Cut(300, 5_900, frozenset({0}), frozenset({1, 2, 3}), one_way=False)
    result = run_scenario(Scenario(2, 4, "local", 0.0, 0.0, cuts=(cut,), hurried=True, batches_per_seat=12))
    assert _sound(result)
    assert result.floor > 64


def test_the_whole_network_may_lose_power_at_once() -> None:
    crashes = tuple(Crash(1_500 + 7 * seat, 2_500 + 50 * seat, seat, power=True) for seat in range(4))
    assert _sound(run_scenario(Scenario(3, 4, "uniform", 0.0, 0.0, crashes=crashes, reserve_rounds=1)))


def test_no_view_of_a_random_dag_contradicts_another() -> None:
    wide, intent, larger = fuzz("wide", range(110), 4), fuzz("intent", range(150), 4), fuzz("wide", range(20), 7)
    assert wide.bad == intent.bad == larger.bad == []
    assert wide.decisions + intent.decisions > 10_000  # the fuzz would prove nothing if nothing were decided


def test_scenarios_cover_every_fault() -> None:
    drawn = [draw_scenario(seed, 7, tuple(STRATEGIES)) for seed in range(300)]
    assert {name for scenario in drawn for name in scenario.strategies.values()} == set(STRATEGIES)
    assert any(cut.one_way for scenario in drawn for cut in scenario.cuts)
    assert any(crash.power for scenario in drawn for crash in scenario.crashes)
    assert all(len(scenario.strategies) <= 2 for scenario in drawn)


@pytest.mark.long
@pytest.mark.parametrize("size", [4, 7])
def test_many_more_seeds(size: int) -> None:
    for seed in LONG_SEEDS:
        assert _sound(run_seed(seed, size))
