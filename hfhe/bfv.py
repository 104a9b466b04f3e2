"""Vectors of small integers under a user's own BFV key: sums, products and dot products, with TenSEAL (extra `bfv`).

    key = BfvKey.generate(8192, galois=True)
    features = BfvVector.encrypt(key.public(), [3, -1, 4])
    score = features.dot([2, 7, 1])  # whoever holds only the public part can do this
    print(score.decrypt(key))  # [3]

For private computations between people. It is never a value of a chain: results are not reproducible byte for byte.
SEAL decrypts garbage without an error once a vector is too noisy, and loads most damaged ones; so products and summands
are counted here, and bytes are checked before SEAL sees them. Slots wrap modulo 786433: keep results within +-393216.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, Self, SupportsIndex, TypeVar

import msgspec

from octra import codec
from octra.crypto.hash import H
from octra.errors import Malformed
from octra.hfhe.bfv_errors import (
    BfvNoiseBudgetExceeded,
    BfvUnavailable,
    EmptyVector,
    GaloisKeysMissing,
    LengthMismatch,
    SecretKeyRefused,
    TooManySummands,
    UnknownSize,
    ValueOutOfRange,
    VectorTooLong,
)
from octra.hfhe.errors import UnsupportedVersion, WrongKey

PLAIN_MODULUS: Final = 786433  # prime, 1 modulo 2 * 16384: vectors fill all slots in each size
VALUE_MAX: Final = PLAIN_MODULUS // 2
WIRE_VERSION: Final = 1
VECTOR_BYTES_MAX: Final = 8 * 2**20  # the largest vector has 1.83 MB
KEY_BYTES_MAX: Final = 512 * 2**20  # Galois keys of size 16384: 446 MB

_Context = Any  # TenSEAL has no type information, nor has its vector
_Data = Any


class Limits(NamedTuple):
    """What one size allows before noise can reach a result, with a margin (measured by the tests)."""

    depth: int  # products, one after the other
    summands: int  # fresh vectors that a result is the sum of


LIMITS: Final = {4096: Limits(1, 2**13), 8192: Limits(3, 2**20), 16384: Limits(8, 2**20)}


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    version: int
    size: int
    key_id: bytes
    digest: bytes  # finds damage, not malice
    payload: bytes


class _VectorFrame(_Frame, frozen=True, array_like=True):
    depth: int
    summands: int
    length: int


_F = TypeVar("_F", bound=_Frame)


class BfvPublicKey:
    """What encrypts and computes. Made by `BfvKey.public` and `decode`; never holds a secret key."""

    __slots__ = ("_context", "key_id", "size")

    def __init__(self, context: _Context, size: int) -> None:
        if context.has_secret_key():
            raise SecretKeyRefused
        # TenSEAL itself turns these off at the first vector: from the start, so that bytes do not depend on history.
        context.auto_rescale = context.auto_mod_switch = False
        self._context, self.size = context, size
        self.key_id = _key_id(context)

    @property
    def limits(self) -> Limits:
        """How deep and how wide computations may be."""
        return LIMITS[self.size]

    @property
    def has_galois_keys(self) -> bool:
        """Can vectors under this key be added up?"""
        return bool(self._context.has_galois_keys())

    def encode(self) -> bytes:
        """Bytes for whoever encrypts or computes: 0.4 to 4 MB, with Galois keys 6 to 446 MB."""
        payload = self._context.serialize(save_secret_key=False)
        return codec.encode(_Frame(WIRE_VERSION, self.size, self.key_id, _digest(payload), payload))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The public key of checked bytes. SEAL reads them: take a stranger's only in a process that may die."""
        frame = _checked(data, _Frame, KEY_BYTES_MAX, "BFV public key")
        public = cls(_load_context(frame.payload), frame.size)
        if public.key_id != frame.key_id:
            raise WrongKey(frame.key_id, public.key_id)
        return public


class BfvKey:
    """A user's secret key, good for decryption only. Prints and pickles nothing."""

    __slots__ = ("_context", "_public")

    def __init__(self, context: _Context, size: int) -> None:
        self._context = context
        public = context.copy()
        public.make_context_public()
        self._public = BfvPublicKey(public, size)

    @classmethod
    def generate(cls, size: int, *, galois: bool = False) -> Self:
        """A fresh key of 4096, 8192 or 16384 slots; `galois` allows `sum` and `dot` (seconds, and hundreds of MB)."""
        if size not in LIMITS:
            raise UnknownSize(size)
        tenseal = _tenseal()
        context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV, poly_modulus_degree=size, plain_modulus=PLAIN_MODULUS, n_threads=1
        )
        if galois:
            context.generate_galois_keys()
        return cls(context, size)

    def public(self) -> BfvPublicKey:
        """Everything but the secret."""
        return self._public

    def noise_budget(self, vector: BfvVector) -> int:
        """Bits of noise that the vector can still take; at 0 it decrypts to garbage."""
        data = self._own(vector)
        return min(int(self._context.decryptor().data.invariant_noise_budget(part)) for part in data.ciphertext())

    def secret_bytes(self) -> bytes:
        """The whole key. Seal it, for instance with `octra.keystore`, before it touches a disk."""
        payload = self._context.serialize(save_secret_key=True)
        return codec.encode(_Frame(WIRE_VERSION, self._public.size, self._public.key_id, _digest(payload), payload))

    @classmethod
    def from_secret_bytes(cls, data: bytes) -> Self:
        """The key that `secret_bytes` wrote."""
        frame = _checked(data, _Frame, KEY_BYTES_MAX, "BFV secret key")
        context = _load_context(frame.payload)
        if not context.has_secret_key():
            raise Malformed("BFV secret key", "holds no secret key")
        return cls(context, frame.size)

    def _decrypt(self, vector: BfvVector) -> list[int]:
        data = self._own(vector)
        return [int(value) for value in data.decrypt(self._context.secret_key())][: vector.length]

    def _own(self, vector: BfvVector) -> _Data:
        if vector.public.key_id != self._public.key_id:
            raise WrongKey(self._public.key_id, vector.public.key_id)
        return vector._data

    def __repr__(self) -> str:
        return f"BfvKey({self._public.size}, <sealed>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret keys are not pickled")


class BfvVector:
    """An encrypted vector of `length` integers. `depth` counts the products behind it, `summands` the sums."""

    __slots__ = ("_data", "depth", "length", "public", "summands")

    def __init__(self, public: BfvPublicKey, data: _Data, length: int, depth: int, summands: int) -> None:
        _check_noise(public.limits, depth, summands)
        self.public, self._data, self.length, self.depth, self.summands = public, data, length, depth, summands

    @classmethod
    def encrypt(cls, public: BfvPublicKey, values: Sequence[SupportsIndex]) -> Self:
        """The values, each from -393216 to 393216, under a public key."""
        if not isinstance(public, BfvPublicKey):
            raise SecretKeyRefused
        if len(values) > public.size:
            raise VectorTooLong(len(values), public.size)
        if not len(values):
            raise EmptyVector
        return cls(public, _tenseal().bfv_vector(public._context, _slots(values)), len(values), 0, 1)

    def decrypt(self, key: BfvKey) -> list[int]:
        """The values, by the owner of the key. Not constant in time."""
        return key._decrypt(self)

    # --- arithmetic: an operand is another vector, plain values of the same length, or one integer ------------------

    def add(self, other: Operand) -> BfvVector:
        """Slot by slot."""
        if isinstance(other, BfvVector):
            self._check_peer(other)
            summands = self.summands + other.summands
            return self._result(self._data + other._data, max(self.depth, other.depth), summands)
        return self._result(self._data + self._plain(other), self.depth, self.summands)

    def sub(self, other: Operand) -> BfvVector:
        """Slot by slot."""
        if not isinstance(other, BfvVector):
            return self.add([-value for value in self._plain(other)])
        return self.add(other.neg())

    def neg(self) -> BfvVector:
        """Slot by slot: a fresh zero minus this vector, which costs less noise than a product by -1."""
        zero = BfvVector.encrypt(self.public, [0] * self.length)
        return self._result(zero._data - self._data, self.depth, self.summands + 1)

    def mul(self, other: Operand) -> BfvVector:
        """Slot by slot. Every product, also by plain values, counts one in depth."""
        if isinstance(other, BfvVector):
            self._check_peer(other)
            depth, summands = 1 + max(self.depth, other.depth), self.summands + other.summands
            _check_noise(self.public.limits, depth, summands)
            return self._result(self._data * other._data, depth, summands)
        plain = self._plain(other)
        _check_noise(self.public.limits, self.depth + 1, self.summands)
        if not any(plain):  # SEAL refuses results that reveal themselves to be zero
            return BfvVector.encrypt(self.public, [0] * self.length)
        return self._result(self._data * plain, self.depth + 1, self.summands)

    def sum(self) -> BfvVector:
        """All slots added up: a vector of length 1. Takes up to half as many values as the key has slots."""
        self._check_summable()
        summands = self.summands * (1 << (self.length - 1).bit_length())
        _check_noise(self.public.limits, self.depth, summands)
        return BfvVector(self.public, self._data.sum(), 1, self.depth, summands)

    def dot(self, other: Operand) -> BfvVector:
        """The sum of the products, a vector of length 1."""
        self._check_summable()
        return self.mul(other).sum()

    def __add__(self, other: Operand) -> BfvVector:
        return self.add(other)

    def __sub__(self, other: Operand) -> BfvVector:
        return self.sub(other)

    def __mul__(self, other: Operand) -> BfvVector:
        return self.mul(other)

    def __neg__(self) -> BfvVector:
        return self.neg()

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Operand) -> BfvVector:
        return self.neg().add(other)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """Bytes that name the key and the noise: 88 kB, 0.43 or 1.83 MB by size."""
        payload, size = self._data.serialize(), self.public.size
        header = (WIRE_VERSION, size, self.public.key_id, _digest(payload), payload)
        return codec.encode(_VectorFrame(*header, self.depth, self.summands, self.length))

    @classmethod
    def decode(cls, public: BfvPublicKey, data: bytes, *, believe_depth: bool = False) -> Self:
        """A checked vector under `public`; its noise counts as the largest unless `believe_depth`.

        Believe your own vectors, and those of the key's owner: a false claim then spoils only his own result. The
        digest finds damage and stops no attacker; load strangers' vectors only in a process that may die.
        """
        if not isinstance(public, BfvPublicKey):
            raise SecretKeyRefused
        frame = _checked(data, _VectorFrame, VECTOR_BYTES_MAX, "BFV vector")
        if frame.key_id != public.key_id:
            raise WrongKey(public.key_id, frame.key_id)
        if frame.size != public.size or frame.depth < 0 or frame.summands < 1:
            raise Malformed("BFV vector", "size, depth or summands are impossible")
        if not 1 <= frame.length <= public.size:
            raise VectorTooLong(frame.length, public.size)
        loaded = _loaded("BFV vector", lambda: _tenseal().bfv_vector_from(public._context, frame.payload))
        if loaded.size() != frame.length:
            raise Malformed("BFV vector", "length differs from its content")
        depth, summands = (frame.depth, frame.summands) if believe_depth else public.limits
        return cls(public, loaded, frame.length, depth, summands)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _result(self, data: _Data, depth: int, summands: int) -> BfvVector:
        return BfvVector(self.public, data, self.length, depth, summands)

    def _check_peer(self, other: BfvVector) -> None:
        if other.public.key_id != self.public.key_id:
            raise WrongKey(self.public.key_id, other.public.key_id)
        if other.length != self.length:
            raise LengthMismatch(self.length, other.length)

    def _check_summable(self) -> None:
        if not self.public.has_galois_keys:
            raise GaloisKeysMissing
        if self.length > self.public.size // 2:  # slots are two rows, and sums stay within one
            raise VectorTooLong(self.length, self.public.size // 2)

    def _plain(self, other: Sequence[SupportsIndex] | SupportsIndex) -> list[int]:
        """Plain values of this vector's length."""
        if isinstance(other, SupportsIndex):
            return _slots([other]) * self.length
        if len(other) != self.length:
            raise LengthMismatch(self.length, len(other))
        return _slots(other)


Operand = BfvVector | Sequence[SupportsIndex] | SupportsIndex


def _slots(values: Iterable[SupportsIndex]) -> list[int]:
    """The values as integers, all within range."""
    slots = []
    for position, value in enumerate(values):
        try:
            slots.append(operator.index(value))
        except TypeError:
            raise ValueOutOfRange(position) from None
        if abs(slots[-1]) > VALUE_MAX:
            raise ValueOutOfRange(position)
    return slots


def _check_noise(limits: Limits, depth: int, summands: int) -> None:
    if depth > limits.depth:
        raise BfvNoiseBudgetExceeded(depth, limits.depth)
    if summands > limits.summands:
        raise TooManySummands(summands, limits.summands)


def _checked(data: bytes, kind: type[_F], limit: int, what: str) -> _F:
    """The frame of bytes whose size, form, version and digest are right: all that can be known without SEAL."""
    if len(data) > limit:
        raise Malformed(what, f"{len(data)} bytes, at most {limit}")
    frame = codec.decode(data, kind, what)
    if frame.version != WIRE_VERSION:
        raise UnsupportedVersion(what, WIRE_VERSION, frame.version)
    if frame.digest != _digest(frame.payload):
        raise Malformed(what, "damaged: the digest differs")
    if frame.size not in LIMITS:
        raise UnknownSize(frame.size)
    return frame


def _load_context(payload: bytes) -> _Context:
    return _loaded("BFV key", lambda: _tenseal().context_from(payload, n_threads=1))


def _loaded(what: str, load: Callable[[], _Data]) -> _Data:
    try:
        return load()
    except (RuntimeError, ValueError) as error:  # what SEAL and protobuf raise; their texts show no values
        raise Malformed(what, "SEAL cannot read it") from error


def _key_id(context: _Context) -> bytes:
    return H("octra.bfv.key", context.serialize(True, False, False, False))  # the public key, without the large ones


def _digest(payload: bytes) -> bytes:
    return H("octra.bfv.digest", payload)


def _tenseal() -> Any:  # without type information
    try:
        import tenseal
    except ImportError as error:
        raise BfvUnavailable from error
    return tenseal
