"""Puts the simulator and the chain doubles of the unit tests on the path."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[2]
for folder in (_TESTS / "simulation", _TESTS / "unit/consensus/epochs", _TESTS / "unit/consensus/ledger"):
    sys.path.insert(0, str(folder))
