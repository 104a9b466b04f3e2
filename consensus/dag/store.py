"""The DAG in memory: inserts vertices whose links are present, keeps others waiting, and knows who supports whom.

A link is the triple (round, author, id). An id that resolves to another round or author counts as missing, never as
invalid: floors differ between honest seats, so only a vertex's own bytes may condemn it.
"""

from __future__ import annotations

from collections.abc import Iterator

from octra.consensus import limits
from octra.consensus.vertex import ParentLink, Vertex

_NONE: set[ParentLink] = set()
Row = list["Entry | None"]  # by author: the vertex of one round that an entry supports


class Entry:
    """An inserted vertex with its links resolved. `support[d]` is the row of the round d + 1 below its own."""

    __slots__ = ("author", "certificates", "covered", "id", "links", "parents", "round", "support", "vertex")

    def __init__(self, vertex: Vertex, parents: list[Entry], weak: list[Entry], size: int) -> None:
        self.vertex = vertex
        self.id, self.round, self.author = vertex.id, vertex.round, vertex.author
        self.parents = parents
        self.links = parents + weak  # in stored order: support and votes depend on it
        self.support = [_linked(self, size)]
        self.support += [_support(self, self.round - depth, size) for depth in range(2, limits.VOTE_DEPTH + 1)]
        self.certificates: dict[int, Entry | None] = {}  # by author, filled by the rule when asked
        self.covered = False  # in the cone of our own last vertex

    def supported(self, round: int, author: int) -> Entry | None:
        """The vertex of (round, author) that this entry supports; None is blame. Rounds r - 3 .. r - 1 are known."""
        return self.support[self.round - round - 1][author]

    def release(self) -> None:
        """Forget the links, so that dropping an entry frees all below it."""
        self.parents, self.links, self.support, self.certificates = [], [], [], {}


def _linked(entry: Entry, size: int) -> Row:
    """Of the round just below, what the entry links to itself; the first of an author wins."""
    row: Row = [None] * size
    for parent in reversed(entry.parents):
        row[parent.author] = parent
    return row


def _support(entry: Entry, target: int, size: int) -> Row:
    """Walk the links in stored order; the first vertex found for an author wins."""
    row: Row = [None] * size
    open_ = list(range(size))  # authors without a vertex so far
    for link in entry.links:
        if link.round == target:
            if row[link.author] is None:
                row[link.author] = link
                open_.remove(link.author)
        elif link.round > target:
            inherited = link.support[link.round - target - 1]
            if len(open_) == size:
                row = inherited.copy()
            else:
                for author in open_:
                    row[author] = inherited[author]
            open_ = [author for author in open_ if row[author] is None]
        if not open_:
            break
    return row


class Link:
    """Where a vertex points: resolved only by a vertex of exactly this round and author."""

    __slots__ = ("author", "id", "round")

    def __init__(self, round: int, author: int, id: bytes) -> None:
        self.round, self.author, self.id = round, author, id


class Store:
    """All inserted vertices above the floor, and those that wait for a link."""

    def __init__(self, size: int, quorum: int) -> None:
        self.size, self.quorum = size, quorum
        self.floor = 0
        self.entries: dict[bytes, Entry] = {}  # in order of insertion
        self.rounds: dict[int, dict[int, list[Entry]]] = {}  # round -> author -> twins in order of insertion
        self.uncovered: dict[int, int] = {}  # round -> entries outside the cone of our own last vertex
        self._present: dict[int, set[ParentLink]] = {}  # round -> the links that its entries resolve
        self.quorum_round = 0  # highest round with vertices of q authors
        self.highest_round = 0
        self.waiting: dict[bytes, Vertex] = {}
        self._waiters: dict[bytes, list[bytes]] = {}  # missing id -> vertices that link to it
        self._lacks: dict[bytes, set[bytes]] = {}  # waiting id -> its missing ids
        self._waiting_at: dict[tuple[int, int], int] = {}  # (round, author) -> how many wait

    def __contains__(self, id: bytes) -> bool:
        return id in self.entries

    def at(self, round: int) -> Iterator[Entry]:
        """Entries of a round, by author in order of first insertion."""
        for twins in self.rounds.get(round, {}).values():
            yield from twins

    def authors(self, round: int) -> dict[int, list[Entry]]:
        """Who is present in a round, in order of first insertion."""
        return self.rounds.get(round, {})

    def is_wanted(self, id: bytes) -> bool:
        """Does a waiting vertex link to it?"""
        return id in self._waiters

    def has_room(self, vertex: Vertex) -> bool:
        """Twins beyond the second are kept only for a vertex that needs them; the number of waiters is bounded."""
        if self.is_wanted(vertex.id):
            return True
        here = (vertex.round, vertex.author)
        held = len(self.authors(vertex.round).get(vertex.author, ())) + self._waiting_at.get(here, 0)
        return held < limits.TWINS_STORED and len(self.waiting) < self.size * limits.AHEAD_ROUNDS * limits.TWINS_STORED

    def other_vertex(self, vertex: Vertex) -> Vertex | None:
        """A different vertex of the same author and round, if one is held: together they prove equivocation."""
        for twin in self.authors(vertex.round).get(vertex.author, ()):
            if twin.id != vertex.id:
                return twin.vertex
        if self._waiting_at.get((vertex.round, vertex.author)):
            for other in self.waiting.values():
                if (other.round, other.author) == (vertex.round, vertex.author) and other.id != vertex.id:
                    return other
        return None

    def missing(self, vertex: Vertex) -> list[Link]:
        """Links above the floor that no entry resolves."""
        found: list[Link] = []
        below = vertex.round - 1
        if below > self.floor:
            present = self._present.get(below, _NONE)
            if not present.issuperset(vertex.body.parents):  # mostly it is, and this way costs least to know
                found += [Link(below, link.author, link.id) for link in vertex.body.parents if link not in present]
        for weak in vertex.body.weak:
            if weak.round > self.floor:
                present = self._present.get(weak.round, _NONE)
                if ParentLink(weak.author, weak.id) not in present:
                    found.append(Link(weak.round, weak.author, weak.id))
        return found

    def receive(self, vertex: Vertex) -> list[Entry]:
        """Insert a vertex and all that waited for it, in a fixed order; or keep it waiting and insert nothing."""
        assert vertex.round > self.floor
        inserted: list[Entry] = []
        queue = [vertex]
        for candidate in queue:  # grows while we walk
            if candidate.id in self.entries:
                continue
            missing = self.missing(candidate)
            if missing:
                self._wait(candidate, missing)
                continue
            inserted.append(self._insert(candidate))
            queue += self._freed_by(candidate.id)
        return inserted

    def raise_floor(self, floor: int) -> list[Vertex]:
        """Drop all at or below the new floor; returns the waiting vertices that are complete now."""
        if floor <= self.floor:
            return []
        for round in range(self.floor + 1, floor + 1):
            self._present.pop(round, None)
            self.uncovered.pop(round, None)
            for twins in self.rounds.pop(round, {}).values():
                for entry in twins:
                    del self.entries[entry.id]
                    entry.release()
        self.floor = floor
        for vertex in [vertex for vertex in self.waiting.values() if vertex.round <= floor]:
            self._stop_waiting(vertex)
        ready = []
        for vertex in self.waiting.values():
            if vertex.round - limits.WEAK_ROUNDS > floor:
                continue  # all its links are above the floor, as they were
            missing = self.missing(vertex)
            self._wait_for(vertex, missing)
            if not missing:
                ready.append(vertex)
        wanted = {id for lacks in self._lacks.values() for id in lacks}
        self._waiters = {id: waiters for id, waiters in self._waiters.items() if id in wanted}
        return ready

    def cover(self, top: Entry) -> None:
        """Mark the cone of our own vertex; what is marked already has a marked cone."""
        stack = [] if top.covered else [top]
        top.covered = True
        for entry in stack:  # grows while we walk
            if entry.round in self.uncovered:
                self.uncovered[entry.round] -= 1
            for link in entry.links:
                if not link.covered:
                    link.covered = True
                    stack.append(link)

    def cone(self, top: Entry, above: int, skip: dict[bytes, bool]) -> list[Entry]:
        """Entries reachable from `top`, itself included, in rounds > `above`, not walking into `skip`."""
        seen = {top.id}
        found = [top]
        for entry in found:  # grows while we walk
            for link in entry.links:
                if link.round > above and link.id not in seen and link.id not in skip:
                    seen.add(link.id)
                    found.append(link)
        return found

    def _insert(self, vertex: Vertex) -> Entry:
        self._stop_waiting(vertex)
        floor = self.floor
        parents = [self.entries[link.id] for link in vertex.body.parents] if vertex.round - 1 > floor else []
        weak = [self.entries[link.id] for link in vertex.body.weak if link.round > floor]
        entry = Entry(vertex, parents, weak, self.size)
        self.entries[entry.id] = entry
        authors = self.rounds.setdefault(entry.round, {})
        authors.setdefault(entry.author, []).append(entry)
        self._present.setdefault(entry.round, set()).add(ParentLink(entry.author, entry.id))
        self.uncovered[entry.round] = self.uncovered.get(entry.round, 0) + 1
        if len(authors) >= self.quorum and entry.round > self.quorum_round:
            self.quorum_round = entry.round
        self.highest_round = max(self.highest_round, entry.round)
        return entry

    def _wait(self, vertex: Vertex, missing: list[Link]) -> None:
        if vertex.id not in self.waiting:
            self.waiting[vertex.id] = vertex
            here = (vertex.round, vertex.author)
            self._waiting_at[here] = self._waiting_at.get(here, 0) + 1
        self._wait_for(vertex, missing)

    def _wait_for(self, vertex: Vertex, missing: list[Link]) -> None:
        self._lacks[vertex.id] = {link.id for link in missing}
        for link in missing:
            waiters = self._waiters.setdefault(link.id, [])
            if vertex.id not in waiters:
                waiters.append(vertex.id)

    def _freed_by(self, id: bytes) -> list[Vertex]:
        """Waiting vertices for which `id` was the last that they lacked."""
        freed = []
        for waiter in self._waiters.pop(id, ()):
            lacks = self._lacks.get(waiter)
            if lacks is not None:
                lacks.discard(id)
                if not lacks:
                    freed.append(self.waiting[waiter])
        return freed

    def _stop_waiting(self, vertex: Vertex) -> None:
        if self.waiting.pop(vertex.id, None) is None:
            return
        del self._lacks[vertex.id]
        here = (vertex.round, vertex.author)
        self._waiting_at[here] -= 1
        if not self._waiting_at[here]:
            del self._waiting_at[here]
