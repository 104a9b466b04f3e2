"""Parameter sets: frozen numbers, budgets that follow from the model, and the door for insecure sets."""

from __future__ import annotations

import pytest

from octra.hfhe import params
from octra.hfhe.errors import InsecureParameters, NoSuchBudget, UnknownParameters
from octra.hfhe.params import SETS, STD128, TEST, F, ParameterSet, Q, S, T, failure_log2, tail_log2, variances


def test_q_is_a_prime_with_roots_of_unity_up_to_1024() -> None:
    assert Q == 134215681
    assert all(Q % divisor for divisor in range(2, 11586))  # 11585^2 < Q < 11586^2
    assert (Q - 1) % 2048 == 0


@pytest.mark.parametrize("chosen", SETS, ids=lambda chosen: chosen.name)
def test_gadgets_cover_all_27_bits_without_overflow(chosen: ParameterSet) -> None:
    for gadget in filter(None, (chosen.gadget, chosen.packing)):
        assert gadget.drop + gadget.digits * gadget.base_log == 27


@pytest.mark.parametrize("chosen", [S, F, T], ids=lambda chosen: chosen.name)
def test_budgets_follow_from_the_model(chosen: ParameterSet) -> None:
    for bits, budget in chosen.budgets.items():
        for norm2, margin in ((budget.b8, 8), (budget.b4, 4)):
            assert failure_log2(chosen, norm2, margin=margin) <= -bits
            assert failure_log2(chosen, norm2 + norm2 // 5 + 1, margin=margin) > -bits  # and are not needlessly small
        noise = variances(chosen).source
        sigmas = 2 * chosen.N / 8
        assert tail_log2(sigmas / (budget.open * noise) ** 0.5) <= -bits
        assert tail_log2(sigmas / ((budget.open + 1) * noise) ** 0.5) > -bits


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [(S, (7.62, 29.6, 13.4, 0.43)), (T, (5.1, 21.1, 14.1, 0.86))],
    ids=["S", "T"],
)
def test_the_model_gives_the_published_variances(chosen: ParameterSet, expected: tuple[float, ...]) -> None:
    assert variances(chosen) == pytest.approx(expected, abs=0.07)


def test_failure_of_a_two_input_gate_is_as_published() -> None:
    assert failure_log2(S, 2) == pytest.approx(-199, abs=0.5)
    assert failure_log2(T, 2) == pytest.approx(-249, abs=0.5)
    assert failure_log2(F, 2) == pytest.approx(-96, abs=0.5)


def test_set_f_has_no_budget_at_128_bits() -> None:
    with pytest.raises(NoSuchBudget):
        F.budget(128)


def test_the_test_set_shares_the_budgets_of_s() -> None:
    assert TEST.budget(128) == S.budget(128) == (5, 36, 11, 9)
    assert T.budget(64).widest_xor == 28


@pytest.mark.parametrize("chosen", [STD128, TEST], ids=lambda chosen: chosen.name)
def test_insecure_sets_are_refused_unless_asked_for(chosen: ParameterSet) -> None:
    for name in (chosen.name, chosen.set_id):
        with pytest.raises(InsecureParameters):
            params.get(name)
        assert params.get(name, allow_insecure=True) is chosen


@pytest.mark.parametrize("chosen", [S, F, T], ids=lambda chosen: chosen.name)
def test_secure_sets_are_found_by_name_and_number(chosen: ParameterSet) -> None:
    assert params.get(chosen.name) is params.get(chosen.set_id) is chosen


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UnknownParameters):
        params.get(77)
