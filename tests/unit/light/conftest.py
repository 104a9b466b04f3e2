"""The ledger's doubles are on the path: proofs are made from blocks that the real rules executed."""

import sys
from pathlib import Path

import pytest

for folder in ("unit/consensus/ledger", "unit/light"):
    sys.path.insert(0, str(Path(__file__).parents[2] / folder))

from proof_chain import ProofChain  # noqa: E402


@pytest.fixture(scope="session")
def chain() -> ProofChain:
    """Three executed blocks; certificates of the first and the last. Tests read it only."""
    return ProofChain().grown()
