"""Seats that lie to those who ask them, or ask and send too much."""

from __future__ import annotations

from ordering.disk import SimBatch
from ordering.node import SimNode

from octra.consensus import limits
from octra.consensus.vertex import Vertex

FLOOD_MESSAGES = 12  # a round and peer


class ServesNothing(SimNode):
    """Never answers."""

    honest = False

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        pass

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        pass

    def serve_batch(self, asker: int, id: bytes) -> None:
        pass


class ServesOtherVertices(ServesNothing):
    """Answers with vertices that nobody asked for, and says of ranges that they are complete."""

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        for id in sorted(self.disk.vertices)[: len(ids)]:
            self.send_vertex(asker, self.disk.vertices[id])

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        self.world.send(self.seat, asker, self.world.nodes[asker].receive_range_end, self.seat, to_round)


class ServesFalseBatches(ServesNothing):
    """Answers with the bytes of batches that nobody asked for."""

    def serve_batch(self, asker: int, id: bytes) -> None:
        batch = SimBatch(self.seat, self.world.random.randrange(1_000, 2**32))
        self.world.send(self.seat, asker, self.world.nodes[asker].receive_batch, batch)


class Floods(SimNode):
    """Valid things, far too many: old vertices, batches without a reference, questions."""

    honest = False

    def broadcast(self, vertex: Vertex) -> None:
        super().broadcast(vertex)
        random, stored = self.world.random, list(self.disk.vertices.values())
        for peer in range(self.committee.size):
            node = self.world.nodes[peer]
            for _ in range(FLOOD_MESSAGES if stored else 0):
                match random.randrange(4):
                    case 0:
                        self.send_vertex(peer, random.choice(stored))
                    case 1:
                        batch = SimBatch(self.seat, random.randrange(1_000, 2**32))
                        self.world.send(self.seat, peer, node.receive_batch, batch)
                    case 2:
                        ids = tuple(random.randbytes(32) for _ in range(limits.FETCH_IN_FLIGHT))
                        self.world.send(self.seat, peer, node.serve_vertices, self.seat, ids)
                    case _:
                        self.world.send(self.seat, peer, node.serve_batch, self.seat, random.randbytes(32))
