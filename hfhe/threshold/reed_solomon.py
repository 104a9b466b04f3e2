"""Open shared values although some rows are wrong, and name the seats that sent them.

Rows of honest seats are a Reed-Solomon code word: shares at x = seat of polynomials of known degree. Syndromes see
whether all rows fit; Berlekamp-Welch finds the wrong ones on three random combinations of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from octra.hfhe.params import Q
from octra.hfhe.threshold import field
from octra.hfhe.threshold.errors import NotDecodable, NotEnough
from octra.hfhe.threshold.field import AnyArray, U64Array
from octra.hfhe.threshold.shamir import reconstruct

COMBINATIONS: Final = 3  # a wrong row escapes one combination with probability 1/Q, three with 2^-81


def syndromes(seats: Sequence[int], rows: U64Array, degree: int) -> U64Array:
    """All zero exactly when every column of `rows` lies on a polynomial of at most `degree`."""
    points = field.element(seats)
    apart = field.subtract(points[:, None], points[None, :])
    np.fill_diagonal(apart, 1)
    check = np.empty((max(len(seats) - degree - 1, 0), len(seats)), dtype=np.uint64)
    power = field.inverse(field.product(apart))
    for row in check:
        row[:] = power
        power = power * points % Q
    return field.matmul(check, rows)


def wrong_places(seats: Sequence[int], values: U64Array, degree: int) -> frozenset[int]:
    """Berlekamp-Welch: the seats whose value is off the one polynomial that most lie on; raises `NotDecodable`."""
    errors = (len(seats) - degree - 1) // 2
    # With P the polynomial, E monic of degree `errors` vanishing at the wrong seats, and F = P E: F(x) = y E(x) at all
    # seats, linear in the coefficients of F and E. Every solution of these equations has F / E = P.
    powers = np.stack([field.element([pow(seat, i, Q) for seat in seats]) for i in range(errors + degree + 1)], axis=1)
    minus = field.subtract(np.zeros_like(values), values)[:, None]
    unknowns = np.concatenate([powers, minus * powers[:, :errors] % Q], axis=1)
    solution = _solve(unknowns, values * powers[:, errors] % Q)
    if solution is None:
        raise NotDecodable(len(seats), degree)
    numerator = field.matmul(powers, field.element(solution[: errors + degree + 1]))
    locator = field.matmul(powers[:, : errors + 1], field.element([*solution[errors + degree + 1 :], 1]))
    known = np.flatnonzero(locator)[: degree + 1]
    if len(known) <= degree:
        raise NotDecodable(len(seats), degree)
    right = np.zeros_like(values)
    right[known] = numerator[known] * field.inverse(locator[known]) % Q
    others = np.setdiff1d(np.arange(len(seats)), known)
    points = np.asarray(seats)
    right[others] = field.matmul(field.lagrange(points[known], points[others]), right[known])
    wrong = frozenset(int(seat) for seat in points[right != values])
    if len(wrong) > errors:
        raise NotDecodable(len(seats), degree)
    return wrong


def open_robust(
    rows: Mapping[int, AnyArray], degree: int, agree: int, context: bytes
) -> tuple[U64Array, frozenset[int]]:
    """The shared values (at 0) and the seats whose rows are wrong.

    Raises `NotEnough` when fewer than `agree` rows are left after the wrong ones, `NotDecodable` when the rows cannot
    say who is wrong. A function of the rows alone: whoever has the same rows gets the same answer.
    """
    seats = sorted(rows)
    if len(seats) < max(agree, degree + 1):
        raise NotEnough(len(seats), max(agree, degree + 1))
    table = np.stack([rows[seat].astype(np.uint64) for seat in seats])
    liars: frozenset[int] = frozenset()
    if syndromes(seats, table, degree).any():
        seed = context + b"".join(field.pack(row) for row in table)
        factors = field.uniform("octra.open", seed, table.shape[1] * COMBINATIONS).reshape(-1, COMBINATIONS)
        for column in field.matmul(table, factors).T:
            liars |= wrong_places(seats, column, degree)
        liars |= _remaining_wrong(seats, table, degree, liars)
    good = [index for index, seat in enumerate(seats) if seat not in liars]
    if len(good) < agree:
        raise NotEnough(len(good), agree)
    used = good[: degree + 1]
    return reconstruct([seats[index] for index in used], table[used]), liars


def _remaining_wrong(seats: Sequence[int], table: U64Array, degree: int, named: frozenset[int]) -> frozenset[int]:
    """Rows that all combinations missed (2^-81): look at each column that is still dirty without the named rows."""
    kept = [index for index, seat in enumerate(seats) if seat not in named]
    left, rows = [seats[index] for index in kept], table[kept]
    if len(left) <= degree:
        raise NotDecodable(len(seats), degree)
    dirty = syndromes(left, rows, degree).any(axis=0)
    found: frozenset[int] = frozenset()
    for column in rows[:, dirty].T:
        found |= wrong_places(left, column, degree)
    return found


def _solve(matrix: U64Array, right: U64Array) -> list[int] | None:
    """One solution of the linear system mod Q (free unknowns 0), or None."""
    rows, unknowns = matrix.shape
    work = np.concatenate([matrix, right[:, None]], axis=1)
    pivots: list[int] = []
    for column in range(unknowns):
        done = len(pivots)
        candidates = np.flatnonzero(work[done:, column])
        if not len(candidates):
            continue
        work[[done, done + candidates[0]]] = work[[done + candidates[0], done]]
        work[done] = work[done] * np.uint64(pow(int(work[done, column]), -1, Q)) % Q
        factors = work[:, column].copy()
        factors[done] = 0
        work = field.subtract(work, factors[:, None] * work[done] % Q)
        pivots.append(column)
        if len(pivots) == rows:
            break
    if work[len(pivots) :, -1].any():
        return None
    solution = [0] * unknowns
    for row, column in enumerate(pivots):
        solution[column] = int(work[row, -1])
    return solution
