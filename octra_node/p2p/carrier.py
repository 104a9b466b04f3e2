"""What an adapter provides: connections that carry the bytes of four lanes. All rules of a link sit above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from octra.node.p2p.transport import DialFailure, Lane
from octra.primitives import NodeId


class Connection(Protocol):
    """One connection to another host. Calls never block; after `close` or `abort` they do nothing."""

    @property
    def channel(self) -> bytes:
        """Bytes that both ends of this connection, and of no other, agree on as far as the adapter can tell."""
        ...

    @property
    def owner(self) -> NodeId | None:
        """Whose key the adapter authenticated, None if it does not."""
        ...

    @property
    def remote(self) -> str:
        """The other end's address as text, for people."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes given to `write` and not yet handed to the system."""
        ...

    def write(self, lane: Lane, data: bytes) -> None:
        """Queue bytes on a lane; each lane keeps its order."""
        ...

    def close(self) -> None:
        """Write what is queued, for a short while, then end."""
        ...

    def abort(self) -> None:
        """End now."""
        ...


class Reader(Protocol):
    """Who gets what a connection brings, on the asyncio thread. Nothing comes after `closed`, which comes once."""

    def received(self, lane: Lane, data: bytes) -> None: ...
    def closed(self) -> None: ...


Accept = Callable[[Connection], Reader]  # called for each inbound connection
Dialled = Callable[[Connection | DialFailure], Reader | None]  # answers a Reader for a connection


class Carrier(Protocol):
    """One way to reach hosts: libp2p, TLS, memory."""

    async def start(self, accept: Accept) -> None:
        """Listen; raises `PortTaken`."""
        ...

    async def stop(self) -> None:
        """Abort all connections and release all that was taken."""
        ...

    def listening(self) -> tuple[str, ...]:
        """Addresses with the real ports, ending in the peer id."""
        ...

    def reaches(self, address: str) -> bool:
        """Is this an address for this carrier?"""
        ...

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        """Connect; `done` is called once with the outcome."""
        ...
