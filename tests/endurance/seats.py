"""The nodes as the trouble-maker handles them: processes, the files that trouble them, and how far they are."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence

from endurance.rpc import NoAnswer, Refused, call, is_ready

from octra.node import trouble
from octra.node.home import read_genesis
from octra.node.localnet import LocalNetwork
from octra.primitives import NodeId

CERTIFIED_EVERY_S = 0.5


class Seats:
    """The validators of a local network, by seat."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self.names = [place.name for place in network.places]
        self.nodes = {place.name: place.http for place in network.places}
        genesis = read_genesis(network.places[0].directory)
        self._ids = [NodeId(validator.node_id) for validator in genesis.validators]
        self._paused: set[int] = set()

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        return {name: process.pid for name, process in self.network.processes.items()}

    def kill(self, seat: int) -> None:
        """End a node with SIGKILL."""
        self.network.kill(self.names[seat])

    def start(self, seat: int) -> None:
        """Start a node that has ended."""
        self.network.spawn(self.names[seat])

    def pause(self, seat: int) -> None:
        """Stop a node where it stands; its connections stay open."""
        self._paused.add(seat)
        self.network.processes[self.names[seat]].send_signal(signal.SIGSTOP)

    def go_on(self, seat: int) -> None:
        """Let a paused node go on."""
        self._paused.discard(seat)
        self.network.processes[self.names[seat]].send_signal(signal.SIGCONT)

    def trouble(self, seat: int, cut: Sequence[int], sync_ms: int) -> None:
        """What a node sends to these seats is held back, and its disk takes longer."""
        directory = self.network.place(self.names[seat]).directory
        trouble.tell(directory, cut=[self._ids[far] for far in cut], sync_ms=sync_ms)

    async def stop_all(self, *, politely: bool) -> None:
        """End all nodes."""
        for seat in tuple(self._paused):
            self.go_on(seat)
        if not politely:
            for process in self.network.processes.values():
                process.kill()
        await asyncio.to_thread(self.network.stop)

    async def until_ready(self, seat: int, patience_s: float) -> bool:
        """Wait until a node says that it is synced; False when it takes too long."""
        deadline, name = time.monotonic() + patience_s, self.names[seat]
        while not await is_ready(self.nodes[name]):
            if self.network.processes[name].poll() is not None or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True

    async def until_caught_up(self, seat: int, patience_s: float) -> bool:
        """Wait until a node has executed what others had certified when it got well."""
        deadline, height = time.monotonic() + patience_s, await self.height(but=seat)
        while (await self.heights(self.names[seat]))[0] < height:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(CERTIFIED_EVERY_S)
        return True

    async def heights(self, name: str) -> tuple[int, int]:
        """(executed, certified) height of a node; zeros when it does not answer."""
        try:
            facts = await call(self.nodes[name], "octra_chain")
        except (NoAnswer, Refused):
            return 0, 0
        return int(facts["height"]), int(facts["certified_height"])

    async def proven(self, name: str, address: str) -> int:
        """The newest height with a certificate, at which a node proves an account; 0 when it does not answer."""
        try:
            facts = await call(self.nodes[name], "octra_proof", "account", address)
        except (NoAnswer, Refused):
            return 0
        return int(facts["height"]) if facts["certificate"] else 0

    async def height(self, *, but: int | None = None) -> int:
        """The highest certified height that some nodes know."""
        well = [n for n, name in enumerate(self.names) if n != but and n not in self._paused and name in self.pids]
        asked = random.sample(well, min(3, len(well)))
        return max(
            [certified for _, certified in await asyncio.gather(*(self.heights(self.names[n]) for n in asked))] or [0]
        )
