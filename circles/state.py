"""A Circle's keys as one call sees them: its own writes over those of earlier calls over the committed state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter

from octra.circles import limits
from octra.consensus.ports import CircleView

OK, ABSENT, TOO_SMALL, DENIED, LIMIT, BAD_ARGUMENT = 0, -1, -2, -3, -4, -5

Row = tuple[bytes, bytes]
Writes = dict[bytes, bytes | None]


def entry_size(key: bytes, value: bytes) -> int:
    """What a live key counts against the Circle's stable bytes."""
    return len(key) + len(value) + limits.ENTRY_OVERHEAD


@dataclass(slots=True)
class CircleState:
    """Committed state of one Circle and what earlier calls of the same commit changed in it."""

    view: CircleView
    circle: bytes
    usage: int
    balance: int
    writes: Writes = field(default_factory=dict)
    committed: Writes = field(default_factory=dict)  # what was read of the view: it may be a process away

    def get(self, key: bytes) -> bytes | None:
        if key in self.writes:
            return self.writes[key]
        if key in self.committed:
            return self.committed[key]
        value = self.view.get(self.circle, key)
        if value is None or len(value) <= limits.WORKER_KEPT_VALUE_MAX:
            self.committed[key] = value
        return value

    def commit(self, overlay: Overlay) -> None:
        """Takes over what a successful call did."""
        self.writes.update(overlay.writes)
        self.usage, self.balance = overlay.usage, overlay.balance


class Overlay:
    """What one call reads and writes. Dropping it undoes the call; `diff` is what a success leaves."""

    def __init__(self, state: CircleState, max_stable_bytes: int, balance: int) -> None:
        self.state, self.max_stable_bytes, self.balance = state, max_stable_bytes, balance
        self.usage = state.usage
        self.writes: Writes = {}
        self.written_bytes = 0

    def get(self, key: bytes) -> bytes | None:
        return self.writes[key] if key in self.writes else self.state.get(key)

    def put(self, key: bytes, value: bytes) -> int:
        """Stores the value, or returns `LIMIT` and stores nothing when a bound would be passed."""
        old = self.get(key)
        usage = self.usage + entry_size(key, value) - (0 if old is None else entry_size(key, old))
        if usage > self.max_stable_bytes or len(value) > limits.INLINE_VALUE_MAX:
            return LIMIT
        return self._write(key, value, usage)

    def delete(self, key: bytes) -> int:
        """Removes the key; `ABSENT` when it is not there."""
        old = self.get(key)
        if old is None:
            return ABSENT
        return self._write(key, None, self.usage - entry_size(key, old))

    def _write(self, key: bytes, value: bytes | None, usage: int) -> int:
        written = self.written_bytes + len(key) + len(value or b"")
        changed = len(self.writes) + (key not in self.writes)
        if written > limits.WRITTEN_BYTES_MAX or changed > limits.CHANGED_KEYS_MAX:
            return LIMIT
        self.writes[key] = value
        self.written_bytes, self.usage = written, usage
        return OK

    def scan(self, start: bytes, end: bytes) -> Iterator[Row]:
        """Live rows with start <= key < end in byte order, as they are now: later writes do not show."""
        changed: Mapping[bytes, bytes | None] = {
            key: value for key, value in (self.state.writes | self.writes).items() if start <= key < end
        }
        ours = ((key, value) for key, value in sorted(changed.items()) if value is not None)
        committed = (row for row in self._committed(start, end) if row[0] not in changed)
        return merge(ours, committed, key=itemgetter(0))

    def _committed(self, start: bytes, end: bytes) -> Iterator[Row]:
        # Pages grow from one row: a guest that opens a scan and stops has not made us fetch what it never paid for.
        page = 1
        while True:
            rows = list(self.state.view.scan(self.state.circle, start, end, page))
            yield from rows
            if len(rows) < page:
                return
            start = rows[-1][0] + b"\0"
            page = min(2 * page, limits.WORKER_SCAN_PAGE)

    def diff(self) -> tuple[tuple[bytes, bytes | None], ...]:
        """Changes against the state before the call, sorted by key; a write of the same value is no change."""
        assert self.usage <= self.max_stable_bytes or self.usage <= self.state.usage
        return tuple((key, value) for key, value in sorted(self.writes.items()) if self.state.get(key) != value)
