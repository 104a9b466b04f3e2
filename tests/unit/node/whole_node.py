"""A whole node in this process, as the daemon builds it, over memory links and without HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import structlog

from octra.circles.executor import ExecutorPool
from octra.consensus.ledger.transactions import decode_item
from octra.consensus.threshold_math import ThresholdMath
from octra.errors import OctraError
from octra.hfhe import params as fhe_params
from octra.node import chain, config, daemon, founding, home
from octra.node.actors.supervisor import Supervisor
from octra.node.board import Board
from octra.node.clock import LoopClock
from octra.node.facade import FullNode
from octra.node.gate import Gate
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.memory import MemoryNetwork
from octra.node.p2p.router import Router
from octra.node.parts import Facts, Parts
from octra.node.seating import Seating


async def submit(facade: FullNode, item: bytes) -> bytes:
    """Hand in one signed item: its id, or the rule that it breaks."""
    (answer,) = await facade.submit([decode_item(item)])
    if isinstance(answer, OctraError):
        raise answer
    return answer


def facts_of(place: founding.NodePlace, first: str) -> Facts:
    """A node's facts as the daemon reads them, with addresses of the memory network."""
    genesis = home.read_genesis(place.directory)
    committee = chain.committee_of(genesis)
    node_keys = home.read_keys(place.directory)
    p2p = config.P2PSection(listen=(), bootstrap=(first,) if first else ())
    settings = config.load(place.directory).model_copy(update={"p2p": p2p})
    params, seat = chain.ledger_params_of(genesis), committee.seat_of(node_keys.node_id)
    return Facts(place.directory, settings, genesis, committee, params, node_keys, seat)


@contextlib.asynccontextmanager
async def node(network: MemoryNetwork, number: int, facts: Facts) -> AsyncIterator[tuple[FullNode, Parts]]:
    """A full node as the daemon builds it, over memory links and without HTTP."""
    clock, log = LoopClock(), structlog.get_logger()
    with daemon.open_stores(facts) as stores, contextlib.closing(ExecutorPool()) as engine:
        identity = daemon.identity_of(facts)
        gate = Gate(facts.committee, clock, log)
        supervisor = Supervisor(clock, log, blame=gate.blame)
        endpoint = Endpoint(identity, network.carrier(number, identity.node_id), clock, log, admit=gate.admit)
        router = Router(endpoint, clock, log, blame=gate.blame_peer, classify=gate.classify)
        key = facts.genesis.key
        math = ThresholdMath(fhe_params.get(key.parameters, allow_insecure=True), key.key_id, len(facts.params.seats))
        parts = Parts(facts, stores, router, engine, math, Board(), Seating(facts, stores.state))
        daemon.add_actors(parts, supervisor, identity)
        await router.start()
        try:
            async with daemon.running(supervisor):
                yield FullNode(parts, supervisor), parts
        finally:
            await router.stop()
