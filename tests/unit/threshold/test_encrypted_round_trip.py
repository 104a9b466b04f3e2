"""From a user's bits to opened bits with real bootstraps: input, entry, gate, re-encoding, opening with a liar."""

from __future__ import annotations

import numpy as np
import pytest

from octra.hfhe.backend import choose
from octra.hfhe.bootstrap import reencode
from octra.hfhe.ciphertext import linear_form
from octra.hfhe.params import TEST, ParameterSet, Q, T
from octra.hfhe.threshold import field, inputs, partial
from octra.hfhe.threshold.dealer import deal

INPUT, REQUEST, RHO = b"i" * 32, b"q" * 32, b"r" * 32


def round_trip(params: ParameterSet, count: int) -> None:
    """Seat 2 lies in its check row, its input part and its opening part; the result is right and it is named."""
    n, liar = 4, 2
    bits = [(5 * i + 3) % 7 % 2 for i in range(count)]
    backend = choose()
    dealt = deal(params, b"round trip" + bytes(22), n)
    key = backend.prepare(dealt.evaluation)

    dealing = inputs.deal_bits(bits, n, INPUT, b"user" * 8)
    bodies = dict(enumerate(dealing.bodies, 1))
    rows = {seat: inputs.check_row(body, count, INPUT, RHO) for seat, body in bodies.items()}
    rows[liar] = rows[1]
    assert inputs.judge(rows, n, count, INPUT, RHO) == inputs.Verdict(True, frozenset({liar}))
    parts = {share.seat: inputs.input_part(share, bodies[share.seat], count, INPUT) for share in dealt.seats}
    parts[liar] = field.pack(field.uniform("octra.test", b"lie", count))
    entry, named = inputs.combine(parts, n, count, INPUT, params, dealt.key_id)
    assert named == {liar}

    entered = backend.entry(key, entry)
    # AND of each bit with its neighbour, so that a gate lies between input and opening.
    gates = backend.bootstrap(key, linear_form([entered, np.roll(entered, 1, axis=0)], [1, 1], -1))
    starts = [partial.start_group(REQUEST, attempt, params) for attempt in (0, 1)]
    assert starts[0] != starts[1]
    first, second = (reencode(backend, key, gates, start) for start in starts)
    assert (first != second).any()

    for ciphertexts, noise_index in ((first, 0), (second, count)):
        answers = {share.seat: partial.part(share, ciphertexts, noise_index) for share in dealt.seats}
        answers[liar] = field.pack((field.unpack(answers[liar], count) + np.uint64(Q // 2)) % Q)
        opened, named = partial.combine(answers, n, count, REQUEST)
        assert opened == tuple(bits[i] & bits[i - 1] for i in range(count))
        assert named == {liar}


def test_fifty_bits_enter_meet_a_gate_and_open_although_a_seat_lies_throughout() -> None:
    round_trip(TEST, 50)


@pytest.mark.long
def test_the_same_under_the_set_of_the_network_key() -> None:
    round_trip(T, 8)


def test_a_quarter_dealt_instead_of_a_bit_never_reaches_a_part() -> None:
    """The attack that the bit check stops: a phase on the decision line of the entry bootstrap."""
    dealing = inputs.deal_bits([1, Q // 4, 0], 4, INPUT, b"user" * 8)
    rows = {k: inputs.check_row(body, 3, INPUT, RHO) for k, body in enumerate(dealing.bodies, 1)}
    assert inputs.judge(rows, 4, 3, INPUT, RHO) == inputs.Verdict(False, frozenset(), "the values are not bits")
