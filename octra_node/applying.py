"""Which blocks a node may apply instead of executing them, and how it gets their deltas.

Where execution is split, f + 1 seats have the duty to execute (`consensus.graph.executors`); the others wait until
f + 1 executions agree, ask one of those seats for the bytes, and check them against what was agreed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from octra.codec import decode
from octra.consensus.effects import DeltaCertified
from octra.consensus.errors import InvalidDelta
from octra.consensus.graph import executors, rechecks
from octra.consensus.ledger.delta import Delta, admit_delta, run_id
from octra.consensus.limits import DELTA_BYTES_MAX, DELTA_RUN, DELTAS_KEPT
from octra.consensus.vertex import NO_DELTA
from octra.errors import InvalidInput, Unavailable
from octra.node.config import Execution
from octra.node.p2p.messages import DeltaPart, DeltaRequest
from octra.node.parts import Parts
from octra.primitives import NodeId

Ask = Callable[[NodeId, DeltaRequest], Awaitable[bytes]]  # raises `Unavailable`


@dataclass(frozen=True, slots=True)
class CertifiedRun:
    """What f + 1 seats found for the heights up to `top`, and who they are."""

    top: int
    run_id: bytes
    publishers: tuple[NodeId, ...]  # in the order in which they are asked

    @property
    def first(self) -> int:
        """The lowest height that it names."""
        return max(1, self.top - DELTA_RUN + 1)


@dataclass(frozen=True, slots=True)
class CertainDelta:
    """A delta that may be applied."""

    id: bytes
    data: bytes
    delta: Delta


@dataclass(frozen=True, slots=True)
class Fetched:
    """The end of a question for the deltas of a run: those that came and were right."""

    asked: range  # heights
    deltas: dict[int, CertainDelta]
    giver: NodeId | None  # who gave the last of them
    failed: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet; `fetch`: these deltas are certain and should be asked for now."""

    fetch: CertifiedRun | None = None


@dataclass(frozen=True, slots=True)
class ExecuteIt:
    """The block is to be executed here."""


class Chooser:
    """For each next height: execute, apply, or wait. Used by the ledger actor alone."""

    def __init__(self, parts: Parts) -> None:
        self._seating, self._node = parts.seating, parts.facts.keys.node_id
        self.split = parts.facts.config.node.execution is Execution.SPLIT
        self._runs: dict[int, CertifiedRun] = {}
        self._deltas: dict[int, CertainDelta] = {}
        self._own: set[int] = set()  # heights that are executed whatever others publish
        self._asked: set[int] = set()  # tops of runs
        self._slow: set[NodeId] = set()  # seats whose last answer was none, or a wrong one

    def certified(self, effect: DeltaCertified) -> None:
        """f + 1 seats agree on a height. Each node asks another of them first, and those that failed it last."""
        seats = self._seating.committee.seats
        turn = (self._seating.seat or 0) % len(effect.seats)
        order = [seats[seat] for seat in (*effect.seats[turn:], *effect.seats[:turn]) if seats[seat] != self._node]
        publishers = tuple(sorted(order, key=lambda node: node in self._slow))
        self._runs[effect.height] = CertifiedRun(effect.height, effect.delta_id, publishers)

    def give_up(self, *heights: int) -> None:
        """No delta comes in time, or it cannot be had, or it does not fit: execute these."""
        self._own.update(heights)

    def arrived(self, fetched: Fetched) -> None:
        """What became of a question; what did not come is executed."""
        self._deltas |= fetched.deltas
        self._slow = self._slow - {fetched.giver} | set(fetched.failed)
        self.give_up(*(height for height in fetched.asked if height not in fetched.deltas))

    def done(self, height: int) -> None:
        """This height is stored; nothing up to it matters any more."""
        for table in (self._runs, self._deltas):
            for old in [old for old in table if old <= height]:
                del table[old]
        self._own = {kept for kept in self._own if kept > height}
        self._asked = {kept for kept in self._asked if kept > height}

    def choose(self, height: int) -> ExecuteIt | CertainDelta | Wait:
        """What to do with the next block."""
        if not self.split or height in self._own or self._has_duty(height):
            return ExecuteIt()
        if height in self._deltas:
            return self._deltas[height]
        if any(top >= height + DELTAS_KEPT for top in self._runs):
            return ExecuteIt()  # nobody has the bytes any more
        named = (run for run in self._runs.values() if run.first <= height <= run.top)  # news may come too late
        run = min(named, key=lambda run: run.top, default=None)
        if run is None or run.top in self._asked:
            return Wait()
        self._asked.add(run.top)
        return Wait(run)

    def _has_duty(self, height: int) -> bool:
        committee, seat = self._seating.committee, self._seating.seat
        if seat is None:
            return rechecks(committee.anchor, self._node, height)
        return seat in executors(committee.anchor, committee.size, height)


async def fetch_run(run: CertifiedRun, first: int, ask: Ask) -> Fetched:
    """Ask for the deltas of `first` .. `run.top`, one publisher after the other; who fails is not asked again.

    f + 1 published them: an honest one has them, or has forgotten them or is away, and then they are missing.
    """
    asked = range(first, run.top + 1)
    left = list(run.publishers)
    failed: list[NodeId] = []
    deltas: dict[int, CertainDelta] = {}
    ids: tuple[bytes, ...] = ()
    for height in reversed(asked):  # the top has a delta, and with it come the ids of all
        while left and height not in deltas:
            if ids and ids[height - run.first] == NO_DELTA:
                break  # that block was too large for one
            try:
                ids, data = await _fetch(run, height, left[0], ask)
                id = ids[height - run.first]
                delta = admit_delta(data, id, height)
            except (Unavailable, InvalidInput):
                failed.append(left.pop(0))
            else:
                deltas[height] = CertainDelta(id, data, delta)
    return Fetched(asked, deltas, left[0] if left else None, tuple(failed))


async def _fetch(run: CertifiedRun, height: int, publisher: NodeId, ask: Ask) -> tuple[tuple[bytes, ...], bytes]:
    """The run's ids and the bytes of one delta, part after part.

    Raises `InvalidDelta` as soon as an answer cannot be what was agreed.
    """
    data, size = b"", 1
    ids: tuple[bytes, ...] = ()
    while len(data) < size:
        part = decode(await ask(publisher, DeltaRequest(run.top, height, len(data))), DeltaPart)
        ids, size = part.ids, part.size
        if len(ids) != run.top - run.first + 1 or run_id(ids) != run.run_id:
            raise InvalidDelta("another run than the certified one")
        if not part.data or len(data) + len(part.data) > size or size > DELTA_BYTES_MAX:
            raise InvalidDelta("parts that make no delta")
        data += part.data
    return ids, data
