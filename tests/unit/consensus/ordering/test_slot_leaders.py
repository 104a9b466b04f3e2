"""From the coin to blocks: who leads which slot, in which order, and one block for each, whatever else a seat knows."""

from __future__ import annotations

from itertools import permutations

import pytest
from ordering.dags import full_round, make_vertex
from ordering.world import HashKeys

from octra.consensus import coin
from octra.consensus.dag.core import DagState, OrderingParams, step
from octra.consensus.effects import CombineCoin, Commit, CommitDraft, RecordEvidence
from octra.consensus.events import CoinRevealed, Ticked, VertexReceived
from octra.consensus.vertex import Vertex

KEYS = HashKeys(3, 4)
PARAMS = OrderingParams(start_time_ms=1_000)
PAIRS = list(permutations(range(4), 2))


def coin_for(pair: tuple[int, ...]) -> bytes:
    """A combined signature that draws these leaders, first slot first."""
    tried = (number.to_bytes(48, "big") for number in range(10_000))
    return next(one for one in tried if coin.leaders(coin.coin_value(one), 4, 2) == pair)


class Follower:
    """A core without a seat that holds coins back until told."""

    def __init__(self) -> None:
        self.state, _ = step(DagState.create(KEYS.committee, None, PARAMS), Ticked(10_000))
        self.blocks: list[CommitDraft] = []
        self.proofs = 0

    def receive(self, *vertices: Vertex) -> None:
        for vertex in vertices:
            self._feed(VertexReceived(vertex, KEYS.committee.seats[1]))

    def reveal(self, round: int, pair: tuple[int, ...]) -> None:
        self._feed(CoinRevealed(round, coin_for(pair)))

    def _feed(self, event: VertexReceived | CoinRevealed) -> None:
        self.state, effects = step(self.state, event)
        self.blocks += [effect.draft for effect in effects if isinstance(effect, Commit)]
        self.proofs += sum(isinstance(effect, RecordEvidence) for effect in effects)
        assert all(isinstance(effect, Commit | CombineCoin | RecordEvidence) for effect in effects)

    @property
    def cuts(self) -> list[tuple[int, int, int]]:
        """Round and author of each block's leader, and how many vertices the block brings."""
        return [(block.leader_round, block.leader_author, len(block.vertices)) for block in self.blocks]


def full_rounds(count: int) -> list[list[Vertex]]:
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layers.append(full_round(layers[-1] if layers else [], 4))
    return layers


@pytest.mark.parametrize("pair", PAIRS)
def test_the_coin_names_the_leader_of_the_first_slot_first(pair: tuple[int, int]) -> None:
    core = Follower()
    for layer in full_rounds(5):
        core.receive(*layer)
    core.reveal(1, pair)
    assert core.cuts == [(1, pair[0], 1), (1, pair[1], 1)]


def test_blocks_are_cut_alike_whether_slots_are_decided_together_or_one_by_one() -> None:
    layers, pair = full_rounds(10), (2, 0)
    slow, fast = Follower(), Follower()
    for layer in layers:
        slow.receive(*layer)
        number = layer[0].round
        if number >= 5:
            slow.reveal(number - 4, pair)
        fast.receive(*layer)
    for round in range(6, 0, -1):  # all at once, when the coin of the first round is known at last
        fast.reveal(round, pair)
    assert len(fast.blocks) == 12
    assert fast.blocks == slow.blocks
    assert fast.cuts[2:4] == [(2, 2, 3), (2, 0, 1)]


def test_leaders_are_those_of_the_coin_also_for_a_seat_that_knows_one_to_equivocate() -> None:
    """What a seat has proof of must not change what it decides: others may not have it yet."""
    layers = full_rounds(5)
    ignorant, knowing = Follower(), Follower()
    knowing.receive(make_vertex(1, 3, twin=1))
    for core in (ignorant, knowing):
        for layer in layers:
            core.receive(*layer)
        core.reveal(1, (3, 0))
    assert (ignorant.proofs, knowing.proofs) == (0, 1)
    assert ignorant.blocks == knowing.blocks
    assert knowing.cuts == [(1, 3, 1), (1, 0, 1)]
