"""A node's event loop: its work runs to the end, and what it frees goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time
import weakref
from pathlib import Path

import pytest

from octra.node import event_loop

PIECE, PIECES = 64 << 10, 640


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_freed_memory_goes_back_to_the_system_although_something_lies_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "GIVE_BACK_S", 0.2)
    kib: list[int] = []

    async def scenario() -> None:
        pieces = [bytes(PIECE) for _ in range(PIECES)]
        above = pieces[-20:]  # some of these are the last of the heap
        del pieces
        kib.append(own_memory_kib())
        async with asyncio.timeout(20):
            while own_memory_kib() > kib[0] - PIECE * PIECES // 2_048:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert len(above) == 20

    event_loop.run(scenario())


class Link:
    """It names itself, as a link and its tasks name each other."""

    def __init__(self) -> None:
        self.itself = self


def test_cycles_are_dropped_long_before_the_collector_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "GIVE_BACK_S", 0.2)

    async def scenario() -> None:
        gone = weakref.ref(Link())
        assert gone() is not None
        async with asyncio.timeout(20):
            while gone() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    before = gc.get_threshold()
    try:
        event_loop.run(scenario())
    finally:
        gc.set_threshold(*before)


def test_the_work_ends_without_waiting_for_the_next_turn() -> None:
    seen: list[int] = []

    async def scenario() -> None:
        seen.append(1)

    event_loop.run(scenario())
    assert seen == [1]


def test_nothing_is_given_back_while_the_loop_waits_for_its_last_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that outlives `main` keeps the loop turning after its executor was shut."""
    monkeypatch.setattr(event_loop, "GIVE_BACK_S", 0.05)
    wrong: list[dict[str, object]] = []
    ended: list[bool] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: wrong.append(context))
        loop.run_in_executor(None, lambda: ended.append(not time.sleep(0.5)))

    event_loop.run(scenario())
    assert ended == [True]
    assert wrong == []


def own_memory_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
