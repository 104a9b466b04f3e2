"""Encryption and decryption of bits. Every function that takes a seed demands that the seed is never used again.

`encrypt_bits` and `decrypt_bits` speak the in-memory form [count, M + 1]; the others make and read what travels.
Not constant in time: run them on the key owner's machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from octra.hfhe.bootstrap import unpack
from octra.hfhe.ciphertext import ENTRY_BITS_MAX, EntryBits, PackedBits, SeededBits, extract
from octra.hfhe.keys import PublicKey, SecretKey, entry_masks, ring_bodies, ring_phase, seeded_masks
from octra.hfhe.params import MU, Q_BITS, ParameterSet, Q
from octra.hfhe.ring import centred, multiply_small
from octra.hfhe.sampling import I64Array, SecretStream, Stream, U32Array, Use, public_seed

NOISE_RATIO_MAX: Final = 0.75  # a fresh or bootstrapped bit stays far below; past 1 it decrypts to the wrong value


@dataclass(frozen=True, slots=True)
class NoiseReport:
    """How far the phases were from a clean bit: 0 is clean, 1 is the decision line."""

    max_ratio: float

    @property
    def damaged(self) -> bool:
        """True when a bit was damaged or its circuit overspent its noise budget: do not rely on the result."""
        return self.max_ratio > NOISE_RATIO_MAX


def encrypt_bits(key: SecretKey | PublicKey, bits: npt.ArrayLike, seed: bytes) -> U32Array:
    """Fresh encryptions of `bits`, [count, M + 1]."""
    values = as_bits(bits)
    if isinstance(key, PublicKey):
        parts = [unpack(packed) for packed in encrypt_packed(key, values, seed)]
    else:
        parts = [unpack(expand(seeded)) for seeded in encrypt_seeded(key, b"", values, seed)]
    return np.concatenate([np.empty((0, key.params.M + 1), np.uint32), *parts])


def trivial_bits(params: ParameterSet, bits: npt.ArrayLike) -> U32Array:
    """Public constants in the form of ciphertexts: no mask, no noise, no secrecy."""
    values = as_bits(bits)
    trivial = np.zeros((values.size, params.M + 1), np.uint32)
    trivial[:, -1] = np.where(values == 1, MU, Q - MU)
    return trivial


def encrypt_seeded(secret: SecretKey, key_id: bytes, bits: npt.ArrayLike, seed: bytes) -> tuple[SeededBits, ...]:
    """Encryptions by the holder of the secret key, N bits a ciphertext, about 3.4 bytes a bit.

    Each ciphertext has a public seed of its own, so that it can be stored and expanded alone.
    """
    params, sealed = secret.params, []
    for number, chunk in _chunks(params, as_bits(bits)):
        stream = public_seed(seed, Stream.SEEDED, number)
        offsets = SecretStream(seed, Use.ENCRYPTION, number).gaussian(params.sigma_ring, params.N)
        offsets[: chunk.size] += (2 * chunk - 1) * MU
        body = ring_bodies(seeded_masks(params, stream), secret, offsets)
        sealed.append(SeededBits(params, key_id, stream, body[: chunk.size]))
    return tuple(sealed)


def expand(seeded: SeededBits) -> PackedBits:
    """The same ciphertext with its mask written out."""
    return PackedBits(seeded.params, seeded.key_id, seeded_masks(seeded.params, seeded.seed), seeded.body)


def encrypt_packed(public: PublicKey, bits: npt.ArrayLike, seed: bytes) -> tuple[PackedBits, ...]:
    """Encryptions by anybody, N bits a ciphertext."""
    params = public.params
    packed = []
    for number, chunk in _chunks(params, as_bits(bits)):
        mask, body = _encrypt_ring(public, (2 * chunk - 1) * MU, seed, number)
        packed.append(PackedBits(params, public.key_id, mask, body))
    return tuple(packed)


def encrypt_zero(public: PublicKey, seeds: Sequence[bytes]) -> U32Array:
    """One encryption of zero for each seed, [count, M + 1]; added to a form, it decorrelates the noise of two jobs.

    The bits that `encrypt_packed` would make of no message, all at once: executors make one for each sealed output.
    """
    params, count = public.params, len(seeds)
    streams = [SecretStream(seed, Use.ENCRYPTION, 0) for seed in seeds]
    ephemeral = np.array([stream.ternary(params.M) for stream in streams]).reshape(count, params.k, params.N)
    errors = np.array([stream.gaussian(params.sigma_ring, params.M + 1) for stream in streams]).reshape(
        count, params.M + 1
    )
    glwe = np.empty((count, params.k + 1, params.N), np.uint32)
    masks = multiply_small(public.masks, ephemeral[:, :, None]).sum(axis=1)  # over the rows c of A[c][j]
    glwe[:, :-1] = (masks + errors[:, :-1].reshape(count, params.k, params.N)) % Q
    # Coefficient 0 of b_c r_c alone is extracted: X^i X^(N-i) = -1, so r meets b reversed and negated.
    reversed_bodies = extract(np.concatenate([public.bodies, public.bodies[:1]]))[:-1].astype(np.int64)
    bodies = ephemeral.reshape(count, params.M) @ reversed_bodies + errors[:, -1]
    glwe[:, -1] = (bodies % Q)[:, None]
    return extract(glwe)


def encrypt_entry(secret: SecretKey, key_id: bytes, bits: npt.ArrayLike, seed: bytes) -> EntryBits:
    """Bits in the form of committee input, made by one who holds the LWE key: for tests and dealers.

    The error is that of a key-switch row, scaled to Q and filled up with uniform low bits.
    """
    params, values = secret.params, as_bits(bits)
    assert values.size <= ENTRY_BITS_MAX
    stream, scale_log = public_seed(seed, Stream.ENTRY), Q_BITS - params.switch_log
    masks = entry_masks(params, stream, values.size).astype(np.int64)
    secrets = SecretStream(seed, Use.ENCRYPTION, 0)
    errors = secrets.gaussian(params.sigma_lwe, values.size) << scale_log
    errors += secrets.below_power(scale_log, values.size) - (1 << (scale_log - 1))
    bodies: I64Array = (masks @ secret.s + errors + (4 * values - 2) * MU) % Q
    return EntryBits(params, key_id, stream, bodies.astype(np.uint32))


def decrypt_bits(secret: SecretKey, ciphertexts: U32Array) -> tuple[I64Array, NoiseReport]:
    """The bits of [count, M + 1], and how clean they were."""
    return _decide(phases(secret, ciphertexts))


def phases(secret: SecretKey, ciphertexts: U32Array) -> I64Array:
    """The centred phases of [count, M + 1]: message and noise together."""
    masks, bodies = ciphertexts[:, :-1].astype(np.int64), ciphertexts[:, -1].astype(np.int64)
    return centred(((bodies - masks @ secret.z) % Q).astype(np.uint32))


def decrypt_packed(secret: SecretKey, packed: PackedBits) -> tuple[I64Array, NoiseReport]:
    """The bits of one packed ciphertext, and how clean they were."""
    body = np.zeros(secret.params.N, np.uint32)
    body[: packed.count] = packed.body
    return _decide(ring_phase(secret, packed.mask, body)[: packed.count])


def as_bits(bits: npt.ArrayLike) -> I64Array:
    """A flat array of zeros and ones."""
    values = np.asarray(bits, np.int64).reshape(-1)
    assert np.isin(values, (0, 1)).all()
    return values


def _decide(phases: I64Array) -> tuple[I64Array, NoiseReport]:
    bits = (phases > 0).astype(np.int64)
    distance = int(np.abs(phases - (2 * bits - 1) * MU).max(initial=0))
    return bits, NoiseReport(distance / MU)


def _chunks(params: ParameterSet, bits: I64Array) -> Iterator[tuple[int, I64Array]]:
    for number, first in enumerate(range(0, bits.size, params.N)):
        yield number, bits[first : first + params.N]


def _encrypt_ring(public: PublicKey, message: I64Array, seed: bytes, number: int) -> tuple[U32Array, U32Array]:
    """Mask [k, N] and body [count] of a public-key encryption of `message` [count]."""
    params, stream = public.params, SecretStream(seed, Use.ENCRYPTION, number)
    ephemeral = stream.ternary(params.M).reshape(params.k, params.N)
    mask_errors = stream.gaussian(params.sigma_ring, params.M).reshape(params.k, params.N)
    mask: I64Array = multiply_small(public.masks, ephemeral[:, None]).sum(axis=0) + mask_errors
    body: I64Array = multiply_small(public.bodies, ephemeral).sum(axis=0)[: message.size]
    body = body + stream.gaussian(params.sigma_ring, message.size) + message
    return (mask % Q).astype(np.uint32), (body % Q).astype(np.uint32)
