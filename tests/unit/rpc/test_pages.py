"""Pages: whole without scripts, nothing injected, nothing secret, headers set, every link leads somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.circles.identity import print_circle
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node.explorer.html import Raw, el, join, render
from octra.primitives import address_of, print_address

ALICE = SigningKey(b"\x01" * 32)
A = print_address(address_of(ALICE.public))
CIRCLE = print_circle(b"\x00" + H("test.circle", b"counter"))
VOID = {"meta", "link", "input", "br"}


class Outline(HTMLParser):
    """What a browser would make of a page; fails on markup that is not nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.links += [value for name, value in attrs if name in ("href", "src", "action") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def paths(ids: dict[str, bytes]) -> list[str]:
    fixed = [
        "/",
        "/network",
        "/epochs",
        "/epoch/0",
        "/epoch/2",
        "/height/1",
        "/height/24",
        "/txs",
        "/circles",
        "/about",
    ]
    fixed += [f"/address/{A}", f"/circle/{CIRCLE}", "/errors/OCT-2104", "/errors/9002"]
    fixed += [f"/handle/{H('test.handle').hex()}", f"/job/{H('test.job').hex()}"]
    return fixed + [f"/tx/{tx_id.hex()}" for tx_id in ids.values()]


def test_every_page_is_well_formed_and_needs_no_script_or_foreign_file(client: Any, ids: dict[str, bytes]) -> None:
    for path in paths(ids):
        answer = client.get(path)
        assert answer.status == 200, path
        page = Outline(answer.text)
        assert page.tags.count("h1") == 1, path
        assert {"script", "style", "iframe", "object"} & set(page.tags) == set()
        names = {name for name, _ in page.attributes}
        assert not any(name.startswith("on") or name == "style" for name in names), path
        assert {"header", "nav", "main", "footer", "title"} <= set(page.tags)
        for link in page.links:
            foreign = "//" in link
            assert not foreign or (link.startswith("http://") and ".localhost:8080/" in link), link
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_link_inside_the_site_leads_somewhere(client: Any, ids: dict[str, bytes]) -> None:
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        assert answer.status == 200 or path.startswith(("/address/", "/search")), (path, answer.status)
        if answer.headers["content-type"].startswith("text/html"):
            links = Outline(answer.text).links
            waiting += [
                link for link in links if link.startswith("/") and not link.startswith(("/search", "/static/icon"))
            ]
    assert len(seen) > 40


def test_hostile_text_from_the_chain_stays_text(client: Any, ids: dict[str, bytes]) -> None:
    for path in (f"/tx/{ids['hostile'].hex()}", "/network", "/", "/txs"):
        answer = client.get(path)
        assert "<script" not in answer.text
        assert 'onload=1"' not in answer.text
    assert "<script>alert('x')</script>" in Outline(client.get(f"/tx/{ids['hostile'].hex()}").text).words


@pytest.mark.parametrize(
    "path",
    [
        "/tx/<script>alert(1)</script>",
        "/address/%22onmouseover=%22alert(1)",
        "/search?q=%3Cscript%3E",
        "/errors/OCT-%3Cb%3E",
        "/height/<b>",
        "/circles?after=%3Cb%3E",
        "/<script>",
        "/tx.html?hash=%0d%0aSet-Cookie:x",
        "/address.html?addr=//evil.example",
        "/static/../pages.py",
        "/static/%2e%2e%2fpages.py",
    ],
)
def test_hostile_addresses_get_a_page_that_does_not_repeat_them(client: Any, path: str) -> None:
    answer = client.get(path, accept="text/html")
    assert answer.status in (400, 404)
    page = Outline(answer.text)
    assert "script" not in page.tags
    assert "alert" not in answer.text
    assert "evil" not in answer.text
    assert "set-cookie" not in answer.headers


def test_private_amounts_are_sealed_and_failures_explained(client: Any, ids: dict[str, bytes]) -> None:
    private = Outline(client.get(f"/tx/{ids['private'].hex()}").text).words
    assert "sealed to the receiver" in private
    assert "Strangers see" in private
    assert "OCT of" not in private
    failed = client.get(f"/tx/{ids['failed'].hex()}")
    assert "999 units needed, 3 available" in failed.text
    assert "/errors/OCT-2104" in failed.text
    waiting = Outline(client.get(f"/tx/{ids['waiting'].hex()}").text).words
    assert "pending" in waiting


def test_the_dealer_is_named_in_red_and_on_every_page(client: Any, ids: dict[str, bytes]) -> None:
    about = client.get("/about").text
    assert 'class="notice bad" role="alert"' in about
    assert "No secrecy against the operator" in about
    for path in paths(ids):
        assert "its key was made by one party" in client.get(path).text


def test_the_map_and_the_table_show_the_same_nodes(client: Any) -> None:
    page = client.get("/network").text
    assert page.count('<g class="node ') == 5
    assert page.count("<tr>") == 6
    assert page.count('class="edge"') == 7
    assert page.count('class="halo"') == 1


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("7", "/height/7"),
        (f" {A} ", f"/address/{A}"),
        (CIRCLE, f"/circle/{CIRCLE}"),
        (H("test.handle").hex(), f"/handle/{H('test.handle').hex()}"),
        (H("test.job").hex().upper(), f"/job/{H('test.job').hex()}"),
        ("ab" * 32, "/tx/" + "ab" * 32),
    ],
)
def test_search_finds_the_page_by_the_form_of_the_text(client: Any, query: str, target: str) -> None:
    answer = client.get(f"/search?q={quote(query)}")
    assert (answer.status, answer.headers["location"]) == (303, target)


def test_links_of_existing_wallets_lead_to_the_pages(client: Any, ids: dict[str, bytes]) -> None:
    answer = client.get(f"/tx.html?hash={ids['transfer'].hex()}")
    assert (answer.status, answer.headers["location"]) == (308, f"/tx/{ids['transfer'].hex()}")
    answer = client.get(f"/address.html?addr={A}")
    assert (answer.status, answer.headers["location"]) == (308, f"/address/{A}")


def test_the_sheet_loads_nothing_from_elsewhere(client: Any) -> None:
    sheet = client.get("/static/style.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert "url(" not in sheet.text
    assert "@import" not in sheet.text
    assert client.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(client: Any, scheme: str) -> None:
    sheet = client.get("/static/style.css").text
    blocks = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    pairs = [("ink", "ground"), ("ink", "surface"), ("muted", "surface"), ("muted", "ground"), ("muted", "raised")]
    pairs += [("accent", "surface"), ("accent", "ground"), ("accent", "accent-soft"), ("surface", "accent")]
    pairs += [(name, f"{name}-soft") for name in ("good", "bad", "warn")]
    pairs += [("ink", "bad-soft"), ("ink", "warn-soft"), ("violet", "surface")]
    for front, back in pairs:
        assert contrast(colours[front], colours[back]) >= 4.5, (front, back)


def contrast(one: str, other: str) -> float:
    """Ratio of relative luminances, as accessibility rules define it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@given(st.text(), st.text())
def test_any_text_survives_as_text(inside: str, attribute: str) -> None:
    page = Outline(str(el("p", inside, [inside, Raw("<b>x</b>")], title=attribute, hidden=True, lang=None)))
    assert page.tags == ["p", "b"]
    assert dict(page.attributes) == {"title": attribute, "hidden": None}
    assert "<" not in render(inside)
    assert ">" not in render(inside)
    assert '"' not in render(inside)


def test_children_are_joined_and_numbers_shown() -> None:
    assert str(join("a<", 7, None, [Raw("<i>"), "&"])) == "a&lt;7<i>&amp;"
