"""Carriers made of carriers: several as one, and one in trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node.clock import LoopClock
from octra.node.p2p.carrier import Carrier
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.faulty import Faults, FaultyCarrier
from octra.node.p2p.handshake import Identity
from octra.node.p2p.joined import JoinedCarrier
from octra.node.p2p.memory import MemoryNetwork
from octra.node.p2p.transport import DialFailed, DownReason, Lane, LinkDown, LinkUp, PortTaken, Received, TransportEvent

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]
IDENTITIES = [Identity(SigningKey(bytes([i]) * 32), "localnet-test", b"g" * 32) for i in (1, 2)]


class Node:
    def __init__(self, number: int, carrier: Carrier) -> None:
        self.endpoint = Endpoint(IDENTITIES[number], carrier, LoopClock(0), structlog.get_logger())
        self.events: list[tuple[float, TransportEvent]] = []

    async def __aenter__(self) -> Node:
        await self.endpoint.start(self._take)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.stop(1_000)

    def _take(self, events: Sequence[TransportEvent]) -> None:
        now = asyncio.get_running_loop().time()
        self.events += [(now, event) for event in events]

    def seen(self, kind: type[TransportEvent]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def link(self) -> int:
        number: int = self.seen(LinkUp)[-1].link
        return number


def test_a_peer_reached_over_two_networks_has_one_link(simulate: Simulate) -> None:
    async def scenario() -> None:
        red, blue = MemoryNetwork(1), MemoryNetwork(2)
        one, other = (identity.node_id for identity in IDENTITIES)
        both = JoinedCarrier([red.carrier(1, one), blue.carrier(1, one)])
        async with Node(0, both) as near, Node(1, red.carrier(2, other)) as far:
            assert len(near.endpoint.listening()) == 2
            near.endpoint.dial(far.endpoint.listening()[0], other)
            await asyncio.sleep(1)
            near.endpoint.dial("/ip4/127.0.0.1/tcp/1", IDENTITIES[1].node_id)
            far.endpoint.dial("/ip4/127.0.0.1/tcp/1", SigningKey(b"\7" * 32).public)  # type: ignore[arg-type]
            await asyncio.sleep(1)
            assert len(near.seen(LinkUp)) == 1
            assert near.seen(DialFailed)[0].error.reason is DownReason.DUPLICATE
            assert far.seen(DialFailed)[0].error.reason is DownReason.RESET

    simulate(scenario())


def test_when_one_of_several_cannot_listen_none_does(simulate: Simulate) -> None:
    async def scenario() -> None:
        red, blue = MemoryNetwork(1), MemoryNetwork(2)
        one = IDENTITIES[0].node_id
        await blue.carrier(1, one).start(lambda connection: pytest.fail("nobody dials"))
        joined = JoinedCarrier([red.carrier(1, one), blue.carrier(1, one)])
        with pytest.raises(PortTaken):
            await joined.start(lambda connection: pytest.fail("nobody dials"))
        await red.carrier(1, one).start(lambda connection: pytest.fail("nobody dials"))  # is free again

    simulate(scenario())


def test_faults_delay_cut_heal_and_reset_living_links(simulate: Simulate) -> None:
    async def scenario() -> None:
        network, faults = MemoryNetwork(1), Faults(1)
        one, other = (identity.node_id for identity in IDENTITIES)
        troubled = FaultyCarrier(network.carrier(1, one), faults)
        async with Node(0, troubled) as near, Node(1, network.carrier(2, other)) as far:
            near.endpoint.dial(far.endpoint.listening()[0], other)
            await asyncio.sleep(1)
            faults.latency(other, 500, 100)
            near.endpoint.send(other, near.link(), Lane.DATA, [b"\1late"])
            sent_at = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
            arrived_at = next(at for at, event in far.events if isinstance(event, Received))
            assert 0.4 <= arrived_at - sent_at <= 0.6
            faults.cut([other])
            near.endpoint.send(other, near.link(), Lane.DATA, [b"\1held"])
            await asyncio.sleep(5)
            assert len(far.seen(Received)) == 1
            faults.heal()
            await asyncio.sleep(1)
            assert far.seen(Received)[-1].frames == (b"\1held",)
            faults.reset(other)
            await asyncio.sleep(1)
            assert near.seen(LinkDown)
            assert far.seen(LinkDown)
            faults.cut([other])
            near.endpoint.dial(far.endpoint.listening()[0], other)
            await asyncio.sleep(1)
            assert near.seen(DialFailed)

    simulate(scenario())
