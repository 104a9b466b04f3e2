"""Real gates against the noise model: right bits, the model's variances, and the model's failures where gates may fail."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.hfhe import backend_native
from octra.hfhe.backend import choose
from octra.hfhe.encrypt import encrypt_bits, phases
from octra.hfhe.measure import KINDS, Laboratory, Moments, Observations, at_full_noise, tail
from octra.hfhe.params import TEST, ParameterSet, Q, S, T, tail_log2, variances

GATES = 200
native = pytest.mark.skipif(not backend_native.available(), reason="without the kernel these take minutes")


@pytest.fixture(scope="module")
def toy_laboratory() -> Laboratory:
    laboratory = Laboratory(TEST, choose(), b"noise tests: used only in there.")
    laboratory.run(2_000, pairs=True)
    return laboratory


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    made = Laboratory(S, choose(), b"noise tests: used only in there.")
    made.run(GATES, pairs=True)
    return made


def assert_as_modelled(seen: Moments, model: float, *, share: float = 0.0) -> None:
    """The variance within `share` or five standard deviations of its estimate, whichever is more."""
    assert seen.variance == pytest.approx(model, rel=max(share, 5 * math.sqrt(2 / seen.count)))


def test_random_gates_of_every_kind_are_right(toy_laboratory: Laboratory) -> None:
    assert sum(toy_laboratory.seen.wrong.values()) == 0
    assert set(toy_laboratory.seen.gates) == set(KINDS)
    assert sum(toy_laboratory.seen.gates.values()) == 2_000


def test_variances_of_the_test_set_follow_the_model(toy_laboratory: Laboratory) -> None:
    seen, model = toy_laboratory.seen, toy_laboratory.model
    # A ring of 64 and a key of 16 bits are too few for averages over keys: single keys differ by a tenth.
    assert_as_modelled(seen.rotation, model.rotation, share=0.2)
    assert_as_modelled(seen.switching, model.key_switch + model.modulus_switch, share=0.2)
    assert_as_modelled(seen.packing, model.packing, share=0.2)


@native
def test_gates_under_set_s_are_right_and_as_noisy_as_modelled(laboratory: Laboratory) -> None:
    seen, model = laboratory.seen, laboratory.model
    assert sum(seen.wrong.values()) == 0
    assert_as_modelled(seen.rotation, model.rotation)
    assert_as_modelled(seen.switching, model.key_switch + model.modulus_switch)
    assert_as_modelled(seen.packing, model.packing, share=0.15)
    assert_as_modelled(seen.deciding, 1.0)


@native
@pytest.mark.parametrize("width", [1, 2, 9])
def test_gates_pushed_towards_the_decision_line_fail_as_often_as_predicted(laboratory: Laboratory, width: int) -> None:
    tilted = laboratory.tilt(width, 0.05, 200)  # frequent enough to see too few as well as too many
    assert tilted.expected == pytest.approx(0.05 * 200, rel=0.05)
    assert abs(tilted.deviations) < 4
    assert tilted.wrong > 0


@native
def test_two_salted_copies_have_independent_noise(laboratory: Laboratory) -> None:
    assert laboratory.seen.salted.count == GATES
    assert abs(laboratory.seen.salted.mean) < 5 / math.sqrt(GATES)


def test_without_salt_two_copies_have_the_same_noise(toy_laboratory: Laboratory) -> None:
    bits = encrypt_bits(toy_laboratory.secret, [0, 1, 1], bytes(32))
    first, second = (toy_laboratory.backend.bootstrap(toy_laboratory.key, bits) for _ in range(2))
    assert (first == second).all()


def test_a_spoilt_gate_would_be_counted(toy_laboratory: Laboratory) -> None:
    laboratory = Laboratory(TEST, choose(), bytes(32))
    laboratory._values = 1 - laboratory._values  # now the pool is not what the laboratory believes
    laboratory.run(64)
    assert sum(laboratory.seen.wrong.values()) > 16
    assert laboratory.seen.rotation.variance > 100 * toy_laboratory.seen.rotation.variance


def test_the_full_noise_of_a_joint_key_is_what_the_model_counts() -> None:
    assert at_full_noise(S).sigma_ring == S.sigma_ring
    assert (at_full_noise(T).sigma_ring, at_full_noise(T).sigma_lwe) == (910, 475)
    assert variances(at_full_noise(T)) == variances(T)


@pytest.mark.parametrize("params", [S, T], ids=lambda params: params.name)
def test_budgets_bear_the_offset_that_a_key_gives_to_all_its_switches(params: ParameterSet) -> None:
    """Ties in rounding shift the mean by sum (s - 1/2) / 2^(shift + 1): one unit is four standard deviations."""
    shift = params.switch_log - (2 * params.N).bit_length() + 1
    assert 4 * math.sqrt(params.n / 4) / 2 ** (shift + 1) < 1
    model = variances(params)
    for bits, budgets in params.budgets.items():
        for norm2, margin in ((budgets.b8, 8), (budgets.b4, 4)):
            deviation = math.sqrt(norm2 * model.source + model.local)
            assert tail_log2((2 * params.N / margin - 1) / deviation) <= -bits


@given(st.lists(st.lists(st.integers(-30, 30), min_size=1, max_size=20), min_size=1, max_size=5))
def test_moments_of_parts_are_the_moments_of_the_whole(parts: list[list[int]]) -> None:
    whole, merged = Moments(), Moments()
    for part in parts:
        one = Moments()
        one.add(np.array(part, float))
        whole.add(np.array(part, float))
        merged = merged.merged(one)
    samples = np.concatenate([np.array(part, float) for part in parts])
    assert merged.count == whole.count == samples.size
    assert merged.mean == pytest.approx(samples.mean())
    assert merged.variance == pytest.approx(samples.var(), abs=1e-9)
    if samples.var() > 1e-6:
        assert merged.fourth == pytest.approx(((samples - samples.mean()) ** 4).mean() / samples.var() ** 2)


def test_observations_add_up(toy_laboratory: Laboratory) -> None:
    twice = toy_laboratory.seen.merged(toy_laboratory.seen)
    assert twice.bootstraps == 2 * toy_laboratory.seen.bootstraps
    assert sum(twice.gates.values()) == 4_000
    assert Observations().merged(toy_laboratory.seen).rotation.mean == toy_laboratory.seen.rotation.mean


def test_tails_fall() -> None:
    assert tail(0) == 0.5
    assert tail(2.326348) == pytest.approx(0.01, rel=1e-5)
    assert all(a > b for a, b in pairwise(tail(z / 4) for z in range(40)))


def test_phases_are_message_and_noise(toy_laboratory: Laboratory) -> None:
    trivial = np.zeros((2, TEST.M + 1), np.uint32)
    trivial[:, -1] = (5, Q - 7)
    assert phases(toy_laboratory.secret, trivial).tolist() == [5, -7]


@pytest.mark.long
@native
def test_ten_thousand_gates_under_four_keys_are_within_a_twentieth_of_the_model() -> None:
    seen = Observations()
    for number in range(4):
        made = Laboratory(S, choose(), bytes([100 + number]) * 32)
        made.run(2_500)
        seen = seen.merged(made.seen)
    model = variances(S)
    assert sum(seen.wrong.values()) == 0
    for part, expected in (
        (seen.rotation, model.rotation),
        (seen.switching, model.key_switch + model.modulus_switch),
        (seen.packing, model.packing),
    ):
        assert part.variance == pytest.approx(expected, rel=0.05)
        assert part.fourth == pytest.approx(3, abs=0.15)
    assert abs(seen.rotation.mean) < 0.1
