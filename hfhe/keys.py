"""Secret, public and evaluation keys of one parameter set, all derived from one 32-byte seed by the same rules.

The seed of a key is used once: the same seed gives the same three keys. A dealer or a distributed key generation that
knows `z` and `s` by other means builds the secret key with `SecretKey.from_keys`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn, Self

import numpy as np

from octra.codec import encode
from octra.crypto.hash import H
from octra.hfhe.bitstream import pack_values
from octra.hfhe.params import Q_BITS, Gadget, ParameterSet, Q
from octra.hfhe.ring import centred, multiply_small
from octra.hfhe.sampling import (
    I64Array,
    SecretStream,
    Stream,
    U16Array,
    U32Array,
    Use,
    gaussian_rows,
    public_seed,
    uniform_powers,
    uniform_rings,
)

KEY_ID_TAG: Final = "octra.fhe.key"
WIRE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SecretKey:
    """The ring key `z` (int64[k*N], flattened) and the LWE key `s` (int64[n]). Prints and pickles nothing."""

    params: ParameterSet
    z: I64Array
    s: I64Array
    seed: bytes | None = None

    @classmethod
    def generate(cls, params: ParameterSet, seed: bytes) -> Self:
        """The secret key of a seed, which must never be used for another key."""
        ring = SecretStream(seed, Use.RING_SECRET, 0)
        if params.ring_secret == "ternary":
            z = ring.ternary(params.M)
        else:
            z = ring.bits(params.M) - ring.bits(params.M)
        lwe = SecretStream(seed, Use.LWE_SECRET, 0)
        s = lwe.bits(params.n) if params.lwe_secret == "binary" else lwe.ternary(params.n)
        return cls(params, _frozen(z), _frozen(s), seed)

    @classmethod
    def from_keys(cls, params: ParameterSet, z: I64Array, s: I64Array) -> Self:
        """The secret key of given key vectors; it has no seed and hence no wire form."""
        assert z.shape == (params.M,)
        assert s.shape == (params.n,)
        assert np.abs(z).max() <= 1
        assert np.abs(s).max() <= 1
        return cls(params, _frozen(z.astype(np.int64)), _frozen(s.astype(np.int64)))

    @property
    def ring(self) -> I64Array:
        """`z` as k polynomials, [k, N]."""
        return self.z.reshape(self.params.k, self.params.N)

    def __repr__(self) -> str:
        return f"SecretKey({self.params.name}, <sealed>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret keys are not pickled")


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """b_c = sum_j A[c][j] z_j + e_c, with A named by `seed`. `bodies` [k, N]. `key_id` names the whole key."""

    params: ParameterSet
    seed: bytes
    bodies: U32Array
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_id", H(KEY_ID_TAG, self.encode()))

    def encode(self) -> bytes:
        """Canonical bytes; `wire.decode_public_key` is the inverse."""
        return encode([WIRE_VERSION, self.params.set_id, self.seed, pack_values(self.bodies, Q_BITS)])

    @classmethod
    def generate(cls, secret: SecretKey, seed: bytes) -> Self:
        """The public key of `secret`; with the seed of the secret key, `key_id` follows from that seed alone."""
        params = secret.params
        stream = public_seed(seed, Stream.PUBLIC_KEY)
        errors = gaussian_rows(seed, Use.PUBLIC_KEY, range(params.k), params.sigma_ring, params.N)
        return cls(params, stream, ring_bodies(_public_masks(params, stream), secret, errors))

    @property
    def masks(self) -> U32Array:
        """A, [k, k, N]: row c, column j."""
        return _public_masks(self.params, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationKey:
    """What an evaluator needs. Masks are named by `seed` and expanded on demand.

    `bootstrap` [groups, messages, rows, N], `switch` [M, digits, half] modulo 2^switch_log, `packing` [M, digits, N].
    """

    params: ParameterSet
    seed: bytes
    public: PublicKey
    bootstrap: U32Array
    switch: U16Array
    packing: U32Array | None

    @property
    def key_id(self) -> bytes:
        return self.public.key_id

    @classmethod
    def generate(cls, secret: SecretKey, seed: bytes) -> Self:
        """The evaluation key of `secret`: takes a second or two for the large sets."""
        params = secret.params
        stream = public_seed(seed, Stream.BOOTSTRAP)
        return cls(
            params,
            stream,
            PublicKey.generate(secret, seed),
            _bootstrap_bodies(secret, seed, stream),
            _switch_bodies(secret, seed, stream),
            _packing_bodies(secret, seed, stream),
        )

    def bootstrap_rows(self, group: int) -> U32Array:
        """All rows of one group with their masks: [messages, rows, k + 1, N], body last."""
        params = self.params
        masks = bootstrap_masks(params, self.seed, group)
        return np.concatenate([masks, self.bootstrap[group][:, :, None]], axis=2)

    def switch_rows(self, index: int) -> U16Array:
        """Switch rows of one coefficient: [digits, half, n + 1], body last."""
        masks = switch_masks(self.params, self.seed, index)
        return np.concatenate([masks, self.switch[index][:, :, None]], axis=2)

    def packing_rows(self, index: int) -> U32Array:
        """Packing rows of one coefficient: [digits, k + 1, N], body last."""
        assert self.packing is not None
        masks = packing_masks(self.params, self.seed, index)
        return np.concatenate([masks, self.packing[index][:, None]], axis=1)


# --- Masks: which public stream gives which row. ---


def bootstrap_masks(params: ParameterSet, seed: bytes, group: int) -> U32Array:
    """[messages, rows, k, N]."""
    count = params.messages * params.rows
    rows = range(group * count, (group + 1) * count)
    masks = uniform_rings(seed, Stream.BOOTSTRAP, params.set_id, rows, params.k, params.N)
    return masks.reshape(params.messages, params.rows, params.k, params.N)


def switch_masks(params: ParameterSet, seed: bytes, index: int) -> U16Array:
    """[digits, half, n]."""
    count = params.switch_digits * params.switch_half
    rows = range(index * count, (index + 1) * count)
    masks = uniform_powers(seed, Stream.SWITCH, params.set_id, rows, params.switch_log, params.n)
    return masks.reshape(params.switch_digits, params.switch_half, params.n)


def packing_masks(params: ParameterSet, seed: bytes, index: int) -> U32Array:
    """[digits, k, N]."""
    assert params.packing is not None
    rows = range(index * params.packing.digits, (index + 1) * params.packing.digits)
    return uniform_rings(seed, Stream.PACKING, params.set_id, rows, params.k, params.N)


def entry_masks(params: ParameterSet, seed: bytes, count: int) -> U32Array:
    """[count, n] modulo Q: one LWE mask for each committee-input bit."""
    return uniform_rings(seed, Stream.ENTRY, params.set_id, range(count), 1, params.n)[:, 0]


def seeded_masks(params: ParameterSet, seed: bytes) -> U32Array:
    """[k, N]: the mask of a seeded encryption."""
    masks: U32Array = uniform_rings(seed, Stream.SEEDED, params.set_id, range(1), params.k, params.N)[0]
    return masks


def _public_masks(params: ParameterSet, seed: bytes) -> U32Array:
    return uniform_rings(seed, Stream.PUBLIC_KEY, params.set_id, range(params.k), params.k, params.N)


# --- Bodies. ---


def ring_bodies(masks: U32Array, secret: SecretKey, offsets: I64Array) -> U32Array:
    """sum_c mask_c z_c + offset modulo Q, for masks [..., k, N] and offsets (errors and messages) [..., N]."""
    products = multiply_small(masks, secret.ring).sum(axis=-2)
    bodies: I64Array = (products + offsets) % Q
    return bodies.astype(np.uint32)


def group_messages(params: ParameterSet, s: I64Array) -> I64Array:
    """The bits that the groups of the bootstrapping key encrypt, [groups, messages]."""
    if params.step == "ternary":
        return np.stack([s == 1, s == -1], axis=1).astype(np.int64)
    first, second = s[0::2], s[1::2]
    return np.stack([first * (1 - second), (1 - first) * second, first * second], axis=1)


def row_messages(params: ParameterSet, ring: I64Array, gadget: Gadget) -> I64Array:
    """What row w = c*digits + i of an RGSW encryption of 1 encrypts, [rows, N]: -weight z_c; the weight for c = k.

    Adding the weight to mask c of an encryption of zero is the same as taking the masks of the stream and adding
    -weight z_c to the body, so that every mask comes from the seed.
    """
    one = np.zeros((1, params.N), np.int64)
    one[0, 0] = 1
    weights = np.array([gadget.weight(i) for i in range(gadget.digits)])
    rows: I64Array = np.concatenate([-ring, one])[:, None] * weights[:, None]
    return rows.reshape(-1, params.N)


def _bootstrap_bodies(secret: SecretKey, seed: bytes, stream: bytes) -> U32Array:
    params = secret.params
    messages = group_messages(params, secret.s)
    rows = row_messages(params, secret.ring, params.gadget)
    bodies = np.empty((params.groups, params.messages, params.rows, params.N), np.uint32)
    row_count = params.messages * params.rows
    for group in range(params.groups):
        indices = range(group * row_count, (group + 1) * row_count)
        errors = gaussian_rows(seed, Use.BOOTSTRAP, indices, params.sigma_ring, params.N)
        offsets = errors.reshape(params.messages, params.rows, params.N)
        offsets += messages[group][:, None, None] * rows
        bodies[group] = ring_bodies(bootstrap_masks(params, stream, group), secret, offsets)
    return bodies


def _switch_bodies(secret: SecretKey, seed: bytes, stream: bytes) -> U16Array:
    params = secret.params
    digits, half, count = params.switch_digits, params.switch_half, params.switch_digits * params.switch_half
    multiples = np.arange(1, half + 1) << (params.switch_base_log * np.arange(digits))[:, None]  # [digits, half]
    bodies = np.empty((params.M, digits, half), np.uint16)
    for index in range(params.M):
        errors = gaussian_rows(seed, Use.SWITCH, range(index * count, (index + 1) * count), params.sigma_lwe, 1)
        phases = errors.reshape(digits, half) + multiples * secret.z[index]
        products = switch_masks(params, stream, index).astype(np.int64) @ secret.s
        bodies[index] = (products + phases) & ((1 << params.switch_log) - 1)
    return bodies


def _packing_bodies(secret: SecretKey, seed: bytes, stream: bytes) -> U32Array | None:
    params = secret.params
    if params.packing is None:
        return None
    digits = params.packing.digits
    weights = np.array([params.packing.weight(i) for i in range(digits)])
    bodies = np.empty((params.M, digits, params.N), np.uint32)
    for index in range(params.M):
        indices = range(index * digits, (index + 1) * digits)
        offsets = gaussian_rows(seed, Use.PACKING, indices, params.sigma_ring, params.N)
        offsets[:, 0] += weights * secret.z[index]
        bodies[index] = ring_bodies(packing_masks(params, stream, index), secret, offsets)
    return bodies


def ring_phase(secret: SecretKey, mask: U32Array, body: U32Array) -> I64Array:
    """The centred phase body - sum mask_c z_c of ring ciphertexts: mask [..., k, N], body [..., N]."""
    products = multiply_small(mask, secret.ring).sum(axis=-2)
    return centred(((body.astype(np.int64) - products) % Q).astype(np.uint32))


def _frozen(values: I64Array) -> I64Array:
    values.flags.writeable = False
    return values
