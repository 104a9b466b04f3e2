"""Committee input: a user shares plaintext bits, and the seats form ciphertexts of them that nobody chose.

The user deals (`deal_bits`), the seats check (`check_row`, `judge`), each publishes its `input_part`, and everybody
combines the parts into `EntryBits`. The mask rows follow from the input's id and the noise from the seats' keys, so
the ciphertext is well formed whatever the user did. An unchecked value would put the phase on the decision line of the
entry bootstrap, whose answers then leak the key: no part without an accepted verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from octra.crypto.hash import H
from octra.hfhe.ciphertext import EntryBits
from octra.hfhe.keys import entry_masks
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.threshold import field, prss
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.dealing import (
    Dealing,
    Verdict,
    bit_shares,
    body_size,
    check_row,
    deal_bits,
    judge,
    leaf,
    unpack_rows,
)
from octra.hfhe.threshold.field import U64Array
from octra.hfhe.threshold.reed_solomon import open_robust
from octra.hfhe.threshold.shares import SeatShare

__all__ = [
    "Dealing", "Verdict", "body_size", "check_row", "combine", "deal_bits", "input_part", "judge", "leaf",
    "mask_rows", "mask_seed",
]  # fmt: skip


def mask_seed(input_id: bytes) -> bytes:
    """The seed of the entry stream from which all masks of this input come."""
    return H("octra.input.a", input_id)


def mask_rows(input_id: bytes, count: int, params: ParameterSet) -> U64Array:
    """The masks a_j of the input's bits, [count, n]."""
    return entry_masks(params, mask_seed(input_id), count).astype(np.uint64)


def input_part(share: SeatShare, body: bytes, count: int, input_id: bytes) -> bytes:
    """What a seat publishes for an accepted input: its shares of b_j = <a_j, s> + e_j + (4 bit_j - 2) MU.

    Deterministic. Give it one dealing per `input_id` only: a second one under the same id would show the difference.
    """
    bits = bit_shares(body, count)
    product = field.matmul(mask_rows(input_id, count, share.params), share.lwe)
    noise = prss.input_share(share.seat, share.n_seats, share.noise_keys, input_id, count)
    message = (bits * np.uint64(4 * MU) + np.uint64(Q - 2 * MU)) % Q
    return field.pack((product + noise + message) % Q)


def combine(
    parts: Mapping[int, bytes], n_seats: int, count: int, input_id: bytes, params: ParameterSet, key_id: bytes
) -> tuple[EntryBits, frozenset[int]]:
    """The ciphertext of an input and the seats whose parts are wrong; raises `NotEnough` or `NotDecodable`."""
    seats = committee(n_seats)
    rows, malformed = unpack_rows(parts, n_seats, count, "input part")
    bodies, wrong = open_robust(rows, seats.t, seats.agree, input_id)
    return EntryBits(params, key_id, mask_seed(input_id), bodies.astype(np.uint32)), wrong | malformed
