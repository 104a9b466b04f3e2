"""A Circle's own origin: what is served, under which headers, and that nothing of a stranger's request comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from octra.circles.errors import ExecutorUnavailable
from octra.circles.frame import encode_response
from octra.circles.gateway import CircleFacts, Gateway, Request, Response, SiteFile
from octra.circles.identity import origin_label, print_circle
from octra.circles.testing import CIRCLE, OTHER_CIRCLE
from octra.consensus.ports import Argument, CallOutcome

HOST = f"{origin_label(CIRCLE)}.localhost:8787"
FACTS = CircleFacts(
    name="counter",
    version="0.1.0",
    code_hash=b"\x0c" * 32,
    height=42,
    root=b"\x0e" * 32,
    usage=71,
    max_stable_bytes=65_536,
    methods={"get": "query", "inc": "update"},
)
PAGE = SiteFile("text/html; charset=utf-8", b"\x01" * 32, b"<!doctype html>")
SCRIPT = SiteFile("text/javascript; charset=utf-8", b"\x02" * 32, b"'use strict'")


@dataclass
class Site:
    """One Circle with two files and a query that answers with its arguments' count."""

    facts_: CircleFacts = FACTS
    files: dict[str, SiteFile] = field(default_factory=lambda: {"/index.html": PAGE, "/app.js": SCRIPT})
    outcome: CallOutcome | None = None
    asked: list[tuple[str, tuple[Argument, ...]]] = field(default_factory=list)

    def facts(self, circle: bytes) -> CircleFacts | None:
        return self.facts_ if circle == CIRCLE else None

    def file(self, circle: bytes, path: str) -> SiteFile | None:
        assert circle == CIRCLE
        return self.files.get(path)

    def query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        assert circle == CIRCLE
        self.asked.append((method, arguments))
        return self.outcome or CallOutcome("ok", "", encode_response(len(arguments)), 25_000)


def get(path: str, site: Site | None = None, *, method: str = "GET", host: str = HOST, **fields: object) -> Response:
    request = Request(method, host, path, **fields)  # type: ignore[arg-type]  # query, headers, body
    return Gateway(node_origin="http://localhost:8788").handle(request, site or Site())


def header(response: Response, name: str) -> str:
    (value,) = [value for key, value in response.headers if key == name]
    return value


def test_the_root_serves_the_index_with_every_security_header() -> None:
    response = get("/")
    assert (response.status, response.body) == (200, PAGE.data)
    policy = header(response, "Content-Security-Policy")
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors http://localhost:8788"
    )
    assert "unsafe" not in policy
    assert header(response, "X-Content-Type-Options") == "nosniff"
    assert header(response, "Referrer-Policy") == "no-referrer"
    assert header(response, "Cross-Origin-Resource-Policy") == "same-origin"
    assert header(response, "Cross-Origin-Opener-Policy") == "same-origin"
    assert header(response, "Octra-Circle") == print_circle(CIRCLE)
    assert header(response, "Octra-Height") == "42"
    assert header(response, "Octra-Root") == "0e" * 32
    assert not [name for name, _ in response.headers if name.lower() == "set-cookie"]


def test_wasm_in_the_page_needs_the_manifests_word() -> None:
    response = get("/", Site(replace(FACTS, csp="wasm")))
    assert "script-src 'self' 'wasm-unsafe-eval';" in header(response, "Content-Security-Policy")


def test_files_have_their_media_type_and_an_etag_that_answers_304() -> None:
    response = get("/app.js")
    assert header(response, "Content-Type") == "text/javascript; charset=utf-8"
    tag = header(response, "ETag")
    assert tag == '"' + "02" * 32 + '"'
    for asked in (tag, f'"x", W/{tag}', "*"):
        again = get("/app.js", headers={"if-none-match": asked})
        assert (again.status, again.body) == (304, b"")
    assert get("/app.js", headers={"if-none-match": '"other"'}).status == 200


def test_addresses_inside_a_page_get_the_index_and_missing_files_do_not() -> None:
    assert get("/settings/profile").body == PAGE.data
    assert get("/missing.css").status == 404
    assert get("/", Site(files={})).status == 404


def test_head_has_the_headers_and_no_body() -> None:
    response = get("/", method="HEAD")
    assert (response.status, response.body) == (200, b"")
    assert header(response, "Content-Length") == str(len(PAGE.data))


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "example.org", origin_label(CIRCLE), f"{origin_label(CIRCLE)}.example.org", f"{origin_label(OTHER_CIRCLE)}.localhost", "[::1]:80", "a" * 53 + ".localhost"],
)  # fmt: skip
def test_unknown_hosts_get_404_without_echo(host: str) -> None:
    response = get("/<script>alert(1)</script>", host=host)
    assert response.status == 404
    assert response.body == b"no Circle here\n"
    assert not [value for _, value in response.headers if "script>" in value]


def test_a_host_name_may_be_upper_case_or_end_with_a_dot() -> None:
    assert get("/", host=HOST.upper()).status == 200
    assert get("/", host=f"{origin_label(CIRCLE)}.localhost.").status == 200


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/%2e%2e/x", "/a/%2E%2E/b", "/a\\b", "/%00", "/a//b", "relative", "/%ff", "/%0d%0aSet-Cookie:x"],
)
def test_paths_that_could_mean_two_things_are_refused(path: str) -> None:
    assert get(path).status == 400


def test_other_methods_are_refused() -> None:
    assert get("/", method="DELETE").status == 405
    assert get("/", method="POST").status == 405
    assert get("/", method="OPTIONS").status == 204


def test_a_circle_that_forbids_browsers_is_not_served() -> None:
    assert get("/", Site(replace(FACTS, served=False))).status == 403


def test_a_view_is_read_as_json() -> None:
    site = Site()
    response = get(
        "/.octra/view/get", site, query="args=%5B1%2C%22a%22%2Cnull%2Ctrue%2C%7B%22hex%22%3A%2200ff%22%7D%5D"
    )
    assert response.status == 200
    assert json.loads(response.body) == {"status": "ok", "value": 5, "detail": "", "gas": 25_000, "height": 42}
    assert site.asked == [("get", (1, "a", None, True, b"\0\xff"))]
    assert header(response, "Cache-Control") == "no-store"
    posted = get("/.octra/view/get", site, method="POST", body=b"[7]")
    assert json.loads(posted.body)["value"] == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        ("ü", "ü"),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"int": str(2**53)}),
        (b"\1", {"hex": "01"}),
    ],
)
def test_values_that_javascript_would_change_are_wrapped(value: Argument, shown: object) -> None:
    response = get("/.octra/view/get", Site(outcome=CallOutcome("ok", "", encode_response(value), 1)))
    assert json.loads(response.body)["value"] == shown


def test_a_failed_view_says_how() -> None:
    failed = CallOutcome("reverted", "60", encode_response("not open"), 30_000)
    response = get("/.octra/view/get", Site(outcome=failed))
    assert response.status == 422
    assert json.loads(response.body) == {
        "status": "reverted",
        "value": "not open",
        "detail": "60",
        "gas": 30_000,
        "height": 42,
    }


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/.octra/view/inc", {}, 405),
        ("/.octra/view/nothing", {}, 404),
        ("/.octra/else", {}, 404),
        ("/.octra/view/get", {"query": "args=7"}, 400),
        ("/.octra/view/get", {"query": "args=[1.5]"}, 400),
        ("/.octra/view/get", {"query": "args=[[1]]"}, 400),
        ("/.octra/view/get", {"query": "args=[9223372036854775808]"}, 400),
        ("/.octra/view/get", {"query": 'args=[{"hex":"zz"}]'}, 400),
        ("/.octra/view/get", {"query": 'args=[{"b64":"aa"}]'}, 400),
        ("/.octra/view/get", {"query": "x" * 9_000}, 400),
        ("/.octra/view/get", {"query": "&".join("a=1" for _ in range(9))}, 400),
        ("/.octra/view/get", {"method": "POST", "body": b"[" * 70_000}, 400),
        ("/.octra/view/get", {"method": "POST", "body": b"[" * 60_000}, 400),
        ("/.octra/view/get", {"query": "args=[" + ",".join("1" * 65) + "]"}, 400),
    ],
)
def test_bad_requests_to_the_system_paths_are_json_errors(path: str, fields: dict[str, object], status: int) -> None:
    site = Site()
    response = get(path, site, **fields)  # type: ignore[arg-type]  # fields of a request
    assert response.status == status
    assert set(json.loads(response.body)) == {"error", "detail"}
    assert site.asked == []


def test_a_busy_node_says_503_and_a_broken_answer_502() -> None:
    class Busy(Site):
        def query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
            raise ExecutorUnavailable("no worker")

    assert get("/.octra/view/get", Busy()).status == 503
    assert get("/.octra/view/get", Site(outcome=CallOutcome("ok", "", b"OCWS1\x09", 1))).status == 502


def test_the_page_learns_its_own_circle() -> None:
    answer = json.loads(get("/.octra/circle").body)
    assert answer["circle"] == print_circle(CIRCLE)
    assert answer["methods"] == {"get": "query", "inc": "update"}
    assert "your own node" in answer["note"]
