"""Vertices on their way into the order: those that can wait a moment are judged together, which costs a third.

A quorum changes what a seat may do, its single vertices do not. So they are gathered until they complete a round, one
of them is asked for or brings work to an idle seat, or the first has waited long enough.
"""

from __future__ import annotations

from typing import NamedTuple

from octra.consensus.dag.state import DagState
from octra.consensus.vertex import Vertex
from octra.primitives import NodeId

GATHER_SEAT_MS = 2  # for each seat of the committee: the longest wait, a small part of a round at the idle pace

GATHERED_MAX = 64  # more signatures at once cost hardly less each


class Gathered(NamedTuple):
    """A vertex whose form is good, its frame, who sent it, and the message that it came in."""

    vertex: Vertex
    frame: bytes
    peer: NodeId
    message: object


class Gathering:
    """What waits, in the order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, bytes], Gathered] = {}  # a false signature does not keep the right one out
        self._authors: dict[int, set[int]] = {}  # round -> whose vertices wait
        self._since_ms = 0
        self._hurried = False

    def add(self, item: Gathered, state: DagState, now_ms: int) -> None:
        """One more; twice the same is once."""
        vertex = item.vertex
        if not self._waiting:
            self._since_ms = now_ms
        self._waiting.setdefault((vertex.id, vertex.signature), item)
        self._authors.setdefault(vertex.round, set()).add(vertex.author)
        self._hurried = self._hurried or state.is_awaited(vertex)

    @property
    def is_full(self) -> bool:
        """Is it time to look before more is added?"""
        return len(self._waiting) >= GATHERED_MAX

    def is_due(self, state: DagState) -> bool:
        """Is there a reason to look now?"""
        return self._hurried or any(state.reaches_quorum(round, authors) for round, authors in self._authors.items())

    def due_ms(self, seats: int) -> int | None:
        """When to look in any case, by the clock of `add`; None if nothing waits."""
        return self._since_ms + GATHER_SEAT_MS * seats if self._waiting else None

    def take(self) -> list[Gathered]:
        """All that waits."""
        taken = list(self._waiting.values())
        self._waiting.clear()
        self._authors.clear()
        self._hurried = False
        return taken
