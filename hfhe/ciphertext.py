"""Values made of ciphertext coefficients. A batch of bits in memory is a `U32Array` [count, M + 1], body last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from octra.hfhe.params import MU, ParameterSet, Q
from octra.hfhe.sampling import I64Array, U16Array, U32Array

__all__ = [
    "ENTRY_BITS_MAX", "Bit", "EntryBits", "I64Array", "PackedBits", "SeededBits", "U16Array", "U32Array",
    "extract", "extract_many", "linear_form",
]  # fmt: skip

ENTRY_BITS_MAX: Final = 2_048  # the largest committee input


@dataclass(frozen=True, slots=True, eq=False)
class Bit:
    """One LWE ciphertext under the flattened ring key: `coefficients` is [M + 1], body last."""

    params: ParameterSet
    key_id: bytes
    coefficients: U32Array


@dataclass(frozen=True, slots=True, eq=False)
class PackedBits:
    """Up to N bits in one ring ciphertext: bit t is coefficient t of the phase. `mask` [k, N], `body` [count]."""

    params: ParameterSet
    key_id: bytes
    mask: U32Array
    body: U32Array

    @property
    def count(self) -> int:
        return int(self.body.size)


@dataclass(frozen=True, slots=True, eq=False)
class SeededBits:
    """`PackedBits` whose mask is named by a seed: what a holder of the secret key sends. `body` [count]."""

    params: ParameterSet
    key_id: bytes
    seed: bytes
    body: U32Array

    @property
    def count(self) -> int:
        return int(self.body.size)


@dataclass(frozen=True, slots=True, eq=False)
class EntryBits:
    """Bits under the small LWE key at phases +-1/4 +- 1/4, masks named by a seed: the form of committee input.

    The phase of bit m is (4m - 2) MU: -1/4 of Q for 0 and +1/4 for 1. `bodies` [count].
    """

    params: ParameterSet
    key_id: bytes
    seed: bytes
    bodies: U32Array

    @property
    def count(self) -> int:
        return int(self.bodies.size)


def extract(glwe: U32Array, coefficient: int = 0) -> U32Array:
    """Bits [..., M + 1] that encrypt coefficient `coefficient` of the phases of `glwe` [..., k + 1, N]."""
    mask, body = glwe[..., :-1, :], glwe[..., -1, coefficient]
    head = mask[..., coefficient::-1]
    tail = _negate(mask[..., :coefficient:-1])
    parts = np.concatenate([head, tail], axis=-1)
    flattened = parts.reshape(*mask.shape[:-2], mask.shape[-2] * mask.shape[-1])
    return np.concatenate([flattened, body[..., None]], axis=-1)


def extract_many(glwe: U32Array, count: int) -> U32Array:
    """Bits [count, M + 1] of coefficients 0..count-1 of one `glwe` [k + 1, N]."""
    mask, body = glwe[:-1], glwe[-1]
    k, size = mask.shape
    # Reversed mask followed by its negated copy: the row of coefficient t is a window of it.
    doubled = np.concatenate([mask[:, ::-1], _negate(mask[:, ::-1])], axis=1)
    start = size - 1 - np.arange(count)[:, None]
    rows = doubled[:, start + np.arange(size)]  # [k, count, N]
    return np.concatenate([rows.transpose(1, 0, 2).reshape(count, k * size), body[:count, None]], axis=1)


def linear_form(sources: Sequence[U32Array], coefficients: Sequence[int], kappa: int) -> U32Array:
    """sum c_i * source_i + kappa * MU, for sources of one shape [..., M + 1]."""
    assert sources
    total = np.zeros(sources[0].shape, np.int64)
    for source, coefficient in zip(sources, coefficients, strict=True):
        total += coefficient * source.astype(np.int64)
    total[..., -1] += kappa * MU
    return (total % Q).astype(np.uint32)


def _negate(values: U32Array) -> U32Array:
    return np.where(values == 0, values, np.uint32(Q) - values)
