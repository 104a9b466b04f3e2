"""What the connections of one carrier share: one callback for all that a turn of the loop writes."""

from __future__ import annotations

import asyncio
from typing import Any

from octra.node import event_loop
from octra.node.p2p.address import PlaceKind
from octra.node.p2p.sockets import Connections, SocketConnection


class Recorder(SocketConnection):
    """A connection that counts its flushes, or fails in them."""

    def __init__(self, connections: Connections, error: Exception | None = None) -> None:
        super().__init__(PlaceKind.TLS, connections)
        self.error, self.flushes = error, 0

    def flush(self) -> None:
        self.flushes += 1
        if self.error is not None:
            raise self.error

    def _receive(self) -> None:
        """Nothing arrives here."""


def test_connections_are_flushed_together_after_a_turn_and_one_that_fails_costs_no_other() -> None:
    async def scenario() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        connections, error = Connections(), ValueError("a mistake of ours")
        three = [Recorder(connections), Recorder(connections, error), Recorder(connections)]
        for connection in three:
            connections.flush_soon(connection)
        assert [connection.flushes for connection in three] == [0, 0, 0]
        for _ in range(3):
            await asyncio.sleep(0)
        assert [connection.flushes for connection in three] == [1, 1, 1]
        assert [context["exception"] for context in reported] == [error]

    event_loop.run(scenario())


def test_a_connection_is_open_until_it_is_dropped() -> None:
    async def scenario() -> None:
        connections = Connections()
        kept, dropped = Recorder(connections), Recorder(connections)
        dropped.drop()
        dropped.drop()
        assert list(connections) == [kept]
        assert len(connections) == 1

    event_loop.run(scenario())
