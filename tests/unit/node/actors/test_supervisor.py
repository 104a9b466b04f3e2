"""The supervisor: each way an actor can fail, asks across failures, timers, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from octra.errors import Corrupt, InvalidInput, Unavailable
from octra.node.actors.mailbox import Told
from octra.node.actors.ref import ASK_ORDER, ActorCode, ActorGone, Ask, Context, PeerTimeout, RefusalCode, Refused
from octra.node.actors.supervisor import RestartPlan, StopNode, Supervisor, Verdict
from octra.node.clock import LoopClock

Simulate = Callable[[Coroutine[Any, Any, Any]], Any]
LEDGER, MEMPOOL = ActorCode.LEDGER, ActorCode.MEMPOOL


@dataclass(frozen=True, slots=True)
class Double(Ask[int]):
    value: int


class Probe:
    """Writes down its life; fails on demand."""

    def __init__(self, diary: list[object]) -> None:
        self.diary = diary

    async def start(self, context: Context) -> None:
        self.context = context
        self.diary.append("start")

    async def receive(self, batch: Sequence[object]) -> None:
        for message in batch:
            if isinstance(message, Double):
                message.reply(2 * message.value)
            elif isinstance(message, tuple):
                with self.context.guard(message):
                    raise message[0]
            elif isinstance(message, BaseException):
                raise message
            elif callable(message):
                if asyncio.iscoroutine(result := message(self.context)):
                    await result
            else:
                self.diary.append(message)

    async def stop(self, deadline_ms: int) -> None:
        self.diary.append("stop")


class Silent(Probe):
    """Keeps asks open."""

    async def receive(self, batch: Sequence[object]) -> None:
        await super().receive([message for message in batch if not isinstance(message, Double)])


def supervise(
    simulate: Simulate,
    scenario: Callable[[Supervisor, list[object]], Coroutine[Any, Any, None]],
    make: Callable[[list[object]], Probe] = Probe,
    **options: Any,
) -> list[object]:
    diary: list[object] = []

    async def whole() -> None:
        supervisor = Supervisor(LoopClock(0), structlog.get_logger(), blame=lambda m, e: diary.append(("blamed", m)))
        supervisor.add(LEDGER, lambda: make(diary), **options)
        running = asyncio.create_task(supervisor.run())
        await supervisor.running.wait()
        await scenario(supervisor, diary)
        supervisor.shutdown()
        await running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(whole())
    return diary


def test_messages_arrive_in_order_between_start_and_stop(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        for i in range(3):
            assert supervisor.ref(LEDGER).tell(i) is Told.ACCEPTED
        await supervisor.ref(LEDGER).tell_all([3, 4])

    assert supervise(simulate, scenario) == ["start", 0, 1, 2, 3, 4, "stop"]


def test_an_ask_gets_its_reply(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        assert await supervisor.ref(LEDGER).ask(Double(21), timeout_ms=100) == 42

    supervise(simulate, scenario)


def test_an_ask_without_answer_times_out_and_is_not_delivered_late(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        with pytest.raises(PeerTimeout):
            await supervisor.ref(LEDGER).ask(Double(1), timeout_ms=100)

    supervise(simulate, scenario, Silent)


def test_an_ask_to_a_full_mailbox_is_refused(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        ref = supervisor.ref(LEDGER)
        while ref.tell("fill") is Told.ACCEPTED:
            pass
        with pytest.raises(Refused) as refusal:
            await ref.ask(Double(1), timeout_ms=100)
        assert refusal.value.code is RefusalCode.BUSY

    supervise(simulate, scenario, count_max=3)


def test_many_asks_get_an_answer_or_an_error_each(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        ref = supervisor.ref(LEDGER)
        assert await ref.ask_all([], timeout_ms=100) == []
        found = await ref.ask_all([Double(number) for number in range(5)], timeout_ms=100)
        assert found[:3] == [0, 2, 4]
        assert [error.code for error in found[3:] if isinstance(error, Refused)] == [RefusalCode.BUSY] * 2

    supervise(simulate, scenario, count_max=3)


def test_of_many_asks_only_those_without_an_answer_time_out(simulate: Simulate) -> None:
    class Odd(Probe):
        async def receive(self, batch: Sequence[object]) -> None:
            await super().receive([one for one in batch if not isinstance(one, Double) or one.value % 2])

    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        found = await supervisor.ref(LEDGER).ask_all([Double(number) for number in range(3)], timeout_ms=100)
        assert isinstance(found[0], PeerTimeout)
        assert found[1] == 2
        assert isinstance(found[2], PeerTimeout)

    supervise(simulate, scenario, Odd)


def test_invalid_input_inside_a_guard_is_blamed_and_the_batch_goes_on(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        bad = (InvalidInput("bad"),)
        await supervisor.ref(LEDGER).tell_all([1, bad, 2])
        await asyncio.sleep(1)
        assert diary == ["start", 1, ("blamed", bad), 2]
        assert supervisor.stats()[0].invalid_total == 1

    supervise(simulate, scenario)


def test_an_outage_restarts_the_actor_keeps_its_mailbox_and_fails_its_open_asks(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        ref = supervisor.ref(LEDGER)
        asking = asyncio.create_task(ref.ask(Double(1), timeout_ms=60_000))
        await asyncio.sleep(0.01)
        ref.tell(Unavailable("disk"))
        await asyncio.sleep(0.01)
        ref.tell("kept")
        with pytest.raises(ActorGone):
            await asking
        await asyncio.sleep(1)
        assert diary == ["start", "start", "kept"]
        assert supervisor.stats()[0].restarts_total == 1

    supervise(simulate, scenario, Silent, critical=True)


def test_a_bug_restarts_an_actor_three_times_and_then_stops_the_node(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        for _ in range(4):
            supervisor.ref(LEDGER).tell(AssertionError("bug"))
            await asyncio.sleep(1)

    with pytest.raises(StopNode):
        supervise(simulate, scenario)


@pytest.mark.parametrize(
    ("error", "critical"), [(Corrupt("disk"), False), (ValueError("bug"), True), (InvalidInput("unguarded"), True)]
)
def test_what_forbids_going_on_stops_the_node(simulate: Simulate, error: Exception, critical: bool) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        supervisor.ref(LEDGER).tell(error)
        await asyncio.sleep(1)

    with pytest.raises(StopNode) as stopped:
        supervise(simulate, scenario, critical=critical)
    assert stopped.value.__cause__ is error
    assert stopped.value.actor == "ledger"


def test_when_one_actor_stops_the_node_the_others_stop_in_order(simulate: Simulate) -> None:
    diary: list[object] = []

    async def whole() -> None:
        supervisor = Supervisor(LoopClock(0), structlog.get_logger())
        supervisor.add(LEDGER, lambda: Probe(diary))
        supervisor.add(MEMPOOL, lambda: Probe([]), critical=True)
        running = asyncio.create_task(supervisor.run())
        await supervisor.running.wait()
        supervisor.ref(LEDGER).tell("last words")
        supervisor.ref(MEMPOOL).tell(ValueError("bug"))
        with pytest.raises(StopNode):
            await running

    simulate(whole())
    assert diary == ["start", "last words", "stop"]


def test_a_timer_arrives_at_its_time_and_a_cancelled_one_never(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        def set_timers(context: Context) -> None:
            now_ms = context.clock.monotonic_ms()
            context.timer(now_ms + 500, "late")
            context.timer(now_ms + 100, "early")
            context.timer(now_ms + 200, "cancelled")()

        async def cancel_what_is_queued(context: Context) -> None:
            cancel = context.timer(context.clock.monotonic_ms(), "queued, then cancelled")
            await asyncio.sleep(0.01)
            cancel()

        async def cancel_what_is_next(context: Context) -> None:
            now_ms = context.clock.monotonic_ms()
            context.timer(now_ms, lambda _: cancel())
            cancel = context.timer(now_ms + 1, "next in the same batch")
            await asyncio.sleep(0.01)

        await supervisor.ref(LEDGER).tell_all([set_timers, cancel_what_is_queued, cancel_what_is_next])
        await asyncio.sleep(0.3)
        assert diary == ["start", "early"]
        await asyncio.sleep(0.3)
        assert diary == ["start", "early", "late"]

    supervise(simulate, scenario)


def test_a_timer_that_has_fired_is_gone_before_the_collector_comes(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        messages: list[weakref.ref[object]] = []

        def set_timer(context: Context) -> None:
            def message(_: Context) -> None:
                diary.append("fired")

            messages.append(weakref.ref(message))
            context.timer(context.clock.monotonic_ms() + 100, message)

        supervisor.ref(LEDGER).tell(set_timer)
        await asyncio.sleep(0.3)
        supervisor.ref(LEDGER).tell("another message")  # the actor still holds the batch that it got last
        await asyncio.sleep(0.1)
        assert diary == ["start", "fired", "another message"]
        assert messages[0]() is None

    gc.disable()
    try:
        supervise(simulate, scenario)
    finally:
        gc.enable()


def test_timers_and_spawned_work_end_with_the_life_that_made_them(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                diary.append("work ended")

        def begin(context: Context) -> None:
            context.timer(context.clock.monotonic_ms() + 1_000, "of an earlier life")
            context.spawn(work())

        supervisor.ref(LEDGER).tell(begin)
        await asyncio.sleep(0.1)
        supervisor.ref(LEDGER).tell(Unavailable("outage"))
        await asyncio.sleep(5)

    assert supervise(simulate, scenario) == ["start", "work ended", "start", "stop"]


def test_failing_spawned_work_is_the_actors_failure(simulate: Simulate) -> None:
    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        async def work() -> None:
            raise Unavailable("peer")

        supervisor.ref(LEDGER).tell(lambda context: context.spawn(work()))
        await asyncio.sleep(5)

    assert supervise(simulate, scenario) == ["start", "start", "stop"]


def test_an_actor_that_does_not_stop_is_cancelled_at_the_deadline(simulate: Simulate) -> None:
    class Stuck(Probe):
        async def stop(self, deadline_ms: int) -> None:
            await asyncio.sleep(1_000_000)

    async def scenario(supervisor: Supervisor, diary: list[object]) -> None:
        supervisor.ref(LEDGER).tell("x")

    assert supervise(simulate, scenario, Stuck) == ["start", "x"]


def test_asks_to_a_stopped_actor_fail(simulate: Simulate) -> None:
    async def whole() -> None:
        supervisor = Supervisor(LoopClock(0), structlog.get_logger())
        ref = supervisor.add(LEDGER, lambda: Probe([]))
        running = asyncio.create_task(supervisor.run())
        await supervisor.running.wait()
        supervisor.shutdown()
        await running
        assert ref.tell(1) is Told.GONE
        with pytest.raises(ActorGone):
            await ref.ask(Double(1), timeout_ms=1)

    simulate(whole())


def test_pauses_double_up_to_half_a_minute_and_five_outages_mean_down() -> None:
    plan = RestartPlan(critical=True, seed=1)
    pauses = []
    for i in range(12):
        verdict, pause_ms = plan.judge(Unavailable("x"), i)
        assert verdict is Verdict.RETRY
        pauses.append(pause_ms)
        assert plan.down(i) == (i >= 4)
    assert all(100 * 2**i <= pause <= 125 * 2**i for i, pause in enumerate(pauses[:8]))
    assert all(30_000 <= pause <= 37_500 for pause in pauses[9:])
    assert not plan.down(120_000)


def test_bugs_are_forgiven_after_ten_minutes() -> None:
    plan = RestartPlan(critical=False, seed=1)
    verdicts = [plan.judge(ValueError(), at)[0] for at in (0, 1, 2, 700_000, 700_001, 700_002, 700_003)]
    assert verdicts == [Verdict.RESTART] * 6 + [Verdict.STOP]


def test_the_order_of_asks_names_each_actor_once() -> None:
    assert len(set(ASK_ORDER)) == len(ASK_ORDER)
