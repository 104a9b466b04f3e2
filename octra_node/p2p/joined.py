"""Several carriers as one: a dial goes to the carrier that knows the form of its address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from octra.node.p2p.carrier import Accept, Carrier, Dialled
from octra.node.p2p.transport import DialFailure, DownReason
from octra.primitives import NodeId


class JoinedCarrier:
    """Implements `Carrier`. One endpoint sits above it, so a peer has one link whatever it came by."""

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self._carriers = tuple(carriers)

    async def start(self, accept: Accept) -> None:
        """Start all or none."""
        started: list[Carrier] = []
        try:
            for carrier in self._carriers:
                await carrier.start(accept)
                started.append(carrier)
        except BaseException:
            for carrier in started:
                await carrier.stop()
            raise

    async def stop(self) -> None:
        await asyncio.gather(*(carrier.stop() for carrier in self._carriers))

    def listening(self) -> tuple[str, ...]:
        return tuple(address for carrier in self._carriers for address in carrier.listening())

    def reaches(self, address: str) -> bool:
        return any(carrier.reaches(address) for carrier in self._carriers)

    def dial(self, address: str, expected: NodeId, done: Dialled) -> None:
        for carrier in self._carriers:
            if carrier.reaches(address):
                carrier.dial(address, expected, done)
                return
        # Later, as a real dial would answer: the caller is not ready for it inside its own call.
        failure = DialFailure(DownReason.RESET, "no carrier for this kind of address")
        asyncio.get_running_loop().call_soon(done, failure)
