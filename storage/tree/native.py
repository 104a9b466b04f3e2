"""Batch update by the compiled library: the rows and roots of `merge`, for a tenth of the work.

`python -m octra.native_build` compiles it in place; wheels bring it. Without it `NodeWriter` does the same.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family, ReadView, u32, u64
from octra.storage.tree.nodes import REF_SIZE, Link, put_stale
from octra.storage.tree.path import CIRCLE_RULES, TreeRules

LIBRARY: Final = Path(__file__).parents[1] / "_tree.so"
NODES_MAX: Final = 400_000  # in memory: 80 MB when full
FETCH_MAX: Final = 4_096  # rows that one look at the disk brings
_LINK_SIZE: Final = REF_SIZE + 32


class _Handle:
    """Owns the library's memory: whoever still uses it holds this."""

    def __init__(self, library: ctypes.CDLL, nodes_max: int) -> None:
        self._library = library
        self.address: int = library.octra_tree_new(nodes_max)

    def __del__(self) -> None:
        self._library.octra_tree_free(self.address)


class NativeTree:
    """Nodes of the newest version in the library's memory, and the update of one commit after the other."""

    def __init__(self, view: ReadView, nodes_max: int = NODES_MAX) -> None:
        """Only where `available()`."""
        self._view, self._library = view, _library()
        self._handle = _Handle(self._library, nodes_max)

    def begin(self, version: int) -> NativeWriter:
        """A commit; an earlier one that was not published is forgotten."""
        self._library.octra_tree_begin(self._handle.address, version)
        return NativeWriter(self._view, self._library, self._handle, version)


class NativeWriter:
    """Collects what a commit adds and what it makes stale, over all trees that it touches: a `TreeWriter`."""

    def __init__(self, view: ReadView, library: ctypes.CDLL, handle: _Handle, version: int) -> None:
        self._view, self._library, self._handle, self.version = view, library, handle, version

    def apply(self, root: Link | None, rules: TreeRules, writes: Mapping[bytes, bytes | None]) -> Link | None:
        """The root after setting, or with None removing, these keys."""
        keys, values = list(writes), list(writes.values())
        held = [value or b"" for value in values]
        self._library.octra_tree_take(
            self._handle.address,
            rules is CIRCLE_RULES,
            len(keys),
            b"".join(keys),
            _ends(keys),
            b"".join(held),
            _ends(held),
            bytes(value is not None for value in values),
        )
        before = None if root is None else root.ref + root.hash
        out = ctypes.create_string_buffer(_LINK_SIZE)
        exists = self._library.octra_tree_update(self._handle.address, before, out)
        if exists < 0 and before is not None:
            self._fetch(before)
            exists = self._library.octra_tree_update(self._handle.address, before, out)
        if exists < 0:
            raise CorruptStore("a tree node is missing")
        if not exists:
            return None
        after = out.raw
        if root is not None and after[:REF_SIZE] == root.ref:
            return root
        return Link(after[:REF_SIZE], after[REF_SIZE:])

    def write_rows(self, batch: Batch) -> None:
        """Put the new and stale rows into the commit's batch."""
        library, address = self._library, self._handle.address
        count, dead_count = library.octra_tree_added(address), library.octra_tree_dead(address)
        rows = ctypes.create_string_buffer(max(1, library.octra_tree_rows_size(address)))
        ends = array("I", bytes(4 * count))
        dead = ctypes.create_string_buffer(max(1, dead_count * REF_SIZE))
        library.octra_tree_rows(address, rows, ends.buffer_info()[0], dead)
        prefix, raw = u64(self.version), rows.raw
        refs = [prefix + sequence for sequence in map(u32, range(count))]
        starts = [0, *ends]
        batch.put_many(Family.NODE, refs, [raw[start:end] for start, end in pairwise(starts)])
        put_stale(batch, self.version, dead.raw[: dead_count * REF_SIZE])

    def publish(self) -> None:
        """Only after the write: a commit that failed leaves its refs free for another."""
        self._library.octra_tree_publish(self._handle.address)

    def _fetch(self, root: bytes) -> None:
        """Bring the nodes on the way of the taken writes into memory, a level or more at a time."""
        refs = ctypes.create_string_buffer(FETCH_MAX * REF_SIZE)
        while missing := self._library.octra_tree_missing(self._handle.address, root, refs, FETCH_MAX):
            wanted = [refs.raw[at : at + REF_SIZE] for at in range(0, missing * REF_SIZE, REF_SIZE)]
            for ref, row in zip(wanted, self._view.get_many(Family.NODE, wanted), strict=True):
                if row is None:
                    raise CorruptStore("a tree node is missing")
                if not self._library.octra_tree_feed(self._handle.address, ref, row, len(row)):
                    raise CorruptStore("a tree node does not decode")


def _ends(parts: Sequence[bytes]) -> bytes:
    """Where each of the joined parts ends, as the library reads it: u32 of this machine."""
    return array("I", accumulate(map(len, parts))).tobytes()


def available() -> bool:
    """Was the library built for this machine, and is it not switched off?"""
    if os.environ.get("OCTRA_NO_KERNEL") == "1":
        return False
    try:
        _library()
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(LIBRARY))
    pointer, number, data = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    assert array("I").itemsize == ctypes.sizeof(ctypes.c_uint32)
    library.octra_tree_new.argtypes = [ctypes.c_uint64]
    library.octra_tree_new.restype = pointer
    library.octra_tree_free.argtypes = library.octra_tree_publish.argtypes = [pointer]
    library.octra_tree_added.argtypes = library.octra_tree_dead.argtypes = [pointer]
    library.octra_tree_begin.argtypes = [pointer, ctypes.c_uint64]
    library.octra_tree_take.argtypes = [pointer, number, number, data, data, data, data, data]
    library.octra_tree_take.restype = None
    library.octra_tree_missing.argtypes = [pointer, data, pointer, number]
    library.octra_tree_feed.argtypes = [pointer, data, data, number]
    library.octra_tree_update.argtypes = [pointer, data, pointer]
    library.octra_tree_rows_size.argtypes = [pointer]
    library.octra_tree_rows_size.restype = ctypes.c_uint64
    library.octra_tree_rows.argtypes = [pointer, pointer, pointer, pointer]
    library.octra_tree_rows.restype = None
    return library
