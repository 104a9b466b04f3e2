"""libp2p (TCP, noise, yamux) in a trio thread of its own, as a carrier of bytes. The only module that imports it.

py-libp2p 0.8.1 needs care; each workaround has a test in `tests/unit/node/p2p/test_libp2p_traps.py`. We dial an
address ourselves (`Swarm.dial_addr`): the host's own dial remembers failures for 60 s, waits a fixed 250 ms, and
hands out an existing connection to the same peer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream, IRawConnection
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_pair
from libp2p.custom_types import THandler, TProtocol
from libp2p.io.trio import TrioTCPStream
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP, TCPListener
from multiaddr import Multiaddr

from octra.crypto.ed25519 import SigningKey
from octra.errors import Unavailable
from octra.node.p2p.address import InvalidPlace, Place, PlaceKind, parse_peer_id, parse_place, peer_id
from octra.node.p2p.bridge import BridgedConnection, Inbox
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.transport import DialFailure, DownReason, PortTaken
from octra.primitives import NodeId

PROTOCOL = TProtocol("/octra/lanes/1")
READ_SIZE = 64 * 1_024
DIAL_S = 10
CLOSE_S = 1.0
GOODBYE_S = 0.1
STOP_S = 5.0
CONNECTIONS_MAX = 600


class _Stream(TrioTCPStream):  # type: ignore[misc]  # libp2p is untyped here
    """A socket that is read in large pieces: libp2p asks for two bytes here and twelve there, each a system call."""

    _kept = b""

    async def read(self, n: int | None = None) -> bytes:
        kept = self._kept or await super().read(READ_SIZE)
        if n is None or n >= len(kept):
            self._kept = b""
            return kept
        self._kept = kept[n:]
        return kept[:n]


class _Tcp(TCP):  # type: ignore[misc]
    """libp2p's TCP with such sockets."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        place = parse_place(str(maddr))
        try:
            stream = await trio.open_tcp_stream(place.host, place.port)
        except OSError as error:
            raise OpenConnectionError(str(error)) from error
        return RawConnection(_Stream(stream), initiator=True)

    def create_listener(self, handler: THandler) -> TCPListener:
        async def handle(plain: TrioTCPStream) -> None:
            await handler(_Stream(plain.stream))

        return TCPListener(handle)


class TransportFailed(Unavailable):
    """libp2p could not start or has ended."""

    oct_code = 3104


class Libp2pCarrier:
    """Implements `Carrier` for places like `/ip4/127.0.0.1/tcp/9000/p2p/<peer id>`."""

    def __init__(self, key: SigningKey, listen: tuple[str, ...]) -> None:
        self._key, self._node_id = key, NodeId(key.public)
        self._listen = tuple(parse_place(address) for address in listen)
        self._trio: _TrioSide | None = None
        self._listening: tuple[str, ...] = ()
        self._ended: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None

    async def start(self, accept: Accept) -> None:
        for place in self._listen:
            _check_port_free(place)
        loop = asyncio.get_running_loop()
        started: asyncio.Future[_TrioSide] = loop.create_future()
        self._ended = loop.create_future()
        inbox = Inbox(loop)

        def report_started(side: _TrioSide) -> None:
            inbox.post(partial(started.set_result, side))

        def run() -> None:
            error: BaseException | None = None
            try:
                trio.run(_run, self._key, self._listen, inbox, accept, report_started)
            except BaseException as failure:  # this thread has nobody else to tell
                error = failure
            inbox.post(partial(self._thread_ended, started, error))

        self._thread = threading.Thread(target=run, name="libp2p", daemon=True)
        self._thread.start()
        self._trio = await started
        self._listening = self._trio.listening

    def _thread_ended(self, started: asyncio.Future[_TrioSide], error: BaseException | None) -> None:
        if not started.done():
            started.set_exception(TransportFailed(f"libp2p did not start: {error!r}"))
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def stop(self) -> None:
        if self._trio is None or self._ended is None:
            return
        self._trio.stop_soon()
        # After this time the daemon thread is left alone: it holds no state of ours.
        await asyncio.wait([self._ended], timeout=STOP_S)
        if self._ended.done() and self._thread is not None:
            self._thread.join(STOP_S)  # it has nothing left to do

    def listening(self) -> tuple[str, ...]:
        return self._listening

    def reaches(self, address: str) -> bool:
        try:
            return parse_place(address).kind is PlaceKind.LIBP2P
        except InvalidPlace:
            return False

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        if self._trio is None or not self.reaches(address):
            # Later, as a real dial would answer: the caller is not ready for it inside its own call.
            asyncio.get_running_loop().call_soon(done, DialFailure(DownReason.RESET, "not a libp2p address"))
        else:
            self._trio.dial_soon(parse_place(address), expected, done)


async def _run(
    key: SigningKey,
    listen: tuple[Place, ...],
    inbox: Inbox,
    accept: Accept,
    report_started: Callable[[_TrioSide], None],
) -> None:
    """The trio thread's main function: a host that listens until asked to stop."""
    _quiet_libraries()
    pair = create_new_key_pair(key.seed())
    host = new_host(
        key_pair=pair,
        transports=[_Tcp()],
        sec_opt={NOISE: NoiseTransport(pair, noise_privkey=create_noise_pair().private_key)},  # never plaintext
        muxer_preference="YAMUX",
        connection_config=ConnectionConfig(
            min_connections=0,
            low_watermark=0,
            high_watermark=CONNECTIONS_MAX,
            max_connections=CONNECTIONS_MAX,
            dial_timeout=DIAL_S,
        ),
    )
    host.get_network().retry_config = RetryConfig(max_retries=0)  # our peers actor retries
    host._schedule_identify = _ask_nothing  # our hello says what we need to know; who asks us is answered
    async with host.run(listen_addrs=[_multiaddr(place) for place in listen]), trio.open_nursery() as nursery:
        await host.get_network().auto_connector.stop()  # it would dial every peer it ever heard of
        side = _TrioSide(host, NodeId(key.public), nursery, inbox, accept)
        host.set_stream_handler(PROTOCOL, side.accept)
        side.listening = _listening(host, NodeId(key.public))
        report_started(side)
        await side.stopping.wait()
        await side.close_all()
        nursery.cancel_scope.cancel()


class _TrioSide:
    """What runs on the trio thread. Methods named `_soon` are called from the asyncio thread."""

    def __init__(self, host: IHost, node_id: NodeId, nursery: trio.Nursery, inbox: Inbox, accept: Accept) -> None:
        self._host, self._node_id, self._nursery, self._inbox, self._accept = host, node_id, nursery, inbox, accept
        self._token = trio.lowlevel.current_trio_token()
        self._wires: dict[int, _Wire] = {}  # by id of the muxed connection
        self.stopping = trio.Event()
        self.listening: tuple[str, ...] = ()

    def stop_soon(self) -> None:
        self._soon(self.stopping.set)

    def dial_soon(self, place: Place, expected: NodeId, done: Dialled) -> None:
        if not self._soon(lambda: self._nursery.start_soon(self._dial, place, expected, done)):
            self._inbox.post(partial(_answer, done, DialFailure(DownReason.STOPPING)))

    def _soon(self, call: Callable[[], None]) -> bool:
        try:
            self._token.run_sync_soon(call)
        except trio.RunFinishedError:
            return False
        return True

    async def close_all(self) -> None:
        """Give every connection a moment to write what it has."""
        for wire in tuple(self._wires.values()):
            wire.connection.close_wanted.set()
        with trio.move_on_after(CLOSE_S):
            while self._wires:  # noqa: ASYNC110 - once, at the end
                await trio.sleep(0.01)

    async def _dial(self, place: Place, expected: NodeId, done: Dialled) -> None:
        failure = "timeout"
        wire = None
        try:
            with trio.move_on_after(DIAL_S):
                wire = await self._connect(place, expected)
        except Exception as error:  # libp2p raises many kinds here; each means: no connection
            failure = type(error.__cause__ or error).__name__
        if wire is None:
            self._inbox.post(partial(_answer, done, DialFailure(DownReason.RESET, failure)))
            return
        self._inbox.post(partial(_attach, wire.connection, done))
        await wire.run()

    async def _connect(self, place: Place, expected: NodeId) -> _Wire:
        """A connection to `expected` with a stream of ours on it."""
        connection = await self._host.get_network().dial_addr(_multiaddr(place), ID.from_base58(peer_id(expected)))
        try:
            if connection.get_negotiated_security_protocol() != str(NOISE):
                raise TransportFailed("not noise")
            stream = await connection.new_stream()
            await self._host.multiselect_client.select_one_of([PROTOCOL], MultiselectCommunicator(stream), DIAL_S)
            stream.set_protocol(PROTOCOL)
        except BaseException:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
                await _ignoring_failure(connection.close())
            raise
        bridged = BridgedConnection(
            self._token, self._inbox, channel=self._node_id + expected, owner=expected, remote=str(place)
        )
        return self._carry(connection, stream, bridged)

    async def accept(self, stream: INetStream) -> None:
        """A peer opened a stream of ours; a second one on the same connection is refused."""
        muxed: Any = stream.muxed_conn  # IMuxedConn; peer_id is what noise has authenticated
        try:
            owner = parse_peer_id(muxed.peer_id.to_base58())
        except InvalidPlace:
            await stream.reset()  # not an Ed25519 key: no node of ours
            return
        if id(muxed) in self._wires:
            await stream.reset()
            return
        place = stream.get_remote_address()
        remote = str(Place(PlaceKind.LIBP2P, place[0], place[1], owner)) if place else peer_id(owner)
        bridged = BridgedConnection(self._token, self._inbox, channel=owner + self._node_id, owner=owner, remote=remote)
        self._inbox.post(partial(_attach, bridged, self._accept))
        wire = self._carry(stream.swarm_conn, stream, bridged)
        self._nursery.start_soon(wire.run)
        await wire.over.wait()  # libp2p drops the stream when its handler returns

    def _carry(self, connection: Any, stream: INetStream, bridged: BridgedConnection) -> _Wire:
        wire = self._wires[id(stream.muxed_conn)] = _Wire(self, connection, stream, bridged)
        return wire

    def forget(self, wire: _Wire) -> None:
        self._wires = {key: kept for key, kept in self._wires.items() if kept is not wire}


class _Wire:
    """One libp2p connection with our stream on it."""

    def __init__(self, side: _TrioSide, swarm: Any, stream: INetStream, connection: BridgedConnection) -> None:
        self._side, self._swarm, self._stream, self.connection = side, swarm, stream, connection
        self.over = trio.Event()

    async def run(self) -> None:
        """Move bytes both ways until the connection fails or either side wants its end."""
        async with trio.open_nursery() as nursery:
            for work in (self._read, self._write, self._end_on_abort, self._end_on_close):
                nursery.start_soon(work)
            await self.over.wait()
            nursery.cancel_scope.cancel()
        self._side.forget(self)
        self.connection.closed()
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
            await _ignoring_failure(self._swarm.close())

    async def _read(self) -> None:
        try:
            while data := await self._stream.read(READ_SIZE):
                await self.connection.received(data)
        except Exception:  # end of stream, reset, broken connection: libp2p has a class for each
            pass
        self.over.set()

    async def _write(self) -> None:
        outbox = self.connection.outbox
        try:
            while True:
                await self._stream.write(await outbox.take())
                outbox.written()
        except Exception:  # as above; part of a frame may be gone, so the whole link ends
            pass
        self.over.set()

    async def _end_on_abort(self) -> None:
        await self.connection.abort_wanted.wait()
        self.over.set()

    async def _end_on_close(self) -> None:
        await self.connection.close_wanted.wait()
        with trio.move_on_after(CLOSE_S):
            while self.connection.outbox.size:  # noqa: ASYNC110 - once, at the end
                await trio.sleep(0.005)
            # yamux drops unread bytes when it closes: the peer, who reads our goodbye, should close first.
            await trio.sleep(GOODBYE_S)
        self.over.set()


def _ask_nothing(peer: ID, *, reason: str) -> None:
    """In place of the host's question to every new peer who it is."""


def _attach(bridged: BridgedConnection, answer: Callable[[BridgedConnection], Reader | None]) -> None:
    bridged.reader = answer(bridged)


def _answer(done: Dialled, failure: DialFailure) -> None:
    done(failure)


async def _ignoring_failure(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:  # used where a connection is over either way
        return


def _check_port_free(place: Place) -> None:
    """libp2p listens with SO_REUSEPORT, so two nodes could share a port without noticing: bind it plainly first."""
    if place.port == 0:
        return
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            raise PortTaken(str(place)) from error


def _multiaddr(place: Place) -> Multiaddr:
    return Multiaddr(f"/{'ip6' if ':' in place.host else 'ip4'}/{place.host}/tcp/{place.port}")


def _listening(host: IHost, node_id: NodeId) -> tuple[str, ...]:
    places = [parse_place(str(address).split("/p2p/")[0]) for address in host.get_transport_addrs()]
    return tuple(str(Place(place.kind, place.host, place.port, node_id)) for place in places)


def _quiet_libraries() -> None:
    """A refused peer is no news to a person: what matters of libp2p's troubles reaches us as events.

    Some of its modules set their own level and some log through the root logger, so levels alone do not help.
    """
    library = logging.getLogger("libp2p")
    library.propagate = False
    if not library.handlers:  # without any, Python prints warnings by itself
        library.addHandler(logging.NullHandler())
        logging.getLogger().addFilter(lambda record: f"{os.sep}libp2p{os.sep}" not in record.pathname)
