"""The HTTP server of a node: limits first, then the Circle gateway by host name, then RPC, REST and pages."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octra.circles import gateway as circle_gateway
from octra.errors import OctraError, Unavailable
from octra.node.explorer import routes as explorer
from octra.node.rpc import jsonrpc, legacy, rest
from octra.node.rpc.errors import BadRequest, BodyTooLarge, Busy, Internal, NotFound, TooSlow
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.limits import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    PRICE_PROOF,
    PRICE_READ,
    PRICE_SUBMIT,
    PRICE_VIEW,
    REQUEST_S,
    REQUESTS_AT_ONCE,
    URL_BYTES_MAX,
    Budgets,
    is_known_host,
)
from octra.node.rpc.methods import table

__all__ = ["HttpServer", "PortTaken", "build_app"]

KEEP_ALIVE_S: Final = 60
SHUTDOWN_S: Final = 3
LAST_S: Final = 1.0  # for requests that a stopping node still answers
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
)
_CORS: Final = ((b"access-control-allow-origin", b"*"),)
_PREFLIGHT: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "86400",
}
_SHARED: Final = ("/rpc", "/api/v1/")  # what any page may read; no cookies and no keys exist here that it could use
_FREE: Final = ("/health", "/readyz", "/static/")

Spend = Callable[[str, int], None]  # (host, tokens); raises `Busy`

assert legacy.STAGING_MAX  # importing it fills the table of methods


class PortTaken(Unavailable):
    """Another program listens on that port."""

    oct_code = 1110

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is taken by another program")
        self.host, self.port = host, port


class HttpServer:
    """Serves a facade on one address inside the running event loop."""

    def __init__(
        self, facade: NodeFacade, host: str, port: int, *, public: bool = False, names: Collection[str] = ()
    ) -> None:
        """`public` turns budgets on; `names` are host names besides localhost under which the node is known."""
        self.host, self.port = host, port
        self._app = build_app(facade, public=public, names=names)
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws="none",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises `PortTaken`. With port 0 the system chooses, and `port` tells which."""
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what is being answered, tell those who wait for longer to ask again, then close."""
        if self._task is not None:
            self._app.hurry(LAST_S)
            self._server.end()
            await self._task
            self._task = None


class _Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn is not followed by mypy here
    """Without uvicorn's own signal handlers: the daemon decides when to stop, so nobody looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Accept no more; `serve` returns when the last answers are given, or have taken too long."""
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        await self._ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def monotonic_ms() -> int:
    """Milliseconds that never go back."""
    return time.monotonic_ns() // 1_000_000


def build_app(
    facade: NodeFacade,
    *,
    public: bool = False,
    names: Collection[str] = (),
    now_ms: Callable[[], int] = monotonic_ms,
) -> Limits:
    """The whole application: what a request goes through, from outside to inside."""

    async def rpc(request: Request) -> Response:
        body = await request.body()
        parsed = jsonrpc.parse(body)
        _pay(request.scope, table.price_of(parsed) - PRICE_READ)
        answer = await table.answer(facade, parsed)
        return Response(answer, 200 if answer else 204, media_type=rest.JSON)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, OctraError)
        return _refusal(facade, request, error)

    async def not_routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refused = NotFound("page") if error.status_code == 404 else BadRequest("this address does not take that method")
        return _refusal(facade, request, refused)

    async def unexpected(request: Request, _: Exception) -> Response:
        # Starlette raises the error again after this answer, so it reaches the log; the sender learns nothing of it.
        return _refusal(facade, request, Internal())

    app = Starlette(
        routes=[
            Route("/rpc", rpc, methods=["POST"]),
            Route("/", rpc, methods=["POST"]),
            *rest.routes(facade),
            *explorer.routes(facade),
        ],
        exception_handlers={OctraError: failed, HTTPException: not_routed, Exception: unexpected},
    )
    app.router.redirect_slashes = False
    spend = _spender(now_ms) if public else None
    return Limits(_Circles(app, facade), facade, spend, frozenset(names))


def _refusal(facade: NodeFacade, request: Request, error: OctraError) -> Response:
    """A problem document for programs, a page for people."""
    wants_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if wants_page and not request.url.path.startswith("/api/"):
        return explorer.refusal(facade, request.headers.get("host", ""), error)
    return rest.problem(error, request.scope.get("octra.request", ""))


def _spender(now_ms: Callable[[], int]) -> Spend:
    """Budgets of all hosts of one listener."""
    budgets = Budgets()

    def spend(host: str, price: int) -> None:
        if not budgets.spend(host, price, now_ms()):
            raise Busy

    return spend


def _pay(scope: Scope, price: int) -> None:
    """Take tokens of the sender; raises `Busy` when there are not so many left."""
    spend: Spend | None = scope.get("octra.spend")
    if spend is not None and price > 0:
        client = scope.get("client")
        spend(client[0] if client else "", price)


class _Circles:
    """Requests for a Circle's own host name go to the gateway; everything else goes on."""

    def __init__(self, app: ASGIApp, facade: NodeFacade) -> None:
        self._app, self._facade = app, facade
        self._gateway = circle_gateway.Gateway()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _header(scope, b"host")
        if not is_circle_host(self._gateway, host):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        asked = circle_gateway.Request(
            method=request.method,
            host=host,
            path=scope.get("raw_path", b"").decode("latin-1").partition("?")[0],
            query=scope["query_string"].decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
        )
        answer = await asyncio.to_thread(self._answer, asked)  # a view may wait for another process
        response = Response(answer.body, answer.status)
        for name, value in answer.headers:
            response.headers[name] = value
        scope["octra.own_headers"] = True  # a Circle's page has a policy of its own
        await response(scope, receive, send)

    def _answer(self, asked: circle_gateway.Request) -> circle_gateway.Response:
        with self._facade.site_view() as view:
            return self._gateway.handle(asked, view)


def is_circle_host(gateway: circle_gateway.Gateway, host: str) -> bool:
    """Whether a Host header has the form of a Circle's origin."""
    return gateway.circle_of(host) is not None


class Limits:
    """What stands before everything: known host, sizes, budgets, number and time of requests, headers of answers."""

    def __init__(self, app: ASGIApp, facade: NodeFacade, spend: Spend | None, names: frozenset[str]) -> None:
        self._app, self._facade, self._spend, self._names = app, facade, spend, names
        self._gateway = circle_gateway.Gateway()
        self._running: dict[asyncio.Timeout, None] = {}
        self._ends = math.inf  # when the node stops, on the loop's clock

    def hurry(self, left_s: float) -> None:
        """Requests that run, or still come, have so much time left: the node stops."""
        self._ends = asyncio.get_running_loop().time() + left_s
        for running in self._running:
            if not running.expired():
                running.reschedule(self._ends)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["octra.request"] = uuid4().hex[:12]
        path: str = scope["path"]
        shared = path.startswith(_SHARED) or (path == "/" and scope["method"] == "POST")
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if not scope.get("octra.own_headers"):
                    extra = SECURITY_HEADERS + (_CORS if shared else ())
                    message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            self._check(scope)
            if shared and scope["method"] == "OPTIONS":
                await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send)
                return
            ends = min(asyncio.get_running_loop().time() + REQUEST_S, self._ends)
            async with asyncio.timeout_at(ends) as running:
                self._running[running] = None
                try:
                    await self._app(scope, _bounded(scope, receive), send_with_headers)
                finally:
                    del self._running[running]
        except TimeoutError:
            if not started:
                await _refusal(self._facade, Request(scope), TooSlow(REQUEST_S))(scope, receive, send_with_headers)
        except OctraError as error:
            if not started:
                await _refusal(self._facade, Request(scope), error)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        """Raise for a request that is refused by its head alone."""
        host = _header(scope, b"host")
        if not is_known_host(host, self._names) and not is_circle_host(self._gateway, host):
            raise BadRequest("unknown host name")
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > URL_BYTES_MAX:
            raise BadRequest("the address is too long")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES_MAX:
            raise BadRequest("the headers are too long")
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            raise BodyTooLarge(BODY_BYTES_MAX)
        if len(self._running) >= REQUESTS_AT_ONCE:
            raise Busy
        if self._spend is not None and not scope["path"].startswith(_FREE):
            scope["octra.spend"] = self._spend
            _pay(scope, _price(scope))


def _price(scope: Scope) -> int:
    """Tokens of a request by its address; RPC pays the rest when its methods are known."""
    path: str = scope["path"]
    if path.endswith("/view") or "/.octra/view/" in path:
        return PRICE_VIEW
    if path.endswith("/transactions"):
        return PRICE_SUBMIT if scope["method"] == "POST" else PRICE_PROOF
    return PRICE_PROOF if "/proofs/" in path or path.startswith(("/txs", "/address/")) else PRICE_READ


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The body of a request, ended by an error past the limit, whatever its length header said."""
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(BODY_BYTES_MAX)
        return message

    return read


def _header(scope: Scope, name: bytes) -> str:
    """A header of a request, empty when it is absent or stands there twice."""
    found: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio spares only sockets that say TCP the wait of 40 ms between head and body of an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from error
        raise
    listener.setblocking(False)
    return listener
