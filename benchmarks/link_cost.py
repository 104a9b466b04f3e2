"""What a message costs in processor time: between nodes, both ends, and between actors of one node.

    ./run bench links [--nodes 24] [--rounds 20] [--transport tls libp2p] [--profile]

A whole mesh of nodes runs in one process, over real sockets. In each round every node broadcasts what a vertex and then
what a batch takes, as validators do. A message passes router, link, encryption and socket on one side, and the same up
to the mailbox of an actor on the other. On a machine with other work the best round says more than the median.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import time
from collections.abc import Sequence
from typing import Any

import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node import event_loop
from octra.node.actors.ref import ActorCode
from octra.node.actors.supervisor import Supervisor
from octra.node.clock import LoopClock
from octra.node.p2p.budget import PeerClass
from octra.node.p2p.carrier import Carrier
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.handshake import Identity
from octra.node.p2p.libp2p import Libp2pCarrier
from octra.node.p2p.router import Incoming, Router
from octra.node.p2p.tls import TlsCarrier
from octra.node.p2p.transport import Lane

SIZES = {Lane.CONSENSUS: 2_500, Lane.DATA: 10_000}  # bytes of a vertex and of a batch
MESSAGE = 2
REPEATS = 100
BURSTS = 1, 24  # messages that an actor finds in its mailbox


class Counter:
    """An actor that counts what it gets, and tells when that was enough."""

    def __init__(self) -> None:
        self.missing = 0
        self.complete = asyncio.Event()

    async def start(self, context: object) -> None: ...
    async def stop(self, deadline_ms: int) -> None: ...

    async def receive(self, batch: Sequence[Incoming]) -> None:
        self.missing -= len(batch)
        if self.missing == 0:
            self.complete.set()


class Mesh:
    """Some nodes, each linked with each."""

    def __init__(self, transport: str, count: int) -> None:
        clock, log = LoopClock(), structlog.get_logger()
        self.identities = [Identity(SigningKey(os.urandom(32)), "bench", bytes(32)) for _ in range(count)]
        self.counter = Counter()
        self.supervisor = Supervisor(clock, log)
        actor = self.supervisor.add(ActorCode.ORDERING, lambda: self.counter)
        self.routers = []
        for identity in self.identities:
            endpoint = Endpoint(identity, carrier(transport, identity), clock, log)
            router = Router(endpoint, clock, log, classify=lambda peer: PeerClass.COMMITTEE)
            router.register_actor(ActorCode.ORDERING, actor)
            router.set_members([other.node_id for other in self.identities])
            self.routers.append(router)

    async def start(self) -> None:
        self._running = asyncio.create_task(self.supervisor.run())
        await self.supervisor.running.wait()
        for number, router in enumerate(self.routers):
            await router.start()
            for other, identity in zip(self.routers[:number], self.identities, strict=False):
                router.transport.dial(other.transport.listening()[0], identity.node_id)
        while any(len(router.peers()) < len(self.routers) - 1 for router in self.routers):  # noqa: ASYNC110 - once
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for router in self.routers:
            await router.stop()
        self.supervisor.shutdown()
        await self._running

    async def broadcast(self, lane: Lane, body: bytes) -> int:
        """Every node tells all others; returns how many messages have arrived."""
        count = len(self.routers) * (len(self.routers) - 1)
        self.counter.missing = count
        self.counter.complete.clear()
        for router in self.routers:
            assert not router.broadcast(lane, ActorCode.ORDERING, MESSAGE, body)
            await asyncio.sleep(0)  # nodes do not speak in one turn of the loop
        await self.counter.complete.wait()
        return count


def carrier(transport: str, identity: Identity) -> Carrier:
    """What carries the links of one node, on a free port."""
    if transport == "tls":
        return TlsCarrier(identity.node_id, ("/ip4/127.0.0.1/tcp/0/tls",))
    return Libp2pCarrier(identity.key, ("/ip4/127.0.0.1/tcp/0",))


async def measure(transport: str, nodes: int, rounds: int, profile: cProfile.Profile | None) -> None:
    """Print the microseconds of processor time for one message of each lane."""
    mesh = Mesh(transport, nodes)
    await mesh.start()
    spent_us: dict[Lane, list[float]] = {lane: [] for lane in SIZES}
    for round in range(rounds + 2):
        for lane, size in SIZES.items():
            body = os.urandom(size)
            if profile and round >= 2:
                profile.enable()
            began = time.process_time()
            count = await mesh.broadcast(lane, body)
            if round >= 2:  # the first ones warm up
                spent_us[lane].append((time.process_time() - began) * 1e6 / count)
            if profile:
                profile.disable()
    await mesh.stop()
    figures = ", ".join(
        f"{statistics.median(spent):.1f} us (at best {min(spent):.1f}) for {size:,} bytes"
        for size, spent in zip(SIZES.values(), spent_us.values(), strict=True)
    )
    print(f"{transport}, {nodes} nodes, {rounds} rounds: {figures}", flush=True)


async def measure_actor(rounds: int) -> None:
    """Print the microseconds of processor time for one message told to an actor that waits for it."""
    counter, supervisor = Counter(), Supervisor(LoopClock(), structlog.get_logger())
    actor = supervisor.add(ActorCode.ORDERING, lambda: counter)
    running = asyncio.create_task(supervisor.run())
    await supervisor.running.wait()
    for burst in BURSTS:
        spent_us = []
        for _ in range(rounds):
            began = time.process_time()
            for _ in range(REPEATS):
                counter.missing = burst
                counter.complete.clear()
                for number in range(burst):
                    actor.tell(number)
                await counter.complete.wait()
            spent_us.append((time.process_time() - began) * 1e6 / (REPEATS * burst))
        print(f"actor, {burst} at once: {statistics.median(spent_us):.1f} us (at best {min(spent_us):.1f})", flush=True)
    supervisor.shutdown()
    await running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--transport", nargs="+", choices=["tls", "libp2p"], default=["tls", "libp2p"])
    parser.add_argument("--profile", action="store_true")
    chosen: Any = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    event_loop.run(measure_actor(chosen.rounds))
    for transport in chosen.transport:
        profile = cProfile.Profile() if chosen.profile else None
        event_loop.run(measure(transport, chosen.nodes, chosen.rounds, profile))
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    main()
