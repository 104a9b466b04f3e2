"""What `octra circle new`, `build` and `doctor` do, as functions: a project folder in, facts to print out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from octra.circles import build as builder
from octra.circles import manifest, package, toolchain
from octra.circles.errors import InvalidPackage, ToolchainMissing
from octra.circles.inprocess import WasmEngine
from octra.circles.package import Package
from octra.circles.runtime import prepare
from octra.errors import InvalidInput

TEMPLATES = {"counter": ("rust", "cpp", "wat")}
_ENTRIES = {"rust": "src/lib.rs", "cpp": "src/counter.cpp", "wat": "src/counter.wat"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TEXT_FILES = (manifest.FILE, "README.md")  # names are filled in here


class ProjectExists(InvalidInput):
    """The directory is there and not empty: nothing is overwritten."""

    oct_code = 1002

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists and is not empty")
        self.path = path


class UnknownTemplate(InvalidInput):
    """No such template, language or name."""

    oct_code = 1002


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made."""

    package: Package
    path: Path
    toolchain: str
    compiled: bool
    code_size: int
    metered_size: int
    call_cost: int

    def lines(self) -> tuple[str, str]:
        """The two lines that `octra circle build` prints."""
        by = f"compiled by {self.toolchain}" if self.compiled else f"up to date, compiled by {self.toolchain}"
        methods = len(self.package.manifest.methods)
        return (
            f"program.wasm {self.code_size:,} B, metered {self.metered_size:,} B, call cost {self.call_cost:,} gas, "
            f"{methods} methods ({by})",
            f"{self.path.name} {self.package.root.hex()}",
        )


@dataclass(frozen=True, slots=True)
class ToolchainReport:
    """Whether a language can be compiled here, and if not, how to change that."""

    language: str
    ok: bool
    detail: str
    remedy: str = ""


def create(name: str, parent: Path, lang: str = "rust", template: str = "counter") -> Path:
    """Writes a new project into `parent/name` and returns its path."""
    if not _NAME.fullmatch(name):
        raise UnknownTemplate("a name has 1 to 32 characters a-z, 0-9 and -, and begins with a letter")
    if lang not in TEMPLATES.get(template, ()):
        known = "; ".join(f"{key} ({', '.join(languages)})" for key, languages in TEMPLATES.items())
        raise UnknownTemplate(f"no template {template!r} in {lang!r}; there are: {known}")
    project = parent / name
    if project.exists() and (not project.is_dir() or any(project.iterdir())):
        raise ProjectExists(project)
    root = files("octra.circles") / "templates" / template
    for folder in ("common", lang):
        for path, source in _walk(root / folder):
            target = project / path
            target.parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            if path in _TEXT_FILES:
                text = data.decode("utf-8").replace("@NAME@", name).replace("@LANG@", lang)
                data = text.replace("@ENTRY@", _ENTRIES[lang]).encode("utf-8")
            target.write_bytes(data)
    return project


def build(project: Path, *, force: bool = False) -> BuildReport:
    """Compiles, checks and packs a project into `NAME.circle` beside its manifest."""
    checked = manifest.load(project / manifest.FILE)
    program = builder.make(project, checked, force=force)
    module = prepare(program.code)
    if module.checked.memory is not None and module.checked.memory[0] > checked.limits.memory_pages:
        raise InvalidPackage("memory_pages", "program.wasm", f"needs {module.checked.memory[0]} pages at its start")
    WasmEngine().check(program.code)  # the second opinion that every validator will ask for
    contents = {manifest.FILE: (project / manifest.FILE).read_bytes(), package.PROGRAM: program.code}
    readme = project / "README.md"
    if readme.is_file():
        contents["README.md"] = readme.read_bytes()
    site = project / "site"
    for path in sorted(site.rglob("*")) if site.is_dir() else ():
        if path.is_symlink():
            raise InvalidPackage("path_invalid", path.relative_to(project).as_posix(), "links are not packed")
        if path.is_file():
            contents[path.relative_to(project).as_posix()] = path.read_bytes()
    packed = package.assemble(contents)
    target = project / f"{checked.circle.name}.circle"
    target.write_bytes(package.write(packed))
    return BuildReport(
        package=packed,
        path=target,
        toolchain=program.toolchain,
        compiled=program.compiled,
        code_size=len(program.code),
        metered_size=len(module.code),
        call_cost=module.call_cost,
    )


def doctor() -> list[ToolchainReport]:
    """Each language: does it compile here?"""
    reports = []
    for language in toolchain.LANGUAGES:
        try:
            reports.append(ToolchainReport(language, ok=True, detail=toolchain.find(language).version))
        except ToolchainMissing as error:
            reports.append(ToolchainReport(language, ok=False, detail=error.missing, remedy=error.remedy))
    return reports


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
