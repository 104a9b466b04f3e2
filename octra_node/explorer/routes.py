"""Addresses of the pages: read the facts of one height, hand them to a page. Addresses are stable, never reused."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from octra import catalogue
from octra.circles.identity import InvalidCircleId, parse_circle, print_circle
from octra.errors import OctraError
from octra.node.explorer import pages, state_pages
from octra.node.explorer.frame import Site
from octra.node.rpc import service
from octra.node.rpc.errors import BadRequest, NotFound, NotOffered
from octra.node.rpc.facade import NodeFacade
from octra.node.rpc.facts import AccountFacts
from octra.node.rpc.limits import PAGE_DEFAULT
from octra.node.rpc.reading import StoredView
from octra.node.rpc.rest import number_of
from octra.primitives import parse_address

HOME_ROWS: Final = 8
STATIC: Final = {"style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}

Page = Callable[[NodeFacade, Site, StoredView, Request], str]

_PLACE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})")


def site_of(facade: NodeFacade, host: str, view: StoredView | None) -> Site:
    """What every page says about where it comes from."""
    genesis = facade.genesis
    return Site(
        chain_id=genesis.chain_id,
        node=facade.status().node_id,
        host=host,
        dealer=genesis.key.origin == "dealer",
        height=None if view is None else view.height,
        epoch=None if view is None else view.epoch_now,
    )


def html(text: str, status: int = 200) -> Response:
    """A page that caches must ask about again."""
    return Response(text, status, {"Cache-Control": "no-cache"}, "text/html; charset=utf-8")


def refusal(facade: NodeFacade, host: str, error: OctraError) -> Response:
    """The page for an error."""
    row = catalogue.row(error.oct_code)
    with ExitStack() as stack:
        try:
            view = stack.enter_context(facade.view())
        except NotOffered:
            view = None
        return html(state_pages.refused(site_of(facade, host, view), row, str(error)), row.http)


# --- pages ---


def _home(facade: NodeFacade, site: Site, view: StoredView, _: Request) -> str:
    recent, _below = view.recent_transactions(HOME_ROWS, heights_max=2_000)
    blocks = view.latest_blocks(HOME_ROWS)
    return pages.home(site, facade.status(), facade.network(), blocks, recent[:HOME_ROWS], view.checkpointed)


def _network(facade: NodeFacade, site: Site, _: StoredView, __: Request) -> str:
    return pages.network(site, facade.network())


def _height(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    return pages.height(site, *service.block(view, number_of(request.path_params["height"])))


def _epochs(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    found = service.epochs(view, PAGE_DEFAULT, _before(request))
    older = found[-1].epoch if found and found[-1].epoch > 0 and len(found) == PAGE_DEFAULT else None
    return pages.epochs(site, found, older)


def _epoch(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    facts = service.epoch(view, number_of(request.path_params["number"]))
    blocks = view.latest_blocks(min(PAGE_DEFAULT, facts.last_height - facts.first_height + 1), facts.last_height + 1)
    return pages.epoch(site, facts, blocks)


def _transactions(facade: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    before = _before(request)
    waiting = service.pending(facade, PAGE_DEFAULT) if before is None else []
    return pages.transactions(site, waiting, *view.recent_transactions(PAGE_DEFAULT, before))


def _transaction(facade: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    facts = service.transaction(facade, view, service.parse_id(request.path_params["id"]))
    row = catalogue.row(facts.code) if facts.code else None
    return pages.transaction(site, facts, row, facts.reason)


def _address(facade: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    address = parse_address(request.path_params["address"])
    place = _PLACE.fullmatch(request.query_params.get("before", ""))
    before = None if place is None else (int(place[1]), int(place[2]))
    facts: AccountFacts = service.account(facade, view, address)
    found = service.history(view, address, PAGE_DEFAULT, before)
    return state_pages.address(site, facts, found.items, found.next)


def _handle(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    name = service.parse_id(request.path_params["id"])
    return state_pages.handle(site, name, service.handle(view, name))


def _job(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    return state_pages.job(site, service.job(view, service.parse_id(request.path_params["id"])))


def _circles(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    after = request.query_params.get("after")
    found = view.circles(PAGE_DEFAULT, b"" if after is None else parse_circle(after))
    return state_pages.circles(site, found, print_circle(found[-1].record.name) if len(found) == PAGE_DEFAULT else None)


def _circle(_: NodeFacade, site: Site, view: StoredView, request: Request) -> str:
    return state_pages.circle(site, service.circle(view, parse_circle(request.path_params["id"])))


def _error(_: NodeFacade, site: Site, __: StoredView, request: Request) -> str:
    digits = request.path_params["code"].removeprefix("OCT-")
    row = catalogue.ROWS.get(int(digits)) if digits.isascii() and digits.isdigit() and len(digits) == 4 else None
    if row is None:
        raise NotFound("error code")
    return state_pages.error(site, row)


def _about(facade: NodeFacade, site: Site, _: StoredView, __: Request) -> str:
    params = facade.params
    return state_pages.about(site, params.key_set, len(params.seats), params.faults)


def _before(request: Request) -> int | None:
    text = request.query_params.get("before")
    return None if text is None else number_of(text)


_PAGES: Final[tuple[tuple[str, Page], ...]] = (
    ("/", _home),
    ("/network", _network),
    ("/epochs", _epochs),
    ("/epoch/{number}", _epoch),
    ("/height/{height}", _height),
    ("/txs", _transactions),
    ("/tx/{id}", _transaction),
    ("/address/{address}", _address),
    ("/handle/{id}", _handle),
    ("/job/{id}", _job),
    ("/circles", _circles),
    ("/circle/{id}", _circle),
    ("/errors/{code}", _error),
    ("/about", _about),
)


def search_target(view: StoredView, text: str) -> str:
    """The address of the page for what somebody typed; raises `BadRequest`."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return f"/height/{int(text)}"
    if text.startswith("oct"):
        try:
            circle = parse_circle(text)
        except InvalidCircleId as error:
            raise BadRequest("this is neither an address nor the id of a Circle") from error
        return f"/circle/{text}" if view.circle(circle) else f"/address/{text}"
    name = text.lower()
    if re.fullmatch(r"[0-9a-f]{64}", name):
        raw = bytes.fromhex(name)
        for path, found in (("handle", view.handle(raw)), ("job", view.job(raw))):
            if found is not None:
                return f"/{path}/{name}"
        return f"/tx/{name}"
    raise BadRequest("search for a transaction, address, height, Circle or handle")


def routes(facade: NodeFacade) -> list[Route]:
    """All pages, the sheet and icon, and the addresses that existing wallets link to."""

    def showing(page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            with facade.view() as view:
                return html(page(facade, site_of(facade, request.headers.get("host", ""), view), view, request))

        return answer

    async def search(request: Request) -> Response:
        with facade.view() as view:
            return RedirectResponse(search_target(view, request.query_params.get("q", "")[:128]), 303)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise NotFound("file")
        data = files("octra.node.explorer").joinpath("static", name).read_bytes()
        return Response(data, 200, {"Cache-Control": "max-age=300"}, STATIC[name])

    async def old_transaction(request: Request) -> Response:
        return RedirectResponse(f"/tx/{service.parse_id(request.query_params.get('hash', '')).hex()}", 308)

    async def old_address(request: Request) -> Response:
        address = request.query_params.get("addr", "")
        parse_address(address)
        return RedirectResponse(f"/address/{address}", 308)

    return [
        *(Route(path, showing(page)) for path, page in _PAGES),
        Route("/search", search),
        Route("/static/{name}", static),
        Route("/tx.html", old_transaction),
        Route("/address.html", old_address),
    ]
