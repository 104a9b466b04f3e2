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
    """Run `main` to its end on a new loop of this process."""
    collect_seldom()
    with asyncio.Runner(loop_factory=_make) as runner:
        runner.run(_tended(main))


async def _tended(main: Coroutine[Any, Any, None]) -> None:
    """`main`, with `_give_back` beside it: ended before the runner closes its threads, which may take long."""
    tending = asyncio.create_task(_give_back())
    try:
        await main
    finally:
        tending.cancel()


async def _give_back() -> None:
    """Again and again: drop cycles that nobody reaches, and let the C library (glibc) hand freed memory to the system.

    A link that has ended is such a cycle, with all of its TLS state, and many of them are few beside `NEW_OBJECTS`.
    RocksDB fills and frees tens of megabytes in turn, and what lies between keeps the heap from shrinking by itself.
    """
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        gc.collect()
        if _trim is not None:
            await asyncio.to_thread(_trim, 0)  # it may take some milliseconds


def collect_seldom() -> None:
    """Let the collector of this process look for cycles after `NEW_OBJECTS` more objects."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
