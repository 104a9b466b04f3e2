"""Compiled code that a package can do without: `python -m octra.native_build` makes it in place, wheels bring it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path


class Room:
    """Zeroed memory for compiled code to fill: an argument of a function that wants `c_char_p`.

    An array of ctypes would do, but each length is a type of its own, 3 KB that live until the collector comes.
    """

    __slots__ = ("_as_parameter_", "_held", "_memory")

    def __init__(self, size: int) -> None:
        self._memory = bytearray(max(1, size))
        self._held = ctypes.c_char.from_buffer(self._memory)  # while it lives, the memory cannot move
        self._as_parameter_ = ctypes.c_char_p(ctypes.addressof(self._held))

    def first(self, size: int) -> bytes:
        """A copy of the first `size` bytes."""
        return bytes(memoryview(self._memory)[:size])


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
