"""Reading sealed openings with real threshold mathematics: right values, liars named, patience while too few answer."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from octra.cli import private
from octra.cli.network import Network, OddAnswer
from octra.consensus.ledger import fees
from octra.consensus.ledger.duties import RevealOpening
from octra.consensus.ledger.records import EvaluatorCommit, Opening, Request, opening_name
from octra.consensus.ledger.seat import SeatSecrets, commit_opening, opening_part, reveal_opening
from octra.crypto import seal
from octra.hfhe.backend import choose
from octra.hfhe.bootstrap import reencode
from octra.hfhe.encrypt import trivial_bits
from octra.hfhe.params import TEST
from octra.hfhe.threshold import partial
from octra.hfhe.threshold.dealer import deal
from octra.node.rpc import present

CHAIN, REQUEST = bytes([3]) * 32, b"q" * 32
VALUES = (12_500_000, 2**50 - 1)


@dataclass
class Opened:
    """A request that four seats have answered, as the API tells it, and the reader's secret."""

    chain: Network
    reader_secret: bytes
    answer: dict[str, Any]

    def read(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found = private.open_shares(self.chain, REQUEST, self.reader_secret, self.answer)
        return found.values, found.liars

    def without(self, *seats: int) -> Opened:
        shares = [share for share in self.answer["shares"] if share["seat"] not in seats]
        return Opened(self.chain, self.reader_secret, self.answer | {"shares": shares})

    def with_share(self, seat: int, box: bytes) -> Opened:
        shares = [*self.without(seat).answer["shares"], {"seat": seat, "share": b64encode(box).decode()}]
        return Opened(self.chain, self.reader_secret, self.answer | {"shares": shares})


def answered(lying_seat: int | None = None) -> Opened:
    """The seats open both values. A lying one commits to a part that is off, so that only decoding finds it."""
    backend, dealt = choose(), deal(TEST, b"opening seed of the command line", 4)
    key = backend.prepare(dealt.evaluation)
    openings, rows, used = [], [], 0
    for index, value in enumerate(VALUES):
        name = opening_name(bytes([index]) * 32, 0)
        bits = backend.bootstrap(key, trivial_bits(TEST, [value >> place & 1 for place in range(50)]))
        rows.append(reencode(backend, key, bits, partial.start_group(name, 0, TEST)))
        openings.append(Opening(name, bytes([index]) * 32, bytes([index]) * 32, 50, used))
        used += 50
    reader_secret, reader = seal.generate()
    request = Request(REQUEST, b"t" * 32, b"o" * 32, reader, tuple(openings))
    duty = RevealOpening(REQUEST, tuple(openings), reader)
    commits, shares = [], []
    for share in dealt.seats:
        number = share.seat - 1
        seat = SeatSecrets(number, bytes([number]) * 32, CHAIN, bytes(32), bytes([number]) * 32, share)
        part = opening_part(seat, duty, rows if number != lying_seat else [(row + 1000) % TEST_Q for row in rows])
        commits.append(EvaluatorCommit(number, commit_opening(seat, duty, part).commitment))
        shares.append((number, reveal_opening(seat, duty, part).share))
    from msgspec.structs import replace

    chain = Network(CHAIN, "octra:localnet-03030303", 1, 0, fees.Prices(), (bytes(32),) * 4, "TEST", "dealer", False)
    return Opened(chain, reader_secret, present.request(replace(request, commits=tuple(commits)), shares))


TEST_Q = np.uint32(134215681)


@pytest.fixture(scope="module")
def honest() -> Opened:
    return answered()


def test_the_reader_gets_the_values_in_the_order_of_his_request(honest: Opened) -> None:
    assert honest.read() == (VALUES, ())


def test_three_of_four_seats_are_enough(honest: Opened) -> None:
    assert honest.without(1).read() == (VALUES, ())


def test_two_of_four_seats_are_not_enough_and_that_is_no_value_at_all(honest: Opened) -> None:
    with pytest.raises(private.SharesMissing, match="2 of 4"):
        honest.without(0, 3).read()


def test_a_seat_that_commits_to_a_wrong_share_is_outvoted_and_named() -> None:
    assert answered(lying_seat=2).read() == (VALUES, (2,))


def test_a_share_that_is_not_the_committed_one_is_left_out_and_its_seat_named(honest: Opened) -> None:
    other = answered().answer["shares"][1]["share"]  # of the same seat, sealed to another reader
    assert honest.with_share(1, b64decode(other)).read() == (VALUES, (1,))


def test_garbage_instead_of_a_box_names_its_seat(honest: Opened) -> None:
    assert honest.with_share(3, b"garbage").read() == (VALUES, (3,))


def test_nobody_else_can_read_the_answer(honest: Opened) -> None:
    stranger, _ = seal.generate()
    with pytest.raises(private.SharesMissing):
        Opened(honest.chain, stranger, honest.answer).read()


def test_an_answer_for_another_chain_does_not_open(honest: Opened) -> None:
    from dataclasses import replace

    with pytest.raises(private.SharesMissing):
        Opened(replace(honest.chain, chain=bytes([4]) * 32), honest.reader_secret, honest.answer).read()


@pytest.mark.parametrize("field", ["openings", "shares", "committed"])
def test_an_answer_without_a_field_is_odd_not_a_crash(honest: Opened, field: str) -> None:
    answer = {key: value for key, value in honest.answer.items() if key != field}
    with pytest.raises(OddAnswer):
        Opened(honest.chain, honest.reader_secret, answer).read()
