"""TLS as a carrier: what the laws of all transports do not show."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Any

import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node import event_loop
from octra.node.clock import LoopClock
from octra.node.p2p import sockets, tls
from octra.node.p2p.address import Place, PlaceKind
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.handshake import Identity
from octra.node.p2p.tls import TlsCarrier
from octra.node.p2p.tls_certificate import client_context, self_signed, server_context
from octra.node.p2p.transport import DialFailed, DialFailure, DownReason, Lane, LinkDown, LinkUp, TransportEvent

LOCAL = "/ip4/127.0.0.1/tcp/0/tls"
KEY = SigningKey(b"\5" * 32)


class Node:
    """One endpoint over TLS, and what it was told."""

    def __init__(self, number: int) -> None:
        self.identity = Identity(SigningKey(bytes([number]) * 32), "localnet-test", b"g" * 32)
        self.carrier = TlsCarrier(self.identity.node_id, (LOCAL,))
        self.endpoint = Endpoint(self.identity, self.carrier, LoopClock(), structlog.get_logger())
        self.events: list[TransportEvent] = []

    async def __aenter__(self) -> Node:
        await self.endpoint.start(self.take)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.stop(1_000)

    def take(self, events: Sequence[TransportEvent]) -> None:
        self.events.extend(events)

    @property
    def port(self) -> int:
        return int(self.endpoint.listening()[0].split("/")[4])

    async def first(self, kind: type[TransportEvent]) -> Any:
        await until(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))

    async def dial_failure(self, port: int, expected: Node) -> DialFailure:
        """What comes of dialling a port at which somebody else may listen."""
        place = Place(PlaceKind.TLS, "127.0.0.1", port, expected.identity.node_id)
        self.endpoint.dial(str(place), expected.identity.node_id)
        failure: DialFailure = (await self.first(DialFailed)).error
        return failure


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a condition on anything has no event
            await asyncio.sleep(0.005)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    event_loop.run(scenario())


class Recorder:
    """A reader that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Lane, bytes]] = []
        self.over = False

    def received(self, lane: Lane, data: bytes) -> None:
        self.pieces.append((lane, data))

    def closed(self) -> None:
        self.over = True


def test_the_certificate_is_the_smallest_that_openssl_reads_and_arrives_as_it_was_sent() -> None:
    certificate = self_signed(KEY)
    assert len(certificate) == 209
    assert sha256(certificate).hexdigest() == "f2b143f2f9cc10185b5e336f81b7403298f9705bb2f6ec7ca3ecd41f70272572"

    async def scenario() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=server_context(KEY, certificate)
        )
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context())
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert (session.version(), session.selected_alpn_protocol()) == ("TLSv1.3", "octra/1")
        assert session.getpeercert(binary_form=True) == certificate
        writer.close()
        server.close()

    run(scenario)


def test_a_relay_that_ends_tls_in_the_middle_gets_no_link() -> None:
    async def scenario() -> None:
        async with Node(1) as one, Node(2) as other:

            async def relay(near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
                far_in, far_out = await asyncio.open_connection("127.0.0.1", other.port, ssl=client_context())
                await asyncio.gather(pump(near_in, far_out), pump(far_in, near_out))

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65_536):
                    sink.write(data)
                sink.close()

            server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=server_context(KEY, self_signed(KEY)))
            failure = await one.dial_failure(server.sockets[0].getsockname()[1], other)
            assert failure.reason is DownReason.BAD_PROOF
            assert not [event for event in other.events if isinstance(event, LinkUp)]
            server.close()

    run(scenario)


def test_the_node_that_answers_must_be_the_one_that_was_dialled() -> None:
    async def scenario() -> None:
        async with Node(1) as one, Node(2) as other:
            assert (await one.dial_failure(other.port, Node(3))).reason is DownReason.WRONG_IDENTITY

    run(scenario)


def test_dialling_a_port_of_another_protocol_says_so() -> None:
    async def scenario() -> None:
        async def multistream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x13/multistream/1.0.0\n")  # what libp2p says first

        server = await asyncio.start_server(multistream, "127.0.0.1", 0)
        async with Node(1) as one:
            failure = await one.dial_failure(server.sockets[0].getsockname()[1], Node(2))
            assert failure.reason is DownReason.PROTOCOL
            assert "no TLS of ours" in str(failure)
        server.close()

    run(scenario)


def test_dialling_another_tls_service_says_so() -> None:
    async def scenario() -> None:
        context = server_context(KEY, self_signed(KEY))
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
        async with Node(1) as one:
            failure = await one.dial_failure(server.sockets[0].getsockname()[1], Node(2))
            assert failure.reason is DownReason.PROTOCOL
        server.close()

    run(scenario)


@pytest.mark.parametrize(
    "opening", [b"\x13/multistream/1.0.0\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(99)]
)
def test_who_speaks_something_else_is_cut_off_and_others_still_get_in(opening: bytes) -> None:
    async def scenario() -> None:
        async with Node(1) as one, Node(2) as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", other.port)
            writer.write(opening)
            while await reader.read(1_024):  # an alert at most, then the end
                pass
            writer.close()
            one.endpoint.dial(other.endpoint.listening()[0], other.identity.node_id)
            await one.first(LinkUp)

    run(scenario)


def test_old_tls_is_refused() -> None:
    async def scenario() -> None:
        async with Node(1) as one:
            context = client_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionResetError)):  # an alert, or the end that follows it
                await asyncio.open_connection("127.0.0.1", one.port, ssl=context)

    run(scenario)


def test_silent_strangers_keep_their_places_for_a_short_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "ACCEPT_S", 0.2)

    async def scenario() -> None:
        async with Node(1) as one, Node(2) as other:
            silent = [socket.create_connection(("127.0.0.1", other.port)) for _ in range(sockets.ACCEPTS_MAX + 8)]
            await asyncio.sleep(0.05)
            one.endpoint.dial(other.endpoint.listening()[0], other.identity.node_id)
            await one.first(LinkUp)
            for connection in silent:
                connection.close()

    run(scenario)


def test_a_connection_cut_in_the_middle_of_a_chunk_ends_the_link() -> None:
    async def scenario() -> None:
        async with Node(1) as one, Node(2) as other:
            one.endpoint.dial(other.endpoint.listening()[0], other.identity.node_id)
            up: LinkUp = await one.first(LinkUp)
            await other.first(LinkUp)
            connection: Any = one.endpoint._links[up.peer].connection
            connection._session.write(b"\1\0\1\0half")
            connection._send_records()
            await asyncio.sleep(0.05)
            connection.abort()
            assert (await other.first(LinkDown)).reason is DownReason.RESET

    run(scenario)


def test_a_vertex_overtakes_megabytes_that_were_written_before_it() -> None:
    async def scenario() -> None:
        listener, dialler = (TlsCarrier(Node(number).identity.node_id, (LOCAL,)) for number in (1, 2))
        recorder, connections = Recorder(), []

        def dialled(outcome: Any) -> Recorder:
            connections.append(outcome)
            return Recorder()

        await listener.start(lambda connection: recorder)
        dialler.dial(listener.listening()[0], Node(1).identity.node_id, dialled)
        await until(lambda: connections)
        connections[0].write(Lane.BULK, bytes(4_000_000))
        connections[0].write(Lane.CONSENSUS, b"vertex")
        await until(lambda: sum(len(data) for _, data in recorder.pieces) == 4_000_006)
        assert [data for lane, data in recorder.pieces if lane is Lane.CONSENSUS] == [b"vertex"]
        assert recorder.pieces.index((Lane.CONSENSUS, b"vertex")) <= 1
        await dialler.stop()
        await until(lambda: recorder.over)
        await listener.stop()

    run(scenario)
