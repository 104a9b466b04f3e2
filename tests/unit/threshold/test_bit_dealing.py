"""The dealing of bits under lies of seats and of the dealer, on four and seven seats."""

from __future__ import annotations

import numpy as np
import pytest

from octra.crypto.hash import merkle_root
from octra.hfhe.params import Q
from octra.hfhe.threshold import dealing, field, shamir
from octra.hfhe.threshold.errors import MalformedShare, NotDecodable, NotEnough
from octra.hfhe.threshold.reed_solomon import _solve

CONTEXT, RHO, SEED = b"c" * 32, b"r" * 32, b"s" * 32
BITS = [1, 0, 0, 1, 1, 1, 0]


def rows_of(dealt: dealing.Dealing, count: int = len(BITS), rho: bytes = RHO) -> dict[int, bytes]:
    return {k: dealing.check_row(body, count, CONTEXT, rho) for k, body in enumerate(dealt.bodies, 1)}


def lie(row: bytes, place: int) -> bytes:
    values = field.unpack(row, 2 * dealing.CHALLENGES)
    values[place] = (values[place] + 1) % Q
    return field.pack(values)


@pytest.mark.parametrize("place", range(2 * dealing.CHALLENGES))
def test_one_lying_row_of_four_is_seen_and_does_not_matter(place: int) -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED))
    rows[2] = lie(rows[2], place)
    assert dealing.judge(rows, 4, len(BITS), CONTEXT, RHO) == dealing.Verdict(True, frozenset({2}))


def test_three_honest_rows_of_four_are_enough_and_two_are_not() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED))
    del rows[4]
    assert dealing.judge(rows, 4, len(BITS), CONTEXT, RHO).accepted
    del rows[1]
    with pytest.raises(NotEnough):
        dealing.judge(rows, 4, len(BITS), CONTEXT, RHO)


def test_three_rows_with_one_lie_wait_for_the_fourth() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED))
    last = rows.pop(4)
    rows[1] = lie(rows[1], 3)
    with pytest.raises(NotDecodable):
        dealing.judge(rows, 4, len(BITS), CONTEXT, RHO)
    assert dealing.judge(rows | {4: last}, 4, len(BITS), CONTEXT, RHO) == dealing.Verdict(True, frozenset({1}))


def test_a_malformed_row_counts_as_off() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED))
    rows[3] = b"\xff" * len(rows[3])
    assert dealing.judge(rows, 4, len(BITS), CONTEXT, RHO) == dealing.Verdict(True, frozenset({3}))


def test_two_lying_rows_of_seven_are_seen() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 7, CONTEXT, SEED))
    rows[1], rows[6] = lie(rows[1], 0), lie(rows[6], 9)
    assert dealing.judge(rows, 7, len(BITS), CONTEXT, RHO) == dealing.Verdict(True, frozenset({1, 6}))


def test_rows_on_no_polynomial_are_the_dealers_fault() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED))
    rows[1], rows[2] = lie(rows[1], 0), lie(rows[2], 1)
    verdict = dealing.judge(rows, 4, len(BITS), CONTEXT, RHO)
    assert not verdict.accepted
    assert verdict.reason == "the rows fit no polynomial"


def test_a_dealer_who_cheats_one_seat_leaves_the_others_agreeing() -> None:
    """The victim is off, and the bits are fixed by the three others: whose fault it is stays open."""
    dealt = dealing.deal_bits(BITS, 4, CONTEXT, SEED)
    other = dealing.deal_bits(BITS, 4, CONTEXT, b"t" * 32)
    rows = rows_of(dealt) | {2: rows_of(other)[2]}
    assert dealing.judge(rows, 4, len(BITS), CONTEXT, RHO) == dealing.Verdict(True, frozenset({2}))


@pytest.mark.parametrize("value", [2, Q - 1, Q // 4, Q // 2, (Q + 1) // 2])
def test_a_value_that_is_no_bit_is_refused_also_with_a_colluding_seat(value: int) -> None:
    """The accomplice may answer anything: t = 1 rows never change what the honest three fix."""
    dealt = dealing.deal_bits([1, value, 0], 4, CONTEXT, SEED)
    rows = rows_of(dealt, 3)
    assert dealing.judge(rows, 4, 3, CONTEXT, RHO).reason == "the values are not bits"
    for place in range(2 * dealing.CHALLENGES):
        changed = rows | {4: lie(rows[4], place)}
        assert not dealing.judge(changed, 4, 3, CONTEXT, RHO).accepted


def test_only_a_dealer_who_knew_the_challenge_could_cheat() -> None:
    """He bends the quotient so that the check holds at the five points he guessed; at any others it fails."""
    count, known = 3, 3 + dealing.CHALLENGES
    dealt = dealing.deal_bits([1, 1, 2], 4, CONTEXT, SEED)
    columns = np.stack([field.unpack(body[: -dealing.SALT_SIZE], dealing._columns(count)) for body in dealt.bodies])
    values = shamir.reconstruct([1, 2], columns[:2])
    guessed = dealing.challenge_points(count, CONTEXT, b"g" * 32)
    f = field.matmul(field.lagrange(range(1, known + 1), guessed), values[:known])
    weights = field.lagrange(range(count + 1, count + 1 + len(values) - known), guessed)
    right = dealing._times_less_one(f) * field.inverse(dealing._vanishing(count, guessed)) % Q
    missing = field.subtract(right, field.matmul(weights, values[known:]))
    change = _solve(weights[:, : dealing.CHALLENGES], missing)
    assert change is not None
    bent = slice(known, known + dealing.CHALLENGES)
    columns[:, bent] = (columns[:, bent] + shamir.share(np.array(change), 1, range(1, 5), b"x")) % Q

    def verdict(rho: bytes) -> dealing.Verdict:
        bodies = [field.pack(row) + bytes(dealing.SALT_SIZE) for row in columns]
        rows = {k: dealing.check_row(body, count, CONTEXT, rho) for k, body in enumerate(bodies, 1)}
        return dealing.judge(rows, 4, count, CONTEXT, rho)

    assert verdict(b"g" * 32).accepted
    assert verdict(RHO).reason == "the values are not bits"


def test_rows_of_one_challenge_are_no_answer_to_another() -> None:
    rows = rows_of(dealing.deal_bits(BITS, 4, CONTEXT, SEED), rho=b"q" * 32)
    assert not dealing.judge(rows, 4, len(BITS), CONTEXT, RHO).accepted


def test_published_rows_do_not_depend_on_the_bits() -> None:
    """Over 400 dealings each, the opened f(r) is as often large for all zeros as for all ones."""
    for bits in ([0, 0], [1, 1]):
        opened = []
        for number in range(400):
            dealt = dealing.deal_bits(bits, 4, CONTEXT, number.to_bytes(32, "little"))
            rows = {k: field.unpack(row, 10) for k, row in rows_of(dealt, 2).items()}
            opened.append(shamir.reconstruct([1, 2], np.stack([rows[1], rows[2]]))[:5])
        upper = (np.concatenate(opened) > Q // 2).mean()
        assert abs(upper - 0.5) < 0.045  # 4 deviations of 2,000 fair coins


def test_leaves_and_root_commit_to_the_bodies() -> None:
    dealt = dealing.deal_bits(BITS, 4, CONTEXT, SEED)
    assert dealt.root == merkle_root(dealt.leaves)
    assert dealt.leaves[2] == dealing.leaf(CONTEXT, 3, dealt.bodies[2])
    assert len({len(body) for body in dealt.bodies}) == 1 == len({dealing.body_size(len(BITS))})
    assert dealing.leaf(CONTEXT, 1, dealt.bodies[2]) != dealt.leaves[2]


def test_a_body_of_another_size_is_malformed() -> None:
    body = dealing.deal_bits(BITS, 4, CONTEXT, SEED).bodies[0]
    for bad in (body[:-1], body + b"\0", b""):
        with pytest.raises(MalformedShare):
            dealing.check_row(bad, len(BITS), CONTEXT, RHO)


def test_a_dealing_prints_nothing_but_its_root() -> None:
    dealt = dealing.deal_bits(BITS, 4, CONTEXT, SEED)
    assert repr(dealt) == f"Dealing(root={dealt.root.hex()}, <sealed>)"


def test_the_longest_input_is_accepted() -> None:
    bits = [i % 2 for i in range(2_048)]
    dealt = dealing.deal_bits(bits, 4, CONTEXT, SEED)
    assert dealing.judge(rows_of(dealt, 2_048), 4, 2_048, CONTEXT, RHO).accepted
