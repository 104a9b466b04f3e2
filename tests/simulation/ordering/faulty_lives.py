"""Seats that crash, stay away, or are slow."""

from __future__ import annotations

from ordering.disk import Disk
from ordering.node import SimNode

from octra.consensus.events import PeerConnected
from octra.consensus.vertex import Vertex


class Silent(SimNode):
    """Never starts."""

    honest = False

    def start(self) -> None:
        self.life += 1

    def make_batch(self, number: int) -> None:
        pass


class CrashesOften(SimNode):
    """Loses process and power again and again, and keeps its log: an honest seat with all its duties."""

    def start(self) -> None:
        if self.life == 0:
            self.world.at(self.world.random.randrange(150, 600), self._die)
        super().start()

    def _die(self) -> None:
        random, heal_ms = self.world.random, self.world.scenario.heal_ms
        if self.world.now_ms < heal_ms - 200:
            self.crash(power=random.random() < 0.5)
            self.world.at(random.randrange(30, 400), self.world.restart, self.seat)
            self.world.at(random.randrange(500, 900), self._die)


class LosesItsDisk(SimNode):
    """Honest until it crashes and finds its disk empty. Without its sign log it must never sign again: it follows."""

    honest = False
    follows = False

    def start(self) -> None:
        if self.life == 0:
            self.world.at(self.world.random.randrange(300, self.world.scenario.heal_ms), self._lose)
        super().start()

    def make_batch(self, number: int) -> None:
        if not self.follows:
            super().make_batch(number)

    def _lose(self) -> None:
        self.crash(power=False)
        self.disk = Disk()
        self.own_seat, self.follows = None, True
        self.world.at(self.world.random.randrange(100, 1_000), self._return)

    def _return(self) -> None:
        self.start()
        for other in range(self.committee.size):
            if other != self.seat and self.world.nodes[other].running:
                self.world.nodes[other].connected(self.seat)
                self.feed(PeerConnected(self.committee.seats[other]))


class SlowReader(SimNode):
    """Takes a second and more to read what it gets, and answers as late."""

    honest = False

    def receive_vertex(self, vertex: Vertex, sender: int) -> None:
        self.world.at(self.world.random.randrange(500, 2_000), self._read, self.life, vertex, sender)

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        self.world.at(1_500, super().serve_vertices, asker, ids)

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        self.world.at(1_500, super().serve_range, asker, from_round, to_round)

    def serve_batch(self, asker: int, id: bytes) -> None:
        self.world.at(1_500, super().serve_batch, asker, id)

    def _read(self, life: int, vertex: Vertex, sender: int) -> None:
        if self.running and self.life == life:
            super().receive_vertex(vertex, sender)
