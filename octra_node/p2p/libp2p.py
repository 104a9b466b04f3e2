"""libp2p in the node's own event loop, as a carrier of bytes: TCP, noise, yamux, and the four lanes in one stream.

What libp2p says on the wire is in `multistream`, `noise` and `yamux`; here they meet a socket. The tests hold them
against py-libp2p. docs/decisions/libp2p.md tells why a node does not run that library.
"""

from __future__ import annotations

import asyncio
import socket

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput, Unavailable
from octra.node.p2p.address import Place, PlaceKind
from octra.node.p2p.carrier import Accept, Dialled
from octra.node.p2p.multistream import Selection
from octra.node.p2p.noise import LENGTH, MESSAGE_MAX, PLAINTEXT_MAX, Cipher, NoiseHandshake, message_end
from octra.node.p2p.sockets import Connections, SocketCarrier, SocketConnection
from octra.node.p2p.transport import DialFailure, DownReason
from octra.node.p2p.yamux import Yamux
from octra.primitives import NodeId

NOISE, YAMUX = b"/noise", b"/yamux/1.0.0"
PROTOCOL = b"/octra/lanes/1"
ACCEPT_S = 5.0  # from a stranger's connection to the stream on it
UPGRADE_MAX = 2 * MESSAGE_MAX  # bytes that wait while the connection is made


class ConnectionEnded(Unavailable):
    """The connection ended before its stream was open."""


class WrongPeer(InvalidInput):
    """Another node than the expected one answered."""


class Libp2pConnection(SocketConnection):
    """Implements `Connection`, once `upgrade` has returned."""

    def __init__(self, key: SigningKey, connections: Connections) -> None:
        super().__init__(PlaceKind.LIBP2P, connections)
        self._key = key
        self._arrived = b""  # not yet decrypted
        self._send_cipher: Cipher | None = None
        self._receive_cipher: Cipher | None = None
        self._yamux: Yamux | None = None
        self._early: list[bytes] = []  # on the stream, before there was a reader
        self._unsent = b""  # of a turn that the window cut

    @property
    def backlog(self) -> int:
        return super().backlog + len(self._unsent)

    async def upgrade(self, expected: NodeId | None) -> None:
        """Agree on noise, prove who both are, agree on yamux, open the stream. `expected` is None for the acceptor.

        Raises `InvalidInput` or `ConnectionEnded`.
        """
        dialler = expected is not None
        rest = await self._select(Selection((NOISE,), proposes=dialler))
        self._arrived = rest + self._arrived
        handshake = NoiseHandshake(self._key, dialler=dialler)
        if dialler:
            self._write_message(handshake.first())
            handshake.take_second(await self._message())
            if handshake.peer != expected:
                raise WrongPeer
            self._write_message(handshake.third())
        else:
            handshake.take_first(await self._message())
            self._write_message(handshake.second())
            handshake.take_third(await self._message())
        assert handshake.peer is not None
        self.owner = handshake.peer
        own = self._key.public
        self.channel = own + self.owner if dialler else self.owner + own
        self._send_cipher, self._receive_cipher = handshake.ciphers()
        rest = await self._select(Selection((YAMUX,), proposes=dialler))
        yamux = self._yamux = Yamux(dialler, PROTOCOL)
        if dialler:
            yamux.open()
        self._early += yamux.feed(rest)
        while yamux.stream is None and not yamux.ended:
            self._send_frames(yamux)
            self._early += yamux.feed(await self._plaintext())
        if yamux.ended or self._transport is None:
            raise ConnectionEnded("the peer ended the stream")
        self._send_frames(yamux)

    def data_received(self, data: bytes) -> None:
        self._arrived = self._arrived + data if self._arrived else data
        if self._reader is not None:
            self._receive()
        elif len(self._arrived) > UPGRADE_MAX:
            self.abort()
        else:
            self._wake()

    # While the connection is made.

    async def _select(self, selection: Selection) -> bytes:
        """Agree on a protocol; what the peer has sent after that."""
        rest = b""
        self._write_plaintext(selection.take())
        while selection.chosen is None:
            rest = selection.feed(await self._plaintext())
            self._write_plaintext(selection.take())
        return rest

    async def _plaintext(self) -> bytes:
        """What comes next, at least a byte."""
        if self._receive_cipher is not None:
            return self._receive_cipher.decrypt(await self._message())
        while not self._arrived:
            await self._next_bytes()
        data, self._arrived = self._arrived, b""
        return data

    async def _message(self) -> bytes:
        while not (end := message_end(self._arrived, 0)):
            await self._next_bytes()
        message, self._arrived = self._arrived[LENGTH.size : end], self._arrived[end:]
        return message

    async def _next_bytes(self) -> None:
        if self._transport is None:
            raise ConnectionEnded("the connection ended")
        await self._more()

    # Bytes.

    def _receive(self) -> None:
        yamux, cipher, arrived, start = self._yamux, self._receive_cipher, self._arrived, 0
        assert yamux is not None
        assert cipher is not None
        try:
            while self._early:
                self._deliver(self._early.pop(0))
            while start < len(arrived) and self._transport is not None and (end := message_end(arrived, start)):
                for piece in yamux.feed(cipher.decrypt(arrived[start + LENGTH.size : end])):
                    self._deliver(piece)
                start = end
        except InvalidInput:
            self.abort()
            return
        self._arrived = arrived[start:]
        if yamux.ended:
            self.abort()
        elif yamux.speaks or self._unsent or self._turns.size:
            self.flush()

    def flush(self) -> None:
        self._flush_due = False
        yamux = self._yamux
        if self._transport is None or yamux is None:
            return
        while not self._paused and (room := yamux.room) and (self._unsent or self._turns.size):
            turn = self._unsent or self._turns.take()
            yamux.send(turn[:room])
            self._unsent = turn[room:]
            self._send_frames(yamux)
        if yamux.speaks:
            self._send_frames(yamux)
        if self._closing and not self._unsent and not self._turns.size:
            self._transport.close()  # asyncio still writes what it has

    def _send_frames(self, yamux: Yamux) -> None:
        self._write_plaintext(b"".join(yamux.take()))

    def _write_plaintext(self, data: bytes) -> None:
        if self._transport is None or not data:
            return
        if self._send_cipher is None:
            self._transport.write(data)
            return
        parts = [data[start : start + PLAINTEXT_MAX] for start in range(0, len(data), PLAINTEXT_MAX)]
        messages = map(self._send_cipher.encrypt, parts)
        self._transport.write(b"".join([LENGTH.pack(len(message)) + message for message in messages]))

    def _write_message(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.write(LENGTH.pack(len(message)) + message)


class Libp2pCarrier(SocketCarrier):
    """Implements `Carrier` for places like `/ip4/127.0.0.1/tcp/9000/p2p/<peer id>`."""

    def __init__(self, key: SigningKey, listen: tuple[str, ...]) -> None:
        super().__init__(PlaceKind.LIBP2P, NodeId(key.public), listen, _Libp2pOpener(key))


class _Libp2pOpener:
    """Implements `Opener`."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    async def dial(self, place: Place, expected: NodeId, done: Dialled, connections: Connections) -> None:
        connection = Libp2pConnection(self._key, connections)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, place.host, place.port)
            await connection.upgrade(expected)
        except BaseException as error:
            connection.drop()
            if isinstance(error, WrongPeer):
                raise DialFailure(DownReason.WRONG_IDENTITY) from error
            if isinstance(error, InvalidInput):
                raise DialFailure(DownReason.PROTOCOL, f"no libp2p of ours at that port: {error}") from error
            if isinstance(error, ConnectionEnded):
                raise DialFailure(DownReason.RESET, str(error)) from error
            raise
        connection.attach(done(connection))

    async def accept(self, accepted: socket.socket, accept: Accept, connections: Connections) -> None:
        connection = Libp2pConnection(self._key, connections)
        try:
            async with asyncio.timeout(ACCEPT_S):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
                await connection.upgrade(None)
        except (TimeoutError, InvalidInput, ConnectionEnded, OSError):  # who dialled speaks something else, or nothing
            connection.drop()
        except BaseException:
            connection.drop()
            raise
        else:
            connection.attach(accept(connection))
