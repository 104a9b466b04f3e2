"""A machine without a compiler: the build says so, NumPy gives the same bytes, and users learn why it is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from octra.cli import doctor
from octra.hfhe import backend, backend_native, native_library, words
from octra.hfhe.builder import Builder
from octra.hfhe.encrypt import decrypt_bits, encrypt_bits
from octra.hfhe.execute import Completed, Job, LocalExecutor
from octra.hfhe.keys import EvaluationKey, SecretKey
from octra.hfhe.params import TEST
from octra.hfhe.planner import make_plan

SEED = b"no kernel: used only in here ..."
KERNELS = backend_native.available()


@pytest.fixture
def without_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package as a build without a compiler leaves it: no library beside it."""
    monkeypatch.delenv("OCTRA_KERNEL", raising=False)
    monkeypatch.setattr(native_library, "LIBRARY", tmp_path / "_kernel.so")
    backend._checked.cache_clear()
    yield
    backend._checked.cache_clear()


def sum_of_words() -> tuple[bytes, list[int]]:
    """The output bytes and bits of 201 + 58 on eight bits, everything made anew: keys, inputs, evaluation."""
    builder = Builder("sum")
    left, right = (words.U8(builder, builder.input(name, "u8")) for name in ("a", "b"))
    builder.output("r", "u8", words.add(left, right).literals)
    secret = SecretKey.generate(TEST, SEED)
    chosen = backend.choose()
    prepared = chosen.prepare(EvaluationKey.generate(secret, SEED))
    inputs = encrypt_bits(secret, [value >> i & 1 for value in (201, 58) for i in range(8)], SEED)
    executor = LocalExecutor(chosen, prepared, threads=1)
    (result,) = executor.run([Job(make_plan(builder.build(), TEST), inputs, bytes(32))])
    assert isinstance(result, Completed)
    return result.outputs.tobytes(), np.asarray(decrypt_bits(secret, result.outputs)[0]).tolist()


def test_the_build_says_that_there_is_no_compiler_and_fails_softly(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CXX"} | {"PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "octra.native_build"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no C++ compiler" in done.stderr


@pytest.mark.usefixtures("without_library")
def test_without_the_library_numpy_is_chosen_and_says_why() -> None:
    chosen = backend.choose()
    assert chosen.name == "numpy"
    assert "native_build" in (backend.why_slow(chosen) or "")
    (check,) = doctor._kernel()
    assert "not built" in check.found


@pytest.mark.skipif(not KERNELS, reason="needs both")
def test_a_whole_circuit_has_the_same_bytes_without_the_library(request: pytest.FixtureRequest) -> None:
    with_kernel, bits = sum_of_words()
    assert sum(bit << i for i, bit in enumerate(bits)) == (201 + 58) % 256
    request.getfixturevalue("without_library")
    assert backend.choose().name == "numpy"
    assert sum_of_words()[0] == with_kernel
