"""Both Bristol dialects are read as published files have them, and standard functions run from them."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from octra.hfhe import params
from octra.hfhe.backend import choose
from octra.hfhe.bristol import MalformedBristol, looks_like_bristol, read_bristol, write_bristol
from octra.hfhe.encrypted import decrypt_words, encrypt_words, run_circuit
from octra.hfhe.examples.aes import aes_128_graph
from octra.hfhe.examples.sha256 import initial_state, sha_256_graph
from octra.hfhe.execute import LocalExecutor
from octra.hfhe.hypergraph import Graph
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.planner import make_plan
from octra.hfhe.tracing import circuit, evaluate_words
from octra.hfhe.words import U64, minimum

# FIPS 197, appendices B and C.1: key, block, result.
AES_VECTORS = [
    ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
    ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
]


def halves(text: str) -> list[int]:
    data = bytes.fromhex(text)
    return [int.from_bytes(data[i : i + 8], "little") for i in (0, 8)]


def aes(graph: Graph, key: str, block: str) -> str:
    return b"".join(half.to_bytes(8, "little") for half in evaluate_words(graph, halves(key) + halves(block))).hex()


def gate_list_adder(width: int) -> str:
    """An adder as synthesis tools write them: carries of ANDs and inverters, unused forms nowhere, odd spacing."""
    gates, wire, carry = [], 2 * width, None
    sums = []

    def gate(operation: str, *arguments: int) -> int:
        nonlocal wire
        gates.append(f"{len(arguments)} 1 {' '.join(map(str, arguments))} {wire} {operation}")
        wire += 1
        return wire - 1

    for i in range(width):
        half, both = gate("XOR", i, width + i), gate("AND", width + i, i)
        if carry is None:
            sums.append(half)
            carry = both
            continue
        sums.append(gate("XOR", half, carry))
        propagated = gate("AND", carry, half)
        carry = gate("INV", gate("AND", gate("INV", both), gate("INV", propagated)))
    for bit in sums:
        gate("EQW", bit)
    return f"{len(gates)} {wire}\n2 {width} {width} \n1 {width} \n\n" + "\n".join(gates) + "\n\n\n"


def test_the_old_format_has_two_inputs_and_one_output() -> None:
    text = "3 6\r\n2 1   2\r\n\r\n2 1 0 2 3 XOR\r\n2 1 0 1 4 AND\r\n1 1 4 5 INV\r\n"
    graph = read_bristol(text)
    assert [(word.name, word.type) for word in graph.inputs] == [("in0", "u2"), ("in1", "bit")]
    assert [evaluate_words(graph, [a, b])[0] for a in range(4) for b in range(2)] == [2, 2, 2, 2, 2, 2, 1, 1]


def test_an_empty_second_input_of_the_old_format_is_no_input() -> None:
    graph = read_bristol("1 3\n2 0 1\n2 1 0 1 2 AND\n")
    assert [word.name for word in graph.inputs] == ["in0"]


def test_bristol_fashion_has_lists_of_values_and_all_its_gates() -> None:
    text = "4 9\n2 2 2\n2 2 1\n\n4 2 0 1 2 3 4 5 MAND\n1 1 1 6 EQ\n1 1 4 7 EQW\n2 1 5 6 8 XOR\n"
    graph = read_bristol(text)
    assert [(word.name, word.type) for word in graph.outputs] == [("out0", "u2"), ("out1", "bit")]
    assert evaluate_words(graph, [3, 1]) == (3, 1)  # wires 6 and 7: the constant and the copied AND; 8: the other AND


def test_wide_values_become_words_of_64_bits_lowest_first() -> None:
    graph = read_bristol(write_bristol(aes_128_graph(), inputs=(128, 128), outputs=(128,)), rewrite=False)
    assert [word.name for word in graph.inputs] == ["in0_0", "in0_1", "in1_0", "in1_1"]
    assert [(word.name, word.type) for word in graph.outputs] == [("out0_0", "u64"), ("out0_1", "u64")]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "ends where"),
        ("1 2 3\n", 1, "number of gates"),
        ("1 3\n", 1, "ends where"),
        ("1 3\n2 1\n2 1 0 1 2 AND\n", 2, "two inputs"),
        ("1 3\n2 1 1 1\n1 1\n2 1 0 1 2 AND\n", 2, "announced, 3 widths"),
        ("1 3\n1 1 1\n2 1 0 3 2 AND\n", 3, "wire 3 is not defined"),
        ("2 4\n1 1 1\n2 1 0 1 2 AND\n\n2 1 0 1 2 AND\n", 5, "defined twice"),
        ("1 3\n1 1 1\n2 1 0 1 3 AND\n", 3, "beyond the 3"),
        ("2 4\n1 1 1\n2 1 0 1 2 AND\n", 3, "1 gates, 2 announced"),
        ("1 4\n1 1 1\n2 1 0 1 2 AND\n2 1 0 1 3 AND\n", 4, "more gates"),
        ("1 3\n1 1 1\n2 1 0 1 2 NAND\n", 3, "no gate NAND"),
        ("1 3\n1 1 1\n3 1 0 1 0 2 AND\n", 3, "no gate AND of 3"),
        ("1 3\n1 1 1\n1 1 2 2 EQ\n", 3, "no gate EQ"),
        ("1 3\n1 1 1\n2 1 0 2 AND\n", 3, "wires given"),
        ("1 3\n1 1 1\nAND\n", 3, "expected"),
        ("1 3\n1 1 1\n2 1 0 -1 2 AND\n", 3, "no wire or count"),
        ("1 4\n1 1 1\n2 1 0 1 2 AND\n", 3, "wire 3 is not defined"),
        ("1 3\n1 1 9\n2 1 0 1 2 AND\n", 2, "9 output bits"),
        ("9999999 9999999\n1 1 1\n", 1, "at most"),
        ("0 70000\n70000 0 1\n", 2, "at most 65536"),
    ],
)
def test_what_breaks_the_format_is_refused_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(MalformedBristol, match=reason) as caught:
        read_bristol(text)
    assert caught.value.line == line


def test_a_header_reserves_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(MalformedBristol):
        read_bristol("1000000 2000000\n1 1 1\n" + "2 1 0 1 2 AND\n" * 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_two_kinds_of_circuit_text_are_told_apart_by_their_first_line() -> None:
    assert looks_like_bristol("\n 375 439\n32 32 33\n")
    assert not looks_like_bristol("circuit score 1\n")


def test_an_adder_of_ands_and_inverters_costs_what_our_own_costs() -> None:
    text = gate_list_adder(64)
    plain, merged = read_bristol(text, rewrite=False), read_bristol(text)
    assert evaluate_words(merged, [2**64 - 1, 2**63 + 5]) == (2**63 + 4,)
    assert make_plan(plain, params.S).bootstraps == 314
    assert make_plan(merged, params.S).bootstraps == 127


@circuit
def smaller(a: U64, b: U64) -> U64:
    return minimum(a, b)


def test_selections_and_comparisons_survive_a_detour_over_two_input_gates() -> None:
    merged = read_bristol(write_bristol(smaller.graph))
    assert evaluate_words(merged, [7, 3]) == (3,)
    assert make_plan(merged, params.S).bootstraps <= make_plan(smaller.graph, params.S).bootstraps


def test_aes_is_right_on_the_standards_vectors_and_also_as_a_gate_list() -> None:
    graph = aes_128_graph()
    text = write_bristol(graph, inputs=(128, 128), outputs=(128,))
    merged = read_bristol(text)
    for key, block, result in AES_VECTORS:
        assert aes(graph, key, block) == result
        assert aes(merged, key, block) == result
    assert text.count("AND") == 200 * 36
    assert make_plan(merged, params.S).bootstraps == 18_450  # the gate list itself: 47,066


def test_sha_256_of_one_block_is_right() -> None:
    graph = sha_256_graph()
    for message in (b"abc", b"", bytes(range(55))):
        block = message + b"\x80" + bytes(55 - len(message)) + (8 * len(message)).to_bytes(8, "big")
        words = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
        result = evaluate_words(graph, words + initial_state())
        assert b"".join(word.to_bytes(4, "big") for word in result) == hashlib.sha256(message).digest()


def test_aes_runs_encrypted_on_the_standards_vector() -> None:
    secret = SecretKey.generate(params.TEST, b"aes".ljust(32))
    evaluation = EvaluationKey.generate(secret, b"aes".ljust(32))
    backend = choose()
    key, graph, (text_key, block, result) = backend.prepare(evaluation), aes_128_graph(), AES_VECTORS[1]
    values = [("u64", half) for half in halves(text_key) + halves(block)]
    words = encrypt_words(evaluation.public, values, b"w".ljust(32))
    operands = {word.name: words.word(index) for index, word in enumerate(graph.inputs)}
    run = run_circuit(LocalExecutor(backend, key), backend, key, graph, operands)
    numbers, report = decrypt_words(secret, run.words, evaluation.key_id)
    assert not report.damaged
    assert b"".join(half.to_bytes(8, "little") for half in numbers).hex() == result
    assert run.plan.bootstraps == 18_738
