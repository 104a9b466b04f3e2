"""Verifiable secret sharing over BLS12-381: committed polynomials, one-time pads to receivers, and proofs about them.

Commitments lie in G2 (96 bytes), where the keys of `octra.crypto.bls` lie; receive keys and ephemeral points in G1
(48 bytes). A receiver shows that a pad is right by a Chaum-Pedersen proof of equal discrete logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import shake_256
from typing import Any

from pyblst import BlstP1Element

from octra.crypto import bls
from octra.crypto.hash import H

SCALAR_SIZE, POINT_SIZE, PROOF_SIZE = 32, 48, 64
_G1 = bytes.fromhex("97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")


def scalar_from(*secret: bytes) -> bls.SecretScalar:
    """A secret scalar that follows from secret bytes; each part has a fixed size."""
    return bls.SecretScalar.from_seed(H("octra.scalar", *secret))


def point_of(secret: bls.SecretScalar) -> bytes:
    """The point `g1 * secret`: a receive key, or the ephemeral point of a dealing."""
    return bytes(_generator().scalar_mul(secret._value).compress())


def shared_point(secret: bls.SecretScalar, point: bytes) -> bytes:
    """The point `point * secret`, which both holders of a Diffie-Hellman pair can compute; raises `InvalidPoint`."""
    return bytes(bls._g1(point).scalar_mul(secret._value).compress())


def is_point(data: bytes) -> bool:
    """Is it a point of G1 other than the identity?"""
    try:
        bls._g1(data)
    except bls.InvalidPoint:
        return False
    return True


def prove_equal(secret: bls.SecretScalar, point: bytes) -> bytes:
    """Proof that `shared_point(secret, point)` has the logarithm of `point_of(secret)`. Always the same bytes."""
    base, public, shared = bls._g1(point), point_of(secret), shared_point(secret, point)
    nonce = scalar_from(secret.to_bytes(), H("octra.dleq.nonce", point))
    first = bytes(_generator().scalar_mul(nonce._value).compress())
    second = bytes(base.scalar_mul(nonce._value).compress())
    challenge = _challenge(public, point, shared, first, second)
    answer = (nonce._value + challenge * secret._value) % bls.ORDER
    return challenge.to_bytes(32, "big") + answer.to_bytes(32, "big")


def verify_equal(public: bytes, point: bytes, shared: bytes, proof: bytes) -> bool:
    """Do `public` to the generator and `shared` to `point` stand in one ratio? False for malformed bytes too."""
    if len(proof) != PROOF_SIZE:
        return False
    challenge, answer = int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big")
    if challenge >= bls.ORDER or answer >= bls.ORDER:
        return False
    try:
        key, base, other = bls._g1(public), bls._g1(point), bls._g1(shared)
    except bls.InvalidPoint:
        return False
    first = _generator().scalar_mul(answer) + -key.scalar_mul(challenge)
    second = base.scalar_mul(answer) + -other.scalar_mul(challenge)
    return challenge == _challenge(public, point, shared, bytes(first.compress()), bytes(second.compress()))


def commit(coefficients: Sequence[bls.SecretScalar]) -> tuple[bytes, ...]:
    """The public side of a polynomial, lowest coefficient first."""
    return tuple(coefficient.public() for coefficient in coefficients)


def evaluate(coefficients: Sequence[bls.SecretScalar], x: int) -> int:
    """The polynomial at x."""
    return sum(c._value * pow(x, power, bls.ORDER) for power, c in enumerate(coefficients)) % bls.ORDER


def public_share(commitments: Sequence[bytes], x: int) -> bytes:
    """The key of the share at x (small), from the commitments alone; raises `InvalidPoint`."""
    total = bls._g2(commitments[-1])
    for commitment in reversed(commitments[:-1]):
        total = _times(total, x) + bls._g2(commitment)
    return bytes(total.compress())


def share_fits(commitments: Sequence[bytes], x: int, share: int) -> bool:
    """Is `share` the committed polynomial at x?"""
    return 0 < share < bls.ORDER and bls.SecretScalar(share).public() == public_share(commitments, x)


def add_commitments(rows: Sequence[Sequence[bytes]]) -> tuple[bytes, ...]:
    """Commitments of the sum of several polynomials; raises `InvalidPoint` where a sum is the identity."""
    sums = tuple(bytes(bls._sum([bls._g2(point) for point in column]).compress()) for column in zip(*rows, strict=True))
    for point in sums:
        bls._g2(point)
    return sums


def interpolate(shares: Mapping[int, int], x: int) -> int:
    """The polynomial through `shares` (by their x) at another x."""
    moved = tuple(sorted(known - x for known in shares))
    weights, divisor = bls._lagrange_at_zero(moved)
    total = sum(weight * shares[known + x] for weight, known in zip(weights, moved, strict=True))
    return total * pow(divisor, -1, bls.ORDER) % bls.ORDER


def _challenge(*points: bytes) -> int:
    return int.from_bytes(shake_256(b"octra.dleq" + b"".join(points)).digest(48), "big") % bls.ORDER


def _times(point: Any, factor: int) -> Any:  # the two element types share no base in pyblst
    """A small multiple by additions: a hundred times cheaper than a multiplication by a full scalar."""
    total = None
    for bit in bin(factor)[2:]:
        total = total + total if total is not None else None
        if bit == "1":
            total = point if total is None else total + point
    assert total is not None
    return total


@lru_cache(maxsize=1)
def _generator() -> BlstP1Element:
    return BlstP1Element().uncompress(_G1)
