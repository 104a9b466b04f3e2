"""Which functions of up to six bits are one bootstrap: a search over all small forms, frozen by its order."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Final

import numpy as np

from octra.hfhe.params import Budgets

NORM2_MAX: Final = 24  # the largest budget of a form at margin 1/8, over all sets; part of planner version 1


def find_form(count: int, table: int, budgets: Budgets) -> tuple[tuple[int, ...], int] | None:
    """Coefficients and constant that compute `table` (all `count` literals matter) in one bootstrap, or None.

    Smallest norm^2 first, then the smallest tuple of coefficients, then the smallest constant. Only odd forms are
    listed: the even ones compute parities, which the builder writes as XOR.
    """
    found = _forms(count).get(table)
    if found is None or sum(c * c for c in found[0]) > budgets.b8:
        return None
    return found


@cache
def _forms(count: int) -> dict[int, tuple[tuple[int, ...], int]]:
    choices = sorted(
        (sum(c * c for c in coefficients), coefficients)
        for coefficients in product((-3, -2, -1, 1, 2, 3), repeat=count)
        if sum(c * c for c in coefficients) <= NORM2_MAX
    )
    signs = np.array([[1 if row >> j & 1 else -1 for j in range(count)] for row in range(1 << count)])
    sums = signs @ np.array([coefficients for _, coefficients in choices]).T  # [rows, choices]
    weights = np.uint64(1) << np.arange(1 << count, dtype=np.uint64)
    forms: dict[int, tuple[tuple[int, ...], int]] = {}
    tables = {
        kappa: ((((sums + kappa) % 8) < 4).astype(np.uint64) * weights[:, None]).sum(axis=0, dtype=np.uint64).tolist()
        for kappa in range(-4, 4)
    }
    for index, (_, coefficients) in enumerate(choices):
        for kappa in range(-4, 4):
            if (sum(coefficients) + kappa) % 2:
                forms.setdefault(tables[kappa][index], (coefficients, kappa))
    return forms
