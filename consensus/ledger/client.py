"""The wallet's side of encrypted balances: deal an amount to the seats, and open what they sealed to the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octra.consensus.ledger.fees import WORD_BITS
from octra.consensus.ledger.openings import SALT_BYTES
from octra.consensus.ledger.ops import InputDealing
from octra.consensus.ledger.params import ERA, SEAT_EPOCH
from octra.consensus.ledger.records import Request
from octra.consensus.ledger.sidecar import box_context, describe_dealing, input_id, pack_sidecar, share_context
from octra.crypto.seal import BoxNotOpened, open_box, seal
from octra.hfhe.threshold import field, inputs, partial
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.errors import NotEnough

AMOUNT_ABOVE_ALL: Final = (1 << WORD_BITS) - 1  # above the cap of all money: no balance ever covers it


@dataclass(frozen=True, slots=True)
class Opened:
    """Values of a request in its order, and the seats (from 0) whose share was wrong: lies are corrected."""

    values: tuple[int, ...]
    liars: tuple[int, ...]


def amount_word(amount: int) -> int:
    """The 50-bit word of an amount. One too large for the word becomes one that no balance covers: nothing moves."""
    if amount < 0:
        raise ValueError("an amount is not negative")
    return min(amount, AMOUNT_ABOVE_ALL)


def deal_amount(
    amount: int, *, chain: bytes, sender_key: bytes, nonce: int, view_keys: Sequence[bytes], seed: bytes
) -> tuple[InputDealing, bytes]:
    """What a private transfer's body and sidecar hold. `seed` is 32 fresh secret bytes; `view_keys` are the seats'."""
    name = input_id(sender=sender_key, nonce=nonce, index=0, era=ERA, bits=WORD_BITS)
    word = amount_word(amount)
    dealing = inputs.deal_bits([word >> i & 1 for i in range(WORD_BITS)], len(view_keys), name, seed)
    boxes = [
        seal(key, body, box_context(chain, name, seat))
        for seat, (key, body) in enumerate(zip(view_keys, dealing.bodies, strict=True))
    ]
    described = describe_dealing(WORD_BITS, SEAT_EPOCH, dealing.leaves, boxes)
    return described, pack_sidecar(dealing.leaves, boxes)


def open_view(
    request: Request, shares: Mapping[int, bytes], *, chain: bytes, reader_secret: bytes, seats: int
) -> Opened:
    """The values that the seats sealed to the reader; `shares` holds the ordered boxes by seat (from 0).

    Raises `NotEnough` or `NotDecodable` (try again when more seats have answered). A share that is not the one its
    seat committed to is left out, and the seat counts as a liar.
    """
    rows, liars = _open_boxes(request, shares, chain, reader_secret)
    if len(rows) < committee(seats).agree:
        raise NotEnough(len(rows), committee(seats).agree)
    values, start = [], 0
    for opening in request.openings:
        end = start + field.row_size(opening.bits)
        parts = {seat + 1: row[start:end] for seat, row in rows.items()}
        bits, wrong = partial.combine(parts, seats, opening.bits, opening.name)
        values.append(sum(bit << i for i, bit in enumerate(bits)))
        liars |= {seat - 1 for seat in wrong}
        start = end
    return Opened(tuple(values), tuple(sorted(liars)))


def _open_boxes(
    request: Request, shares: Mapping[int, bytes], chain: bytes, reader_secret: bytes
) -> tuple[dict[int, bytes], set[int]]:
    committed = {commit.seat: commit.commitment for commit in request.commits}
    rows: dict[int, bytes] = {}
    liars: set[int] = set()
    for seat, box in sorted(shares.items()):
        try:
            clear = open_box(reader_secret, box, share_context(chain, request.name, seat))
        except BoxNotOpened:
            liars.add(seat)
            continue
        salt, row = clear[:SALT_BYTES], clear[SALT_BYTES:]
        if partial.commitment(request.name, seat + 1, salt, row) == committed.get(seat):
            rows[seat] = row
        else:
            liars.add(seat)
    return rows, liars
