"""Coefficients as one stream of bits: `width` bits each, least significant first, zero padding at the end."""

from __future__ import annotations

from typing import Final

import numpy as np

from octra.hfhe.sampling import U32Array

_BLOCK: Final = 1 << 16  # values unpacked at once; a multiple of 8, so blocks meet at whole bytes


def packed_size(count: int, width: int) -> int:
    """Bytes that `count` values of `width` bits take."""
    return (count * width + 7) // 8


def pack_values(values: U32Array, width: int) -> bytes:
    """The stream of all values in C order; each must be below 2^`width`."""
    flat = np.ascontiguousarray(values, "<u4").reshape(-1)
    return b"".join(_pack_block(flat[i : i + _BLOCK], width) for i in range(0, flat.size, _BLOCK))


def unpack_values(data: bytes, width: int, count: int) -> U32Array:
    """The first `count` values of a stream, which must hold at least that many."""
    assert len(data) >= packed_size(count, width)
    raw = np.frombuffer(data, np.uint8)
    values = np.empty(count, np.uint32)
    for i in range(0, count, _BLOCK):
        block = min(_BLOCK, count - i)
        first = i * width // 8
        values[i : i + block] = _unpack_block(raw[first : first + packed_size(block, width)], width, block)
    return values


def padding_is_zero(data: bytes, width: int, count: int) -> bool:
    """True when no bit after the last value is set."""
    used = count * width % 8
    return used == 0 or data[-1] >> used == 0


def _pack_block(values: U32Array, width: int) -> bytes:
    bits = np.unpackbits(values.view(np.uint8).reshape(-1, 4), axis=1, count=width, bitorder="little")
    return np.packbits(bits, bitorder="little").tobytes()


def _unpack_block(raw: np.typing.NDArray[np.uint8], width: int, count: int) -> U32Array:
    bits = np.unpackbits(raw, count=count * width, bitorder="little").reshape(count, width)
    octets = np.zeros((count, 4), np.uint8)
    octets[:, : (width + 7) // 8] = np.packbits(bits, axis=1, bitorder="little")
    return octets.view("<u4").reshape(count).astype(np.uint32)
