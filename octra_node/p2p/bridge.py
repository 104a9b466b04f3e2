"""Bytes between the asyncio thread of the actors and the trio thread of libp2p, in few and large hand-overs.

Each direction has one queue; the other thread is woken only when the queue was empty. A wake-up costs tens of
microseconds and a libp2p write a quarter of a millisecond, so both are shared by everything that waits, on all lanes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from octra.node.p2p.carrier import Reader
from octra.node.p2p.chunks import Chunks, Turns, UnknownLane
from octra.node.p2p.transport import Lane
from octra.primitives import NodeId

UNREAD_MAX = 8 * 1_024 * 1_024  # read from one connection and not yet seen by the asyncio thread
READ_PAUSE_S = 0.01
FLUSH_S = 0.005  # how long bytes wait for more after a write, unless there are
FLUSH_SIZE = 64 * 1_024


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
    """Bytes of one connection on their way to libp2p: put on the asyncio thread, taken on the trio thread."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._turns = Turns()
        self._writing = 0
        self._ready = trio.Event()
        self._full = trio.Event()
        self._write_allowed_at = 0.0

    @property
    def size(self) -> int:
        """Bytes put and not yet written."""
        return self._turns.size + self._writing

    def put(self, lane: Lane, data: bytes) -> None:
        """Queue bytes; called on the asyncio thread."""
        with self._lock:
            before = self._turns.size
            self._turns.put(lane, data)
        if before == 0 or before < FLUSH_SIZE <= before + len(data):
            with suppress(trio.RunFinishedError):  # libp2p has stopped; the link's end is reported on its own
                self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        self._ready.set()
        if self._turns.size >= FLUSH_SIZE:
            self._full.set()

    async def take(self) -> bytes:
        """The next bytes to write at once. A lone message goes out now, a stream of them every `FLUSH_S`."""
        while not self._turns.size:
            self._ready = trio.Event()
            if not self._turns.size:  # put may have come between
                await self._ready.wait()
        if self._turns.size < FLUSH_SIZE and trio.current_time() < self._write_allowed_at:
            self._full = trio.Event()
            with trio.move_on_at(self._write_allowed_at):
                await self._full.wait()
        with self._lock:
            before = self._turns.size
            turn = self._turns.take()
            self._writing = before - self._turns.size
        return turn

    def written(self) -> None:
        """What `take` gave has been written."""
        self._writing = 0
        self._write_allowed_at = trio.current_time() + FLUSH_S


class BridgedConnection:
    """One libp2p connection as the asyncio thread sees it; implements `Connection`."""

    def __init__(
        self, token: trio.lowlevel.TrioToken, inbox: Inbox, *, channel: bytes, owner: NodeId, remote: str
    ) -> None:
        self.channel, self.owner, self.remote = channel, owner, remote
        self._token, self._inbox = token, inbox
        self.outbox = Outbox(token)
        self.reader: Reader | None = None
        self._chunks = Chunks()
        self._ended = False  # asyncio thread: nothing more to write
        self._broken = self._closed_told = False
        self.unread = 0
        self.close_wanted = trio.Event()
        self.abort_wanted = trio.Event()

    @property
    def backlog(self) -> int:
        return self.outbox.size

    def write(self, lane: Lane, data: bytes) -> None:
        if not self._ended:
            self.outbox.put(lane, data)

    def close(self) -> None:
        self._end(self.close_wanted)

    def abort(self) -> None:
        self._end(self.abort_wanted)

    def _end(self, event: trio.Event) -> None:
        self._ended = True
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(event.set)

    # On the trio thread.

    async def received(self, data: bytes) -> None:
        """Bytes were read; waits while the asyncio thread is far behind."""
        self.unread += len(data)
        self._inbox.post(partial(self._deliver, data))
        while self.unread > UNREAD_MAX:  # noqa: ASYNC110 - the other thread cannot set a trio event cheaply
            await trio.sleep(READ_PAUSE_S)

    def closed(self) -> None:
        """The connection is over."""
        self._inbox.post(self._tell_closed)

    def _deliver(self, data: bytes) -> None:
        self.unread -= len(data)
        if self.reader is None or self._closed_told or self._broken:
            return
        try:
            for lane, piece in self._chunks.feed(data):
                self.reader.received(lane, piece)
        except UnknownLane:
            self._broken = True
            self.abort()

    def _tell_closed(self) -> None:
        if self.reader is not None and not self._closed_told:
            self._closed_told = True
            self.reader.closed()
