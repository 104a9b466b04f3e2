"""Batch update by the compiled library: the rows and roots of `merge`, for a tenth of the work.

`python -m octra.native_build` compiles it in place; wheels bring it. Without it `NodeWriter` does the same.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family, ReadView, u32, u64
from octra.storage.tree.nodes import BRANCH_SIZE, REF_SIZE, Leaf, Link, encode_node, put_stale

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
        self._leaves: list[Leaf | None] = []  # every change of the commit, as the library numbers them

    def apply(self, root: Link | None, changes: Mapping[bytes, Leaf | None]) -> Link | None:
        """The root after setting (`Leaf`) or removing (`None`) the leaves at these paths."""
        paths = sorted(changes)
        leaves = [changes[path] for path in paths]
        joined = b"".join(paths)
        before = None if root is None else root.ref + root.hash
        if before is not None:
            self._fetch(before, joined, len(paths))
        out = ctypes.create_string_buffer(_LINK_SIZE)
        exists = self._library.octra_tree_update(
            self._handle.address,
            before,
            joined,
            b"".join(bytes(32) if leaf is None else leaf.value_hash for leaf in leaves),
            bytes(leaf is not None for leaf in leaves),
            len(paths),
            len(self._leaves),
            out,
        )
        if exists < 0:
            raise CorruptStore("a tree node is missing")
        self._leaves += leaves
        if not exists:
            return None
        after = out.raw
        if root is not None and after[:REF_SIZE] == root.ref:
            return root
        return Link(after[:REF_SIZE], after[REF_SIZE:])

    def write_rows(self, batch: Batch) -> None:
        """Put the new and stale rows into the commit's batch."""
        count, dead_count = (
            self._library.octra_tree_added(self._handle.address),
            self._library.octra_tree_dead(self._handle.address),
        )
        rows = ctypes.create_string_buffer(max(1, count * BRANCH_SIZE))
        numbers = (ctypes.c_int32 * count)()
        dead = ctypes.create_string_buffer(max(1, dead_count * REF_SIZE))
        self._library.octra_tree_rows(self._handle.address, rows, numbers, dead)
        prefix, raw = u64(self.version), rows.raw
        branches = (raw[at : at + BRANCH_SIZE] for at in range(0, count * BRANCH_SIZE, BRANCH_SIZE))
        nodes = [
            (prefix + u32(sequence), branch if number < 0 else self._row(number))
            for sequence, (number, branch) in enumerate(zip(numbers, branches, strict=True))
        ]
        batch.put_many(Family.NODE, nodes)
        put_stale(batch, self.version, dead.raw[: dead_count * REF_SIZE])

    def publish(self) -> None:
        """Only after the write: a commit that failed leaves its refs free for another."""
        self._library.octra_tree_publish(self._handle.address)

    def _row(self, number: int) -> bytes:
        leaf = self._leaves[number]
        assert leaf is not None, "only a leaf that was set is added"
        return encode_node(leaf)

    def _fetch(self, root: bytes, paths: bytes, count: int) -> None:
        """Bring the nodes on the way of the paths into memory, a level or more at a time."""
        refs = ctypes.create_string_buffer(FETCH_MAX * REF_SIZE)
        while missing := self._library.octra_tree_missing(self._handle.address, root, paths, count, refs, FETCH_MAX):
            wanted = [refs.raw[at : at + REF_SIZE] for at in range(0, missing * REF_SIZE, REF_SIZE)]
            for ref, row in zip(wanted, self._view.get_many(Family.NODE, wanted), strict=True):
                if row is None:
                    raise CorruptStore("a tree node is missing")
                if not self._library.octra_tree_feed(self._handle.address, ref, row, len(row)):
                    raise CorruptStore("a tree node does not decode")


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
    library.octra_tree_new.argtypes = [ctypes.c_uint64]
    library.octra_tree_new.restype = pointer
    library.octra_tree_free.argtypes = library.octra_tree_publish.argtypes = [pointer]
    library.octra_tree_added.argtypes = library.octra_tree_dead.argtypes = [pointer]
    library.octra_tree_begin.argtypes = [pointer, ctypes.c_uint64]
    library.octra_tree_missing.argtypes = [pointer, data, data, number, pointer, number]
    library.octra_tree_feed.argtypes = [pointer, data, data, number]
    library.octra_tree_update.argtypes = [pointer, data, data, data, data, number, number, pointer]
    library.octra_tree_rows.argtypes = [pointer, pointer, pointer, pointer]
    return library
