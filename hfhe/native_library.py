"""The compiled library: where it is, which of its variants this processor can run, and its C interface."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from octra.hfhe.errors import BackendUnavailable

VARIANTS: Final = ("avx512", "avx2", "portable")  # fastest first
LIBRARY: Final = Path(__file__).with_name("_kernel.so")


def available() -> tuple[str, ...]:
    """The variants that were built and that this processor can run, fastest first."""
    try:
        found = library()
    except BackendUnavailable:
        return ()
    return tuple(name for name in VARIANTS if found.octra_variant(name.encode()))


def library() -> ctypes.CDLL:
    """The library; `BackendUnavailable` says why there is none."""
    if os.environ.get("OCTRA_NO_KERNEL") == "1":
        raise BackendUnavailable("native", "switched off by OCTRA_NO_KERNEL")
    return loaded(LIBRARY)


@lru_cache(maxsize=4)
def loaded(path: Path) -> ctypes.CDLL:
    """The library in this file, with its functions declared."""
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailable("native", "not built: run python -m octra.native_build") from error
    try:
        _declare(found)
    except AttributeError as error:
        raise BackendUnavailable("native", "built from other sources: run python -m octra.native_build") from error
    return found


def _declare(found: ctypes.CDLL) -> None:
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    found.octra_variant.argtypes = [ctypes.c_char_p]
    found.octra_variant.restype = pointer
    found.octra_engine.argtypes = [pointer, number, number, number, number]
    found.octra_engine.restype = pointer
    found.octra_load_group.argtypes = found.octra_load_packing.argtypes = [pointer, pointer, pointer]
    found.octra_rotate.argtypes = [pointer, pointer, pointer, pointer, number, number, number]
    found.octra_pack.argtypes = [pointer, pointer, number, pointer, pointer]
    found.octra_key_switch.argtypes = [pointer, pointer, pointer, pointer, pointer, number]
    found.octra_shake.argtypes = [pointer, pointer, number, number, number, pointer, size]
