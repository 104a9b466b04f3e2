"""TLS 1.3 in the node's own event loop, as a carrier of bytes: one connection to a host, the four lanes in chunks.

The standard library's TLS and nothing else, for those who do not need to speak to other libp2p software.
docs/decisions/tls.md tells why the lanes share one connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from hashlib import sha256
from typing import cast

from octra.crypto.ed25519 import SigningKey
from octra.node.p2p.address import Place, PlaceKind
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.chunks import Chunks, Turns, UnknownLane
from octra.node.p2p.sockets import SYSTEM_QUEUE_MAX, Connections, SocketCarrier
from octra.node.p2p.tls_certificate import ALPN, client_context, self_signed, server_context
from octra.node.p2p.transport import DialFailure, DownReason, Lane
from octra.primitives import NodeId

ACCEPT_S = 5.0  # for the TLS handshake of who dials us
CLOSE_S = 1.0


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
        connection = _connection(done, None, connections)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, place.host, place.port, ssl=self._client, server_hostname=""
            )
            if not connection.speaks_octra:
                raise DialFailure(DownReason.PROTOCOL, "another TLS service listens at that port")
        except ssl.SSLError as error:
            connections.pop(connection, None)
            reason = error.reason or "unknown"
            raise DialFailure(DownReason.PROTOCOL, f"no TLS of ours at that port: {reason}") from error
        except BaseException:
            connections.pop(connection, None)
            raise

    async def accept(self, accepted: socket.socket, accept: Accept, connections: Connections) -> None:
        connection = _connection(accept, self._certificate, connections)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._server, ssl_handshake_timeout=ACCEPT_S
            )
        except OSError:  # ssl.SSLError among them: who dialled speaks something else, or nothing
            connections.pop(connection, None)
        except BaseException:
            connections.pop(connection, None)
            raise


def _connection(
    opened: Callable[[TlsConnection], Reader | None], own_certificate: bytes | None, connections: Connections
) -> TlsConnection:
    connection = TlsConnection(opened, lambda ended: connections.pop(ended, None), own_certificate)
    connections[connection] = None
    return connection
