"""Which shape of an addition is faster where: advice only. A circuit keeps the shape that its author wrote.

The shape is part of the circuit's identity, and evaluators compare results byte for byte; so nothing here, and nothing
at run time, ever changes a circuit by load.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from octra.hfhe import arithmetic, params
from octra.hfhe.arithmetic import AddShape
from octra.hfhe.builder import Builder
from octra.hfhe.plan import Plan
from octra.hfhe.planner import make_plan

FULL_BLOCK_US: Final = (
    3_600  # one bootstrap of set S on one core, in full blocks, measured; only the ratio matters here
)
ALONE_US: Final = 5_000  # one bootstrap that nothing else can share a block with


def recommend_add_shape(width: int, *, jobs: int = 1, cores: int = 1) -> AddShape:
    """The faster shape of an addition of `width` bits when `jobs` independent ones run at once on `cores` cores.

    A ripple has the fewest bootstraps, so it wins whenever other work keeps the cores busy; the prefix tree has the
    fewest levels, so it wins for a few additions on many cores.
    """
    assert min(width, jobs, cores) >= 1
    ripple, tree = (estimate_us(_addition(width, shape), jobs, cores) for shape in ("ripple", "sklansky"))
    return "sklansky" if tree < ripple else "ripple"


def estimate_us(plan: Plan, jobs: int, cores: int) -> int:
    """Microseconds for `jobs` runs of a plan at once: all of its bootstraps over the cores, or its longest chain."""
    return max(plan.bootstraps * jobs * FULL_BLOCK_US // cores, plan.depth * ALONE_US)


@cache
def _addition(width: int, shape: AddShape) -> Plan:
    builder = Builder("addition")
    x, y = (builder.input(name, f"u{width}") for name in "xy")
    builder.output("r", f"u{width}", arithmetic.total(builder, x, y, shape=shape)[0])
    return make_plan(builder.build(), params.S)
