"""Bytes between the asyncio thread of the actors and the trio thread of libp2p, in few and large hand-overs.

Each direction has one queue; the other thread is woken only when the queue was empty. A wake-up costs tens of
microseconds and a libp2p write a quarter of a millisecond, so both are shared by everything that waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from octra.node.p2p.carrier import Reader
from octra.node.p2p.frame import LIMITS
from octra.node.p2p.transport import Lane
from octra.primitives import NodeId

UNREAD_MAX = 8 * 1_024 * 1_024  # read from one connection and not yet seen by the asyncio thread
READ_PAUSE_S = 0.01


class Inbox:
    """Calls made on the trio thread, run in order on the asyncio thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` on the asyncio thread soon; dropped if its loop has ended."""
        with self._lock:
            self._calls.append(call)
            if len(self._calls) > 1:
                return
        try:
            self._loop.call_soon_threadsafe(self._run)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            self._calls.clear()

    def _run(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, deque()
        self._run_all(calls)

    def _run_all(self, calls: deque[Callable[[], None]]) -> None:
        try:
            while calls:
                calls.popleft()()
        finally:
            if calls:  # one has failed, which the loop reports; other connections must not pay for it
                self._loop.call_soon(self._run_all, calls)


class Outbox:
    """Bytes of one lane on their way to libp2p: put on the asyncio thread, taken on the trio thread."""

    def __init__(self, lane: Lane, token: trio.lowlevel.TrioToken) -> None:
        self._flush_s, self._flush_size = LIMITS[lane].flush_ms / 1_000, LIMITS[lane].flush_size
        self._token = token
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self.size = 0
        self._ready = trio.Event()
        self._full = trio.Event()
        self._write_allowed_at = 0.0

    def put(self, data: bytes) -> None:
        """Queue bytes; called on the asyncio thread."""
        with self._lock:
            first = not self._waiting
            was_full = self.size >= self._flush_size
            self._waiting.append(data)
            self.size += len(data)
            full = self.size >= self._flush_size
        if first or (full and not was_full):
            with suppress(trio.RunFinishedError):  # libp2p has stopped; the link's end is reported on its own
                self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        self._ready.set()
        if self.size >= self._flush_size:
            self._full.set()

    async def take(self) -> bytes:
        """The next bytes to write at once. A lone message goes out now, a stream of them every `flush_ms`."""
        while not self._waiting:
            self._ready = trio.Event()
            if not self._waiting:  # put may have come between
                await self._ready.wait()
        if self.size < self._flush_size:
            self._full = trio.Event()
            with trio.move_on_at(self._write_allowed_at):
                await self._full.wait()
        with self._lock:
            taken = [self._waiting.popleft()]
            size = len(taken[0])
            while self._waiting and size + len(self._waiting[0]) <= self._flush_size:
                taken.append(self._waiting.popleft())
                size += len(taken[-1])
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def written(self, size: int) -> None:
        """What `take` gave has been written."""
        with self._lock:
            self.size -= size
        self._write_allowed_at = trio.current_time() + self._flush_s


class BridgedConnection:
    """One libp2p connection as the asyncio thread sees it; implements `Connection`."""

    def __init__(
        self, token: trio.lowlevel.TrioToken, inbox: Inbox, *, channel: bytes, owner: NodeId, remote: str
    ) -> None:
        self.channel, self.owner, self.remote = channel, owner, remote
        self._token, self._inbox = token, inbox
        self.outboxes = {lane: Outbox(lane, token) for lane in Lane}
        self.reader: Reader | None = None
        self._ended = False  # asyncio thread: nothing more to write
        self._closed_told = False
        self.unread = 0
        self.close_wanted = trio.Event()
        self.abort_wanted = trio.Event()

    @property
    def backlog(self) -> int:
        return sum(outbox.size for outbox in self.outboxes.values())

    def write(self, lane: Lane, data: bytes) -> None:
        if not self._ended:
            self.outboxes[lane].put(data)

    def close(self) -> None:
        self._end(self.close_wanted)

    def abort(self) -> None:
        self._end(self.abort_wanted)

    def _end(self, event: trio.Event) -> None:
        self._ended = True
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(event.set)

    # On the trio thread.

    async def received(self, lane: Lane, data: bytes) -> None:
        """Bytes were read; waits while the asyncio thread is far behind."""
        self.unread += len(data)
        self._inbox.post(lambda: self._deliver(lane, data))
        while self.unread > UNREAD_MAX:  # noqa: ASYNC110 - the other thread cannot set a trio event cheaply
            await trio.sleep(READ_PAUSE_S)

    def closed(self) -> None:
        """The connection is over."""
        self._inbox.post(self._tell_closed)

    def _deliver(self, lane: Lane, data: bytes) -> None:
        self.unread -= len(data)
        if self.reader is not None and not self._closed_told:
            self.reader.received(lane, data)

    def _tell_closed(self) -> None:
        if self.reader is not None and not self._closed_told:
            self._closed_told = True
            self.reader.closed()
