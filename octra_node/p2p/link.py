"""One link: handshake, then frames on four lanes under credit, kept alive by pings. No clock and no socket in here.

Credit: a side may have at most a window of bytes that the other has not yet consumed. So a reader never has to stop
reading its connection, and one slow actor costs a peer's lane, not the link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum
from functools import cached_property
from typing import Protocol, assert_never

from octra.errors import InvalidInput
from octra.node.p2p.carrier import Connection
from octra.node.p2p.control import (
    Announcement,
    Control,
    Credit,
    Goodbye,
    Ping,
    Pong,
    Proof,
    control_frame,
    parse_control,
)
from octra.node.p2p.credit import Incoming, Outgoing, ProtocolViolation
from octra.node.p2p.frame import LIMITS, Form, pack, packed
from octra.node.p2p.handshake import Handshake, HandshakeRefused, Side
from octra.node.p2p.hello import Hello
from octra.node.p2p.transport import (
    DownReason,
    Lane,
    LaneStats,
    LinkStats,
    Sent,
    WindowClass,
)
from octra.primitives import NodeId

HANDSHAKE_MS = {Side.ACCEPTOR: 5_000, Side.DIALLER: 10_000}  # the acceptor may take 3 s to test an older link
PING_MS = 5_000
LEAVING_MS = 2_000  # how long a peer may take from its goodbye to its close
SILENCE_MS = 15_000  # a cut without FIN shows only as silence
PINGS_PER_SECOND, PINGS_BURST = 4, 16  # a peer that makes us answer more often breaks the rules
BACKLOG_MAX = 16 * 1_024 * 1_024  # above all windows together: the peer does not read what it gave us credit for


class LinkState(Enum):
    """How far a link is."""

    HANDSHAKE = "handshake"
    PROVEN = "proven"  # acceptor only: the owner decides whether it wants this link
    UP = "up"
    LEAVING = "leaving"  # the peer said goodbye: what it sent before may still arrive on other lanes
    DOWN = "down"


LIVE = (LinkState.UP, LinkState.LEAVING)


class LinkOwner(Protocol):
    """Who is told what happens on a link."""

    def link_claimed(self, link: Link, hello: Hello) -> None: ...  # may refuse by raising HandshakeRefused
    def link_proven(self, link: Link) -> None: ...  # acceptor: answer with `approve` or `end`, at once or later
    def link_up(self, link: Link) -> None: ...
    def link_received(self, link: Link, lane: Lane, frames: tuple[bytes, ...]) -> None: ...
    def link_announced(self, link: Link, announcement: Announcement) -> None: ...
    def link_down(self, link: Link, reason: DownReason, *, was_up: bool, ours: bool) -> None: ...
    def now_ms(self) -> int: ...


class Link:
    """One connection with the rules of a link on it. A `Reader` for the carrier below, driven by `tick` for time."""

    def __init__(self, number: int, connection: Connection, handshake: Handshake, side: Side, owner: LinkOwner) -> None:
        self.number, self.connection, self.side = number, connection, side
        self.state = LinkState.HANDSHAKE
        self._handshake, self._owner = handshake, owner
        self._out = tuple(map(Outgoing, Lane))  # by lane, as `_in`
        self._in = tuple(map(Incoming, Lane))
        self._early: dict[Lane, bytearray] = {}
        now_ms = owner.now_ms()
        self._deadline_ms = now_ms + HANDSHAKE_MS[side]
        self._heard_ms = now_ms
        self._ping_due_ms = now_ms + PING_MS
        self._ping_sent: tuple[int, int] | None = None  # nonce, time
        self.heard_since_ping = False
        self._ping_nonce = 0
        self._ping_allowance = PINGS_BURST
        self._ping_refill_ms = now_ms
        self._goodbye: DownReason | None = None
        self.rtt_ms: int | None = None

    def begin(self) -> None:
        """Send what the handshake opens with."""
        self._write_control(*self._handshake.opening())

    @property
    def hello(self) -> Hello:
        """What the peer said of itself."""
        assert self._handshake.peer is not None
        return self._handshake.peer

    @cached_property
    def peer(self) -> NodeId:
        """Whom the link leads to."""
        return NodeId(self.hello.node_id)

    def approve(self) -> None:
        """The owner wants this proven link: tell the peer, and go up."""
        assert self.state is LinkState.PROVEN
        self._write_control(self._handshake.own_proof())
        self._go_up()

    def end(self, reason: DownReason, *, back_ms: int = 0) -> None:
        """Say goodbye and close; the owner hears `link_down`."""
        if self.state is not LinkState.DOWN:
            self._write_control(control_frame(Goodbye(reason, back_ms)))
            self.connection.close()
            self._go_down(reason, ours=True)

    def send(self, lane: Lane, frames: Sequence[bytes]) -> Sent:
        """Queue all frames or none."""
        return self.send_packed(lane, [packed(lane, frame) for frame in frames])

    def send_packed(self, lane: Lane, frames: Sequence[bytes]) -> Sent:
        """`send` for frames that are packed already, once for all their links."""
        if self.state is not LinkState.UP:
            return Sent.GONE
        data = self._out[lane].put(frames)
        if data is None:
            return Sent.FULL
        if data:
            self.connection.write(lane, data)
        return Sent.ACCEPTED

    async def room(self, lane: Lane) -> bool:
        """Wait until the lane's queue is at most half full; False when the link is down."""
        out = self._out[lane]
        while self.state is LinkState.UP and out.queued * 2 > out.limits.queue_max:
            waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            out.waiting.append(waiter)
            await waiter
        return self.state is LinkState.UP

    def consumed(self, lane: Lane, size: int) -> None:
        """Received frames of this cost are done with."""
        incoming = self._in[lane]
        assert 0 <= size <= incoming.unconsumed, "consumed more than was received"
        incoming.unconsumed -= size
        incoming.owed += size
        if incoming.owed >= incoming.step:
            self._grant(lane)

    def set_windows(self, window: WindowClass) -> None:
        """A larger window is granted at once; a smaller one takes effect as the peer's credit is used up."""
        for lane in Lane:
            incoming = self._in[lane]
            size = LIMITS[lane].window(window)
            incoming.owed += size - incoming.window
            incoming.resize(size)
            self._grant(lane)

    def announce(self, announcement: Announcement) -> None:
        """Pass an announcement to the peer."""
        if self.state is LinkState.UP:
            self._write_control(control_frame(announcement))

    def ping(self) -> None:
        """Ask for a sign of life; `heard_since_ping` tells when there was one."""
        self.heard_since_ping = False  # no time is compared: an answer may come within the same millisecond
        self._ping_nonce += 1
        self._ping_sent = (self._ping_nonce, self._owner.now_ms())
        self._write_control(control_frame(Ping(self._ping_nonce)))

    def tick(self) -> None:
        """Look at the time: handshake deadline, pings, silence."""
        now_ms = self._owner.now_ms()
        match self.state:
            case LinkState.HANDSHAKE:
                if now_ms >= self._deadline_ms:
                    self.end(DownReason.HANDSHAKE_TIMEOUT)
            case LinkState.UP:
                if now_ms - self._heard_ms >= SILENCE_MS or self.connection.backlog > BACKLOG_MAX:
                    self.connection.abort()
                    self._go_down(DownReason.SILENT, ours=True)
                elif now_ms >= self._ping_due_ms:
                    self._ping_due_ms = now_ms + PING_MS
                    self.ping()
            case LinkState.LEAVING:
                if now_ms >= self._deadline_ms:
                    self.connection.abort()
                    self.closed()
            case LinkState.PROVEN | LinkState.DOWN:
                pass
            case _:
                assert_never(self.state)

    def received(self, lane: Lane, data: bytes) -> None:
        """Bytes from the carrier."""
        if self.state is LinkState.DOWN:
            return
        self._heard_ms = self._owner.now_ms()
        self.heard_since_ping = True
        try:
            self._receive(lane, data)
        except HandshakeRefused as refusal:
            self.end(refusal.reason)
        except InvalidInput:
            self.end(DownReason.PROTOCOL)

    def closed(self) -> None:
        """The carrier lost the connection."""
        if self.state is not LinkState.DOWN:
            self._go_down(DownReason.RESET if self._goodbye is None else self._goodbye, ours=False)

    def stats(self) -> LinkStats:
        """Counters since the link exists."""
        lanes = tuple(
            LaneStats(
                self._in[lane].bytes_total,
                self._out[lane].bytes_total,
                self._in[lane].frames_total,
                self._out[lane].frames_total,
                self._out[lane].writes_total,
                self._out[lane].queued,
                self._out[lane].credit,
            )
            for lane in Lane
        )
        return LinkStats(self.peer, self.number, self.rtt_ms, lanes)

    def _receive(self, lane: Lane, data: bytes) -> None:
        if lane is not Lane.REQUEST and self.state not in LIVE:
            self._keep_early(lane, data)
            return
        incoming = self._in[lane]
        frames = incoming.feed(data)
        if lane is Lane.REQUEST:
            frames = self._without_control(frames)
        else:
            for frame in frames:
                if frame[0] == Form.CONTROL:
                    raise ProtocolViolation("control message outside the request lane")
        if frames:
            incoming.debit(frames)
            self._owner.link_received(self, lane, tuple(frames))

    def _without_control(self, frames: list[bytes]) -> list[bytes]:
        """Do what control messages say, in their order among the others; none are left if that ended the link."""
        rest: list[bytes] = []
        for frame in frames:
            if frame[0] == Form.CONTROL:
                self._control(frame, parse_control(frame))
                if self.state is LinkState.DOWN:
                    return []
            elif self.state in LIVE:
                rest.append(frame)
            else:
                raise ProtocolViolation("frame before the handshake was over")
        return rest

    def _keep_early(self, lane: Lane, data: bytes) -> None:
        """The acceptor may use its lanes before its proof reaches us on another one; the dialler never may."""
        kept = self._early.setdefault(lane, bytearray())
        if self.side is Side.ACCEPTOR or len(kept) + len(data) > LIMITS[lane].window_guest:
            raise ProtocolViolation("frame before the handshake was over")
        kept += data

    def _control(self, frame: bytes, message: Control) -> None:
        match message:
            case Goodbye(reason=reason):
                self._leave(reason)
            case _ if self.state is LinkState.LEAVING:
                raise ProtocolViolation("control message after goodbye")
            case Hello() | Proof():
                if self.state is not LinkState.HANDSHAKE:
                    raise ProtocolViolation("handshake message after the handshake")
                self._shake(frame, message)
            case _ if self.state is not LinkState.UP:
                raise ProtocolViolation("control message before the handshake was over")
            case Credit(lane=lane, size=size):
                out = self._out[lane]
                out.credit += size
                if out.credit > out.limits.window_full:
                    raise ProtocolViolation("more credit than the largest window")
                self._pump(lane)
            case Ping(nonce=nonce):
                self._pay_ping()
                self._write_control(control_frame(Pong(nonce)))
            case Pong(nonce=nonce):
                if self._ping_sent is not None and self._ping_sent[0] == nonce:
                    self.rtt_ms = self._owner.now_ms() - self._ping_sent[1]
                    self._ping_sent = None
            case Announcement():
                self._owner.link_announced(self, message)
            case _:
                assert_never(message)

    def _leave(self, reason: DownReason) -> None:
        if self.state is LinkState.UP:
            self.state = LinkState.LEAVING
            self._goodbye = reason
            self._deadline_ms = self._owner.now_ms() + LEAVING_MS
            self._drop_queues()
        else:
            self.connection.close()
            self._go_down(reason, ours=False)

    def _shake(self, frame: bytes, message: Hello | Proof) -> None:
        answer = self._handshake.receive(frame, message)
        if isinstance(message, Hello):
            self._owner.link_claimed(self, message)
        self._write_control(*answer)
        if self._handshake.proven and self.side is Side.ACCEPTOR:
            self.state = LinkState.PROVEN
            self._owner.link_proven(self)
        elif self._handshake.proven:
            self._go_up()

    def _go_up(self) -> None:
        self.state = LinkState.UP
        self._owner.link_up(self)
        early, self._early = self._early, {}
        for lane, data in early.items():
            self.received(lane, bytes(data))

    def _go_down(self, reason: DownReason, *, ours: bool) -> None:
        was_up = self.state in LIVE
        self.state = LinkState.DOWN
        self._drop_queues()
        self._owner.link_down(self, reason, was_up=was_up, ours=ours)

    def _drop_queues(self) -> None:
        for out in self._out:
            out.queue.clear()
            out.queued = 0
            out.wake(alive=False)

    def _pump(self, lane: Lane) -> None:
        out = self._out[lane]
        if data := out.take():
            self.connection.write(lane, data)
            if out.waiting and out.queued * 2 <= out.limits.queue_max:
                out.wake(alive=True)

    def _grant(self, lane: Lane) -> None:
        if self.state is LinkState.UP and (size := self._in[lane].grant()):
            self._write_control(control_frame(Credit(lane, size)))

    def _pay_ping(self) -> None:
        now_ms = self._owner.now_ms()
        earned = (now_ms - self._ping_refill_ms) * PINGS_PER_SECOND // 1_000
        if earned:
            self._ping_allowance = min(PINGS_BURST, self._ping_allowance + earned)
            self._ping_refill_ms = now_ms
        self._ping_allowance -= 1
        if self._ping_allowance < 0:
            raise ProtocolViolation("pings too often")

    def _write_control(self, *frames: bytes) -> None:
        if frames:
            self.connection.write(Lane.REQUEST, pack(frames))
