"""Large pages for what a node keeps in memory, where the kernel gives them only to who asks.

A node looks for small objects all over its memory. With pages of 4 KiB the processor often does not know where such a
page lies and has to look that up first, on a virtual machine twice. Linux can use pages of 2 MiB instead; where its
setting is `madvise`, a program must name the ranges. So a thread looks from time to time which ranges are in use.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

SETTINGS: Final = Path("/sys/kernel/mm/transparent_hugepage")
OWN_MEMORY: Final = Path("/proc/self/smaps")
MEMORY_MIN_BYTES: Final = 4 << 30  # on a small machine, memory is worth more than time
FIRST_S, PAUSE_MAX_S = 30.0, 900.0  # the pause doubles: most memory is in use soon, and asking costs time
_HUGEPAGE, _COLLAPSE = 14, 25  # advice: use large pages from now on; do so at once, for what is in use
_HEAD: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+) *(.*)")


class Region(NamedTuple):
    """A range of own memory, in bytes."""

    start: int
    end: int
    resident: int
    huge: int  # of it, in large pages


def ask_if_useful() -> None:
    """Start asking in the background, if the kernel waits for it and the machine has the memory."""
    page = page_if_asked_for()
    if page is not None and _total_bytes() >= MEMORY_MIN_BYTES:
        threading.Thread(target=_keep_asking, args=(page,), name="huge-pages", daemon=True).start()


def page_if_asked_for(settings: Path = SETTINGS) -> int | None:
    """Bytes of a large page, if the kernel gives them to who asks, and only to him."""
    try:
        asked_for = "[madvise]" in (settings / "enabled").read_text()
        return int((settings / "hpage_pmd_size").read_text()) if asked_for else None
    except (OSError, ValueError):
        return None


def ask(page: int) -> None:
    """Have the ranges that are in use now moved to large pages. What the kernel refuses stays as it is."""
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, end in list(worthwhile(regions(OWN_MEMORY.read_text().splitlines()), page)):
        advise(start, end - start, _HUGEPAGE)
        for at in range(start, end, page):
            advise(at, page, _COLLAPSE)


def worthwhile(found: Iterable[Region], page: int) -> Iterator[tuple[int, int]]:
    """Of these regions, what large pages could hold and do not yet; not where much would be taken for nothing."""
    for region in found:
        start, end = -(-region.start // page) * page, region.end // page * page
        if start < end and region.huge < end - start and region.resident * 4 >= (region.end - region.start) * 3:
            yield start, end


def regions(smaps: Iterable[str]) -> Iterator[Region]:
    """The writable memory of no file that these lines of `/proc/PID/smaps` tell of."""
    start, end, resident = 0, 0, 0
    for line in smaps:
        if head := _HEAD.fullmatch(line):
            plain = head[3].startswith("rw") and head[3].endswith("p") and head[4] == "0" and head[5] in ("", "[heap]")
            start, end = (int(head[1], 16), int(head[2], 16)) if plain else (0, 0)
        elif end and line.startswith("Rss:"):
            resident = _bytes(line)
        elif end and line.startswith("AnonHugePages:"):
            yield Region(start, end, resident, _bytes(line))


def _keep_asking(page: int) -> None:
    never, pause = threading.Event(), FIRST_S
    while not never.wait(pause):
        ask(page)
        pause = min(2 * pause, PAUSE_MAX_S)


def _total_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(_bytes(line) for line in lines if line.startswith("MemTotal:"))


def _bytes(line: str) -> int:
    return int(line.split()[1]) << 10  # "Name:   123 kB"
