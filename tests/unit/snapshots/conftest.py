"""The snapshot double is on the path, and each test of a store runs on memory and on the real database."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from octra.storage.kv import KeyValue
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    """Empty."""
    opened: KeyValue = MemoryKeyValue() if request.param == "memory" else open_rocks(tmp_path / "db")
    yield opened
    opened.close()
