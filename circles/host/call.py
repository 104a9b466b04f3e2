"""One call as the host functions see it: the guest's memory and gas, the facts of the call, and what it produced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from octra.circles import limits
from octra.circles.errors import CallFailed
from octra.circles.state import TOO_SMALL, Overlay, Row
from octra.consensus.ports import CircleCall, CircleEvent


class Guest(Protocol):
    """The running instance. Ranges are checked by the caller, in `Call`."""

    def memory_size(self) -> int: ...
    def read(self, start: int, size: int) -> bytes: ...
    def write(self, start: int, data: bytes) -> None: ...
    def gas(self) -> int: ...
    def set_gas(self, gas: int) -> None: ...


class Call:
    """The state of one running call. Host functions are plain functions on it, so a test needs no engine."""

    def __init__(self, guest: Guest, facts: CircleCall, overlay: Overlay) -> None:
        self.guest, self.facts, self.overlay = guest, facts, overlay
        self.gas = 0  # left; the runtime copies it from and to the guest around each host function
        self.response = bytearray()
        self.finished = False
        self.events: list[CircleEvent] = []
        self.event_bytes = 0
        self.transfers: list[tuple[bytes, int]] = []
        self.log: list[str] = []
        self.log_bytes = 0
        self.random_counter = 0
        self.iterators: list[Iterator[Row]] = []
        self.waiting_rows: dict[int, Row] = {}

    def charge(self, gas: int) -> None:
        """Takes gas before the work is done; ends the call when there is too little."""
        self.gas -= gas
        if self.gas < 0:
            raise CallFailed("out_of_gas")

    def check_range(self, start: int, size: int) -> tuple[int, int]:
        """Start and size as unsigned numbers inside the memory."""
        start, size = start & 0xFFFFFFFF, size & 0xFFFFFFFF
        if start + size > self.guest.memory_size():
            raise CallFailed("memory_fault", "a pointer leaves the memory")
        return start, size

    def read(
        self, start: int, size: int, *, extra: int = 0, per_byte: int = 1, limit: int | None = None
    ) -> bytes | None:
        """Guest bytes, charged `extra` and `per_byte` before they are copied; None when longer than `limit`."""
        start, size = self.check_range(start, size)
        if limit is not None and size > limit:
            self.charge(extra)
            return None
        self.charge(extra + per_byte * size)
        return self.guest.read(start, size)

    def answer(self, data: bytes, start: int, capacity: int) -> int:
        """Writes all of `data` to the guest, charged by its length, or says that it does not fit."""
        self.charge(len(data))
        return self.place(data, start, capacity)

    def place(self, data: bytes, start: int, capacity: int) -> int:
        """The same for data that is paid for: its length, or the code for a buffer too small or out of range."""
        start, capacity = start & 0xFFFFFFFF, capacity & 0xFFFFFFFF
        if len(data) > capacity or start + len(data) > self.guest.memory_size():
            return TOO_SMALL
        self.guest.write(start, data)
        return len(data)

    def text(self, start: int, size: int, limit: int) -> str:
        """Guest text for people, cut to `limit` bytes; ill-formed parts are replaced."""
        start, size = self.check_range(start, size)
        self.charge(size)
        return self.guest.read(start, min(size, limit)).decode("utf-8", "replace")

    def add_log(self, line: str, size: int) -> None:
        """Keeps a line locally while there is room; logs are never compared."""
        self.log_bytes += size
        if self.log_bytes <= limits.LOG_MAX:
            self.log.append(line)
