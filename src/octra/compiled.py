"""Compiled code that a package can do without: `python -m octra.native_build` makes it in place, wheels bring it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path


class Compiled:
    """Those functions of a library that one module calls."""

    def __init__(self, path: Path, declare: Callable[[ctypes.CDLL], None]) -> None:
        """`declare` says what they take and give; it names all, so a library of another program is not taken."""
        self._path, self._declare = path, declare

    def available(self) -> bool:
        """Was the library built, and not switched off by OCTRA_NO_KERNEL=1?"""
        return os.environ.get("OCTRA_NO_KERNEL") != "1" and self._loaded is not None

    @property
    def library(self) -> ctypes.CDLL:
        """Only where `available()`."""
        assert self._loaded is not None
        return self._loaded

    @cached_property
    def _loaded(self) -> ctypes.CDLL | None:
        try:
            library = ctypes.CDLL(str(self._path))
            self._declare(library)
        except (OSError, AttributeError):  # not built, or from other sources
            return None
        return library
