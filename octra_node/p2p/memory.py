"""Connections inside one event loop, with the faults of a real network drawn from a seed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

from octra.node.p2p.address import InvalidPlace, Place, PlaceKind, parse_place
from octra.node.p2p.carrier import Accept, Dialled, Reader
from octra.node.p2p.transport import DialFailure, DownReason, Lane, PortTaken
from octra.primitives import NodeId

CLOSE_S = 1.0  # how long a closed connection may still deliver what was written

Delay = Callable[[random.Random], float]  # seconds of one way, for one write


def constant(seconds: float) -> Delay:
    """Every write takes this long."""
    return lambda rng: seconds


def uniform(low: float, high: float) -> Delay:
    """Between `low` and `high` seconds."""
    return lambda rng: rng.uniform(low, high)


def heavy_tail(typical: float, limit: float) -> Delay:
    """Mostly `typical` seconds, rarely up to `limit` (Pareto with exponent 2)."""
    return lambda rng: min(limit, typical * rng.paretovariate(2.0))


class MemoryNetwork:
    """All hosts of one simulation. Faults act on host numbers, on all connections between them."""

    def __init__(self, seed: int = 0, delay: Delay | None = None) -> None:
        self.rng = random.Random(seed)
        self.delay = delay or constant(0.0)
        self.bytes_per_second: float | None = None
        self._hosts: dict[int, MemoryCarrier] = {}
        self._ends: list[MemoryConnection] = []
        self._cuts: set[tuple[int, int]] = set()
        self._connections = 0

    def carrier(self, number: int, node_id: NodeId) -> MemoryCarrier:
        """The carrier of host `number`, which listens at `/memory/<number>/p2p/<peer id>`."""
        return MemoryCarrier(self, number, node_id)

    def cut(self, sources: Iterable[int], targets: Iterable[int]) -> None:
        """Hold back all bytes from `sources` to `targets` (one way) until `heal`."""
        targets = tuple(targets)
        self._cuts |= {(source, target) for source in sources for target in targets}

    def partition(self, *sides: Iterable[int]) -> None:
        """Cut both ways between all of `sides`."""
        groups = [tuple(side) for side in sides]
        for one in groups:
            for other in groups:
                if one is not other:
                    self.cut(one, other)

    def heal(self) -> None:
        """End all cuts; what was held back arrives, since a stream loses nothing."""
        self._cuts.clear()
        for end in tuple(self._ends):
            end.release()

    def reset(self, one: int, other: int) -> None:
        """Break all connections between two hosts, in the middle of whatever they carry."""
        for end in self._between(one, other):
            end.abort()

    def corrupt(self, source: int, target: int) -> None:
        """Flip one bit of the next bytes from `source` to `target`."""
        for end in self._between(source, target):
            end.flip_next = True

    def connected(self, one: int, other: int) -> int:
        """How many connections lead from `one` to `other`."""
        return len(self._between(one, other))

    def _between(self, source: int, target: int) -> list[MemoryConnection]:
        return [end for end in self._ends if (end.source, end.target) == (source, target)]

    def is_cut(self, source: int, target: int) -> bool:
        """Do bytes from `source` to `target` wait?"""
        return (source, target) in self._cuts

    def attach(self, carrier: MemoryCarrier) -> None:
        """Put a host on the network; raises `PortTaken`."""
        if carrier.number in self._hosts:
            raise PortTaken(carrier.listening()[0])
        self._hosts[carrier.number] = carrier

    def detach(self, carrier: MemoryCarrier) -> None:
        """Take a host off the network and break its connections."""
        if self._hosts.get(carrier.number) is carrier:
            del self._hosts[carrier.number]
        for end in tuple(self._ends):
            if end.home is carrier:
                end.abort()

    def connect(self, source: MemoryCarrier, place: Place, done: Dialled) -> None:
        """Try to join `source` with the host at `place`; `done` hears of it after one delay."""
        target = self._hosts.get(place.port)
        if target is None or self.is_cut(source.number, place.port) or self.is_cut(place.port, source.number):
            done(DialFailure(DownReason.RESET, "no such host"))
            return
        self._connections += 1
        channel = self._connections.to_bytes(8, "big")
        near, far = MemoryConnection(self, source, target, channel), MemoryConnection(self, target, source, channel)
        near.far, far.far = far, near
        self._ends += [near, far]
        far.reader = target.accept(far)
        near.reader = done(near)

    def writing(self, carrier: MemoryCarrier) -> bool:
        """Does any connection of this host still deliver bytes?"""
        return any(end.home is carrier and end.backlog for end in self._ends)

    def forget(self, end: MemoryConnection) -> None:
        """A connection's end is over."""
        with suppress(ValueError):
            self._ends.remove(end)


class MemoryConnection:
    """One end of a connection; implements `Connection`."""

    owner: NodeId | None = None

    def __init__(self, network: MemoryNetwork, home: MemoryCarrier, target: MemoryCarrier, channel: bytes) -> None:
        self.home, self.source, self.target = home, home.number, target.number
        self.channel, self.remote = channel, target.listening()[0]
        self.reader: Reader | None = None
        self.far: MemoryConnection
        self.flip_next = False
        self.backlog = 0
        self._network = network
        self._held: deque[tuple[Lane, bytes]] = deque()
        self._travelling: dict[Lane, deque[bytes]] = {lane: deque() for lane in Lane}
        self._free_at = dict.fromkeys(Lane, 0.0)  # when the lane has delivered all that was written
        self._closing = self._over = False

    def write(self, lane: Lane, data: bytes) -> None:
        if self._closing or self._over:
            return
        if self.flip_next:
            self.flip_next = False
            place = self._network.rng.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        self.backlog += len(data)
        if self._held or self._network.is_cut(self.source, self.target):
            self._held.append((lane, data))
        else:
            self._travel(lane, data)

    def release(self) -> None:
        """Send on what a cut held back."""
        while self._held and not self._network.is_cut(self.source, self.target):
            self._travel(*self._held.popleft())

    def close(self) -> None:
        if not self._closing and not self._over:
            self._closing = True
            if self.backlog:
                asyncio.get_running_loop().call_later(CLOSE_S, self.abort)
            else:
                self.abort()

    def abort(self) -> None:
        for end in (self, self.far):
            if not end._over:
                end._over = True
                end._held.clear()
                self._network.forget(end)
                asyncio.get_running_loop().call_soon(end._tell_closed)

    def _tell_closed(self) -> None:
        if self.reader is not None:
            self.reader.closed()

    def _travel(self, lane: Lane, data: bytes) -> None:
        network, loop = self._network, asyncio.get_running_loop()
        duration = len(data) / network.bytes_per_second if network.bytes_per_second else 0.0
        start = max(loop.time() + network.delay(network.rng), self._free_at[lane])
        self._free_at[lane] = start + duration
        self._travelling[lane].append(data)
        loop.call_at(start + duration, self._arrive, lane)

    def _arrive(self, lane: Lane) -> None:
        if self._over:
            return
        data = self._travelling[lane].popleft()  # timers of one moment fire in any order, bytes must not
        self.backlog -= len(data)
        if self.far.reader is not None:
            self.far.reader.received(lane, data)
        if self._closing and not self.backlog:
            self.abort()


class MemoryCarrier:
    """One host of a `MemoryNetwork`; implements `Carrier`."""

    def __init__(self, network: MemoryNetwork, number: int, node_id: NodeId) -> None:
        self.number = number
        self._network, self._node_id = network, node_id
        self._accept: Accept | None = None

    async def start(self, accept: Accept) -> None:
        self._network.attach(self)
        self._accept = accept

    async def stop(self) -> None:
        try:
            while self._network.writing(self):  # noqa: ASYNC110 - virtual time makes waiting free
                await asyncio.sleep(0.001)
        finally:
            self._network.detach(self)
        await asyncio.sleep(0)

    def listening(self) -> tuple[str, ...]:
        return (str(Place(PlaceKind.MEMORY, "", self.number, self._node_id)),)

    def reaches(self, address: str) -> bool:
        try:
            return parse_place(address).kind is PlaceKind.MEMORY
        except InvalidPlace:
            return False

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        def connect() -> None:
            if self.reaches(address):
                self._network.connect(self, parse_place(address), done)
            else:
                done(DialFailure(DownReason.RESET, "not a memory address"))

        loop = asyncio.get_running_loop()
        loop.call_later(self._network.delay(self._network.rng), connect)

    def accept(self, connection: MemoryConnection) -> Reader:
        """A dial of another host reached us."""
        assert self._accept is not None
        return self._accept(connection)
