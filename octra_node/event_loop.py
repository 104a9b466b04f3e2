"""The event loop of a node: uvloop's where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

_make: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with suppress(ImportError):  # no wheel for this machine: the same node, with a tenth more work
    import uvloop

    _make = uvloop.new_event_loop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end on a new loop of this process."""
    with asyncio.Runner(loop_factory=_make) as runner:
        runner.run(main)
