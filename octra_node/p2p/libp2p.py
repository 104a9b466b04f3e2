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
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_pair
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from multiaddr import Multiaddr

from octra.crypto.ed25519 import SigningKey
from octra.errors import Unavailable
from octra.node.p2p.address import InvalidPlace, Place, PlaceKind, parse_peer_id, parse_place, peer_id
from octra.node.p2p.bridge import BridgedConnection, Inbox
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.transport import DialFailure, DownReason, Lane, PortTaken
from octra.primitives import NodeId

PROTOCOLS = {lane: f"/octra/{lane.name.lower()}/1" for lane in Lane}
READ_SIZE = 256 * 1_024
WRITE_SIZE = 256 * 1_024  # one long write would keep the other lanes of the connection waiting
DIALS_MAX = 8
DIAL_S = 10
CLOSE_S = 1.0
GOODBYE_S = 0.1
STOP_S = 5.0
CONNECTIONS_MAX = 600


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
            done(DialFailure(DownReason.RESET, "not a libp2p address"))
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
    async with host.run(listen_addrs=[_multiaddr(place) for place in listen]), trio.open_nursery() as nursery:
        await host.get_network().auto_connector.stop()  # it would dial every peer it ever heard of
        side = _TrioSide(host, NodeId(key.public), nursery, inbox, accept)
        for lane, protocol in PROTOCOLS.items():
            host.set_stream_handler(protocol, partial(side.accept_lane, lane))
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
        self._dials = trio.CapacityLimiter(DIALS_MAX)
        self._wires: dict[int, _Wire] = {}  # by id of the muxed connection
        self.stopping = trio.Event()
        self.listening: tuple[str, ...] = ()

    def stop_soon(self) -> None:
        self._soon(self.stopping.set)

    def dial_soon(self, place: Place, expected: NodeId, done: Dialled) -> None:
        if not self._soon(lambda: self._nursery.start_soon(self._dial, place, expected, done)):
            done(DialFailure(DownReason.STOPPING))

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
        connection = None
        try:
            async with self._dials:
                with trio.move_on_after(DIAL_S):
                    connection = await self._host.get_network().dial_addr(
                        _multiaddr(place), ID.from_base58(peer_id(expected))
                    )
        except Exception as error:  # libp2p raises many kinds here; each means: no connection
            failure = type(error.__cause__ or error).__name__
        if connection is None:
            self._inbox.post(lambda: _answer(done, DialFailure(DownReason.RESET, failure)))
            return
        if connection.get_negotiated_security_protocol() != str(NOISE):
            await connection.close()
            self._inbox.post(lambda: _answer(done, DialFailure(DownReason.WRONG_IDENTITY, "not noise")))
            return
        bridged = BridgedConnection(
            self._token, self._inbox, channel=self._node_id + expected, owner=expected, remote=str(place)
        )
        self._inbox.post(lambda: _attach(bridged, done))
        wire = self._wires[id(connection.muxed_conn)] = _Wire(self, connection, bridged)
        await wire.run(self._open_lane)

    async def _open_lane(self, wire: _Wire, lane: Lane) -> None:
        stream = await wire.swarm_connection.new_stream()
        await self._host.multiselect_client.select_one_of([PROTOCOLS[lane]], MultiselectCommunicator(stream), DIAL_S)
        stream.set_protocol(PROTOCOLS[lane])
        await wire.carry(lane, stream)

    async def accept_lane(self, lane: Lane, stream: INetStream) -> None:
        """A peer opened a stream of ours; its first one makes the connection known to the asyncio thread."""
        muxed: Any = stream.muxed_conn  # IMuxedConn; peer_id is what noise has authenticated
        wire = self._wires.get(id(muxed))
        if wire is None:
            try:
                owner = parse_peer_id(muxed.peer_id.to_base58())
            except InvalidPlace:
                await stream.reset()  # not an Ed25519 key: no node of ours
                return
            place = stream.get_remote_address()
            remote = str(Place(PlaceKind.LIBP2P, place[0], place[1], owner)) if place else peer_id(owner)
            bridged = BridgedConnection(
                self._token, self._inbox, channel=owner + self._node_id, owner=owner, remote=remote
            )
            self._inbox.post(lambda: _attach(bridged, self._accept))
            wire = self._wires[id(muxed)] = _Wire(self, stream.swarm_conn, bridged)
            self._nursery.start_soon(wire.run, None)
        await wire.carry(lane, stream)

    def forget(self, wire: _Wire) -> None:
        self._wires = {key: kept for key, kept in self._wires.items() if kept is not wire}


class _Wire:
    """One libp2p connection with up to four lanes; any failure of a lane ends all of them."""

    def __init__(self, side: _TrioSide, swarm_connection: Any, connection: BridgedConnection) -> None:
        self._side, self.swarm_connection, self.connection = side, swarm_connection, connection
        self._lanes: set[Lane] = set()
        self._over = trio.Event()

    async def run(self, open_lane: Callable[[_Wire, Lane], Awaitable[None]] | None) -> None:
        """Live until the connection fails or either side wants its end. The dialler gives `open_lane`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_on_abort)
            nursery.start_soon(self._end_on_close)
            if open_lane is not None:
                # REQUEST first: the handshake runs on it while the others are being opened.
                for lane in (Lane.REQUEST, Lane.CONSENSUS, Lane.DATA, Lane.BULK):
                    nursery.start_soon(self._open, open_lane, lane)
            await self._over.wait()
            nursery.cancel_scope.cancel()
        self._side.forget(self)
        self.connection.closed()
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
            await _ignoring_failure(self.swarm_connection.close())

    async def carry(self, lane: Lane, stream: INetStream) -> None:
        """Move the bytes of one lane both ways until something ends."""
        if lane in self._lanes:
            await _ignoring_failure(stream.reset())
            return
        self._lanes.add(lane)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, lane, stream)
            nursery.start_soon(self._write, lane, stream)
            await self._over.wait()
            nursery.cancel_scope.cancel()

    async def _open(self, open_lane: Callable[[_Wire, Lane], Awaitable[None]], lane: Lane) -> None:
        try:
            await open_lane(self, lane)
        except Exception:  # whatever libp2p raises: without its lanes the connection is useless
            self._over.set()

    async def _read(self, lane: Lane, stream: INetStream) -> None:
        try:
            while data := await stream.read(READ_SIZE):
                await self.connection.received(lane, data)
        except Exception:  # end of stream, reset, broken connection: libp2p has a class for each
            pass
        self._over.set()

    async def _write(self, lane: Lane, stream: INetStream) -> None:
        outbox = self.connection.outboxes[lane]
        try:
            while True:
                data = await outbox.take()
                for start in range(0, len(data), WRITE_SIZE):
                    await stream.write(data[start : start + WRITE_SIZE] if len(data) > WRITE_SIZE else data)
                outbox.written(len(data))
        except Exception:  # as above; part of a frame may be gone, so the whole link ends
            pass
        self._over.set()

    async def _end_on_abort(self) -> None:
        await self.connection.abort_wanted.wait()
        self._over.set()

    async def _end_on_close(self) -> None:
        await self.connection.close_wanted.wait()
        with trio.move_on_after(CLOSE_S):
            while any(self.connection.outboxes[lane].size for lane in self._lanes):  # noqa: ASYNC110 - once, at the end
                await trio.sleep(0.005)
            # yamux drops unread bytes when it closes: the peer, who reads our goodbye, should close first.
            await trio.sleep(GOODBYE_S)
        self._over.set()


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
