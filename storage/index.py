"""The rows by which a block's transactions are found again: by id, and by the accounts that they concern.

`rows_of` is the reference; where the compiled library is there, it makes the same rows.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from octra.columns import Column, cut
from octra.compiled import Compiled, Room

PLACE: Final = Struct(">QIB")  # height, index, status
HISTORY: Final = Struct(">32sQ")  # address, all heights less this one: the newest come first
ENTRY: Final = Struct(">I32s")  # index, id: of each transaction at that height that concerns the address
_U64_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Executed:
    """The transactions that a block executed, as columns: an entry for each."""

    ids: Sequence[bytes]
    indices: Sequence[int]  # as in `TxPlace`
    statuses: Sequence[int]  # `TxStatus`
    receipts: Sequence[bytes]
    accounts: bytes | bytearray = b""  # that they concern, 32 bytes each: as many for each transaction as `counts` say
    counts: Sequence[int] = ()


class IndexRows(NamedTuple):
    """Keys and values of rows, each pair by ascending key."""

    ids: Sequence[bytes]
    places: Sequence[bytes]
    histories: Sequence[bytes]
    entries: Sequence[bytes]  # a value for each history: its ENTRYs, joined


def rows_of(height: int, executed: Executed) -> IndexRows:
    """The rows of a height's transactions."""
    if available():
        return _compiled(height, executed)
    ids, indices, counts = executed.ids, executed.indices, executed.counts
    places = dict(zip(ids, map(PLACE.pack, repeat(height), indices, executed.statuses), strict=True))
    histories: dict[bytes, list[bytes]] = {}
    concerned = chain.from_iterable(map(repeat, map(ENTRY.pack, indices, ids), counts))
    for address, entry in zip(cut(executed.accounts, 32), concerned, strict=True):
        histories.setdefault(HISTORY.pack(address, _U64_MAX - height), []).append(entry)
    by_id, by_account = sorted(places), sorted(histories)
    entries = [b"".join(sorted(histories[key])) for key in by_account]
    return IndexRows(by_id, [places[id] for id in by_id], by_account, entries)


def _compiled(height: int, executed: Executed) -> IndexRows:
    count, concerned = len(executed.ids), len(executed.accounts) // 32
    indices, counts = array("I", executed.indices), array("I", executed.counts)
    assert len(indices) == len(executed.statuses) == len(counts) == count
    assert sum(counts) == concerned
    sizes = (32 * count, PLACE.size * count, HISTORY.size * concerned, ENTRY.size * concerned)
    columns, lengths = [Room(size) for size in sizes], array("I", bytes(4 * concerned))
    found = _COMPILED.library.octra_index_rows(
        height,
        count,
        b"".join(executed.ids),
        indices.buffer_info()[0],
        bytes(executed.statuses),
        bytes(executed.accounts),
        counts.buffer_info()[0],
        *columns,
        lengths.buffer_info()[0],
    )
    keys, places, histories, entries = (column.first(size) for column, size in zip(columns, sizes, strict=True))
    return IndexRows(
        cut(keys, 32),
        cut(places, PLACE.size),
        cut(histories[: HISTORY.size * found], HISTORY.size),
        Column(entries, lengths[:found]).parts(),
    )


def _declare(library: ctypes.CDLL) -> None:
    number, pointer, data = ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
    library.octra_index_rows.argtypes = [
        number, number, data, pointer, data, data, pointer, data, data, data, data, pointer,
    ]  # fmt: skip
    library.octra_index_rows.restype = number


_COMPILED: Final = Compiled(Path(__file__).parent / "_tree.so", _declare)
available = _COMPILED.available
