"""Print the frozen verdicts on Ed25519 signatures: `python tests/vectors/crypto/make.py > tests/vectors/crypto/ed25519.json`.

A changed line means that nodes of two versions could disagree on a signature. Each line is
[reason, key, signature, message, valid], bytes in hex; the verdicts are those of the plain-integer reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha512

import ed25519_reference as curve
from ed25519_reference import BASE, ORDER

Case = tuple[str, bytes, bytes, bytes]
RFC_8032 = [  # seed, message: section 7.1
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", ""),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82"),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
]
TORSION = curve.torsion()
SMALL = curve.small_order_encodings()


def number(name: str) -> int:
    """A scalar that nobody chose."""
    return int.from_bytes(sha512(b"octra.vectors.ed25519 " + name.encode()).digest(), "little") % ORDER


def sign(secret: int, nonce: int, message: bytes, in_key: int = 0, in_commitment: int = 0) -> tuple[bytes, bytes]:
    """Key and signature, with these small-order points added to both."""
    key = curve.compress(curve.add(curve.multiply(secret, BASE), TORSION[in_key]))
    commitment = curve.compress(curve.add(curve.multiply(nonce, BASE), TORSION[in_commitment]))
    s = (nonce + curve.challenge(key, commitment, message) * secret) % ORDER
    return key, commitment + s.to_bytes(32, "little")


def with_scalar(signature: bytes, s: int) -> bytes:
    return signature[:32] + s.to_bytes(32, "little")


def rfc_8032() -> Iterator[Case]:
    for seed, message in RFC_8032:
        half = sha512(bytes.fromhex(seed)).digest()
        secret = int.from_bytes(half[:32], "little") & (2**254 - 8) | 2**254
        text = bytes.fromhex(message)
        nonce = int.from_bytes(sha512(half[32:] + text).digest(), "little") % ORDER
        yield ("rfc 8032", *sign(secret, nonce, text), text)


def small_order() -> Iterator[Case]:
    for key in SMALL:
        for commitment in SMALL:
            yield "small order, s = 0", key, commitment + bytes(32), b"Zcash"
        yield "small order, s = 1", key, with_scalar(SMALL[0], 1), b"Zcash"
    yield "all zero", bytes(32), bytes(64), b""


def mixed() -> Iterator[Case]:
    for in_key in range(8):
        for in_commitment in range(8):
            name = f"torsion {in_key} in key, {in_commitment} in commitment"
            for message in (b"", b"mixed"):
                key, good = sign(number(name), number(name + " nonce"), message, in_key, in_commitment)
                s = int.from_bytes(good[32:], "little")
                yield name, key, good, message
                yield name + ", s + 1", key, with_scalar(good, (s + 1) % ORDER), message


def scalars() -> Iterator[Case]:
    key, good = sign(number("secret"), number("nonce"), b"m")
    s = int.from_bytes(good[32:], "little")
    for name, other in (
        ("s + L", s + ORDER),
        ("s + 8 L", s + 8 * ORDER),
        ("2^256 - 1", 2**256 - 1),
        ("s + 2^255", s + 2**255),
    ):
        yield f"scalar {name}", key, with_scalar(good, other), b"m"
    for name, value in (
        ("0", 0),
        ("1", 1),
        ("L - 1", ORDER - 1),
        ("L", ORDER),
        ("L + 1", ORDER + 1),
        ("2^252", 2**252),
    ):
        for small in (SMALL[0], curve.compress(curve.IDENTITY)):  # h times such a key vanishes: any s can be right
            yield (
                f"scalar {name}",
                small,
                curve.compress(curve.multiply(value, BASE)) + value.to_bytes(32, "little"),
                b"m",
            )


def encodings() -> Iterator[Case]:
    key, good = sign(number("secret"), number("nonce"), b"m")
    for y in range(40):
        for raw in (
            (y.to_bytes(32, "little"), (y + curve.P).to_bytes(32, "little")) if y < 19 else (y.to_bytes(32, "little"),)
        ):
            kind = "no point" if curve.decompress(raw) is None else "a small y"
            yield f"{kind} as key", raw, good, b"m"
            yield f"{kind} as key, s = 0", raw, SMALL[0] + bytes(32), b"m"
            yield f"{kind} as commitment", key, raw + good[32:], b"m"


def lengths() -> Iterator[Case]:
    for length in (0, 1, 46, 47, 48, 63, 64, 65, 111, 112, 127, 128, 174, 175, 176, 191, 192, 193, 319, 320, 1000):
        message = bytes(i % 251 for i in range(length))
        yield f"message of {length} bytes", *sign(number("secret"), number(f"nonce {length}"), message), message


def flips() -> Iterator[Case]:
    key, good = sign(number("secret"), number("nonce"), b"flip")
    everything = key + good + b"flip"
    for bit in range(0, 8 * len(everything), 13):
        broken = bytearray(everything)
        broken[bit // 8] ^= 1 << bit % 8
        yield (
            f"bit {bit} of key, signature, message flipped",
            bytes(broken[:32]),
            bytes(broken[32:96]),
            bytes(broken[96:]),
        )


def vectors() -> Iterator[list[object]]:
    """Every case with its verdict."""
    for family in (rfc_8032, small_order, mixed, scalars, encodings, lengths, flips):
        for reason, key, signature, message in family():
            yield [reason, key.hex(), signature.hex(), message.hex(), curve.verify(key, signature, message)]


if __name__ == "__main__":
    print("[\n" + ",\n".join(json.dumps(line) for line in vectors()) + "\n]")
