"""A carrier with trouble on purpose: latency, bandwidth, cuts and resets, for local networks and tests.

A stream cannot lose single bytes, so no fault here does: bytes come late, or the connection ends. Where the carrier
does not know whose connection it accepted, as TLS, the peer's hello is believed: this is a test's tool, not a guard.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from octra.errors import InvalidInput
from octra.node.p2p.carrier import Accept, Carrier, Connection, Dialled, Reader
from octra.node.p2p.control import parse_control
from octra.node.p2p.frame import Splitter
from octra.node.p2p.hello import Hello
from octra.node.p2p.transport import DialFailure, DownReason, Lane
from octra.primitives import NodeId


@dataclass(slots=True)
class _Trouble:
    latency_ms: int = 0
    jitter_ms: int = 0
    bytes_per_second: int | None = None
    cut: bool = False


class Faults:
    """What to do to the bytes this node sends, by peer. Changes act on living connections too."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._troubles: dict[NodeId | None, _Trouble] = {}
        self._connections: dict[FaultyConnection, None] = {}

    def latency(self, peer: NodeId | None, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay every write to `peer` (None: to everybody not named) by `latency_ms` +- `jitter_ms`."""
        trouble = self._own(peer)
        trouble.latency_ms, trouble.jitter_ms = latency_ms, jitter_ms

    def bandwidth(self, peer: NodeId | None, bytes_per_second: int | None) -> None:
        """Let at most so many bytes a second through on each lane."""
        self._own(peer).bytes_per_second = bytes_per_second

    def cut(self, peers: Iterable[NodeId]) -> None:
        """Hold back everything to `peers`, and refuse dials to them."""
        for peer in peers:
            self._own(peer).cut = True

    def heal(self) -> None:
        """End all cuts."""
        self.cut_only(())

    def cut_only(self, peers: Iterable[NodeId]) -> None:
        """Cut these, and end all other cuts."""
        for trouble in self._troubles.values():
            trouble.cut = False
        self.cut(peers)
        for connection in tuple(self._connections):
            connection.release()

    def reset(self, peer: NodeId) -> None:
        """Break the connections to `peer`."""
        for connection in tuple(self._connections):
            if connection.peer == peer:
                connection.abort()

    def is_cut(self, peer: NodeId | None) -> bool:
        """Does nothing get through to this peer?"""
        return self._of(peer).cut

    def delay_s(self, peer: NodeId | None, size: int) -> tuple[float, float]:
        """Seconds until `size` bytes begin to arrive, and seconds they take."""
        trouble = self._of(peer)
        late_ms = trouble.latency_ms + self._rng.randint(-trouble.jitter_ms, trouble.jitter_ms)
        return max(0, late_ms) / 1_000, size / trouble.bytes_per_second if trouble.bytes_per_second else 0.0

    def delaying(self) -> bool:
        """Do closing connections still have bytes that are only late?"""
        return any(connection.late for connection in self._connections)

    def watch(self, connection: FaultyConnection) -> None:
        """Include a connection in `heal` and `reset`."""
        self._connections[connection] = None

    def forget(self, connection: FaultyConnection) -> None:
        """The connection is over."""
        self._connections.pop(connection, None)

    def _own(self, peer: NodeId | None) -> _Trouble:
        return self._troubles.setdefault(peer, _Trouble())

    def _of(self, peer: NodeId | None) -> _Trouble:
        return self._troubles.get(peer) or self._troubles.get(None) or _Trouble()


class FaultyConnection:
    """A connection whose writes pass through `Faults`; also the reader's neighbour, to know of the end."""

    def __init__(self, inner: Connection, peer: NodeId | None, faults: Faults) -> None:
        self._inner, self._faults = inner, faults
        self.channel, self.remote, self.owner = inner.channel, inner.remote, inner.owner
        self.peer = inner.owner or peer  # None until its hello is heard
        self._hello = Splitter(Lane.REQUEST)
        self._lanes: dict[Lane, deque[bytes]] = {lane: deque() for lane in Lane}
        self._free_at = dict.fromkeys(Lane, 0.0)
        self._held: deque[tuple[Lane, bytes]] = deque()
        self._waiting = 0
        self._closing = False
        self._reader: Reader | None = None
        faults.watch(self)

    @property
    def backlog(self) -> int:
        return self._waiting + self._inner.backlog

    @property
    def late(self) -> bool:
        """Is there something under way that no cut holds back?"""
        return any(self._lanes.values())

    def write(self, lane: Lane, data: bytes) -> None:
        if self._closing:
            return
        self._waiting += len(data)
        if self._held or self._faults.is_cut(self.peer):
            self._held.append((lane, data))
        else:
            self._send_late(lane, data)

    def release(self) -> None:
        """Send on what a cut held back."""
        while self._held and not self._faults.is_cut(self.peer):
            self._send_late(*self._held.popleft())

    def close(self) -> None:
        self._closing = True
        if not self._waiting:
            self._inner.close()

    def abort(self) -> None:
        self._closing = True
        self._inner.abort()

    def attach(self, reader: Reader | None) -> Reader | None:
        """Stand between the carrier and its reader, to hear of the end."""
        self._reader = reader
        if reader is None:
            self._faults.forget(self)
            return None
        return self

    def received(self, lane: Lane, data: bytes) -> None:
        assert self._reader is not None
        if self.peer is None and lane is Lane.REQUEST:
            self._listen(data)
        self._reader.received(lane, data)

    def closed(self) -> None:
        assert self._reader is not None
        self._faults.forget(self)
        self._reader.closed()

    def _listen(self, data: bytes) -> None:
        with suppress(InvalidInput):  # the link above refuses it
            for hello in map(parse_control, self._hello.feed(data)[:1]):
                if isinstance(hello, Hello):
                    self.peer = NodeId(hello.node_id)

    def _send_late(self, lane: Lane, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        late_s, takes_s = self._faults.delay_s(self.peer, len(data))
        self._free_at[lane] = max(loop.time() + late_s, self._free_at[lane]) + takes_s
        self._lanes[lane].append(data)
        loop.call_at(self._free_at[lane], self._send_next, lane)

    def _send_next(self, lane: Lane) -> None:
        data = self._lanes[lane].popleft()
        self._waiting -= len(data)
        self._inner.write(lane, data)
        if self._closing and not self._waiting:
            self._inner.close()


class FaultyCarrier:
    """Implements `Carrier` on top of another one."""

    def __init__(self, inner: Carrier, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    async def start(self, accept: Accept) -> None:
        def accept_faulty(connection: Connection) -> Reader:
            faulty = FaultyConnection(connection, None, self._faults)
            reader = faulty.attach(accept(faulty))
            assert reader is not None
            return reader

        await self._inner.start(accept_faulty)

    async def stop(self) -> None:
        while self._faults.delaying():  # noqa: ASYNC110 - in trouble on purpose: no need to be quick
            await asyncio.sleep(0.005)
        await self._inner.stop()

    def listening(self) -> tuple[str, ...]:
        return self._inner.listening()

    def reaches(self, address: str) -> bool:
        return self._inner.reaches(address)

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        def dialled(outcome: Connection | DialFailure) -> Reader | None:
            if isinstance(outcome, DialFailure):
                return done(outcome)
            faulty = FaultyConnection(outcome, expected, self._faults)
            return faulty.attach(done(faulty))

        if self._faults.is_cut(expected):
            failure = DialFailure(DownReason.RESET, "cut on purpose")
            asyncio.get_running_loop().call_soon(done, failure)
        else:
            self._inner.dial(address, expected, dialled)
