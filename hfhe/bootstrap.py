"""The normative integer definition of what surrounds a blind rotation, and the operations built from a backend's parts.

Everything here is exact and takes canonical values in [0, modulus). Backends call the step functions; users call
`reencode` and `unpack`, and otherwise the backend itself.
"""

from __future__ import annotations

import numpy as np

from octra.hfhe.backend import Backend, PreparedKey
from octra.hfhe.ciphertext import EntryBits, PackedBits, extract, extract_many
from octra.hfhe.errors import WrongKey, WrongParameters
from octra.hfhe.keys import entry_masks
from octra.hfhe.params import MU, Gadget, ParameterSet, Q
from octra.hfhe.sampling import I64Array, U16Array, U32Array

# --- Key switch and modulus switch. ---


def switch_digits(params: ParameterSet, forms: U32Array) -> tuple[I64Array, I64Array]:
    """Signed digits [count, M, digits] in [-half, half - 1] of the masks; the bodies [count] modulo 2^switch_log."""
    log, base_log, half = params.switch_log, params.switch_base_log, params.switch_half
    rounded = ((forms.astype(np.int64) << (log + 1)) + Q) // (2 * Q) & ((1 << log) - 1)
    masks = rounded[:, :-1]
    digits = np.empty((*masks.shape, params.switch_digits), np.int64)
    carry = np.zeros_like(masks)
    for j in range(params.switch_digits):
        value = (masks >> (j * base_log) & (2 * half - 1)) + carry
        carry = (value >= half).astype(np.int64)
        digits[:, :, j] = value - 2 * half * carry
    return digits, rounded[:, -1]


def modulus_switch(params: ParameterSet, switched: U16Array) -> U16Array:
    """From LWE [count, n + 1] modulo 2^switch_log to rotation exponents modulo 2N, with mean compensation."""
    masks, body = switched[:, :-1].astype(np.int64), switched[:, -1].astype(np.int64)
    shift, modulus = params.switch_log - (2 * params.N).bit_length() + 1, 2 * params.N
    rounded = (masks + (1 << (shift - 1))) >> shift
    if params.step == "ternary":
        target = (body + (1 << (shift - 1))) >> shift
    else:
        excess = ((rounded << shift) - masks).sum(axis=1)
        target = (2 * body + excess + (1 << shift)) >> (shift + 1)
    return np.concatenate([rounded % modulus, target[:, None] % modulus], axis=1).astype(np.uint16)


def entry_exponents(params: ParameterSet, bits: EntryBits) -> U16Array:
    """Rotation exponents of committee input: from modulo Q straight to modulo 2N, no key switch."""
    size = params.N
    masks, body = entry_masks(params, bits.seed, bits.count).astype(np.int64), bits.bodies.astype(np.int64)
    rounded = (masks * (4 * size) + Q) // (2 * Q)
    excess = (rounded * Q - masks * (2 * size)).sum(axis=1)
    target = (body * (4 * size) + excess + Q) // (2 * Q)
    return np.concatenate([rounded % (2 * size), target[:, None] % (2 * size)], axis=1).astype(np.uint16)


# --- Blind rotation. ---


def test_polynomial(params: ParameterSet, exponents: U16Array, value: int) -> U32Array:
    """Bodies [count, N] of the accumulators before the first step; their masks are zero."""
    position = np.arange(params.N) + exponents[:, -1:].astype(np.int64)
    return np.where(position % (2 * params.N) < params.N, value, Q - value).astype(np.uint32)


def group_exponents(params: ParameterSet, exponents: U16Array) -> I64Array:
    """The powers of X that each group's messages multiply by, [count, groups, messages] modulo 2N."""
    masks = exponents[:, :-1].astype(np.int64)
    if params.step == "ternary":
        powers = np.stack([masks, -masks], axis=2)
    else:
        first, second = masks[:, 0::2], masks[:, 1::2]
        powers = np.stack([first, second, first + second], axis=2)
    return powers % (2 * params.N)


def decompose(gadget: Gadget, values: U32Array) -> I64Array:
    """Signed digits [digits, ...] of canonical values. The top digit is not masked and may reach +base/2."""
    signed = values.astype(np.int64)
    signed = np.where(signed > Q >> 1, signed - Q, signed) + rounding_offset(gadget)
    shifts = [gadget.drop + i * gadget.base_log for i in range(gadget.digits)]
    digits = [(signed >> shift & (gadget.base - 1)) - gadget.base // 2 for shift in shifts[:-1]]
    digits.append((signed >> shifts[-1]) - gadget.base // 2)
    return np.stack(digits)


def rounding_offset(gadget: Gadget) -> int:
    """Half a unit of the lowest digit, and half a base of every digit."""
    return (1 << (gadget.drop - 1)) + sum(gadget.base // 2 * gadget.weight(i) for i in range(gadget.digits))


# --- Operations made of a backend's parts. ---


def bootstrap(backend: Backend, key: PreparedKey, forms: U32Array) -> U32Array:
    """Key switch, rotation and extraction: what every backend's `bootstrap` equals."""
    return extract(backend.rotate(key, backend.switch(key, forms)))


def entry(backend: Backend, key: PreparedKey, bits: EntryBits) -> U32Array:
    """Committee input as ordinary bits [count, M + 1]; `WrongParameters` or `WrongKey` if it is not for this key."""
    if bits.params is not key.params:
        raise WrongParameters(key.params.set_id, bits.params.set_id)
    if bits.key_id != key.public.key_id:
        raise WrongKey(key.public.key_id, bits.key_id)
    return extract(backend.rotate(key, entry_exponents(key.params, bits)))


def reencode(backend: Backend, key: PreparedKey, bits: U32Array, start: int) -> U32Array:
    """Bits for opening: [count, M + 1] with phase 0 for a 0 and 4 MU, half of Q, for a 1.

    Groups are taken from `start` on, so that over many openings the structured first step meets every group.
    """
    opened = extract(backend.rotate(key, backend.switch(key, bits), start=start, value=2 * MU))
    opened[:, -1] = (opened[:, -1].astype(np.int64) + 2 * MU) % Q
    return opened


def unpack(packed: PackedBits) -> U32Array:
    """The bits [count, M + 1] of a packed ciphertext."""
    params = packed.params
    body = np.zeros((1, params.N), np.uint32)
    body[0, : packed.count] = packed.body
    return extract_many(np.concatenate([packed.mask, body]), packed.count)


def packed(key: PreparedKey, glwe: U32Array, count: int) -> PackedBits:
    """The result of a backend's `pack` as a value that names its key."""
    return PackedBits(key.params, key.public.key_id, glwe[:-1].copy(), glwe[-1, :count].copy())
