"""What all pages share: head, header, footer, and the small parts that they are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from octra.circles.identity import print_account
from octra.node.explorer.drawing import logo
from octra.node.explorer.html import Child, Raw, document, el, join
from octra.node.rpc.facts import Level
from octra.primitives import print_amount

ADDRESS_SIZE = 32  # a Circle's id has 33 bytes
NAVIGATION = (
    ("/", "Overview"),
    ("/network", "Network"),
    ("/epochs", "Epochs"),
    ("/txs", "Transactions"),
    ("/circles", "Circles"),
    ("/about", "Promises"),
)


@dataclass(frozen=True, slots=True)
class Site:
    """What every page says about where it comes from."""

    chain_id: str
    node: str  # the printed node id
    host: str  # as the browser asked for it
    dealer: bool  # one party made the network key
    height: int | None = None
    epoch: int | None = None


def page(site: Site, title: str, *content: Child, path: str = "", json: str | None = None) -> str:
    """A whole page. `path` marks the current place in the navigation, `json` is where the same is found as data."""
    head = (
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · {site.chain_id.removeprefix('octra:')}"),
        el("link", rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        el("link", rel="stylesheet", href="/static/style.css"),
    )
    return document(
        head,
        join(
            el("a", "Skip to the content", href="#content", class_="skip"),
            _header(path),
            el("main", *content, id="content"),
            _footer(site, json),
        ),
    )


def _header(path: str) -> Raw:
    links = [el("a", name, href=href, aria_current="page" if href == path else None) for href, name in NAVIGATION]
    field = el(
        "input",
        type="search",
        name="q",
        placeholder="Transaction, address, height, Circle",
        aria_label="Search for a transaction, address, height, Circle or handle",
        required=True,
        maxlength=128,
        autocomplete="off",
        spellcheck="false",
    )
    search = el("form", field, el("button", "Find"), action="/search", method="get", role="search")
    home = el("a", logo(), el("span", "octra"), href="/", class_="brand", aria_label="Octra, overview")
    return el("header", el("div", home, el("nav", *links, aria_label="Main"), search, class_="wrap bar"))


def _footer(site: Site, json: str | None) -> Raw:
    as_of = None
    if site.height is not None:
        as_of = el(
            "p", f"As of height {site.height}, epoch {site.epoch}, seen by node ", el("code", shorten(site.node))
        )
    data = None
    if json is not None:
        data = el("p", el("a", "This page as JSON", href=json), " ", el("code", f"curl http://{site.host}{json}"))
    secrecy = (
        el("p", "Test network: its key was made by one party. ", el("a", "What that means", href="/about"))
        if site.dealer
        else None
    )
    return el("footer", el("div", as_of, data, secrecy, class_="wrap"))


# --- parts ---


def heading(kicker: str, title: Child, *more: Child) -> Raw:
    """The top of a page: a small word above its one h1."""
    return el("div", el("p", kicker, class_="kicker"), el("h1", title), *more, class_="heading")


def section(title: str, *content: Child, link: tuple[str, str] | None = None) -> Raw:
    """A card with a title and perhaps a link at its right."""
    more = el("a", link[1], href=link[0]) if link else None
    return el("section", el("div", el("h2", title), more, class_="title"), *content, class_="card")


def tile(label: str, value: Child, note: Child = None) -> Raw:
    """One figure."""
    return el("div", el("dt", label), el("dd", value), el("dd", note, class_="note") if note else None, class_="tile")


def pairs(rows: Iterable[tuple[str, Child]]) -> Raw:
    """Names with values, one below the other; `None` values are left out."""
    found = ((el("dt", name), el("dd", value)) for name, value in rows if value is not None)
    return el("dl", *found, class_="pairs")


def grid(columns: Sequence[str], rows: Sequence[Sequence[Child]], empty: str) -> Raw:
    """A table that turns into cards on a narrow screen."""
    if not rows:
        return el("p", empty, class_="empty")
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in columns)))
    body = [
        el("tr", *(el("td", cell, data_label=name) for name, cell in zip(columns, row, strict=True))) for row in rows
    ]
    return el("table", head, el("tbody", *body))


def level_badge(level: Level) -> Raw:
    """How final something is, in a word and a colour."""
    return el("span", level.word, class_=f"badge {level.word}")


def status_badge(status: str) -> Raw:
    """How something ended, in a word and a colour."""
    kind = {"ok": "good", "failed": "bad", "refused": "bad", "dropped": "bad"}.get(status, "busy")
    return el("span", status, class_=f"badge {kind}")


def sealed(text: str = "sealed") -> Raw:
    """Stands where a hidden value would be."""
    lock = el(
        "svg",
        el("rect", x="3", y="7", width="10", height="7", rx="1.6", fill="currentColor"),
        el("path", d="M5 7V5a3 3 0 0 1 6 0v2", fill="none", stroke="currentColor", stroke_width="1.6"),
        viewBox="0 0 16 16",
        class_="lock",
        aria_hidden="true",
    )
    return el("span", lock, text, class_="sealed")


def shorten(text: str, head: int = 10, tail: int = 6) -> str:
    """A long name with its middle left out."""
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def short_link(href: str, text: str) -> Raw:
    """A link that shows the ends of a long name."""
    return el("a", shorten(text), href=href, title=text, class_="mono")


def full(text: str) -> Raw:
    """A long name in full, which may break anywhere."""
    return el("span", text, class_="mono long")


def moment(time_ms: int | None) -> Child:
    """A time for people and machines."""
    if time_ms is None:
        return None
    when = datetime.fromtimestamp(time_ms // 1_000, UTC)
    return el("time", when.strftime("%Y-%m-%d %H:%M:%S UTC"), datetime=when.strftime("%Y-%m-%dT%H:%M:%SZ"))


def clock(time_ms: int) -> Raw:
    """The time of day, for lists of what is new."""
    when = datetime.fromtimestamp(time_ms // 1_000, UTC)
    return el("time", when.strftime("%H:%M:%S"), datetime=when.strftime("%Y-%m-%dT%H:%M:%SZ"))


def oct_amount(units: int) -> Raw:
    """An amount of OCT."""
    return el("span", print_amount(units), el("small", " OCT"), class_="amount")


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 node`, `3 nodes`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def account_link(account: bytes) -> Raw:
    """A link to an account or Circle, its middle left out."""
    return short_link(_account_page(account), print_account(account))


def account_full(account: bytes) -> Raw:
    """A link to an account or Circle, in full."""
    return el("a", print_account(account), href=_account_page(account), class_="mono long")


def _account_page(account: bytes) -> str:
    name = print_account(account)
    return f"/address/{name}" if len(account) == ADDRESS_SIZE else f"/circle/{name}"


def handle_link(name: bytes) -> Raw:
    """A link to an encrypted value."""
    return short_link(f"/handle/{name.hex()}", name.hex())


def more(href: str | None) -> Raw | None:
    """A link to the next part of a list."""
    return el("p", el("a", "Older →", href=href, rel="next"), class_="more") if href else None
