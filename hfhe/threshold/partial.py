"""Threshold decryption: each seat answers with a flooded share of the phase, and the shares open to bits.

Evaluators first re-encode every bit by one certified bootstrap to phase 0 or Q/2 (`bootstrap.reencode`). Seats commit
to their parts, reveal them when enough have committed, and whoever holds the parts combines them, liars named. What
keeps the key safe is the flooding noise and that a bit is opened once (`nullifier`): `docs/decisions/prss.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from octra.crypto.hash import H
from octra.hfhe.params import ParameterSet, Q
from octra.hfhe.sampling import I64Array, U32Array
from octra.hfhe.threshold import field, prss
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.dealing import unpack_rows
from octra.hfhe.threshold.reed_solomon import open_robust
from octra.hfhe.threshold.shares import SeatShare

OPENING_BITS_MAX: Final = 4_096  # bits of one request
SALT_SIZE: Final = 16


def start_group(request: bytes, attempt: int, params: ParameterSet) -> int:
    """Where the rotations of `bootstrap.reencode` start: any place gives the same bit, and each request has its own."""
    return int.from_bytes(H("octra.open.g0", request, bytes([attempt])), "little") % params.groups


def nullifier(bit: U32Array) -> bytes:
    """The name of what an opening of `bit` ([M + 1] before re-encoding, body last) reveals, up to public constants.

    A bit and its complement share it. A name that was opened before is answered with the stored result and never with
    fresh noise, which could be averaged away. It names the mask and not the rotation exponents: those of a bit and of
    its complement are unrelated, because key-switch digits of -a are not the negated digits of a.
    """
    mask = bit[:-1].astype(np.int64)
    smaller = min(mask.tolist(), ((Q - mask) % Q).tolist())
    return H("octra.open.nu", field.pack(np.array(smaller)))


def part(share: SeatShare, reencoded: U32Array, noise_index: int) -> bytes:
    """A seat's shares of the phases of `reencoded` [count, M + 1], flooded with noise numbers from `noise_index` on.

    Deterministic: asked again for the same request, a seat sends the same bytes. A noise number must never serve
    another ciphertext.
    """
    masks, bodies = reencoded[:, :-1].astype(np.uint64), reencoded[:, -1].astype(np.uint64)
    product = field.matmul(masks, share.ring)
    noise = prss.flood_share(share.seat, share.n_seats, share.noise_keys, noise_index, len(bodies))
    return field.pack(field.subtract((bodies + noise) % Q, product))


def commitment(request: bytes, seat: int, salt: bytes, part_bytes: bytes) -> bytes:
    """What a seat orders before it reveals `part_bytes`, so that nobody can aim a part at those already seen."""
    assert len(request) == 32
    assert len(salt) == SALT_SIZE
    return H("octra.open.com", request, bytes([seat]), salt, part_bytes)


def open_phases(
    parts: Mapping[int, bytes], n_seats: int, count: int, request: bytes
) -> tuple[I64Array, frozenset[int]]:
    """The flooded phases, centred, and the seats whose parts are wrong; raises `NotEnough` or `NotDecodable`."""
    seats = committee(n_seats)
    rows, malformed = unpack_rows(parts, n_seats, count, "opening part")
    phases, wrong = open_robust(rows, seats.t, seats.agree, request)
    return field.centred(phases), wrong | malformed


def combine(
    parts: Mapping[int, bytes], n_seats: int, count: int, request: bytes
) -> tuple[tuple[int, ...], frozenset[int]]:
    """The opened bits and the seats whose parts are wrong.

    2t + 1 parts must agree. With four seats: three parts that agree open; of three with one lie nobody can tell which
    (`NotDecodable`); with all four the lie is corrected and its seat named.
    """
    phases, liars = open_phases(parts, n_seats, count, request)
    return tuple(int(bit) for bit in np.abs(phases) > Q // 4), liars
