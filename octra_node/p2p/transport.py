"""What actors see of the network: links to peers, four lanes a link, events in, frames out.

A frame starts with its form byte (`frame.Form`); an actor sends the forms SHORT and ENVELOPE only. Nothing here
blocks: what does not fit is refused with `Sent.FULL`, and `room` tells when to try again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol

from octra.errors import Unavailable
from octra.node.p2p.hello import Hello
from octra.primitives import NodeId

FRAME_OVERHEAD = 64  # what a frame costs beside its bytes: an object in the reader's memory


class Lane(IntEnum):
    """One ordered stream of a link; a slow lane does not delay another."""

    CONSENSUS = 0
    DATA = 1
    REQUEST = 2
    BULK = 3


class Sent(Enum):
    """What became of frames given to `send`."""

    ACCEPTED = "accepted"  # queued: not yet delivered, and lost with the link
    FULL = "full"
    GONE = "gone"


class DownReason(IntEnum):
    """Why a link ended or was refused; the number travels in Goodbye."""

    CLOSED = 0  # we, or the peer, wished it
    RESET = 1  # the connection broke
    SILENT = 2  # nothing heard for `liveness.SILENCE_MS`
    PROTOCOL = 3  # the peer broke a rule of the wire
    WRONG_CHAIN = 4
    WRONG_VERSION = 5
    WRONG_IDENTITY = 6  # another NodeId than expected, or one that does not own the channel
    BAD_PROOF = 7
    SELF = 8
    DUPLICATE = 9  # a link of this pair exists and lives
    DUPLICATE_IDENTITY = 10  # another living process holds this NodeId
    BANNED = 11
    NO_ROOM = 12
    STOPPING = 13
    HANDSHAKE_TIMEOUT = 14


class WindowClass(IntEnum):
    """How much a peer may send before we have consumed it."""

    GUEST = 0
    FULL = 1


class DialFailure(Unavailable):
    """The address gave no link; `reason` is what either side said."""

    def __init__(self, reason: DownReason, detail: str = "") -> None:
        super().__init__(f"no link: {reason.name.lower()}" + (f" ({detail})" if detail else ""))
        self.reason, self.detail = reason, detail


class PortTaken(Unavailable):
    """Another process listens on the port."""

    oct_code = 1110

    def __init__(self, address: str) -> None:
        super().__init__(f"address in use: {address}")
        self.address = address


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A peer proved its NodeId. `link` numbers this link among all of this node's links."""

    peer: NodeId
    link: int
    address: str
    inbound: bool
    hello: Hello


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is over; frames not yet delivered are lost."""

    peer: NodeId
    link: int
    reason: DownReason


class Received(NamedTuple):
    """Frames of one read burst, in order. Whoever is done with them calls `consumed` with their `cost`."""

    peer: NodeId
    link: int
    lane: Lane
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A dial ended without a link."""

    address: str
    expected: NodeId
    error: DialFailure


@dataclass(frozen=True, slots=True)
class Announced:
    """A rare message to everybody; `author` is who signed for it, not who passed it on."""

    topic: str
    author: NodeId
    body: bytes


TransportEvent = LinkUp | LinkDown | Received | DialFailed | Announced
Sink = Callable[[Sequence[TransportEvent]], None]


@dataclass(frozen=True, slots=True)
class LaneStats:
    """Counters of one lane of one link since it came up."""

    bytes_in: int
    bytes_out: int
    frames_in: int
    frames_out: int
    writes: int
    queue_bytes: int
    credit_bytes: int


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Counters of one link."""

    peer: NodeId
    link: int
    rtt_ms: int | None
    lanes: tuple[LaneStats, ...]  # by Lane


@dataclass(frozen=True, slots=True)
class TransportStats:
    """Counters of all links and of what never became one."""

    links: tuple[LinkStats, ...]
    handshakes: int
    refused_total: int


def cost(frames: Sequence[bytes]) -> int:
    """What `frames` take of a window or queue, in bytes."""
    return sum(map(len, frames)) + FRAME_OVERHEAD * len(frames)


class Transport(Protocol):
    """All links of one node, whatever carries them."""

    async def start(self, sink: Sink) -> None:
        """Listen, and call `sink` on the asyncio thread with each burst of events; `sink` never blocks."""
        ...

    async def stop(self, grace_ms: int) -> None:
        """Flush, say goodbye, close; calling it again does nothing."""
        ...

    def listening(self) -> tuple[str, ...]:
        """Multiaddr texts with the real ports and the peer id."""
        ...

    def dial(self, address: str, expected: NodeId) -> None:
        """Try for a link; the outcome is a `LinkUp` or a `DialFailed`."""
        ...

    def close(self, peer: NodeId, reason: DownReason) -> None:
        """End the link to `peer`, if there is one; its `LinkDown` follows."""
        ...

    def send(self, peer: NodeId, link: int, lane: Lane, frames: Sequence[bytes]) -> Sent:
        """Queue all of `frames` or none; the number of an earlier link is GONE."""
        ...

    def send_many(self, peers: Sequence[NodeId], lane: Lane, frame: bytes) -> frozenset[NodeId]:
        """Queue one frame for many peers; the answer names those who did not take it."""
        ...

    async def room(self, peer: NodeId, link: int, lane: Lane) -> bool:
        """Wait until the lane's queue is below half; False when the link is gone."""
        ...

    def consumed(self, peer: NodeId, link: int, lane: Lane, size: int) -> None:
        """The frames of `cost` `size` are done with: the peer may send as much again."""
        ...

    def announce(self, topic: str, body: bytes) -> Sent:
        """Tell everybody on the chain's network, at most a few times a minute."""
        ...

    def set_windows(self, peer: NodeId, link: int, window: WindowClass) -> None:
        """Choose how much the peer may send ahead; a new link starts as GUEST."""
        ...

    def stats(self) -> TransportStats:
        """Counters for metrics and `status`."""
        ...
