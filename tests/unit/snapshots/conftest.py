"""The doubles of snapshots, ledger and epochs are on the path; tests of a store run on memory and on the database."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in ("snapshots", "consensus/ledger", "consensus/epochs"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from octra.storage.kv import KeyValue  # noqa: E402
from octra.storage.memory import MemoryKeyValue  # noqa: E402
from octra.storage.rocks import open_rocks  # noqa: E402


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    """Empty."""
    opened: KeyValue = MemoryKeyValue() if request.param == "memory" else open_rocks(tmp_path / "db")
    yield opened
    opened.close()
