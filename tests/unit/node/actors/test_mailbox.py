"""The mailbox: order, both lanes, bounds, and no wake-up lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from octra.node.actors.mailbox import Mailbox, Told, WhenFull

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]


def test_take_returns_all_that_waits_in_order_with_control_first(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[object] = Mailbox()
        for i in range(5):
            assert box.offer(i) is Told.ACCEPTED
        box.offer_control("stop")
        assert await box.take(4) == ["stop", 0, 1, 2]
        assert await box.take(4) == [3, 4]

    simulate(scenario())


def test_a_full_mailbox_refuses_by_count_and_by_bytes(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[int] = Mailbox(count_max=2, size_max=100)
        assert box.offer(1, 60) is Told.ACCEPTED
        assert box.offer(2, 60) is Told.FULL
        assert box.offer(2, 40) is Told.ACCEPTED
        assert box.offer(3, 0) is Told.FULL
        assert (box.depth, box.size) == (2, 100)
        await box.take(1)
        assert box.offer(3, 60) is Told.ACCEPTED

    simulate(scenario())


def test_an_empty_mailbox_takes_a_message_of_any_size(simulate: Simulate) -> None:
    async def scenario() -> None:
        assert Mailbox[int](size_max=10).offer(1, 1_000) is Told.ACCEPTED

    simulate(scenario())


def test_drop_oldest_keeps_the_newest_and_counts(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[int] = Mailbox(count_max=3, full=WhenFull.DROP_OLDEST)
        dropped: list[int] = []
        for i in range(10):
            assert box.offer(i, taken=lambda i=i: dropped.append(i)) is Told.ACCEPTED
        assert dropped == list(range(7)), "who waits for a message to be taken hears of its end"
        assert await box.take(10) == [7, 8, 9]
        assert box.shed_total == 7

    simulate(scenario())


def test_put_waits_for_room_and_keeps_the_order_of_waiters(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[int] = Mailbox(count_max=1)
        tasks = [asyncio.create_task(box.put(i)) for i in range(5)]
        got = []
        while len(got) < 5:
            got += await box.take(8)
        assert got == [0, 1, 2, 3, 4]
        assert [await task for task in tasks] == [Told.ACCEPTED] * 5

    simulate(scenario())


def test_a_cancelled_waiter_passes_its_turn_on(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[int] = Mailbox(count_max=1)
        box.offer(0)
        first, second = asyncio.create_task(box.put(1)), asyncio.create_task(box.put(2))
        await asyncio.sleep(0)
        assert await box.take(1) == [0]  # promises the room to the first
        first.cancel()
        assert await box.take(1) == [2]
        await second

    simulate(scenario())


def test_closing_answers_gone_and_frees_those_who_wait(simulate: Simulate) -> None:
    async def scenario() -> None:
        box: Mailbox[int] = Mailbox(count_max=1)
        box.offer(0)
        waiting = asyncio.create_task(box.put(1))
        await asyncio.sleep(0)
        assert box.close() == [0]
        assert await waiting is Told.GONE
        assert (box.offer(2), box.offer_control(3)) == (Told.GONE, Told.GONE)

    simulate(scenario())


@pytest.mark.parametrize("seed", range(20))
def test_no_message_and_no_wake_up_is_lost_under_any_interleaving(simulate: Simulate, seed: int) -> None:
    async def scenario() -> None:
        rng = random.Random(seed)
        box: Mailbox[tuple[int, int]] = Mailbox(count_max=rng.randrange(1, 6), size_max=rng.randrange(1, 40))
        got: list[tuple[int, int]] = []

        async def writer(who: int) -> None:
            for i in range(40):
                if rng.random() < 0.5:
                    await asyncio.sleep(rng.choice([0, 0.001]))
                await box.put((who, i), rng.randrange(20))

        async def reader() -> None:
            while len(got) < 160:
                got.extend(await box.take(rng.randrange(1, 10)))
                if rng.random() < 0.3:
                    await asyncio.sleep(0.001)

        # A lost wake-up shows as the loop's Deadlock: everybody waits and nothing is scheduled.
        await asyncio.gather(reader(), *(writer(who) for who in range(4)))
        assert [[i for who, i in got if who == one] for one in range(4)] == [list(range(40))] * 4

    simulate(scenario())
