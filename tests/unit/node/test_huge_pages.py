"""Large pages: which ranges are asked for, and that the kernel gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from octra.node.huge_pages import Region, page_if_asked_for, regions, worthwhile

PAGE = 2 << 20

SMAPS = """\
559000000000-559000400000 rw-p 00000000 00:00 0                          [heap]
Size:               4096 kB
Rss:                4096 kB
AnonHugePages:      2048 kB
VmFlags: rd wr mr mw me ac sd hg
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Rss:                  16 kB
AnonHugePages:         0 kB
7f1000000000-7f1000800000 rw-p 00000000 fe:00 1234                       /a/file
Rss:                8192 kB
AnonHugePages:         0 kB
7f2000000000-7f2000800000 r--p 00000000 00:00 0
Rss:                8192 kB
AnonHugePages:         0 kB
7f3000000000-7f3000800000 rw-s 00000000 00:00 0
Rss:                8192 kB
AnonHugePages:         0 kB
7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0                          [stack]
Rss:                8192 kB
AnonHugePages:         0 kB
"""


def test_only_own_writable_memory_of_no_file_is_looked_at() -> None:
    assert list(regions(SMAPS.splitlines())) == [
        Region(0x559000000000, 0x559000400000, 4 << 20, 2 << 20),
        Region(0x7F0000000000, 0x7F0000800000, 16 << 10, 0),
    ]


@pytest.mark.parametrize(
    ("region", "ranges"),
    [
        (Region(PAGE, 4 * PAGE, 3 * PAGE, 0), [(PAGE, 4 * PAGE)]),
        (Region(PAGE - 4096, 4 * PAGE + 4096, 3 * PAGE, PAGE), [(PAGE, 4 * PAGE)]),
        (Region(PAGE, 4 * PAGE, 3 * PAGE, 3 * PAGE), []),  # is there already
        (Region(PAGE, 5 * PAGE, 2 * PAGE, 0), []),  # half of it would be taken for nothing
        (Region(PAGE + 4096, 3 * PAGE - 4096, 2 * PAGE - 8192, 0), []),  # no whole page fits
    ],
)
def test_ranges_are_whole_pages_that_are_mostly_used(region: Region, ranges: list[tuple[int, int]]) -> None:
    assert list(worthwhile([region], PAGE)) == ranges


@pytest.mark.parametrize(
    ("enabled", "size", "page"),
    [
        ("always [madvise] never", "2097152", PAGE),
        ("[always] madvise never", "2097152", None),
        ("always madvise [never]", "2097152", None),
        (None, None, None),
    ],
)
def test_the_kernel_is_asked_only_where_it_waits_for_it(
    tmp_path: Path, enabled: str | None, size: str | None, page: int | None
) -> None:
    if enabled is not None and size is not None:
        (tmp_path / "enabled").write_text(enabled)
        (tmp_path / "hpage_pmd_size").write_text(size)
    assert page_if_asked_for(tmp_path) == page


@pytest.mark.skipif(page_if_asked_for() is None, reason="this kernel gives large pages to all, or to nobody")
def test_a_process_that_asks_has_large_pages() -> None:
    program = """
from octra.node import huge_pages as h
held = bytearray(b"x") * (64 << 20)
page = h.page_if_asked_for()
before = sum(region.huge for region in h.regions(h.OWN_MEMORY.read_text().splitlines()))
h.ask(page)
after = sum(region.huge for region in h.regions(h.OWN_MEMORY.read_text().splitlines()))
assert set(held) == {ord("x")}
print((after - before) // page)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 16
