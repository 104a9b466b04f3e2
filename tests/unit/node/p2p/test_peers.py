"""Whom to dial and when, which records to believe, and a network that finds itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.actors.ref import ActorCode
from octra.node.actors.supervisor import Supervisor
from octra.node.clock import LoopClock
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.handshake import Identity
from octra.node.p2p.memory import MemoryNetwork, uniform
from octra.node.p2p.peers import (
    BACKOFF_MAX_MS,
    BACKOFF_WANTED_MAX_MS,
    LINKS_WANTED,
    PATIENCE_MAX_MS,
    PATIENCE_MS,
    STEADY_MS,
    PeerBook,
    PeersActor,
    check_record,
    connect_peers,
    make_record,
)
from octra.node.p2p.router import Router
from octra.node.p2p.standing import BAN_FIRST_MS, HALVING_MS, Fault, Standings
from octra.node.p2p.transport import DownReason
from octra.primitives import NodeId

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]
LOW, HIGH = NodeId(b"\1" * 32), NodeId(b"\2" * 32)
WALL_MS = 1_700_000_000_000


def test_the_higher_of_a_pair_lets_the_lower_dial_first() -> None:
    low, high = PeerBook(LOW, 1), PeerBook(HIGH, 1)
    low.want(HIGH, ("/memory/2",), 0)
    high.want(LOW, ("/memory/1",), 0)
    assert low.due(0, 8) == [(HIGH, "/memory/2")]
    assert high.due(0, 8) == []
    assert high.due(PATIENCE_MS, 8) == [(LOW, "/memory/1")]


def test_the_higher_waits_longer_while_links_keep_coming_up_but_not_for_ever() -> None:
    book, now_ms = PeerBook(HIGH, 1), 0
    book.want(LOW, ("/memory/1",), now_ms)
    for number in range(100):
        book.linked(NodeId(bytes([3 + number]) * 32), now_ms)
        if due := book.due(now_ms, 8):
            break
        now_ms += PATIENCE_MS // 2
    assert due == [(LOW, "/memory/1")]
    assert now_ms == PATIENCE_MAX_MS


@pytest.mark.parametrize(("wanted", "most_ms"), [(False, BACKOFF_MAX_MS), (True, BACKOFF_WANTED_MAX_MS)])
def test_pauses_between_dials_double_to_a_limit_and_a_steady_link_forgives(wanted: bool, most_ms: int) -> None:
    book, now_ms, pauses = PeerBook(LOW, 1), 0, []
    book.want(HIGH, ("/memory/2",), 0)
    book._entries[HIGH].wanted = wanted
    for _ in range(12):
        assert book.due(now_ms, 8)
        assert not book.due(now_ms, 8), "not again while the outcome is unknown"
        book.failed(HIGH, DownReason.RESET, now_ms)
        failed_ms = now_ms
        while not (due := PeerBook.due(book, now_ms, 1)):
            now_ms += 50
        assert due == [(HIGH, "/memory/2")]
        book._entries[HIGH].dial_at_ms = now_ms  # `due` has set it aside until the outcome
        pauses.append(now_ms - failed_ms)
    assert pauses[0] <= 400
    assert all(later >= earlier for earlier, later in pairwise(pauses[:4]))
    assert most_ms <= pauses[-1] <= 1.5 * most_ms + 50
    book.linked(HIGH, now_ms)
    assert not book.due(now_ms + 10 * BACKOFF_MAX_MS, 8)
    book.lost(HIGH, now_ms + STEADY_MS)
    assert book.due(now_ms + STEADY_MS + 400, 8)


def test_a_peer_of_another_chain_is_left_alone_for_an_hour() -> None:
    book = PeerBook(LOW, 1)
    book.want(HIGH, ("/memory/2",), 0)
    book.due(0, 8)
    book.failed(HIGH, DownReason.WRONG_CHAIN, 0)
    assert not book.due(3_599_000, 8)
    assert book.due(3_600_000, 8)


def identity(number: int) -> Identity:
    return Identity(SigningKey(bytes([number]) * 32), "localnet-test", b"g" * 32)


def test_only_the_newest_true_record_of_a_node_counts() -> None:
    someone = identity(7)
    carrier = MemoryNetwork().carrier(7, someone.node_id)
    old, new = (make_record(someone, carrier.listening(), WALL_MS + age) for age in (0, 1_000))
    check_record(new, someone.genesis_hash, WALL_MS)
    book = PeerBook(LOW, 1)
    assert [book.learn(record, 0) for record in (old, new, new, old)] == [True, True, False, False]
    assert book.records(8, WALL_MS) == [new]


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 1},
        {"signature": bytes(64)},
        {"node_id": bytes(32)},
        {"expires_ms": WALL_MS},
        {"expires_ms": 2 * WALL_MS},
        {"addresses": ("/memory/8",)},
        {"addresses": ("nonsense",)},
        {"addresses": ("x" * 160,) * 8},
    ],
)
def test_a_changed_record_is_refused(change: dict[str, object]) -> None:
    someone = identity(7)
    record = make_record(someone, MemoryNetwork().carrier(7, someone.node_id).listening(), WALL_MS)
    with pytest.raises(InvalidInput):
        check_record(msgspec.structs.replace(record, **change), someone.genesis_hash, WALL_MS)
    with pytest.raises(InvalidInput):
        check_record(record, b"h" * 32, WALL_MS)


def test_members_of_a_committee_link_to_all_others_however_many(simulate: Simulate) -> None:
    async def scenario() -> None:
        network, clock, log = MemoryNetwork(3, uniform(0.01, 0.05)), LoopClock(WALL_MS), structlog.get_logger()
        identities = [identity(number + 1) for number in range(12)]
        members = {who.node_id for who in identities[:11]}
        assert len(members) - 1 > LINKS_WANTED
        routers, supervisors, running = [], [], []
        for number, who in enumerate(identities):
            router = Router(Endpoint(who, network.carrier(number, who.node_id), clock, log), clock, log)
            bootstrap = routers[0].transport.listening() if routers else ()
            wanted = members if who.node_id in members else ()
            supervisor = Supervisor(clock, log)
            actor = PeersActor(who, router, bootstrap, wanted)
            connect_peers(router, supervisor.add(ActorCode.PEERS, lambda actor=actor: actor))
            await router.start()
            routers.append(router)
            supervisors.append(supervisor)
            running.append(asyncio.create_task(supervisor.run()))
        await asyncio.sleep(120)
        for who, router in zip(identities[:11], routers, strict=False):
            assert members - {who.node_id} <= set(router.peers())
        for supervisor, task in zip(supervisors, running, strict=True):
            supervisor.shutdown()
            await task
        for router in routers:
            await router.stop()

    simulate(scenario())


def test_nodes_that_know_one_bootstrap_find_each_other_and_heal(simulate: Simulate) -> None:
    async def scenario() -> None:
        network, clock, log = MemoryNetwork(3, uniform(0.01, 0.05)), LoopClock(WALL_MS), structlog.get_logger()
        routers, running = [], []
        supervisors = []
        for number in range(8):
            who = identity(number + 1)
            router = Router(Endpoint(who, network.carrier(number, who.node_id), clock, log), clock, log)
            bootstrap = routers[0].transport.listening() if routers else ()
            supervisor = Supervisor(clock, log)
            ref = supervisor.add(
                ActorCode.PEERS, lambda who=who, router=router, boot=bootstrap: PeersActor(who, router, boot)
            )
            connect_peers(router, ref)
            await router.start()
            routers.append(router)
            supervisors.append(supervisor)
            running.append(asyncio.create_task(supervisor.run()))
        await asyncio.sleep(120)
        assert [len(router.peers()) for router in routers] == [7] * 8
        network.partition([0, 1, 2], [3, 4, 5, 6, 7])
        await asyncio.sleep(60)
        assert [len(router.peers()) for router in routers] == [2] * 3 + [4] * 5
        network.heal()
        await asyncio.sleep(200)
        assert [len(router.peers()) for router in routers] == [7] * 8
        for supervisor, task in zip(supervisors, running, strict=True):
            supervisor.shutdown()
            await task
        for router in routers:
            await router.stop()

    simulate(scenario())


def test_faults_lead_to_a_ban_that_ends_and_then_doubles() -> None:
    standings = Standings()
    assert [standings.fault(LOW, Fault.BROKE_THE_WIRE, 0) for _ in range(3)] == [False, False, True]
    assert standings.banned(LOW, BAN_FIRST_MS - 1)
    assert not standings.banned(LOW, BAN_FIRST_MS)
    again_ms = BAN_FIRST_MS
    assert standings.fault(LOW, Fault.PROVABLY_LIED, again_ms)
    assert standings.banned(LOW, again_ms + 2 * BAN_FIRST_MS - 1)
    assert not standings.banned(HIGH, 0)


def test_points_fade_and_praise_is_bounded() -> None:
    standings = Standings()
    standings.fault(LOW, Fault.BROKE_THE_WIRE, 0)
    assert [standings.points(LOW, i * HALVING_MS) for i in (0, 1, 2, 3)] == [-200, -100, -50, -25]
    for _ in range(100):
        standings.useful(HIGH, 0)
    assert standings.points(HIGH, 0) == 10
