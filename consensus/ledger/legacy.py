"""The JSON transactions that existing Octra wallets sign: a strict text, parsed and never printed again by consensus.

There is one text for one meaning: keys in a fixed order, no spaces, seven escapes. The timestamp stays text and
becomes whole milliseconds by rounding down, so no float decides anything.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from octra.codec import encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.errors import InvalidOp, Unsupported
from octra.errors import Malformed
from octra.primitives import AMOUNT_MAX, address_of, base58_decode, parse_address, print_address

TEXT_BYTES_MAX: Final = 200 * 1_024
WINDOW_MS: Final = 300_000  # the form has no chain and no expiry: only a fresh timestamp is executed

_STRING = r'"((?:[^"\\\x00-\x1f\x7f]|\\["\\bfnrt])*)"'
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_TEXT: Final = re.compile(
    rf'\{{"from":{_STRING},"to_":{_STRING},"amount":"{_NUMBER}","nonce":{_NUMBER},"ou":"{_NUMBER}"'
    rf',"timestamp":((?:0|[1-9][0-9]{{0,10}})(?:\.[0-9]{{1,9}})?),"op_type":{_STRING}'
    rf'(?:,"encrypted_data":{_STRING})?(?:,"message":{_STRING})?\}}'
)
_ESCAPES: Final = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPED: Final = {value: "\\" + key for key, value in _ESCAPES.items()}
_CIRCLE_ID: Final = re.compile(r"oct[1-9A-HJ-NP-Za-km-z]{44}")
# Named by the specification, refused until Circles can be deployed in the legacy form.
_KNOWN_OPS: Final = frozenset(("deploy_circle", "circle_program_update", "circle_asset_put", "encrypt", "decrypt"))


@dataclass(frozen=True, slots=True)
class LegacyText:
    """The checked fields of a legacy text, with the operation that it means."""

    sender_text: str
    to_text: str
    amount: int
    nonce: int
    fee: int
    timestamp: str
    op_type: str
    data: str | None
    message: str | None
    public_key: bytes
    op: ops.Op

    @property
    def timestamp_ms(self) -> int:
        """The timestamp in whole milliseconds, rounded down."""
        whole, _, part = self.timestamp.partition(".")
        return int(whole) * 1_000 + int(part[:3].ljust(3, "0"))

    def hash(self, signature: bytes) -> bytes:
        """The legacy transaction hash, which is its id here."""
        fields = (
            ("from", _quote(self.sender_text)),
            ("to_", _quote(self.to_text)),
            ("amount", _quote(str(self.amount))),
            ("nonce", str(self.nonce)),
            ("ou", _quote(str(self.fee))),
            ("timestamp", self.timestamp),
            ("signature", _quote(base64.b64encode(signature).decode())),
            ("op_type", _quote(self.op_type)),
            ("public_key", _quote(base64.b64encode(self.public_key).decode())),
            ("message", "null" if self.message is None else _quote(self.message)),
            ("encrypted_data", "null" if self.data is None else _quote(self.data)),
        )
        return sha256(("{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}").encode()).digest()


def print_legacy(
    *,
    sender: str,
    to: str,
    amount: int,
    nonce: int,
    fee: int,
    timestamp: str,
    op_type: str = "standard",
    data: str = "",
    message: str = "",
) -> bytes:
    """The text that a legacy wallet signs. For clients and tests: consensus only parses."""
    optional = f',"encrypted_data":{_quote(data)}' if data else ""
    if message:
        optional += f',"message":{_quote(message)}'
    return (
        f'{{"from":{_quote(sender)},"to_":{_quote(to)},"amount":"{amount}","nonce":{nonce},"ou":"{fee}"'
        f',"timestamp":{timestamp},"op_type":{_quote(op_type)}{optional}}}'
    ).encode()


def parse_legacy(text: bytes, public_key: bytes) -> LegacyText:
    """The fields of a legacy text; raises `Malformed`, `InvalidAddress`, `InvalidOp` or `Unsupported`."""
    try:
        match = _TEXT.fullmatch(text.decode())
    except UnicodeDecodeError as error:
        raise Malformed("legacy transaction", "not UTF-8") from error
    if match is None:
        raise Malformed("legacy transaction", "not the text that legacy wallets sign")
    sender, to, amount, nonce, fee, timestamp, op_type, data, message = match.groups()
    if data == "" or message == "":
        raise Malformed("legacy transaction", "an empty field is left out")
    if int(nonce) < 1 or max(int(amount), int(nonce), int(fee)) > AMOUNT_MAX:
        raise Malformed("legacy transaction", "a number is out of range")
    if _unquote(sender) != print_address(address_of(public_key)):
        raise Malformed("legacy transaction", "the key does not belong to the sender")
    fields = (_unquote(to), int(amount), int(fee), _unquote(op_type), _unquote(data), _unquote(message))
    to_text, units, ceiling, op_name, payload, memo = fields
    assert to_text is not None
    assert op_name is not None
    return LegacyText(
        sender_text=print_address(address_of(public_key)),
        to_text=to_text,
        amount=units,
        nonce=int(nonce),
        fee=ceiling,
        timestamp=timestamp,
        op_type=op_name,
        data=payload,
        message=memo,
        public_key=public_key,
        op=_operation(op_name, to_text, units, ceiling, payload, memo),
    )


def circle_bytes(text: str) -> bytes:
    """The 33 bytes of a printed Circle id; raises `InvalidOp`."""
    if not _CIRCLE_ID.fullmatch(text):
        raise InvalidOp("not a Circle id")
    return base58_decode(text[3:]).to_bytes(33, "big")


def _operation(op_type: str, to: str, amount: int, fee: int, data: str | None, message: str | None) -> ops.Op:
    match op_type:
        case "standard":
            memo = (message or "").encode()
            if amount < 1 or data is not None or len(memo) > ops.MEMO_BYTES_MAX:
                raise InvalidOp("a transfer has an amount, at most 256 bytes of message and no data")
            return ops.Transfer(parse_address(to), amount, memo)
        case "circle_call":
            if not data or len(data.encode()) > 64:
                raise InvalidOp("a call names its method in encrypted_data")
            gas = min(fee * 1_000, ops.GAS_MAX)
            return ops.CircleCall(circle_bytes(to), data, _json_arguments(message or "[]"), amount, max(1, gas))
        case _:
            raise Unsupported(op_type if op_type in _KNOWN_OPS else "of unknown type")


def _json_arguments(text: str) -> bytes:
    try:
        arguments = msgspec.json.decode(text, type=list[bool | int | str | None])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidOp("the message of a call is a JSON array of its arguments") from error
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in arguments):
        raise InvalidOp("an argument does not fit 64 bits")
    return encode(arguments)


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(character, character) for character in text) + '"'


def _unquote(text: str | None) -> str | None:
    if text is None:
        return None
    return re.sub(r"\\(.)", lambda match: _ESCAPES[match[1]], text)
