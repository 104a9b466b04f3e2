"""Short runs that aim at one thing: f seats with one strategy on a drawn network, or one network with drawn seats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from ordering import network
from ordering.byzantine import STRATEGIES
from ordering.scenario import Cut, Scenario

from octra.consensus.limits import GC_ROUNDS

HEAL_MS_SMALL, HEAL_MS_LARGE = 1_400, 700  # a dozen rounds of trouble; fewer where each costs ten times more
LARGE = 16  # seats
LIVE_ROUNDS = 40  # after healing; a slot in three commits whatever equivocators do: 1 run of 10 million needs as many
DRAWN_DELAYS = ("uniform", "uniform", "wide_area", "heavy_tail", "starve_some", "starve_leaders")

Cuts = Callable[[Random, int, int], tuple[Cut, ...]]

DELAYED = {  # name -> what links do
    "reorder": "reorder",
    "retransmission": "retransmission",
    "heavy_tail": "heavy_tail",
    "aim_after_0_shares": "starve_leaders",
    "aim_after_1_share": "aim_after_1_share",
    "aim_after_f_plus_1_shares": "aim_after_f_plus_1_shares",
    "aim_after_q_shares": "aim_after_q_shares",
}
CUT: dict[str, Cuts] = {
    "one_way_cut": network.one_way,
    "split_off_f": network.split_off_f,
    "split_in_halves": network.split_in_halves,
    "ring": network.ring,
    "flapping": network.flapping,
}
NETWORKS = (*DELAYED, "loss", "duplicate", *CUT, "eclipse")
SLOW = frozenset({"released_late"})  # needs more rounds than the floor lies below the leaders


def draw_trial(name: str, seed: int, size: int) -> Scenario:
    """The run of a seed for a strategy of `STRATEGIES` or a network of `NETWORKS`."""
    random = Random(f"trial {name} {size} {seed}")
    faults = (size - 1) // 3
    seats = sorted(random.sample(range(size), faults))
    habits = [name if name in STRATEGIES else random.choice(tuple(STRATEGIES)) for _ in seats]
    heal_ms = HEAL_MS_SMALL if size < LARGE else HEAL_MS_LARGE
    scenario = Scenario(
        seed=seed,
        size=size,
        delay=random.choice(DRAWN_DELAYS),
        loss=random.choice((0.0, 0.0, 0.05)),
        duplicates=random.choice((0.0, 0.05)),
        strategies=dict(zip(seats, habits, strict=True)),
        hurried=size < LARGE and random.random() < 0.2,
        split=name == "wrong_delta" or random.random() < 0.3,
        batches_per_seat=3 if size < LARGE else 2,
        heal_ms=heal_ms,
        load_ms=heal_ms * 2 // 3,
        live_rounds=LIVE_ROUNDS,
    )
    if name in SLOW:
        return replace(scenario, delay="local", hurried=True, heal_ms=40 * (GC_ROUNDS + 12), loss=0.0)
    if name in STRATEGIES:
        return scenario
    return _with_network(scenario, name, random)


def _with_network(scenario: Scenario, name: str, random: Random) -> Scenario:
    scenario = replace(scenario, delay="uniform", loss=0.0, duplicates=0.0)
    size, heal_ms = scenario.size, scenario.heal_ms
    if name in DELAYED:
        return replace(scenario, delay=DELAYED[name])
    if name in CUT:
        return replace(scenario, cuts=CUT[name](random, size, heal_ms))
    if name == "eclipse":
        return replace(scenario, cuts=network.eclipse(random, size, heal_ms, frozenset(scenario.strategies)))
    return replace(scenario, loss=0.25) if name == "loss" else replace(scenario, duplicates=0.5)
