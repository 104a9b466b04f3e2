"""What a node answers to whom sends it a transaction, and when: on a real node of one validator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from whole_node import facts_of, node, submit

from octra.codec import decode
from octra.consensus.batch import Batch as BatchBytes
from octra.consensus.batch import items_of
from octra.consensus.effects import Propose
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.transactions import build, sign
from octra.crypto.ed25519 import SigningKey
from octra.node import founding
from octra.node.actors import mempool, ordering, supervisor
from octra.node.actors.mempool import BatchTick
from octra.node.actors.ref import ActorCode, Refused
from octra.node.facade import FullNode
from octra.node.p2p.memory import MemoryNetwork
from octra.node.parts import Parts
from octra.primitives import address_of

ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
A_WHILE_S = 0.2  # for an answer that must not come
PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def alone(
    directory: Path, patch: pytest.MonkeyPatch, batch_ms: int = 3_600_000
) -> AsyncIterator[tuple[FullNode, Parts]]:
    """A node that makes a batch only when it is told to, or after `batch_ms`."""
    patch.setattr(mempool, "BATCH_MS", batch_ms)
    plan = founding.Plan(directory, 1, 0, "TEST", network_key=False, accounts=(address_of(ALICE.public),))
    (place,) = founding.found(plan, bytes(32), 1_800_000_000_000, say=lambda _: None)
    async with node(MemoryNetwork(1), 1, facts_of(place, "")) as found:
        yield found


def payment(parts: Parts, *, extra_fee: int = 0, nonce: int = 1) -> bytes:
    op = ops.Transfer(address_of(BOB.public), 1)
    fee = fees.minimum_fee(op, parts.facts.params.prices) + extra_fee
    chain = parts.facts.params.chain
    return sign(build(chain=chain, sender=ALICE.public, nonce=nonce, expiry_epoch=500, fee=fee, op=op), ALICE)


async def pending(answer: asyncio.Task[bytes]) -> bool:
    """No answer comes for a while."""
    await asyncio.sleep(A_WHILE_S)
    return not answer.done()


def stored(parts: Parts) -> list[bytes]:
    """Items in batches on the node's disk."""
    batches = [decode(data, BatchBytes) for _, data in parts.stores.blocks.batches(0)]
    return [item for batch in batches for item in items_of(batch)]


def test_who_sends_the_same_again_hears_nothing_before_it_lies_in_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with alone(tmp_path, monkeypatch) as (facade, parts):
            item = payment(parts)
            first = asyncio.create_task(submit(facade, item))
            assert await pending(first)
            again = asyncio.create_task(submit(facade, item))
            assert await pending(again), "the pool forgets at a crash: it is no place to promise anything"
            assert stored(parts) == []
            facade._supervisor.ref(ActorCode.MEMPOOL).tell(BatchTick())
            async with asyncio.timeout(PATIENCE_S):
                assert await first == await again
            assert stored(parts) == [item]
            async with asyncio.timeout(PATIENCE_S):
                assert await submit(facade, item) == await first, "what a batch or a block holds is answered at once"

    asyncio.run(scenario())


def test_who_waits_for_a_batch_is_told_when_a_better_offer_took_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with alone(tmp_path, monkeypatch) as (facade, parts):
            poor = asyncio.create_task(submit(facade, payment(parts)))
            assert await pending(poor)
            rich = asyncio.create_task(submit(facade, payment(parts, extra_fee=1_000_000)))
            assert await pending(rich)
            facade._supervisor.ref(ActorCode.MEMPOOL).tell(BatchTick())
            async with asyncio.timeout(PATIENCE_S):
                await rich
                with pytest.raises(Refused):
                    await poor

    asyncio.run(scenario())


def test_however_many_wait_there_is_one_tick_for_the_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that an earlier one has replaced would set another when it comes, and so for ever."""
    ticks: list[int] = []  # that are set, each time that one is
    timer = supervisor._Context.timer

    def watched(self: supervisor._Context, at_ms: int, message: object) -> Callable[[], None]:
        cancel = timer(self, at_ms, message)
        if isinstance(message, BatchTick):
            ticks.append(sum(isinstance(one.message, BatchTick) for one in self._timers))
        return cancel

    monkeypatch.setattr(supervisor._Context, "timer", watched)

    async def scenario() -> None:
        async with alone(tmp_path, monkeypatch) as (facade, parts):
            first = asyncio.create_task(submit(facade, payment(parts)))
            assert await pending(first)
            for nonce in (2, 3):
                monkeypatch.setattr(mempool, "BATCH_MS", mempool.BATCH_MS // 2)  # due earlier each time
                assert await pending(asyncio.create_task(submit(facade, payment(parts, nonce=nonce))))
            assert len(ticks) >= 3
            assert set(ticks) == {1}

    asyncio.run(scenario())


def test_a_batch_is_made_once_a_vertex_names_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs all seats the same, whatever is in it: under load they grow instead of becoming more."""
    held = asyncio.Event()
    propose = ordering.OrderingActor._propose

    async def wait_first(self: ordering.OrderingActor, order: Propose) -> None:
        await held.wait()
        await propose(self, order)

    async def scenario() -> None:
        monkeypatch.setattr(ordering.OrderingActor, "_propose", wait_first)
        async with alone(tmp_path, monkeypatch, batch_ms=1) as (facade, parts):
            async with asyncio.timeout(PATIENCE_S):
                await submit(facade, payment(parts))
            rest = [asyncio.create_task(submit(facade, payment(parts, nonce=nonce))) for nonce in (2, 3, 4)]
            assert await pending(rest[0])
            assert len(list(parts.stores.blocks.batches(0))) == 1
            held.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*rest)
            assert len(list(parts.stores.blocks.batches(0))) == 2

    asyncio.run(scenario())
