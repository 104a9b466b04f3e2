"""Shared fixtures of the Circle tests: an empty state and an engine that is built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from octra.circles.executor import ExecutorPool
from octra.circles.inprocess import WasmEngine
from octra.circles.testing import Shelf


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="session")
def engine() -> WasmEngine:
    return WasmEngine()


@pytest.fixture(scope="session")
def interpreter() -> WasmEngine:
    """The second opinion."""
    return WasmEngine("pulley")


@pytest.fixture(scope="session")
def pool() -> Iterator[ExecutorPool]:
    with ExecutorPool(workers=1) as running:
        yield running
