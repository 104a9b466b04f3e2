"""One run from a seed, and everything that must hold at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from ordering.byzantine import LosesItsDisk, make_node
from ordering.node import SimNode
from ordering.scenario import DEADLINE_MS, HEAL_MS, Scenario, draw_scenario
from ordering.world import World

from octra.consensus import limits

LOAD_MS = 5_000  # clients fill batches until then
PROGRESS_HEIGHTS = 6  # blocks that must be certified after all faults ended


@dataclass(frozen=True)
class Result:
    """What one run showed. `problems` is empty when every check holds."""

    scenario: Scenario
    problems: tuple[str, ...]
    trace: str
    virtual_ms: int
    height: int
    rounds: int
    floor: int
    ranges: int
    batches: int
    deliveries: int
    cpu_seconds: float


def run_seed(seed: int, size: int, *, real_crypto: bool = False) -> Result:
    """Draw the scenario of a seed and run it."""
    return run_scenario(draw_scenario(seed, size, real_crypto=real_crypto))


def run_scenario(scenario: Scenario) -> Result:
    """Run to the end of all faults, then until everything honest is executed everywhere, then check."""
    started = time.process_time()
    world = World(scenario)
    nodes = [make_node(world, seat) for seat in range(scenario.size)]
    world.nodes = nodes
    for node in nodes:
        node.start()
        for number in range(scenario.batches_per_seat):
            world.at(world.random.randrange(LOAD_MS), node.make_batch, number)
    honest = [node for node in nodes if node.honest]
    followers = [node for node in nodes if isinstance(node, LosesItsDisk)]
    expected = {batch for node in honest for batch in _own_batches(node, scenario)}
    world.run_until(lambda: world.now_ms >= HEAL_MS and all(node.running for node in honest), DEADLINE_MS)
    healed_height = max(len(node.disk.blocks) for node in honest)

    def done() -> bool:
        return all(
            node.certified_height >= healed_height + PROGRESS_HEIGHTS and expected <= set(node.executed_batches())
            for node in honest
        ) and all(len(node.disk.blocks) >= healed_height for node in followers)

    finished = world.run_until(done, DEADLINE_MS)
    problems = _check(world, honest, followers, expected, healed_height)
    if not finished and not problems:
        problems.append("the run did not end in time")
    return Result(
        scenario,
        tuple(problems),
        world.trace.hexdigest(),
        world.now_ms,
        max(len(node.disk.blocks) for node in honest),
        max(node.state.quorum_round for node in honest),
        max(node.highest_floor for node in honest),
        sum(node.ranges for node in nodes),
        len(expected),
        world.deliveries,
        time.process_time() - started,
    )


def _own_batches(node: SimNode, scenario: Scenario) -> list[bytes]:
    return [node.batch_id(number) for number in range(scenario.batches_per_seat)]


def _check(
    world: World, honest: list[SimNode], followers: list[LosesItsDisk], expected: set[bytes], healed_height: int
) -> list[str]:
    problems: list[str] = []
    honest_seats = {node.seat for node in honest} | {node.seat for node in followers}
    for node in [*honest, *followers]:
        problems += [f"seat {node.seat}: {trouble}" for trouble in node.troubles]
        wrongly = node.accused_seats() & honest_seats
        if wrongly:
            problems.append(f"seat {node.seat} accuses honest seats {sorted(wrongly)}")
    for node in honest:
        problems += _check_liveness(node, expected, healed_height)
        for round, ids in node.sent.items():
            if len(ids) > 1:
                problems.append(f"seat {node.seat} signed {len(ids)} vertices of round {round}")
        bound = world.scenario.size * (limits.GC_ROUNDS + limits.AHEAD_ROUNDS) * limits.TWINS_STORED
        if max(node.peak_entries, node.peak_waiting) > 3 * bound:
            problems.append(f"seat {node.seat} held {node.peak_entries} vertices, {node.peak_waiting} waiting")
    problems += _check_agreement([*honest, *followers])
    return problems


def _check_liveness(node: SimNode, expected: set[bytes], healed_height: int) -> list[str]:
    problems = []
    executed = node.executed_batches()
    if len(executed) != len(set(executed)):
        problems.append(f"seat {node.seat} executed a batch twice")
    lost = expected - set(executed)
    if lost:
        problems.append(f"seat {node.seat} lacks {len(lost)} honest batches")
    if node.certified_height < healed_height + PROGRESS_HEIGHTS:
        problems.append(f"seat {node.seat} certified {node.certified_height} of {healed_height + PROGRESS_HEIGHTS}")
    times = [block.draft.time_ms for block in node.disk.blocks]
    if any(a >= b for a, b in pairwise(times)):
        problems.append(f"seat {node.seat}: commit time goes back")
    return problems


def _check_agreement(nodes: list[SimNode]) -> list[str]:
    """Blocks (order, boundaries, times, batches) and roots are prefixes of one chain."""
    problems = []
    longest = max(nodes, key=lambda node: len(node.disk.blocks)).disk.blocks
    for node in nodes:
        for mine, theirs in zip(node.disk.blocks, longest, strict=False):
            if mine.digest != theirs.digest:
                problems.append(f"seat {node.seat}: another block at height {mine.draft.height}")
                break
            if mine.state_root != theirs.state_root:
                problems.append(f"seat {node.seat}: another root at height {mine.draft.height}")
                break
    return problems
