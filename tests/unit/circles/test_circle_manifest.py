"""The manifest: all mistakes at once, each with its code, its place and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from octra.circles import manifest
from octra.circles.errors import InvalidManifest
from octra.circles.manifest import decode, load, parse, path_problem

GOOD = """
[circle]
name = "ballot"
version = "1.2.0"
runtime = "wasm_v1"
[build]
lang = "rust"
entry = "src/lib.rs"
[methods.vote]
kind = "update"
args = [{ name = "choice", type = "int" }]
ret = "bool"
payable = true
[methods.tally]
kind = "query"
"""


def problems_of(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(InvalidManifest) as refusal:
        parse(text)
    return list(refusal.value.problems)


def test_defaults_are_filled_in() -> None:
    checked = parse(GOOD)
    assert checked.circle.privacy == "public"
    assert checked.limits.max_stable_bytes == 33_554_432
    assert checked.methods["vote"].allow == ["any"]
    assert checked.methods["tally"].payable is False


def test_canonical_bytes_do_not_depend_on_the_order_of_keys_and_read_back() -> None:
    head, vote, tally = GOOD.partition("[methods.vote]")[0], GOOD[GOOD.index("[methods.vote]") :], "[methods.tally]"
    swapped = head + vote[vote.index(tally) :] + vote[: vote.index(tally)]
    assert parse(swapped).canonical() == parse(GOOD).canonical()
    assert decode(parse(GOOD).canonical()) == parse(GOOD)
    assert parse(GOOD).hash() != parse(GOOD.replace("ballot", "bullet")).hash()


def test_the_frozen_hash_of_a_manifest() -> None:
    assert parse(GOOD).hash().hex() == "bf63d10541a331ec1a52e13d9751e6470582e7e08a18eb1676997a4f1063d955"


def test_bytes_in_another_form_are_not_canonical() -> None:
    canonical = parse(GOOD).canonical()
    for damaged in (canonical[:-1], canonical + b"\0", b"\x80", b"\xc1"):
        with pytest.raises(InvalidManifest):
            decode(damaged)


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace('"ballot"', '"Ballot"').replace('kind = "update"', 'kind = "updat"')
    text = text.replace('lang = "rust"', 'lang = "go"').replace("payable = true", 'payable = "yes"\nspeed = 9')
    assert problems_of(text) == [
        ("field_range", "circle.name", 'does not match ^[a-z][a-z0-9-]{0,31}$, got "Ballot"'),
        ("field_range", "build.lang", 'expected rust, cpp or wat, got "go"'),
        ("field_range", "methods.vote.kind", 'expected update or query, got "updat"'),
        ("field_type", "methods.vote.payable", 'a valid boolean, got "yes"'),
        ("field_unknown", "methods.vote.speed", "unknown key"),
    ]
    with pytest.raises(InvalidManifest, match=r"circle\.toml: methods\.vote\.kind: expected update or query, got"):
        parse(text)


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ('runtime = "wasm_v1"', 'runtime = "octb"', "runtime_unsupported", "circle.runtime"),
        ('version = "1.2.0"', 'version = "1.2"', "field_range", "circle.version"),
        ('version = "1.2.0"\n', "", "field_type", "circle.version"),
        ('entry = "src/lib.rs"', 'entry = "../lib.rs"', "path_invalid", "build"),
        ('entry = "src/lib.rs"', 'entry = "/etc/passwd"', "path_invalid", "build"),
        ("[methods.vote]", "[methods.octra_vote]", "field_range", "methods.octra_vote"),
        ("[methods.vote]", '[methods."Vote now"]', "field_range", "methods.Vote now"),
        ('ret = "bool"', 'ret = "float"', "field_range", "methods.vote.ret"),
        ('ret = "bool"', 'allow = ["everybody"]', "field_range", "methods.vote.allow.0"),
        ('kind = "query"', 'kind = "query"\npayable = true', "cross_field", "methods.tally"),
        (
            'kind = "query"',
            'kind = "query"\n[limits]\nmax_stable_bytes = 33554433',
            "field_range",
            "limits.max_stable_bytes",
        ),
        (
            'kind = "query"',
            'kind = "query"\n[limits]\nmax_stable_bytes = 9\nmax_inline_value = 10',
            "cross_field",
            "limits",
        ),
        ('kind = "query"', 'kind = "query"\n[fhe]\nops = ["add"]', "field_unknown", "fhe"),
        ('lang = "rust"', "lang = ", "manifest_syntax", ""),
    ],
)
def test_each_mistake_has_its_code_and_place(old: str, new: str, code: str, place: str) -> None:
    assert old in GOOD
    assert (code, place) in [problem[:2] for problem in problems_of(GOOD.replace(old, new))]


def test_a_manifest_without_methods_is_refused() -> None:
    assert problems_of(GOOD[: GOOD.index("[methods")])[0][:2] == ("field_type", "methods")


def test_at_most_128_methods() -> None:
    more = "".join(f'[methods.m{number}]\nkind = "query"\n' for number in range(127))
    assert problems_of(GOOD + more)[0][:2] == ("field_range", "methods")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match=r"circle\.toml: not found in ") as refusal:
        load(tmp_path / manifest.FILE)
    assert refusal.value.problems[0][0] == "manifest_missing"
    (tmp_path / manifest.FILE).write_bytes(b"\xff")
    with pytest.raises(InvalidManifest, match="UTF-8"):
        load(tmp_path / manifest.FILE)


@pytest.mark.parametrize(
    "path", ["", "/a", "a//b", "a/", "./a", "a/../b", "a\\b", "a\0b", "a\nb", "a" * 201, "e\u0301.txt", "\u202ea"]
)
def test_paths_that_could_mean_something_else_are_refused(path: str) -> None:
    assert path_problem(path)


@pytest.mark.parametrize("path", ["a", "site/index.html", "é.txt", "a" * 200, "...", "a b"])
def test_plain_paths_are_fine(path: str) -> None:
    assert path_problem(path) is None
