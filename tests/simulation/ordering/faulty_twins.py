"""Seats that sign several vertices of one round."""

from __future__ import annotations

from msgspec.structs import replace
from ordering.node import SimNode
from ordering.world import World

from octra.consensus.effects import Propose
from octra.consensus.vertex import Vertex, VertexBody


class Equivocator(SimNode):
    """Two vertices of each round, shown to seats by chance; both leak in time."""

    honest = False
    extra = 1  # twins beside the first

    def __init__(self, world: World, seat: int) -> None:
        super().__init__(world, seat)
        self.twins: dict[bytes, list[Vertex]] = {}

    def seal(self, order: Propose) -> Vertex:
        first = super().seal(order)
        self.twins[first.id] = [self._twin(order, number) for number in range(1, self.extra + 1)]
        return first

    def _twin(self, order: Propose, number: int) -> Vertex:
        body = self.twin_body(order.body)
        body = replace(body, batches=(), attested=()) if self.world.random.random() < 0.5 else body
        header = replace(order.header, time_ms=order.header.time_ms + number)
        return super().seal(Propose(header, body, order.coin_round))

    def twin_body(self, body: VertexBody) -> VertexBody:
        """What the twin says: the same, unless a habit says otherwise."""
        return body

    def broadcast(self, vertex: Vertex) -> None:
        random, versions = self.world.random, [vertex, *self.twins.get(vertex.id, ())]
        for peer in range(self.committee.size):
            self.send_vertex(peer, random.choice(versions))
            for version in versions:
                if random.random() < 0.3:  # it leaks later
                    self.world.at(random.randrange(20, 600), self.send_vertex, peer, version)


class TwinsOtherParents(Equivocator):
    """The twin links to other vertices of the round before."""

    def twin_body(self, body: VertexBody) -> VertexBody:
        parents = self.world.random.sample(body.parents, len(body.parents))
        return replace(body, parents=tuple(parents[: self.committee.quorum]))


class ThreeTwins(Equivocator):
    """Three vertices of each round."""

    extra = 2


class LateTwin(Equivocator):
    """One vertex for all, and a twin for one victim a little later."""

    def broadcast(self, vertex: Vertex) -> None:
        SimNode.broadcast(self, vertex)
        random = self.world.random
        victim = random.randrange(self.committee.size)
        for twin in self.twins.get(vertex.id, ()):
            self.world.at(random.randrange(200), self.send_vertex, victim, twin)


class HalfAndHalf(TwinsOtherParents):
    """One vertex for the even seats, another for the odd ones, always; neither half is told of the other's."""

    def broadcast(self, vertex: Vertex) -> None:
        versions = [vertex, *self.twins.get(vertex.id, ())]
        for peer in range(self.committee.size):
            self.send_vertex(peer, versions[peer % len(versions)])
