"""Every kind of word operation on ciphertexts of the test set, and what a run holds in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from octra.hfhe import modular, params, words
from octra.hfhe.backend import choose
from octra.hfhe.builder import Builder
from octra.hfhe.encrypted import decrypt_words, encrypt_words, run_circuit
from octra.hfhe.execute import Cancelled, Job, LocalExecutor, Progress
from octra.hfhe.hypergraph import Mode
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.planner import account, make_plan
from octra.hfhe.schedule import Schedule
from octra.hfhe.simple import Keys
from octra.hfhe.tracing import Circuit, circuit
from octra.hfhe.words import I8, U8, U32, Bit, word_type

SEED = b"word runs".ljust(32)
U4 = word_type("u4")


@pytest.fixture(scope="module")
def secret() -> SecretKey:
    return SecretKey.generate(params.TEST, SEED)


@pytest.fixture(scope="module")
def keys(secret: SecretKey) -> Keys:
    return Keys(secret, EvaluationKey.generate(secret, SEED))


@circuit
def unsigned(a: U8, b: U8) -> tuple[U8, U8, U8, U8, U8, U8, Bit, U8]:
    quotient, rest = divmod(a, b)
    return (
        quotient, rest, words.add(a, b, shape="sklansky"), words.mul(a, b, shape="wallace"), a << b, a >> b,
        words.lt(a, b, shape="sklansky"), words.rotate_right(a, b),
    )  # fmt: skip


@circuit
def signed(a: I8, b: I8) -> tuple[I8, I8, I8, I8, Bit, I8]:
    return a // b, a % b, words.minimum(a, b), words.maximum(a, b), a <= b, words.blend(a, b, ~a)


@circuit
def modulo(a: U8, b: U8) -> tuple[U8, U8, U8, U8]:
    squares = [i * i % 251 for i in range(256)]
    return (
        modular.add_mod(a, b, 251), modular.sub_mod(a, b, 251), modular.mul_mod(a, b, 251),
        words.look_up(squares, a, U8),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("operations", "a", "b"),
    [(unsigned, 200, 7), (unsigned, 5, 0), (unsigned, 255, 255), (signed, -100, 7), (signed, 99, -10), (signed, -128, -1),
     (modulo, 250, 250), (modulo, 3, 249)],
)  # fmt: skip
def test_operations_on_ciphertexts_give_what_they_give_in_the_clear(
    keys: Keys, operations: Circuit, a: int, b: int
) -> None:
    kind = operations.graph.inputs[0].type
    operands = [keys.encrypt(value, bits=8, signed=kind[0] == "i") for value in (a, b)]
    results = keys.run(operations.graph, *operands)
    assert tuple(keys.decrypt(word) for word in results) == operations(a, b)


def test_a_run_tells_its_progress_and_can_be_cancelled(keys: Keys) -> None:
    a, b = keys.encrypt(9, bits=8), keys.encrypt(4, bits=8)
    seen: list[Progress] = []
    assert keys.decrypt(keys.run(lambda x, y: x * y, a, b, on_progress=seen.append)) == 36
    assert seen[-1].done == seen[-1].total == 85
    with pytest.raises(Cancelled):
        keys.run(lambda x, y: x * y, a, b, cancelled=lambda: True)


def test_circuits_may_fail_with_the_probability_that_the_caller_names(secret: SecretKey) -> None:
    evaluation = EvaluationKey.generate(secret, SEED)
    backend = choose()
    key = backend.prepare(evaluation)
    encrypted = encrypt_words(evaluation.public, [("u8", 77), ("u8", 99)], b"e" * 32)
    operands = {"a": encrypted.word(0), "b": encrypted.word(1)}
    costs = []
    for bits in (128, 64):
        run = run_circuit(LocalExecutor(backend, key), backend, key, unsigned.graph, operands, security_bits=bits)
        assert decrypt_words(secret, run.words, evaluation.key_id)[0] == unsigned(77, 99)
        costs.append(run.plan.bootstraps)
    assert costs[1] < costs[0]  # a wider budget leaves more sums alone


def many_sums(count: int) -> Circuit:
    def sums(a: U32, b: U32) -> U32:
        for _ in range(count):
            a = a + b
        return a

    sums.__annotations__ = {"a": U32, "b": U32, "return": U32}
    return Circuit(sums)


def test_a_run_holds_only_what_is_still_needed() -> None:
    plan = make_plan(many_sums(30).graph, params.TEST)
    width = params.TEST.M + 1
    schedule = Schedule([Job(plan, np.zeros((64, width), np.uint32), bytes(32))], params.TEST)
    (run,) = schedule.runs
    most = 0
    tracemalloc.start()
    while block := schedule.take(64):
        schedule.finish(block, np.zeros((len(block), width), np.uint32))
        most = max(most, len(run.values))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.bootstraps > 1_800
    assert most < 200  # inputs, carries in flight, the bits of one or two sums
    assert peak < plan.bootstraps * width * 4 / 3  # bytes: a kept row must not keep the block that it came in


def test_of_equally_heavy_sums_the_one_made_first_is_bootstrapped() -> None:
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        builder = Builder("ties")
        bits = builder.input("x", "u9")
        chosen = [builder.mux(*bits[3 * i : 3 * i + 3]) for i in range(3)]  # norm^2 2 each; 6 is over S's budget of 5
        builder.output("r", "bit", [builder.maj3(*(chosen[i] for i in order))], Mode.OPEN)
        plan = make_plan(builder.build(), params.S)
        assert account(plan)[2] == frozenset({chosen[0] >> 1})


def test_of_unequal_sums_the_heaviest_is_bootstrapped() -> None:
    builder = Builder("heavy")
    a, b, c, *bits = builder.input("x", "u8")
    light = builder.mux(*bits[:3])  # norm^2 2, and made first
    carry, heavy = builder.maj3(a, b, c), builder.xor(a, b, c)  # norm^2 7: a + b + c - 2 carry
    builder.output("r", "u2", [builder.maj3(light, heavy, bits[3]), carry], Mode.OPEN)
    assert account(make_plan(builder.build(), params.T))[2] == frozenset({heavy >> 1})
