"""The transport of one node: all its links over one carrier, at most one link for each peer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.node.clock import Clock
from octra.node.p2p.carrier import Carrier, Connection, Reader
from octra.node.p2p.control import Announcement
from octra.node.p2p.frame import packed
from octra.node.p2p.handshake import Handshake, HandshakeRefused, Identity, Side
from octra.node.p2p.hello import Hello
from octra.node.p2p.link import Link, LinkState
from octra.node.p2p.transport import (
    Announced,
    DialFailed,
    DialFailure,
    DownReason,
    Lane,
    LinkDown,
    LinkUp,
    Received,
    Sent,
    Sink,
    TransportEvent,
    TransportStats,
    WindowClass,
)
from octra.primitives import NodeId

TICK_MS = 250
CHALLENGE_MS = 3_000  # an older link that answers no ping in this time is dead
HANDSHAKES_MAX = 32
DIALS_MAX = 8  # at once: on a busy machine links that are begun come up, instead of all of them timing out together
LINKS_MAX = 128
ANNOUNCEMENTS_KEPT = 8_192
ANNOUNCE_FANOUT = 6
STOPPING_BACK_MS = 2_000

Admit = Callable[[Hello], DownReason | None]  # None lets the peer in


@dataclass(slots=True, eq=False)
class _Dial:
    address: str
    expected: NodeId
    begun: bool = False
    link: Link | None = None
    withdrawn: bool = False  # a link to the peer came up another way


class Endpoint:
    """Implements `Transport`. `admit` is asked about every peer that has proven who it is claimed to be."""

    def __init__(
        self,
        identity: Identity,
        carrier: Carrier,
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
        *,
        admit: Admit = lambda hello: None,
        entropy: Callable[[int], bytes] = os.urandom,
        links_max: int = LINKS_MAX,
    ) -> None:
        self._identity, self._carrier, self._clock = identity, carrier, clock
        self._log = log.bind(part="p2p")
        self.now_ms = clock.monotonic_ms  # for links
        self._admit, self._entropy, self._links_max = admit, entropy, links_max
        self._links: dict[NodeId, Link] = {}
        # Every link that is not down, also those in handshake; a dict, since a set's order differs between runs.
        self._open: dict[Link, None] = {}
        self._dials: dict[NodeId, _Dial] = {}
        self._numbers = 0
        self._events: list[TransportEvent] = []
        self._sink: Sink | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._announced: dict[bytes, None] = {}  # insertion order: the oldest is forgotten first
        self._refused_total = 0
        self._stopping = False

    async def start(self, sink: Sink) -> None:
        self._sink = sink
        await self._carrier.start(self._accept)
        self._spawn(self._tick_forever())

    async def stop(self, grace_ms: int) -> None:
        if self._stopping:
            return
        self._stopping = True
        for link in tuple(self._open):
            link.end(DownReason.STOPPING, back_ms=STOPPING_BACK_MS)
        with suppress(TimeoutError):  # connections flush on their own; the carrier cuts what is left
            async with asyncio.timeout(grace_ms / 1_000):
                await self._carrier.stop()
        self._flush()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def listening(self) -> tuple[str, ...]:
        return self._carrier.listening()

    def dial(self, address: str, expected: NodeId) -> None:
        if expected == self._identity.node_id:
            self._emit(DialFailed(address, expected, DialFailure(DownReason.SELF)))
        elif expected in self._links or expected in self._dials:
            self._emit(DialFailed(address, expected, DialFailure(DownReason.DUPLICATE)))
        elif self._stopping:
            self._emit(DialFailed(address, expected, DialFailure(DownReason.STOPPING)))
        else:
            self._dials[expected] = _Dial(address, expected)
            self._begin_dials()

    def close(self, peer: NodeId, reason: DownReason) -> None:
        if (link := self._links.get(peer)) is not None:
            link.end(reason)

    def send(self, peer: NodeId, link: int, lane: Lane, frames: Sequence[bytes]) -> Sent:
        current = self._current(peer, link)
        return current.send(lane, frames) if current is not None else Sent.GONE

    def send_many(self, peers: Sequence[NodeId], lane: Lane, frame: bytes) -> frozenset[NodeId]:
        frames = (packed(lane, frame),)
        missed = []
        for peer in peers:
            link = self._links.get(peer)
            if link is None or link.send_packed(lane, frames) is not Sent.ACCEPTED:
                missed.append(peer)
        return frozenset(missed)

    async def room(self, peer: NodeId, link: int, lane: Lane) -> bool:
        current = self._current(peer, link)
        return current is not None and await current.room(lane)

    def consumed(self, peer: NodeId, link: int, lane: Lane, size: int) -> None:
        current = self._links.get(peer)  # as `_current`, which would be called for every message
        if current is not None and current.number == link:
            current.consumed(lane, size)

    def announce(self, topic: str, body: bytes) -> Sent:
        signature = self._identity.key.sign(self._announcement_hash(topic, body))
        announcement = Announcement(topic, self._identity.node_id, body, signature)
        self._remember(announcement)
        return Sent.ACCEPTED if self._pass_on(announcement, None) else Sent.GONE

    def set_windows(self, peer: NodeId, link: int, window: WindowClass) -> None:
        if (current := self._current(peer, link)) is not None:
            current.set_windows(window)

    def stats(self) -> TransportStats:
        links = tuple(link.stats() for link in self._links.values())
        return TransportStats(links, len(self._open) - len(self._links), self._refused_total)

    # What links tell their owner.

    def link_claimed(self, link: Link, hello: Hello) -> None:
        peer = NodeId(hello.node_id)
        if link.side is Side.DIALLER and peer in self._links:
            raise HandshakeRefused(DownReason.DUPLICATE)
        if link.side is Side.ACCEPTOR:
            self._yield_to_own_dial(peer)
        if peer not in self._links and len(self._links) >= self._links_max:
            raise HandshakeRefused(DownReason.NO_ROOM)
        if (reason := self._admit(hello)) is not None:
            raise HandshakeRefused(reason)

    def link_proven(self, link: Link) -> None:
        self._yield_to_own_dial(link.peer)
        older = self._links.get(link.peer)
        if older is None:
            link.approve()
        else:
            self._spawn(self._challenge(older, link))

    def link_up(self, link: Link) -> None:
        peer = link.peer
        if (older := self._links.get(peer)) is not None:
            # We dialled, and the acceptor has just approved: it knows no other living link of ours.
            older.end(DownReason.DUPLICATE)
        dial = self._dials.pop(peer, None)
        if dial is not None and dial.link is not link:
            dial.withdrawn = True
            if dial.link is not None:
                dial.link.end(DownReason.DUPLICATE)
        self._begin_dials()
        self._links[peer] = link
        self._emit(LinkUp(peer, link.number, link.connection.remote, link.side is Side.ACCEPTOR, link.hello))

    def link_received(self, link: Link, lane: Lane, frames: tuple[bytes, ...]) -> None:
        # At once, after what came before it: nobody calls us who would not expect it, and mailboxes gather bursts.
        received = Received(link.peer, link.number, lane, frames)
        if self._events or self._sink is None:
            self._events.append(received)
            self._flush()
        else:
            self._sink((received,))

    def link_announced(self, link: Link, announcement: Announcement) -> None:
        if self._identity_of(announcement) in self._announced:
            return
        signed = self._announcement_hash(announcement.topic, announcement.body)
        if not ed25519.verify(announcement.author, announcement.signature, signed):
            link.end(DownReason.PROTOCOL)  # an honest neighbour checks before it passes on
            return
        self._remember(announcement)
        self._emit(Announced(announcement.topic, NodeId(announcement.author), announcement.body))
        self._pass_on(announcement, link)

    def link_down(self, link: Link, reason: DownReason, *, was_up: bool, ours: bool) -> None:
        self._open.pop(link, None)
        if was_up:
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
            self._emit(LinkDown(link.peer, link.number, reason))
            return
        self._refused_total += ours
        for dial in tuple(self._dials.values()):
            if dial.link is link:
                self._dial_over(dial, DialFailure(reason))

    # Inside.

    def _current(self, peer: NodeId, number: int) -> Link | None:
        link = self._links.get(peer)
        return link if link is not None and link.number == number else None

    def _accept(self, connection: Connection) -> Reader:
        link = self._new_link(connection, Side.ACCEPTOR, None)
        if len(self._open) - len(self._links) > HANDSHAKES_MAX or self._stopping:
            link.end(DownReason.STOPPING if self._stopping else DownReason.NO_ROOM)
        return link

    def _begin_dials(self) -> None:
        """Let those that wait begin, in their order, while others are over."""
        begun = sum(dial.begun for dial in self._dials.values())
        for dial in tuple(self._dials.values()):
            if not dial.begun and begun < DIALS_MAX and not self._stopping:
                dial.begun = True
                begun += 1
                self._carrier.dial(dial.address, dial.expected, partial(self._dialled, dial))

    def _dial_over(self, dial: _Dial, failure: DialFailure) -> None:
        del self._dials[dial.expected]
        self._emit(DialFailed(dial.address, dial.expected, failure))
        self._begin_dials()

    def _dialled(self, dial: _Dial, outcome: Connection | DialFailure) -> Reader | None:
        if isinstance(outcome, DialFailure):
            if self._dials.get(dial.expected) is dial:
                self._dial_over(dial, outcome)
            return None
        if dial.withdrawn or self._stopping:
            outcome.abort()
            return None
        dial.link = self._new_link(outcome, Side.DIALLER, dial.expected)
        dial.link.begin()
        return dial.link

    def _new_link(self, connection: Connection, side: Side, expected: NodeId | None) -> Link:
        self._numbers += 1
        hello = self._identity.hello(
            listen=self._carrier.listening(), wall_ms=self._clock.wall_ms(), nonce=self._entropy(32)
        )
        handshake = Handshake(
            self._identity, hello, side, expected=expected, owner=connection.owner, channel=connection.channel
        )
        link = Link(self._numbers, connection, handshake, side, self)
        self._open[link] = None
        return link

    def _yield_to_own_dial(self, peer: NodeId) -> None:
        """Both dialled at once: the dial of the lower NodeId is kept, and both sides know which that is."""
        if peer in self._dials and self._identity.node_id < peer:
            raise HandshakeRefused(DownReason.DUPLICATE)

    async def _challenge(self, older: Link, newer: Link) -> None:
        """A second link of a peer replaces the first only if the first no longer answers."""
        asked_ms = self._clock.monotonic_ms()
        older.ping()
        while older.state is LinkState.UP and not older.heard_since_ping:
            if self._clock.monotonic_ms() >= asked_ms + CHALLENGE_MS:
                older.end(DownReason.SILENT)
                break
            await asyncio.sleep(TICK_MS / 5_000)
        if newer.state is not LinkState.PROVEN:
            return
        if older.state is LinkState.UP or newer.peer in self._links:
            same = older.hello.instance == newer.hello.instance
            if not same:
                self._log.warning("two processes hold one node key", peer=newer.peer.hex()[:8])
            newer.end(DownReason.DUPLICATE if same else DownReason.DUPLICATE_IDENTITY)
        else:
            newer.approve()

    def _announcement_hash(self, topic: str, body: bytes) -> bytes:
        name = topic.encode()
        return H("octra.announce", self._identity.genesis_hash, bytes([len(name)]), name, body)

    def _identity_of(self, announcement: Announcement) -> bytes:
        return H("octra.announce", announcement.author, announcement.topic.encode(), announcement.body)

    def _remember(self, announcement: Announcement) -> None:
        self._announced[self._identity_of(announcement)] = None
        if len(self._announced) > ANNOUNCEMENTS_KEPT:
            del self._announced[next(iter(self._announced))]

    def _pass_on(self, announcement: Announcement, origin: Link | None) -> int:
        targets = [link for link in self._links.values() if link is not origin][:ANNOUNCE_FANOUT]
        for link in targets:
            link.announce(announcement)
        return len(targets)

    def _emit(self, event: TransportEvent) -> None:
        if not self._events:
            asyncio.get_running_loop().call_soon(self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        """Hand over all events of this loop turn at once."""
        events, self._events = self._events, []
        if events and self._sink is not None:
            self._sink(events)

    async def _tick_forever(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.monotonic_ms() + TICK_MS)
            for link in tuple(self._open):
                link.tick()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
