"""BLS12-381 over `pyblst`: signatures in G1 (48 bytes), keys in G2 (96 bytes), aggregates and thresholds.

Suite `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_` (draft-irtf-cfrg-bls-signature). `uncompress` of the library checks
curve, subgroup and canonical form but passes the identity, which this module refuses everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import shake_256
from math import gcd, lcm, prod
from typing import Any

from pyblst import BlstP1Element, BlstP2Element, final_verify, miller_loop

from octra.errors import InvalidInput

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
SIGNATURE_SIZE, PUBLIC_SIZE = 48, 96
_DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
_POP_DST = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
_G2 = bytes.fromhex(
    "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
)


class InvalidPoint(InvalidInput):
    """The bytes are not a point of the prime subgroup, or they are the identity."""

    oct_code = 4001


class SecretScalar:
    """A secret exponent (a key or a key share). Prints as `<secret>` and refuses to be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: int) -> None:
        assert 0 < value < ORDER
        self._value = value

    @classmethod
    def from_seed(cls, seed: bytes) -> SecretScalar:
        """A scalar derived from 32 secret bytes; the bias is below 2^-128."""
        return cls(int.from_bytes(shake_256(b"octra.bls.key" + seed).digest(48), "big") % (ORDER - 1) + 1)

    def public(self) -> bytes:
        """The key in G2, 96 bytes."""
        return bytes(_g2_generator().scalar_mul(self._value).compress())

    def sign(self, message: bytes) -> bytes:
        """The signature in G1, 48 bytes; for a key share this is the signature share."""
        return bytes(_hashed(message, _DST).scalar_mul(self._value).compress())

    def prove_possession(self) -> bytes:
        """Signature over the own key under a domain of its own: stops rogue keys in aggregates."""
        return bytes(_hashed(self.public(), _POP_DST).scalar_mul(self._value).compress())

    def to_bytes(self) -> bytes:
        """32 big-endian bytes: for the keystore only."""
        return self._value.to_bytes(32, "big")

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret scalar is never pickled")


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Is `signature` the signature of `message` under `public`? False for malformed points too."""
    return _verify(public, signature, message, _DST)


def verify_possession(public: bytes, proof: bytes) -> bool:
    """Does the holder of `public` know its secret?"""
    return _verify(public, proof, public, _POP_DST)


def is_key(public: bytes) -> bool:
    """Is it a point that can be a key?"""
    try:
        _g2(public)
    except InvalidPoint:
        return False
    return True


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """Sum of signatures; raises `InvalidPoint`."""
    assert signatures
    return bytes(_sum([_g1(signature) for signature in signatures]).compress())


def verify_aggregate(publics: Sequence[bytes], signature: bytes, message: bytes) -> bool:
    """One check that every key of `publics` signed `message`. Keys need a proven possession beforehand."""
    if not publics:
        return False
    try:
        total = _sum([_g2(public) for public in publics])
    except InvalidPoint:
        return False
    return _verify(bytes(total.compress()), signature, message, _DST)


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The threshold signature from shares at seats x = 1..n (Lagrange at 0); raises `InvalidPoint`.

    The caller passes exactly degree + 1 shares and verifies the result against the group key. Low seats cost least.
    """
    return bytes(_combined(shares).compress())


def combine_verified(shares: Mapping[int, bytes], group: bytes, message: bytes) -> bytes | None:
    """As `combine`, if the result is the signature of `message` under the key `group`; else None."""
    try:
        point, key = _combined(shares), _g2(group)
    except InvalidPoint:
        return None
    return bytes(point.compress()) if _pairs(key, point, _hashed(message, _DST)) else None


def deal(secret: int, degree: int, count: int, coefficients: Sequence[int]) -> list[SecretScalar]:
    """Shamir shares at x = 1..count of `secret`; `coefficients` are `degree` secret scalars."""
    assert len(coefficients) == degree
    polynomial = [secret, *coefficients]
    return [
        SecretScalar(sum(c * pow(x, i, ORDER) for i, c in enumerate(polynomial)) % ORDER) for x in range(1, count + 1)
    ]


@lru_cache(maxsize=512)
def _lagrange_at_zero(seats: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Whole numbers and the one they are to be divided by: of low seats they have a dozen bits, where a quotient in
    the field has 255."""
    numerators = [prod(other for other in seats if other != x) for x in seats]
    denominators = [prod(other - x for other in seats if other != x) for x in seats]
    divisor = lcm(*(below // gcd(above, below) for above, below in zip(numerators, denominators, strict=True)))
    return tuple(above * divisor // below for above, below in zip(numerators, denominators, strict=True)), divisor


def _combined(shares: Mapping[int, bytes]) -> BlstP1Element:
    seats = tuple(sorted(shares))
    weights, divisor = _lagrange_at_zero(seats)
    total = _sum_of_multiples([_g1(shares[x]) for x in seats], weights)
    return total if divisor == 1 else total.scalar_mul(pow(divisor, -1, ORDER))


def _sum_of_multiples(points: Sequence[BlstP1Element], weights: Sequence[int]) -> BlstP1Element:
    """Doubles and adds for all points together: with small weights a tenth of the work of full multiplications."""
    steps = [_digits(weight) for weight in weights]
    odd = [_odd_multiples(point) for point in points]
    total = BlstP1Element()
    for position in range(max(map(len, steps)) - 1, -1, -1):
        total = total + total
        for digits, multiples in zip(steps, odd, strict=True):
            digit = digits[position] if position < len(digits) else 0
            if digit:
                multiple = multiples[abs(digit) // 2]
                total = total + (multiple if digit > 0 else -multiple)
    return total


@lru_cache(maxsize=1_024)
def _digits(number: int) -> tuple[int, ...]:
    """Signed digits of a whole number, lowest first: zero, or odd and below 4 in size."""
    digits = []
    while number:
        digit = 0
        if number % 2:
            digit = (number + 4) % 8 - 4
            number -= digit
        digits.append(digit)
        number //= 2
    return tuple(digits)


def _odd_multiples(point: BlstP1Element) -> tuple[BlstP1Element, BlstP1Element]:
    return point, point + point + point


def _verify(public: bytes, signature: bytes, message: bytes, domain: bytes) -> bool:
    try:
        key, point = _g2(public), _g1(signature)
    except InvalidPoint:
        return False
    return _pairs(key, point, _hashed(message, domain))


def _pairs(key: BlstP2Element, point: BlstP1Element, hashed: BlstP1Element) -> bool:
    return bool(final_verify(miller_loop(point, _g2_generator()), miller_loop(hashed, key)))


@lru_cache(maxsize=16)
def _hashed(message: bytes, domain: bytes) -> BlstP1Element:
    """Kept, since who signs a message soon verifies what others say of it."""
    return BlstP1Element().hash_to_group(message, domain)


def _g1(data: bytes) -> BlstP1Element:
    return _point(data, SIGNATURE_SIZE, BlstP1Element)


@lru_cache(maxsize=1_024)
def _g2(data: bytes) -> BlstP2Element:
    return _point(data, PUBLIC_SIZE, BlstP2Element)


def _point(data: bytes, size: int, kind: Any) -> Any:  # the two element types share no base in pyblst
    if len(data) != size:
        raise InvalidPoint(f"a point has {size} bytes, got {len(data)}")
    try:
        point = kind().uncompress(data)
    except (ValueError, OverflowError) as error:
        raise InvalidPoint("not a point of the prime subgroup") from error
    if point == kind():
        raise InvalidPoint("the identity is not accepted")
    return point


@lru_cache(maxsize=1)
def _g2_generator() -> BlstP2Element:
    return BlstP2Element().uncompress(_G2)


def _sum(points: Sequence[Any]) -> Any:  # points of one of the two element types, as above
    total = points[0]
    for point in points[1:]:
        total = total + point
    return total
