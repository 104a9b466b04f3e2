"""What we miss and whom to ask: single vertices, batches, and whole ranges when we lag. Repeats with back-off."""

from __future__ import annotations

from octra.consensus import limits
from octra.consensus.dag.store import Link
from octra.consensus.effects import Effect, FetchBatch, FetchRange, FetchVertices
from octra.primitives import NodeId


class Want:
    """One missing object: whose vertex needs it, who may have it, and when to ask next."""

    __slots__ = ("asked", "asked_ms", "attempts", "due_ms", "needed_by", "peers", "round")

    def __init__(self, round: int, needed_by: int, peers: list[NodeId], now_ms: int) -> None:
        self.round, self.needed_by, self.peers, self.due_ms = round, needed_by, peers, now_ms
        self.attempts = 0
        self.asked: NodeId | None = None  # who was asked last
        self.asked_ms = 0

    def ask(self, peer: NodeId, now_ms: int) -> None:
        """This peer is asked now; set the time for the one after him."""
        self.asked, self.asked_ms = peer, now_ms
        # Every peer is asked once before the pause grows: a silent first peer must not cost more than 50 ms.
        doubled = min(self.attempts // len(self.peers), 16)
        self.due_ms = now_ms + min(limits.FETCH_FIRST_MS << doubled, limits.FETCH_LAST_MS)
        self.attempts += 1


class Sync:
    """The open questions of a node. Peers are tried in a fixed order: who told us, the author, then all seats."""

    def __init__(self, seats: tuple[NodeId, ...], own_seat: int | None) -> None:
        self._seats = [node for number, node in enumerate(seats) if number != own_seat]
        self._nodes = seats
        self._own = None if own_seat is None else seats[own_seat]
        self.vertices: dict[bytes, Want] = {}
        self.batches: dict[bytes, Want] = {}
        self._seen = [0] * len(seats)  # per seat: highest round of its vertices that reached us
        self._ranked = self._seen  # the same, highest first
        self._next_ms = 0  # no want is due before
        self._range: tuple[NodeId, int, int] | None = None  # peer, last round asked for, when to ask another
        self._range_attempts = own_seat or 0  # not everybody asks the same peer first
        self._range_progress = 0
        self._ahead: dict[NodeId, None] = {}  # peers whose epoch is a later one
        self._ahead_due_ms = 0

    def saw(self, seat: int, round: int) -> None:
        """A vertex of this seat and round exists."""
        if round > self._seen[seat]:
            self._seen[seat] = round
            self._ranked = sorted(self._seen, reverse=True)

    def reached_round(self, faults: int) -> int:
        """A round that an honest seat has reached: f liars cannot raise it."""
        return self._ranked[faults]

    def later_epoch_seen(self, peer: NodeId, now_ms: int) -> None:
        """This peer has left our epoch, so he holds all that we need for it. We may be about to leave by ourselves."""
        if not self._ahead:
            self._ahead_due_ms = now_ms + limits.BEHIND_MS
        if len(self._ahead) < limits.BEHIND_PEERS:
            self._ahead[peer] = None

    def want_vertex(self, link: Link, needed_by: int, sender: NodeId | None, now_ms: int) -> None:
        """A vertex of the seat `needed_by` links to one that we do not hold."""
        if link.id not in self.vertices:
            self.vertices[link.id] = Want(link.round, needed_by, self._candidates(sender, link.author), now_ms)
            self._hurry(now_ms)

    def want_batch(self, id: bytes, round: int, author: int, sender: NodeId | None, now_ms: int) -> None:
        """A vertex references a batch that we do not hold."""
        if id not in self.batches:
            self.batches[id] = Want(round, author, self._candidates(self._nodes[author], author, sender), now_ms)
            self._hurry(now_ms)

    def forget_below(self, floor: int) -> None:
        """Vertices at or below the floor are wanted no more."""
        for id in [id for id, want in self.vertices.items() if want.round <= floor]:
            del self.vertices[id]

    def wake(self, peer: NodeId, now_ms: int) -> None:
        """A link came up: what we asked this peer for may be lost, and silent peers may answer now."""
        for want in (*self.vertices.values(), *self.batches.values()):
            if want.asked == peer:
                want.due_ms = min(want.due_ms, now_ms)
                self._hurry(now_ms)
        if self._range is not None and self._range[0] == peer:
            self._range = None

    def range_ended(self, sender: NodeId) -> None:
        """The peer has answered; the next range may be asked at once."""
        if self._range is not None and self._range[0] == sender:
            self._range = None

    def due(self, now_ms: int, quorum_round: int, decided_round: int, floor: int, faults: int) -> list[Effect]:
        """The questions to ask now."""
        lagging = self.reached_round(faults) - quorum_round > limits.LAG_ROUNDS
        behind = bool(self._ahead) and now_ms >= self._ahead_due_ms
        effects = self._ask_range(now_ms, quorum_round, decided_round, floor) if lagging or behind else []
        if now_ms < self._next_ms:
            return effects
        # While we lag, ranges bring whole rounds: single questions far ahead would only repeat them.
        horizon = quorum_round + (limits.LAG_ROUNDS if lagging else limits.AHEAD_ROUNDS)
        wanted = {id: want for id, want in self.vertices.items() if want.round <= horizon}
        effects += [FetchVertices(peer, tuple(ids)) for peer, ids in self._ask(wanted, now_ms).items()]
        effects += [FetchBatch(peer, id) for peer, ids in self._ask(self.batches, now_ms).items() for id in ids]
        dues = [want.due_ms for want in (*wanted.values(), *self.batches.values())]
        self._next_ms = max(now_ms + self._pause_ms(), min(dues, default=now_ms + limits.FETCH_PAUSE_MS))
        return effects

    def next_ms(self, now_ms: int) -> int | None:
        """When to look at the open questions again; None without any."""
        return max(now_ms, self._next_ms) if self.vertices or self.batches else None

    def _pause_ms(self) -> int:
        """A few questions are asked at once; a long list is not walked for every vertex that comes in."""
        return 1 if len(self.vertices) + len(self.batches) <= limits.FETCH_IN_FLIGHT else limits.FETCH_PAUSE_MS

    def _hurry(self, now_ms: int) -> None:
        self._next_ms = min(self._next_ms, now_ms + self._pause_ms() - 1)

    def _ask(self, wants: dict[bytes, Want], now_ms: int) -> dict[NodeId, list[bytes]]:
        """Whom to ask for what now: each due want turns to its next peer, unless he has enough to answer.

        Seats whose vertices need something take turns, so that one who links to nothing real delays only himself.
        """
        open_questions: dict[NodeId, int] = {}
        for want in wants.values():
            if want.asked is not None and now_ms < min(want.due_ms, want.asked_ms + limits.FETCH_OPEN_MS):
                open_questions[want.asked] = open_questions.get(want.asked, 0) + 1
        asked: dict[NodeId, list[bytes]] = {}
        for id, want in _take_turns([(id, want) for id, want in wants.items() if want.due_ms <= now_ms]):
            peer = want.peers[want.attempts % len(want.peers)]
            if open_questions.get(peer, 0) < limits.FETCH_IN_FLIGHT:
                open_questions[peer] = open_questions.get(peer, 0) + 1
                want.ask(peer, now_ms)
                asked.setdefault(peer, []).append(id)
        return asked

    def _ask_range(self, now_ms: int, quorum_round: int, decided_round: int, floor: int) -> list[Effect]:
        if self._range is not None:
            _, last, due_ms = self._range
            if quorum_round < last and now_ms < due_ms:
                return []
        if quorum_round - decided_round > 2 * limits.GC_ROUNDS:
            return []  # coins and decisions must catch up first: memory stays bounded
        if quorum_round <= self._range_progress:
            self._range_attempts += 1  # the last answer did not help: ask another peer
            self._ahead_due_ms = now_ms + limits.BEHIND_MS
        self._range_progress = quorum_round
        peers = list(self._ahead) or self._seats
        peer = peers[self._range_attempts % len(peers)]
        # The ends of an epoch that others have left are not linked to by anything: rounds that we have may lack some.
        first = max(floor + 1, quorum_round - (limits.LAG_ROUNDS if self._ahead else 0))
        last = first + limits.RANGE_ROUNDS - 1
        self._range = (peer, last, now_ms + limits.RANGE_WAIT_MS)
        return [FetchRange(peer, first, last)]

    def _candidates(self, first: NodeId | None, author: int, second: NodeId | None = None) -> list[NodeId]:
        order = [node for node in (first, second, self._nodes[author]) if node is not None]
        others = [node for node in dict.fromkeys((*order, *self._seats)) if node != self._own]
        return others or [self._nodes[author]]  # a committee of one asks its own store


def _take_turns(due: list[tuple[bytes, Want]]) -> list[tuple[bytes, Want]]:
    """Least often asked first, and the needy seats in turns."""
    due.sort(key=lambda item: item[1].attempts)
    taken: dict[int, int] = {}
    turns = []
    for id, want in due:
        turn = taken[want.needed_by] = taken.get(want.needed_by, 0) + 1
        turns.append((turn, id, want))
    turns.sort(key=lambda item: item[0])  # stable
    return [(id, want) for _, id, want in turns]
