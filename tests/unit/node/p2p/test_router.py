"""The router: asks and answers, bounds on both sides, and what a hostile peer can send."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.errors import InvalidInput
from octra.node.actors.mailbox import Mailbox
from octra.node.actors.ref import ActorCode, LocalRef, PeerTimeout, RefusalCode, Refused
from octra.node.clock import LoopClock
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.handshake import Identity
from octra.node.p2p.memory import MemoryNetwork, constant
from octra.node.p2p.router import ASKS_MAX, BodyTooLong, Incoming, LinkGone, Router, body_size_max
from octra.node.p2p.transport import DownReason, Lane, Sent
from octra.primitives import NodeId

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]
LEDGER, READ, WRITE = ActorCode.LEDGER, 2, 3


class Pair:
    """Two routers over one memory network."""

    def __init__(self) -> None:
        self.network = MemoryNetwork(seed=1, delay=constant(0.01))
        self.identities = [Identity(SigningKey(bytes([i]) * 32), "localnet-test", b"g" * 32) for i in (1, 2)]
        self.blamed: list[NodeId] = []
        self.routers = [self._router(number, identity) for number, identity in enumerate(self.identities)]

    def _router(self, number: int, identity: Identity) -> Router:
        clock, log = LoopClock(0), structlog.get_logger()
        endpoint = Endpoint(identity, self.network.carrier(number, identity.node_id), clock, log)
        return Router(endpoint, clock, log, blame=lambda peer, error: self.blamed.append(peer))

    @property
    def other(self) -> NodeId:
        return self.identities[1].node_id

    async def __aenter__(self) -> tuple[Router, Router]:
        one, other = self.routers
        await one.start()
        await other.start()
        one.transport.dial(other.transport.listening()[0], self.other)
        await asyncio.sleep(0.5)
        assert one.peers().keys() == {self.other}
        return one, other

    async def __aexit__(self, *_: object) -> None:
        for router in self.routers:
            await router.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}


def scenario(simulate: Simulate, run: Callable[[Pair], Coroutine[Any, Any, None]]) -> None:
    simulate(run(Pair()))


def test_answers_reach_the_ask_they_belong_to(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        later: list[Incoming] = []
        pair.routers[1].register(LEDGER, later.extend)
        async with pair as (one, _):
            asks = [
                asyncio.create_task(one.ask(pair.other, LEDGER, READ, b"%d" % i, timeout_ms=1_000)) for i in range(50)
            ]
            await asyncio.sleep(0.1)
            for incoming in reversed(later):
                incoming.reply(b"re:" + incoming.body)
                incoming.reply(b"a second answer is ignored")
            assert [await ask for ask in asks] == [b"re:%d" % i for i in range(50)]

    scenario(simulate, run)


def test_refusals_and_unknown_actors_reach_the_asker(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        def refuse(burst: Sequence[Incoming]) -> None:
            for incoming in burst:
                incoming.refuse(RefusalCode.BUSY, "later, " + "x" * 500)

        pair.routers[1].register(LEDGER, refuse)
        pair.routers[1].register(ActorCode.SYNC, refuse, allow=lambda peer, message: message == READ)
        async with pair as (one, _):
            with pytest.raises(Refused, match="later") as refusal:
                await one.ask(pair.other, LEDGER, READ, b"", timeout_ms=1_000)
            assert len(refusal.value.reason) == 200
            for actor, message, code in (
                (ActorCode.DSN, READ, RefusalCode.UNKNOWN),
                (ActorCode.SYNC, WRITE, RefusalCode.FORBIDDEN),
                (ActorCode.SYNC, READ, RefusalCode.BUSY),
            ):
                with pytest.raises(Refused) as refusal:
                    await one.ask(pair.other, actor, message, b"", timeout_ms=1_000)
                assert refusal.value.code is code

    scenario(simulate, run)


def test_an_ask_times_out_and_a_late_answer_is_only_counted(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        late: list[Incoming] = []
        pair.routers[1].register(LEDGER, late.extend)
        async with pair as (one, _):
            with pytest.raises(PeerTimeout):
                await one.ask(pair.other, LEDGER, READ, b"", timeout_ms=100)
            late[0].reply(b"late")
            await asyncio.sleep(0.1)
            assert (one.counters["late_answers"], one.counters["ask_timeouts"]) == (1, 1)

    scenario(simulate, run)


def test_open_asks_fail_with_their_link(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        pair.routers[1].register(LEDGER, lambda burst: None)
        down: list[DownReason] = []
        pair.routers[0].on_link(down=lambda peer, reason: down.append(reason))
        async with pair as (one, _):
            asking = asyncio.create_task(one.ask(pair.other, LEDGER, READ, b"", timeout_ms=60_000))
            await asyncio.sleep(0.1)
            pair.network.reset(0, 1)
            with pytest.raises(LinkGone):
                await asking
            with pytest.raises(LinkGone):
                await one.ask(pair.other, LEDGER, READ, b"", timeout_ms=60_000)
            assert one.tell(pair.other, Lane.DATA, LEDGER, READ, b"") is Sent.GONE
            assert down == [DownReason.RESET]

    scenario(simulate, run)


def test_a_body_must_fit_its_lane_and_a_too_long_answer_is_a_refusal(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        def answer_too_long(burst: Sequence[Incoming]) -> None:
            burst[0].reply(bytes(body_size_max(Lane.REQUEST) + 1))

        pair.routers[1].register(LEDGER, answer_too_long)
        async with pair as (one, _):
            with pytest.raises(BodyTooLong):
                one.tell(pair.other, Lane.DATA, LEDGER, READ, bytes(body_size_max(Lane.DATA) + 1))
            with pytest.raises(Refused) as refusal:
                await one.ask(pair.other, LEDGER, READ, bytes(body_size_max(Lane.REQUEST)), timeout_ms=1_000)
            assert refusal.value.code is RefusalCode.FAILED

    scenario(simulate, run)


def test_large_answers_wait_for_room_and_all_arrive(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        pair.routers[1].register(LEDGER, lambda burst: [incoming.reply(bytes(200_000)) for incoming in burst] and None)
        async with pair as (one, _):
            asks = (one.ask(pair.other, LEDGER, READ, b"", timeout_ms=60_000) for _ in range(30))
            assert {len(answer) for answer in await asyncio.gather(*asks)} == {200_000}

    scenario(simulate, run)


def test_a_peer_that_asks_but_does_not_read_loses_its_link(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        waiting: list[Incoming] = []
        pair.routers[1].register(LEDGER, waiting.extend)
        async with pair as (one, other):
            asks = [asyncio.create_task(one.ask(pair.other, LEDGER, READ, b"", timeout_ms=1_000)) for _ in range(100)]
            await asyncio.sleep(0.1)
            pair.network.cut([1], [0])
            for incoming in waiting:
                incoming.reply(bytes(200_000))
            await asyncio.sleep(0.1)
            assert not other.peers()
            await asyncio.gather(*asks, return_exceptions=True)

    scenario(simulate, run)


def test_more_open_asks_than_the_limit_are_refused_here_and_ignored_there(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        kept: list[Incoming] = []
        pair.routers[1].register(LEDGER, kept.extend)
        async with pair as (one, other):
            asks = [
                asyncio.create_task(one.ask(pair.other, LEDGER, READ, b"", timeout_ms=5_000)) for _ in range(ASKS_MAX)
            ]
            await asyncio.sleep(0.2)
            with pytest.raises(Refused):
                await one.ask(pair.other, LEDGER, READ, b"", timeout_ms=1_000)
            link = one._peers[pair.other].link
            forged = struct.pack(">BBBI", 1, LEDGER, READ, 999_999)
            one.transport.send(pair.other, link, Lane.REQUEST, [forged])
            await asyncio.sleep(0.2)
            assert len(kept) == ASKS_MAX
            assert other.counters["asks_over_limit"] == 1
            for ask in asks:
                ask.cancel()
            await asyncio.gather(*asks, return_exceptions=True)

    scenario(simulate, run)


def test_credit_for_an_actor_returns_as_it_takes_its_messages(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        mailbox: Mailbox[Incoming] = Mailbox()
        pair.routers[1].register_actor(LEDGER, LocalRef("ledger", mailbox))
        async with pair as (one, _):
            sent = 0
            while one.tell(pair.other, Lane.DATA, LEDGER, READ, bytes(100_000)) is Sent.ACCEPTED:
                sent += 1
            await asyncio.sleep(1)
            assert mailbox.depth < sent, "the window holds the peer back while the actor sleeps"
            got = 0
            while got < sent:
                got += len(await mailbox.take(256))
            assert await one.room(pair.other, Lane.DATA)

    scenario(simulate, run)


def test_one_burst_is_sorted_by_actor_and_keeps_its_order(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        bursts: list[tuple[int, list[bytes]]] = []
        for actor in (LEDGER, ActorCode.SYNC):
            pair.routers[1].register(
                actor, lambda burst, actor=actor: bursts.append((actor, [incoming.body for incoming in burst]))
            )
        async with pair as (one, _):
            link = one._peers[pair.other].link
            frames = [struct.pack(">BBBI", 1, (LEDGER, ActorCode.SYNC)[i % 2], READ, 0) + bytes([i]) for i in range(6)]
            one.transport.send(pair.other, link, Lane.DATA, frames)
            await asyncio.sleep(0.2)
        assert bursts == [(LEDGER, [b"\0", b"\2", b"\4"]), (ActorCode.SYNC, [b"\1", b"\3", b"\5"])]

    scenario(simulate, run)


def test_invalid_input_in_a_handler_blames_the_peer_and_returns_its_credit(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        def reject(burst: Sequence[Incoming]) -> None:
            raise InvalidInput("no")

        pair.routers[1].register(LEDGER, reject)
        async with pair as (one, _):
            for _ in range(40):
                while one.tell(pair.other, Lane.DATA, LEDGER, READ, bytes(100_000)) is Sent.FULL:
                    await one.room(pair.other, Lane.DATA)
            await asyncio.sleep(1)
        assert set(pair.blamed) == {pair.identities[0].node_id}

    scenario(simulate, run)


def test_a_frame_too_short_for_a_message_ends_the_link(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        async with pair as (one, other):
            one.transport.send(pair.other, one._peers[pair.other].link, Lane.DATA, [b"\1\5\2"])
            await asyncio.sleep(0.5)
            assert not other.peers()

    scenario(simulate, run)


def test_broadcast_reaches_all_but_the_excepted(simulate: Simulate) -> None:
    async def run(pair: Pair) -> None:
        got: list[bytes] = []
        pair.routers[1].register(LEDGER, lambda burst: got.extend(incoming.body for incoming in burst))
        async with pair as (one, _):
            assert one.broadcast(Lane.CONSENSUS, LEDGER, READ, b"vertex") == frozenset()
            one.broadcast(Lane.CONSENSUS, LEDGER, READ, b"not for you", except_=[pair.other])
            await asyncio.sleep(0.2)
        assert got == [b"vertex"]

    scenario(simulate, run)
