"""What a vertex costs the ordering core: insert, votes, decision, order and pruning, for full DAGs of several sizes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "simulation"))

from ordering.dags import full_round
from ordering.world import HashKeys

from octra.consensus.dag.core import DagState, OrderingParams, snapshot, step
from octra.consensus.effects import CombineCoin
from octra.consensus.events import CoinRevealed, Ticked, VertexReceived
from octra.consensus.vertex import Vertex

ROUNDS = 150


def main() -> None:
    """Print microseconds per vertex, and the size of a snapshot."""
    for size in (1, 4, 7, 10, 24):
        keys = HashKeys(1, size)
        layers: list[list[Vertex]] = []
        for _ in range(ROUNDS):
            layers.append(full_round(layers[-1] if layers else [], size))
        state, _ = step(DagState.create(keys.committee, None, OrderingParams()), Ticked(1))
        started = time.process_time()
        for vertex in (vertex for layer in layers for vertex in layer):
            state, effects = step(state, VertexReceived(vertex, keys.committee.seats[0]))
            for effect in effects:
                if isinstance(effect, CombineCoin):
                    state, _ = step(state, CoinRevealed(effect.round, keys.signature(effect.round)))
        spent_us = (time.process_time() - started) * 1e6 / (ROUNDS * size)
        print(
            f"n = {size:2d}: {spent_us:6.1f} us per vertex, {state.height} blocks, snapshot {len(snapshot(state)):,} B"
        )


if __name__ == "__main__":
    main()
