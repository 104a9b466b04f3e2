"""The trouble-maker: what happens to which seat, drawn from a seed; at most f seats are in trouble at once.

A seat stays in trouble until it has caught up with the others, so a slow recovery delays the next fault, never adds to it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from endurance.seats import Seats

PAUSE_S, AWAY_S, CUT_S, SLOW_S = (5.0, 30.0), (0.0, 15.0), (5.0, 30.0), (30.0, 120.0)
SYNC_MS = (100, 400)
GAP_S = (1.0, 6.0)  # between the beginnings of two faults
OUTAGES = (0.05, 0.92)  # parts of the run after which the whole network goes down: by kill -9, then politely
CATCH_UP_S = 300.0


class Kind(Enum):
    """What can happen to some seats."""

    KILL = "kill -9 and restart"
    PAUSE = "SIGSTOP, SIGCONT"
    CUT_OUT = "links cut, what they send"
    CUT_IN = "links cut, what they receive"
    CUT_BOTH = "links cut, both ways"
    CUT_SOME = "links cut to half of the others"
    SLOW_DISK = "slow disk"


@dataclass(frozen=True, slots=True)
class Fault:
    """One draw. `others` are the far ends of cut links."""

    kind: Kind
    seats: tuple[int, ...]
    seconds: float
    others: tuple[int, ...] = ()
    sync_ms: int = 0

    def cuts(self) -> set[tuple[int, int]]:
        """(sender, receiver) of what is held back."""
        out = {(seat, other) for seat in self.seats for other in self.others}
        into = {(other, seat) for seat, other in out}
        match self.kind:
            case Kind.CUT_OUT:
                return out
            case Kind.CUT_IN:
                return into
            case Kind.CUT_BOTH | Kind.CUT_SOME:
                return out | into
            case _:
                return set()


def draw(rng: random.Random, size: int, free: Sequence[int], mortal: frozenset[int], room: int) -> Fault:
    """The next fault for seats that are well (`free`), at most `room` of them; only `mortal` seats are killed."""
    kind = rng.choices(list(Kind), weights=(4, 3, 1, 1, 2, 1, 1))[0]
    able = [seat for seat in free if kind is not Kind.KILL or seat in mortal]
    if not able:
        return draw(rng, size, free, mortal, room)
    most = 1 if kind is Kind.SLOW_DISK else min(room, len(able))
    seats = tuple(sorted(rng.sample(able, rng.choice((1, 1, rng.randint(1, most))))))
    rest = [seat for seat in range(size) if seat not in seats]
    match kind:
        case Kind.KILL:
            return Fault(kind, seats, rng.uniform(*AWAY_S))
        case Kind.PAUSE:
            return Fault(kind, seats, rng.uniform(*PAUSE_S))
        case Kind.SLOW_DISK:
            return Fault(kind, seats, rng.uniform(*SLOW_S), sync_ms=rng.randint(*SYNC_MS))
        case Kind.CUT_SOME:
            return Fault(kind, seats, rng.uniform(*CUT_S), tuple(rng.sample(rest, len(rest) // 2)))
        case _:
            return Fault(kind, seats, rng.uniform(*CUT_S), tuple(rest))


@dataclass(slots=True)
class Record:
    """What was done, and how long it took to be well again."""

    done: Counter[str] = field(default_factory=Counter)
    ready_s: list[float] = field(default_factory=list)  # from the start of a killed node's process to "synced"
    recovery_s: dict[str, list[float]] = field(default_factory=dict)  # from the end of a fault to the others' height
    outages_s: list[tuple[float, float]] = field(default_factory=list)  # of the whole network: from, until first block
    failures: list[str] = field(default_factory=list)
    most_at_once: int = 0


class TroubleMaker:
    """Performs faults on real processes until the time is over, then heals everything."""

    def __init__(self, seats: Seats, seed: int, say: Callable[[str], None]) -> None:
        self.record = Record()
        self._seats, self._rng, self._say = seats, random.Random(f"faults {seed}"), say
        self._size = len(seats.names)
        self._most = (self._size - 1) // 3
        steady = max(1, self._size // 3)  # never killed alone: over their lives memory is measured
        self.mortal = frozenset(range(steady, self._size))
        self._ill: set[int] = set()
        self._cuts: list[set[tuple[int, int]]] = []
        self._slow: dict[int, int] = {}
        self._tasks: dict[asyncio.Task[None], Kind] = {}

    async def run(self, seconds: float) -> None:
        """Make trouble for so long."""
        started, due = time.monotonic(), [part * seconds for part in OUTAGES]
        while (now := time.monotonic() - started) < seconds:
            if due and now >= due[0]:
                due.pop(0)
                await self._well(but=Kind.SLOW_DISK)
                await self._outage(politely=not due)
            room = self._most - len(self._ill)
            if room > 0:
                fault = self._next(room)
                self._start(replace(fault, seconds=min(fault.seconds, seconds - now)))
            await asyncio.sleep(self._rng.uniform(*GAP_S))
        await self._well()

    def _next(self, room: int) -> Fault:
        """With room for two, one disk is always slow, sometimes another one."""
        free = [seat for seat in range(self._size) if seat not in self._ill]
        if self._most > 1 and Kind.SLOW_DISK not in self._tasks.values():
            return Fault(
                Kind.SLOW_DISK,
                (self._rng.choice(free),),
                self._rng.uniform(*SLOW_S),
                sync_ms=self._rng.randint(*SYNC_MS),
            )
        return draw(self._rng, self._size, free, self.mortal, room)

    async def follow(self, script: Sequence[Fault]) -> None:
        """Make this trouble and no other, one fault after the other."""
        for fault in script:
            self._start(fault)
            await self._well()

    async def _well(self, but: Kind | None = None) -> None:
        """Wait until nobody is in trouble, or in no other than `but`."""
        while tasks := [task for task, kind in self._tasks.items() if kind is not but]:
            await asyncio.wait(tasks)

    def _start(self, fault: Fault) -> None:
        self._ill |= set(fault.seats)
        self.record.most_at_once = max(self.record.most_at_once, len(self._ill))
        self.record.done[fault.kind.value] += len(fault.seats)
        self._say(f"{fault.kind.value}: seats {', '.join(map(str, fault.seats))} for {fault.seconds:.0f} s")
        task = asyncio.create_task(self._perform(fault))
        self._tasks[task] = fault.kind
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.record.failures.append(f"{type(error).__name__}: {error}")

    async def _perform(self, fault: Fault) -> None:
        seats = self._seats
        try:
            match fault.kind:
                case Kind.KILL:
                    for seat in fault.seats:
                        seats.kill(seat)
                    await asyncio.sleep(fault.seconds)
                    await asyncio.gather(*(self._restart(seat) for seat in fault.seats))
                case Kind.PAUSE:
                    for seat in fault.seats:
                        seats.pause(seat)
                    await asyncio.sleep(fault.seconds)
                    for seat in fault.seats:
                        seats.go_on(seat)
                case Kind.SLOW_DISK:
                    self._slow |= dict.fromkeys(fault.seats, fault.sync_ms)
                    self._tell(fault)
                    await asyncio.sleep(fault.seconds)
                    for seat in fault.seats:
                        del self._slow[seat]
                    self._tell(fault)
                case _:
                    self._cuts.append(cuts := fault.cuts())
                    self._tell(fault)
                    await asyncio.sleep(fault.seconds)
                    self._cuts.remove(cuts)
                    self._tell(fault)
            await asyncio.gather(*(self._recovered(seat, fault.kind.value) for seat in fault.seats))
        finally:
            self._ill -= set(fault.seats)

    async def _restart(self, seat: int) -> None:
        started = time.monotonic()
        self._seats.start(seat)
        if await self._seats.until_ready(seat, CATCH_UP_S):
            self.record.ready_s.append(time.monotonic() - started)
        else:
            self.record.failures.append(f"seat {seat} is not ready {CATCH_UP_S:.0f} s after its restart")

    async def _recovered(self, seat: int, kind: str) -> None:
        started = time.monotonic()
        if await self._seats.until_caught_up(seat, CATCH_UP_S):
            self.record.recovery_s.setdefault(kind, []).append(time.monotonic() - started)
        else:
            self.record.failures.append(f"seat {seat} does not catch up within {CATCH_UP_S:.0f} s after: {kind}")

    async def _outage(self, *, politely: bool) -> None:
        """All nodes at once, as a power cut or an upgrade would."""
        self._say(f"all nodes end {'by SIGTERM' if politely else 'by kill -9'} and start again")
        self.record.done["whole network stopped" if politely else "whole network killed"] += 1
        down_s = time.monotonic()
        height = await self._seats.height()
        await self._seats.stop_all(politely=politely)
        for seat in range(self._size):
            self._seats.start(seat)
        for seat in range(self._size):
            if not await self._seats.until_ready(seat, CATCH_UP_S):
                self.record.failures.append(f"seat {seat} is not ready after the whole network's restart")
        while await self._seats.height() <= height and time.monotonic() < down_s + CATCH_UP_S:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        self.record.outages_s.append((down_s, time.monotonic()))

    def _tell(self, fault: Fault) -> None:
        """Write what now troubles all who are concerned."""
        cuts = set().union(*self._cuts)
        for seat in (*fault.seats, *fault.others):
            self._seats.trouble(seat, [far for near, far in sorted(cuts) if near == seat], self._slow.get(seat, 0))
