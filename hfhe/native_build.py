"""`python -m octra.hfhe.native_build` compiles the kernel beside this file, for a checkout that is no wheel."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from octra.hfhe.backend_native import LIBRARY

SOURCES: Final = Path(__file__).with_name("native")
COMMON: Final = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-w")  # warnings are for CMake builds
X86_VARIANTS: Final[
    dict[str, tuple[int, *tuple[str, ...]]]
] = {  # name: lanes and instruction sets, as in CMakeLists.txt
    "avx2": (8, "-mavx2"),
    "avx512": (16, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
}


def build(compiler: str) -> Path:
    """Compiles every variant that this processor family knows and puts the library in place in one step."""
    variants: dict[str, tuple[int, *tuple[str, ...]]] = {"portable": (4,)}
    if platform.machine().lower() in ("x86_64", "amd64"):
        variants |= X86_VARIANTS
    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder) / f"{name}.o") for name in variants]
        for (name, (lanes, *flags)), target in zip(variants.items(), objects, strict=True):
            definitions = [f"-DOCTRA_VARIANT={name}", f"-DOCTRA_LANES={lanes}"]
            _run(compiler, *COMMON, *flags, *definitions, "-c", str(SOURCES / "variant.cpp"), "-o", target)
        fresh = LIBRARY.with_suffix(".new.so")
        _run(compiler, *COMMON, "-shared", str(SOURCES / "dispatch.cpp"), *objects, "-o", str(fresh))
        fresh.replace(LIBRARY)  # running processes keep the library they have mapped
    return LIBRARY


def main() -> int:
    """Builds with $CXX, c++, g++ or clang++; says so when there is none, since NumPy does the same work more slowly."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "c++", "g++", "clang++"))), None)
    if compiler is None:
        print("no C++ compiler found: the NumPy backend will be used", file=sys.stderr)
        return 1
    print(build(compiler))
    return 0


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
