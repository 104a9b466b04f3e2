"""The event loop of a node: uvloop's where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

# A full block makes some ten thousand objects that live until it is written. Python's collector looks at the living
# whenever there are 700 new ones: 2 us a transaction, and never garbage.
NEW_OBJECTS: Final = 100_000

GIVE_BACK_S: Final = 60

_make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # no wheel for this machine: the same node, with a tenth more work
    import uvloop

    _make = uvloop.new_event_loop

_trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end on a new loop of this process, and every `GIVE_BACK_S` seconds `_give_back`."""
    collect_seldom()
    with asyncio.Runner(loop_factory=_make) as runner:
        loop = runner.get_loop()
        timer: asyncio.TimerHandle

        def turn() -> None:
            nonlocal timer
            _give_back(loop)
            timer = loop.call_later(GIVE_BACK_S, turn)

        timer = loop.call_later(GIVE_BACK_S, turn)
        try:
            runner.run(main)
        finally:
            timer.cancel()  # else it may fire while the loop waits for the last threads of an executor that is shut


def _give_back(loop: asyncio.AbstractEventLoop) -> None:
    """Drop cycles that nobody reaches, and hand freed memory back to the system, where its C library can (glibc).

    A link that has ended is such a cycle, with all of its TLS state, and many of them are few beside `NEW_OBJECTS`.
    RocksDB fills and frees tens of megabytes in turn, and what lies between keeps the heap from shrinking by itself.
    """
    gc.collect()
    if _trim is not None:
        loop.run_in_executor(None, _trim, 0)  # it may take some milliseconds


def collect_seldom() -> None:
    """Let the collector of this process look for cycles after `NEW_OBJECTS` more objects."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
