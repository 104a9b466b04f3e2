"""Compiled kernels: the same bytes as NumPy on whole operations, for every variant that this processor can run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octra import native_build
from octra.hfhe import backend_native, encrypt, native_library, selftest, shake, wire
from octra.hfhe.backend import choose
from octra.hfhe.backend_native import NativeBackend
from octra.hfhe.backend_numpy import NumpyBackend
from octra.hfhe.bootstrap import reencode
from octra.hfhe.errors import BackendUnavailable
from octra.hfhe.keys import EvaluationKey, PublicKey, SecretKey, bootstrap_masks
from octra.hfhe.params import MU, STD128, TEST, F, ParameterSet, Q

pytestmark = pytest.mark.skipif(not backend_native.available(), reason="kernel not built: python -m octra.native_build")
SEED = b"native tests: used only in there"
VARIANTS = backend_native.available()


@pytest.fixture(scope="module", params=VARIANTS)
def kernel(request: pytest.FixtureRequest) -> NativeBackend:
    return NativeBackend(request.param)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 64, 65])
def test_bootstraps_of_any_batch_are_equal(toy: Any, kernel: NativeBackend, count: int) -> None:
    forms = np.random.default_rng(count).integers(0, Q, (count, toy.params.M + 1), dtype=np.uint32)
    prepared = kernel.prepare(toy.evaluation)
    assert (kernel.switch(prepared, forms) == toy.backend.switch(toy.prepared, forms)).all()
    assert (kernel.bootstrap(prepared, forms) == toy.backend.bootstrap(toy.prepared, forms)).all()


@pytest.mark.parametrize("keys", ["toy", "keys_s", "keys_t"])
def test_every_operation_is_equal(keys: str, kernel: NativeBackend, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(keys)
    prepared = kernel.prepare(made.evaluation)
    random = np.random.default_rng(5)
    forms = random.integers(0, Q, (3, made.params.M + 1), dtype=np.uint32)
    forms[0] = Q - 1
    expected = made.backend.bootstrap(made.prepared, forms)
    assert (kernel.bootstrap(prepared, forms) == expected).all()
    exponents = random.integers(0, 2 * made.params.N, (2, made.params.n + 1)).astype(np.uint16)
    start = made.params.groups - 2
    rotated = made.backend.rotate(made.prepared, exponents, start, 2 * MU)
    assert (kernel.rotate(prepared, exponents, start, 2 * MU) == rotated).all()
    entry = encrypt.encrypt_entry(made.secret, made.evaluation.key_id, [0, 1, 1], SEED)
    assert (kernel.entry(prepared, entry) == made.backend.entry(made.prepared, entry)).all()
    for bits in (expected, forms, np.full((made.params.N, made.params.M + 1), Q >> 1, np.uint32)):
        assert (kernel.pack(prepared, bits) == made.backend.pack(made.prepared, bits)).all()
    opened = reencode(made.backend, made.prepared, expected[:1], 3)
    assert (reencode(kernel, prepared, expected[:1], 3) == opened).all()


@pytest.mark.parametrize("params", [F, STD128], ids=lambda params: params.name)
def test_rotations_of_the_other_sets_are_equal(params: ParameterSet, kernel: NativeBackend) -> None:
    short = replace(params, n=6, switch_digits=1, switch_base_log=1, packing=None)
    random = np.random.default_rng(6)
    shape = (short.groups, short.messages, short.rows, short.N)
    bodies = random.integers(0, Q, shape, dtype=np.uint32)
    public = PublicKey.generate(SecretKey.generate(short, SEED), SEED)
    key = EvaluationKey(short, SEED, public, bodies, np.zeros((short.M, 1, 1), np.uint16), None)
    exponents = random.integers(0, 2 * short.N, (3, short.n + 1)).astype(np.uint16)
    plain = NumpyBackend()
    expected = plain.rotate(plain.prepare(key), exponents, 1)
    assert (kernel.rotate(kernel.prepare(key), exponents, 1) == expected).all()


def test_threads_may_share_a_prepared_key(toy: Any, kernel: NativeBackend) -> None:
    forms = np.random.default_rng(9).integers(0, Q, (40, toy.params.M + 1), dtype=np.uint32)
    prepared = kernel.prepare(toy.evaluation)
    whole = kernel.bootstrap(prepared, forms)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: kernel.bootstrap(prepared, forms[i : i + 5]), range(0, 40, 5)))
    assert (np.concatenate(parts) == whole).all()


def test_the_fastest_kernel_is_chosen_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCTRA_KERNEL", raising=False)
    assert choose().name == choose("native").name == f"native-{VARIANTS[0]}"


def test_an_unknown_variant_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable):
        NativeBackend("abacus")


def test_the_kernel_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    assert backend_native.available() == ()
    with pytest.raises(BackendUnavailable):
        NativeBackend("portable")


@pytest.mark.parametrize("variant", VARIANTS)
def test_streams_are_those_of_hashlib(variant: str) -> None:
    for count in (1, 2, 3, 4, 5, 9):
        for size in (1, 135, 136, 137, 167, 168, 169, 336, 337, 2_080):
            for length in (0, 39, 128):
                messages = np.tile(np.arange(count, dtype=np.uint8)[:, None], length)
                for strength, plain in ((128, hashlib.shake_128), (256, hashlib.shake_256)):
                    found = shake.streams(strength, messages, size, variant=variant)  # type: ignore[arg-type]  # both
                    assert [bytes(row) for row in found] == [
                        plain(message.tobytes()).digest(size) for message in messages
                    ]


def test_keys_are_the_same_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SecretKey.generate(TEST, SEED)
    fast = EvaluationKey.generate(secret, SEED)
    monkeypatch.setenv("OCTRA_NO_KERNEL", "1")
    slow = EvaluationKey.generate(SecretKey.generate(TEST, SEED), SEED)
    assert wire.encode_evaluation_key(fast) == wire.encode_evaluation_key(slow)
    assert (bootstrap_masks(TEST, SEED, 1) == slow_masks(1)).all()


def slow_masks(group: int) -> Any:
    """The masks of one group as the specification words them: a stream for each polynomial, values >= Q skipped."""
    masks = []
    for row in range(group * TEST.messages * TEST.rows, (group + 1) * TEST.messages * TEST.rows):
        place = SEED + bytes([1, TEST.set_id]) + row.to_bytes(4, "little") + b"\0"
        raw = hashlib.shake_128(place).digest(8 * TEST.N)
        values = [int.from_bytes(raw[at : at + 4], "little") % 2**27 for at in range(0, len(raw), 4)]
        masks.append([value for value in values if value < Q][: TEST.N])
    return np.array(masks).reshape(TEST.messages, TEST.rows, 1, TEST.N)


@pytest.mark.long
@pytest.mark.parametrize("lanes", [8, 16])
def test_wide_kernels_are_right_where_the_compiler_emulates_their_registers(
    lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = shutil.which("c++")
    assert compiler is not None
    flags = [*native_build.COMMON, "-O1", "-DOCTRA_VARIANT=portable", f"-DOCTRA_LANES={lanes}", "-DOCTRA_PORTABLE_ONLY"]
    sources = [str(native_build.KERNEL.sources / name) for name in ("variant.cpp", "dispatch.cpp")]
    library = tmp_path / "kernel.so"
    subprocess.run([compiler, *flags, "-shared", *sources, "-o", str(library)], check=True)
    monkeypatch.setattr(native_library, "LIBRARY", library)
    selftest.check(NativeBackend("portable"))
    test_streams_are_those_of_hashlib("portable")
