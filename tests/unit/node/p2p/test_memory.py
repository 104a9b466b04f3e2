"""The simulated network's faults do what they say, and a seed gives the same run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node.clock import LoopClock
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.handshake import Identity
from octra.node.p2p.link import SILENCE_MS
from octra.node.p2p.memory import MemoryNetwork, heavy_tail, uniform
from octra.node.p2p.transport import DownReason, Lane, LinkDown, LinkUp, Received, TransportEvent, cost

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]


class Net:
    """Some linked endpoints, and a trace of everything they were told."""

    def __init__(self, count: int, seed: int = 1, **options: Any) -> None:
        self.network = MemoryNetwork(seed, **(options or {"delay": uniform(0.01, 0.02)}))
        self.trace: list[tuple[float, int, TransportEvent]] = []
        self.identities = [
            Identity(SigningKey(bytes([i + 1]) * 32), "localnet-test", b"g" * 32, instance=bytes([i]) * 16)
            for i in range(count)
        ]
        self.endpoints = [
            Endpoint(
                identity,
                self.network.carrier(i, identity.node_id),
                LoopClock(0),
                structlog.get_logger(),
                entropy=self.network.rng.randbytes,
            )
            for i, identity in enumerate(self.identities)
        ]

    async def __aenter__(self) -> Net:
        for i, endpoint in enumerate(self.endpoints):
            await endpoint.start(lambda events, i=i: self._note(i, events))
        for i, endpoint in enumerate(self.endpoints):
            for j in range(i):
                endpoint.dial(self.endpoints[j].listening()[0], self.identities[j].node_id)
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self.endpoints:
            await endpoint.stop(1_000)

    def _note(self, host: int, events: Sequence[TransportEvent]) -> None:
        for event in events:
            self.trace.append((asyncio.get_running_loop().time(), host, event))
            if isinstance(event, Received):
                self.endpoints[host].consumed(event.peer, event.link, event.lane, cost(event.frames))

    def seen(self, host: int, kind: type[TransportEvent]) -> list[Any]:
        return [event for _, at, event in self.trace if at == host and isinstance(event, kind)]

    def send(self, host: int, to: int, body: bytes) -> None:
        link = self.seen(host, LinkUp)[-1]
        self.endpoints[host].send(self.identities[to].node_id, link.link, Lane.DATA, [b"\1" + body])


def test_a_silent_cut_is_noticed_by_both_sides_within_the_silence_limit(simulate: Simulate) -> None:
    async def scenario() -> None:
        async with Net(2) as net:
            net.network.partition([0], [1])
            await asyncio.sleep(SILENCE_MS / 1_000 + 1)
            assert [net.seen(host, LinkDown)[0].reason for host in (0, 1)] == [DownReason.SILENT] * 2

    simulate(scenario())


def test_a_short_cut_only_delays(simulate: Simulate) -> None:
    async def scenario() -> None:
        async with Net(2) as net:
            net.network.cut([0], [1])
            net.send(0, 1, b"held")
            await asyncio.sleep(5)
            assert not net.seen(1, Received)
            net.network.heal()
            await asyncio.sleep(1)
            assert net.seen(1, Received)[0].frames == (b"\1held",)
            assert not net.seen(0, LinkDown) + net.seen(1, LinkDown)

    simulate(scenario())


def test_an_idle_link_stays_up_for_an_hour(simulate: Simulate) -> None:
    async def scenario() -> None:
        async with Net(2) as net:
            await asyncio.sleep(3_600)
            assert not net.seen(0, LinkDown) + net.seen(1, LinkDown)
            rtt_ms = net.endpoints[0].stats().links[0].rtt_ms
            assert rtt_ms is not None
            assert 20 <= rtt_ms <= 41

    simulate(scenario())


def test_a_flipped_bit_ends_a_link_or_changes_a_body_but_never_breaks_the_node(simulate: Simulate) -> None:
    async def scenario() -> None:
        async with Net(2) as net:
            net.network.corrupt(0, 1)
            net.send(0, 1, b"")
            await asyncio.sleep(20)
            net.send(0, 1, b"again")
            await asyncio.sleep(20)

    simulate(scenario())


def test_bandwidth_delays_in_proportion(simulate: Simulate) -> None:
    async def scenario() -> None:
        async with Net(2) as net:
            net.network.bytes_per_second = 100_000
            sent_at = asyncio.get_running_loop().time()
            net.send(0, 1, bytes(200_000))
            await asyncio.sleep(5)
            arrived_at = next(at for at, host, event in net.trace if isinstance(event, Received))
            assert 2.0 <= arrived_at - sent_at <= 2.1

    simulate(scenario())


def test_equal_seeds_give_equal_runs_and_other_seeds_others(simulate: Simulate) -> None:
    def digest(seed: int) -> str:
        async def scenario() -> list[tuple[float, int, str]]:
            async with Net(5, seed, delay=heavy_tail(0.01, 1.0)) as net:
                for i in range(200):
                    sender = net.network.rng.randrange(5)
                    net.endpoints[sender].send_many(
                        [identity.node_id for identity in net.identities], Lane.DATA, b"\1" + bytes([i])
                    )
                    if i == 100:
                        net.network.reset(1, 2)
                    await asyncio.sleep(net.network.rng.uniform(0, 0.05))
                await asyncio.sleep(30)
            return [(at, host, repr(event)) for at, host, event in net.trace]

        return hashlib.sha256(repr(simulate(scenario())).encode()).hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)
