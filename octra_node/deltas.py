"""Deltas of the newest blocks: what this node publishes of them, and the bytes that it serves to others."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.dag.deltas import run_top
from octra.consensus.fields import U63, Hash32
from octra.consensus.ledger.delta import run_id
from octra.consensus.limits import DELTA_RUN, DELTAS_BYTES_MAX, DELTAS_KEPT
from octra.consensus.vertex import EXECUTED, NO_DELTA, Execution
from octra.node.actors.ref import RefusalCode
from octra.node.p2p.messages import DeltaPart, DeltaRequest, LedgerMessage
from octra.node.p2p.short import Incoming, body_size_max
from octra.node.p2p.transport import Lane
from octra.storage.kv import Family, ReadView

MARK_KEY = b"deltas"
PART_BYTES = body_size_max(Lane.BULK) - 1_024  # beside the ids of a run


class Mark(Struct, frozen=True, array_like=True):
    """What is known of the deltas up to the head: a row written together with the block."""

    height: U63
    ids: tuple[Hash32, ...]  # up to `DELTA_RUN`, oldest first; fewer where this node has not seen them all
    execution: Execution  # what the own vertices say


def read_mark(store: ReadView, height: int) -> Mark:
    """The mark of the head; an empty one where blocks were stored without deltas."""
    row = store.get(Family.META, MARK_KEY)
    mark = None if row is None else decode(row, Mark)
    return mark if mark is not None and mark.height == height else Mark(height, (), Execution(EXECUTED, NO_DELTA))


def mark_after(mark: Mark, mode: int, id: bytes) -> Mark:
    """The mark of the next height. A run that is not known completely is not published."""
    height, ids = mark.height + 1, (*mark.ids, id)[-DELTA_RUN:]
    if height != run_top(height):
        return Mark(height, ids, mark.execution)
    known = len(ids) == min(height, DELTA_RUN)
    return Mark(height, ids, Execution(mode, run_id(ids) if known else NO_DELTA))


class DeltaShelf:
    """The newest deltas, in memory: after a restart others ask another publisher, or execute.

    Those that were applied are kept, too: the run that a seat publishes reaches below its own duty.
    """

    def __init__(self) -> None:
        self._runs: dict[int, tuple[bytes, ...]] = {}
        self._data: dict[int, bytes] = {}  # ascending heights
        self._size = 0

    def keep(self, mark: Mark, data: bytes) -> None:
        """Serve the delta of the height that was just stored."""
        self._runs[mark.height], self._data[mark.height] = mark.ids, data
        self._size += len(data)
        while len(self._data) > DELTAS_KEPT or self._size > DELTAS_BYTES_MAX:
            oldest = next(iter(self._data))
            self._size -= len(self._data.pop(oldest))
            del self._runs[oldest]

    def serve(self, questions: Sequence[Incoming]) -> None:
        """Answer peers. Raises `Malformed` for what is no question."""
        for question in questions:
            if question.message == LedgerMessage.FETCH_DELTA:
                self._answer(question, decode(question.body, DeltaRequest))
            else:
                question.refuse(RefusalCode.UNKNOWN)

    def _answer(self, question: Incoming, asked: DeltaRequest) -> None:
        run, data = self._runs.get(asked.top), self._data.get(asked.height)
        if run is None or data is None:
            question.refuse(RefusalCode.NOT_FOUND, "a delta that is not kept here")
        elif not 0 <= asked.offset < len(data):
            question.refuse(RefusalCode.INVALID, "beyond the end of the delta")
        else:
            part = data[asked.offset : asked.offset + PART_BYTES]
            question.reply(encode(DeltaPart(run, len(data), part)))
