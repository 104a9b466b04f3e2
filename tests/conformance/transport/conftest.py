"""The worlds in which every law of a transport is tested: memory, troubled memory (virtual time), TLS and libp2p."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node import event_loop
from octra.node.clock import LoopClock
from octra.node.p2p.carrier import Carrier
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.faulty import Faults, FaultyCarrier
from octra.node.p2p.handshake import Identity
from octra.node.p2p.joined import JoinedCarrier
from octra.node.p2p.memory import MemoryNetwork, uniform
from octra.node.p2p.tls import TlsCarrier
from octra.node.p2p.transport import DialFailed, Lane, LinkDown, LinkUp, Received, TransportEvent, cost
from octra.primitives import NodeId

E = TypeVar("E")
PATIENCE_S = 30.0  # of a test that would otherwise hang; no law depends on it


def _load(path: Path) -> Any:  # a module
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_loop = _load(Path(__file__).parents[2] / "simulation" / "loop.py")


@dataclass
class Node:
    """An endpoint and everything it was told. `greedy` returns credit at once."""

    identity: Identity
    carrier: Carrier
    endpoint: Endpoint
    greedy: bool = True
    events: list[TransportEvent] = field(default_factory=list)

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    @property
    def address(self) -> str:
        return self.endpoint.listening()[0]

    def sink(self, events: Sequence[TransportEvent]) -> None:
        self.events.extend(events)
        if self.greedy:
            for event in events:
                if isinstance(event, Received):
                    self.endpoint.consumed(event.peer, event.link, event.lane, cost(event.frames))

    def dial(self, other: Node) -> None:
        self.endpoint.dial(other.address, other.node_id)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def frames(self, lane: Lane) -> list[bytes]:
        return [frame for event in self.all(Received) if event.lane is lane for frame in event.frames]

    def link(self, other: Node) -> int:
        """The number of the newest link to `other`."""
        return [event.link for event in self.all(LinkUp) if event.peer == other.node_id][-1]

    def links(self) -> set[NodeId]:
        return {link.peer for link in self.endpoint.stats().links}

    def break_link(self, other: Node) -> None:
        """Cut the connection under the link, in the middle of whatever it carries."""
        self.endpoint._links[other.node_id].connection.abort()


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - a condition on anything has no event
            await asyncio.sleep(0.005)


class World:
    """Makes nodes of one adapter and runs scenarios on the loop that suits it."""

    until = staticmethod(until)

    def __init__(self, adapter: str) -> None:
        self.adapter = adapter
        self.sockets = adapter in ("libp2p", "tls")
        self.nodes: list[Node] = []
        self.clock = LoopClock(1_700_000_000_000)
        self._network = MemoryNetwork(seed=7, delay=uniform(0.005, 0.05))

    @property
    def anywhere(self) -> str:
        """A place to listen at that nobody else has."""
        return {"libp2p": "/ip4/127.0.0.1/tcp/0", "tls": "/ip4/127.0.0.1/tcp/0/tls"}.get(self.adapter, "/memory/77")

    def run(self, scenario: Callable[[World], Awaitable[None]]) -> None:
        async def whole() -> None:
            try:
                await scenario(self)
            finally:
                for node in self.nodes:
                    await node.endpoint.stop(1_000)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others, "a stopped endpoint leaves no task behind"

        if self.sockets:
            event_loop.run(whole())
        else:
            _loop.simulate(whole())

    def make(self, number: int, *, genesis: bytes = b"g" * 32, chain: str = "localnet-test", **changes: Any) -> Node:
        """A node that is not started. The same number gives the same key."""
        identity = Identity(SigningKey(bytes([number]) * 32), chain, genesis)
        carrier = self._carrier(number, identity, changes.pop("listen", None))
        endpoint = Endpoint(identity, carrier, self.clock, structlog.get_logger(), **changes)
        node = Node(identity, carrier, endpoint)
        self.nodes.append(node)
        return node

    async def node(self, number: int, **changes: Any) -> Node:
        """A started node."""
        node = self.make(number, **changes)
        await node.endpoint.start(node.sink)
        return node

    async def pair(self) -> tuple[Node, Node]:
        """Two linked nodes; the first has dialled."""
        one, other = await self.node(1), await self.node(2)
        await self.join(one, other)
        return one, other

    async def join(self, one: Node, other: Node) -> None:
        one.dial(other)
        await until(lambda: other.node_id in one.links() and one.node_id in other.links())
        await until(lambda: one.all(LinkUp) and other.all(LinkUp))

    def _carrier(self, number: int, identity: Identity, listen: str | None) -> Carrier:
        if not self.sockets:
            host = int(listen.split("/")[2]) if listen else number
            memory = self._network.carrier(host, identity.node_id)
            if self.adapter == "memory":
                return memory
            faults = Faults(number)
            faults.latency(None, 20, 15)
            faults.bandwidth(None, 20_000_000)
            return FaultyCarrier(JoinedCarrier([memory]), faults)
        place = listen.split("/p2p/")[0] if listen else self.anywhere
        if self.adapter == "tls":
            return TlsCarrier(identity.node_id, (place,))
        from octra.node.p2p.libp2p import Libp2pCarrier

        return Libp2pCarrier(identity.key, (place,))


@pytest.fixture(params=["memory", "troubled", "tls", "libp2p"])
def world(request: pytest.FixtureRequest) -> World:
    """One of the worlds."""
    return World(request.param)


__all__ = ["DialFailed", "LinkDown", "World"]
