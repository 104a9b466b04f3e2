"""Faulty seats. Each is the real node with one bad habit, so that its vertices are as plausible as can be."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from ordering.node import GENESIS, SimBatch, SimNode
from ordering.world import World, sign_vertex

from octra.consensus.effects import CommitDraft, Propose
from octra.consensus.events import PeerConnected
from octra.consensus.vertex import BatchRef, ParentLink, Vertex, WeakLink, seal_vertex
from octra.crypto.hash import H

TWIN_HABITS = ("halves", "halves_other_parents", "three_twins", "late_twin")


def make_node(world: World, seat: int) -> SimNode:
    """The node of a seat, honest or with the habit that the scenario gives it."""
    habit = world.scenario.strategies.get(seat)
    if habit is None:
        return SimNode(world, seat)
    if habit == "silent":
        return Silent(world, seat)
    if habit == "crash_without_log":
        return LosesItsDisk(world, seat)
    if habit in TWIN_HABITS:
        return Equivocator(world, seat, habit)
    return Liar(world, seat, habit)


class Silent(SimNode):
    """Never starts."""

    honest = False

    def start(self) -> None:
        self.life += 1

    def make_batch(self, number: int) -> None:
        pass


class LosesItsDisk(SimNode):
    """Honest until it crashes and finds its disk empty. Without its sign log it must never sign again: it follows."""

    honest = False
    follows = False

    def start(self) -> None:
        if self.life == 0:
            self.world.at(self.world.random.randrange(500, 5_000), self._lose)
        super().start()

    def make_batch(self, number: int) -> None:
        if not self.follows:
            super().make_batch(number)

    def _lose(self) -> None:
        self.crash(power=False)
        self.disk = type(self.disk)()
        self.own_seat, self.follows = None, True
        self.world.at(self.world.random.randrange(100, 4_000), self._return)

    def _return(self) -> None:
        self.start()
        for other in range(self.committee.size):
            if other != self.seat and self.world.nodes[other].running:
                self.world.nodes[other].connected(self.seat)
                self.feed(PeerConnected(self.committee.seats[other]))


class Equivocator(SimNode):
    """Signs several vertices of one round and shows them to different seats."""

    honest = False

    def __init__(self, world: World, seat: int, habit: str) -> None:
        super().__init__(world, seat)
        self.habit = habit
        self.twins: dict[bytes, list[Vertex]] = {}

    def seal(self, order: Propose) -> Vertex:
        first = super().seal(order)
        count = {"three_twins": 2, "late_twin": 1}.get(self.habit, 1)
        self.twins[first.id] = [self._twin(order, number) for number in range(1, count + 1)]
        return first

    def _twin(self, order: Propose, number: int) -> Vertex:
        random, body = self.world.random, order.body
        if self.habit == "halves_other_parents" and body.parents:
            parents = list(body.parents)
            random.shuffle(parents)
            body = replace(body, parents=tuple(parents[: self.committee.quorum]))
        body = replace(body, batches=(), attested=()) if random.random() < 0.5 else body
        header = replace(order.header, time_ms=order.header.time_ms + number)
        return super().seal(Propose(header, body, order.coin_round))

    def broadcast(self, vertex: Vertex) -> None:
        random = self.world.random
        versions = [vertex, *self.twins.get(vertex.id, ())]
        if self.habit == "late_twin":
            super().broadcast(vertex)
            victim = random.randrange(self.committee.size)
            for twin in versions[1:]:
                self.world.at(random.randrange(0, 200), self.send_vertex, victim, twin)
            return
        for peer in range(self.committee.size):
            chosen = random.randrange(len(versions))
            self.send_vertex(peer, versions[chosen])
            for version in versions:
                if random.random() < 0.3:  # it leaks later
                    self.world.at(random.randrange(20, 600), self.send_vertex, peer, version)


class Liar(SimNode):
    """One vertex per round, but with something wrong in it or about it."""

    honest = False

    def __init__(self, world: World, seat: int, habit: str) -> None:
        super().__init__(world, seat)
        self.habit = habit

    def seal(self, order: Propose) -> Vertex:
        random, header, body = self.world.random, order.header, order.body
        keys = self.world.keys
        share = keys.share(self.seat, order.coin_round) if order.coin_round else b""
        match self.habit:
            case "bad_coin_share":
                share = bytes(random.randbytes(len(share)))
            case "few_parents":
                parents = list(body.parents)
                random.shuffle(parents)
                body = replace(body, parents=tuple(parents[: self.committee.quorum]), weak=())
            case "attests_unseen":
                known = [
                    H("sim.batch", bytes([seat]), number.to_bytes(4, "little"))
                    for seat in range(self.committee.size)
                    for number in range(self.world.scenario.batches_per_seat)
                ]
                body = replace(body, attested=tuple(sorted(known)))
            case "attests_nothing":
                body = replace(body, attested=())
            case "references_nothing_real":
                body = replace(body, batches=(BatchRef(random.randbytes(32), 1, 100), *body.batches[:7]))
            case "dangling_links":
                body = self._dangle(body, header.round)
            case "wild_clock":
                header = replace(header, time_ms=random.choice((0, 2**48 - 1, header.time_ms)))
        return seal_vertex(header, body, share, sign_vertex(keys, self.seat))

    def _dangle(self, body: Any, round: int) -> Any:
        """Links to nothing, or to a vertex under a wrong author or round."""
        random = self.world.random
        if random.random() < 0.5:
            return body
        if round > 3 and random.random() < 0.5:
            real = random.choice(body.parents).id
            wrong = random.choice((real, random.randbytes(32)))
            return replace(body, weak=(WeakLink(random.randrange(max(1, round - 32), round - 1), 0, wrong),))
        if body.parents:
            last = body.parents[-1]
            return replace(body, parents=(*body.parents[:-1], ParentLink(last.author, random.randbytes(32))))
        return body

    def broadcast(self, vertex: Vertex) -> None:
        random, size = self.world.random, self.committee.size
        if self.habit == "reveal_to_few":
            faults, quorum = self.committee.faults, self.committee.quorum
            for peer in random.sample(range(size), random.choice((faults, faults + 1, quorum - 1))):
                self.send_vertex(peer, vertex)
            return
        super().broadcast(vertex)
        if self.habit == "future_rounds":
            header = replace(vertex.header, round=vertex.round + random.choice((5, 40, 1_000)))
            parents = tuple(ParentLink(seat, random.randbytes(32)) for seat in range(size))
            body = replace(vertex.body, parents=parents, weak=())
            future = seal_vertex(header, body, bytes(48), sign_vertex(self.world.keys, self.seat))
            super().broadcast(future)

    def make_batch(self, number: int) -> None:
        if self.habit != "invalid_batches" or not self.running:
            super().make_batch(number)
            return
        batch = SimBatch(H("sim.bad", bytes([self.seat]), bytes([number])), self.seat, good=False)
        self.disk.batches[batch.id] = batch
        self.send_batch(batch)
        assert self.state.own is not None
        self.state.own.queue[batch.id] = BatchRef(batch.id, 1, 100)  # unchecked, which no honest core would do

    def execute(self, parent_root: bytes, draft: CommitDraft) -> bytes:
        if self.habit == "wrong_root":
            return H("sim.root", b"lie", GENESIS[1], draft.leader)
        return super().execute(parent_root, draft)

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        if self.habit == "serves_garbage":
            for id in sorted(self.disk.vertices)[: len(ids)]:
                self.send_vertex(asker, self.disk.vertices[id])
        elif self.habit != "serves_nothing":
            super().serve_vertices(asker, ids)

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        if self.habit == "serves_garbage":
            node = self.world.nodes[asker]
            self.world.send(self.seat, asker, node.receive_range_end, self.seat, to_round)
        elif self.habit != "serves_nothing":
            super().serve_range(asker, from_round, to_round)

    def serve_batch(self, asker: int, id: bytes) -> None:
        if self.habit not in ("serves_nothing", "serves_garbage"):
            super().serve_batch(asker, id)
