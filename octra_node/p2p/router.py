"""Short messages between the actors of linked nodes: tell, ask and broadcast, with flow control out of sight.

The promise: at most once, and in order for each (link, lane). The messages of an actor are numbered from 2.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from octra.errors import InvalidInput
from octra.node.actors.ref import LocalRef, PeerTimeout, RefusalCode, Refused
from octra.node.clock import Clock
from octra.node.p2p.budget import Bucket, PeerClass, buckets
from octra.node.p2p.frame import Form
from octra.node.p2p.hello import Hello
from octra.node.p2p.short import (
    FIRST_MESSAGE,
    HEADER,
    HEADER_SIZE,
    VALUE,
    BodyTooLong,
    Incoming,
    LinkGone,
    body_size_max,
    parse_refusal,
    short_frame,
)
from octra.node.p2p.transport import (
    FRAME_OVERHEAD,
    Announced,
    DialFailed,
    DownReason,
    Lane,
    LinkDown,
    LinkUp,
    Received,
    Sent,
    Transport,
    TransportEvent,
    WindowClass,
)
from octra.primitives import NodeId

# An actor that speaks through the router needs nothing else than this module.
__all__ = ["ASKS_MAX", "BodyTooLong", "Incoming", "LinkGone", "PeerView", "Router", "body_size_max"]

ASKS_MAX = 1_024  # open at once, for each peer and direction
ASK_KEPT_MS = 60_000  # an ask that no actor has answered for so long no longer takes a place
ANSWERS_SIZE_MAX = 8 * 1_024 * 1_024  # answers waiting for a peer that asks but does not read


Handler = Callable[[Sequence[Incoming]], None]
Allow = Callable[[NodeId, int], bool]  # may this peer send this message?
_Burst = list[tuple[Incoming, int]]  # messages for one actor, with what each took of the window


@dataclass(slots=True)
class _Route:
    deliver: Callable[[_Peer, Lane, _Burst], None]
    allow: Allow


@dataclass(slots=True)
class _Peer:
    """What the router keeps for one link."""

    node_id: NodeId
    link: int
    hello: Hello
    address: str
    inbound: bool
    calls: int = 0
    asks: dict[int, asyncio.Future[bytes]] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)  # call of an open inbound ask -> when it came
    answers: dict[Lane, deque[bytes]] = field(default_factory=lambda: defaultdict(deque))
    answers_size: int = 0
    buckets: dict[Lane, Bucket] | None = None


@dataclass(frozen=True, slots=True)
class PeerView:
    """A linked peer, for people and for choosing."""

    node_id: NodeId
    hello: Hello
    address: str
    inbound: bool


def _no_answer(call: int, kind: int, body: bytes) -> None:
    """A tell has no answer."""


class Router:
    """Joins the actors of this node with those of linked nodes. Register before `start`."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
        *,
        blame: Callable[[NodeId, InvalidInput], None] = lambda peer, error: None,
        classify: Callable[[NodeId], PeerClass] | None = None,
    ) -> None:
        """`classify` puts peers under the budgets of their class; without it nobody is slowed."""
        self.transport, self._blame, self._classify = transport, blame, classify
        self._clock, self._log = clock, log.bind(part="router")
        self._routes: dict[int, _Route] = {}
        self._peers: dict[NodeId, _Peer] = {}
        self._members: frozenset[NodeId] = frozenset()
        self._up: list[Callable[[NodeId, Hello], None]] = []
        self._down: list[Callable[[NodeId, DownReason], None]] = []
        self._dial_failed: list[Callable[[DialFailed], None]] = []
        self._announced: list[Callable[[Announced], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters: defaultdict[str, int] = defaultdict(int)

    def register(self, actor: int, handler: Handler, *, allow: Allow = lambda peer, message: True) -> None:
        """Give `handler` each burst for `actor`; the peer may send more as soon as `handler` returns."""

        def deliver(peer: _Peer, lane: Lane, burst: _Burst) -> None:
            try:
                handler([incoming for incoming, _ in burst])
            except InvalidInput as error:
                self.counters["invalid"] += 1
                self._blame(peer.node_id, error)
            self._return_credit(peer, lane, sum(size for _, size in burst))

        self._add(actor, deliver, allow)

    def register_actor(self, actor: int, ref: LocalRef[Any], *, allow: Allow = lambda peer, message: True) -> None:
        """Queue each `Incoming` for an actor; the peer may send more as the actor takes them.

        The actor takes other kinds of messages too, hence the open type of `ref`.
        """

        def deliver(peer: _Peer, lane: Lane, burst: _Burst) -> None:
            for incoming, size in burst:
                taken = partial(self._return_credit, peer, lane, size)
                ref.mailbox.offer_bounded_elsewhere(incoming, size, taken)

        self._add(actor, deliver, allow)

    def on_link(
        self,
        up: Callable[[NodeId, Hello], None] = lambda peer, hello: None,
        down: Callable[[NodeId, DownReason], None] = lambda peer, reason: None,
    ) -> None:
        """Call `up` before the first message of a link is delivered, `down` after its last."""
        self._up.append(up)
        self._down.append(down)

    def on_dial_failed(self, listener: Callable[[DialFailed], None]) -> None:
        """Call `listener` for each dial that gave no link."""
        self._dial_failed.append(listener)

    def on_announced(self, listener: Callable[[Announced], None]) -> None:
        """Call `listener` for each new announcement of the network."""
        self._announced.append(listener)

    def set_members(self, members: Collection[NodeId]) -> None:
        """Peers that share a duty with us: they may send further ahead."""
        self._members = frozenset(members)
        for peer in self._peers.values():
            self._set_window(peer)

    async def start(self) -> None:
        """Listen and deliver."""
        await self.transport.start(self._sink)

    async def stop(self, grace_ms: int = 1_000) -> None:
        """Close all links; open asks fail."""
        await self.transport.stop(grace_ms)
        for peer in tuple(self._peers.values()):
            self._forget(peer)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def peers(self) -> Mapping[NodeId, PeerView]:
        """All linked peers."""
        return {
            node_id: PeerView(node_id, peer.hello, peer.address, peer.inbound) for node_id, peer in self._peers.items()
        }

    def tell(self, peer: NodeId, lane: Lane, actor: int, message: int, body: bytes) -> Sent:
        """Queue a message without waiting; FULL says to `await room` or to drop it."""
        known = self._peers.get(peer)
        if known is None:
            return Sent.GONE
        return self.transport.send(peer, known.link, lane, (short_frame(lane, actor, message, 0, body),))

    def tell_each(self, peer: NodeId, lane: Lane, actor: int, message: int, bodies: Iterable[bytes]) -> Sent:
        """Queue several messages to one peer, all or none."""
        known = self._peers.get(peer)
        if known is None:
            return Sent.GONE
        frames = [short_frame(lane, actor, message, 0, body) for body in bodies]
        return self.transport.send(peer, known.link, lane, frames)

    def broadcast(
        self, lane: Lane, actor: int, message: int, body: bytes, *, except_: Collection[NodeId] = ()
    ) -> frozenset[NodeId]:
        """Queue a message to every linked peer; the answer names those who did not take it."""
        targets = [node_id for node_id in self._peers if node_id not in except_]
        return self.transport.send_many(targets, lane, short_frame(lane, actor, message, 0, body))

    async def room(self, peer: NodeId, lane: Lane) -> bool:
        """Wait until the peer's queue is below half; False when there is no link."""
        known = self._peers.get(peer)
        return known is not None and await self.transport.room(peer, known.link, lane)

    async def ask(
        self, peer: NodeId, actor: int, message: int, body: bytes, *, timeout_ms: int, lane: Lane = Lane.REQUEST
    ) -> bytes:
        """The peer's answer; raises `Refused`, `PeerTimeout`, `LinkGone` or `BodyTooLong`."""
        known = self._peers.get(peer)
        if known is None:
            raise LinkGone
        if len(known.asks) >= ASKS_MAX:
            raise Refused(RefusalCode.BUSY, "too many open asks to this peer")
        call = self._next_call(known)
        frames = (short_frame(lane, actor, message, call, body),)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        known.asks[call] = answer
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                while (sent := self.transport.send(peer, known.link, lane, frames)) is Sent.FULL:
                    await self.transport.room(peer, known.link, lane)
                if sent is Sent.GONE:
                    raise LinkGone
                return await answer
        except TimeoutError as error:
            self.counters["ask_timeouts"] += 1
            raise PeerTimeout(timeout_ms) from error
        finally:
            del known.asks[call]

    def _add(self, actor: int, deliver: Callable[..., None], allow: Allow) -> None:
        assert actor not in self._routes, "one handler for each actor"
        self._routes[actor] = _Route(deliver, allow)

    def _sink(self, events: Sequence[TransportEvent]) -> None:
        for event in events:
            match event:
                case Received():
                    self._receive(event)
                case LinkUp():
                    self._link_up(event)
                case LinkDown():
                    self._link_down(event)
                case DialFailed():
                    for failed in self._dial_failed:
                        failed(event)
                case Announced():
                    for announced in self._announced:
                        announced(event)

    def _link_up(self, event: LinkUp) -> None:
        peer = self._peers[event.peer] = _Peer(event.peer, event.link, event.hello, event.address, event.inbound)
        if self._classify is not None:
            peer.buckets = buckets(self._classify(event.peer), self._clock.monotonic_ms())
        self._set_window(peer)
        for up in self._up:
            up(event.peer, event.hello)

    def _link_down(self, event: LinkDown) -> None:
        peer = self._peers.get(event.peer)
        if peer is not None and peer.link == event.link:
            self._forget(peer)
            for down in self._down:
                down(event.peer, event.reason)

    def _forget(self, peer: _Peer) -> None:
        self._peers.pop(peer.node_id, None)
        for answer in peer.asks.values():
            if not answer.done():
                answer.set_exception(LinkGone())
                answer.exception()  # the asker may still wait for room and never look at it
        peer.asked.clear()
        peer.answers.clear()

    def _set_window(self, peer: _Peer) -> None:
        window = WindowClass.FULL if peer.node_id in self._members else WindowClass.GUEST
        self.transport.set_windows(peer.node_id, peer.link, window)

    def _return_credit(self, peer: _Peer, lane: Lane, size: int) -> None:
        """What was consumed may be sent again: at once, or when the peer's budget allows it."""
        wait_ms = peer.buckets[lane].take(size, self._clock.monotonic_ms()) if peer.buckets is not None else 0
        if wait_ms is None:
            self.counters["lane_not_allowed"] += 1
        elif wait_ms == 0:
            self.transport.consumed(peer.node_id, peer.link, lane, size)
        else:
            self.counters["slowed"] += 1
            asyncio.get_running_loop().call_later(
                wait_ms / 1_000, self.transport.consumed, peer.node_id, peer.link, lane, size
            )

    def _receive(self, event: Received) -> None:
        """Sort one burst by actor: one delivery for each, in order."""
        peer = self._peers.get(event.peer)
        if peer is None or peer.link != event.link:
            return
        lane = event.lane
        bursts: dict[int, _Burst] = {}
        done = 0
        for frame in event.frames:
            size = len(frame) + FRAME_OVERHEAD
            if frame[0] != Form.SHORT:
                self.counters["unknown_form"] += 1
                done += size
                continue
            if len(frame) < HEADER_SIZE:
                self.transport.close(event.peer, DownReason.PROTOCOL)
                return
            _, actor, message, call = HEADER.unpack_from(frame)
            body = frame[HEADER_SIZE:]
            if message < FIRST_MESSAGE:
                self._answered(peer, message, call, body)
                done += size
                continue
            answer = self._answerer(peer, lane, actor) if call else _no_answer
            incoming = Incoming(peer.node_id, lane, message, call, body, answer)
            if not self._admit(peer, actor, incoming):
                done += size
            elif actor in bursts:
                bursts[actor].append((incoming, size))
            else:
                bursts[actor] = [(incoming, size)]
        if done:
            self._return_credit(peer, lane, done)
        for actor, burst in bursts.items():
            self._routes[actor].deliver(peer, lane, burst)

    def _admit(self, peer: _Peer, actor: int, incoming: Incoming) -> bool:
        """Is there someone to take the message, may the peer send it, and is there a place for its answer?"""
        if incoming.call and not self._take_place(peer, incoming.call):
            return False
        route = self._routes.get(actor)
        if route is None:
            self.counters["unknown_actor"] += 1
            incoming.refuse(RefusalCode.UNKNOWN)
            return False
        if not route.allow(peer.node_id, incoming.message):
            self.counters["forbidden"] += 1
            incoming.refuse(RefusalCode.FORBIDDEN)
            return False
        return True

    def _take_place(self, peer: _Peer, call: int) -> bool:
        now_ms = self._clock.monotonic_ms()
        if len(peer.asked) >= ASKS_MAX:
            peer.asked = {one: at for one, at in peer.asked.items() if now_ms - at < ASK_KEPT_MS}
        if call in peer.asked or len(peer.asked) >= ASKS_MAX:
            # The peer's own router keeps this bound, so this one breaks the rules: not even a refusal.
            self.counters["asks_over_limit"] += 1
            return False
        peer.asked[call] = now_ms
        return True

    def _answerer(self, peer: _Peer, lane: Lane, actor: int) -> Callable[[int, int, bytes], None]:
        def answer(call: int, kind: int, body: bytes) -> None:
            if peer.asked.pop(call, None) is not None:
                self._send_answer(peer, lane, short_frame(lane, actor, kind, call, body))

        return answer

    def _send_answer(self, peer: _Peer, lane: Lane, frame: bytes) -> None:
        waiting = peer.answers[lane]
        if not waiting and self.transport.send(peer.node_id, peer.link, lane, (frame,)) is not Sent.FULL:
            return
        waiting.append(frame)
        peer.answers_size += len(frame)
        if peer.answers_size > ANSWERS_SIZE_MAX:
            self.transport.close(peer.node_id, DownReason.PROTOCOL)
        elif len(waiting) == 1:
            self._spawn(self._send_waiting(peer, lane))

    async def _send_waiting(self, peer: _Peer, lane: Lane) -> None:
        waiting = peer.answers[lane]
        while waiting and await self.transport.room(peer.node_id, peer.link, lane):
            while waiting and self.transport.send(peer.node_id, peer.link, lane, (waiting[0],)) is Sent.ACCEPTED:
                peer.answers_size -= len(waiting.popleft())

    def _answered(self, peer: _Peer, kind: int, call: int, body: bytes) -> None:
        answer = peer.asks.get(call)
        if answer is None or answer.done():
            self.counters["late_answers"] += 1
        elif kind == VALUE:
            answer.set_result(body)
        else:
            answer.set_exception(parse_refusal(body))

    @staticmethod
    def _next_call(peer: _Peer) -> int:
        while True:
            peer.calls = peer.calls % 0xFFFF_FFFF + 1  # 1 .. 2^32-1
            if peer.calls not in peer.asks:
                return peer.calls

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
