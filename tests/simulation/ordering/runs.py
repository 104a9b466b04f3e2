"""One run from a seed, and everything that must hold at its end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from ordering.byzantine import STRATEGIES, make_node
from ordering.disk import SimBatch
from ordering.faulty_lives import LosesItsDisk
from ordering.node import SimNode
from ordering.scenario import DEADLINE_MS, Scenario, draw_scenario
from ordering.world import World

from octra.consensus import limits

MEMORY_ROUNDS = 2 * limits.GC_ROUNDS
LIVE_MS = 3 * limits.RANGE_WAIT_MS
PROGRESS_HEIGHTS = 6  # blocks that must be certified after all faults ended


@dataclass(frozen=True)
class Result:
    """What one run showed. `unsafe` and `stalled` are empty when every check holds."""

    scenario: Scenario
    unsafe: tuple[str, ...]
    stalled: tuple[str, ...]
    trace: str
    virtual_ms: int
    height: int
    rounds: int
    rounds_to_live: int  # from healing until everything honest was executed everywhere
    commit_rounds: Counter[int]  # of honest vertices: rounds until a block ordered them
    proofs: Counter[str]  # against faulty seats, by kind
    refused: Counter[str]  # frames that the border refused, by class of error
    floor: int
    ranges: int
    batches: int
    deliveries: int
    cpu_seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """All that went wrong."""
        return self.unsafe + self.stalled


def run_seed(seed: int, size: int, *, real_crypto: bool = False) -> Result:
    """Draw the scenario of a seed and run it."""
    return run_scenario(draw_scenario(seed, size, tuple(STRATEGIES), real_crypto=real_crypto))


def run_scenario(scenario: Scenario) -> Result:
    """Run to the end of all faults, then until everything honest is executed everywhere, then check."""
    started = time.process_time()
    world = World(scenario)
    nodes: list[SimNode] = [make_node(world, seat) for seat in range(scenario.size)]
    world.nodes = nodes
    for node in nodes:
        node.start()
        for number in range(scenario.batches_per_seat):
            world.at(world.random.randrange(scenario.load_ms), node.make_batch, number)
    honest = [node for node in nodes if node.honest]
    followers = [node for node in nodes if isinstance(node, LosesItsDisk)]
    world.run_until(lambda: world.now_ms >= scenario.heal_ms and all(node.running for node in honest), DEADLINE_MS)
    goal = _Goal(scenario, honest, followers)

    def done() -> bool:
        return goal.is_over(world.now_ms, max(node.state.quorum_round for node in honest)) or not goal.lacks()

    world.run_until(done, DEADLINE_MS)
    accused = {found for node in nodes if node.honest for found in node.accusations()}
    return Result(
        scenario,
        tuple(_check(world, honest, followers)),
        tuple(goal.lacks()),
        world.trace.hexdigest(),
        world.now_ms,
        max(len(node.disk.blocks) for node in honest),
        max(node.state.quorum_round for node in honest),
        max(node.state.quorum_round for node in honest) - goal.round,
        sum((node.commit_rounds for node in honest), Counter()),
        Counter(kind for _, kind in sorted(accused)),
        sum((node.refused for node in honest), Counter()),
        max(node.highest_floor for node in honest),
        sum(node.ranges for node in nodes),
        len(goal.batches),
        world.deliveries,
        time.process_time() - started,
    )


class _Goal:
    """What must come true once every fault has ended, and within how many rounds."""

    def __init__(self, scenario: Scenario, honest: list[SimNode], followers: list[LosesItsDisk]) -> None:
        self._scenario, self._honest, self._followers = scenario, honest, followers
        self.round = max(node.state.quorum_round for node in honest)
        self.height = max(len(node.disk.blocks) for node in honest)
        self.batches = {SimBatch(node.seat, i).id for node in honest for i in range(scenario.batches_per_seat)}
        # What a seat signed is linked to by its next vertex, or by others for 32 rounds, so it must be ordered.
        # A seat that was away for longer than that may lose its last vertices: they do not count.
        lowest = max(0, self.round - limits.WEAK_ROUNDS // 2, *(node.highest_floor for node in honest))
        self.vertices = {vertex.id for node in honest for vertex in node.disk.signed if vertex.round > lowest}

    def is_over(self, now_ms: int, round: int) -> bool:
        """Has it taken too long? Rounds may be shorter than the pauses after which a question is asked again."""
        bound = self._scenario.live_rounds
        return bound is not None and round > self.round + bound and now_ms > self._scenario.heal_ms + LIVE_MS

    def lacks(self) -> list[str]:
        """What is not yet true."""
        lacking = []
        for node in self._honest:
            batches = self.batches - set(node.disk.executed_batches())
            if batches:
                lacking.append(f"seat {node.seat} lacks {len(batches)} honest batches")
            if node.certified_height < self.height + PROGRESS_HEIGHTS:
                lacking.append(f"seat {node.seat} certified {node.certified_height} of {self.height} and more")
            if not lacking:
                ordered = {one.id for block in node.disk.blocks for one in block.draft.vertices if not one.void}
                if self.vertices - ordered:
                    lacking.append(f"seat {node.seat} never orders {len(self.vertices - ordered)} honest vertices")
        for node in self._followers:
            if len(node.disk.blocks) < self.height:
                lacking.append(f"follower {node.seat} stays at height {len(node.disk.blocks)} of {self.height}")
        return lacking


def _check(world: World, honest: list[SimNode], followers: list[LosesItsDisk]) -> list[str]:
    problems: list[str] = []
    honest_seats = {node.seat for node in honest} | {node.seat for node in followers}
    for node in [*honest, *followers]:
        problems += [f"seat {node.seat}: {trouble}" for trouble in node.troubles]
        wrongly = sorted((seat, kind) for seat, kind in node.accusations() if seat in honest_seats)
        if wrongly:
            problems.append(f"seat {node.seat} accuses honest seats: {wrongly}")
    for node in honest:
        problems += _check_blocks(node, world)
        for round, ids in node.sent.items():
            if len(ids) > 1:
                problems.append(f"seat {node.seat} signed {len(ids)} vertices of round {round}")
        bound = world.scenario.size * (limits.GC_ROUNDS + limits.AHEAD_ROUNDS) * limits.TWINS_STORED
        if max(node.peak_entries, node.peak_waiting) > 3 * bound:
            problems.append(f"seat {node.seat} held {node.peak_entries} vertices, {node.peak_waiting} waiting")
    problems += _check_agreement([*honest, *followers])
    return problems


def _check_blocks(node: SimNode, world: World) -> list[str]:
    problems = []
    rounds: dict[bytes, int] = {}  # in which each batch was executed last
    for block in node.disk.blocks:
        for batch in block.draft.batches:
            # The order remembers a batch so long; whoever references it later has its transactions skipped as used.
            if block.draft.leader_round <= rounds.get(batch.id, -MEMORY_ROUNDS) + MEMORY_ROUNDS:
                problems.append(f"seat {node.seat} executed a batch twice")
            rounds[batch.id] = block.draft.leader_round
    scenario = world.scenario
    bad = {SimBatch(seat, i, good=False).id for seat in scenario.strategies for i in range(scenario.batches_per_seat)}
    if bad & rounds.keys():
        problems.append(f"seat {node.seat} executed an invalid batch")
    times = [block.draft.time_ms for block in node.disk.blocks]
    if any(a >= b for a, b in pairwise(times)):
        problems.append(f"seat {node.seat}: commit time goes back")
    if node.certified_height > len(node.disk.blocks):
        problems.append(f"seat {node.seat} holds height {node.certified_height} for certain, and has not executed it")
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
