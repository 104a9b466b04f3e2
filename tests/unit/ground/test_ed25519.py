"""ZIP-215: the engine in use agrees with a big-integer reference where libraries are known to disagree."""

from hashlib import sha512

import pytest
from ed25519_reference import BASE, add, challenge, compress, decompress, multiply, small_order_encodings, torsion
from ed25519_reference import verify as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.crypto import ed25519
from octra.crypto.ed25519 import ORDER, SigningKey, verify

TORSION, ENCODINGS = torsion(), small_order_encodings()


def test_there_are_fourteen_small_order_encodings() -> None:
    assert len(ENCODINGS) == 14


@pytest.mark.parametrize("key", ENCODINGS)
def test_small_order_keys_and_commitments_are_accepted_with_a_zero_scalar(key: bytes) -> None:
    for commitment in ENCODINGS:
        assert reference(key, commitment + bytes(32), b"Zcash")
        assert verify(key, commitment + bytes(32), b"Zcash")


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.integers(0, 7), st.integers(0, 7), st.booleans())
def test_torsion_in_key_or_commitment_gets_the_reference_verdict(
    seed: bytes, message: bytes, in_key: int, in_commitment: int, spoil: bool
) -> None:
    secret, nonce = int.from_bytes(seed, "little") % ORDER, int.from_bytes(sha512(seed).digest(), "little") % ORDER
    key = compress(add(multiply(secret, BASE), TORSION[in_key]))
    commitment = compress(add(multiply(nonce, BASE), TORSION[in_commitment]))
    s = (nonce + challenge(key, commitment, message) * secret + spoil) % ORDER
    signature = commitment + s.to_bytes(32, "little")
    assert verify(key, signature, message) == reference(key, signature, message) == (not spoil)


def test_a_scalar_of_the_group_order_or_more_is_refused() -> None:
    key = SigningKey(b"\x05" * 32)
    good = key.sign(b"m")
    s = int.from_bytes(good[32:], "little")
    assert verify(key.public, good, b"m")
    assert not verify(key.public, good[:32] + (s + ORDER).to_bytes(32, "little"), b"m")
    assert not verify(ENCODINGS[0], ENCODINGS[0] + ORDER.to_bytes(32, "little"), b"m")


def test_bytes_that_are_no_points_are_refused() -> None:
    identity = (1).to_bytes(32, "little")
    no_points = [raw for raw in (i.to_bytes(32, "little") for i in range(2, 60)) if decompress(raw) is None]
    for raw in no_points:
        assert not verify(raw, identity + bytes(32), b"m")
        assert not verify(identity, raw + bytes(32), b"m")


@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=10))
def test_any_bytes_give_a_verdict(key: bytes, signature: bytes, message: bytes) -> None:
    assert verify(key, signature, message) in (True, False)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.integers(0, 511))
def test_a_flipped_bit_breaks_an_honest_signature(seed: bytes, message: bytes, bit: int) -> None:
    key = SigningKey(seed)
    signature = bytearray(key.sign(message))
    assert verify(key.public, bytes(signature), message)
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(key.public, bytes(signature), message)


def test_rfc_8032_vectors() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = SigningKey(seed)
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex().startswith("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da")


def test_a_signing_key_neither_prints_nor_pickles() -> None:
    import pickle

    key = SigningKey(b"\x07" * 32)
    assert repr(key) == "<secret>"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_many_verdicts_come_in_order() -> None:
    key = SigningKey(b"\x08" * 32)
    items = [(key.public, key.sign(bytes([i])), bytes([i ^ (i == 3)])) for i in range(6)]
    assert ed25519.verify_many(items) == [True, True, True, False, True, True]
