"""Which deltas are certain: the executions that seats publish, counted, and how long one waits for enough of them."""

from __future__ import annotations

from octra.consensus.effects import DeltaCertified, DeltaOverdue, Effect
from octra.consensus.epoch import Committee
from octra.consensus.limits import DELTA_LAG_ROUNDS, DELTA_RUN, DELTA_STEP, DELTA_WAIT_ROUNDS, ROOTS_KEPT
from octra.consensus.vertex import EXECUTED, NO_DELTA, Vertex


def run_top(height: int) -> int:
    """The last height of the run that a seat publishes whose head is `height`; 0: none yet."""
    return height - height % DELTA_STEP


class DeltaTally:
    """Counts who says to have executed a height with which result. Only executions count: who has applied a delta
    repeats what others found, and f liars with all their believers must not look like f + 1 witnesses."""

    def __init__(self, committee: Committee, head: int) -> None:
        """`head`: the height up to which the own node has executed."""
        self._needed = committee.faults + 1
        self._head = head
        self._ordered: dict[int, int] = {}  # height that waits -> round in which it was ordered
        self._claims: dict[int, dict[int, bytes]] = {}  # top of a run -> seat -> its name
        self._certified: set[int] = set()
        self._progress = 0  # round in which a delta became certain last
        self._overdue = 0
        self._closed = False

    def heard(self, vertex: Vertex) -> list[Effect]:
        """A seat's vertex was inserted. Of one seat and run the first claim counts."""
        top, execution = run_top(vertex.header.height), vertex.body.execution
        if execution.mode != EXECUTED or execution.delta_id == NO_DELTA:
            return []
        if not self._head < top < self._head + ROOTS_KEPT:
            return []
        claims = self._claims.setdefault(top, {})
        if vertex.author in claims:
            return []
        claims[vertex.author] = execution.delta_id
        seats = tuple(sorted(seat for seat, other in claims.items() if other == execution.delta_id))
        if len(seats) < self._needed or top in self._certified:
            return []
        self._certified.add(top)
        self._progress = max(self._progress, vertex.round)
        return [DeltaCertified(top, execution.delta_id, seats)]

    def ordered(self, height: int, round: int) -> None:
        """The block of this height came into the order in this round of ours."""
        if height > self._head:
            self._ordered.setdefault(height, round)

    def closed(self) -> None:
        """The last block of the epoch is in the order. Others may leave, and no round come that one could wait for."""
        self._closed = True

    def executed(self, height: int) -> None:
        """The own node has stored this height, in whichever way."""
        self._head = height
        self._ordered = {above: round for above, round in self._ordered.items() if above > height}
        self._claims = {above: claims for above, claims in self._claims.items() if above > height}
        self._certified = {above for above in self._certified if above > height}

    def round_reached(self, round: int) -> list[Effect]:
        """Tell once of a next height for which no certain delta has come in time, or none can come any more.

        Patience begins when a height's run is ordered, not when its turn comes: rounds order several blocks each, and a
        node that waited for one after the other would fall behind for ever. It is longer while deltas come: then the
        executors are busy, and would not be faster if all others did the same work.
        """
        height = self._head + 1
        ordered = self._ordered.get(height)
        if ordered is None or height == self._overdue:
            return []
        if any(top < height + DELTA_RUN for top in self._certified):
            return []  # it is in the run that this claim names
        since = self._ordered.get(run_top(height + DELTA_STEP - 1), ordered + DELTA_STEP)
        patience = min(max(since, self._progress) + DELTA_WAIT_ROUNDS, since + DELTA_LAG_ROUNDS)
        if round < patience and not self._certified and not self._closed:
            return []
        self._overdue = height
        return [DeltaOverdue(height)]
