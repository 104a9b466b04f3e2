"""Runs coroutines of these tests in virtual time."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for whole_node
for double in ("ledger", "epochs"):
    sys.path.append(str(Path(__file__).parents[1] / "consensus" / double))


@pytest.fixture(scope="session")
def simulate() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on the simulation's loop."""
    spec = importlib.util.spec_from_file_location("loop", Path(__file__).parents[2] / "simulation" / "loop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.simulate  # type: ignore[no-any-return]  # a module loaded by path has no types
