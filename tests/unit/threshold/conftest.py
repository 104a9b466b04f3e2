"""One dealt TEST key of four seats, shared by the tests of this folder."""

from __future__ import annotations

import pytest

from octra.hfhe.params import TEST
from octra.hfhe.threshold.dealer import DealtKey, deal


@pytest.fixture(scope="session")
def dealt() -> DealtKey:
    return deal(TEST, b"dealer seed of the threshold tes", 4)
