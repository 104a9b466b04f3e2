"""REST under /api/v1: the same questions as JSON over GET, lists in pages, errors as problem+json."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from octra import catalogue
from octra.circles.identity import parse_circle
from octra.errors import OctraError
from octra.node.rpc import present, proofs, service
from octra.node.rpc.errors import BadRequest, NotOffered
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.limits import PAGE_DEFAULT, PAGE_MAX
from octra.node.rpc.methods import decode_arguments, run_view
from octra.node.rpc.reading import StoredView
from octra.primitives import parse_address
from octra.storage.kv import u32, u64

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
WIRE: Final = "application/octet-stream"
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{0,120}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")

View = Callable[[NodeFacade, StoredView, Request], object]


def json_response(value: object, status: int = 200, media: str = JSON) -> Response:
    """A JSON answer that caches must ask about again."""
    return Response(msgspec.json.encode(value), status, {"Cache-Control": "no-cache"}, media)


def problem(error: OctraError, request_id: str = "") -> Response:
    """The answer for an error: what happened, and what to do. Nothing of the request is repeated."""
    row = catalogue.row(error.oct_code)
    body = {
        "type": f"/errors/{row.text}",
        "title": row.title,
        "status": row.http,
        "detail": str(error),
        "code": row.text,
        "hint": row.remedy,
        "request_id": request_id,
    }
    response = json_response(body, row.http, PROBLEM)
    if row.http in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def number_of(text: str) -> int:
    """A decimal number in a path or query; raises `BadRequest`."""
    if not _NUMBER.fullmatch(text):
        raise BadRequest("a number is decimal digits")
    return int(text)


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is asked for. A cursor is opaque to clients and tells where the last part ended."""

    limit: int
    cursor: bytes

    @classmethod
    def of(cls, request: Request) -> Paging:
        """Read `?limit=` and `?cursor=`; raises `BadRequest`."""
        limit = number_of(request.query_params.get("limit", str(PAGE_DEFAULT)))
        text = request.query_params.get("cursor", "")
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"a limit is 1 to {PAGE_MAX}")
        if not _CURSOR.fullmatch(text):
            raise BadRequest("unknown cursor")
        try:
            return cls(limit, urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except ValueError as error:
            raise BadRequest("unknown cursor") from error

    def number(self) -> int | None:
        """The cursor as one number, or `None` at the start."""
        return int.from_bytes(self._sized(8), "big") if self.cursor else None

    def place(self) -> tuple[int, int] | None:
        """The cursor as (height, index), or `None` at the start."""
        data = self._sized(12) if self.cursor else None
        return None if data is None else (int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))

    def circle(self) -> bytes:
        """The cursor as a Circle's id, empty at the start."""
        return self._sized(33) if self.cursor else b""

    def _sized(self, size: int) -> bytes:
        if len(self.cursor) != size or self.cursor[0] >= 0x80:
            raise BadRequest("unknown cursor")
        return self.cursor


def page(view: StoredView, items: list[present.Json], following: bytes | None) -> present.Json:
    """A part of a list."""
    cursor = None if following is None else urlsafe_b64encode(following).decode().rstrip("=")
    return {"items": items, "next": cursor, "as_of": present.as_of(view)}


# --- the questions ---


def _network(facade: NodeFacade, _: StoredView, __: Request) -> object:
    return present.network(facade.network())


def _epochs(_: NodeFacade, view: StoredView, request: Request) -> object:
    paging = Paging.of(request)
    found = service.epochs(view, paging.limit, paging.number())
    following = u64(found[-1].epoch) if found and found[-1].epoch > 0 and len(found) == paging.limit else None
    return page(view, [present.epoch(facts) for facts in found], following)


def _epoch(_: NodeFacade, view: StoredView, request: Request) -> object:
    return present.epoch(service.epoch(view, number_of(request.path_params["number"])))


def _heights(_: NodeFacade, view: StoredView, request: Request) -> object:
    paging = Paging.of(request)
    found = view.latest_blocks(paging.limit, paging.number())
    following = u64(found[-1].height) if len(found) == paging.limit else None
    return page(view, [present.block(facts) for facts in found], following)


def _height(_: NodeFacade, view: StoredView, request: Request) -> object:
    facts, transactions = service.block(view, number_of(request.path_params["height"]))
    return present.block(facts) | {"items": [present.transaction(found) for found in transactions]}


def _transactions(_: NodeFacade, view: StoredView, request: Request) -> object:
    paging = Paging.of(request)
    found, below = view.recent_transactions(paging.limit, paging.number())
    return page(view, [present.transaction(facts) for facts in found], None if below is None else u64(below))


def _transaction(facade: NodeFacade, view: StoredView, request: Request) -> object:
    return present.transaction(service.transaction(facade, view, service.parse_id(request.path_params["id"])))


def _account(facade: NodeFacade, view: StoredView, request: Request) -> object:
    return present.account(service.account(facade, view, parse_address(request.path_params["address"])))


def _history(_: NodeFacade, view: StoredView, request: Request) -> object:
    paging = Paging.of(request)
    found = service.history(view, parse_address(request.path_params["address"]), paging.limit, paging.place())
    following = None if found.next is None else u64(found.next[0]) + u32(found.next[1])
    return page(view, [present.transaction(facts) for facts in found.items], following)


def _handle(_: NodeFacade, view: StoredView, request: Request) -> object:
    name = service.parse_id(request.path_params["id"])
    return present.handle(name, service.handle(view, name))


def _job(_: NodeFacade, view: StoredView, request: Request) -> object:
    return present.job(service.job(view, service.parse_id(request.path_params["id"])))


def _proof(facade: NodeFacade, view: StoredView, request: Request) -> object:
    kind, name = request.path_params["kind"], request.path_params["id"]
    height = request.query_params.get("height")
    return proofs.document(facade, view, kind, name, None if height is None else number_of(height))


def _circles(_: NodeFacade, view: StoredView, request: Request) -> object:
    paging = Paging.of(request)
    found = view.circles(paging.limit, paging.circle())
    following = found[-1].record.name if len(found) == paging.limit else None
    return page(view, [present.circle(facts) for facts in found], following)


def _circle(_: NodeFacade, view: StoredView, request: Request) -> object:
    return present.circle(service.circle(view, parse_circle(request.path_params["id"])))


def _chain(facade: NodeFacade, view: StoredView, _: Request) -> object:
    return present.chain(facade, view)


def _committee(facade: NodeFacade, _: StoredView, __: Request) -> object:
    return present.committee(facade)


_READS: Final[tuple[tuple[str, View], ...]] = (
    ("/chain", _chain),
    ("/committee", _committee),
    ("/network/graph", _network),
    ("/epochs", _epochs),
    ("/epochs/{number}", _epoch),
    ("/heights", _heights),
    ("/heights/{height}", _height),
    ("/transactions", _transactions),
    ("/transactions/{id}", _transaction),
    ("/accounts/{address}", _account),
    ("/accounts/{address}/transactions", _history),
    ("/handles/{id}", _handle),
    ("/jobs/{id}", _job),
    ("/proofs/{kind}/{id}", _proof),
    ("/circles", _circles),
    ("/circles/{id}", _circle),
)


def routes(facade: NodeFacade) -> list[Route]:
    """All routes below /api/v1, and the two that tell a supervisor how the node is."""

    def reading(view: View) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            with facade.view() as stored:
                return json_response(view(facade, stored, request))

        return answer

    async def status(_: Request) -> Response:
        try:
            with facade.view() as stored:
                return json_response(present.status(facade, stored))
        except NotOffered:
            return json_response(present.status(facade, None))

    async def submit(request: Request) -> Response:
        if request.headers.get("content-type", WIRE).partition(";")[0] != WIRE:
            raise BadRequest(f"a transaction is sent as {WIRE}")
        tx_id, unchecked = await service.submit(facade, await request.body())
        nonce = unchecked.content.nonce
        return json_response({"tx_id": tx_id.hex(), "status": "accepted", "nonce": nonce}, 202)

    async def circle_view(request: Request) -> Response:
        circle = parse_circle(request.path_params["id"])
        try:
            call = msgspec.json.decode(await request.body(), type=_ViewCall)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadRequest('a view is {"method": text, "arguments": list}') from error
        with facade.view() as stored:
            height = stored.height
        arguments = decode_arguments(bytes(call.arguments))
        return json_response(await run_view(facade, circle, call.method, arguments, height))

    async def health(_: Request) -> Response:
        return json_response({"status": "alive"})

    async def ready(_: Request) -> Response:
        facts = facade.status()
        body = {"state": facts.state, "lag": facts.lag, "reasons": list(facts.reasons)}
        return json_response(body, 200 if facts.ready else 206 if facts.state == "syncing" else 503)

    return [
        Route("/health", health),
        Route("/readyz", ready),
        Route("/api/v1/status", status),
        Route("/api/v1/transactions", submit, methods=["POST"]),
        Route("/api/v1/circles/{id}/view", circle_view, methods=["POST"]),
        *(Route(f"/api/v1{path}", reading(view)) for path, view in _READS),
    ]


class _ViewCall(msgspec.Struct):
    method: str
    arguments: msgspec.Raw = msgspec.Raw(b"[]")
