"""Shamir sharing over F_Q: seat i holds the value at x = i of a random polynomial whose value at 0 is the secret."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from octra.hfhe.params import Q
from octra.hfhe.threshold import field
from octra.hfhe.threshold.field import AnyArray, U64Array


def share(values: AnyArray, degree: int, seats: Sequence[int], context: bytes) -> U64Array:
    """One row for each seat: its shares of all values, by polynomials drawn from `context`.

    The context is secret randomness: whoever knows it can compute every share. Never twice for other values.
    """
    secret = field.element(values)
    coefficients = field.uniform("octra.shamir", context, degree * len(secret)).reshape(degree, len(secret))
    points = np.asarray(seats, dtype=np.uint64)[:, None]
    rows = np.zeros((len(points), len(secret)), dtype=np.uint64)
    for coefficient in coefficients[::-1]:
        rows = (rows + coefficient) % Q * points % Q
    return np.asarray((rows + secret) % Q, dtype=np.uint64)


def reconstruct(seats: Sequence[int], rows: U64Array) -> U64Array:
    """The values at 0 of the polynomials of degree len(seats) - 1 through `rows`; trusts every row."""
    return field.matmul(field.lagrange(seats), rows)
