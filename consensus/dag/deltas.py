"""Which deltas are certain: the executions that seats publish, counted, and how long one waits for enough of them."""

from __future__ import annotations

from octra.consensus.effects import DeltaCertified, DeltaOverdue, Effect
from octra.consensus.epoch import Committee
from octra.consensus.limits import DELTA_RUN, DELTA_WAIT_ROUNDS, ROOTS_KEPT
from octra.consensus.vertex import EXECUTED, NO_DELTA, Vertex


class DeltaTally:
    """Counts who says to have executed a height with which result. Only executions count: who has applied a delta
    repeats what others found, and f liars with all their believers must not look like f + 1 witnesses."""

    def __init__(self, committee: Committee, head: int) -> None:
        """`head`: the height up to which the own node has executed."""
        self._needed = committee.faults + 1
        self._head = head
        self._ordered: dict[int, int] = {}  # height that waits -> round in which it was ordered
        self._claims: dict[int, dict[int, tuple[bytes, bytes]]] = {}  # height -> seat -> (block id, delta id)
        self._certified: set[int] = set()
        self._overdue = 0

    def heard(self, vertex: Vertex) -> list[Effect]:
        """A seat's vertex was inserted. Of one seat and height the first claim counts."""
        height, execution = vertex.header.height, vertex.body.execution
        if execution.mode != EXECUTED or execution.delta_id == NO_DELTA:
            return []
        if not self._head < height < self._head + ROOTS_KEPT:
            return []
        claims = self._claims.setdefault(height, {})
        if vertex.author in claims:
            return []
        claim = claims[vertex.author] = (vertex.header.block_id, execution.delta_id)
        seats = tuple(sorted(seat for seat, other in claims.items() if other == claim))
        if len(seats) < self._needed or height in self._certified:
            return []
        self._certified.add(height)
        return [DeltaCertified(height, *claim, seats)]

    def ordered(self, height: int, round: int) -> None:
        """The block of this height came into the order in this round of ours."""
        if height > self._head:
            self._ordered.setdefault(height, round)

    def executed(self, height: int) -> None:
        """The own node has stored this height, in whichever way."""
        self._head = height
        self._ordered = {above: round for above, round in self._ordered.items() if above > height}
        self._claims = {above: claims for above, claims in self._claims.items() if above > height}
        self._certified = {above for above in self._certified if above > height}

    def round_reached(self, round: int) -> list[Effect]:
        """Tell once of a next height for which no certain delta has come in time, or none can come any more.

        Patience begins when a height is ordered, not when its turn comes: rounds order several blocks each, and a
        node that waited for one after the other would fall behind for ever.
        """
        height = self._head + 1
        since = self._ordered.get(height)
        if since is None or height == self._overdue:
            return []
        if any(top < height + DELTA_RUN for top in self._certified):
            return []  # it is in the run that this claim names
        if round < since + DELTA_WAIT_ROUNDS and not self._certified:
            return []
        self._overdue = height
        return [DeltaOverdue(height)]
