"""One core to feed facts to, and what its effects say."""

from __future__ import annotations

from typing import TypeVar

from ordering.dags import full_round, make_vertex
from ordering.world import HashKeys

from octra.consensus.dag.core import DagState, OrderingParams, step
from octra.consensus.effects import Effect, Propose
from octra.consensus.epoch import Pace
from octra.consensus.events import Event, OwnVertexDurable, Ticked, VertexReceived
from octra.consensus.graph import attestors
from octra.consensus.vertex import BatchRef, Vertex, seal_vertex

KEYS = HashKeys(1, 4)
NODES = KEYS.committee.seats
PARAMS = OrderingParams(start_time_ms=1_000, pace=Pace(60, 250))
BATCH = BatchRef(b"b" * 32, 2, 300)

E = TypeVar("E", bound=Effect)


class Seat:
    """One core under test, seat 0 unless said."""

    def __init__(self, seat: int | None = 0, resume_round: int = 0, now_ms: int | None = 10_000) -> None:
        self.state = DagState.create(KEYS.committee, seat, PARAMS, resume_round=resume_round)
        self.now_ms = now_ms
        self.log: list[Effect] = []
        if now_ms is not None:
            self.log += self.feed(Ticked(now_ms))

    def feed(self, *events: Event) -> list[Effect]:
        """Effects of some facts."""
        found: list[Effect] = []
        for event in events:
            self.state, effects = step(self.state, event)
            found += effects
        return found

    def receive(self, *vertices: Vertex, sender: int = 1) -> list[Effect]:
        """Effects of vertices from a peer."""
        return self.feed(*(VertexReceived(vertex, NODES[sender]) for vertex in vertices))

    def wait(self, ms: int) -> list[Effect]:
        """Effects of time."""
        assert self.now_ms is not None
        self.now_ms += ms
        return self.feed(Ticked(self.now_ms))

    def seal(self, order: Propose) -> list[Effect]:
        """Effects of a durable own vertex."""
        return self.feed(OwnVertexDurable(seal_vertex(order.header, order.body, bytes(48), lambda _: bytes(64))))


def only(kind: type[E], effects: list[Effect]) -> E:
    """The single effect of a kind."""
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, found
    return found[0]


def none(kind: type[Effect], effects: list[Effect]) -> bool:
    """Is there no effect of a kind?"""
    return not any(isinstance(effect, kind) for effect in effects)


def rounds(count: int, *, skip: tuple[int, ...] = ()) -> list[list[Vertex]]:
    """Full rounds without some seats."""
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layers.append(full_round(layers[-1] if layers else [], 4, skip=skip))
    return layers


def own_round(seat: Seat, round: int) -> list[Vertex]:
    """What the seat has made itself in a round."""
    return [entry.vertex for entry in seat.state.store.at(round) if entry.author == seat.state.own_seat]


def neighbours_of(seat: int) -> list[int]:
    """The authors whose batches the seat is asked to check at once."""
    orders = {author: attestors(KEYS.committee.anchor, 4, author) for author in range(4)}
    return [author for author, order in orders.items() if seat in order[: KEYS.committee.faults + 1]]


def strangers_to(seat: int) -> list[int]:
    """The other authors."""
    return [author for author in range(4) if author != seat and author not in neighbours_of(seat)]


def layers_with_reference(author: int, count: int, voucher: int | None = None) -> list[list[Vertex]]:
    """Rounds without seat 0; in the first the author references the batch, in the second the voucher attests it."""
    first = [make_vertex(1, seat, batches=[BATCH] if seat == author else []) for seat in range(1, 4)]
    layers = [first]
    for round in range(2, count + 1):
        vouching = {voucher: [BATCH.id]} if round == 2 else {}
        layers.append([make_vertex(round, seat, layers[-1], attested=vouching.get(seat, [])) for seat in range(1, 4)])
    return layers
