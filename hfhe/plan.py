"""A plan: the list of bootstraps that computes a circuit under one parameter set, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import msgspec

from octra.codec import encode
from octra.crypto.hash import H
from octra.hfhe.hypergraph import Graph, Mode
from octra.hfhe.noise import Form, margin
from octra.hfhe.params import Budgets, ParameterSet, failure_log2

PLANNER_VERSION: Final = 1
UNSALTED: Final = -1


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One bootstrap: of `form`, plus an encryption of zero when it makes the sealed output bit `salt`."""

    terms: tuple[tuple[int, int], ...]
    kappa: int
    salt: int = UNSALTED

    @property
    def form(self) -> Form:
        return Form(self.terms, self.kappa)


class Plan(msgspec.Struct, frozen=True, dict=True):
    """Steps in order, then the output bits as forms. Sources 0.. are the input bits, then one for each step.

    A sealed output bit is plus or minus a source that no other output has, or a constant.
    """

    graph: Graph
    set_id: int
    budgets: Budgets
    steps: tuple[Step, ...]
    outputs: tuple[Form, ...]

    @property
    def bootstraps(self) -> int:
        """What the plan costs."""
        return len(self.steps)

    @property
    def input_bits(self) -> int:
        return self.graph.input_bits

    @cached_property
    def plan_id(self) -> bytes:
        """32 bytes that name the computation bit for bit, down to the noise."""
        outputs = [[form.terms, form.kappa] for form in self.outputs]
        content = [PLANNER_VERSION, self.set_id, list(self.budgets), self.graph.graph_id, self.steps, outputs]
        return H("octra.fhe.plan", encode(content))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """For each step, the number of bootstraps on the longest way to it, itself included."""
        levels = [0] * self.input_bits
        for step in self.steps:
            levels.append(1 + max((levels[index] for index, _ in step.terms), default=0))
        return tuple(levels[self.input_bits :])

    @property
    def depth(self) -> int:
        """Bootstraps that must wait for each other, whatever the number of cores."""
        return max(self.levels, default=0)

    @cached_property
    def widest(self) -> dict[str, tuple[int, int]]:
        """The largest norm^2 and its budget at margin `1/8` and `1/4`, and of `open` outputs, where there are any."""
        found: dict[str, tuple[int, int]] = {}
        for step in self.steps:
            name, budget = ("1/8", self.budgets.b8) if margin(step.form) == 8 else ("1/4", self.budgets.b4)
            found[name] = max(found.get(name, (0, budget)), (step.form.norm2, budget))
        modes = (word.mode for word in self.graph.outputs for _ in word.literals)
        for form, mode in zip(self.outputs, modes, strict=True):
            if mode is Mode.OPEN:
                found["open"] = max(found.get("open", (0, self.budgets.open)), (form.norm2, self.budgets.open))
        return dict(sorted(found.items()))

    def failure_log2(self, params: ParameterSet) -> float:
        """log2 of a bound, by the noise model, on the probability that any bootstrap goes wrong. For people only."""
        assert params.set_id == self.set_id
        counts: dict[tuple[int, bool], int] = {}
        for step in self.steps:
            key = (step.form.norm2, margin(step.form) == 8)
            counts[key] = counts.get(key, 0) + 1
        logs = [
            failure_log2(params, norm2, margin=8 if odd else 4) + math.log2(count)
            for (norm2, odd), count in counts.items()
        ]
        worst = max(logs, default=-math.inf)
        return worst + math.log2(sum(2 ** (value - worst) for value in logs)) if logs else worst


def simulate(plan: Plan, bits: Sequence[bool]) -> tuple[bool, ...]:
    """Run the plan on exact phases instead of ciphertexts: the output bits, without noise.

    An assertion fails where a form would meet the decision line or an output would not be a bit.
    """
    assert len(bits) == plan.input_bits
    values = [1 if bit else -1 for bit in bits]
    for step in plan.steps:
        phase = _phase(step.form, values)
        assert phase in ((1, 3, 5, 7) if margin(step.form) == 8 else (2, 6))
        values.append(1 if phase < 4 else -1)
    phases = [_phase(form, values) for form in plan.outputs]
    assert all(phase in (1, 7) for phase in phases)
    return tuple(phase == 1 for phase in phases)


def _phase(form: Form, values: Sequence[int]) -> int:
    return (form.kappa + sum(coefficient * values[index] for index, coefficient in form.terms)) % 8
