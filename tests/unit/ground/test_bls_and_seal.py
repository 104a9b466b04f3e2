"""Threshold and aggregate signatures; boxes that one reader opens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.crypto import bls, seal
from octra.errors import InvalidInput

KEYS = [bls.SecretScalar.from_seed(bytes([i]) * 32) for i in range(1, 5)]
IDENTITY_G1, IDENTITY_G2 = b"\xc0" + bytes(47), b"\xc0" + bytes(95)


def test_a_signature_verifies_under_its_key_and_message_only() -> None:
    signature = KEYS[0].sign(b"m")
    assert bls.verify(KEYS[0].public(), signature, b"m")
    assert not bls.verify(KEYS[1].public(), signature, b"m")
    assert not bls.verify(KEYS[0].public(), signature, b"n")


def test_the_identity_is_refused_as_key_and_as_signature() -> None:
    assert not bls.verify(IDENTITY_G2, IDENTITY_G1, b"m")
    assert not bls.verify(KEYS[0].public(), IDENTITY_G1, b"m")
    with pytest.raises(bls.InvalidPoint):
        bls.aggregate([KEYS[0].sign(b"m"), IDENTITY_G1])


@pytest.mark.parametrize("raw", [b"", bytes(48), bytes(47), b"\xff" * 48, b"\x80" + bytes(46) + b"\x07"])
def test_bytes_that_are_no_points_give_false(raw: bytes) -> None:
    assert not bls.verify(KEYS[0].public(), raw, b"m")


def test_an_aggregate_needs_every_signer() -> None:
    signatures = [key.sign(b"checkpoint") for key in KEYS]
    publics = [key.public() for key in KEYS]
    assert bls.verify_aggregate(publics, bls.aggregate(signatures), b"checkpoint")
    assert not bls.verify_aggregate(publics, bls.aggregate(signatures[:-1]), b"checkpoint")
    assert not bls.verify_aggregate(publics[:-1], bls.aggregate(signatures), b"checkpoint")
    assert not bls.verify_aggregate([], bls.aggregate(signatures), b"checkpoint")


def test_possession_is_proven_under_a_domain_of_its_own() -> None:
    proof = KEYS[0].prove_possession()
    assert bls.verify_possession(KEYS[0].public(), proof)
    assert not bls.verify_possession(KEYS[1].public(), proof)
    assert not bls.verify(KEYS[0].public(), proof, KEYS[0].public())


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(1, 8)), st.integers(1, bls.ORDER - 1))
def test_any_threshold_of_shares_gives_the_same_signature(seats: list[int], secret: int) -> None:
    shares = bls.deal(secret, 2, 7, [11, 13])
    chosen = {x: shares[x - 1].sign(b"round") for x in seats[:3]}
    assert bls.combine(chosen) == bls.SecretScalar(secret).sign(b"round")
    two = {x: shares[x - 1].sign(b"round") for x in seats[:2]}
    assert bls.combine(two) != bls.SecretScalar(secret).sign(b"round")


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(1, 25)), st.integers(0, 7))
def test_a_combination_is_returned_only_if_it_is_the_signature_of_the_group(seats: list[int], liar: int) -> None:
    shares = bls.deal(secret := 7**90, 7, 24, range(100, 107))
    group = bls.SecretScalar(secret)
    chosen = {x: shares[x - 1].sign(b"round") for x in seats[:8]}
    assert bls.combine_verified(chosen, group.public(), b"round") == group.sign(b"round")
    assert bls.combine_verified(chosen, group.public(), b"other round") is None
    chosen[seats[liar]] = shares[seats[liar] - 1].sign(b"other round")
    assert bls.combine_verified(chosen, group.public(), b"round") is None
    chosen[seats[liar]] = bytes(bls.SIGNATURE_SIZE)
    assert bls.combine_verified(chosen, group.public(), b"round") is None


def test_a_secret_scalar_does_not_print() -> None:
    assert repr(KEYS[0]) == "<secret>"
    assert str(int.from_bytes(KEYS[0].to_bytes(), "big")) not in f"{KEYS[0]!r} {KEYS[0]!s}"


@given(st.binary(max_size=300), st.binary(max_size=30))
def test_a_box_opens_with_its_key_and_context(plaintext: bytes, context: bytes) -> None:
    secret, public = seal.generate()
    box = seal.seal(public, plaintext, context)
    assert len(box) == len(plaintext) + seal.OVERHEAD
    assert seal.open_box(secret, box, context) == plaintext
    with pytest.raises(seal.BoxNotOpened):
        seal.open_box(secret, box, context + b"!")
    with pytest.raises(seal.BoxNotOpened):
        seal.open_box(seal.generate()[0], box, context)


@given(st.binary(max_size=120))
def test_random_boxes_never_open_and_never_crash(box: bytes) -> None:
    with pytest.raises(InvalidInput):
        seal.open_box(b"\x01" * 32, box, b"")


def test_a_reader_key_of_small_order_is_refused() -> None:
    with pytest.raises(seal.BoxNotOpened):
        seal.seal(bytes(32), b"secret", b"")


def test_view_keys_belong_to_signing_keys() -> None:
    import base64

    secret, public = seal.view_pair(b"\x01" * 32)
    assert base64.b64encode(public) == b"GxtY3VDqFLYNoXt5DNAnVNlwybq4ZOuzwPMBb+UdP1c="
    assert seal.public_of(secret) == public
    assert seal.open_box(secret, seal.seal(public, b"x", b""), b"") == b"x"
