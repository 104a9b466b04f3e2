"""Facts that come together are looked at once: what is ordered is the same as one by one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from ordering.dags import full_round, make_vertex
from ordering.world import HashKeys

from octra.consensus.dag.core import DagState, OrderingParams, step, step_all, wake_ms
from octra.consensus.effects import CombineCoin, Commit, CommitDraft, Effect, Propose
from octra.consensus.events import FactOfEpoch, OwnVertexDurable, Ticked, VertexReceived
from octra.consensus.vertex import BatchRef, Vertex, seal_vertex

SIZE, ROUNDS = 7, 14
KEYS = HashKeys(5, SIZE)
PARAMS = OrderingParams(start_time_ms=1_000)
PEER = KEYS.committee.seats[1]


def random_dag(random: Random) -> list[Vertex]:
    """Rounds of a quorum or more, each vertex with a quorum or more of parents; a twin and a batch now and then."""
    vertices: list[Vertex] = []
    below: list[Vertex] = []
    for round in range(1, ROUNDS + 1):
        quorum = KEYS.committee.quorum
        authors = random.sample(range(SIZE), random.randrange(quorum, SIZE + 1))
        layer = []
        for author in authors:
            chosen = random.sample(below, random.randrange(quorum, len(below) + 1)) if below else []
            batches = [BatchRef(random.randbytes(32), 1, 100)] if random.random() < 0.1 else []
            layer.append(make_vertex(round, author, chosen, time_ms=round * 100, batches=batches))
        if random.random() < 0.2:
            vertices.append(make_vertex(round, authors[0], layer and below[:quorum], twin=1))
        vertices += layer
        below = layer
    return vertices


def blocks_of(vertices: list[Vertex], groups: Callable[[], int]) -> list[CommitDraft]:
    """What a core without a seat orders that gets so many vertices at once."""
    state, _ = step(DagState.create(KEYS.committee, None, PARAMS), Ticked(10_000))
    blocks: list[CommitDraft] = []
    rest = list(vertices)
    while rest:
        count = groups()
        told: list[FactOfEpoch] = [VertexReceived(vertex, PEER) for vertex in rest[:count]]
        rest = rest[count:]
        while told:
            effects: tuple[Effect, ...] = step_all(state, told)
            told = [KEYS.reveal(one.round, one.shares) for one in effects if isinstance(one, CombineCoin)]
            blocks += [one.draft for one in effects if isinstance(one, Commit)]
    return blocks


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_vertices_that_come_together_give_the_same_blocks_as_one_by_one(seed: int) -> None:
    random = Random(seed)
    vertices = [with_share(one) if one.round > 4 else one for one in random_dag(random)]
    alone = blocks_of(vertices, lambda: 1)
    mixed = sorted(vertices, key=lambda one: one.round + 2 * random.random())
    assert len(alone) >= 4
    assert blocks_of(vertices, lambda: random.randrange(1, 20)) == alone
    assert blocks_of(mixed, lambda: random.randrange(1, 20)) == blocks_of(mixed, lambda: 1) == alone


def with_share(vertex: Vertex) -> Vertex:
    """The same vertex with its author's share of a coin."""
    share = KEYS.share(vertex.author, vertex.round - 4)
    return Vertex(vertex.id, vertex.header, replace(vertex.body, coin_share=share), b"", b"", b"")


def test_an_own_vertex_links_to_all_that_came_together() -> None:
    layer = full_round([], SIZE)
    for together, parents in ((True, SIZE), (False, KEYS.committee.quorum)):
        state = DagState.create(KEYS.committee, 0, PARAMS)
        (first,) = step_all(state, [Ticked(10_000)])
        assert isinstance(first, Propose)
        own = seal_vertex(first.header, first.body, b"", lambda _: bytes(64))
        step_all(state, [OwnVertexDurable(own), Ticked(20_000)])
        facts = [VertexReceived(vertex, PEER) for vertex in layer[1:]]
        groups = [facts] if together else [[fact] for fact in facts]
        drafts = [one for group in groups for one in step_all(state, group) if isinstance(one, Propose)]
        assert [len(draft.body.parents) for draft in drafts] == [parents]


def test_the_core_tells_when_its_next_vertex_is_due() -> None:
    state = DagState.create(KEYS.committee, 0, PARAMS)
    assert wake_ms(state) is None  # it does not know the time
    (first,) = step_all(state, [Ticked(10_000)])
    assert isinstance(first, Propose)
    assert wake_ms(state) is None  # its vertex is being signed
    own = seal_vertex(first.header, first.body, b"", lambda _: bytes(64))
    step_all(state, [OwnVertexDurable(own)])
    assert wake_ms(state) is None  # nothing to say before a quorum has spoken
    step_all(state, [VertexReceived(vertex, PEER) for vertex in full_round([], SIZE)[1:]])
    due = wake_ms(state)
    assert due is not None
    assert not [one for one in step_all(state, [Ticked(due - 1)]) if isinstance(one, Propose)]
    assert [one for one in step_all(state, [Ticked(due)]) if isinstance(one, Propose)]
