"""`python -m octra.native_build` compiles the native libraries beside their sources, for a checkout that is no wheel.

Each is optional: what imports it does the same work without it, more slowly. CMakeLists.txt builds the same for wheels.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

COMMON: Final = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-w")  # warnings are for CMake builds
_PACKAGE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Library:
    """One shared library: `main` in `sources`, joined with one object of variant.cpp for each instruction set."""

    name: str
    sources: Path
    main: str
    output: Path
    portable: tuple[str, ...] = ()  # flags of the variant that any processor runs
    x86: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # further variants, by name
    includes: Path | None = None  # headers that it shares with another library


KERNEL: Final = Library(
    "hfhe kernel",
    _PACKAGE / "hfhe" / "native",
    "dispatch.cpp",
    _PACKAGE / "hfhe" / "_kernel.so",
    ("-DOCTRA_LANES=4",),
    {
        "avx2": ("-mavx2", "-DOCTRA_LANES=8"),
        "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-DOCTRA_LANES=16"),
    },
)
ED25519: Final = Library(
    "ed25519",
    _PACKAGE / "crypto" / "native",
    "dispatch.cpp",
    _PACKAGE / "crypto" / "_ed25519.so",
    ('-DOCTRA_FOUR="four_portable.hpp"',),
    {"avx2": ("-mavx2", '-DOCTRA_FOUR="four_avx2.hpp"')},
)
TREE: Final = Library(
    "state tree",
    _PACKAGE / "storage" / "native",
    "tree.cpp",
    _PACKAGE / "storage" / "_tree.so",
    includes=ED25519.sources,
)
LEDGER: Final = Library(
    "ledger",
    _PACKAGE / "consensus" / "native",
    "ledger.cpp",
    _PACKAGE / "consensus" / "_ledger.so",
    includes=ED25519.sources,
)
LIBRARIES: Final = (KERNEL, ED25519, TREE, LEDGER)


def build(library: Library, compiler: str, *flags: str, output: Path | None = None) -> Path:
    """Compiles every variant that this processor family knows and puts the library in place in one step.

    `flags` come last. Raises `CalledProcessError` if the compiler refuses.
    """
    output = output or library.output
    variants = {"portable": library.portable} if library.portable else {}
    if platform.machine().lower() in ("x86_64", "amd64"):
        variants |= library.x86
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for name, options in variants.items():
            target = str(Path(folder) / f"{name}.o")
            source = str(library.sources / "variant.cpp")
            _run(compiler, *COMMON, *options, f"-DOCTRA_VARIANT={name}", *flags, "-c", source, "-o", target)
            objects.append(target)
        fresh = output.with_suffix(".new.so")
        shared = ("-I", str(library.includes)) if library.includes else ()
        main = str(library.sources / library.main)
        _run(compiler, *COMMON, *shared, *flags, "-shared", main, *objects, "-o", str(fresh))
        fresh.replace(output)  # running processes keep the library they have mapped
    return output


def find_compiler() -> str | None:
    """$CXX, c++, g++ or clang++, whichever is there first."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "c++", "g++", "clang++"))), None)


def main() -> int:
    """Builds all libraries; exit code 1 if any could not be built."""
    compiler = find_compiler()
    if compiler is None:
        print("no C++ compiler found: everything works without, more slowly", file=sys.stderr)
        return 1
    failed = False
    for library in LIBRARIES:
        try:
            print(build(library, compiler))
        except subprocess.CalledProcessError:
            print(f"{library.name} could not be built: its work is done without, more slowly", file=sys.stderr)
            failed = True
    return int(failed)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
