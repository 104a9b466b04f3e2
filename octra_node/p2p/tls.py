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
from contextlib import suppress
from hashlib import sha256

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.p2p.address import Place, PlaceKind
from octra.node.p2p.carrier import Accept, Dialled
from octra.node.p2p.chunks import UnknownLane
from octra.node.p2p.sockets import Connections, SocketCarrier, SocketConnection
from octra.node.p2p.tls_certificate import ALPN, client_context, self_signed, server_context
from octra.node.p2p.transport import DialFailure, DownReason
from octra.primitives import NodeId

ACCEPT_S = 5.0  # for the TLS handshake of who dials us
READ_SIZE = 16 * 1_024  # a record: OpenSSL gives no more at once, and then keeps nothing back
UPGRADE_MAX = 64 * 1_024  # bytes that wait during the handshake


class NotOurs(InvalidInput):
    """The other end of a connection speaks no TLS of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no TLS of ours: {reason}")
        self.reason = reason


class TlsConnection(SocketConnection):
    """Implements `Connection`, once `upgrade` has returned. Who its owner is, the handshake above proves.

    It moves bytes between socket and OpenSSL itself: asyncio's layer for that costs as much as all the rest of a frame.
    """

    def __init__(self, context: ssl.SSLContext, own_certificate: bytes | None, connections: Connections) -> None:
        """Only the acceptor has `own_certificate`."""
        super().__init__(PlaceKind.TLS, connections)
        self._own_certificate = own_certificate
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=own_certificate is not None)

    async def upgrade(self) -> None:
        """The TLS handshake; raises `NotOurs` or `OSError`."""
        try:
            while not self._shaken():
                if self._transport is None:
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                await self._more()
        except ssl.SSLError as error:
            raise NotOurs(error.reason or "unknown") from error
        certificate = self._own_certificate or self._session.getpeercert(binary_form=True)
        if certificate is None or self._session.selected_alpn_protocol() != ALPN:
            raise NotOurs("another service")
        self.channel = sha256(certificate).digest()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._reader is not None:
            self._receive()
        elif self._incoming.pending > UPGRADE_MAX:
            self.abort()
        else:
            self._wake()

    # Between socket and OpenSSL.

    def _shaken(self) -> bool:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._send_records()  # an alert too
        return True

    def _receive(self) -> None:
        try:
            while self._incoming.pending and self._transport is not None:
                data = self._session.read(READ_SIZE)
                if not data:
                    self.abort()  # the peer has closed its side
                    return
                self._deliver(data)
        except ssl.SSLWantReadError:
            pass  # part of a record
        except (ssl.SSLError, UnknownLane):
            self.abort()
            return
        if self._outgoing.pending:
            self._send_records()

    def flush(self) -> None:
        self._flush_due = False
        while self._transport is not None and self._turns.size and not self._paused:
            self._session.write(self._turns.take())
            self._transport.write(self._outgoing.read())
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
        connection = TlsConnection(self._client, None, connections)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, place.host, place.port)
            await connection.upgrade()
        except NotOurs as error:
            connection.drop()
            raise DialFailure(DownReason.PROTOCOL, f"no TLS of ours at that port: {error.reason}") from error
        except BaseException:
            connection.drop()
            raise
        connection.attach(done(connection))

    async def accept(self, accepted: socket.socket, accept: Accept, connections: Connections) -> None:
        connection = TlsConnection(self._server, self._certificate, connections)
        try:
            async with asyncio.timeout(ACCEPT_S):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
                await connection.upgrade()
        except (NotOurs, OSError):  # TimeoutError among them: who dialled speaks something else, or nothing
            connection.drop()
        except BaseException:
            connection.drop()
            raise
        else:
            connection.attach(accept(connection))
