"""From `new` to a package: the shipped template, its module, and honest words where a compiler is missing."""

from __future__ import annotations

import re
import shutil
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from octra.circles import manifest, package, project, toolchain
from octra.circles.build import strip
from octra.circles.errors import BuildFailed, InvalidModule, InvalidPackage, ToolchainMissing
from octra.circles.frame import decode_response
from octra.circles.inprocess import WasmEngine
from octra.circles.project import ProjectExists, UnknownTemplate
from octra.circles.testing import ALICE, BOB, CIRCLE, Shelf, call_of
from octra.consensus.ports import CallOutcome, CircleEvent
from octra.primitives import print_address

LANGUAGES = project.TEMPLATES["counter"]
SHIPPED = {
    "rust": "528f8f9a7daaf4fb8ce6fc5f97ebf63698bdf0cdf2ac4f78d6548752d59d35eb",  # rustc 1.63.0
    "cpp": "b5354fd9b7e5d8db08e5e66355d844f357079e911c46abd70ebd2c6f9b9caf74",  # clang 14.0.6
}


@pytest.fixture
def no_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(language: str) -> toolchain.Toolchain:
        if language == "wat":
            return real(language)
        raise ToolchainMissing(language, "no compiler", "apt-get install one")

    real = toolchain.find
    monkeypatch.setattr(toolchain, "find", find)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("no_compilers")
def test_a_new_project_builds_without_any_compiler(language: str, tmp_path: Path) -> None:
    report = project.build(project.create("my-counter", tmp_path, language))
    assert report.path == tmp_path / "my-counter" / "my-counter.circle"
    packed = package.read(report.path.read_bytes())
    assert packed.root == report.package.root
    assert packed.manifest.circle.name == "my-counter"
    assert packed.manifest.build.lang == language
    assert {"/index.html", "/app.js", "/style.css", "/icon.svg"} == {asset.path for asset in packed.assets}
    assert not [path for path in packed.files if path.startswith("src/")]
    first, second = report.lines()
    assert re.match(r"program\.wasm [\d,]+ B, metered [\d,]+ B, call cost 2\d,\d{3} gas, 3 methods \(", first)
    assert second == f"my-counter.circle {report.package.root.hex()}"


@pytest.mark.parametrize("language", SHIPPED)
def test_the_shipped_modules_are_the_ones_we_know(language: str) -> None:
    code = (files("octra.circles") / "templates" / "counter" / language / "program.wasm").read_bytes()
    assert sha256(code).hexdigest() == SHIPPED[language]
    assert strip(code) == code


@pytest.mark.parametrize("language", SHIPPED)
def test_the_shipped_module_comes_from_the_shipped_source(language: str, tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, language)
    lock = (folder / "program.lock").read_text("utf-8")
    report = project.build(folder)
    assert not report.compiled, "the lock names exactly this source"
    try:
        tools = toolchain.find(language)
    except ToolchainMissing:
        return  # the lock is all that can be checked here
    rebuilt = project.build(folder, force=True)
    assert rebuilt.compiled
    if f'toolchain = "{tools.version}"' in lock:
        assert rebuilt.package.code_hash.hex() == SHIPPED[language], "the same compiler gives the same bytes"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_counter_behaves_alike_in_every_language(language: str, tmp_path: Path, engine: WasmEngine) -> None:
    shelf = Shelf()
    code_hash = shelf.install(project.build(project.create("counter", tmp_path, language)).package.code)

    def view(method: str) -> CallOutcome:
        return engine.query(call_of(code_hash, method), shelf)

    assert decode_response(view("get").response) == 0
    assert decode_response(view("last").response) is None
    usage = 0
    for count, caller in ((1, ALICE), (2, BOB), (3, ALICE)):
        (outcome,) = engine.execute([call_of(code_hash, "inc", caller=caller, usage=usage)], shelf)
        assert (outcome.status, decode_response(outcome.response)) == ("ok", count)
        assert outcome.events == (CircleEvent(b"counted", str(count).encode()),)
        shelf.apply(CIRCLE, outcome)
        usage = outcome.usage
    assert usage == sum(len(key) + len(value) + 64 for (_, key), value in shelf.rows.items())
    shelf.rows[CIRCLE, b"count"] = b"999"
    (outcome,) = engine.execute([call_of(code_hash, "inc", caller=BOB, usage=usage)], shelf)
    assert decode_response(outcome.response) == 1_000
    assert decode_response(view("get").response) == 999, "a view reads what is committed"
    assert decode_response(view("last").response) == print_address(ALICE)
    for method in ("inc", "", "ge", "gett", "nothing"):
        failed = view(method) if method else engine.execute([call_of(code_hash, "get")], shelf)[0]
        assert (failed.status, failed.detail) == ("reverted", "1")
        assert decode_response(failed.response) == "unknown method"


def test_a_full_state_undoes_the_count(tmp_path: Path, engine: WasmEngine) -> None:
    shelf = Shelf()
    for language in LANGUAGES:
        code_hash = shelf.install(project.build(project.create(f"c-{language}", tmp_path, language)).package.code)
        (outcome,) = engine.execute([call_of(code_hash, "inc", max_stable_bytes=100)], shelf)
        assert (outcome.status, outcome.detail, outcome.diff) == ("reverted", "2", ())


@pytest.mark.usefixtures("no_compilers")
def test_a_changed_source_without_a_compiler_is_an_honest_error(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, "rust")
    with (folder / "src" / "lib.rs").open("a", encoding="utf-8") as source:
        source.write("// changed\n")
    with pytest.raises(ToolchainMissing, match="apt-get install") as refusal:
        project.build(folder)
    assert refusal.value.language == "rust"
    assert not (folder / "counter.circle").exists()


def test_a_changed_module_is_not_taken_for_the_sources(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, "wat")
    project.build(folder)
    (folder / "program.wasm").write_bytes(b"something else")
    assert project.build(folder).compiled


def test_a_compilers_words_reach_the_developer(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, "wat")
    (folder / "src" / "counter.wat").write_text("(module (func $f (call $nowhere)))", "utf-8")
    with pytest.raises(BuildFailed, match="nowhere"):
        project.build(folder)


def test_a_module_that_breaks_a_rule_is_not_packed(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, "wat")
    (folder / "src" / "counter.wat").write_text('(module (import "env" "clock" (func)))', "utf-8")
    with pytest.raises(InvalidModule, match="import_unsupported"):
        project.build(folder)
    assert not (folder / "counter.circle").exists()


def test_links_in_the_site_are_not_followed(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path, "wat")
    (folder / "site" / "secret.txt").symlink_to("/etc/hostname")
    with pytest.raises(InvalidPackage, match="links"):
        project.build(folder)


def test_new_overwrites_nothing_and_names_what_it_knows(tmp_path: Path) -> None:
    folder = project.create("counter", tmp_path)
    assert manifest.load(folder / manifest.FILE).build.lang == "rust"
    with pytest.raises(ProjectExists):
        project.create("counter", tmp_path)
    (tmp_path / "empty").mkdir()
    project.create("empty", tmp_path)
    for name, language, template in (("Big", "rust", "counter"), ("a", "go", "counter"), ("a", "rust", "shop")):
        with pytest.raises(UnknownTemplate):
            project.create(name, tmp_path, language, template)


def test_the_page_has_no_inline_script_style_or_foreign_address(tmp_path: Path) -> None:
    site = project.create("counter", tmp_path) / "site"
    page = (site / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=|javascript:", page)
    for path in site.iterdir():
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path.name
    assert not re.search(
        r"\beval\(|innerHTML|document\.write|localStorage|cookie", (site / "app.js").read_text("utf-8")
    )


def test_doctor_tells_of_each_language_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    reports = {report.language: report for report in project.doctor()}
    assert set(reports) == {"rust", "cpp", "wat"}
    assert reports["wat"].ok
    assert not reports["cpp"].ok
    assert "apt-get install" in reports["cpp"].remedy
