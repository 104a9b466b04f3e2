"""The dealt key, its shares as bytes, committee input and openings on set TEST, with lying and silent seats."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from octra.errors import Malformed
from octra.hfhe.backend import choose
from octra.hfhe.ciphertext import linear_form
from octra.hfhe.errors import InsecureParameters, UnsupportedVersion
from octra.hfhe.params import MU, TEST, Q
from octra.hfhe.threshold import field, inputs, partial, prss, shamir
from octra.hfhe.threshold.dealer import DealtKey, deal
from octra.hfhe.threshold.errors import MalformedShare, NotDecodable, NotEnough, PrssTooLarge
from octra.hfhe.threshold.shares import SeatShare

REQUEST, INPUT, RHO = b"q" * 32, b"i" * 32, b"r" * 32
BITS = [1, 0, 1, 1, 0, 0, 0, 1]


def reencoded(dealt: DealtKey, bits: list[int], noise: int = 0) -> np.ndarray:
    """Ciphertexts at phase 0 or Q/2, as a re-encoding gives them, with a chosen noise."""
    masks = field.uniform("octra.test", REQUEST, len(bits) * TEST.M).reshape(len(bits), TEST.M)
    phases = field.element([bit * 4 * MU + noise for bit in bits])
    bodies = (field.matmul(masks, field.element(dealt.secret.z)) + phases) % Q
    return np.concatenate([masks, bodies[:, None]], axis=1).astype(np.uint32)


def parts_of(dealt: DealtKey, bits: list[int], noise: int = 0) -> dict[int, bytes]:
    ciphertexts = reencoded(dealt, bits, noise)
    return {share.seat: partial.part(share, ciphertexts, 7) for share in dealt.seats}


def flipped(part: bytes, count: int) -> bytes:
    return field.pack((field.unpack(part, count) + np.uint64(Q // 2)) % Q)


def input_parts(dealt: DealtKey, bits: list[int]) -> dict[int, bytes]:
    dealing = inputs.deal_bits(bits, 4, INPUT, b"user" * 8)
    return {s.seat: inputs.input_part(s, dealing.bodies[s.seat - 1], len(bits), INPUT) for s in dealt.seats}


def test_two_seats_shares_make_the_key_and_one_seats_do_not(dealt: DealtKey) -> None:
    for first, second in ((0, 1), (3, 2)):
        pair = [dealt.seats[first], dealt.seats[second]]
        ring = shamir.reconstruct([s.seat for s in pair], np.stack([s.ring for s in pair]))
        lwe = shamir.reconstruct([s.seat for s in pair], np.stack([s.lwe for s in pair]))
        assert field.centred(ring).tolist() == dealt.secret.z.tolist()
        assert field.centred(lwe).tolist() == dealt.secret.s.tolist()
    assert field.centred(dealt.seats[0].ring).tolist() != dealt.secret.z.tolist()


def test_a_seed_gives_one_key_and_one_set_of_shares(dealt: DealtKey) -> None:
    again = deal(TEST, b"dealer seed of the threshold tes", 4)
    assert again.key_id == dealt.key_id
    assert [s.to_bytes() for s in again.seats] == [s.to_bytes() for s in dealt.seats]
    assert deal(TEST, b"another seed of the threshold te", 4).key_id != dealt.key_id


def test_the_dealer_refuses_committees_past_the_limit_before_any_work() -> None:
    with pytest.raises(PrssTooLarge):
        deal(TEST, bytes(32), 11)


def test_a_share_survives_its_bytes(dealt: DealtKey) -> None:
    share = dealt.seats[2]
    again = SeatShare.from_bytes(share.to_bytes(), allow_insecure=True)
    assert again.to_bytes() == share.to_bytes()
    assert (again.seat, again.n_seats, again.key_id) == (3, 4, dealt.key_id)
    assert again.ring.tolist() == share.ring.tolist()


def test_shares_of_an_insecure_set_are_read_only_on_request(dealt: DealtKey) -> None:
    with pytest.raises(InsecureParameters):
        SeatShare.from_bytes(dealt.seats[0].to_bytes())


def test_damaged_share_bytes_are_refused(dealt: DealtKey) -> None:
    data = dealt.seats[0].to_bytes()
    assert data[1] == 1  # the version, after the array header
    with pytest.raises(UnsupportedVersion):
        SeatShare.from_bytes(data[:1] + b"\x02" + data[2:], allow_insecure=True)
    for bad in (data[:-1], data + b"\0", b""):
        with pytest.raises(Malformed):
            SeatShare.from_bytes(bad, allow_insecure=True)
    seat = data.index(b"\x04\x01", 30)  # n_seats, seat
    with pytest.raises(MalformedShare):
        SeatShare.from_bytes(data[: seat + 1] + b"\x05" + data[seat + 2 :], allow_insecure=True)


def test_secrets_print_nothing_and_refuse_to_pickle_or_copy(dealt: DealtKey) -> None:
    dealing = inputs.deal_bits(BITS, 4, INPUT, b"user" * 8)
    for secret in (dealt, dealt.seats[0], dealing):
        assert str(secret).endswith("<sealed>" if secret is not dealing else "<sealed>)")
        assert "\\x" not in repr(secret)
        with pytest.raises(TypeError):
            pickle.dumps(secret)
        with pytest.raises(TypeError):
            copy.copy(secret)


@pytest.mark.parametrize("noise", [0, MU // 2, -MU // 2])
def test_four_honest_parts_open_to_the_bits(dealt: DealtKey, noise: int) -> None:
    assert partial.combine(parts_of(dealt, BITS, noise), 4, 8, REQUEST) == (tuple(BITS), frozenset())


@pytest.mark.parametrize("liar", [1, 2, 3, 4])
def test_one_lying_seat_of_four_changes_nothing_and_is_named(dealt: DealtKey, liar: int) -> None:
    parts = parts_of(dealt, BITS)
    parts[liar] = flipped(parts[liar], 8)
    assert partial.combine(parts, 4, 8, REQUEST) == (tuple(BITS), frozenset({liar}))


def test_malformed_parts_are_lies(dealt: DealtKey) -> None:
    parts = parts_of(dealt, BITS)
    for bad in (b"", parts[3][:-1], b"\xff" * len(parts[3])):
        assert partial.combine(parts | {3: bad}, 4, 8, REQUEST) == (tuple(BITS), frozenset({3}))


def test_three_parts_open_when_they_agree_and_wait_when_one_lies(dealt: DealtKey) -> None:
    parts = parts_of(dealt, BITS)
    fourth = parts.pop(4)
    assert partial.combine(parts, 4, 8, REQUEST) == (tuple(BITS), frozenset())
    parts[1] = flipped(parts[1], 8)
    with pytest.raises(NotDecodable):
        partial.combine(parts, 4, 8, REQUEST)
    assert partial.combine(parts | {4: fourth}, 4, 8, REQUEST) == (tuple(BITS), frozenset({1}))


def test_two_parts_never_open(dealt: DealtKey) -> None:
    parts = parts_of(dealt, BITS)
    with pytest.raises(NotEnough):
        partial.combine({1: parts[1], 2: parts[2]}, 4, 8, REQUEST)


def test_two_liars_of_four_are_refused_rather_than_believed(dealt: DealtKey) -> None:
    parts = parts_of(dealt, BITS)
    parts[1], parts[2] = flipped(parts[1], 8), flipped(parts[2], 8)
    with pytest.raises((NotDecodable, NotEnough)):
        partial.combine(parts, 4, 8, REQUEST)


def test_the_same_request_gets_the_same_bytes_and_each_number_its_own_noise(dealt: DealtKey) -> None:
    ciphertexts = reencoded(dealt, [0] * 4)
    share = dealt.seats[0]
    assert partial.part(share, ciphertexts, 9) == partial.part(share, ciphertexts, 9)
    phases = {}
    for index in (9, 13):
        parts = {s.seat: partial.part(s, ciphertexts, index) for s in dealt.seats}
        phases[index] = partial.open_phases(parts, 4, 4, REQUEST)[0]
    assert len(set(phases[9].tolist()) | set(phases[13].tolist())) == 8


def test_the_opened_phase_is_the_phase_and_the_noise_of_all_sets(dealt: DealtKey) -> None:
    parts = parts_of(dealt, [0, 1], 1234)
    phases, _ = partial.open_phases(parts, 4, 2, REQUEST)
    held = {
        m: key
        for s in dealt.seats
        for m, key in zip([m for m in prss.subsets(4) if s.seat in m], s.noise_keys, strict=True)
    }
    noise = sum(prss.flood_term(key, 7, 2, prss.flood_bound(4)) for key in held.values())
    assert field.element(phases - noise).tolist() == [1234, 4 * MU + 1234]


def test_a_commitment_binds_request_seat_salt_and_part() -> None:
    salt = bytes(16)
    base = partial.commitment(REQUEST, 1, salt, b"part")
    others = [
        partial.commitment(INPUT, 1, salt, b"part"),
        partial.commitment(REQUEST, 2, salt, b"part"),
        partial.commitment(REQUEST, 1, b"1" * 16, b"part"),
        partial.commitment(REQUEST, 1, salt, b"parT"),
    ]
    assert len({base, *others}) == 5


def test_a_bit_and_its_complement_have_one_nullifier(dealt: DealtKey) -> None:
    bit, other = reencoded(dealt, [1, 1])
    complement = linear_form([bit], [-1], 0)
    shifted = linear_form([bit], [1], 2)  # another public constant: the same secret
    names = [partial.nullifier(b) for b in (bit, complement, shifted, other)]
    assert names[0] == names[1] == names[2] != names[3]


def test_rotation_exponents_of_a_complement_are_unrelated_so_they_cannot_name_a_bit(dealt: DealtKey) -> None:
    backend = choose()
    key = backend.prepare(dealt.evaluation)
    bits = reencoded(dealt, [0, 1] * 8)
    sums = backend.switch(key, bits).astype(int) + backend.switch(key, linear_form([bits], [-1], 0))
    assert (sums % (2 * TEST.N) != 0).mean() > 0.9


def test_start_groups_cover_all_groups() -> None:
    starts = {partial.start_group(i.to_bytes(32, "little"), attempt, TEST) for i in range(60) for attempt in (0, 1)}
    assert starts == set(range(TEST.groups))


def test_input_parts_combine_to_the_bits_at_a_quarter(dealt: DealtKey) -> None:
    entry, liars = inputs.combine(input_parts(dealt, BITS), 4, 8, INPUT, TEST, dealt.key_id)
    masks = inputs.mask_rows(INPUT, 8, TEST)
    product = field.matmul(masks, field.element(dealt.secret.s))
    phases = field.centred(field.subtract(entry.bodies.astype(np.uint64), product))
    errors = phases - np.array([(4 * bit - 2) * MU for bit in BITS])
    assert np.abs(errors).max() <= 4 << 14
    assert errors.any()
    assert entry.seed == inputs.mask_seed(INPUT)
    assert not liars


@pytest.mark.parametrize("liar", [1, 4])
def test_a_lying_input_part_is_corrected_and_named(dealt: DealtKey, liar: int) -> None:
    parts = input_parts(dealt, BITS)
    right, _ = inputs.combine(parts, 4, 8, INPUT, TEST, dealt.key_id)
    parts[liar] = flipped(parts[liar], 8)
    entry, liars = inputs.combine(parts, 4, 8, INPUT, TEST, dealt.key_id)
    assert entry.bodies.tolist() == right.bodies.tolist()
    assert liars == {liar}


def test_input_parts_of_every_three_seats_give_the_same_ciphertext(dealt: DealtKey) -> None:
    parts = input_parts(dealt, BITS)
    whole, _ = inputs.combine(parts, 4, 8, INPUT, TEST, dealt.key_id)
    for absent in parts:
        three = {seat: part for seat, part in parts.items() if seat != absent}
        assert inputs.combine(three, 4, 8, INPUT, TEST, dealt.key_id)[0].bodies.tolist() == whole.bodies.tolist()
    with pytest.raises(NotEnough):
        inputs.combine({1: parts[1], 2: parts[2]}, 4, 8, INPUT, TEST, dealt.key_id)


def test_a_single_seat_serves_a_key_without_secrecy() -> None:
    alone = deal(TEST, b"one" + bytes(29), 1)
    ciphertexts = reencoded(alone, BITS)
    assert partial.combine({1: partial.part(alone.seats[0], ciphertexts, 0)}, 1, 8, REQUEST)[0] == tuple(BITS)
    assert field.centred(alone.seats[0].ring).tolist() == alone.secret.z.tolist()
