"""Where a node begins: what its operator trusts, and, if a full node's directory is empty, a state from a snapshot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from octra import __version__
from octra.codec import decode
from octra.consensus.light import Link
from octra.errors import InvalidInput, Malformed, Unavailable
from octra.node import logs
from octra.node.actors.ref import ActorCode
from octra.node.actors.supervisor import Supervisor
from octra.node.clock import LoopClock
from octra.node.config import InvalidConfig, Join
from octra.node.facts import Facts
from octra.node.following import Trust
from octra.node.gate import Gate
from octra.node.installing import DATABASE
from octra.node.joining import Joiner, install_file
from octra.node.light import full_nodes
from octra.node.p2p.messages import SnapshotMessage
from octra.node.p2p.peers import PeersActor, connect_peers
from octra.node.p2p.router import Router
from octra.node.p2p.transport import Lane
from octra.primitives import NodeId
from octra.storage import space

ASK_MS: Final = 10_000  # a chunk waits its turn on the server
LOOK_S: Final = 1.0
NOTHING_OFFERED_MAX: Final = 3  # looks at peers of which none has a snapshot: then there is none to wait for
ALONE_S: Final = 30.0  # without any peer: the node can as well start and wait as a whole
WAIT_S: Final = 10.0  # of a node that is told to take a snapshot, after it found none
ID_SIZE: Final = 32


class NotEmpty(InvalidInput):
    """A state was named to start from, and the directory holds one already."""

    oct_code = 1004

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} holds a state already; a snapshot starts an empty one")


@dataclass(frozen=True, slots=True)
class Start:
    """What the operator says about the beginning. Nothing: as the settings have it."""

    checkpoint: str = ""  # 64 hex digits, or a file with them, or a file with a link
    snapshot: Path | None = None  # an exported one


def parse_checkpoint(text: str) -> bytes | None:
    """The id of the trusted checkpoint; raises `InvalidConfig`."""
    if not text:
        return None
    data = text.strip().encode()
    if len(text) != 2 * ID_SIZE:
        try:
            data = Path(text).read_bytes()
        except OSError as error:
            raise InvalidConfig(f"checkpoint: neither {2 * ID_SIZE} hex digits nor a file: {text}") from error
    with contextlib.suppress(ValueError):
        id = bytes.fromhex(data.decode("ascii").strip())
        if len(id) == ID_SIZE:
            return id
    try:
        return decode(data, Link).checkpoint.id
    except Malformed as error:
        raise InvalidConfig(f"checkpoint: {text} holds neither an id nor a link") from error


def trust_of_light(facts: Facts, start: Start) -> Trust:
    """Where a light node's trust begins; raises `InvalidConfig` for what it cannot begin with."""
    checkpoint = parse_checkpoint(start.checkpoint or facts.config.snapshots.checkpoint)
    if start.snapshot is not None:
        raise InvalidConfig("a light node holds no state: it begins at a checkpoint, not with a snapshot")
    if checkpoint is not None and not facts.genesis.drawn:
        raise InvalidConfig("on a chain with a fixed committee a light node needs the genesis only, no checkpoint")
    return Trust.of(facts.genesis, checkpoint)


async def bring_state(facts: Facts, start: Start, stop: asyncio.Event) -> None:
    """Return when the node may open its database: with a snapshot in it, or empty, to replay from genesis."""
    checkpoint = parse_checkpoint(start.checkpoint or facts.config.snapshots.checkpoint)
    log = logs.get(node=facts.keys.node_id.hex()[:8])
    empty = not (facts.directory / DATABASE).exists()
    if start.snapshot is not None or start.checkpoint:
        if not facts.genesis.drawn:
            raise InvalidConfig("a chain with a fixed committee has no snapshots: its nodes replay")
        if not empty:
            raise NotEmpty(facts.directory)
    if start.snapshot is not None:
        manifest = await asyncio.to_thread(
            install_file, start.snapshot, facts.directory, facts.genesis, checkpoint
        )  # fmt: skip
        log.info("snapshot installed", height=manifest.height, epoch=manifest.epoch, rows=manifest.rows)
        return
    join = facts.config.snapshots.join
    if checkpoint is not None and join is Join.AUTO:
        join = Join.SNAPSHOT  # who trusts a checkpoint has no reason to replay what is below
    founder = any(validator.node_id == facts.keys.node_id for validator in facts.genesis.validators)
    if join is Join.AUTO and (founder or not facts.config.p2p.bootstrap):
        join = Join.REPLAY  # at the beginning founders have nobody to ask
    if facts.genesis.drawn and empty and join is not Join.REPLAY:
        space.require(facts.directory)
        await _join(facts, Trust.of(facts.genesis, checkpoint), stop, must=join is Join.SNAPSHOT)


class _Peers:
    """The network of a joiner: linked full nodes."""

    def __init__(self, router: Router, gate: Gate) -> None:
        self._router, self._gate = router, gate

    def peers(self) -> Sequence[NodeId]:
        return tuple(full_nodes(self._router))

    async def ask(self, peer: NodeId, message: SnapshotMessage, body: bytes) -> bytes:
        return await self._router.ask(peer, ActorCode.STORAGE, message, body, timeout_ms=ASK_MS, lane=Lane.BULK)

    def blame(self, peer: NodeId, error: InvalidInput) -> None:
        self._gate.blame_peer(peer, error)


async def _join(facts: Facts, trust: Trust, stop: asyncio.Event, *, must: bool) -> None:
    """Link with others and look for a snapshot. All of this network ends before the node itself starts."""
    from octra.node.daemon import identity_of, network, running, until_stopped

    log = logs.get(node=facts.keys.node_id.hex()[:8])
    clock = LoopClock()
    gate = Gate(facts.committee, clock, log)
    supervisor = Supervisor(clock, log, blame=gate.blame)
    identity = identity_of(facts)
    async with network(facts, identity, supervisor, gate) as router:
        peers = supervisor.add(ActorCode.PEERS, lambda: PeersActor(identity, router, facts.config.p2p.bootstrap))
        connect_peers(router, peers)
        await router.start()
        async with running(supervisor):
            log.info("looking for a snapshot", version=__version__, chain=facts.genesis.chain_id)
            joiner = Joiner(_Peers(router, gate), trust, facts.genesis, facts.directory, log)
            work = asyncio.create_task(until_joined(joiner, lambda: bool(router.peers()), log, must=must))
            ended = asyncio.create_task(until_stopped(supervisor, stop))
            await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                if not await work:
                    log.info("no snapshot is offered: this node replays from genesis")


async def until_joined(
    joiner: Joiner, linked: Callable[[], bool], log: structlog.stdlib.BoundLogger, *, must: bool
) -> bool:
    """True once a snapshot is installed; False, unless it must be, when there is none to be had."""
    nothing, alone = 0, 0.0
    while True:
        offers, answered = await joiner.offers()
        for offer in offers:
            try:
                await joiner.take(offer)
                return True
            except (InvalidInput, Unavailable) as error:  # a lie is counted already: the next one
                log.warning("a snapshot was not taken", height=offer.manifest.height, reason=str(error))
        nothing = nothing + 1 if answered and not offers else 0
        alone = 0.0 if linked() else alone + LOOK_S
        if nothing == NOTHING_OFFERED_MAX or alone >= ALONE_S:
            if not must:
                return False
            nothing, alone = 0, 0.0
            log.warning("still waiting: no peer offers a snapshot that can be believed")
            await asyncio.sleep(WAIT_S)
        await asyncio.sleep(LOOK_S)
