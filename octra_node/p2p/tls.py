"""TLS 1.3 in the node's own event loop, as a carrier of bytes: one connection to a host, the four lanes in chunks.

The standard library's TLS and nothing else, for those who do not need to speak to other libp2p software.
docs/decisions/tls.md tells why the lanes share one connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, cast

from octra.crypto.ed25519 import SigningKey
from octra.errors import Unavailable
from octra.node.p2p.address import InvalidPlace, Place, PlaceKind, parse_place
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.chunks import Chunks, Turns, UnknownLane
from octra.node.p2p.tls_certificate import ALPN, client_context, self_signed, server_context
from octra.node.p2p.transport import DialFailure, DownReason, Lane, PortTaken
from octra.primitives import NodeId

SYSTEM_QUEUE_MAX = 256 * 1_024  # bytes in the hands of asyncio: what is there can no longer be overtaken
DIAL_S = 10.0
ACCEPT_S = 5.0  # for the TLS handshake of who dials us
CLOSE_S = 1.0
ACCEPTS_MAX = 32  # TLS handshakes of strangers at a time; the rest waits in the system's queue
BACKLOG = 128


class CannotListen(Unavailable):
    """The system refuses to listen at an address of the settings."""

    oct_code = 3104

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen at {address}: {reason}")
        self.address, self.reason = address, reason


class TlsConnection(asyncio.Protocol):
    """Implements `Connection`. What one turn of the loop writes becomes one write, lanes taking turns in chunks."""

    owner: NodeId | None = None  # the certificate is not the node's: the handshake above proves who it is

    def __init__(
        self,
        opened: Callable[[TlsConnection], Reader | None],
        ended: Callable[[TlsConnection], None],
        own_certificate: bytes | None,
    ) -> None:
        """`opened` follows the TLS handshake, `ended` the last byte. Only the acceptor has `own_certificate`."""
        self._opened, self._ended, self._own_certificate = opened, ended, own_certificate
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: Reader | None = None
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
        if not self._flush_due and not self._paused:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        if self._transport is not None and not self._closing:
            self._closing = True
            self._cut = self._loop.call_later(CLOSE_S, self.abort)
            self._flush()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # of every loop's TLS, though uvloop's does not derive from it
        session: ssl.SSLObject = transport.get_extra_info("ssl_object")
        # The system's own queue stays short too, so that a vertex need not wait for megabytes of other lanes.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SYSTEM_QUEUE_MAX)
        certificate = self._own_certificate or session.getpeercert(binary_form=True)
        if certificate is None or session.selected_alpn_protocol() != ALPN:
            transport.abort()  # some other TLS service; a dialler says so when it finds no reader
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=SYSTEM_QUEUE_MAX)
        self.channel = sha256(certificate).digest()
        host, port = transport.get_extra_info("peername")[:2]
        self.remote = str(Place(PlaceKind.TLS, host, port))
        self._reader = self._opened(self)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            return
        try:
            for lane, piece in self._chunks.feed(data):
                self._reader.received(lane, piece)
        except UnknownLane:
            self.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closing = True
        if self._cut is not None:
            self._cut.cancel()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.closed()
        self._ended(self)

    @property
    def speaks_octra(self) -> bool:
        """False when the TLS handshake led to a service that is not ours."""
        return self.channel != b""

    def _flush(self) -> None:
        self._flush_due = False
        while self._transport is not None and self._turns.size and not self._paused:
            self._transport.write(self._turns.take())
        if self._closing and not self._turns.size and self._transport is not None:
            self._transport.close()  # asyncio still writes what it has


class TlsCarrier:
    """Implements `Carrier` for places like `/ip4/127.0.0.1/tcp/9001/tls/p2p/<peer id>`."""

    def __init__(self, node_id: NodeId, listen: tuple[str, ...]) -> None:
        self._node_id = node_id
        self._listen = tuple(parse_place(address) for address in listen)
        key = SigningKey(os.urandom(32))  # not the node's: a leak of OpenSSL's memory is no leak of the identity
        self._certificate = self_signed(key)
        self._server, self._client = server_context(key, self._certificate), client_context()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[TlsConnection, None] = {}
        self._accepts = asyncio.Semaphore(ACCEPTS_MAX)

    async def start(self, accept: Accept) -> None:
        try:
            for place in self._listen:
                self._sockets.append(listen_at(place))
        except Unavailable:
            self._close_sockets()
            raise
        for listening in self._sockets:
            self._spawn(self._accept_forever(listening, accept))

    async def stop(self) -> None:
        """Connections that are closing may write for `CLOSE_S`; all others are cut."""
        accepting = tuple(self._tasks)
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        self._close_sockets()
        for connection in tuple(self._connections):
            connection.close()
        while self._connections:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.005)

    def listening(self) -> tuple[str, ...]:
        named = [listening.getsockname()[:2] for listening in self._sockets]
        return tuple(str(Place(PlaceKind.TLS, host, port, self._node_id)) for host, port in named)

    def reaches(self, address: str) -> bool:
        try:
            return parse_place(address).kind is PlaceKind.TLS
        except InvalidPlace:
            return False

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        if self.reaches(address):
            self._spawn(self._dial(parse_place(address), done))
        else:
            # Later, as a real dial would answer: the caller is not ready for it inside its own call.
            asyncio.get_running_loop().call_soon(done, DialFailure(DownReason.RESET, "not a TLS address"))

    async def _dial(self, place: Place, done: Dialled) -> None:
        connection = self._new(done, None)
        try:
            async with asyncio.timeout(DIAL_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, place.host, place.port, ssl=self._client, server_hostname=""
                )
        except TimeoutError:
            failure = DialFailure(DownReason.RESET, "timeout")
        except ssl.SSLError as error:
            failure = DialFailure(DownReason.PROTOCOL, f"no TLS of ours at that port: {error.reason or 'unknown'}")
        except OSError as error:
            failure = DialFailure(DownReason.RESET, error.strerror or type(error).__name__)
        else:
            if connection.speaks_octra:
                return
            failure = DialFailure(DownReason.PROTOCOL, "another TLS service listens at that port")
        self._connections.pop(connection, None)
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
        connection = self._new(accept, self._certificate)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._server, ssl_handshake_timeout=ACCEPT_S
            )
        except OSError:  # ssl.SSLError among them: who dialled speaks something else, or nothing
            self._connections.pop(connection, None)
        finally:
            self._accepts.release()

    def _new(self, opened: Callable[[TlsConnection], Reader | None], own_certificate: bytes | None) -> TlsConnection:
        connection = TlsConnection(opened, lambda ended: self._connections.pop(ended, None), own_certificate)
        self._connections[connection] = None
        return connection

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def listen_at(place: Place) -> socket.socket:
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
