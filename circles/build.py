"""From source to a checked module: compile, drop what only debuggers read, and say what a call will cost."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import wasmtime

from octra.circles import toolchain
from octra.circles.errors import BuildFailed, InvalidPackage
from octra.circles.manifest import Manifest
from octra.circles.wasm.meter import unsigned
from octra.circles.wasm.reader import Reader
from octra.consensus.circles import blob_hash, file_leaf, tree_root

LOCK = "program.lock"


@dataclass(frozen=True, slots=True)
class Program:
    """A module and where it comes from."""

    code: bytes
    toolchain: str
    compiled: bool  # now; otherwise it was up to date


def make(project: Path, manifest: Manifest, *, force: bool = False) -> Program:
    """The project's module. It is compiled when the source has changed since `program.lock` was written."""
    artifact = project / manifest.build.artifact
    source_root = _source_root(project, manifest)
    if not force:
        known = _up_to_date(project, artifact, source_root)
        if known is not None:
            return known
    tools = toolchain.find(manifest.build.lang)
    code = strip(_compile(project, manifest, tools))
    artifact.write_bytes(code)
    lock = [
        "# Written by `octra circle build`: which source and compiler gave the module.",
        f'source = "{source_root}"',
        f'program = "{sha256(code).hexdigest()}"',
        f'toolchain = "{tools.version}"',
    ]
    (project / LOCK).write_text("\n".join(lock) + "\n", "utf-8")
    return Program(code, tools.version, compiled=True)


def strip(code: bytes) -> bytes:
    """The module without custom sections: names and tool marks that cost code size and decide nothing."""
    reader = Reader(code, 8)
    out = bytearray(reader.data[:8])
    while not reader.done:
        number = reader.byte()
        content = reader.take(reader.u32())
        if number:
            out += bytes((number,)) + unsigned(len(content)) + content
    return bytes(out)


def _compile(project: Path, manifest: Manifest, tools: toolchain.Toolchain) -> bytes:
    entry = manifest.build.entry
    if not (project / entry).is_file():
        raise InvalidPackage("file_missing", entry)
    if tools.command is None:
        try:
            return bytes(wasmtime.wat2wasm((project / entry).read_text("utf-8")))
        except (wasmtime.WasmtimeError, UnicodeDecodeError) as error:
            raise BuildFailed("wat2wasm", str(error)) from error
    with TemporaryDirectory() as directory:
        output = str(Path(directory) / "program.wasm")
        # The entry stays relative: an absolute path would end in the module and change its hash.
        done = toolchain.run(tools.command(entry, output), project)
        if done.returncode != 0:
            raise BuildFailed(tools.version, (done.stderr or done.stdout).strip())
        return Path(output).read_bytes()


def _source_root(project: Path, manifest: Manifest) -> str:
    """Commits to the language, the entry and every file beside or below it."""
    entry = project / manifest.build.entry
    files = sorted(path for path in entry.parent.rglob("*") if path.is_file())
    leaves = [file_leaf(path.relative_to(project).as_posix(), "", "", blob_hash(path.read_bytes())) for path in files]
    return tree_root([file_leaf(manifest.build.entry, manifest.build.lang, "", bytes(32)), *leaves]).hex()


def _up_to_date(project: Path, artifact: Path, source_root: str) -> Program | None:
    try:
        lock = tomllib.loads((project / LOCK).read_text("utf-8"))
        code = artifact.read_bytes()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    if lock.get("source") != source_root or lock.get("program") != sha256(code).hexdigest():
        return None
    return Program(code, str(lock.get("toolchain", "unknown")), compiled=False)
