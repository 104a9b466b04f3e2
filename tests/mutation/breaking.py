"""Breaks one line in the running process; no file of the checkout is touched."""

from __future__ import annotations

import atexit
import importlib
import importlib.machinery
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from mutants import Mutant

ROOT = Path(__file__).parents[2]
NATIVE = "src/octra/crypto/native"


class DoesNotFitError(Exception):
    """The mutant is no program any more, or its line is not where it was: that says nothing about the guards."""


def broken_source(mutant: Mutant) -> str:
    """The file's text with the line replaced; raises `DoesNotFitError` unless it stands there exactly once."""
    source = (ROOT / mutant.file).read_text()
    if source.count(mutant.line) != 1:
        raise DoesNotFitError(
            f"mutant {mutant.number}: its line stands {source.count(mutant.line)} times in {mutant.file}"
        )
    return source.replace(mutant.line, mutant.broken)


def break_process(mutant: Mutant) -> None:
    """From now on this process works with the mutant. Nothing of octra may have been imported before."""
    if mutant.file.startswith(NATIVE):
        use_native(mutant)
    else:
        _break_module(mutant)


def use_native(mutant: Mutant | None) -> None:
    """Compile the signature library, with the mutant or as it is, and load it from a folder of its own."""
    from octra import native_build
    from octra.crypto import ed25519_native

    compiler = native_build.find_compiler()
    if compiler is None:
        raise DoesNotFitError("no C++ compiler")
    folder = Path(tempfile.mkdtemp(prefix="octra-mutant-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sources = shutil.copytree(ROOT / NATIVE, folder / "native")
    if mutant is not None:
        (sources / Path(mutant.file).name).write_text(broken_source(mutant))
    library = replace(native_build.ED25519, sources=sources, output=folder / "_ed25519.so")
    native_build.build(library, compiler)
    native_build.ED25519, ed25519_native.LIBRARY = library, library.output  # type: ignore[misc]


def _break_module(mutant: Mutant) -> None:
    path, text = (ROOT / mutant.file).resolve(), broken_source(mutant)
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: importlib.machinery.SourceFileLoader, name: str) -> object:
        if Path(loader.path).resolve() == path:
            return compile(text, str(path), "exec")
        return original(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    try:
        importlib.import_module(_module_of(mutant.file))
    except Exception as error:
        raise DoesNotFitError(f"mutant {mutant.number} cannot be imported: {error}") from error


def _module_of(file: str) -> str:
    return "octra." + file.removeprefix("src/octra/").removesuffix(".py").replace("/", ".")
