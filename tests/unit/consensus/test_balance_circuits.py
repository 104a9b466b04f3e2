"""Encrypted balances: the circuits on exact phases for all small values, and on real ciphertexts."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from octra.consensus import circuits
from octra.consensus.circuits import WIDTH, credit_graph, debit_graph, withdraw_graph
from octra.consensus.evaluate import (
    Evaluator,
    WrongOperand,
    credit_work,
    debit_work,
    evaluate,
    evaluate_credit,
    evaluate_debit,
    evaluate_withdraw,
    trace_root,
    withdraw_work,
)
from octra.hfhe import params
from octra.hfhe.backend import choose
from octra.hfhe.ciphertext import EntryBits, PackedBits
from octra.hfhe.encrypt import decrypt_packed, encrypt_entry, encrypt_packed
from octra.hfhe.errors import WrongKey
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.noise import is_admissible
from octra.hfhe.params import ParameterSet, failure_log2
from octra.hfhe.plan import Plan, simulate
from octra.hfhe.planner import make_plan

BUDGETS = [(params.T, 128), (params.T, 64), (params.S, 128), (params.TEST, 128)]


def bits_of(*values: int, width: int) -> list[bool]:
    return [bool(value >> i & 1) for value in values for i in range(width)]


def words_of(plan: Plan, bits: tuple[bool, ...]) -> dict[str, int]:
    found, position = {}, 0
    for word in plan.graph.outputs:
        size = len(word.literals)
        found[word.name] = sum(1 << i for i, bit in enumerate(bits[position : position + size]) if bit)
        position += size
    return found


def plans(width: int, budget: tuple[ParameterSet, int]) -> dict[str, Plan]:
    budgets = budget[0].budget(budget[1])
    graphs = {
        "debit": debit_graph(width, budgets),
        "withdraw": withdraw_graph(width, budgets),
        "credit": credit_graph(width),
    }
    return {name: make_plan(graph, *budget) for name, graph in graphs.items()}


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: f"{budget[0].name}-{budget[1]}")
def test_every_pair_of_four_bit_values_is_debited_and_credited_right(budget: tuple[ParameterSet, int]) -> None:
    made = plans(4, budget)
    for s, a in itertools.product(range(16), repeat=2):
        ok = s >= a
        expected = {"spendable": s - a if ok else s, "transferred": a if ok else 0, "ok": int(ok)}
        assert words_of(made["debit"], simulate(made["debit"], bits_of(s, a, width=4))) == expected
        del expected["transferred"]
        assert words_of(made["withdraw"], simulate(made["withdraw"], bits_of(s, a, width=4))) == expected
        assert words_of(made["credit"], simulate(made["credit"], bits_of(s, a, width=4))) == {"balance": (s + a) % 16}


def test_costs_are_those_that_fees_are_computed_from() -> None:
    costs = {
        (params.T, 128): (249, 149, 99),
        (params.T, 64): (200, 149, 99),
        (params.TEST, 128): (249, 199, 99),
    }
    for budget, expected in costs.items():
        made = circuits.debit(*budget), circuits.withdraw(*budget), circuits.credit(*budget)
        assert tuple(circuit.bootstraps for circuit in made) == expected
        assert made[0].entry_bits == 50
        assert [circuit.plan.depth for circuit in made] == [52, 52, 50]


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: f"{budget[0].name}-{budget[1]}")
def test_no_form_exceeds_the_budget_and_no_bootstrap_the_failure_probability(budget: tuple[ParameterSet, int]) -> None:
    for plan in plans(WIDTH, budget).values():
        assert all(is_admissible(step.form, budget[0].budget(budget[1])) for step in plan.steps)
        for step in plan.steps:
            margin = 8 if any(abs(c) == 1 for _, c in step.terms) else 4
            assert failure_log2(budget[0], step.form.norm2, margin=margin) <= -budget[1]


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: f"{budget[0].name}-{budget[1]}")
def test_output_bits_share_no_source_with_each_other_or_with_inputs(budget: tuple[ParameterSet, int]) -> None:
    for plan in plans(WIDTH, budget).values():
        sources = [form.terms[0][0] for form in plan.outputs]
        assert all(form.is_source for form in plan.outputs)
        assert len(set(sources)) == len(sources)
        assert min(sources) >= plan.input_bits
        salts = [plan.steps[index - plan.input_bits].salt for index in sources]
        assert len(set(salts)) == len(salts)
        assert min(salts) >= 0


# --- On ciphertexts of the test set. ---


def make_evaluator(
    params_: ParameterSet, seed: bytes, threads: int = 1, block_max: int = 64
) -> tuple[SecretKey, Evaluator]:
    secret, backend = SecretKey.generate(params_, seed), choose()
    key = backend.prepare(EvaluationKey.generate(secret, seed))
    return secret, Evaluator(backend, key, LocalExecutor(backend, key, threads=threads, block_max=block_max))


@pytest.fixture(scope="module")
def machine() -> tuple[SecretKey, Evaluator]:
    return make_evaluator(params.TEST, b"balances".ljust(32))


def seal(evaluator: Evaluator, value: int, seed: int) -> PackedBits:
    (packed,) = encrypt_packed(evaluator.key.public, bits_of(value, width=WIDTH), bytes([seed]) * 32)
    return packed


def deal(secret: SecretKey, evaluator: Evaluator, value: int, seed: int) -> EntryBits:
    return encrypt_entry(secret, evaluator.key.public.key_id, bits_of(value, width=WIDTH), bytes([seed]) * 32)


def reveal(secret: SecretKey, value: PackedBits) -> int:
    bits, report = decrypt_packed(secret, value)
    assert not report.damaged
    return sum(int(bit) << i for i, bit in enumerate(bits))


TOP = (1 << WIDTH) - 1


@pytest.mark.parametrize(
    ("balance", "amount"),
    [(60_000_000, 12_500_000), (0, 0), (5, 5), (5, 6), (TOP, TOP), (TOP, 0), (0, TOP), (1 << 49, (1 << 49) - 1)],
)
def test_a_private_transfer_moves_the_amount_or_nothing(
    machine: tuple[SecretKey, Evaluator], balance: int, amount: int
) -> None:
    secret, evaluator = machine
    moved = amount if amount <= balance else 0
    result = evaluate_debit(evaluator, seal(evaluator, balance, 1), deal(secret, evaluator, amount, 2), b"d" * 32)
    assert {name: reveal(secret, value) for name, value in result.outputs.items()} == {
        "spendable": balance - moved,
        "transferred": moved,
        "ok": int(amount <= balance),
    }
    assert len(result.steps) == 249
    received = evaluate_credit(evaluator, 7, result.outputs["transferred"], b"c" * 32)
    assert reveal(secret, received.outputs["balance"]) == (7 + moved) % (1 << WIDTH)
    assert len(received.steps) == 99


def test_works_together_give_the_bytes_of_works_alone(machine: tuple[SecretKey, Evaluator]) -> None:
    secret, evaluator = machine
    works = [
        debit_work(evaluator, seal(evaluator, 60, 1), deal(secret, evaluator, 12, 2), b"1" * 32),
        credit_work(evaluator, seal(evaluator, 9, 3), 4, b"2" * 32),
        withdraw_work(evaluator, seal(evaluator, 9, 4), 4, b"3" * 32),
    ]
    together = evaluate(evaluator, works)
    for work, result in zip(works, together, strict=True):
        (alone,) = evaluate(evaluator, [work])
        assert alone.digests() == result.digests()
        assert (alone.steps == result.steps).all()
        assert len(result.steps) == work.circuit.bootstraps


def test_public_amounts_enter_and_leave_a_balance(machine: tuple[SecretKey, Evaluator]) -> None:
    secret, evaluator = machine
    first = evaluate_credit(evaluator, 0, 60, b"1" * 32).outputs["balance"]
    assert reveal(secret, first) == 60
    for amount, left, ok in ((60, 0, 1), (61, 60, 0), (12, 48, 1)):
        taken = evaluate_withdraw(evaluator, first, amount, b"2" * 32).outputs
        assert (reveal(secret, taken["spendable"]), reveal(secret, taken["ok"])) == (left, ok)


def test_another_context_gives_other_bytes_of_the_same_values(machine: tuple[SecretKey, Evaluator]) -> None:
    secret, evaluator = machine
    one = evaluate_credit(evaluator, 3, 4, b"1" * 32)
    two = evaluate_credit(evaluator, 3, 4, b"2" * 32)
    again = evaluate_credit(evaluator, 3, 4, b"1" * 32)
    assert one.digests() == again.digests()
    assert one.digests() != two.digests()
    assert reveal(secret, one.outputs["balance"]) == reveal(secret, two.outputs["balance"]) == 7


def test_a_trace_is_bound_to_its_evaluator_its_job_and_every_bootstrap(machine: tuple[SecretKey, Evaluator]) -> None:
    steps = evaluate_credit(machine[1], 3, 4, b"1" * 32).steps
    root = trace_root(b"n" * 32, b"j" * 32, steps)
    assert root == trace_root(b"n" * 32, b"j" * 32, steps.copy())
    changed = steps.copy()
    changed[98, 0] ^= 1
    others = [
        trace_root(b"m" * 32, b"j" * 32, steps),
        trace_root(b"n" * 32, b"k" * 32, steps),
        trace_root(b"n" * 32, b"j" * 32, changed),
        trace_root(b"n" * 32, b"j" * 32, steps[:-1]),
    ]
    assert len({root, *others}) == 5


def test_operands_that_do_not_fit_are_refused(machine: tuple[SecretKey, Evaluator]) -> None:
    secret, evaluator = machine
    word = seal(evaluator, 5, 1)
    with pytest.raises(WrongOperand):
        evaluate_credit(evaluator, word, word, b"c" * 32)
    with pytest.raises(WrongOperand):
        evaluate_credit(evaluator, word, 1 << WIDTH, b"c" * 32)
    (short,) = encrypt_packed(evaluator.key.public, [1] * 49, bytes(32))
    with pytest.raises(WrongOperand):
        evaluate_credit(evaluator, short, 1, b"c" * 32)
    long = encrypt_entry(secret, evaluator.key.public.key_id, [1] * 51, bytes(32))
    with pytest.raises(WrongOperand):
        evaluate_debit(evaluator, word, long, b"c" * 32)
    stranger = PackedBits(word.params, bytes(32), word.mask, word.body)
    with pytest.raises(WrongKey):
        evaluate_credit(evaluator, stranger, 1, b"c" * 32)


def evaluation_digest(threads: int, block_max: int) -> str:
    """Everything that evaluators compare about a debit and a credit, as one hash."""
    secret, evaluator = make_evaluator(params.TEST, b"same bytes".ljust(32), threads, block_max)
    debit = evaluate_debit(evaluator, seal(evaluator, 60, 1), deal(secret, evaluator, 12, 2), b"d" * 32)
    credit = evaluate_credit(evaluator, seal(evaluator, 9, 3), debit.outputs["transferred"], b"c" * 32)
    digest = hashlib.blake2b(digest_size=16)
    for evaluation in (debit, credit):
        digest.update(b"".join(evaluation.digests().values()))
        digest.update(np.ascontiguousarray(evaluation.steps, "<u4").tobytes())
    return digest.hexdigest()


def test_other_processes_threads_blocks_and_hash_seeds_give_the_same_bytes() -> None:
    here = evaluation_digest(1, 64)
    assert here == evaluation_digest(3, 5)
    program = (
        "import importlib.util as u, sys\n"
        "spec = u.spec_from_file_location('circuits_test', sys.argv[1])\n"
        "module = u.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.evaluation_digest(int(sys.argv[2]), int(sys.argv[3])))\n"
    )
    for hash_seed, threads, block_max in (("1", 2, 64), ("77", 1, 1)):
        ran = subprocess.run(
            [sys.executable, "-c", program, __file__, str(threads), str(block_max)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ran.stdout.strip() == here


@pytest.mark.long
def test_a_private_transfer_under_the_networks_set_gives_the_same_bytes_with_other_blocks() -> None:
    secret, one = make_evaluator(params.T, b"network".ljust(32), threads=1)
    two = Evaluator(one.backend, one.key, LocalExecutor(one.backend, one.key, threads=2, block_max=7))
    balance, amount = seal(one, 60_000_000, 1), deal(secret, one, 12_500_000, 2)
    debit = evaluate_debit(one, balance, amount, b"d" * 32)
    assert reveal(secret, debit.outputs["spendable"]) == 47_500_000
    assert reveal(secret, debit.outputs["transferred"]) == 12_500_000
    assert reveal(secret, debit.outputs["ok"]) == 1
    credits = [evaluate_credit(evaluator, 5, debit.outputs["transferred"], b"c" * 32) for evaluator in (one, two)]
    assert reveal(secret, credits[0].outputs["balance"]) == 12_500_005
    assert credits[0].digests() == credits[1].digests()
    assert (credits[0].steps == credits[1].steps).all()
