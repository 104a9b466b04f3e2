"""The ledger's `CommitteeMath` over the threshold package: seats from 0 become points from 1, doubt becomes None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from octra.consensus.ledger.committee_math import FormedInput, InputVerdict, OpenedBits
from octra.crypto.hash import H
from octra.hfhe import wire
from octra.hfhe.params import ParameterSet
from octra.hfhe.threshold import field, inputs, partial
from octra.hfhe.threshold.errors import NotDecodable, NotEnough


@dataclass(frozen=True, slots=True)
class ThresholdMath:
    """For the seats of one network key."""

    params: ParameterSet
    key_id: bytes
    seats: int

    def judge(self, rows: Mapping[int, bytes], bits: int, input_id: bytes, coin: bytes) -> InputVerdict | None:
        """Are the dealt values bits? None while more rows may decide."""
        try:
            verdict = inputs.judge(_points(rows), self.seats, bits, input_id, coin)
        except (NotEnough, NotDecodable):
            return None
        return InputVerdict(verdict.accepted, _seats(verdict.off), verdict.reason)

    def form_input(self, parts: Mapping[int, bytes], bits: int, input_id: bytes) -> FormedInput | None:
        """The input's ciphertext once enough parts agree."""
        try:
            entry, liars = inputs.combine(_points(parts), self.seats, bits, input_id, self.params, self.key_id)
        except (NotEnough, NotDecodable):
            return None
        ciphertext = wire.encode_entry(entry)
        return FormedInput(ciphertext, H("octra.fhe.ct", ciphertext), _seats(liars))

    def open_bits(self, parts: Mapping[int, bytes], bits: int, opening: bytes) -> OpenedBits | None:
        """The bits of a public opening once enough shares agree."""
        try:
            opened, liars = partial.combine(_points(parts), self.seats, bits, opening)
        except (NotEnough, NotDecodable):
            return None
        return OpenedBits(opened, _seats(liars))

    def part_bytes(self, bits: int) -> int:
        """Size of one seat's part or share of `bits` bits."""
        return field.row_size(bits)

    def commitment(self, request: bytes, seat: int, salt: bytes, share: bytes) -> bytes:
        """What a seat orders before it shows `share`."""
        return partial.commitment(request, seat + 1, salt, share)


def _points(rows: Mapping[int, bytes]) -> dict[int, bytes]:
    return {seat + 1: row for seat, row in rows.items()}


def _seats(points: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(point - 1 for point in points))
