"""SHAKE streams of many short messages at once: by the compiled library where there is one, else by `hashlib`."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from octra.hfhe import native_library

U8Array = npt.NDArray[np.uint8]
MESSAGE_MAX: Final = 128  # bytes: they are absorbed in one block
_RATES: Final = {128: 168, 256: 136}  # bytes of a block, by strength


def streams(strength: Literal[128, 256], messages: U8Array, size: int, *, variant: str = "") -> U8Array:
    """The first `size` bytes of the stream of each message [count, length <= 128], [count, size].

    `variant` forces one variant of the library, for tests.
    """
    count, length = messages.shape
    assert length <= MESSAGE_MAX
    messages, found = np.ascontiguousarray(messages), np.empty((count, size), np.uint8)
    variants = (variant,) if variant else native_library.available()[:1]
    if variants:
        library = native_library.library()
        kernel = library.octra_variant(variants[0].encode())
        library.octra_shake(kernel, messages.ctypes.data, length, count, _RATES[strength], found.ctypes.data, size)
    else:
        plain = hashlib.shake_128 if strength == 128 else hashlib.shake_256
        for row, message in zip(found, messages, strict=True):
            row[:] = np.frombuffer(plain(message.tobytes()).digest(size), np.uint8)
    return found


def numbered(prefix: bytes, rows: range, suffix: bytes = b"") -> U8Array:
    """The messages `prefix || u32le row || suffix` of all rows, [rows, length]."""
    assert rows.step == 1
    start, end = len(prefix), len(prefix) + 4
    messages = np.empty((len(rows), end + len(suffix)), np.uint8)
    messages[:, :start] = np.frombuffer(prefix, np.uint8)
    messages[:, start:end] = np.arange(rows.start, rows.stop, dtype="<u4").view(np.uint8).reshape(-1, 4)
    messages[:, end:] = np.frombuffer(suffix, np.uint8)
    return messages
