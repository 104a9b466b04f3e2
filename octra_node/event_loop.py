"""The event loop of a node: uvloop's where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

# A full block makes some ten thousand objects that live until it is written. Python's collector looks at the living
# whenever there are 700 new ones: 2 us a transaction, and never garbage.
NEW_OBJECTS: Final = 100_000

_make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # no wheel for this machine: the same node, with a tenth more work
    import uvloop

    _make = uvloop.new_event_loop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end on a new loop of this process."""
    collect_seldom()
    with asyncio.Runner(loop_factory=_make) as runner:
        runner.run(main)


def collect_seldom() -> None:
    """Let the collector of this process look for cycles after `NEW_OBJECTS` more objects."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
