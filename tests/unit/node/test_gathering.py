"""Which vertices wait for others before their signatures are looked at, and how long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from octra.consensus.dag.core import DagState, OrderingParams, step_all
from octra.consensus.epoch import Committee
from octra.consensus.events import Ticked, VertexReceived
from octra.consensus.vertex import (
    BatchRef,
    Execution,
    ParentLink,
    Vertex,
    VertexBody,
    VertexHeader,
    seal_vertex,
    signed,
)
from octra.crypto.ed25519 import SigningKey
from octra.node.gathering import GATHER_SEAT_MS, GATHERED_MAX, Gathered, Gathering
from octra.primitives import NodeId

SIGNERS = [SigningKey(bytes([seat + 1]) * 32) for seat in range(4)]
SEATS = tuple(NodeId(signer.public) for signer in SIGNERS)
COMMITTEE = Committee(bytes(32), SEATS, b"", ())


def vertex(author: int, round: int = 1, parents: tuple[ParentLink, ...] = (), batches: int = 0) -> Vertex:
    header = VertexHeader(1, bytes(32), author, round, bytes(32), 0, bytes(32), bytes(32), 5)
    refs = tuple(BatchRef(bytes([author, number]) * 16, 1, 100) for number in range(batches))
    body = VertexBody(parents, (), refs, (), Execution(0, bytes(32)))
    return seal_vertex(header, body, b"", SIGNERS[author].sign)


def gathered(one: Vertex) -> Gathered:
    return Gathered(one, b"frame", SEATS[0], "message")


@pytest.fixture
def state() -> DagState:
    made = DagState.create(COMMITTEE, 0, OrderingParams())
    step_all(made, [Ticked(1_000)])
    return made


def test_empty_vertices_wait_until_they_complete_a_round(state: DagState) -> None:
    gathering = Gathering()
    for author in (1, 2, 2):
        gathering.add(gathered(vertex(author)), state, now_ms=50)
        assert not gathering.is_due(state)
    gathering.add(gathered(vertex(3)), state, now_ms=60)
    assert gathering.is_due(state)
    assert gathering.due_ms(4) == 50 + 4 * GATHER_SEAT_MS
    assert [item.vertex.author for item in gathering.take()] == [1, 2, 3]
    assert not gathering.is_due(state)
    assert gathering.due_ms(4) is None


def test_vertices_in_the_dag_count_for_the_round(state: DagState) -> None:
    gathering = Gathering()
    step_all(state, [VertexReceived(vertex(author), SEATS[author]) for author in (1, 2)])
    gathering.add(gathered(vertex(3)), state, now_ms=50)
    assert gathering.is_due(state)


def test_a_vertex_with_work_does_not_wait_at_an_idle_seat(state: DagState) -> None:
    idle, busy = Gathering(), Gathering()
    idle.add(gathered(vertex(1, batches=1)), state, now_ms=50)
    assert idle.is_due(state)
    step_all(state, [VertexReceived(vertex(2, batches=1), SEATS[2])])
    busy.add(gathered(vertex(1, batches=1)), state, now_ms=50)
    assert not busy.is_due(state)


def test_a_vertex_that_another_waits_for_does_not_wait(state: DagState) -> None:
    gathering = Gathering()
    missed = vertex(3)
    parents = tuple(ParentLink(one.author, one.id) for one in (vertex(1), vertex(2), missed))
    step_all(state, [VertexReceived(vertex(1, 2, parents), SEATS[1])])
    gathering.add(gathered(vertex(2)), state, now_ms=50)
    assert gathering.is_due(state)


def test_a_false_signature_does_not_keep_the_right_one_out(state: DagState) -> None:
    gathering, right = Gathering(), vertex(1)
    wrong = Vertex(right.id, right.header, right.body, right.header_bytes, right.body_bytes, bytes(64))
    for one in (wrong, right, right):
        gathering.add(gathered(one), state, now_ms=50)
    taken = [item.vertex for item in gathering.take()]
    assert signed(taken, COMMITTEE) == [False, True]


def test_what_waits_is_bounded(state: DagState) -> None:
    gathering = Gathering()
    one = vertex(1)
    for number in range(GATHERED_MAX):
        assert not gathering.is_full
        header = replace(one.header, time_ms=number)
        gathering.add(gathered(seal_vertex(header, one.body, b"", SIGNERS[1].sign)), state, now_ms=50)
    assert gathering.is_full
