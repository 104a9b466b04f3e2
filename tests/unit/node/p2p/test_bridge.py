"""The bridge between the two threads: order, few wake-ups, and one failing call that costs no other."""

from __future__ import annotations

import asyncio
from functools import partial

from octra.node.p2p.bridge import Inbox


def test_calls_of_another_thread_run_in_order_and_survive_a_failing_one() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        failures: list[BaseException] = []
        loop.set_exception_handler(lambda loop, context: failures.append(context["exception"]))
        seen: list[int] = []
        finished = asyncio.Event()
        inbox = Inbox(loop)

        def post_all() -> None:
            for i in range(1_000):
                inbox.post(partial(seen.append, i))
                if i == 500:
                    inbox.post(lambda: [][0])
            inbox.post(finished.set)

        await asyncio.to_thread(post_all)
        await finished.wait()
        assert seen == list(range(1_000))
        assert [type(failure) for failure in failures] == [IndexError]

    asyncio.run(scenario())


def test_calls_after_the_loop_has_ended_are_dropped() -> None:
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop)
    loop.close()
    inbox.post(lambda: None)
