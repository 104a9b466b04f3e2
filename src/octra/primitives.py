"""Small shared words: amounts, addresses and node identities in their raw and printed forms."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NewType

from octra.errors import InvalidInput

Address = NewType("Address", bytes)  # 32 bytes: SHA-256 of an Ed25519 public key
NodeId = NewType("NodeId", bytes)  # 32 bytes: Ed25519 public key of a node

UNITS_PER_OCT = 1_000_000
CAP_UNITS = 10**15  # 10^9 OCT
AMOUNT_MAX = 2**60 - 1  # every stored amount stays below 2^60, so sums fit 64-bit integers everywhere

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {character: value for value, character in enumerate(_BASE58)}
_ADDRESS = re.compile(r"oct[1-9A-HJ-NP-Za-km-z]{44}")
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,6}))?")


class InvalidAddress(InvalidInput):
    """The text is not an address; `reason` says why and never repeats the text."""

    oct_code = 1202

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid address: {reason}")
        self.reason = reason


class InvalidAmount(InvalidInput):
    """The text is not an amount of OCT with at most six decimals."""

    oct_code = 1002

    def __init__(self) -> None:
        super().__init__("invalid amount: write OCT with at most 6 decimals, such as 12.5")


def base58_encode(value: int) -> str:
    """Base58 digits of a non-negative integer, without padding; zero is the empty text."""
    digits: list[str] = []
    while value:
        value, digit = divmod(value, 58)
        digits.append(_BASE58[digit])
    return "".join(reversed(digits))


def base58_decode(text: str) -> int:
    """The integer that `text` spells in base58. The caller has checked the alphabet."""
    value = 0
    for character in text:
        value = value * 58 + _DIGIT[character]
    return value


def address_of(public_key: bytes) -> Address:
    """The account of an Ed25519 public key."""
    return Address(sha256(public_key).digest())


def print_address(address: bytes) -> str:
    """`oct` and base58 of the 32 bytes, padded on the left with `1` to 44 characters: always 47 characters."""
    return "oct" + base58_encode(int.from_bytes(address, "big")).rjust(44, "1")


def parse_address(text: str) -> Address:
    """The 32 bytes of a printed address; raises `InvalidAddress`. Exactly the inverse of `print_address`."""
    if not _ADDRESS.fullmatch(text):
        raise InvalidAddress("an address is 'oct' and 44 base58 characters")
    value = base58_decode(text[3:])
    if value >= 2**256:  # 44 base58 characters can spell more than 256 bits
        raise InvalidAddress("value out of range")
    return Address(value.to_bytes(32, "big"))


def print_amount(units: int) -> str:
    """Units as OCT without trailing zeros: 12500000 is `12.5`."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    whole, part = divmod(units, UNITS_PER_OCT)
    return f"{sign}{whole}" + (f".{part:06d}".rstrip("0") if part else "")


def parse_amount(text: str) -> int:
    """Units of a decimal OCT text; raises `InvalidAmount` for signs, exponents or a seventh decimal."""
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise InvalidAmount
    return int(match[1]) * UNITS_PER_OCT + int((match[2] or "0").ljust(6, "0"))
