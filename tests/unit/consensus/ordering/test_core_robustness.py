"""Whatever facts arrive, in whatever order: the core never raises, stays bounded, and repeats exactly."""

from __future__ import annotations

from random import Random

import pytest
from ordering.dags import make_vertex
from ordering.world import HashKeys

from octra.consensus import limits
from octra.consensus.dag.core import DagState, OrderingParams, restore, snapshot, step
from octra.consensus.effects import CombineCoin, Effect, Propose, Prune
from octra.consensus.events import (
    BatchChecked,
    BatchStored,
    CoinRevealed,
    CoinSharesRejected,
    Event,
    Executed,
    OwnBatchReady,
    OwnVertexDurable,
    PeerConnected,
    RangeEnded,
    Ticked,
    VertexReceived,
)
from octra.consensus.vertex import BatchRef, Vertex, seal_vertex

SIZE, LIAR = 4, 3  # seat 0 is the core under test, 1 and 2 keep to the rules
KEYS = HashKeys(9, SIZE)
NODES = KEYS.committee.seats


def _batch(random: Random) -> bytes:
    return bytes([random.randrange(12)]) * 32


class Chaos:
    """Vertices that pass the border but link to anything, sound ones between them, and facts about anything."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.vertices: list[Vertex] = [make_vertex(1, author) for author in range(1, SIZE)]
        self.now_ms = 1_000

    def vertex(self) -> Vertex:
        """A well-formed vertex: links may be real, of a wrong author or round, or to nothing."""
        random = self.random
        base = random.choice(self.vertices[-8:])
        round = max(2, base.round + random.choice((0, 1, 1, 1, 2, 3, 70)))
        author = LIAR
        parents = [self._link(round - 1, seat) for seat in random.sample(range(SIZE), random.choice((3, 4)))]
        weak = [
            self._link(random.randrange(max(1, round - limits.WEAK_ROUNDS), round - 1), random.randrange(SIZE))
            for _ in range(random.choice((0, 0, 1, 3)) if round > 2 else 0)
        ]
        return make_vertex(
            round,
            author,
            parents,
            weak,
            twin=random.choice((0, 0, 0, 1, 2, 3)),
            time_ms=random.choice((0, self.now_ms, 2**48 - 1)),
            batches=[BatchRef(_batch(random), 1, 1)] if random.random() < 0.3 else [],
            attested={_batch(random) for _ in range(random.randrange(3))},
            evidence=[random.randbytes(5)] if random.random() < 0.05 else [],
        )

    def sound_vertex(self, state: DagState) -> Vertex:
        """One that fits the DAG, so that rounds go on."""
        below = [twins[0].vertex for twins in state.store.authors(state.quorum_round).values()]
        author = self.random.choice((1, 2))
        if author in state.store.authors(state.quorum_round + 1):
            author = 3 - author
        batches = [BatchRef(_batch(self.random), 1, 1)] if self.random.random() < 0.2 else []
        attested = {_batch(self.random)}
        return make_vertex(state.quorum_round + 1, author, below, batches=batches, attested=attested)

    def event(self, state: DagState) -> Event:
        """The next fact."""
        random, peer = self.random, self.random.choice(NODES[1:])
        round = max(1, state.quorum_round + random.randrange(-9, 4))
        kind = random.random()
        if kind < 0.55:
            vertex = self.vertex() if random.random() < 0.3 else self.sound_vertex(state)
            self.vertices.append(vertex)
            return VertexReceived(vertex, random.choice((peer, peer, None)))
        if kind < 0.65:
            return VertexReceived(random.choice(self.vertices), peer)
        if kind < 0.78:
            self.now_ms += random.choice((1, 30, 300, 3_000, -500))
            return Ticked(self.now_ms)
        return random.choice(
            (
                CoinRevealed(round, KEYS.signature(round)),
                CoinSharesRejected(round, (random.randrange(SIZE),)),
                BatchStored(_batch(random), random.randrange(SIZE), 1, 1),
                BatchChecked(_batch(random), random.choice((None, 0))),
                OwnBatchReady(_batch(random), 1, 1),
                Executed(random.randrange(50), bytes(32), bytes(32)),
                RangeEnded(peer, random.randrange(100)),
                PeerConnected(peer),
            )
        )

    def _link(self, round: int, author: int) -> Vertex:
        fitting = [v for v in self.vertices if v.round == round and v.author == author]
        if fitting and self.random.random() < 0.9:
            return self.random.choice(fitting)
        real = make_vertex(round, author, twin=self.random.choice((0, 1, 77)))
        if self.random.random() < 0.3:  # a real id under a wrong round or author
            stranger = self.random.choice(self.vertices)
            return Vertex(stranger.id, real.header, real.body, b"", b"", b"")
        return real


def _story(seed: int, count: int) -> tuple[DagState, list[Effect]]:
    chaos = Chaos(seed)
    state = DagState.create(KEYS.committee, 0, OrderingParams())
    log: list[Effect] = []
    for vertex in chaos.vertices:
        state, effects = step(state, VertexReceived(vertex, NODES[1]))
    for _ in range(count):
        state, effects = step(state, chaos.event(state))
        while effects:
            log += effects
            orders = [effect for effect in effects if isinstance(effect, Propose)]
            effects = ()
            for round in [effect.round for effect in log[-20:] if isinstance(effect, CombineCoin)]:
                if chaos.random.random() < 0.7:
                    state, more = step(state, CoinRevealed(round, KEYS.signature(round)))
                    log += more
            for order in orders:
                share = bytes(48 if order.coin_round else 0)
                vertex = seal_vertex(order.header, order.body, share, lambda _: bytes(64))
                chaos.vertices.append(vertex)
                state, effects = step(state, OwnVertexDurable(vertex))
    return state, log


@pytest.mark.parametrize(("seed", "count"), [*((seed, 500) for seed in range(20)), (50, 2_500), (51, 2_500)])
def test_no_fact_makes_the_core_raise_or_grow_without_bound(seed: int, count: int) -> None:
    state, effects = _story(seed, count)
    assert state.height > 10
    assert count <= 500 or any(isinstance(effect, Prune) for effect in effects)
    store = state.store
    assert len(store.waiting) <= 2 * SIZE * limits.AHEAD_ROUNDS * limits.TWINS_STORED
    assert all(store.floor < entry.round for entry in store.entries.values())
    assert len(state.sync.vertices) <= (SIZE + limits.WEAK_MAX) * (len(store.waiting) + 1)
    again = restore(snapshot(state), KEYS.committee, 0, OrderingParams())
    assert again.height == state.height


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_facts_give_the_same_effects_even_in_chaos(seed: int) -> None:
    assert _story(seed, 300)[1] == _story(seed, 300)[1]
