"""Short runs of a chain with drawn committees in which f of n founders have one habit."""

from __future__ import annotations

from random import Random

from epochs.faulty import HABITS
from epochs.world import Plan

EPOCHS = {"score_gaming": 3}  # who leaves or returns is seen in the draws of the epoch after next; else one will do
SMALL, LARGE = (3_000, 100), (6_000, 200)  # milliseconds of an epoch and between vertices


def draw_plan(habit: str, seed: int, size: int) -> Plan:
    """The run of a seed for a habit of `HABITS`."""
    random = Random(f"plan {habit} {size} {seed}")
    faulty = sorted(random.sample(range(size), (size - 1) // 3))
    epoch_ms, pace_ms = SMALL if size < 16 else LARGE
    assert habit in HABITS
    return Plan(
        seed,
        founders=size,
        epochs=EPOCHS.get(habit, 1),
        epoch_ms=epoch_ms,
        pace_ms=pace_ms,
        habits=dict.fromkeys(faulty, habit),
        crash_at_edges=random.choice((0, 0, 1)),
        transfers=4,
        loss=random.choice((0.0, 0.01)),
        checkpointed=1,
    )
