"""Circuits on real ciphertexts of the test set: right results, equal bytes, independent noise, typed refusals."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.hfhe import params, wire
from octra.hfhe.backend import Backend, PreparedKey, choose
from octra.hfhe.builder import Builder, with_mode
from octra.hfhe.encrypt import decrypt_bits, encrypt_bits
from octra.hfhe.encrypted import (
    EncryptedWords,
    WordsMismatch,
    decode_words,
    decrypt_words,
    encrypt_words,
    run_circuit,
)
from octra.hfhe.errors import InsecureParameters, WrongKey
from octra.hfhe.execute import Cancelled, Completed, Failed, Job, JobRejected, LocalExecutor, Progress
from octra.hfhe.hypergraph import Graph, Mode, evaluate
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.plan import Plan
from octra.hfhe.planner import make_plan
from octra.hfhe.tracing import circuit
from octra.hfhe.words import I8, U8, U16, Bit, select

TEST_GATE = wire.Gate(allow_insecure=True)
SEED = b"encrypted runs".ljust(32)


class Machine:
    """A key of one set and what computes with it."""

    def __init__(self, set_: ParameterSet, threads: int = 1, block_max: int = 64) -> None:
        self.secret = SecretKey.generate(set_, SEED)
        evaluation = EvaluationKey.generate(self.secret, SEED)
        self.public = evaluation.public
        self.backend: Backend = choose()
        self.key: PreparedKey = self.backend.prepare(evaluation)
        self.executor = LocalExecutor(self.backend, self.key, threads=threads, block_max=block_max)

    def run(self, graph: Graph, *values: tuple[str, int], seed: bytes = b"s" * 32) -> tuple[int, ...]:
        words = encrypt_words(self.public, values, seed)
        operands = {word.name: words.word(index) for index, word in enumerate(graph.inputs)}
        result = run_circuit(self.executor, self.backend, self.key, graph, operands)
        numbers, report = decrypt_words(self.secret, result.words, self.public.key_id)
        assert not report.damaged
        return numbers

    def job(self, plan: Plan, bits: list[int], seed: int = 1, context: bytes = bytes(32)) -> Job:
        return Job(plan, encrypt_bits(self.public, bits, bytes([seed]) * 32), context, keep_steps=True)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(params.TEST)


@circuit
def score(a: U16, b: U16) -> U16:
    return select(a < b, a + b, a - b)


@circuit
def arithmetic(a: I8, b: I8) -> tuple[I8, I8, I8, Bit, Bit, I8]:
    return a + b, a - b, a * b, a < b, a == b, -a


@circuit
def shifted(a: U8, b: U8) -> U8:
    return a << 1 ^ b


@settings(max_examples=12, deadline=None)
@given(st.integers(-128, 127), st.integers(-128, 127))
def test_decrypting_a_circuit_of_encrypted_words_gives_its_value_in_the_clear(machine: Machine, a: int, b: int) -> None:
    assert machine.run(arithmetic.graph, ("i8", a), ("i8", b)) == arithmetic(a, b)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 65_535), st.integers(0, 65_535))
def test_open_outputs_decrypt_to_the_same_as_sealed_ones(machine: Machine, a: int, b: int) -> None:
    assert machine.run(score.graph, ("u16", a), ("u16", b)) == (score(a, b),)
    assert machine.run(with_mode(score.graph, Mode.OPEN), ("u16", a), ("u16", b)) == (score(a, b),)


def random_gates(rng: random.Random, gates: int) -> Graph:
    """All gates on random earlier bits, all kinds equally often; the last results are outputs, so most gates matter."""
    builder = Builder("gates")
    literals = list(builder.input("a", "u64") + builder.input("b", "u64"))
    three = [builder.maj3, builder.mux, builder.alleq3, builder.andxor, builder.xor]
    while builder.node_count < gates:
        a, b, c = (rng.choice(literals[-400:]) ^ rng.getrandbits(1) for _ in range(3))
        kind = rng.randrange(11)
        match kind:
            case 0 | 1:
                literals.append(builder.and_(a, b) ^ kind)  # AND, NAND
            case 2 | 3:
                literals.append(builder.or_(a, b) ^ kind & 1)  # OR, NOR
            case 4 | 5:
                literals.append(builder.xor(a, b) ^ kind & 1)  # XOR, XNOR
            case _:
                literals.append(three[kind - 6](a, b, c))
    for index in range(0, 384, 64):
        builder.output(f"r{index}", "u64", literals[-384:][index : index + 64])
    return builder.build()


def count_wrong(machine: Machine, gates: int, seed: int) -> tuple[int, int]:
    """Wrong bits among all bootstraps and outputs of a random circuit, and the number of bootstraps."""
    rng = random.Random(seed)
    graph = random_gates(rng, gates)
    plan = make_plan(graph, machine.key.params)
    bits = [rng.getrandbits(1) for _ in range(128)]
    (result,) = machine.executor.run([machine.job(plan, bits)])
    assert isinstance(result, Completed)
    assert result.steps is not None
    got, report = decrypt_bits(machine.secret, np.concatenate([result.steps, result.outputs]))
    assert not report.damaged
    sources = [2 * bit - 1 for bit in bits]
    for step in plan.steps:
        phase = (step.kappa + sum(coefficient * sources[index] for index, coefficient in step.terms)) % 8
        sources.append(1 if phase < 4 else -1)
    expected = [value == 1 for value in sources[128:]] + list(evaluate(graph, [bool(bit) for bit in bits]))
    return sum(bool(bit) != want for bit, want in zip(got, expected, strict=True)), plan.bootstraps


def test_twenty_thousand_random_gates_of_the_test_set_are_all_right(machine: Machine) -> None:
    wrong, bootstraps = count_wrong(machine, 26_000, 1)
    assert wrong == 0
    assert bootstraps >= 20_000


@pytest.mark.long
@pytest.mark.parametrize(("set_", "gates"), [(params.S, 2_000), (params.T, 500)], ids=["S", "T"])
def test_random_gates_of_the_real_sets_are_all_right(set_: ParameterSet, gates: int) -> None:
    wrong, bootstraps = count_wrong(Machine(set_), gates + 600, 2)
    assert wrong == 0
    assert bootstraps >= gates


# --- Equal bytes. ---


def run_digest(machine: Machine) -> str:
    """One hash over all results and intermediate results of jobs that run together."""
    set_ = machine.key.params
    plan = make_plan(score.graph if set_ is params.TEST else adder.graph, set_)
    jobs = [machine.job(plan, [seed >> i & 1 for i in range(plan.input_bits)], seed) for seed in (1, 2, 3)]
    digest = hashlib.blake2b(digest_size=16)
    for result in machine.executor.run(jobs if set_ is params.TEST else jobs[:1]):
        assert isinstance(result, Completed)
        assert result.steps is not None
        for values in (result.outputs, result.steps, machine.backend.pack(machine.key, result.outputs)):
            digest.update(np.ascontiguousarray(values, "<u4").tobytes())
    return digest.hexdigest()


@circuit
def adder(a: U8, b: U8) -> U8:
    return a + b


def digest_in_process(hash_seed: str, threads: int, block_max: int, set_name: str = "TEST") -> str:
    program = (
        "import importlib.util as u, sys\n"
        "spec = u.spec_from_file_location('runs_test', sys.argv[1])\n"
        "module = u.module_from_spec(spec); sys.modules['runs_test'] = module; spec.loader.exec_module(module)\n"
        "set_ = module.params.get(sys.argv[4], allow_insecure=True)\n"
        "print(module.run_digest(module.Machine(set_, int(sys.argv[2]), int(sys.argv[3]))))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, __file__, str(threads), str(block_max), set_name],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_blocks_threads_processes_and_hash_seeds_change_no_byte() -> None:
    machine = Machine(params.TEST)
    expected = run_digest(machine)
    for threads, block_max in ((1, 1), (1, 2), (1, 3), (1, 17), (2, 63), (4, 16)):
        machine.executor = LocalExecutor(machine.backend, machine.key, threads=threads, block_max=block_max)
        assert run_digest(machine) == expected
    assert {digest_in_process("0", 1, 64), digest_in_process("4711", 3, 5)} == {expected}


@pytest.mark.long
def test_an_adder_of_the_standard_set_gives_equal_bytes_in_two_processes() -> None:
    assert digest_in_process("1", 1, 64, "S") == digest_in_process("2", 2, 3, "S")


def test_jobs_together_give_the_bytes_of_jobs_alone(machine: Machine) -> None:
    plans = [make_plan(graph, params.TEST) for graph in (score.graph, arithmetic.graph)]
    jobs = [machine.job(plan, [1, 0] * (plan.input_bits // 2), seed) for seed, plan in enumerate(plans, 1)]
    together = machine.executor.run(jobs)
    for job, result in zip(jobs, together, strict=True):
        (alone,) = machine.executor.run([job])
        assert isinstance(alone, Completed)
        assert isinstance(result, Completed)
        assert (alone.outputs == result.outputs).all()


# --- Salt. ---


def phase_errors(machine: Machine, outputs: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    bits, _ = decrypt_bits(machine.secret, outputs)
    masks = outputs[:, :-1].astype(np.int64)
    phases = (outputs[:, -1].astype(np.int64) - masks @ machine.secret.z - (2 * bits - 1) * MU) % Q
    return np.asarray((phases + Q // 2) % Q - Q // 2, np.float64)


def test_another_context_gives_outputs_of_independent_noise(machine: Machine) -> None:
    @circuit
    def conjunction(a: U16, b: U16) -> U16:
        return a & b

    plan = make_plan(conjunction.graph, params.TEST)
    bits = [1, 0, 1, 1] * 8
    errors = []
    for round_ in range(60):
        inputs = machine.job(plan, bits, seed=round_ + 1)
        jobs = [replace(inputs, context=bytes([context]) * 32) for context in (1, 2)]
        results = machine.executor.run(jobs)
        assert all(isinstance(result, Completed) for result in results)
        errors.append([phase_errors(machine, result.outputs) for result in results])  # type: ignore[union-attr]
    one, two = np.array(errors).transpose(1, 0, 2).reshape(2, -1)
    correlation = float(np.corrcoef(one, two)[0, 1])
    assert one.std() > 1_000
    assert abs(correlation) < 4.5 / len(one) ** 0.5  # 4.5 standard deviations of independent samples
    assert (one != two).mean() > 0.99


# --- Binding and refusals. ---


def test_one_ciphertext_bound_twice_is_one_source(machine: Machine) -> None:
    words = encrypt_words(machine.public, [("u16", 77)], b"1" * 32)
    both = {"a": words.word(0), "b": words.word(0)}
    result = run_circuit(machine.executor, machine.backend, machine.key, score.graph, both)
    assert decrypt_words(machine.secret, result.words, machine.public.key_id)[0] == (0,)
    assert result.plan.bootstraps == 0  # a - a is known to be 0

    again = decode_words(words.encode(), TEST_GATE)  # the same bytes from another file
    result = run_circuit(
        machine.executor, machine.backend, machine.key, score.graph, {"a": words.word(0), "b": again.word(0)}
    )
    assert result.plan.bootstraps == 0


def test_public_numbers_can_stand_for_encrypted_ones(machine: Machine) -> None:
    words = encrypt_words(machine.public, [("u16", 50)], b"1" * 32)
    result = run_circuit(machine.executor, machine.backend, machine.key, score.graph, {"a": 8, "b": words.word(0)})
    assert decrypt_words(machine.secret, result.words, machine.public.key_id)[0] == (58,)


def test_operands_that_do_not_fit_are_refused(machine: Machine) -> None:
    words = encrypt_words(machine.public, [("u16", 50), ("u8", 1)], b"1" * 32)

    def run(**operands: object) -> None:
        run_circuit(machine.executor, machine.backend, machine.key, score.graph, operands)  # type: ignore[arg-type]

    for operands in ({"a": words.word(0)}, {"a": words.word(0), "b": words.word(1)}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(WordsMismatch):
            run(**operands)
    with pytest.raises(WordsMismatch):
        words.word(2)
    stranger = EncryptedWords(words.names, words.types, tuple(replace(part, key_id=bytes(32)) for part in words.packed))
    with pytest.raises(WrongKey):
        run(a=stranger.word(0), b=2)
    with pytest.raises(WrongKey):
        decrypt_words(machine.secret, stranger, machine.public.key_id)


def test_a_job_that_does_not_fit_fails_alone(machine: Machine) -> None:
    plan = make_plan(shifted.graph, params.TEST)
    good = machine.job(plan, [1] * 16)
    bad = [
        replace(good, inputs=good.inputs[:-1]),
        replace(good, context=b"short"),
        replace(good, plan=make_plan(shifted.graph, params.S)),
    ]
    results = machine.executor.run([bad[0], good, bad[1], bad[2]])
    assert [type(result) for result in results] == [Failed, Completed, Failed, Failed]
    assert all(isinstance(result.error, JobRejected) for result in results if isinstance(result, Failed))


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_reported_and_a_run_can_be_cancelled(machine: Machine, threads: int) -> None:
    executor = LocalExecutor(machine.backend, machine.key, threads=threads, block_max=4)
    plan = make_plan(score.graph, params.TEST)
    seen: list[Progress] = []
    executor.run([machine.job(plan, [1] * 32), machine.job(plan, [0] * 32, 2)], on_progress=seen.append)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1] == Progress(2 * plan.bootstraps, 2 * plan.bootstraps, 0, 0)
    with pytest.raises(Cancelled):
        executor.run([machine.job(plan, [1] * 32)], cancelled=lambda: True)


def test_constant_and_linear_outputs_need_no_bootstrap(machine: Machine) -> None:
    @circuit
    def constants(a: U8) -> tuple[U8, U8]:
        return U8.const(42), a ^ a

    assert machine.run(constants.graph, ("u8", 9)) == (42, 0)


# --- Files. ---


def test_words_survive_their_bytes_and_test_keys_are_refused_by_default(machine: Machine) -> None:
    words = encrypt_words(machine.public, [("u64", 2**64 - 1), ("i8", -5), ("bit", 1)], b"w" * 32)
    assert len(words.packed) == 2  # 73 bits, 64 to a ciphertext of the test set
    again = decode_words(words.encode(), TEST_GATE)
    assert again.encode() == words.encode()
    assert decrypt_words(machine.secret, again, machine.public.key_id)[0] == (2**64 - 1, -5, 1)
    with pytest.raises(InsecureParameters):
        decode_words(words.encode())


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_ciphertext_files_raise_typed_errors_or_stay_well_formed(machine: Machine, data: st.DataObject) -> None:
    encoded = bytearray(encrypt_words(machine.public, [("u8", 1), ("u16", 2)], b"w" * 32).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position] = data.draw(st.integers(0, 255))
    encoded = encoded[: data.draw(st.sampled_from([len(encoded), len(encoded) - 1, 7]))]
    try:
        words = decode_words(bytes(encoded), TEST_GATE)
    except InvalidInput:
        return
    assert words.encode() == bytes(encoded)
