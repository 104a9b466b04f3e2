"""Keys and encryption: what is encrypted decrypts, rows say what they should, and secrets do not leak by accident."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.hfhe import encrypt
from octra.hfhe.bootstrap import packed, reencode, unpack
from octra.hfhe.errors import WrongKey, WrongParameters
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey, group_messages, ring_phase, row_messages
from octra.hfhe.params import MU, STD128, TEST, ParameterSet, Q, S, T

SEED = b"encryption tests: used only here"


def test_keys_are_a_function_of_their_seed() -> None:
    first, again, other = (SecretKey.generate(TEST, seed) for seed in (SEED, SEED, bytes(32)))
    assert (first.z == again.z).all()
    assert PublicKey.generate(first, SEED).key_id == PublicKey.generate(again, SEED).key_id
    assert PublicKey.generate(first, SEED).key_id != PublicKey.generate(other, bytes(32)).key_id


@pytest.mark.parametrize("params", [S, T, STD128], ids=lambda params: params.name)
def test_secret_keys_have_the_distribution_of_their_set(params: ParameterSet) -> None:
    key = SecretKey.generate(params, SEED)
    weights = [int((key.z == value).sum()) / params.M for value in (-1, 0, 1)]
    expected = [1 / 4, 1 / 2, 1 / 4] if params.ring_secret == "difference" else [1 / 3, 1 / 3, 1 / 3]
    assert weights == pytest.approx(expected, abs=0.07)
    assert set(key.s.tolist()) == ({0, 1} if params.lwe_secret == "binary" else {-1, 0, 1})


def test_a_secret_key_prints_and_pickles_nothing() -> None:
    key = SecretKey.generate(TEST, SEED)
    assert repr(key) == "SecretKey(TEST, <sealed>)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_dealt_key_equals_the_generated_one(toy) -> None:  # type: ignore[no-untyped-def]
    dealt = SecretKey.from_keys(TEST, toy.secret.z, toy.secret.s)
    evaluation = EvaluationKey.generate(dealt, bytes(range(32)))
    assert evaluation.key_id == toy.evaluation.key_id
    assert (evaluation.bootstrap == toy.evaluation.bootstrap).all()


def test_bootstrap_rows_encrypt_the_gadget_of_their_bit(toy) -> None:  # type: ignore[no-untyped-def]
    messages = group_messages(TEST, toy.secret.s)
    weights = row_messages(TEST, toy.secret.ring, TEST.gadget)
    errors = []
    for group in range(TEST.groups):
        rows = toy.evaluation.bootstrap_rows(group)
        phases = ring_phase(toy.secret, rows[:, :, :-1], rows[:, :, -1])
        errors.append(phases - messages[group][:, None, None] * weights)
    noise = np.array(errors)
    assert abs(noise).max() < 10 * 3.19
    assert noise.std() == pytest.approx(3.19, rel=0.05)


def test_switch_rows_encrypt_multiples_of_the_ring_key(toy) -> None:  # type: ignore[no-untyped-def]
    for i in (0, 17, TEST.M - 1):
        rows = toy.evaluation.switch_rows(i).astype(np.int64)
        phases = rows[..., -1] - rows[..., :-1] @ toy.secret.s
        multiples = np.arange(1, 17) << (5 * np.arange(3))[:, None]
        errors = (phases - multiples * toy.secret.z[i] + 2**14) % 2**15 - 2**14
        assert 0 < abs(errors).max() < 32


def test_packing_rows_encrypt_the_ring_key(toy) -> None:  # type: ignore[no-untyped-def]
    rows = toy.evaluation.packing_rows(3)
    phases = ring_phase(toy.secret, rows[:, :-1], rows[:, -1])
    assert TEST.packing is not None
    phases[:, 0] -= [TEST.packing.weight(i) * int(toy.secret.z[3]) for i in range(TEST.packing.digits)]
    assert 0 < abs(phases).max() < 32


@settings(max_examples=25, deadline=None)
@given(bits=st.lists(st.integers(0, 1), max_size=150))
def test_what_is_encrypted_decrypts(toy, bits: list[int]) -> None:  # type: ignore[no-untyped-def]
    for key in (toy.secret, toy.evaluation.public):
        ciphertexts = encrypt.encrypt_bits(key, bits, SEED)
        assert ciphertexts.shape == (len(bits), TEST.M + 1)
        decrypted, report = encrypt.decrypt_bits(toy.secret, ciphertexts)
        assert decrypted.tolist() == bits
        assert report.max_ratio < 1e-4
    assert encrypt.decrypt_bits(toy.secret, encrypt.trivial_bits(TEST, bits))[0].tolist() == bits


@pytest.mark.parametrize("params", [S, T, STD128], ids=lambda params: params.name)
def test_large_sets_encrypt_under_both_keys(params: ParameterSet) -> None:
    secret = SecretKey.generate(params, SEED)
    public = PublicKey.generate(secret, SEED)
    bits = [i * i % 3 % 2 for i in range(params.N + 3)]
    for packs in (
        encrypt.encrypt_packed(public, bits, SEED),
        [encrypt.expand(seeded) for seeded in encrypt.encrypt_seeded(secret, public.key_id, bits, SEED)],
    ):
        assert [pack.count for pack in packs] == [params.N, 3]
        found = [encrypt.decrypt_packed(secret, pack) for pack in packs]
        assert [bit for part, _ in found for bit in part.tolist()] == bits
        assert all(report.max_ratio < 1e-3 for _, report in found)


def test_seeded_ciphertexts_of_one_call_have_different_masks(toy) -> None:  # type: ignore[no-untyped-def]
    first, second = encrypt.encrypt_seeded(toy.secret, b"", [1] * 128, SEED)
    assert first.seed != second.seed
    assert (first.body != second.body).any()


def test_encryptions_of_zero_hide_nothing_but_differ(toy) -> None:  # type: ignore[no-untyped-def]
    zeros = encrypt.encrypt_zero(toy.evaluation.public, [bytes([i]) * 32 for i in range(5)]).astype(np.int64)
    phases = (zeros[:, -1] - zeros[:, :-1] @ toy.secret.z + Q // 2) % Q - Q // 2
    assert len({row.tobytes() for row in zeros}) == 5
    assert abs(phases).max() < 1_000


def test_damage_is_reported(toy) -> None:  # type: ignore[no-untyped-def]
    ciphertext = encrypt.encrypt_bits(toy.secret, [1], SEED)
    ciphertext[0, -1] = (int(ciphertext[0, -1]) + MU * 8 // 10) % Q
    bits, report = encrypt.decrypt_bits(toy.secret, ciphertext)
    assert bits.tolist() == [1]
    assert report.damaged
    assert not encrypt.decrypt_bits(toy.secret, encrypt.trivial_bits(TEST, [0, 1]))[1].damaged


def test_packed_bootstraps_decrypt_and_unpack(toy) -> None:  # type: ignore[no-untyped-def]
    bits = [1, 0, 0, 1, 1]
    outputs = toy.backend.bootstrap(toy.prepared, encrypt.encrypt_bits(toy.secret, bits, SEED))
    pack = packed(toy.prepared, toy.backend.pack(toy.prepared, outputs), 5)
    assert pack.key_id == toy.evaluation.key_id
    assert encrypt.decrypt_packed(toy.secret, pack)[0].tolist() == bits
    assert encrypt.decrypt_bits(toy.secret, unpack(pack))[0].tolist() == bits


def test_committee_input_enters_as_ordinary_bits(toy) -> None:  # type: ignore[no-untyped-def]
    bits = [i % 3 % 2 for i in range(100)]
    entry = encrypt.encrypt_entry(toy.secret, toy.evaluation.key_id, bits, SEED)
    decrypted, report = encrypt.decrypt_bits(toy.secret, toy.backend.entry(toy.prepared, entry))
    assert decrypted.tolist() == bits
    assert not report.damaged


def test_committee_input_of_another_key_or_set_is_refused(toy) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WrongKey):
        toy.backend.entry(toy.prepared, encrypt.encrypt_entry(toy.secret, bytes(32), [1], SEED))
    other = SecretKey.generate(S, SEED)
    with pytest.raises(WrongParameters):
        toy.backend.entry(toy.prepared, encrypt.encrypt_entry(other, toy.evaluation.key_id, [1], SEED))


@pytest.mark.parametrize("start", [0, 3, 7])
def test_reencoding_puts_zero_at_0_and_one_at_half_of_q(toy, start: int) -> None:  # type: ignore[no-untyped-def]
    bits = np.array([0, 1, 1, 0, 1])
    opened = reencode(toy.backend, toy.prepared, encrypt.encrypt_bits(toy.secret, bits, SEED), start).astype(np.int64)
    phases = (opened[:, -1] - opened[:, :-1] @ toy.secret.z) % Q
    distance = (phases - bits * 4 * MU + Q // 2) % Q - Q // 2
    assert abs(distance).max() < Q // 64


@pytest.mark.parametrize("count", [0, 1, 3])
def test_zeros_made_at_once_are_those_made_one_by_one(toy: Any, count: int) -> None:
    public, seeds = toy.evaluation.public, [bytes([number]) * 32 for number in range(count)]
    one_by_one = []
    for seed in seeds:  # a packed 1 of the same seed has the same randomness; only MU is added to its body
        (packed,) = encrypt.encrypt_packed(public, [1], seed)
        row = unpack(packed)[0].astype(np.int64)
        row[-1] = (row[-1] - MU) % Q
        one_by_one.append(row)
    expected = np.array(one_by_one, np.uint32).reshape(count, toy.params.M + 1)
    assert (encrypt.encrypt_zero(public, seeds) == expected).all()
