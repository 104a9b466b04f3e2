"""Ed25519 with ZIP-215 acceptance in plain integers: slow, short, and written from RFC 8032 and ZIP-215 alone."""

from __future__ import annotations

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def decompress(raw: bytes) -> Point | None:
    y_and_sign = int.from_bytes(raw, "little")
    sign, y = y_and_sign >> 255, (y_and_sign & (2**255 - 1)) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT % P
    if (v * x * x - u) % P:
        return None
    return ((P - x) % P if x & 1 != sign else x, y)


def compress(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def total(terms: list[tuple[int, Point]]) -> Point:
    """sum scalar * point. Fractions are kept as (x, y, xy, 1) times a common factor, so that only one is inverted."""
    sums = [_multiply(scalar, (x, y, x * y % P, 1)) for scalar, (x, y) in terms]
    x, y, _, z = _total(sums)
    inverse = pow(z, -1, P)
    return (x * inverse % P, y * inverse % P)


def multiply(scalar: int, point: Point) -> Point:
    return total([(scalar, point)])


def add(a: Point, b: Point) -> Point:
    return total([(1, a), (1, b)])


BASE = decompress(bytes.fromhex("58" + "66" * 31))
assert BASE is not None


def challenge(key: bytes, commitment: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(commitment + key + message).digest(), "little") % ORDER


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    a, r, s = decompress(key), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = challenge(key, signature[:32], message)
    return total([(8 * s, BASE), (-8 % (8 * ORDER), r), (-8 * h % (8 * ORDER), a)]) == IDENTITY


def torsion() -> list[Point]:
    """The eight points of small order: multiples of one that has order 8."""
    for y in range(2, 50):
        point = decompress(y.to_bytes(32, "little"))
        if point is not None:
            small = multiply(ORDER, point)
            if multiply(4, small) != IDENTITY:
                return [multiply(i, small) for i in range(8)]
    raise AssertionError


def small_order_encodings() -> list[bytes]:
    """All 14: eight canonical ones, and those with y >= p or the sign of zero set."""
    points = torsion()
    found = {compress(point) for point in points}
    for _, y in points:
        for spelling in (y, y + P):
            for sign in (0, 1):
                if spelling < 2**255:
                    raw = (spelling | sign << 255).to_bytes(32, "little")
                    if decompress(raw) in points:
                        found.add(raw)
    return sorted(found)


_Extended = tuple[int, int, int, int]


def _add(a: _Extended, b: _Extended) -> _Extended:
    k, z = D * a[2] * b[2] % P, a[3] * b[3] % P
    e, f, g, h = a[0] * b[1] + a[1] * b[0], z - k, z + k, a[1] * b[1] + a[0] * b[0]
    return (e * f % P, g * h % P, e * h % P, f * g % P)


def _multiply(scalar: int, point: _Extended) -> _Extended:
    result = (0, 1, 0, 1)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _total(points: list[_Extended]) -> _Extended:
    result = (0, 1, 0, 1)
    for point in points:
        result = _add(result, point)
    return result
