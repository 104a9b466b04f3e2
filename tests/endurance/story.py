"""One run: a network of real processes, load, trouble, and what is left at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from endurance.faults import Fault, Record, TroubleMaker
from endurance.judge import Verdict, judge
from endurance.payments import History, Payments, payers
from endurance.rpc import NoAnswer, Refused, call
from endurance.seats import Seats
from endurance.watch import Seen, Watch

from octra.node import chain, founding, trouble
from octra.node.home import read_genesis
from octra.node.localnet import LocalNetwork, free_ports
from octra.node.p2p.address import PlaceKind
from octra.primitives import address_of, print_address

START_S, SETTLE_S = 300.0, 300.0
FAUCET_SEED = bytes(32)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of; with the seed it says which faults come in which order."""

    nodes: int
    seconds: float
    rate: float
    seed: int = 1
    transport: str = "tls"
    script: Sequence[Fault] = ()  # these faults in this order, instead of drawn ones


@dataclass(slots=True)
class Result:
    """All that was found."""

    plan: Plan
    history: History
    record: Record
    seen: Seen
    verdict: Verdict
    started_s: float  # on the monotonic clock: when the load began
    ready_s: float  # all nodes, from nothing

    @property
    def problems(self) -> list[str]:
        """Empty when the network kept all its promises."""
        return self.record.failures + self.seen.disagreements + self.verdict.problems


def run(plan: Plan, directory: Path, say: Callable[[str], None]) -> Result:
    """Found a network below `directory`, trouble it, stop it, and judge what it has written."""
    os.environ[trouble.VARIABLE] = "1"
    ports = free_ports(2 * plan.nodes)
    founded = founding.Plan(
        directory / "net",
        validators=plan.nodes,
        light=0,
        parameters="TEST",
        http_port=ports,
        p2p_port=ports + plan.nodes,
        transport=PlaceKind(plan.transport),
        network_key=False,
        accounts=tuple(address_of(key.public) for key in payers(plan.seed)),
    )
    try:
        with LocalNetwork.found(founded, FAUCET_SEED, say=say) as network:
            result = asyncio.run(_run(plan, network, say))
    finally:
        del os.environ[trouble.VARIABLE]
    result.history.write(directory / "history.jsonl")
    say("reading what the nodes have on disk")
    places = {place.name: place.directory for place in network.places}
    committee = chain.committee_of(read_genesis(network.places[0].directory))
    result.verdict = judge(places, committee, result.history, plan.seed)
    return result


async def _run(plan: Plan, network: LocalNetwork, say: Callable[[str], None]) -> Result:
    seats, began = Seats(network), time.monotonic()
    for seat in range(plan.nodes):
        seats.start(seat)
    for seat in range(plan.nodes):
        if not await seats.until_ready(seat, START_S):
            raise RuntimeError(f"{seats.names[seat]} does not start: {network.last_log_line(seats.names[seat])}")
    ready_s = time.monotonic() - began
    say(f"{plan.nodes} nodes ready after {ready_s:.1f} s; load and trouble begin")
    facts = await call(seats.nodes[seats.names[0]], "octra_chain")
    payments = Payments(seats.nodes, bytes.fromhex(facts["chain"]), plan.seed, plan.rate)
    maker, watch, started = TroubleMaker(seats, plan.seed, say), Watch(seats), time.monotonic()
    watching = asyncio.create_task(watch.run())
    paying = asyncio.create_task(payments.run(plan.seconds, SETTLE_S))
    if plan.script:
        await maker.follow(plan.script)
    else:
        await maker.run(plan.seconds)
    say("all is healed; waiting for the last transfers")
    await paying
    await _settled(seats, payments, plan.seed)
    if watching.done():
        watching.result()  # it never ends by itself: this raises what ended it
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return Result(plan, payments.history, maker.record, watch.seen, Verdict(), started, ready_s)


async def _settled(seats: Seats, payments: Payments, seed: int) -> None:
    """Wait until every node has executed all transfers and holds a certificate above; the judge finds what is missing."""
    deadline, node = time.monotonic() + SETTLE_S, seats.nodes[seats.names[0]]
    for number, key in enumerate(payers(seed)):
        address = print_address(address_of(key.public))
        while time.monotonic() < deadline:
            with contextlib.suppress(NoAnswer, Refused):
                if int((await call(node, "octra_getAccount", address))["nonce"]) >= payments.nonces[number]:
                    break
            await asyncio.sleep(0.5)
    height = (await seats.heights(seats.names[0]))[0]
    for name in seats.names:
        while await seats.proven(name, address) < height and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
