"""Stores to test against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octra.storage.kv import KeyValue
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    """Each test runs on the memory twin and on the real database."""
    opened: KeyValue = MemoryKeyValue() if request.param == "memory" else open_rocks(tmp_path / "db")
    yield opened
    opened.close()
