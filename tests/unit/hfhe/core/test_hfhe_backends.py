"""Backends: every way gives the same bytes, gates of real sets are right, and a wrong kernel is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from octra.hfhe import backend_numpy, encrypt, selftest
from octra.hfhe.backend import choose
from octra.hfhe.backend_numpy import NumpyBackend, error_bound
from octra.hfhe.ciphertext import U16Array, U32Array, extract, linear_form
from octra.hfhe.errors import BackendUnavailable, KernelMismatch, RoundingGuardTripped
from octra.hfhe.params import MU, SETS, ParameterSet, Q, variances
from octra.hfhe.ring import ROUNDING_GUARD, transform

SEED = b"backend tests: used only in here"
GATES: dict[str, tuple[tuple[int, int, int], Callable[[int, int], int]]] = {
    "and": ((1, 1, -1), lambda a, b: a & b),
    "or": ((1, 1, 1), lambda a, b: a | b),
    "xor": ((2, 2, 2), lambda a, b: a ^ b),
    "nand": ((-1, -1, 1), lambda a, b: 1 - (a & b)),
    "nor": ((-1, -1, -1), lambda a, b: 1 - (a | b)),
    "xnor": ((-2, -2, -2), lambda a, b: 1 - (a ^ b)),
}


def random_gates(keys: Any, count: int, seed: int) -> tuple[U32Array, np.ndarray]:
    """Forms of random gates on fresh bits, and the bits that they should give."""
    random = np.random.default_rng(seed)
    left, right = random.integers(0, 2, (2, count))
    encrypted = [encrypt.encrypt_bits(keys.secret, bits, random.bytes(32)) for bits in (left, right)]
    forms, expected = np.empty_like(encrypted[0]), np.empty(count, np.int64)
    for i, name in enumerate(random.choice(list(GATES), count)):
        (c0, c1, kappa), truth = GATES[str(name)]
        forms[i] = linear_form([ciphertexts[i] for ciphertexts in encrypted], [c0, c1], kappa)
        expected[i] = truth(int(left[i]), int(right[i]))
    return forms, expected


def phases(keys: Any, bits: U32Array) -> np.ndarray:
    wide = bits.astype(np.int64)
    return np.asarray((wide[:, -1] - wide[:, :-1] @ keys.secret.z + Q // 2) % Q - Q // 2)


def transform_rotation(keys: Any, exponents: U16Array, groups: range) -> U32Array:
    """A few steps of blind rotations by number-theoretic transforms: an oracle without floating point."""
    from octra.hfhe import bootstrap as steps
    from octra.hfhe.ring import rotate

    params, ntt = keys.params, transform(keys.params.N)
    accumulators = np.zeros((len(exponents), params.k + 1, params.N), np.int64)
    accumulators[:, -1] = steps.test_polynomial(params, exponents, MU)
    powers = steps.group_exponents(params, exponents)
    for group in groups:
        rows = ntt.forward(keys.evaluation.bootstrap_rows(group))
        digits = steps.decompose(params.gadget, accumulators.astype(np.uint32)).transpose(1, 2, 0, 3)
        spectra = ntt.forward(digits).reshape(len(exponents), params.rows, params.N)
        for message in range(params.messages):
            products = (spectra[:, :, None] * rows[message][None] % np.uint64(Q)).sum(axis=1) % np.uint64(Q)
            values = ntt.inverse(products).astype(np.int64)
            accumulators += rotate(values, powers[:, group, message, None]) - values
        accumulators %= Q
    return accumulators.astype(np.uint32)


@pytest.mark.parametrize("params", SETS, ids=lambda params: params.name)
def test_rounding_is_proven_for_every_set(params: ParameterSet) -> None:
    assert error_bound(params, fused=False) < 0.5


def test_the_fused_way_is_proven_for_s_and_t_only() -> None:
    proven = 1 - ROUNDING_GUARD
    assert [params.name for params in SETS if error_bound(params, fused=True) >= proven] == ["F", "STD128"]


@pytest.mark.parametrize("keys", ["toy", "keys_s", "keys_t"])
def test_fourier_and_transform_rotations_give_the_same_bytes(keys: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(keys)
    groups = 3
    exponents = np.random.default_rng(8).integers(0, 2 * made.params.N, (2, made.params.n + 1)).astype(np.uint16)
    exponents[:, 2 * groups : -1] = 0  # X^0 - 1 is zero: later groups change nothing
    rotated = made.backend.rotate(made.prepared, exponents)
    assert (rotated == transform_rotation(made, exponents, range(groups))).all()


@pytest.mark.parametrize("keys", ["toy", "keys_s"])
def test_fused_and_plain_ways_give_the_same_bytes(keys: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(keys)
    plain = NumpyBackend(fused=False)
    forms, _ = random_gates(made, 3, 1)
    expected = made.backend.bootstrap(made.prepared, forms)
    assert (plain.bootstrap(plain.prepare(made.evaluation), forms) == expected).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 31, 32, 33, 65])
def test_results_do_not_depend_on_the_batch(toy: Any, count: int) -> None:
    forms, _ = random_gates(toy, 65, 2)
    whole = toy.backend.bootstrap(toy.prepared, forms)
    assert (toy.backend.bootstrap(toy.prepared, forms[:count]) == whole[:count]).all()


@pytest.mark.parametrize("keys", ["keys_s", "keys_t"])
def test_gates_of_real_sets_are_right_and_as_quiet_as_the_model(keys: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(keys)
    forms, expected = random_gates(made, 64, 3)
    outputs = made.backend.bootstrap(made.prepared, forms)
    assert encrypt.decrypt_bits(made.secret, outputs)[0].tolist() == expected.tolist()
    noise = (phases(made, outputs) - (2 * expected - 1) * MU) * (2 * made.params.N / Q)
    assert noise.var() < 2 * variances(made.params).rotation
    packed = made.backend.pack(made.prepared, outputs)
    assert encrypt.decrypt_bits(made.secret, extract(packed, 5)[None])[0].tolist() == [expected[5]]


@pytest.mark.long
@pytest.mark.parametrize("keys", ["keys_s", "keys_t"])
def test_thousands_of_gates_are_right_with_the_variance_of_the_model(keys: str, request: pytest.FixtureRequest) -> None:
    made, backend = request.getfixturevalue(keys), choose()
    prepared = backend.prepare(made.evaluation)
    forms, expected = random_gates(made, 5_000, 4)
    outputs = np.concatenate([backend.bootstrap(prepared, forms[i : i + 500]) for i in range(0, len(forms), 500)])
    assert (encrypt.decrypt_bits(made.secret, outputs)[0] == expected).all()
    noise = (phases(made, outputs) - (2 * expected - 1) * MU) * (2 * made.params.N / Q)
    largest = (
        made.params.sigma_ring_max or made.params.sigma_ring
    )  # this key has the smallest noise that its set allows
    rotation = variances(made.params).rotation * (made.params.sigma_ring / largest) ** 2
    assert noise.var() == pytest.approx(rotation, rel=0.08)
    assert abs(noise.mean()) < 0.15


def test_choose_finds_a_tested_backend() -> None:
    assert choose("numpy") is choose("numpy")
    assert choose("numpy").name == "numpy"


def test_the_environment_forces_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTRA_KERNEL", "numpy")
    assert choose().name == "numpy"
    monkeypatch.setenv("OCTRA_KERNEL", "abacus")
    with pytest.raises(BackendUnavailable):
        choose()


def test_a_kernel_with_wrong_bytes_is_caught() -> None:
    class Wrong(NumpyBackend):
        def switch(self, key: Any, forms: U32Array) -> U16Array:
            exponents = super().switch(key, forms)
            exponents[3, 5] ^= 1
            return exponents

    with pytest.raises(KernelMismatch) as caught:
        selftest.check(Wrong())
    assert caught.value.step == "switch"


def test_broken_floating_point_stops_the_process(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forms, _ = random_gates(toy, 1, 5)
    bent = backend_numpy.fold_twiddles(toy.params.N) * (1 + 1e-6)
    monkeypatch.setattr(backend_numpy, "fold_twiddles", lambda size: bent)
    with pytest.raises(RoundingGuardTripped):
        toy.backend.bootstrap(toy.prepared, forms)
