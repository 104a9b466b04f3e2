"""What Circle calls may read, from the state store: code and files by content, and each Circle's own keys."""

from __future__ import annotations

from collections.abc import Iterator

from octra.consensus.ledger.blobs import read_code
from octra.storage.state import StateReader


class StateCircles:
    """`CircleView` over a state reader."""

    def __init__(self, state: StateReader) -> None:
        self._state = state

    def code(self, code_hash: bytes) -> bytes | None:
        """The code with this SHA-256."""
        return read_code(self._state, code_hash)

    def get(self, circle: bytes, key: bytes) -> bytes | None:
        """One of the Circle's keys."""
        return self._state.circle_get(circle, key)

    def scan(self, circle: bytes, start: bytes, end: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """The Circle's keys from `start` up to `end`."""
        return self._state.circle_scan(circle, start, end, limit)
