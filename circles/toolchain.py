"""Finds the compilers on this machine and says which command turns a source file into wasm."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from octra.circles.errors import ToolchainMissing

LANGUAGES = ("rust", "cpp", "wat")
_SECONDS_MAX = 120.0  # a compiler that takes longer hangs
_STACK = "65536"  # instead of a megabyte: 15 initial pages less, 60,000 gas per call
_RUST_TARGET = "wasm32-unknown-unknown"
_RUST_REMEDY = "sudo apt-get install -y --no-install-recommends rustc libstd-rust-dev-wasm32"
_RUSTUP_REMEDY = f"rustup target add {_RUST_TARGET}"
_CPP_REMEDY = "sudo apt-get install -y --no-install-recommends clang lld"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler that works here: its version, and the command for (source, output)."""

    language: str
    version: str
    command: Callable[[str, str], list[str]] | None  # None: compiled by the wasm engine in this process


def find(language: str) -> Toolchain:
    """The compiler for a language; raises `ToolchainMissing` with the line that installs it."""
    match language:
        case "rust":
            return _rust()
        case "cpp":
            return _cpp()
        case "wat":
            return Toolchain("wat", "wasmtime", None)
        case _:
            raise ToolchainMissing(language, "unknown language", f"use one of {', '.join(LANGUAGES)}")


def run(command: list[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a compiler, without input and with its output kept."""
    return subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS_MAX,
        check=False,
    )


def _rust() -> Toolchain:
    # The system's first: a user-installed one in front of it usually lacks the wasm target.
    candidates = ["/usr/bin/rustc", shutil.which("rustc")]
    present = [path for path in dict.fromkeys(candidates) if path and Path(path).exists()]
    for compiler in present:
        library = run([compiler, "--print", "target-libdir", "--target", _RUST_TARGET])
        if library.returncode == 0 and any(Path(library.stdout.strip()).glob("libcore-*.rlib")):
            return Toolchain("rust", _version(compiler, "--version"), _rust_command(compiler))
    remedy = f"{_RUSTUP_REMEDY}   or   {_RUST_REMEDY}" if shutil.which("rustup") else _RUST_REMEDY
    missing = f"{present[0]} has no {_RUST_TARGET} library" if present else "no rustc"
    raise ToolchainMissing("rust", missing, remedy)


def _rust_command(compiler: str) -> Callable[[str, str], list[str]]:
    options = [
        "--edition",
        "2021",
        "--crate-type",
        "cdylib",
        "-C",
        "opt-level=z",
        "-C",
        "lto=fat",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
    ]
    target = ["--target", _RUST_TARGET, "-C", f"link-arg=-zstack-size={_STACK}"]
    return lambda source, output: [compiler, *options, *target, "-o", output, source]


def _cpp() -> Toolchain:
    compiler, linker = shutil.which("clang++"), shutil.which("wasm-ld") or shutil.which("wasm-ld-14")
    if not compiler or not linker:
        raise ToolchainMissing("cpp", "no clang++" if not compiler else "no wasm-ld", _CPP_REMEDY)
    options = [
        "--target=wasm32-unknown-unknown",
        "-std=c++17",
        "-Oz",
        "-flto",
        "-nostdlib",
        "-fno-exceptions",
        "-fno-rtti",
    ]
    link = ["-Wl,--no-entry", "-Wl,--strip-all", f"-Wl,-z,stack-size={_STACK}"]
    return Toolchain(
        "cpp",
        _version(compiler, "--version"),
        lambda source, output: [compiler, *options, *link, "-o", output, source],
    )


def _version(compiler: str, flag: str) -> str:
    lines = run([compiler, flag]).stdout.splitlines()
    return lines[0].strip() if lines else "unknown version"
