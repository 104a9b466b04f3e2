"""Canonical bytes of keys and ciphertexts, and the checks of a stranger's object before any arithmetic touches it.

Passing the checks says "well formed", in this order: size, syntax, version, parameter set, key, count, lengths,
padding, coefficients. It proves neither an honest plaintext nor small noise.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

import msgspec
import numpy as np

from octra import codec
from octra.errors import Malformed
from octra.hfhe import params as parameters
from octra.hfhe.bitstream import pack_values, packed_size, padding_is_zero, unpack_values
from octra.hfhe.ciphertext import ENTRY_BITS_MAX, Bit, EntryBits, PackedBits, SeededBits
from octra.hfhe.errors import (
    MalformedCiphertext,
    MalformedKey,
    UnsupportedVersion,
    WrongKey,
    WrongParameters,
)
from octra.hfhe.keys import WIRE_VERSION, EvaluationKey, PublicKey, SecretKey
from octra.hfhe.params import Q_BITS, ParameterSet, Q
from octra.hfhe.sampling import SEED_SIZE, U32Array

KEY_ID_SIZE: Final = 32
CIPHERTEXT_BYTES_MAX: Final = 8 * 1024  # the largest is 2,048 entry bits: 6,912 bytes and a header
PUBLIC_KEY_BYTES_MAX: Final = 4 * 1024
EVALUATION_KEY_BYTES_MAX: Final = 32 * 2**20  # set T has 28 MB

_Fault = type[MalformedCiphertext] | type[MalformedKey]


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    version: int
    set_id: int


class _PackedFrame(_Frame, frozen=True, array_like=True):
    key_id: bytes
    count: int
    mask: bytes
    body: bytes


class _SeededFrame(_Frame, frozen=True, array_like=True):
    key_id: bytes
    seed: bytes
    count: int
    body: bytes


class _BitFrame(_Frame, frozen=True, array_like=True):
    key_id: bytes
    coefficients: bytes


class _SecretKeyFrame(_Frame, frozen=True, array_like=True):
    seed: bytes


class _PublicKeyFrame(_Frame, frozen=True, array_like=True):
    seed: bytes
    bodies: bytes


class _EvaluationKeyFrame(_Frame, frozen=True, array_like=True):
    seed: bytes
    public: bytes
    bootstrap: bytes
    switch: bytes
    packing: bytes


_F = TypeVar("_F", bound=_Frame)


class Gate:
    """What a reader accepts: a chain's set (any, if None), its keys (any, if None), insecure sets only on request."""

    __slots__ = ("allow_insecure", "key_ids", "params")

    def __init__(
        self,
        params: ParameterSet | None = None,
        key_ids: Collection[bytes] | None = None,
        *,
        allow_insecure: bool = False,
    ) -> None:
        self.params, self.key_ids, self.allow_insecure = params, key_ids, allow_insecure

    def _set(self, set_id: int) -> ParameterSet:
        found = parameters.get(set_id, allow_insecure=self.allow_insecure)
        if self.params is not None and found is not self.params:
            raise WrongParameters(self.params.set_id, set_id)
        return found

    def _key(self, key_id: bytes, fault: _Fault) -> bytes:
        if len(key_id) != KEY_ID_SIZE:
            raise fault("key_id", f"{len(key_id)} bytes, expected {KEY_ID_SIZE}")
        if self.key_ids is not None and key_id not in self.key_ids:
            raise WrongKey(next(iter(self.key_ids), b""), key_id)
        return key_id


ANY_SECURE: Final = Gate()


# --- Ciphertexts. ---


def encode_packed(value: PackedBits) -> bytes:
    """Canonical bytes of packed bits: what state and digests hold."""
    mask, body = pack_values(value.mask, Q_BITS), pack_values(value.body, Q_BITS)
    return codec.encode(_PackedFrame(WIRE_VERSION, value.params.set_id, value.key_id, value.count, mask, body))


def decode_packed(data: bytes, gate: Gate = ANY_SECURE) -> PackedBits:
    """Checked packed bits."""
    frame = _frame(data, _PackedFrame, CIPHERTEXT_BYTES_MAX, MalformedCiphertext)
    params = gate._set(frame.set_id)
    key_id = gate._key(frame.key_id, MalformedCiphertext)
    count = _count(frame.count, params.N)
    mask = _ring_values("mask", frame.mask, params.M, MalformedCiphertext).reshape(params.k, params.N)
    return PackedBits(params, key_id, mask, _ring_values("body", frame.body, count, MalformedCiphertext))


def encode_seeded(value: SeededBits) -> bytes:
    """Canonical bytes of seeded bits."""
    return _encode_seeded(value.params, value.key_id, value.seed, value.body)


def decode_seeded(data: bytes, gate: Gate = ANY_SECURE) -> SeededBits:
    """Checked seeded bits."""
    frame, params = _decode_seeded(data, gate)
    count = _count(frame.count, params.N)
    body = _ring_values("body", frame.body, count, MalformedCiphertext)
    return SeededBits(params, frame.key_id, frame.seed, body)


def encode_entry(value: EntryBits) -> bytes:
    """Canonical bytes of committee input."""
    return _encode_seeded(value.params, value.key_id, value.seed, value.bodies)


def decode_entry(data: bytes, gate: Gate = ANY_SECURE) -> EntryBits:
    """Checked committee input."""
    frame, params = _decode_seeded(data, gate)
    count = _count(frame.count, ENTRY_BITS_MAX)
    bodies = _ring_values("body", frame.body, count, MalformedCiphertext)
    return EntryBits(params, frame.key_id, frame.seed, bodies)


def encode_bit(value: Bit) -> bytes:
    """Canonical bytes of one bit in flight."""
    coefficients = pack_values(value.coefficients, Q_BITS)
    return codec.encode(_BitFrame(WIRE_VERSION, value.params.set_id, value.key_id, coefficients))


def decode_bit(data: bytes, gate: Gate = ANY_SECURE) -> Bit:
    """A checked bit."""
    frame = _frame(data, _BitFrame, CIPHERTEXT_BYTES_MAX, MalformedCiphertext)
    params = gate._set(frame.set_id)
    key_id = gate._key(frame.key_id, MalformedCiphertext)
    return Bit(params, key_id, _ring_values("coefficients", frame.coefficients, params.M + 1, MalformedCiphertext))


# --- Keys. ---


def encode_secret_key(secret: SecretKey) -> bytes:
    """The bytes that a keystore encrypts. Only a key made from a seed has them."""
    assert secret.seed is not None
    return codec.encode(_SecretKeyFrame(WIRE_VERSION, secret.params.set_id, secret.seed))


def decode_secret_key(data: bytes, gate: Gate = ANY_SECURE) -> SecretKey:
    """The secret key of decrypted keystore bytes."""
    frame = _frame(data, _SecretKeyFrame, PUBLIC_KEY_BYTES_MAX, MalformedKey)
    return SecretKey.generate(gate._set(frame.set_id), _seed(frame.seed, MalformedKey))


def encode_public_key(public: PublicKey) -> bytes:
    """Canonical bytes of a public key; their hash is the `key_id`."""
    return public.encode()


def decode_public_key(data: bytes, gate: Gate = ANY_SECURE) -> PublicKey:
    """A checked public key."""
    frame = _frame(data, _PublicKeyFrame, PUBLIC_KEY_BYTES_MAX, MalformedKey)
    params = gate._set(frame.set_id)
    seed = _seed(frame.seed, MalformedKey)
    bodies = _ring_values("bodies", frame.bodies, params.M, MalformedKey).reshape(params.k, params.N)
    public = PublicKey(params, seed, bodies)
    gate._key(public.key_id, MalformedKey)
    return public


def encode_evaluation_key(key: EvaluationKey) -> bytes:
    """Canonical bytes of an evaluation key, its masks as one seed."""
    params = key.params
    return codec.encode(
        _EvaluationKeyFrame(
            WIRE_VERSION,
            params.set_id,
            key.seed,
            key.public.encode(),
            pack_values(key.bootstrap, Q_BITS),
            pack_values(key.switch.astype(np.uint32), params.switch_log),
            b"" if key.packing is None else pack_values(key.packing, Q_BITS),
        )
    )


def decode_evaluation_key(data: bytes, gate: Gate = ANY_SECURE) -> EvaluationKey:
    """A checked evaluation key."""
    frame = _frame(data, _EvaluationKeyFrame, EVALUATION_KEY_BYTES_MAX, MalformedKey)
    params = gate._set(frame.set_id)
    seed = _seed(frame.seed, MalformedKey)
    public = decode_public_key(frame.public, Gate(params, gate.key_ids, allow_insecure=gate.allow_insecure))
    bootstrap_shape = (params.groups, params.messages, params.rows, params.N)
    switch_shape = (params.M, params.switch_digits, params.switch_half)
    packing_shape = (params.M, 0 if params.packing is None else params.packing.digits, params.N)
    bootstrap = _ring_values("bootstrap", frame.bootstrap, int(np.prod(bootstrap_shape)), MalformedKey)
    switch = _values("switch", frame.switch, int(np.prod(switch_shape)), params.switch_log, MalformedKey)
    packing = _ring_values("packing", frame.packing, int(np.prod(packing_shape)), MalformedKey)
    return EvaluationKey(
        params,
        seed,
        public,
        bootstrap.reshape(bootstrap_shape),
        switch.astype(np.uint16).reshape(switch_shape),
        None if params.packing is None else packing.reshape(packing_shape),
    )


# --- The checks, one each. ---


def _frame(data: bytes, kind: type[_F], size_max: int, fault: _Fault) -> _F:
    if len(data) > size_max:
        raise fault("frame", f"{len(data)} bytes, at most {size_max}")
    try:
        frame = codec.decode(data, kind)
    except Malformed as error:
        raise fault("frame", error.reason) from error
    if frame.version != WIRE_VERSION:
        raise UnsupportedVersion(kind.__name__.strip("_").removesuffix("Frame"), WIRE_VERSION, frame.version)
    return frame


def _seed(seed: bytes, fault: _Fault) -> bytes:
    if len(seed) != SEED_SIZE:
        raise fault("seed", f"{len(seed)} bytes, expected {SEED_SIZE}")
    return seed


def _count(count: int, count_max: int) -> int:
    if not 1 <= count <= count_max:
        raise MalformedCiphertext("count", f"{count}, expected 1 to {count_max}")
    return count


def _values(field: str, data: bytes, count: int, width: int, fault: _Fault) -> U32Array:
    if len(data) != packed_size(count, width):
        raise fault(field, f"{len(data)} bytes, expected {packed_size(count, width)}")
    if not padding_is_zero(data, width, count):
        raise fault(field, "padding is not zero")
    return unpack_values(data, width, count)


def _ring_values(field: str, data: bytes, count: int, fault: _Fault) -> U32Array:
    values = _values(field, data, count, Q_BITS, fault)
    outside = np.flatnonzero(values >= Q)
    if outside.size:
        raise fault(field, "coefficient is not below Q", int(outside[0]))
    return values


def _encode_seeded(params: ParameterSet, key_id: bytes, seed: bytes, body: U32Array) -> bytes:
    return codec.encode(
        _SeededFrame(WIRE_VERSION, params.set_id, key_id, seed, int(body.size), pack_values(body, Q_BITS))
    )


def _decode_seeded(data: bytes, gate: Gate) -> tuple[_SeededFrame, ParameterSet]:
    frame = _frame(data, _SeededFrame, CIPHERTEXT_BYTES_MAX, MalformedCiphertext)
    params = gate._set(frame.set_id)
    gate._key(frame.key_id, MalformedCiphertext)
    _seed(frame.seed, MalformedCiphertext)
    return frame, params
