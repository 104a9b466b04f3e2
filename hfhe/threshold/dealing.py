"""A dealer shares bits among the seats, and the seats find out that they are bits without learning them.

The dealer draws the polynomial f with f(j) = bit j for j = 1..L and random values at the next `CHALLENGES` points. All
values are bits exactly when V(x) = (x - 1)...(x - L) divides f^2 - f; he deals f by its values and the quotient q by
its values, every one shared at degree t. After the order, at points r that nobody knew when he dealt, each seat
publishes its shares of f(r) and q(r); they open, with lying rows named, and f(r)^2 - f(r) = V(r) q(r) must hold.

Everything opens at degree t, so one of four seats may lie or be silent: `docs/decisions/bit-check.md`. The random
values make f(r) uniform: the rows tell nothing but the verdict. A false dealing passes with probability at most
(2 (L + 4) / Q)^5: 2^-100 for an amount of 50 bits, 2^-75 for the longest input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np

from octra.crypto.hash import H, merkle_root
from octra.hfhe.ciphertext import ENTRY_BITS_MAX
from octra.hfhe.params import Q
from octra.hfhe.threshold import field, shamir
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.errors import MalformedShare, NotDecodable, NotEnough
from octra.hfhe.threshold.field import U64Array
from octra.hfhe.threshold.reed_solomon import open_robust

CHALLENGES: Final = 5
SALT_SIZE: Final = 16


@dataclass(frozen=True, slots=True, repr=False)
class Dealing:
    """One body for each seat (seat k's is `bodies[k - 1]`), to be sealed to it; leaves and root are public."""

    bodies: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    root: bytes

    def __repr__(self) -> str:
        return f"Dealing(root={self.root.hex()}, <sealed>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a dealing is not pickled: its bodies leave this process sealed to their seats only")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the dealt values are bits. `off` are seats whose row does not fit: they or the dealer lied to them.

    So `off` alone is no proof against a seat; a seat that is not in `off` and later sends a wrong part is a liar.
    """

    accepted: bool
    off: frozenset[int]
    reason: str = ""


def deal_bits(bits: Sequence[int], n_seats: int, context: bytes, seed: bytes) -> Dealing:
    """Share `bits` among `n_seats` under `context` (32 bytes, one dealing ever) from 32 secret bytes, never used twice.

    Values other than 0 and 1 are shared as well, for tests of the check that refuses them.
    """
    seats = committee(n_seats)
    count = len(bits)
    assert 1 <= count <= ENTRY_BITS_MAX
    assert len(context) == len(seed) == 32
    masks = field.uniform("octra.deal.mask", seed + context, CHALLENGES)
    polynomial = np.concatenate([field.element(bits), masks])
    columns = np.concatenate([polynomial, _quotient(polynomial, count)])
    rows = shamir.share(columns, seats.t, seats.seats, seed + context)
    salts = field.xof("octra.deal.salt", seed + context, SALT_SIZE * n_seats)
    bodies = tuple(field.pack(row) + salts[SALT_SIZE * i : SALT_SIZE * (i + 1)] for i, row in enumerate(rows))
    leaves = tuple(leaf(context, seat, body) for seat, body in zip(seats.seats, bodies, strict=True))
    return Dealing(bodies, leaves, merkle_root(leaves))


def leaf(context: bytes, seat: int, body: bytes) -> bytes:
    """The public commitment to one seat's body. A seat whose body does not match its leaf publishes no row."""
    return H("octra.deal", context, bytes([seat]), body)


def body_size(count: int) -> int:
    """Bytes of the body of a dealing of `count` bits."""
    return field.row_size(_columns(count)) + SALT_SIZE


def bit_shares(body: bytes, count: int) -> U64Array:
    """The seat's shares of the bits; raises `MalformedShare`."""
    return _open_body(body, count)[:count]


def check_row(body: bytes, count: int, context: bytes, rho_seed: bytes) -> bytes:
    """What a seat publishes: its shares of f(r) and q(r) at the points of `rho_seed`, unknown when he dealt."""
    columns = _open_body(body, count)
    dealt, quotient = columns[: count + CHALLENGES], columns[count + CHALLENGES :]
    points = challenge_points(count, context, rho_seed)
    f = field.matmul(field.lagrange(range(1, count + CHALLENGES + 1), points), dealt)
    q = field.matmul(field.lagrange(range(count + 1, count + 1 + len(quotient)), points), quotient)
    return field.pack(np.concatenate([f, q]))


def judge(rows: Mapping[int, bytes], n_seats: int, count: int, context: bytes, rho_seed: bytes) -> Verdict:
    """The verdict on the ordered rows, the same for everybody who has them.

    Raises `NotEnough` or `NotDecodable` while missing rows could still decide; with all rows there, a dealing that
    does not decode is refused: rows of an honest dealer decode although t seats lie.
    """
    seats = committee(n_seats)
    good, malformed = unpack_rows(rows, n_seats, 2 * CHALLENGES, "check row")
    try:
        values, wrong = open_robust(good, seats.t, seats.agree, context + rho_seed)
    except (NotEnough, NotDecodable):
        if len(rows) < n_seats:
            raise
        return Verdict(False, frozenset(), "the rows fit no polynomial")
    f, q = values[:CHALLENGES], values[CHALLENGES:]
    vanishing = _vanishing(count, challenge_points(count, context, rho_seed))
    if (_times_less_one(f) != vanishing * q % Q).any():
        return Verdict(False, frozenset(), "the values are not bits")
    return Verdict(True, wrong | malformed)


def unpack_rows(
    rows: Mapping[int, bytes], n_seats: int, count: int, what: str
) -> tuple[dict[int, U64Array], frozenset[int]]:
    """The rows that are well formed, and the seats whose bytes are not."""
    good: dict[int, U64Array] = {}
    for seat, row in rows.items():
        assert 1 <= seat <= n_seats, "rows come from seats"
        try:
            good[seat] = field.unpack(row, count, what)
        except MalformedShare:
            continue
    return good, frozenset(rows) - frozenset(good)


def challenge_points(count: int, context: bytes, rho_seed: bytes) -> U64Array:
    """`CHALLENGES` distinct points past all points at which f or q are dealt."""
    assert len(rho_seed) == 32
    points: list[int] = []
    for value in field.uniform("octra.rho", rho_seed + context, 64):
        if value > 2 * (count + CHALLENGES) and value not in points:
            points.append(int(value))
        if len(points) == CHALLENGES:
            return field.element(points)
    raise AssertionError("64 uniform elements hold 5 distinct large ones")  # fails with probability below 2^-800


def _columns(count: int) -> int:
    return 2 * count + 3 * CHALLENGES - 1


def _open_body(body: bytes, count: int) -> U64Array:
    if len(body) != body_size(count):
        raise MalformedShare("dealt body", f"{len(body)} bytes, expected {body_size(count)}")
    return field.unpack(body[:-SALT_SIZE], _columns(count), "dealt body")


def _quotient(polynomial: U64Array, count: int) -> U64Array:
    """(f^2 - f) / V at the first points past the bits: as many as its degree asks for."""
    known, size = len(polynomial), _columns(count) - len(polynomial)
    points = np.arange(count + 1, count + 1 + size)
    further = field.matmul(field.lagrange(range(1, known + 1), points[CHALLENGES:]), polynomial)
    f = np.concatenate([polynomial[count:], further])
    return _times_less_one(f) * field.inverse(_vanishing(count, field.element(points))) % Q


def _vanishing(count: int, points: U64Array) -> U64Array:
    """V at `points`."""
    return field.product(field.subtract(points[:, None], np.arange(1, count + 1, dtype=np.uint64)))


def _times_less_one(values: U64Array) -> U64Array:
    """v^2 - v."""
    return field.subtract(values * values % Q, values)
