"""Opens a node's HTTP side while the node runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from octra.node.config import Config
from octra.node.rpc import light_methods as light_methods  # enters its methods into the table
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.server import HttpServer


@contextlib.asynccontextmanager
async def serving(facade: NodeFacade, settings: Config) -> AsyncIterator[HttpServer]:
    """JSON-RPC, REST, explorer and Circle pages, at the address of the settings; raises `PortTaken`."""
    host, _, port = settings.http.listen.rpartition(":")
    server = HttpServer(facade, host, int(port), public=settings.http.public)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
