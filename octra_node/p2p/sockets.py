"""What the carriers over TCP share: they listen, accept a few strangers at a time, dial, and end in good order."""

from __future__ import annotations

import asyncio
import errno
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol, cast

from octra.errors import Unavailable
from octra.node.p2p.address import InvalidPlace, Place, PlaceKind, parse_place
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.chunks import Chunks, Turns
from octra.node.p2p.transport import DialFailure, DownReason, Lane, PortTaken
from octra.primitives import NodeId

SYSTEM_QUEUE_MAX = 256 * 1_024  # bytes in the hands of asyncio: what is there can no longer be overtaken
DIAL_S = 10.0
CLOSE_S = 1.0  # to write what waits
ACCEPTS_MAX = 32  # connections of strangers in the making at a time; the rest waits in the system's queue
BACKLOG = 128


class CannotListen(Unavailable):
    """The system refuses to listen at an address of the settings."""

    oct_code = 3104

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen at {address}: {reason}")
        self.address, self.reason = address, reason


class Connections:
    """The connections of one carrier that have not ended, and those of them that have something to write."""

    def __init__(self) -> None:
        self._open: dict[SocketConnection, None] = {}  # a dict keeps its order
        self._due: deque[SocketConnection] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[SocketConnection]:
        return iter(tuple(self._open))

    def add(self, connection: SocketConnection) -> None:
        """One more."""
        self._open[connection] = None

    def remove(self, connection: SocketConnection) -> None:
        """It has ended, or nobody wants it; twice is once."""
        self._open.pop(connection, None)

    def flush_soon(self, connection: SocketConnection) -> None:
        """Have it write after this turn of the loop: one callback serves all that a broadcast goes to."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        self._due.append(connection)

    def _flush(self) -> None:
        try:
            while self._due:
                self._due.popleft().flush()
        finally:
            if self._due:  # one failed, which the loop reports; it costs no other connection
                asyncio.get_running_loop().call_soon(self._flush)


class Opener(Protocol):
    """Makes connections of one kind from sockets. What it makes is among `connections` until it has ended."""

    async def dial(self, place: Place, expected: NodeId, done: Dialled, connections: Connections) -> None:
        """Connect, and give `done` the connection; raises `DialFailure` or `OSError` instead."""
        ...

    async def accept(self, accepted: socket.socket, accept: Accept, connections: Connections) -> None:
        """Bring a stranger's socket to where `accept` can be told of it, or drop it after a short while."""
        ...


class SocketConnection(asyncio.Protocol, ABC):
    """What the connections of these carriers share. What one turn of the loop writes becomes one write.

    A kind of connection says how bytes become chunks (`_receive`) and turns become bytes (`flush`).
    """

    owner: NodeId | None = None

    def __init__(self, kind: PlaceKind, connections: Connections) -> None:
        self._kind, self._connections = kind, connections
        connections.add(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: Reader | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._chunks = Chunks()
        self._turns = Turns()
        self._flush_due = self._paused = self._closing = False
        self._cut: asyncio.TimerHandle | None = None
        self.channel = b""
        self.remote = ""

    @property
    def backlog(self) -> int:
        return self._turns.size + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    def write(self, lane: Lane, data: bytes) -> None:
        if self._transport is None or self._closing:
            return
        self._turns.put(lane, data)
        if not (self._flush_due or self._paused):
            self._flush_due = True
            self._connections.flush_soon(self)

    def close(self) -> None:
        if self._transport is not None and not self._closing:
            self._closing = True
            if self._reader is None:
                self.abort()
            else:
                self._cut = self._loop.call_later(CLOSE_S, self.abort)
                self.flush()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def attach(self, reader: Reader | None) -> None:
        """Give `reader` what arrives, beginning with what has come already; None drops the connection."""
        if reader is None:
            self.drop()
        else:
            self._reader = reader
            self._receive()

    def drop(self) -> None:
        """End, where nobody has been told of the connection."""
        self.abort()
        self._connections.remove(self)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # The system's own queue stays short too, so that a vertex need not wait for megabytes of other lanes.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SYSTEM_QUEUE_MAX)
        self._transport.set_write_buffer_limits(high=SYSTEM_QUEUE_MAX)
        host, port = transport.get_extra_info("peername")[:2]
        self.remote = str(Place(self._kind, host, port))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closing = True
        if self._cut is not None:
            self._cut.cancel()
        self._wake()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.closed()
        self._connections.remove(self)

    @abstractmethod
    def flush(self) -> None:
        """Write what waits, as far as the other side lets us; then close, if that is wanted."""

    # For the kinds of connections.

    async def _more(self) -> None:
        """Wait, while the connection is made, until something has arrived or it has ended."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _deliver(self, data: bytes) -> None:
        """Bytes of the stream of chunks; raises `UnknownLane`."""
        for lane, piece in self._chunks.feed(data):
            if self._reader is not None:
                self._reader.received(lane, piece)

    @abstractmethod
    def _receive(self) -> None:
        """Deliver what has arrived."""


class SocketCarrier:
    """Implements `Carrier` for places of one kind."""

    def __init__(self, kind: PlaceKind, node_id: NodeId, listen: tuple[str, ...], opener: Opener) -> None:
        self._kind, self._node_id, self._opener = kind, node_id, opener
        self._listen = tuple(parse_place(address) for address in listen)
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = Connections()
        self._accepts = asyncio.Semaphore(ACCEPTS_MAX)

    async def start(self, accept: Accept) -> None:
        try:
            for place in self._listen:
                self._sockets.append(_listener(place))
        except Unavailable:
            self._close_sockets()
            raise
        for listening in self._sockets:
            self._spawn(self._accept_forever(listening, accept))

    async def stop(self) -> None:
        """Connections that are closing may write for a short while; all others are cut."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._close_sockets()
        for connection in self._connections:
            connection.close()
        while self._connections:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.005)

    def listening(self) -> tuple[str, ...]:
        named = [listening.getsockname()[:2] for listening in self._sockets]
        return tuple(str(Place(self._kind, host, port, self._node_id)) for host, port in named)

    def reaches(self, address: str) -> bool:
        try:
            return parse_place(address).kind is self._kind
        except InvalidPlace:
            return False

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        if self.reaches(address):
            self._spawn(self._dial(parse_place(address), expected, done))
        else:
            # Later, as a real dial would answer: the caller is not ready for it inside its own call.
            failure = DialFailure(DownReason.RESET, f"not an address of {self._kind.value}")
            asyncio.get_running_loop().call_soon(done, failure)

    async def _dial(self, place: Place, expected: NodeId, done: Dialled) -> None:
        try:
            async with asyncio.timeout(DIAL_S):
                await self._opener.dial(place, expected, done, self._connections)
        except TimeoutError:
            done(DialFailure(DownReason.RESET, "timeout"))
        except OSError as error:
            done(DialFailure(DownReason.RESET, error.strerror or type(error).__name__))
        except DialFailure as failure:
            done(failure)

    async def _accept_forever(self, listening: socket.socket, accept: Accept) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._accepts.acquire()
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError:  # the caller went away again, or no descriptor is free: others may still come
                self._accepts.release()
                await asyncio.sleep(0.05)
                continue
            except BaseException:
                self._accepts.release()
                raise
            self._spawn(self._accept_one(accepted, accept))

    async def _accept_one(self, accepted: socket.socket, accept: Accept) -> None:
        try:
            await self._opener.accept(accepted, accept, self._connections)
        finally:
            self._accepts.release()

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _listener(place: Place) -> socket.socket:
    """A socket that listens there and does not block; raises `PortTaken`."""
    listening = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        listening.bind((place.host, place.port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(str(place)) from error
        raise CannotListen(str(place), error.strerror or type(error).__name__) from error
    return listening
