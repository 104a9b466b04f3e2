"""Seats whose vertices are valid, and wrong in what they say or whom they are shown to."""

from __future__ import annotations

from msgspec.structs import replace
from ordering.disk import SimBatch
from ordering.node import SimNode
from ordering.world import sign_vertex

from octra.consensus import limits
from octra.consensus.effects import CommitDraft, Propose
from octra.consensus.graph import attestors
from octra.consensus.vertex import (
    EXECUTED,
    BatchRef,
    ParentLink,
    Vertex,
    VertexBody,
    VertexHeader,
    WeakLink,
    seal_vertex,
)
from octra.crypto.hash import H


class Liar(SimNode):
    """One vertex per round, but with something wrong in it or about it. `lie` says what."""

    honest = False

    def seal(self, order: Propose) -> Vertex:
        header, body = self.lie(order.header, order.body)
        return seal_vertex(header, body, self.coin_share(order), sign_vertex(self.world.keys, self.seat))

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        """What goes into the vertex instead of what the core proposes."""
        return header, body

    def coin_share(self, order: Propose) -> bytes:
        """The share that goes into the vertex."""
        return self.world.keys.share(self.seat, order.coin_round) if order.coin_round else b""


# --- shown to some, or late ---


class RevealsToF(Liar):
    """Shows each vertex to as many seats as the adversary has, and to nobody who asks later."""

    def broadcast(self, vertex: Vertex) -> None:
        others = [seat for seat in range(self.committee.size) if seat != self.seat]
        for peer in self.world.random.sample(others, self.audience()):
            self.send_vertex(peer, vertex)

    def audience(self) -> int:
        """How many seats see a vertex."""
        return self.committee.faults

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        pass

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        pass


class RevealsToFPlusOne(RevealsToF):
    """Shows each vertex to f + 1 seats."""

    def audience(self) -> int:
        return self.committee.faults + 1


class RevealsToQMinusOne(RevealsToF):
    """Shows each vertex to q - 1 seats: one short of a quorum."""

    def audience(self) -> int:
        return self.committee.quorum - 1


class StaleParents(Liar):
    """Holds each vertex back for some rounds: when it is seen, its parents are old."""

    delay_ms = (400, 1_200)

    def broadcast(self, vertex: Vertex) -> None:
        self.world.at(self.world.random.randrange(*self.delay_ms), super().broadcast, vertex)


class LateCoinShare(StaleParents):
    """Shows its coin share when the others of that round have just shown theirs."""

    delay_ms = (60, 250)


class ReleasedLate(Liar):
    """Hides a vertex that its later ones link to, and shows it to some seats just before the floor passes it."""

    hidden: Vertex | None = None

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        hidden = self.hidden
        if hidden is None:
            return header, body
        parents = tuple(link for link in body.parents if link.id != hidden.id)
        if 2 <= header.round - hidden.round <= limits.WEAK_ROUNDS and len(parents) >= self.committee.quorum:
            return header, replace(body, parents=parents, weak=(WeakLink(hidden.round, self.seat, hidden.id),))
        return header, body

    def broadcast(self, vertex: Vertex) -> None:
        hidden = self.hidden
        if hidden is None and vertex.round > 2:
            self.hidden = vertex
            return
        if hidden is not None and vertex.round >= hidden.round + limits.GC_ROUNDS - self.world.random.randrange(6):
            for peer in self.world.random.sample(range(self.committee.size), self.committee.faults + 1):
                self.send_vertex(peer, hidden)
            self.hidden = None
        super().broadcast(vertex)

    def serve_vertices(self, asker: int, ids: tuple[bytes, ...]) -> None:
        hidden = self.hidden
        super().serve_vertices(asker, tuple(id for id in ids if hidden is None or id != hidden.id))

    def serve_range(self, asker: int, from_round: int, to_round: int) -> None:
        pass


# --- links ---


class StarvesOne(Liar):
    """Never links to the vertices of one honest seat, nor attests its batches."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        victim = next(node.seat for node in self.world.nodes if node.honest)
        parents = tuple(link for link in body.parents if link.author != victim)
        weak = tuple(link for link in body.weak if link.author != victim)
        theirs = {SimBatch(victim, number).id for number in range(self.world.scenario.batches_per_seat)}
        attested = tuple(id for id in body.attested if id not in theirs)
        if header.round > 1 and len(parents) < self.committee.quorum:
            return header, body
        return header, replace(body, parents=parents, weak=weak, attested=attested)


class OnlyQParents(Liar):
    """Links to as few vertices as it may, others each time."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        parents = self.world.random.sample(body.parents, len(body.parents))
        return header, replace(body, parents=tuple(parents[: self.committee.quorum]), weak=())


class UnknownParents(Liar):
    """Now and then one of its parents does not exist."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        random = self.world.random
        if not body.parents or random.random() < 0.5:
            return header, body
        last = body.parents[-1]
        return header, replace(body, parents=(*body.parents[:-1], ParentLink(last.author, random.randbytes(32))))


class DanglingLinks(Liar):
    """Weak links to nothing."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        return header, self._dangle(body, header.round, self.world.random.randbytes(32))

    def _dangle(self, body: VertexBody, round: int, id: bytes) -> VertexBody:
        random = self.world.random
        if round < 4 or random.random() < 0.5:
            return body
        lowest = max(1, round - limits.WEAK_ROUNDS, self.state.floor + 1)
        author = random.randrange(self.committee.size)
        return replace(body, weak=(WeakLink(random.randrange(lowest, round - 1), author, id),))


class MismatchedLinks(DanglingLinks):
    """Weak links to real vertices under a wrong author or round: missing for ever, and never invalid."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        if header.round < 4:
            return header, body
        return header, self._dangle(body, header.round, self.world.random.choice(body.parents).id)


class FutureRounds(Liar):
    """Besides its own vertices, some of rounds that nobody has reached."""

    def broadcast(self, vertex: Vertex) -> None:
        super().broadcast(vertex)
        random = self.world.random
        header = replace(vertex.header, round=vertex.round + random.choice((5, 40, 64, 1_000)))
        parents = tuple(ParentLink(seat, random.randbytes(32)) for seat in range(self.committee.size))
        body = replace(vertex.body, parents=parents, weak=())
        super().broadcast(seal_vertex(header, body, bytes(48), sign_vertex(self.world.keys, self.seat)))


# --- coin, clocks, roots ---


class BadCoinShare(Liar):
    """Its coin shares are noise."""

    def coin_share(self, order: Propose) -> bytes:
        return self.world.random.randbytes(len(super().coin_share(order)))


class ClockAhead(Liar):
    """Its clock is at the end of time."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        return replace(header, time_ms=2**48 - 1), body


class ClockBehind(Liar):
    """Its clock stands at zero."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        return replace(header, time_ms=0), body


class WrongRoot(Liar):
    """Publishes another state than the one that its blocks give; all seats with this habit publish the same."""

    def execute(self, parent_root: bytes, draft: CommitDraft) -> bytes:
        return H("sim.root", b"lie", draft.leader)


class WrongDelta(WrongRoot):
    """Publishes the deltas of its false states as executed: f colluders are one too few to be believed."""

    def way(self, height: int) -> int | None:
        return EXECUTED


# --- batches ---


class NoBytes(Liar):
    """References batches that nobody has."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        made_up = BatchRef(self.world.random.randbytes(32), 1, 100)
        return header, replace(body, batches=(made_up, *body.batches[: limits.BATCH_REFS_MAX - 1]))


class ClaimsForeignBatches(Liar):
    """References the batches of an honest seat as its own."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        victim = (self.seat + 1) % self.committee.size
        number = self.world.random.randrange(self.world.scenario.batches_per_seat)
        stolen = BatchRef(SimBatch(victim, number).id, 1, 100)
        return header, replace(body, batches=(stolen, *body.batches[: limits.BATCH_REFS_MAX - 1]))


class AttestsUnseen(Liar):
    """Vouches for every batch that there may ever be."""

    good = (True,)

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        known = [
            SimBatch(seat, number, good).id
            for seat in range(self.committee.size)
            for number in range(self.world.scenario.batches_per_seat)
            for good in self.good
        ]
        return header, replace(body, attested=tuple(sorted(known)[: limits.ATTESTED_MAX]))


class AttestsNothing(Liar):
    """Vouches for no batch of others."""

    def lie(self, header: VertexHeader, body: VertexBody) -> tuple[VertexHeader, VertexBody]:
        return header, replace(body, attested=())


class InvalidBatches(Liar):
    """References batches that do not pass their check."""

    def make_batch(self, number: int) -> None:
        if not self.running:
            return
        batch = SimBatch(self.seat, number, good=False)
        self.disk.batches[batch.id] = batch
        self.send_batch(batch)
        assert self.state.own is not None
        self.state.own.queue[batch.id] = BatchRef(batch.id, 1, 100)  # unchecked, which no honest core would do


class AttestsInvalid(InvalidBatches, AttestsUnseen):
    """Vouches for the invalid batches of all seats with this habit, too: f vouchers, one short of maturity."""

    good = (True, False)


class BytesToNeighbours(Liar):
    """Sends the bytes of its batches only to those who check them; the others must ask around."""

    def send_batch(self, batch: SimBatch) -> None:
        for peer in self._neighbours():
            self.world.send(self.seat, peer, self.world.nodes[peer].receive_batch, batch)

    def serve_batch(self, asker: int, id: bytes) -> None:
        pass

    def _neighbours(self) -> tuple[int, ...]:

        return attestors(self.committee.anchor, self.committee.size, self.seat)[: self.committee.faults + 1]
