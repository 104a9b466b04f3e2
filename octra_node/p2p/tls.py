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
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import cast

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.p2p.address import Place, PlaceKind
from octra.node.p2p.carrier import Accept, Connection, Dialled, Reader
from octra.node.p2p.chunks import Chunks, Turns, UnknownLane
from octra.node.p2p.sockets import SYSTEM_QUEUE_MAX, Connections, SocketCarrier, attach, drop
from octra.node.p2p.tls_certificate import ALPN, client_context, self_signed, server_context
from octra.node.p2p.transport import DialFailure, DownReason, Lane
from octra.primitives import NodeId

ACCEPT_S = 5.0  # for the TLS handshake of who dials us
CLOSE_S = 1.0
READ_SIZE = 16 * 1_024  # a record: OpenSSL gives no more at once
UPGRADE_MAX = 64 * 1_024  # bytes that wait during the handshake


class NotOurs(InvalidInput):
    """The other end of a connection speaks no TLS of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no TLS of ours: {reason}")
        self.reason = reason


class TlsConnection(asyncio.Protocol):
    """Implements `Connection`, once `upgrade` has returned. What one turn of the loop writes becomes one write.

    It moves bytes between socket and OpenSSL itself: asyncio's layer for that costs as much as all the rest of a frame.
    """

    owner: NodeId | None = None  # the certificate is not the node's: the handshake above proves who it is

    def __init__(
        self, context: ssl.SSLContext, own_certificate: bytes | None, ended: Callable[[Connection], None]
    ) -> None:
        """Only the acceptor has `own_certificate`. `ended` follows the last byte."""
        self._own_certificate, self._ended = own_certificate, ended
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=own_certificate is not None)
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
        if not self._flush_due and not self._paused:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        if self._transport is not None and not self._closing:
            self._closing = True
            if self._reader is None:
                self.abort()
            else:
                self._cut = self._loop.call_later(CLOSE_S, self.abort)
                self._flush()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    async def upgrade(self) -> None:
        """The TLS handshake; raises `NotOurs` or `OSError`."""
        try:
            while not self._shaken():
                if self._transport is None:
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                self._waiter = self._loop.create_future()
                await self._waiter
        except ssl.SSLError as error:
            raise NotOurs(error.reason or "unknown") from error
        certificate = self._own_certificate or self._session.getpeercert(binary_form=True)
        if certificate is None or self._session.selected_alpn_protocol() != ALPN:
            raise NotOurs("another service")
        self.channel = sha256(certificate).digest()

    def attach(self, reader: Reader) -> None:
        """Give `reader` what arrives, beginning with what has come already."""
        self._reader = reader
        self._receive()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # The system's own queue stays short too, so that a vertex need not wait for megabytes of other lanes.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SYSTEM_QUEUE_MAX)
        self._transport.set_write_buffer_limits(high=SYSTEM_QUEUE_MAX)
        host, port = transport.get_extra_info("peername")[:2]
        self.remote = str(Place(PlaceKind.TLS, host, port))

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._reader is not None:
            self._receive()
        elif self._incoming.pending > UPGRADE_MAX:
            self.abort()
        else:
            self._wake()

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
        self._wake()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.closed()
        self._ended(self)

    # Between socket and OpenSSL.

    def _shaken(self) -> bool:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._send_records()  # an alert too
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _receive(self) -> None:
        try:
            while self._transport is not None and (self._incoming.pending or self._session.pending()):
                data = self._session.read(READ_SIZE)
                if not data:
                    self.abort()  # the peer has closed its side
                    return
                for lane, piece in self._chunks.feed(data):
                    if self._reader is not None:
                        self._reader.received(lane, piece)
        except ssl.SSLWantReadError:
            pass  # part of a record
        except (ssl.SSLError, UnknownLane):
            self.abort()
            return
        self._send_records()

    def _flush(self) -> None:
        self._flush_due = False
        while self._transport is not None and self._turns.size and not self._paused:
            self._session.write(self._turns.take())
            self._send_records()
        if self._closing and not self._turns.size and self._transport is not None:
            with suppress(ssl.SSLError):  # it would wait for the peer's goodbye
                self._session.unwrap()
            self._send_records()
            self._transport.close()  # asyncio still writes what it has

    def _send_records(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())


class TlsCarrier(SocketCarrier):
    """Implements `Carrier` for places like `/ip4/127.0.0.1/tcp/9001/tls/p2p/<peer id>`."""

    def __init__(self, node_id: NodeId, listen: tuple[str, ...]) -> None:
        super().__init__(PlaceKind.TLS, node_id, listen, _TlsOpener())


class _TlsOpener:
    """Implements `Opener`."""

    def __init__(self) -> None:
        key = SigningKey(os.urandom(32))  # not the node's: a leak of OpenSSL's memory is no leak of the identity
        self._certificate = self_signed(key)
        self._server, self._client = server_context(key, self._certificate), client_context()

    async def dial(self, place: Place, expected: NodeId, done: Dialled, connections: Connections) -> None:
        connection = TlsConnection(self._client, None, lambda ended: connections.pop(ended, None))
        connections[connection] = None
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, place.host, place.port)
            await connection.upgrade()
        except NotOurs as error:
            drop(connection, connections)
            raise DialFailure(DownReason.PROTOCOL, f"no TLS of ours at that port: {error.reason}") from error
        except BaseException:
            drop(connection, connections)
            raise
        attach(connection, done(connection), connections)

    async def accept(self, accepted: socket.socket, accept: Accept, connections: Connections) -> None:
        connection = TlsConnection(self._server, self._certificate, lambda ended: connections.pop(ended, None))
        connections[connection] = None
        try:
            async with asyncio.timeout(ACCEPT_S):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
                await connection.upgrade()
        except (NotOurs, OSError):  # TimeoutError among them: who dialled speaks something else, or nothing
            drop(connection, connections)
        except BaseException:
            drop(connection, connections)
            raise
        else:
            attach(connection, accept(connection), connections)
