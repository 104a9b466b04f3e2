"""Who may link with this node and how much each may send: joins standing, budgets and the transport."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from octra.consensus.epoch import Committee
from octra.consensus.errors import BadSignature
from octra.errors import InvalidInput
from octra.node.clock import Clock
from octra.node.p2p.budget import PeerClass
from octra.node.p2p.hello import Hello
from octra.node.p2p.short import Incoming
from octra.node.p2p.standing import Fault, Standings
from octra.node.p2p.transport import DownReason
from octra.primitives import NodeId


class Gate:
    """Counts the faults of peers. Seats are slowed by their budgets but never banned: agreement needs to hear them."""

    def __init__(self, committee: Committee, clock: Clock, log: structlog.stdlib.BoundLogger) -> None:
        self._seats, self._clock, self._log = frozenset(committee.seats), clock, log
        self._standings = Standings()
        self.close: Callable[[NodeId, DownReason], None] = lambda peer, reason: None  # set once the transport exists

    def seat(self, committee: Committee) -> None:
        """Another committee orders from now on."""
        self._seats = frozenset(committee.seats)

    def admit(self, hello: Hello) -> DownReason | None:
        """Refuse peers that are banned for now."""
        banned = self._standings.banned(NodeId(hello.node_id), self._clock.monotonic_ms())
        return DownReason.BANNED if banned else None

    def classify(self, peer: NodeId) -> PeerClass:
        """The budget under which a peer sends."""
        return PeerClass.COMMITTEE if peer in self._seats else PeerClass.STRANGER

    def blame(self, message: object, error: InvalidInput) -> None:
        """A message of an actor was invalid: if a peer sent it, it counts against him."""
        if isinstance(message, Incoming):
            self.blame_peer(message.peer, error)

    def blame_peer(self, peer: NodeId, error: InvalidInput) -> None:
        """Count a fault of a peer; end the link when it was one too many."""
        fault = Fault.SENT_INVALID_SIGNATURE if isinstance(error, BadSignature) else Fault.SENT_INVALID
        self._log.debug("message refused", peer=peer.hex()[:8], error=type(error).__name__)
        if self._standings.fault(peer, fault, self._clock.monotonic_ms()) and peer not in self._seats:
            self._log.warning("peer banned for sending invalid messages", peer=peer.hex()[:8])
            self.close(peer, DownReason.BANNED)
