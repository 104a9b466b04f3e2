"""How a seat answers its duties: pure functions from a duty, the seat's secrets and bytes it holds to an operation.

All answers are deterministic, so a node that restarts in the middle says the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from octra.codec import decode
from octra.consensus.ledger import ops
from octra.consensus.ledger.duties import CheckDealing, CommitOpening, MakeInputPart, RevealOpening
from octra.consensus.ledger.openings import SALT_BYTES
from octra.consensus.ledger.sidecar import Sidecar, box_context, share_context
from octra.crypto.hash import H
from octra.crypto.seal import open_box, seal
from octra.errors import InvalidInput
from octra.hfhe.ciphertext import U32Array
from octra.hfhe.threshold import inputs, partial
from octra.hfhe.threshold.shares import SeatShare


@dataclass(frozen=True, slots=True, repr=False)
class SeatSecrets:
    """What one seat must never show. `number` counts from 0."""

    number: int
    node_id: bytes
    chain: bytes
    view_secret: bytes  # X25519: opens the boxes of dealings
    salt_secret: bytes  # 32 bytes of the node's own, from which its salts follow
    share: SeatShare

    def __repr__(self) -> str:
        return "<sealed>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a seat's secrets are not pickled")


def check_dealing(seat: SeatSecrets, duty: CheckDealing, sidecar: bytes) -> ops.DealCheck:
    """The seat's check values; empty when its box does not open or does not hold what its leaf commits to."""
    try:
        body = _body(seat, duty.input, sidecar)
        values = inputs.check_row(body, duty.bits, duty.input, duty.coin)
    except InvalidInput:
        values = b""
    return ops.DealCheck(duty.input, values)


def make_part(seat: SeatSecrets, duty: MakeInputPart, sidecar: bytes) -> ops.InputPart:
    """The seat's part of the ciphertext of an accepted dealing."""
    body = _body(seat, duty.input, sidecar)
    return ops.InputPart(duty.input, inputs.input_part(seat.share, body, duty.bits, duty.input))


def opening_part(seat: SeatSecrets, duty: CommitOpening | RevealOpening, reencoded: Sequence[U32Array]) -> bytes:
    """The seat's share of every value of a request; `reencoded` holds the rows of each opening, in order."""
    return b"".join(
        partial.part(seat.share, np.ascontiguousarray(rows), opening.noise_index)
        for opening, rows in zip(duty.openings, reencoded, strict=True)
    )


def commit_opening(seat: SeatSecrets, duty: CommitOpening, part: bytes) -> ops.OpenCommit:
    """Bind the seat to its share before it sees another one."""
    salt = _opening_salt(seat, duty.request)
    return ops.OpenCommit(duty.request, partial.commitment(duty.request, seat.number + 1, salt, part))


def reveal_opening(seat: SeatSecrets, duty: RevealOpening, part: bytes) -> ops.OpenShare:
    """The share itself: in clear for a public opening, else in a box that only the reader opens."""
    clear = _opening_salt(seat, duty.request) + part
    if not duty.reader:
        return ops.OpenShare(duty.request, clear)
    return ops.OpenShare(duty.request, seal(duty.reader, clear, share_context(seat.chain, duty.request, seat.number)))


def _body(seat: SeatSecrets, input_name: bytes, data: bytes) -> bytes:
    """The seat's own body of a dealing; raises `InvalidInput` when the dealer cheated this seat."""
    sidecar = decode(data, Sidecar, "sidecar")
    body = open_box(seat.view_secret, sidecar.boxes[seat.number], box_context(seat.chain, input_name, seat.number))
    if inputs.leaf(input_name, seat.number + 1, body) != sidecar.leaves[seat.number]:
        raise InvalidInput("the box does not hold what its leaf commits to")
    return body


def salt(salt_secret: bytes, subject: bytes) -> bytes:
    """32 secret bytes for one commitment: the same after a restart."""
    return H("octra.seat.salt", salt_secret, subject)


def _opening_salt(seat: SeatSecrets, request: bytes) -> bytes:
    return salt(seat.salt_secret, request)[:SALT_BYTES]
