"""Threshold decryption: each seat answers with a flooded share of the phase, and the shares open to bits.

Evaluators first re-encode every bit by one certified bootstrap to phase 0 or Q/2 (`reencode`). Seats commit to their
parts, reveal them when enough have committed, and whoever holds the parts combines them, liars named. What keeps the
key safe is the flooding noise and that a bit is opened once (`nullifier`): `docs/decisions/prss.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from octra.crypto.hash import H
from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.ciphertext import U16Array, U32Array, extract
from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.sampling import I64Array
from octra.hfhe.threshold import field, prss
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.dealing import unpack_rows
from octra.hfhe.threshold.reed_solomon import open_robust
from octra.hfhe.threshold.shares import SeatShare

OPENING_BITS_MAX: Final = 4_096  # bits of one request
SALT_SIZE: Final = 16


def start_group(request: bytes, attempt: int, params: ParameterSet) -> int:
    """The group at which re-encoding rotations start: any order gives the same bit, and each request uses another."""
    return int.from_bytes(H("octra.open.g0", request, bytes([attempt])), "little") % params.groups


def reencode(backend: Backend, key: PreparedKey, exponents: U16Array, request: bytes, attempt: int) -> U32Array:
    """Bits [count, M + 1] at phase 0 (bit 0) or Q/2 (bit 1) from rotation exponents, as `Backend.switch` gives them."""
    rotated = backend.rotate(key, exponents, start_group(request, attempt, key.params), 2 * MU)
    lifted = extract(rotated).astype(np.uint64)
    lifted[:, -1] = (lifted[:, -1] + np.uint64(2 * MU)) % Q
    return lifted.astype(np.uint32)


def nullifier(exponents: U16Array, params: ParameterSet) -> bytes:
    """The name of what an opening of these exponents ([n + 1], body last) reveals; a bit and its complement share it.

    A name that was opened before is answered with the stored result, never with fresh noise.
    """
    mask = exponents[:-1].astype(np.int64)
    negated = -mask % (2 * params.N)
    smaller = min(mask.tolist(), negated.tolist())
    return H("octra.open.nu", np.array(smaller, dtype="<u2").tobytes())


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
