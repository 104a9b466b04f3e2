"""How much room the data directory has, and what a node should still do with it."""

from __future__ import annotations

import shutil
from enum import IntEnum
from pathlib import Path

from octra.storage.errors import DiskFull

RESERVE_BYTES_MIN = 2 << 30
STOP_BYTES = 256 << 20  # below this a node stops signing: it could not even record what it signs


class Space(IntEnum):
    """Ordered: a larger one allows less."""

    PLENTY = 0
    LOW = 1  # below twice the reserve: no new stored objects, no snapshots
    SCARCE = 2  # below the reserve: prune, refuse transactions
    EXHAUSTED = 3  # stop signing and exit cleanly


def default_reserve(total_bytes: int) -> int:
    """One percent of the disk, at least 2 GiB."""
    return max(RESERVE_BYTES_MIN, total_bytes // 100)


def classify(free_bytes: int, reserve_bytes: int) -> Space:
    """What this much room allows."""
    if free_bytes < STOP_BYTES:
        return Space.EXHAUSTED
    if free_bytes < reserve_bytes:
        return Space.SCARCE
    if free_bytes < 2 * reserve_bytes:
        return Space.LOW
    return Space.PLENTY


def check(directory: Path, reserve_bytes: int | None = None) -> tuple[Space, int]:
    """The state of the disk below `directory` and its free bytes."""
    usage = shutil.disk_usage(directory)
    reserve = default_reserve(usage.total) if reserve_bytes is None else reserve_bytes
    return classify(usage.free, reserve), usage.free


def require(directory: Path) -> None:
    """Raise `DiskFull` where a node must not even start."""
    if check(directory)[0] is Space.EXHAUSTED:
        raise DiskFull
