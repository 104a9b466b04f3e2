"""How a Circle's id is written: 33 bytes, text, and the DNS label of its own web origin."""

from __future__ import annotations

import re
from base64 import b32decode, b32encode

from octra.consensus.circles import CIRCLE_ID_SIZE
from octra.errors import InvalidInput
from octra.primitives import base58_decode, base58_encode, print_address

_TEXT = re.compile(r"oct[1-9A-HJ-NP-Za-km-z]{44}")
_LABEL = re.compile(r"[a-z2-7]{53}")
_ID_BOUND = 58**44


class InvalidCircleId(InvalidInput):
    """The text or label is not the id of a Circle."""

    oct_code = 1202

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid Circle id: {reason}")
        self.reason = reason


def print_circle(circle: bytes) -> str:
    """`oct` and 44 base58 digits."""
    assert len(circle) == CIRCLE_ID_SIZE
    return "oct" + base58_encode(int.from_bytes(circle, "big")).rjust(44, "1")


def parse_circle(text: str) -> bytes:
    """The 33 bytes of a printed id; raises `InvalidCircleId`. Exactly the inverse of `print_circle`."""
    if not _TEXT.fullmatch(text):
        raise InvalidCircleId("an id is 'oct' and 44 base58 characters")
    return base58_decode(text[3:]).to_bytes(CIRCLE_ID_SIZE, "big")


def print_account(account: bytes) -> str:
    """An address (32 bytes) or a Circle id (33 bytes) as text."""
    return print_circle(account) if len(account) == CIRCLE_ID_SIZE else print_address(account)


def origin_label(circle: bytes) -> str:
    """The DNS label of the Circle's origin: base32 of the 33 bytes, 53 lower-case characters."""
    return b32encode(circle).decode("ascii").rstrip("=").lower()


def parse_label(label: str) -> bytes:
    """The id behind an origin label; each id has exactly one."""
    if not _LABEL.fullmatch(label):
        raise InvalidCircleId("a label has 53 base32 characters")
    circle = b32decode(label.upper() + "===")
    if origin_label(circle) != label or int.from_bytes(circle, "big") >= _ID_BOUND:
        raise InvalidCircleId("not the label of an id")
    return circle
