"""Starts the actors in order, runs each in its own loop, and decides what a failure means: go on, restart, or stop.

| what escapes an actor          | then                                                                    |
|--------------------------------|-------------------------------------------------------------------------|
| `InvalidInput` inside a guard  | dropped, counted, sender blamed                                         |
| `Unavailable`                  | restart after 0.1 s doubling to 30 s; down (but retried) at 5 in 60 s   |
| `Corrupt`                      | stop the node                                                           |
| anything else (our bug)        | critical actor: stop the node; other: restart, at the 4th in 10 min stop |
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import structlog

from octra.errors import Corrupt, InvalidInput, OctraError, Unavailable
from octra.node.actors.mailbox import COUNT_MAX, SIZE_MAX, Mailbox, Told, WhenFull
from octra.node.actors.ref import Actor, ActorCode, ActorGone, Ask, LocalRef, Ref
from octra.node.clock import Clock

BATCH_MAX = 256
OPEN_ASKS_MIN = 64  # so many before it is looked which of them are still open
BUG_RESTARTS_MAX, BUG_WINDOW_MS = 3, 600_000
RETRY_FIRST_MS, RETRY_MAX_MS = 100, 30_000
DOWN_COUNT, DOWN_WINDOW_MS = 5, 60_000

Blame = Callable[[object, InvalidInput], None]


class StopNode(OctraError):
    """An actor failed in a way that forbids going on; `__cause__` is its error."""

    oct_code = 9002

    def __init__(self, actor: str) -> None:
        super().__init__(f"node stopped: actor {actor} failed")
        self.actor = actor


class Verdict(Enum):
    """What to do about a failed actor."""

    RESTART = "restart"
    RETRY = "retry"  # the world's fault: after a pause
    STOP = "stop"


class RestartPlan:
    """Counts an actor's failures and judges the next one. `critical` actors sign or store: they never guess."""

    def __init__(self, *, critical: bool, seed: int) -> None:
        self._critical = critical
        self._jitter = random.Random(seed)
        self._bugs: deque[int] = deque()
        self._outages: deque[int] = deque()

    def judge(self, error: BaseException, now_ms: int) -> tuple[Verdict, int]:
        """The verdict, and how long to pause before the restart."""
        if isinstance(error, Corrupt):
            return Verdict.STOP, 0
        if isinstance(error, Unavailable):
            pause_ms = min(RETRY_FIRST_MS << min(self._recent(self._outages, DOWN_WINDOW_MS, now_ms), 20), RETRY_MAX_MS)
            self._outages.append(now_ms)
            return Verdict.RETRY, pause_ms + self._jitter.randrange(pause_ms // 4 + 1)
        if self._critical or self._recent(self._bugs, BUG_WINDOW_MS, now_ms) >= BUG_RESTARTS_MAX:
            return Verdict.STOP, 0
        self._bugs.append(now_ms)
        return Verdict.RESTART, 0

    def down(self, now_ms: int) -> bool:
        """Has the actor failed too often lately to count on it?"""
        return self._recent(self._outages, DOWN_WINDOW_MS, now_ms) >= DOWN_COUNT

    @staticmethod
    def _recent(times: deque[int], window_ms: int, now_ms: int) -> int:
        while times and times[0] <= now_ms - window_ms:
            times.popleft()
        return len(times)


@dataclass(frozen=True, slots=True)
class ActorStats:
    """Counters of one actor, for metrics and `/health`."""

    actor: ActorCode
    depth: int
    mailbox_size: int
    messages_total: int
    invalid_total: int
    shed_total: int
    restarts_total: int
    down: bool


class _Stop:
    """Control message: finish and return."""


@dataclass(slots=True, eq=False)
class _Timer:
    message: object
    waiting: dict[_Timer, None]  # those of the same life that have not fired; dicts keep their order
    cancelled: bool = False  # checked when delivered: a cancelled timer never arrives, also when already queued
    handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self.cancelled = True
        self.waiting.pop(self, None)
        if self.handle is not None:
            self.handle.cancel()


_SPECIAL = (_Stop, _Timer, Ask)  # messages that are not just handed to the actor


@dataclass(slots=True)
class _Child:
    code: ActorCode
    make: Callable[[], Actor[Any]]
    mailbox: Mailbox[Any]
    ref: LocalRef[Any]
    plan: RestartPlan
    batch_max: int
    started: asyncio.Event = field(default_factory=asyncio.Event)
    open_asks: list[Ask[Any]] = field(default_factory=list)  # and some that were answered
    deadline_ms: int = 0
    messages_total: int = 0
    invalid_total: int = 0
    restarts_total: int = 0

    @property
    def name(self) -> str:
        return self.code.name.lower()

    def fail_open_asks(self) -> None:
        for ask in self.open_asks:
            ask.fail(ActorGone(self.name))
        self.open_asks.clear()


class _Context:
    """One life of one actor, as the actor sees it."""

    def __init__(self, supervisor: Supervisor, child: _Child, group: asyncio.TaskGroup) -> None:
        self._supervisor, self._child, self._group = supervisor, child, group
        self._loop = asyncio.get_running_loop()
        self._timers: dict[_Timer, None] = {}  # dicts keep their order, so a simulation repeats exactly
        self._spawned: dict[asyncio.Task[None], None] = {}
        self.clock = supervisor.clock
        self.log: structlog.stdlib.BoundLogger = supervisor.log.bind(actor=child.name)

    def ref(self, actor: ActorCode) -> Ref[Any]:
        return self._supervisor.ref(actor)

    def timer(self, at_ms: int, message: object) -> Callable[[], None]:
        timer = _Timer(message, self._timers)
        delay_s = max(0, at_ms - self.clock.monotonic_ms()) / 1_000
        timer.handle = self._loop.call_later(delay_s, self._fire, timer)
        self._timers[timer] = None
        return timer.cancel

    def _fire(self, timer: _Timer) -> None:
        self._timers.pop(timer, None)
        timer.handle = None  # it names the timer, too: such a pair would live until the collector comes
        self._child.mailbox.offer_control(timer)

    def guard(self, message: object) -> AbstractContextManager[None]:
        return _Guard(self, message)

    def refuse(self, message: object, error: InvalidInput) -> None:
        """Drop a message that breaks a rule."""
        self._child.invalid_total += 1
        self.log.debug("message refused", kind=type(message).__name__, error=type(error).__name__)
        if isinstance(message, Ask):
            message.fail(error)
        self._supervisor.blame(message, error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._spawned[task] = None
        task.add_done_callback(self._spawned.pop)
        return task

    def end(self) -> None:
        """Nothing of this life reaches the next one."""
        for timer in tuple(self._timers):
            timer.cancel()
        for task in self._spawned:
            task.cancel()


class _Guard:
    """What `Context.guard` gives; a generator would take three times as long, for every message."""

    __slots__ = ("_context", "_message")

    def __init__(self, context: _Context, message: object) -> None:
        self._context, self._message = context, message

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, InvalidInput):
            return False
        self._context.refuse(self._message, error)
        return True


class Supervisor:
    """All actors of one node. `run` returns after `shutdown`, or raises `StopNode`."""

    def __init__(
        self,
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
        *,
        blame: Blame = lambda message, error: None,
        seed: int = 0,
    ) -> None:
        self.clock, self.log, self.blame = clock, log, blame
        self._seed = seed
        self._children: dict[ActorCode, _Child] = {}
        self._shutdown = asyncio.Event()
        self._fatal: tuple[_Child, BaseException] | None = None
        self.running = asyncio.Event()  # every actor has started once

    def add(
        self,
        code: ActorCode,
        make: Callable[[], Actor[Any]],
        *,
        critical: bool = False,
        count_max: int = COUNT_MAX,
        size_max: int = SIZE_MAX,
        full: WhenFull = WhenFull.REFUSE,
        batch_max: int = BATCH_MAX,
    ) -> LocalRef[Any]:
        """Declare an actor; `make` builds it anew for each (re)start. Started in the order of declaration."""
        assert code not in self._children
        assert not self.running.is_set()
        mailbox: Mailbox[Any] = Mailbox(count_max=count_max, size_max=size_max, full=full)
        ref: LocalRef[Any] = LocalRef(code.name.lower(), mailbox)
        plan = RestartPlan(critical=critical, seed=self._seed * 256 + code)
        self._children[code] = _Child(code, make, mailbox, ref, plan, batch_max)
        return ref

    def ref(self, code: ActorCode) -> LocalRef[Any]:
        """The reference of a declared actor; valid across restarts."""
        return self._children[code].ref

    def shutdown(self) -> None:
        """Ask `run` to stop all actors, last started first, and return."""
        self._shutdown.set()

    async def stopping(self) -> None:
        """Return once the node is to stop, by request or by a failed actor."""
        await self._shutdown.wait()

    async def run(self, *, grace_ms: int = 10_000) -> None:
        """Start all actors and keep them running; raises `StopNode` when one of them forbids going on."""
        async with asyncio.TaskGroup() as group:
            tasks = {}
            for child in self._children.values():
                tasks[child.code] = group.create_task(self._keep(child), name=child.name)
                await self._first(child.started.wait(), self._shutdown.wait())
                if self._shutdown.is_set():
                    break
            else:
                self.running.set()
                await self._shutdown.wait()
            deadline_ms = self.clock.monotonic_ms() + grace_ms
            for code, task in reversed(tasks.items()):
                await self._stop(self._children[code], task, deadline_ms)
        if self._fatal is not None:
            child, error = self._fatal
            raise StopNode(child.name) from error

    def stats(self) -> tuple[ActorStats, ...]:
        """Counters of all actors."""
        now_ms = self.clock.monotonic_ms()
        return tuple(
            ActorStats(
                child.code,
                child.mailbox.depth,
                child.mailbox.size,
                child.messages_total,
                child.invalid_total,
                child.mailbox.shed_total,
                child.restarts_total,
                child.plan.down(now_ms),
            )
            for child in self._children.values()
        )

    async def _keep(self, child: _Child) -> None:
        """Run `child` through all its lives; nothing but cancellation leaves this function."""
        while True:
            try:
                error = await self._live(child)
            finally:
                child.fail_open_asks()
            if error is None:
                return
            verdict, pause_ms = child.plan.judge(error, self.clock.monotonic_ms())
            if verdict is Verdict.STOP:
                self.log.error("actor failed, node stops", actor=child.name, error=repr(error), exc_info=error)
                self._fatal = self._fatal or (child, error)
                self.shutdown()
                return
            child.restarts_total += 1
            shown = error if verdict is Verdict.RESTART else None  # a stack only for our own bugs
            self.log.warning("actor restarts", actor=child.name, error=repr(error), pause_ms=pause_ms, exc_info=shown)
            if await self._shutdown_within(pause_ms):
                return

    async def _live(self, child: _Child) -> BaseException | None:
        """One life: None after an orderly stop, else what ended it."""
        context: _Context | None = None
        try:
            async with asyncio.TaskGroup() as group:
                context = _Context(self, child, group)
                try:
                    actor = child.make()
                    await actor.start(context)
                    child.started.set()
                    await self._serve(child, actor)
                finally:
                    context.end()
        except BaseExceptionGroup as failures:
            return _first_leaf(failures)
        return None

    async def _serve(self, child: _Child, actor: Actor[Any]) -> None:
        stopping, open_max = False, OPEN_ASKS_MIN
        while not stopping:
            taken = await child.mailbox.take(child.batch_max)
            batches: Iterable[list[Any]] = (taken,)
            if special := [message for message in taken if isinstance(message, _SPECIAL)]:
                stopping = any(isinstance(message, _Stop) for message in special)
                child.open_asks += [message for message in special if isinstance(message, Ask)]
                batches = self._batches(taken)
            if len(child.open_asks) >= open_max:  # not at each message: many asks may wait for long
                child.open_asks = [ask for ask in child.open_asks if not ask.abandoned]
                open_max = 2 * len(child.open_asks) + OPEN_ASKS_MIN
            for batch in batches:
                child.messages_total += len(batch)
                await actor.receive(batch)
            if child.mailbox.depth:  # else `take` waits, and that lets the others run
                await self.clock.yield_()  # a busy actor must not starve the others
        await actor.stop(child.deadline_ms)

    @staticmethod
    def _batches(taken: list[Any]) -> Iterator[list[Any]]:
        """What the actor gets. A timer comes alone, so that the message before it can still cancel it."""
        batch: list[Any] = []
        for message in taken:
            match message:
                case _Stop():
                    pass
                case _Timer():
                    if batch:
                        yield batch
                        batch = []
                    if not message.cancelled:
                        yield [message.message]
                case Ask() if message.abandoned:
                    pass
                case _:
                    batch.append(message)
        if batch:
            yield batch

    async def _stop(self, child: _Child, task: asyncio.Task[None], deadline_ms: int) -> None:
        child.deadline_ms = deadline_ms
        told = child.mailbox.offer_control(_Stop())
        left_s = max(0, deadline_ms - self.clock.monotonic_ms()) / 1_000
        if told is Told.ACCEPTED:
            await asyncio.wait([task], timeout=left_s)
        if not task.done():
            self.log.warning("actor did not stop in time", actor=child.name)
            task.cancel()
            await asyncio.wait([task])
        for message in child.mailbox.close():
            if isinstance(message, Ask):
                message.fail(ActorGone(child.name))

    async def _shutdown_within(self, pause_ms: int) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_ms / 1_000):
                await self._shutdown.wait()
        return self._shutdown.is_set()

    @staticmethod
    async def _first(*waits: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
