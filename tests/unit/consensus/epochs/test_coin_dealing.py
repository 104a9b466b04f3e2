"""A coin made by the seats themselves: honest dealings add up, and each way to cheat is seen by everybody."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus import coin, coin_dealing
from octra.consensus.coin_dealing import Ceremony, CoinDealing, CoinKey
from octra.consensus.epoch import Committee
from octra.consensus.errors import InvalidDealing
from octra.consensus.events import CoinRevealed
from octra.crypto import bls, sharing
from octra.crypto.hash import H
from octra.primitives import NodeId

PATH = Path(__file__).parents[3] / "vectors" / "consensus" / "epochs.json"
SECRETS = [sharing.scalar_from(bytes([seat]) * 32) for seat in range(4)]
CEREMONY = Ceremony(H("test.anchor"), tuple(sharing.point_of(secret) for secret in SECRETS))
DEALINGS = {dealer: coin_dealing.deal(CEREMONY, dealer, H("test.seed", bytes([dealer]))) for dealer in range(4)}


def _flip(dealing: CoinDealing, receiver: int) -> CoinDealing:
    """The same dealing with another sealed share for one receiver."""
    masked = list(dealing.masked)
    masked[receiver] = bytes([masked[receiver][0], masked[receiver][1] ^ 1]) + masked[receiver][2:]
    return replace(dealing, masked=tuple(masked))


def _key(dealings: dict[int, CoinDealing]) -> CoinKey:
    key = coin_dealing.join(CEREMONY, [dealings[dealer] for dealer in sorted(dealings)])
    assert key is not None
    return key


def _own_secret(
    dealings: dict[int, CoinDealing], seat: int, secret: bls.SecretScalar, repaired: dict[int, int] | None = None
) -> bls.SecretScalar | None:
    """The seat's share of the sum."""
    opened = {d: coin_dealing.open_share(CEREMONY, dealing, d, seat, secret) for d, dealing in dealings.items()}
    shares = {dealer: share for dealer, share in opened.items() if share is not None} | (repaired or {})
    return bls.SecretScalar(sum(shares.values()) % bls.ORDER) if len(shares) == len(dealings) else None


def test_the_summed_coin_works_like_a_dealt_one() -> None:
    key = _key(DEALINGS)
    committee = Committee(
        H("test.anchor"), tuple(NodeId(bytes([s]) * 32) for s in range(4)), key.group_key, key.share_keys
    )
    shares = []
    for seat, secret in enumerate(SECRETS):
        own = _own_secret(DEALINGS, seat, secret)
        assert own is not None
        assert own.public() == key.share_keys[seat]
        shares.append((seat, coin.make_share(own, committee.anchor, 7)))
    values = {coin.reveal(committee, 7, list(pair)) for pair in combinations(shares, 2)}
    assert len(values) == 1
    assert isinstance(values.pop(), CoinRevealed)


def test_f_seats_hold_nothing_that_another_key_would_not_explain() -> None:
    """One share of a line leaves every value at 0 possible."""
    own = _own_secret(DEALINGS, 0, SECRETS[0])
    assert own is not None
    share = int.from_bytes(own.to_bytes(), "big")
    for guess in (1, 2, 3):
        assert sharing.interpolate({1: share, 0: guess}, 0) == guess
    assert _key(DEALINGS).group_key != own.public()


def test_dealings_that_do_not_count_change_the_key() -> None:
    assert len({_key({d: DEALINGS[d] for d in some}).group_key for some in combinations(range(4), 2)}) == 6


@pytest.mark.parametrize("victim", range(4))
def test_a_wrong_share_is_seen_by_its_receiver_and_proven_to_everybody(victim: int) -> None:
    bad = _flip(DEALINGS[1], victim)
    coin_dealing.check_dealing(CEREMONY, bad)  # from outside it looks right
    assert coin_dealing.open_share(CEREMONY, bad, 1, victim, SECRETS[victim]) is None
    complaint = coin_dealing.complain(bad, 1, SECRETS[victim])
    assert coin_dealing.is_upheld(CEREMONY, bad, victim, complaint)
    others = [seat for seat in range(4) if seat != victim]
    assert all(coin_dealing.open_share(CEREMONY, bad, 1, seat, SECRETS[seat]) is not None for seat in others)


def test_a_false_complaint_is_refused() -> None:
    complaint = coin_dealing.complain(DEALINGS[1], 1, SECRETS[2])
    assert not coin_dealing.is_upheld(CEREMONY, DEALINGS[1], 2, complaint)


def test_a_complaint_with_a_false_pad_is_refused() -> None:
    """Without the proof, a receiver could blame any dealer by opening another point."""
    honest = coin_dealing.complain(DEALINGS[1], 1, SECRETS[2])
    other = sharing.shared_point(SECRETS[3], DEALINGS[1].ephemeral)
    for complaint in (
        replace(honest, point=other),
        replace(honest, point=other, proof=sharing.prove_equal(SECRETS[3], DEALINGS[1].ephemeral)),
        replace(honest, proof=bytes(64)),
        replace(honest, proof=b"\xff" * 64),
        replace(honest, point=b"\xc0" + bytes(47)),
    ):
        assert not coin_dealing.is_upheld(CEREMONY, DEALINGS[1], 2, complaint)


def test_an_equality_proof_binds_key_point_and_result() -> None:
    point = DEALINGS[0].ephemeral
    public, shared, proof = sharing.point_of(SECRETS[0]), sharing.shared_point(SECRETS[0], point), None
    proof = sharing.prove_equal(SECRETS[0], point)
    assert sharing.verify_equal(public, point, shared, proof)
    assert not sharing.verify_equal(sharing.point_of(SECRETS[1]), point, shared, proof)
    assert not sharing.verify_equal(public, DEALINGS[1].ephemeral, shared, proof)
    assert not sharing.verify_equal(public, point, public, proof)
    for bit in range(0, 512, 37):
        spoiled = bytearray(proof)
        spoiled[bit // 8] ^= 1 << bit % 8
        assert not sharing.verify_equal(public, point, shared, bytes(spoiled))


def test_a_pad_serves_one_epoch_one_dealer_and_one_receiver() -> None:
    elsewhere = Ceremony(H("test.other"), CEREMONY.receive_keys)
    assert coin_dealing.open_share(elsewhere, DEALINGS[1], 1, 2, SECRETS[2]) is None
    assert coin_dealing.open_share(CEREMONY, DEALINGS[1], 0, 2, SECRETS[2]) is None
    assert coin_dealing.open_share(CEREMONY, DEALINGS[1], 1, 3, SECRETS[2]) is None


def test_malformed_dealings_are_refused_by_everybody() -> None:
    good = DEALINGS[0]
    not_in_subgroup = b"\xa0" + bytes(95)
    for bad in (
        replace(good, commitments=good.commitments[:1]),
        replace(good, commitments=(*good.commitments, good.commitments[0])),
        replace(good, masked=good.masked[:3]),
        replace(good, ephemeral=b"\xc0" + bytes(47)),
        replace(good, commitments=(good.commitments[0], b"\xc0" + bytes(95))),
        replace(good, commitments=(good.commitments[0], not_in_subgroup)),
    ):
        with pytest.raises(InvalidDealing):
            coin_dealing.check_dealing(CEREMONY, bad)


def test_a_restarted_dealer_deals_the_same() -> None:
    assert coin_dealing.deal(CEREMONY, 2, H("test.seed", bytes([2]))) == DEALINGS[2]
    assert coin_dealing.deal(CEREMONY, 2, H("test.seed", b"x")) != DEALINGS[2]


def test_only_unrefuted_dealings_count_and_f_plus_1_are_needed() -> None:
    assert coin_dealing.qualified(CEREMONY, {0, 1, 2, 3}, {1}) == (0, 2, 3)
    assert coin_dealing.qualified(CEREMONY, {0, 1, 2}, {1}) == (0, 2)
    assert coin_dealing.qualified(CEREMONY, {0, 1}, {1}) is None


def test_commitments_that_cancel_each_other_make_no_key() -> None:
    negated = tuple(bytes((-bls._g2(point)).compress()) for point in DEALINGS[0].commitments)
    assert coin_dealing.join(CEREMONY, [DEALINGS[0], replace(DEALINGS[0], commitments=negated)]) is None


def test_a_bad_share_that_was_found_too_late_is_given_back_by_f_plus_1_seats() -> None:
    dealings = {**DEALINGS, 1: _flip(DEALINGS[1], 2)}
    assert _own_secret(dealings, 2, SECRETS[2]) is None
    shown = {}
    for seat in (0, 1, 3):
        share = coin_dealing.open_share(CEREMONY, dealings[1], 1, seat, SECRETS[seat])
        assert share is not None
        shown[seat] = share
    assert coin_dealing.repair(CEREMONY, dealings[1], 2, {0: shown[0]}) is None
    lie = {0: shown[0], 1: shown[1] ^ 1}
    assert coin_dealing.repair(CEREMONY, dealings[1], 2, lie) is None
    share = coin_dealing.repair(CEREMONY, dealings[1], 2, {**lie, 3: shown[3]})
    assert share is not None
    mended = _own_secret(dealings, 2, SECRETS[2], {1: share})
    assert mended is not None
    assert mended.public() == _key(dealings).share_keys[2]


def make_vectors() -> dict[str, str]:
    """Frozen bytes of a dealing for four seats and what follows from it."""
    bad = _flip(DEALINGS[1], 2)
    return {
        "dealing": encode(DEALINGS[0]).hex(),
        "complaint": encode(coin_dealing.complain(bad, 1, SECRETS[2])).hex(),
        "coin_key": encode(_key(DEALINGS)).hex(),
        "beacon_message": coin.beacon_message(H("test.anchor")).hex(),
    }


def test_all_bytes_are_what_they_were() -> None:
    assert json.loads(PATH.read_text()) == make_vectors()


if __name__ == "__main__":
    sys.stdout.write(f"{PATH.write_text(json.dumps(make_vectors(), indent=1) + chr(10))}\n")
