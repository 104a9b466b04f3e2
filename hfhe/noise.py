"""Integer forms over sources: the exact account of noise that decides which bits may be bootstrapped together.

A *source* is a bit with noise of its own: a bootstrap's output or an admitted input. Every value of a circuit is a
form `sum c_i * source_i + kappa` in units of 1/8 turn, with bits as +-1. Forms are merged exactly, so a source that
arrives on two ways counts with its summed coefficient: copies of one noise cannot pass for independent ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from octra.errors import InvalidInput
from octra.hfhe.params import Budgets

REDUCED: Final = frozenset((-3, -2, -1, 1, 2, 3))  # coefficients modulo 8 that a form keeps; 0 and 4 are constants


class Form(NamedTuple):
    """`sum coefficient * source + kappa`; terms sorted by source, no zero coefficient, kappa in [-4, 3]."""

    terms: tuple[tuple[int, int], ...]
    kappa: int

    @property
    def norm2(self) -> int:
        """The squared norm: noise variance in units of one source's."""
        return sum([coefficient * coefficient for _, coefficient in self.terms])

    @property
    def is_source(self) -> bool:
        """True for a source or its negation: nothing to gain by a bootstrap."""
        return self.kappa == 0 and len(self.terms) == 1 and abs(self.terms[0][1]) == 1

    @property
    def is_constant(self) -> bool:
        """True when no source is left."""
        return not self.terms


class InadmissibleForm(InvalidInput):
    """The form can put its phase on the decision line, where the result would tell of the noise and of the key."""

    oct_code = 8002

    def __init__(self, form: Form) -> None:
        super().__init__(f"inadmissible form: coefficients {[c for _, c in form.terms]}, constant {form.kappa}")
        self.form = form


class NoiseBudgetExceeded(InvalidInput):
    """No sequence of bootstraps the planner knows brings this node under the parameter set's budget."""

    oct_code = 8001

    def __init__(self, node: int, norm2: int, budget: int) -> None:
        super().__init__(f"node {node}: norm^2 {norm2} exceeds the noise budget {budget}")
        self.node, self.norm2, self.budget = node, norm2, budget


def source(index: int) -> Form:
    """The form that is one source."""
    return Form(((index, 1),), 0)


def constant(bit: bool) -> Form:
    """The form of a public bit."""
    return Form((), 1 if bit else -1)


def combine(parts: Iterable[tuple[int, Form]], kappa: int) -> Form:
    """`sum weight * form + kappa`, merged.

    Coefficients count modulo 8, because a source is +-1/8: eight times it is a whole turn, four times it half a turn
    whatever its sign. The smallest representative has the least noise.
    """
    merged: dict[int, int] = {}
    for weight, (form_terms, form_kappa) in parts:
        kappa += weight * form_kappa
        for index, coefficient in form_terms:
            merged[index] = merged[index] + weight * coefficient if index in merged else weight * coefficient
    terms = sorted(merged.items())
    if not REDUCED.issuperset(merged.values()):
        reduced = [(index, (coefficient + 3) % 8 - 3) for index, coefficient in terms]
        kappa += 4 * sum(coefficient == 4 for _, coefficient in reduced)
        terms = [(index, coefficient) for index, coefficient in reduced if coefficient not in (0, 4)]
    return Form(tuple(terms), (kappa + 4) % 8 - 4)


def negate(form: Form) -> Form:
    """The complement of a bit."""
    return Form(tuple((index, -coefficient) for index, coefficient in form.terms), (4 - form.kappa) % 8 - 4)


def margin(form: Form) -> Literal[8, 4] | None:
    """8 when every assignment lies at least 1/8 from the decision line, 4 when it lies 1/4 away, else None."""
    coefficients = [coefficient for _, coefficient in form.terms]
    total = sum(coefficients) + form.kappa
    if total % 2:
        return 8
    if total % 4 == 2 and not any(coefficient % 2 for coefficient in coefficients):
        return 4
    return None


def budget_of(form: Form, budgets: Budgets) -> int:
    """The largest norm^2 at this form's margin; raises `InadmissibleForm` when it has none."""
    match margin(form):
        case 8:
            return budgets.b8
        case 4:
            return budgets.b4
        case None:
            raise InadmissibleForm(form)


def is_admissible(form: Form, budgets: Budgets) -> bool:
    """May this form be bootstrapped? A rule of security: it is static and trusts no author."""
    return margin(form) is not None and form.norm2 <= budget_of(form, budgets)
