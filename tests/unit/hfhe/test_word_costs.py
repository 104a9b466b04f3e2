"""The costs in the documentation are those of the planner, and the advice about shapes follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from octra.hfhe import costs
from octra.hfhe.shapes import recommend_add_shape

PAGE = Path(__file__).resolve().parents[3] / "docs" / "hfhe" / "words.md"
SLOW = "mulmod"  # a plan of 36,038 bootstraps


def lines() -> list[str]:
    return PAGE.read_text("utf-8").splitlines()


@pytest.mark.parametrize("name", [name for name in costs.OPERATIONS if name != SLOW])
def test_the_page_says_what_an_operation_costs(name: str) -> None:
    assert costs.row(name) in lines()


@pytest.mark.long
def test_the_page_says_what_a_product_modulo_a_number_costs() -> None:
    assert costs.row(SLOW) in lines()


def test_products_modulo_a_number_cost_what_the_page_says_up_to_32_bits() -> None:
    (line,) = [line for line in lines() if line.startswith(f"| {SLOW} |")]
    assert line.startswith(costs.row(SLOW, (8, 16, 32)).rsplit("|", 2)[0])


def test_ripples_are_advised_when_other_work_fills_the_cores_and_trees_when_cores_wait() -> None:
    assert recommend_add_shape(64, jobs=1, cores=1) == "ripple"
    assert recommend_add_shape(64, jobs=1, cores=16) == "sklansky"
    assert recommend_add_shape(64, jobs=64, cores=16) == "ripple"
    for width in (8, 16, 32, 64):
        shapes = [recommend_add_shape(width, jobs=1, cores=cores) for cores in (1, 2, 4, 8, 16, 32)]
        assert shapes == sorted(shapes)  # more cores never speak for the ripple
