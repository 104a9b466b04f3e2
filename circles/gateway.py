"""A Circle's own web origin: HTTP request in, HTTP response out, over one view of the state. No socket here.

Each Circle is served under its own host name, so browsers keep Circles apart. The page can read through
`/.octra/view/METHOD`; to write it shows the command for the wallet, since no key belongs in a web page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from octra.circles.errors import InvalidFrame
from octra.circles.frame import decode_response
from octra.circles.identity import InvalidCircleId, parse_label, print_circle
from octra.consensus.ports import Argument, CallOutcome
from octra.errors import Unavailable

_SYSTEM = "/.octra/"
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"
_QUERY_MAX, _BODY_MAX, _ARGUMENTS_MAX = 8 * 1024, 64 * 1024, 64
_SAFE_INTEGER = 2**53


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, still undecoded; header names in lower case."""

    method: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What to send back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """An asset with its bytes."""

    media: str
    blob: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class CircleFacts:
    """What the gateway says about a Circle and obeys; `root` is the state root of `height`."""

    name: str
    version: str
    code_hash: bytes
    height: int
    root: bytes
    usage: int
    max_stable_bytes: int
    methods: Mapping[str, str]  # name -> "update" or "query"
    served: bool = True  # the manifest allows browsers
    csp: str = "strict"
    fallback: str = "/index.html"


class SiteView(Protocol):
    """What the gateway reads of one state of the chain."""

    def facts(self, circle: bytes) -> CircleFacts | None: ...
    def file(self, circle: bytes, path: str) -> SiteFile | None: ...
    def query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome: ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """Serves all Circles of a node. `suffixes` follow the label in host names; `node_origin` may frame the pages."""

    suffixes: tuple[str, ...] = ("localhost",)
    node_origin: str = "'none'"

    def handle(self, request: Request, view: SiteView) -> Response:
        """The answer to a request; nothing of an unknown host or path is repeated in it."""
        circle = self.circle_of(request.host)
        facts = view.facts(circle) if circle is not None else None
        if circle is None or facts is None:
            return _plain(404, "no Circle here\n")
        if request.method not in _METHODS:
            answer = _plain(405, "GET, HEAD, POST or OPTIONS\n", ("Allow", ", ".join(_METHODS)))
        elif not facts.served:
            answer = _plain(403, "this Circle does not allow browsers\n")
        elif request.method == "OPTIONS":
            answer = Response(204, (("Allow", ", ".join(_METHODS)),))
        elif request.path.startswith(_SYSTEM):
            answer = _system(request, view, circle, facts)
        elif request.method == "POST":
            answer = _plain(405, "pages are read with GET\n", ("Allow", "GET, HEAD, OPTIONS"))
        else:
            answer = _static(request, view, circle, facts)
        headers = answer.headers + self.headers(circle, facts)
        if request.method == "HEAD":
            return Response(answer.status, (*headers, ("Content-Length", str(len(answer.body)))))
        return Response(answer.status, headers, answer.body)

    def circle_of(self, host: str) -> bytes | None:
        """The Circle that a host name belongs to, or None."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        label, _, suffix = name.lower().rstrip(".").partition(".")
        if suffix not in self.suffixes:
            return None
        try:
            return parse_label(label)
        except InvalidCircleId:
            return None

    def headers(self, circle: bytes, facts: CircleFacts) -> tuple[tuple[str, str], ...]:
        """The headers of every answer: nothing foreign is loaded, nobody else embeds the page."""
        scripts = "'self' 'wasm-unsafe-eval'" if facts.csp == "wasm" else "'self'"
        policy = (
            f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data: blob:; "
            "font-src 'self'; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
            f"frame-ancestors {self.node_origin}"
        )
        return (
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ("Octra-Circle", print_circle(circle)),
            ("Octra-Height", str(facts.height)),
            ("Octra-Root", facts.root.hex()),
        )


def _static(request: Request, view: SiteView, circle: bytes, facts: CircleFacts) -> Response:
    path = _decode_path(request.path)
    if path is None:
        return _plain(400, "malformed path\n")
    if path.endswith("/"):
        path += "index.html"
    file = view.file(circle, path)
    if file is None and "." not in path.rpartition("/")[2]:
        file = view.file(circle, facts.fallback)  # an address inside a single-page application
    if file is None:
        return _plain(404, "not found\n")
    tag = f'"{file.blob.hex()}"'
    caching = (("ETag", tag), ("Cache-Control", "no-cache"))
    asked = request.headers.get("if-none-match", "")
    if asked.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in asked.split(",")):
        return Response(304, caching)
    return Response(200, (("Content-Type", file.media), *caching), file.data)


def _system(request: Request, view: SiteView, circle: bytes, facts: CircleFacts) -> Response:
    name = request.path.removeprefix(_SYSTEM)
    if name == "circle" and request.method != "POST":
        return _json(200, _describe(circle, facts))
    if name.startswith("view/"):
        return _view(request, view, circle, facts, name.removeprefix("view/"))
    return _json(404, {"error": "not_found", "detail": "there are /.octra/circle and /.octra/view/METHOD"})


def _describe(circle: bytes, facts: CircleFacts) -> dict[str, object]:
    return {
        "circle": print_circle(circle),
        "name": facts.name,
        "version": facts.version,
        "code_hash": facts.code_hash.hex(),
        "height": facts.height,
        "root": facts.root.hex(),
        "usage": facts.usage,
        "max_stable_bytes": facts.max_stable_bytes,
        "methods": dict(sorted(facts.methods.items())),
        "note": "A gateway can show you anything; your own node or the explorer checks the proof.",
    }


def _view(request: Request, view: SiteView, circle: bytes, facts: CircleFacts, method: str) -> Response:
    kind = facts.methods.get(method)
    if kind is None:
        return _json(404, {"error": "method_unknown", "detail": "the Circle declares no such method"})
    if kind != "query":
        return _json(405, {"error": "method_kind", "detail": "it writes: call it with `octra circle call`"})
    try:
        arguments = _arguments(request)
    except ValueError as error:
        return _json(400, {"error": "bad_arguments", "detail": str(error)})
    try:
        outcome = view.query(circle, method, arguments)
    except Unavailable as error:
        return _json(503, {"error": "unavailable", "detail": str(error)}, ("Retry-After", "1"))
    try:
        value = _json_value(decode_response(outcome.response))
    except InvalidFrame as error:
        return _json(502, {"error": "bad_response", "detail": error.reason})
    answer = {
        "status": outcome.status,
        "value": value,
        "detail": outcome.detail,
        "gas": outcome.gas_used,
        "height": facts.height,
    }
    return _json(200 if outcome.status == "ok" else 422, answer)


def _arguments(request: Request) -> tuple[Argument, ...]:
    """Arguments as a JSON array, in the body of a POST or the query's `args`; raises ValueError with a reason."""
    if request.method == "POST":
        if len(request.body) > _BODY_MAX:
            raise ValueError(f"a body has at most {_BODY_MAX} bytes")
        text = request.body
    else:
        if len(request.query) > _QUERY_MAX:
            raise ValueError(f"a query has at most {_QUERY_MAX} bytes")
        text = parse_qs(request.query, max_num_fields=8).get("args", ["[]"])[0].encode("utf-8", "replace")
    try:
        values = msgspec.json.decode(text or b"[]", type=list[bool | int | str | dict[str, str] | None])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError('args is a JSON array of null, booleans, integers, texts and {"hex": ...}') from error
    if len(values) > _ARGUMENTS_MAX:
        raise ValueError(f"at most {_ARGUMENTS_MAX} arguments")
    return tuple(_argument(value) for value in values)


def _argument(value: bool | int | str | dict[str, str] | None) -> Argument:
    if isinstance(value, dict):
        if list(value) != ["hex"]:
            raise ValueError('bytes are written {"hex": "00ff"}')
        return bytes.fromhex(value["hex"])
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("an integer does not fit 64 bits")
    return value


def _json_value(value: Argument) -> object:
    """A value as JSON: integers that JavaScript would round become {"int": text}, bytes {"hex": text}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return {"int": str(value)}
    return value


def _decode_path(path: str) -> str | None:
    """The path of a file, percent-decoded once; None for anything that could mean two things."""
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    decoded = unicodedata.normalize("NFC", decoded)
    if not decoded.startswith("/") or "\\" in decoded or not decoded.isprintable():
        return None
    parts = decoded[1:].split("/")
    if any(part in (".", "..") for part in parts) or "" in parts[:-1]:
        return None
    return decoded


def _plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status, (("Content-Type", _PLAIN), *headers), text.encode())


def _json(status: int, value: object, *headers: tuple[str, str]) -> Response:
    return Response(
        status, (("Content-Type", _JSON), ("Cache-Control", "no-store"), *headers), msgspec.json.encode(value) + b"\n"
    )
