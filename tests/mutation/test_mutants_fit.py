"""The gate runs for minutes; that its mutants still fit the code is seen at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from breaking import broken_source
from guards import SEARCHES, TESTS
from mutants import MUTANTS, Mutant

LISTED = range(1, 35)  # the mistakes that the design of ordering names


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_stands_once_and_is_a_program(mutant: Mutant) -> None:
    broken = broken_source(mutant)
    assert broken != (TESTS.parent / mutant.file).read_text()
    if mutant.file.endswith(".py"):
        compile(broken, mutant.file, "exec")


def test_every_listed_mistake_has_a_mutant_and_a_guard() -> None:
    numbers = [mutant.number for mutant in MUTANTS]
    assert len(set(numbers)) == len(numbers)
    assert set(LISTED) <= set(numbers)
    for mutant in MUTANTS:
        assert mutant.guards
        assert all(guard in SEARCHES or (TESTS / guard).is_file() for guard in mutant.guards)
