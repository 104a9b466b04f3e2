"""Noise that nobody deals: every seat computes its share of it from keys it shares with others.

Pseudo-random secret sharing (Cramer, Damgård, Ishai 2005). For each set A of n - t seats there is one key, known to
its members. The noise with a given number is the sum over all A of a term drawn from A's key; a seat's share of it is
the sum over the sets that contain it of term_A * f_A(seat), where f_A is the polynomial of degree t with f_A(0) = 1
that vanishes at every seat outside A. So all shares lie on one polynomial of degree t, without a message. Any t seats
miss the key of exactly one set: that one term is what hides. `docs/decisions/prss.md` gives the widths and the price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.hfhe.params import Q
from octra.hfhe.threshold import field
from octra.hfhe.threshold.committee import Committee, committee
from octra.hfhe.threshold.errors import PrssTooLarge
from octra.hfhe.threshold.field import U64Array

I64Array = npt.NDArray[np.int64]

SEATS_MAX: Final = 10  # 120 sets; at n = 13 there would be 715, and the term that hides would be too narrow
KEY_SIZE: Final = 32
INPUT_BOUND: Final = 1 << 14  # a term of input noise is uniform in [-2^14, 2^14)

# Largest flooding term in units of 2^16, for n = 1..10: the largest E <= 2^23 with
# 7.5 * sqrt(sets * (E / 5.5)^2 + 436000^2) <= Q / 4. A test recomputes it.
FLOOD_UNITS: Final = (128, 128, 128, 128, 128, 128, 81, 70, 62, 34)


def subsets(n: int) -> tuple[tuple[int, ...], ...]:
    """The sets of n - t seats in lexicographic order, one key each; raises `PrssTooLarge` past 10 seats."""
    seats = committee(n)
    if n > SEATS_MAX:
        raise PrssTooLarge(n, SEATS_MAX)
    return tuple(combinations(seats.seats, n - seats.t))


def deal_keys(n: int, seed: bytes) -> tuple[bytes, ...]:
    """One key for each of `subsets(n)`, in that order, from 32 secret bytes."""
    return tuple(
        field.xof("octra.prss.key", seed + index.to_bytes(2, "little"), KEY_SIZE) for index in range(len(subsets(n)))
    )


def keys_of(seat: int, n: int, keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """What one seat holds: the keys of the sets that contain it, in the order of `subsets`."""
    return tuple(key for members, key in zip(subsets(n), keys, strict=True) if seat in members)


def flood_bound(n: int) -> int:
    """Largest absolute value of one flooding term of a committee of n."""
    if n > SEATS_MAX:
        raise PrssTooLarge(n, SEATS_MAX)
    return FLOOD_UNITS[committee(n).n - 1] << 16


def openings_max(n: int) -> int:
    """Bits that may be opened under one key before what openings leak calls for a new one."""
    return 1 << (20 if flood_bound(n) >= 62 << 16 else 18)


def flood_share(seat: int, n: int, keys: Sequence[bytes], index: int, count: int) -> U64Array:
    """A seat's shares of the opening noise with numbers index .. index + count - 1. A number serves one opening."""
    bound = flood_bound(n)
    return _share(seat, n, keys, count, lambda key: flood_term(key, index, count, bound))


def input_share(seat: int, n: int, keys: Sequence[bytes], input_id: bytes, count: int) -> U64Array:
    """A seat's shares of the noise for the `count` bits of one committee input."""
    return _share(seat, n, keys, count, lambda key: input_term(key, input_id, count))


def flood_term(key: bytes, index: int, count: int, bound: int) -> I64Array:
    """One set's flooding terms: a discrete Gaussian of deviation bound / 5.5, cut to [-bound, bound]."""
    coarse, fine = _tables(bound)
    terms = np.zeros(count, dtype=np.int64)
    pending, attempt = list(range(count)), 0
    while pending:  # a term past the bound is drawn again: 4 in 10^8
        drawn = np.frombuffer(
            b"".join(
                field.xof("octra.prss.fl", key + (index + i).to_bytes(8, "little") + bytes([attempt]), 16)
                for i in pending
            ),
            dtype="<u8",
        ).reshape(-1, 2)
        terms[pending] = _lookup(coarse, drawn[:, 0]) * _STEP + _lookup(fine, drawn[:, 1])
        pending, attempt = [i for i in pending if abs(int(terms[i])) > bound], attempt + 1
    return terms


def input_term(key: bytes, input_id: bytes, count: int) -> I64Array:
    """One set's input terms, uniform in [-2^14, 2^14)."""
    words = np.frombuffer(field.xof("octra.prss.in", key + input_id, 2 * count), dtype="<u2")
    return (words & (2 * INPUT_BOUND - 1)).astype(np.int64) - INPUT_BOUND


def _share(seat: int, n: int, keys: Sequence[bytes], count: int, term: Callable[[bytes], I64Array]) -> U64Array:
    total = np.zeros(count, dtype=np.uint64)
    for weight, key in zip(_weights(seat, n), keys, strict=True):
        total = (total + field.element(term(key)) * np.uint64(weight)) % Q
    return total


@lru_cache(maxsize=64)
def _weights(seat: int, n: int) -> tuple[int, ...]:
    """f_A(seat) for each set A that contains the seat: the product over seats j outside A of (j - seat) / j."""
    return tuple(
        _vanishing(seat, [j for j in Committee(n, 0).seats if j not in members])
        for members in subsets(n)
        if seat in members
    )


def _vanishing(seat: int, outside: Sequence[int]) -> int:
    value = 1
    for j in outside:
        value = value * (j - seat) * pow(j, -1, Q) % Q
    return value


# --- A wide Gaussian from two narrow tables -------------------------------------------------------------------------
# A term is _STEP * coarse + fine. `fine` has deviation 3300 = 1.61 _STEP, which smooths the steps of `coarse` to within
# 2^-70 of a Gaussian whose variance is the sum. Tables are integers made by integer arithmetic: the same everywhere.

_STEP: Final = 1 << 11
_FINE_DEVIATION: Final = 3300
_PRECISION: Final = 200


@lru_cache(maxsize=16)
def _tables(bound: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The coarse and the fine table for terms of deviation bound / 5.5."""
    variance_times_121 = 4 * bound * bound - 121 * _FINE_DEVIATION**2  # 121 (2 bound / 11)^2 = 4 bound^2
    coarse = gaussian_table(121 * _STEP**2, variance_times_121)
    return coarse, gaussian_table(1, _FINE_DEVIATION**2)


def gaussian_table(numerator: int, denominator: int) -> npt.NDArray[np.uint64]:
    """floor(2^63 Pr(|X| <= j)) for j = 0, 1, .. of the discrete Gaussian of variance denominator / numerator.

    exp(-j^2 / 2 variance) by two running products in fixed point of 200 bits; ends where the tail falls below 2^-63.
    """
    one = 1 << _PRECISION
    step = _exp_minus(numerator, denominator)  # exp(-1 / variance)
    ratio = _exp_minus(numerator, 2 * denominator)  # exp(-(2j + 1) / 2 variance), starting at j = 0
    weight, weights = one, [one]
    while weight >> (_PRECISION - 80):
        weight = weight * ratio >> _PRECISION
        ratio = ratio * step >> _PRECISION
        weights.append(2 * weight)
    total, cumulative, table = sum(weights), 0, []
    for value in weights:
        cumulative += value
        table.append((cumulative << 63) // total)
    return np.array([value for value in table if value < (1 << 63) - 1] + [(1 << 63)], dtype=np.uint64)


def _exp_minus(numerator: int, denominator: int) -> int:
    """exp(-numerator / denominator) in fixed point, for a small fraction."""
    total, term, order = 0, 1 << _PRECISION, 0
    while term:
        total += term if order % 2 == 0 else -term
        order += 1
        term = term * numerator // (denominator * order)
    return total


def _lookup(table: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64]) -> I64Array:
    """Bit 0 is the sign, bits 1 to 63 are searched in the table of |X|; the sign of zero is dropped."""
    size = np.searchsorted(table, words >> np.uint64(1), side="right").astype(np.int64)
    return np.where(words & np.uint64(1), -size, size)
