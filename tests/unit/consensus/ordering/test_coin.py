"""The coin: f + 1 good shares give one value, bad shares are found, leaders are drawn without bias."""

from collections import Counter
from itertools import combinations

import pytest
from ordering.world import RealKeys

from octra.consensus import coin
from octra.consensus.events import CoinRevealed, CoinSharesRejected
from octra.crypto import bls


def _shares(keys: RealKeys, round: int, seats: tuple[int, ...]) -> list[tuple[int, bytes]]:
    return [(seat, keys.share(seat, round)) for seat in seats]


def test_any_f_plus_1_shares_reveal_the_same_verified_value(keys: RealKeys) -> None:
    revealed = {coin.reveal(keys.committee, 9, _shares(keys, 9, seats)) for seats in combinations(range(4), 2)}
    assert len(revealed) == 1
    answer = revealed.pop()
    assert isinstance(answer, CoinRevealed)
    message = coin.coin_message(keys.committee.anchor, 9)
    assert bls.verify(keys.committee.coin_group_key, answer.signature, message)


def test_f_shares_reveal_nothing(keys: RealKeys) -> None:
    assert coin.reveal(keys.committee, 9, _shares(keys, 9, (2,))) == CoinSharesRejected(9, ())


@pytest.mark.parametrize("bad", [bytes(48), b"\xc0" + bytes(47), None], ids=["no point", "identity", "other round"])
def test_a_bad_share_is_named_and_the_rest_suffices(keys: RealKeys, bad: bytes | None) -> None:
    wrong = keys.share(0, 8) if bad is None else bad
    answer = coin.reveal(keys.committee, 9, [(0, wrong), *_shares(keys, 9, (1, 3))])
    assert isinstance(answer, CoinRevealed)
    assert answer.rejected == (0,)
    assert answer.signature == coin.reveal(keys.committee, 9, _shares(keys, 9, (2, 3))).signature  # type: ignore[union-attr]


def test_too_few_good_shares_are_refused_with_the_names_of_the_bad(keys: RealKeys) -> None:
    answer = coin.reveal(keys.committee, 9, [(0, bytes(48)), (1, keys.share(2, 9)), (3, keys.share(3, 9))])
    assert answer == CoinSharesRejected(9, (0, 1))


def test_a_share_belongs_to_one_seat_round_and_committee(keys: RealKeys) -> None:
    share = keys.share(1, 5)
    assert coin.share_is_valid(keys.committee, 5, 1, share)
    assert not coin.share_is_valid(keys.committee, 5, 2, share)
    assert not coin.share_is_valid(keys.committee, 6, 1, share)
    assert not coin.share_is_valid(RealKeys(2, 4).committee, 5, 1, share)


def test_leaders_are_distinct_and_every_seat_leads_equally_often() -> None:
    counts: Counter[int] = Counter()
    for number in range(4_000):
        drawn = coin.leaders(number.to_bytes(32, "big"), 7, 2)
        assert len(set(drawn)) == 2
        counts.update(drawn)
    assert max(counts.values()) - min(counts.values()) < 250  # 1,143 expected each, deviation 29


def test_a_permutation_is_one_and_depends_on_seed_and_tag() -> None:
    seen = {coin.permutation(seed, tag, 24) for seed in (b"a", b"b") for tag in ("octra.x", "octra.y")}
    assert len(seen) == 4
    assert all(sorted(permutation) == list(range(24)) for permutation in seen)
    assert coin.permutation(b"", "octra.x", 1) == (0,)
