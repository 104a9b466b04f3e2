"""JSON-RPC 2.0: bytes to calls and results to bytes. Pure; what the methods do is no concern of this module.

Parameters stay raw JSON until a method reads them by type, so a number is never rounded on the way: the timestamp of
a legacy transaction is signed as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from octra import catalogue
from octra.errors import InvalidInput, OctraError
from octra.node.rpc.limits import BATCH_CALLS_MAX, JSON_DEPTH_MAX

T = TypeVar("T")

ID_BYTES_MAX: Final = 256
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603

_METHOD: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[{]|[\]}]")
_MESSAGES: Final = {
    100: "sender not found", 101: "invalid signature", 102: "invalid nonce", 103: "nonce too far ahead",
    104: "insufficient balance", 105: "malformed transaction", 106: "duplicate transaction", 107: "staging full",
    108: "self transfer", 109: "invalid address", 110: "service unavailable", 111: "supply violation",
    112: "not found", 113: "fee too low", 114: "transaction too large", 115: "invalid operation target",
    116: "unsupported operation", 117: "read-only node", -32000: "not authorised", -32005: "busy",
    -32012: "state moved, try again", -32013: "answer too large", PARSE_ERROR: "parse error",
    INVALID_REQUEST: "invalid request", METHOD_NOT_FOUND: "method not found", INVALID_PARAMS: "invalid params",
    INTERNAL: "internal error",
}  # fmt: skip


class InvalidParams(InvalidInput):
    """A parameter is missing or has the wrong type."""

    oct_code = 4001

    def __init__(self, position: int, expected: str) -> None:
        super().__init__(f"parameter {position + 1}: expected {expected}")
        self.position, self.expected = position, expected


class Failure(Struct, frozen=True):
    """A JSON-RPC error. `data` is always text that starts with our code: existing wallets show only texts."""

    code: int
    message: str
    data: str


class Parameters:
    """Positional parameters, still raw; read by place and type."""

    def __init__(self, raw: Sequence[Raw]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def text(self, position: int, default: str | None = None) -> str:
        """A string."""
        return self.value(position, str, "a string", default)

    def integer(self, position: int, default: int | None = None, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """An integer within its bounds."""
        number = self.value(position, int, "an integer", default)
        if not low <= number <= high:
            raise InvalidParams(position, f"an integer from {low} to {high}")
        return number

    def value(self, position: int, kind: type[T], expected: str, default: T | None = None) -> T:
        """A value of any type that msgspec knows; `null` counts as left out where there is a default."""
        if position >= len(self._raw) or (default is not None and bytes(self._raw[position]) == b"null"):
            if default is None:
                raise InvalidParams(position, expected)
            return default
        try:
            return msgspec.json.decode(self._raw[position], type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidParams(position, expected) from error


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `id` is the raw JSON that goes back unchanged; `None` for a notification, which gets no answer."""

    id: bytes | None
    method: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that is no call."""

    id: bytes
    failure: Failure


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a body asked for, in order."""

    calls: tuple[Call | Refused, ...]
    batch: bool


class _Request(Struct):
    jsonrpc: str
    method: str
    params: list[Raw] | None = None
    id: Raw | UnsetType = UNSET


class _Identified(Struct):
    id: Raw | UnsetType = UNSET


def parse(body: bytes) -> Parsed:
    """The calls in a body. Never raises: what is wrong becomes an answer."""
    if _depth(body) > JSON_DEPTH_MAX:
        return _single(Refused(b"null", failure(INVALID_REQUEST, f"more than {JSON_DEPTH_MAX} levels deep")))
    try:
        if body.lstrip()[:1] == b"[":
            requests = msgspec.json.decode(body, type=list[Raw])
        else:
            msgspec.json.decode(body, type=Raw)
            return _single(_parse_one(body))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _single(Refused(b"null", failure(PARSE_ERROR, "not JSON")))
    if not 1 <= len(requests) <= BATCH_CALLS_MAX:
        return _single(Refused(b"null", failure(INVALID_REQUEST, f"a batch has 1 to {BATCH_CALLS_MAX} calls")))
    return Parsed(tuple(_parse_one(bytes(request)) for request in requests), batch=True)


def answer(call_id: bytes, result: object) -> bytes:
    """The answer with a result."""
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"result":' + msgspec.json.encode(result) + b"}"


def refusal(call_id: bytes, error: Failure) -> bytes:
    """The answer with an error."""
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"error":' + msgspec.json.encode(error) + b"}"


def join(answers: Sequence[bytes], *, batch: bool) -> bytes:
    """The body of the answer; empty when there were only notifications."""
    if not answers:
        return b""
    return b"[" + b",".join(answers) + b"]" if batch else answers[0]


def failure(code: int, detail: str, oct_code: int = 4001) -> Failure:
    """A JSON-RPC error with our own code in its data."""
    return Failure(code, _MESSAGES[code], f"OCT-{oct_code:04d}: {detail}")


def failure_of(error: OctraError) -> Failure:
    """The JSON-RPC error of one of our errors."""
    row = catalogue.row(error.oct_code)
    return Failure(row.rpc, _MESSAGES.get(row.rpc, row.title.lower()), f"{row.text}: {error}")


def unknown_method() -> Failure:
    """The answer to a method that does not exist."""
    return failure(METHOD_NOT_FOUND, "there is no such method; rpc.discover lists all", 4041)


def _parse_one(body: bytes) -> Call | Refused:
    call_id = _id_of(body)
    if isinstance(call_id, Refused):
        return call_id
    try:
        request = msgspec.json.decode(body, type=_Request)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Refused(call_id or b"null", failure(INVALID_REQUEST, "jsonrpc, method, params (a list) and id"))
    if request.jsonrpc != "2.0" or not _METHOD.fullmatch(request.method):
        return Refused(call_id or b"null", failure(INVALID_REQUEST, 'jsonrpc is "2.0", method a short name'))
    return Call(call_id, request.method, Parameters(request.params or ()))


def _id_of(body: bytes) -> bytes | Refused | None:
    """The raw id of a request: a string, number or null, echoed with its type."""
    try:
        raw = msgspec.json.decode(body, type=_Identified).id
        if raw is UNSET:
            return None
        value: Any = msgspec.json.decode(raw)  # any JSON: its type is checked in the next line
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Refused(b"null", failure(INVALID_REQUEST, "a request is an object"))
    if (
        isinstance(value, bool)
        or not (value is None or isinstance(value, str | int | float))
        or len(raw) > ID_BYTES_MAX
    ):
        return Refused(b"null", failure(INVALID_REQUEST, "an id is a string, a number or null"))
    return bytes(raw)


def _single(request: Call | Refused) -> Parsed:
    return Parsed((request,), batch=False)


def _depth(body: bytes) -> int:
    """How deep the brackets of a JSON text go; strings do not count. At most as many as the limit: their number."""
    opening = body.count(b"[") + body.count(b"{")
    if opening <= JSON_DEPTH_MAX:
        return opening  # cheaper, and no text can be deeper than that
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(_STRING.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
