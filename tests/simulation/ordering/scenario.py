"""What a seed stands for: committee, delays, faults and load of one simulated run. Times are virtual milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

HEAL_MS = 6_000  # all faults of the network end here; crashed nodes are back soon after
DEADLINE_MS = 120_000  # everything honest must have matured by then
LOAD_MS = 5_000  # clients fill batches until then
DRAWN_DELAYS = ("uniform", "wide_area", "heavy_tail", "starve_some", "starve_leaders", "local")


@dataclass(frozen=True)
class Cut:
    """Links from `left` to `right` are down; both ways unless `one_way`."""

    start_ms: int
    end_ms: int
    left: frozenset[int]
    right: frozenset[int]
    one_way: bool


@dataclass(frozen=True)
class Crash:
    """A process dies. `power`: what was not synced to disk is lost too."""

    at_ms: int
    back_ms: int
    seat: int
    power: bool


@dataclass(frozen=True)
class Scenario:
    """One run, drawn from its seed alone."""

    seed: int
    size: int
    delay: str
    loss: float
    duplicates: float
    strategies: dict[int, str] = field(default_factory=dict)  # faulty seats
    cuts: tuple[Cut, ...] = ()
    crashes: tuple[Crash, ...] = ()
    hurried: bool = False  # vertices as fast as links allow: many rounds, so that floors, ranges and snapshots matter
    split: bool = False  # seats without the duty to execute a block wait for its delta
    reserve_rounds: int = 1
    batches_per_seat: int = 6
    real_crypto: bool = False
    heal_ms: int = HEAL_MS
    load_ms: int = LOAD_MS
    live_rounds: int | None = None  # bound on the rounds from healing to the end of the run; None: only the deadline

    def describe(self) -> str:
        """One line for a report."""
        faults = ", ".join(f"{seat}:{name}" for seat, name in self.strategies.items()) or "none"
        return (
            f"n={self.size} delays={self.delay}{' hurried' * self.hurried}{' split' * self.split} loss={self.loss} faulty={faults} "
            f"cuts={len(self.cuts)} crashes={len(self.crashes)} reserve={self.reserve_rounds}"
        )


def draw_scenario(seed: int, size: int, habits: Sequence[str], *, real_crypto: bool = False) -> Scenario:
    """The scenario of a seed; each faulty seat has one of the `habits`."""
    random = Random(f"scenario {size} {seed}")
    faults = (size - 1) // 3
    faulty = random.sample(range(size), random.choice((0, faults, faults)))
    strategies = {seat: random.choice(habits) for seat in sorted(faulty)}
    cuts = tuple(_draw_cut(random, size) for _ in range(random.choice((0, 0, 1, 2, 4))))
    reserve = random.choice((1, 1, 16))
    honest = [seat for seat in range(size) if seat not in strategies]
    crashes = _draw_crashes(random, honest, may_lose_power=reserve == 1)
    if reserve > 1 and len(faulty) < faults and random.random() < 0.5:
        # It must skip the rounds it had reserved: until then it is one of the f.
        at_ms = random.randrange(500, 4_000)
        crashes += (Crash(at_ms, at_ms + random.randrange(100, 3_000), random.choice(honest), True),)
    return Scenario(
        seed=seed,
        size=size,
        delay=random.choice(DRAWN_DELAYS),
        hurried=random.random() < 0.3,
        loss=random.choice((0.0, 0.0, 0.02, 0.1)),
        duplicates=random.choice((0.0, 0.05)),
        strategies=strategies,
        cuts=cuts,
        crashes=_without_overlap(crashes),
        reserve_rounds=reserve,
        batches_per_seat=random.choice((3, 6, 12)),
        real_crypto=real_crypto,
        split=random.random() < 0.3,
    )


def _draw_cut(random: Random, size: int) -> Cut:
    start = random.randrange(200, 4_500)
    seats = list(range(size))
    random.shuffle(seats)
    left = random.choice((1, max(1, (size - 1) // 3), size // 2))
    return Cut(
        start,
        min(HEAL_MS, start + random.choice((200, 800, 2_500, 5_000))),
        frozenset(seats[:left]),
        frozenset(seats[left:]),
        random.random() < 0.3,
    )


def _draw_crashes(random: Random, honest: list[int], *, may_lose_power: bool) -> tuple[Crash, ...]:
    kind = random.choice(("none", "none", "some", "many", "all"))
    crashes = []
    if kind == "all":  # the whole network goes dark
        at_ms = random.randrange(500, 4_000)
        power = may_lose_power and random.random() < 0.5
        crashes = [Crash(at_ms + random.randrange(50), at_ms + random.randrange(100, 1_500), s, power) for s in honest]
    elif kind != "none":
        for _ in range(1 if kind == "some" else random.randrange(2, 6)):
            at_ms = random.randrange(300, 5_000)
            back_ms = at_ms + random.choice((30, 300, 2_000, 4_000))
            power = may_lose_power and random.random() < 0.5
            crashes.append(Crash(at_ms, back_ms, random.choice(honest), power))
    return tuple(crashes)


def _without_overlap(crashes: tuple[Crash, ...]) -> tuple[Crash, ...]:
    kept: list[Crash] = []
    for crash in sorted(crashes, key=lambda crash: (crash.at_ms, crash.seat)):
        if all(crash.seat != other.seat or crash.at_ms > other.back_ms + 50 for other in kept):
            kept.append(crash)
    return tuple(kept)
