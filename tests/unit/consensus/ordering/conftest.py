"""Real keys of small committees; the simulator's folder is on the path for its DAG builder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "simulation"))

from ordering.world import RealKeys


@pytest.fixture(scope="session")
def keys() -> RealKeys:
    """A committee of four with Ed25519 and BLS keys."""
    return RealKeys(1, 4)
