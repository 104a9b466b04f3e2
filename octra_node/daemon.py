"""The composition root: builds the parts of a node, joins them, and runs them until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from octra import __version__
from octra.circles.executor import ExecutorPool
from octra.codec import decode
from octra.consensus.epoch import EpochRecord
from octra.consensus.events import PeerConnected
from octra.consensus.genesis import Genesis
from octra.consensus.ledger.genesis_state import genesis_writes
from octra.consensus.threshold_math import ThresholdMath
from octra.hfhe import params as fhe_params
from octra.node import chain, config, event_loop, home, logs, sampling
from octra.node.actors.ledger import LedgerActor
from octra.node.actors.mempool import MempoolActor
from octra.node.actors.ordering import OrderingActor
from octra.node.actors.ref import ActorCode
from octra.node.actors.seat import SeatActor
from octra.node.actors.snapshots import SnapshotActor
from octra.node.actors.supervisor import Supervisor
from octra.node.actors.sync import SyncActor
from octra.node.board import Board
from octra.node.clock import LoopClock
from octra.node.facade import FullNode
from octra.node.gate import Gate
from octra.node.installing import CHAIN_KEY, DATABASE, chain_row, origin_of
from octra.node.p2p.address import PlaceKind, parse_place
from octra.node.p2p.carrier import Carrier
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.faulty import FaultyCarrier
from octra.node.p2p.handshake import Identity, Status
from octra.node.p2p.hello import Hello
from octra.node.p2p.hello import Role as WireRole
from octra.node.p2p.joined import JoinedCarrier
from octra.node.p2p.libp2p import Libp2pCarrier
from octra.node.p2p.messages import MempoolMessage, OrderingMessage
from octra.node.p2p.peers import PeersActor, connect_peers
from octra.node.p2p.router import Router
from octra.node.p2p.tls import TlsCarrier
from octra.node.parts import Facts, Parts, Stores
from octra.node.seating import Seating
from octra.node.serving import serving
from octra.node.starting import Start, bring_state, trust_of_light
from octra.node.trouble import SlowStore, Trouble
from octra.primitives import NodeId
from octra.storage import space
from octra.storage.blocks import BlockStore, CertificateKind
from octra.storage.kv import Batch, Family, KeyValue
from octra.storage.rocks import open_rocks
from octra.storage.sign_log import SignLog
from octra.storage.state import StateStore
from octra.storage.write_queue import WriteQueue

WIRE_ROLE = {
    config.Role.LIGHT: WireRole.LIGHT,
    config.Role.STANDARD: WireRole.STANDARD,
    config.Role.BOOTSTRAP: WireRole.BOOTSTRAP,
}
MAILBOX_BYTES = 64 * 1024 * 1024


def run(directory: Path, passphrase: str | None = None, start: Start = Start()) -> None:
    """Run the node of `directory` until SIGTERM or SIGINT. Raises what keeps it from running, one clear error."""
    settings = config.load(directory)
    with home.lock(directory):
        logs.configure(settings.log.level)
        genesis = home.read_genesis(directory)
        keys = home.read_keys(directory, passphrase)
        sampling.start_if_asked(directory)
        event_loop.run(_run(directory, settings, genesis, keys, start))


async def _run(directory: Path, settings: config.Config, genesis: Genesis, keys: home.NodeKeys, start: Start) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anything is open: a node that still starts ends cleanly too
        loop.add_signal_handler(number, stop.set)
    committee = chain.committee_of(genesis)
    facts = Facts(
        directory=directory,
        config=settings,
        genesis=genesis,
        committee=committee,
        params=chain.ledger_params_of(genesis),
        keys=keys,
        seat=committee.seat_of(keys.node_id),
        trouble=Trouble.if_asked(directory, genesis.chain_id, localnet=genesis.is_localnet),
    )
    following = loop.create_task(facts.trouble.follow()) if facts.trouble else None
    if settings.node.role is config.Role.LIGHT:
        from octra.node.light import run_light

        await run_light(facts, trust_of_light(facts, start), stop)
    else:
        await bring_state(facts, start, stop)
        if not stop.is_set():
            await _run_full(facts, stop)
    if following is not None:
        following.cancel()


async def _run_full(facts: Facts, stop: asyncio.Event) -> None:
    log = logs.get(node=facts.keys.node_id.hex()[:8])
    space.require(facts.directory)
    with open_stores(facts) as stores, contextlib.closing(ExecutorPool()) as engine:
        head = stores.state.head
        assert head is not None
        clock = LoopClock()
        identity = identity_of(facts, lambda: _status(stores))
        gate = Gate(facts.committee, clock, log)
        supervisor = Supervisor(clock, log, blame=gate.blame)
        async with network(facts, identity, supervisor, gate) as router:
            key = facts.genesis.key
            math = ThresholdMath(
                fhe_params.get(key.parameters, allow_insecure=facts.genesis.is_localnet),
                key.key_id,
                len(facts.params.seats),
            )
            parts = Parts(
                facts, stores, router, engine, math, Board(), Seating(facts, stores.state, joined_record(stores))
            )
            parts.seating.on_open.append(gate.seat)
            add_actors(parts, supervisor, identity)
            await router.start()  # before the actors: one of them dials at once; what arrives waits in mailboxes
            async with running(supervisor):
                log.info("node started", version=__version__, chain=facts.genesis.chain_id, height=head.height)
                async with serving(FullNode(parts, supervisor), facts.config):
                    await until_stopped(supervisor, stop)


def add_actors(parts: Parts, supervisor: Supervisor, identity: Identity) -> None:
    """Declare the actors of a full node, those that others lean on first."""
    drawn = parts.seating.drawn
    watchers = (ActorCode.MEMPOOL, ActorCode.KEYSHARD, ActorCode.SYNC, *((ActorCode.STORAGE,) if drawn else ()))
    supervisor.add(
        ActorCode.LEDGER, lambda: LedgerActor(parts, watchers), critical=True, count_max=100_000, size_max=MAILBOX_BYTES
    )
    mempool = supervisor.add(ActorCode.MEMPOOL, lambda: MempoolActor(parts), count_max=100_000, size_max=MAILBOX_BYTES)
    ordering = supervisor.add(
        ActorCode.ORDERING, lambda: OrderingActor(parts), critical=True, count_max=100_000, size_max=MAILBOX_BYTES
    )
    seat = supervisor.add(ActorCode.KEYSHARD, lambda: SeatActor(parts), count_max=10_000)
    sync = supervisor.add(ActorCode.SYNC, lambda: SyncActor(parts), count_max=10_000)
    if drawn:  # only there an epoch begins anew, so that its state alone is enough to join
        snapshots = supervisor.add(ActorCode.STORAGE, lambda: SnapshotActor(parts), count_max=10_000)
        parts.router.register_actor(ActorCode.STORAGE, snapshots)
    members = frozenset(parts.facts.committee.seats)
    wanted = members - {identity.node_id} if identity.node_id in members else frozenset()
    peers = supervisor.add(
        ActorCode.PEERS,
        lambda: PeersActor(identity, parts.router, parts.facts.config.p2p.bootstrap, wanted),
        count_max=4_096,
    )
    for_seats = {(ActorCode.MEMPOOL, MempoolMessage.BATCH), (ActorCode.ORDERING, OrderingMessage.VERTICES)}

    def allow(actor: ActorCode) -> Callable[[NodeId, int], bool]:
        # Where committees are drawn, a vertex or batch of the next one may come before we know who sits in it.
        return lambda peer, message: drawn or peer in members or (actor, message) not in for_seats

    parts.router.register_actor(ActorCode.MEMPOOL, mempool, allow=allow(ActorCode.MEMPOOL))
    parts.router.register_actor(ActorCode.ORDERING, ordering, allow=allow(ActorCode.ORDERING))
    parts.router.register_actor(ActorCode.EVALUATOR, seat, allow=lambda peer, _: peer in members)
    parts.router.register_actor(ActorCode.SYNC, sync)
    parts.router.register(ActorCode.LEDGER, parts.deltas.serve)  # at once: the actor itself may be busy with a block
    parts.router.set_members(parts.seating.committee.seats)
    parts.seating.on_open.append(lambda committee: parts.router.set_members(committee.seats))
    connect_peers(parts.router, peers)

    def greet(peer: NodeId, _: Hello) -> None:
        ordering.tell(PeerConnected(peer))

    parts.router.on_link(up=greet)


def identity_of(facts: Facts, status: Callable[[], Status] = Status) -> Identity:
    """Who this node is towards others."""
    return Identity(
        key=facts.keys.node,
        chain_id=facts.genesis.chain_id,
        genesis_hash=facts.genesis.chain,
        role=WIRE_ROLE[facts.config.node.role],
        software=f"octra {__version__}",
        status=status,
    )


@contextlib.asynccontextmanager
async def network(facts: Facts, identity: Identity, supervisor: Supervisor, gate: Gate) -> AsyncIterator[Router]:
    """The router over the carriers of the settings. Started by the caller once the actors run; stopped here."""
    log = supervisor.log
    endpoint = Endpoint(identity, carrier_of(facts), supervisor.clock, log, admit=gate.admit)
    gate.close = endpoint.close
    router = Router(endpoint, supervisor.clock, log, blame=gate.blame_peer, classify=gate.classify)
    try:
        yield router
    finally:
        await router.stop()


def carrier_of(facts: Facts) -> Carrier:
    """What the addresses of the settings need: libp2p, TLS, or both. Raises `InvalidPlace`."""
    settings = facts.config.p2p
    listen = {kind: tuple(at for at in settings.listen if parse_place(at).kind is kind) for kind in PlaceKind}
    kinds = {parse_place(address).kind for address in (*settings.listen, *settings.bootstrap)}
    carriers: list[Carrier] = []
    if PlaceKind.TLS in kinds:
        carriers.append(TlsCarrier(facts.keys.node_id, listen[PlaceKind.TLS]))
    if PlaceKind.LIBP2P in kinds:
        carriers.append(Libp2pCarrier(facts.keys.node, listen[PlaceKind.LIBP2P]))
    carrier = carriers[0] if len(carriers) == 1 else JoinedCarrier(carriers)
    return FaultyCarrier(carrier, facts.trouble.faults) if facts.trouble else carrier


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    """The supervisor's actors, all started; an actor that stops the node ends the block with its error."""
    task = asyncio.create_task(supervisor.run())
    started = asyncio.create_task(supervisor.running.wait())
    try:
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            yield
    finally:
        started.cancel()
        supervisor.shutdown()
        await task


async def until_stopped(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Return when `stop` is set by a signal, or when an actor has stopped the node."""
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.stopping())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


@contextlib.contextmanager
def open_stores(facts: Facts) -> Iterator[Stores]:
    """Open (or begin) the database of a full node; the state of height 0 is that of genesis. Raises `OtherChain`."""
    kv: KeyValue = open_rocks(facts.directory / DATABASE)
    if facts.trouble is not None:
        kv = SlowStore(kv, facts.trouble)
    try:
        writes = WriteQueue(kv)
        try:
            state = StateStore(kv, writer=writes)
            own = chain_row(facts.genesis)
            if state.head is not None:
                held = kv.get(Family.META, CHAIN_KEY) or own
                if held != own:
                    raise home.OtherChain(facts.directory / "db", held[32:].decode(), facts.genesis.chain_id)
            else:
                accounts = {account.address: account.units for account in facts.genesis.accounts}
                rows = genesis_writes(facts.params, accounts, facts.genesis.time_ms, chain.epoch_rows_of(facts.genesis))
                first = Batch()
                first.put(Family.META, CHAIN_KEY, own)
                state.commit(0, rows, {}, lambda roots: (), first)
            signed = SignLog(facts.directory / "journal", facts.trouble.sync if facts.trouble else os.fdatasync)
            try:
                yield Stores(kv, writes, state, BlockStore(kv), signed, origin_of(kv))
            finally:
                signed.close()
        finally:
            writes.close()
    finally:
        kv.close()


def joined_record(stores: Stores) -> EpochRecord | None:
    """The record that a snapshot ended with, while the node has executed nothing beyond it."""
    head, origin = stores.state.head, stores.origin
    if head is None or origin is None or head.height != origin.height:
        return None
    data = stores.blocks.certificate(CertificateKind.EPOCH_RECORD, origin.epoch + 1, origin.height)
    return None if data is None else decode(data, EpochRecord)


def _status(stores: Stores) -> Status:
    head = stores.state.head
    return Status(head.height, head.epoch) if head else Status()
