"""The trees in the compiled library's memory: the roots and rows of `merge`, for a fraction of the work.

`python -m octra.native_build` compiles it in place; wheels bring it. Without it `MergeTrees` does the same.
"""

from __future__ import annotations

import ctypes
from array import array
from pathlib import Path
from typing import Final

from octra.columns import Column, cut
from octra.compiled import Compiled, Room
from octra.consensus.statetree import EMPTY_TREE, PATH_BITS
from octra.storage.errors import CorruptStore
from octra.storage.kv import Batch, Family, ReadView
from octra.storage.tree.merge import MergeTrees, Trees, Way, Writes
from octra.storage.tree.nodes import LINK_SIZE
from octra.storage.tree.path import CIRCLE_RULES, rules_of

NODES_MAX: Final = 400_000  # in memory after a flush: 40 MB when full
SWEEP_FLUSHES: Final = 32  # what no commit between two sweeps went through is forgotten: each block leaves a new row
FETCH_MAX: Final = 4_096  # rows that one look at the disk brings
_POSITION_MAX, _HASH, _ROW = 65, 32, 2 * LINK_SIZE
_ROOT_ROW: Final = _HASH + 1 + LINK_SIZE


class NativeTrees:
    """`Trees` of the library."""

    def __init__(self, view: ReadView, nodes_max: int = NODES_MAX, sweep_flushes: int = SWEEP_FLUSHES) -> None:
        """Only where `available()`."""
        self._view, self._library = view, _COMPILED.library
        self._address: int = self._library.octra_trees_new(nodes_max, sweep_flushes)

    def __del__(self) -> None:
        self._library.octra_trees_free(self._address)

    def begin(self) -> None:
        """Start a commit; an earlier one that was not published is forgotten."""
        self._library.octra_trees_begin(self._address)

    def apply(self, tree: bytes, writes: Writes) -> bytes:
        """The root hash of a tree after setting, or with None removing, these keys. Once for each tree of a commit."""
        self._select(tree)
        keys, held = Column.of(list(writes)), Column.of([value or b"" for value in writes.values()])
        self._library.octra_trees_hold(
            self._address,
            rules_of(tree) is CIRCLE_RULES,
            len(writes),
            bytes(keys.joined),
            keys.sizes.buffer_info()[0],
            bytes(held.joined),
            held.sizes.buffer_info()[0],
            bytes([value is not None for value in writes.values()]),
        )
        if not self._library.octra_trees_update(self._address):
            while count := self._library.octra_trees_missing(self._address, FETCH_MAX):
                self._feed(count)
            updated = self._library.octra_trees_update(self._address)
            assert updated, "what was missing has come"
        return self._root()

    def root(self, tree: bytes) -> bytes:
        """The root hash, of the commit that is being made."""
        self._select(tree)
        return self._root()

    def prove(self, tree: bytes, path: bytes) -> Way | None:
        """The way to a path; `None` for an empty tree."""
        self._select(tree)
        bits, siblings, leaf = Room(PATH_BITS), Room(PATH_BITS * _HASH), Room(2 * _HASH)
        while (count := self._library.octra_trees_prove(self._address, path, bits, siblings, leaf)) == -2:
            self._feed(1)
        if count < 0:
            return None
        key, held = cut(leaf.first(2 * _HASH), _HASH)
        return Way(bits.first(count), siblings.first(count * _HASH), key, held)

    @property
    def changed(self) -> int:
        """How many branches, published ones, have another row on disk or none."""
        return int(self._library.octra_trees_changed(self._address))

    @property
    def live(self) -> int:
        """How many nodes are in memory."""
        return int(self._library.octra_trees_live(self._address))

    def rows(self, batch: Batch) -> None:
        """Put in all that the disk does not hold yet, the commit that is being made included."""
        sizes = array("Q", bytes(32))
        self._library.octra_trees_make_rows(self._address, sizes.buffer_info()[0])
        count, gone, keys_size, roots_size = sizes
        keys, key_sizes = Room(keys_size), array("I", bytes(4 * count))
        rows, roots = Room((count - gone) * _ROW), Room(roots_size)
        self._library.octra_trees_take_rows(self._address, keys, key_sizes.buffer_info()[0], rows, roots)
        names = Column(keys.first(keys_size), key_sizes).parts()
        for name in names[:gone]:
            batch.delete(Family.NODE, name)
        if count > gone:
            size = sum(key_sizes[gone:]) + (count - gone) * _ROW
            fresh = sorted(zip(names[gone:], cut(rows.first((count - gone) * _ROW), _ROW), strict=True))
            names, values = zip(*fresh, strict=True)
            batch.put_many(Family.NODE, names, values, size)
        for row in cut(roots.first(roots_size), _ROOT_ROW):
            if row[_HASH]:
                batch.put(Family.ROOT, row[:_HASH], row[_HASH + 1 :])
            else:
                batch.delete(Family.ROOT, row[:_HASH])

    def publish(self, *, flushed: bool) -> None:
        """The commit's batch is written; `flushed` when `rows` were part of it."""
        self._library.octra_trees_publish(self._address, flushed)

    def _select(self, tree: bytes) -> None:
        if self._library.octra_trees_select(self._address, tree):
            return
        row = self._view.get(Family.ROOT, tree)
        if not self._library.octra_trees_put_root(self._address, tree, row, 0 if row is None else len(row)):
            raise CorruptStore("the root of a tree does not decode")

    def _root(self) -> bytes:
        out = Room(_HASH)
        return out.first(_HASH) if self._library.octra_trees_root(self._address, out) else EMPTY_TREE

    def _feed(self, count: int) -> None:
        """Bring the first `count` missing branches into memory."""
        joined, sizes = Room(count * _POSITION_MAX), array("I", bytes(4 * count))
        self._library.octra_trees_wanted_keys(self._address, count, joined, sizes.buffer_info()[0])
        rows = self._view.get_many(Family.NODE, Column(joined.first(sum(sizes)), sizes).parts())
        found = [row for row in rows if row is not None]
        if len(found) < count:
            raise CorruptStore("a tree node is missing")
        if any(len(row) != _ROW for row in found) or not self._library.octra_trees_feed(
            self._address, count, b"".join(found)
        ):
            raise CorruptStore("a tree node is not the one that its parent names")


def open_trees(view: ReadView) -> Trees:
    """The trees that a view shows: compiled where that is possible."""
    return NativeTrees(view) if available() else MergeTrees(view)


def _declare(library: ctypes.CDLL) -> None:
    pointer, number, data = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    assert array("I").itemsize == ctypes.sizeof(ctypes.c_uint32)
    assert array("Q").itemsize == ctypes.sizeof(ctypes.c_uint64)
    library.octra_trees_new.argtypes = [ctypes.c_uint64, ctypes.c_uint64]
    library.octra_trees_new.restype = pointer
    library.octra_trees_free.argtypes = library.octra_trees_begin.argtypes = [pointer]
    library.octra_trees_select.argtypes = [pointer, data]
    library.octra_trees_put_root.argtypes = [pointer, data, data, number]
    library.octra_trees_hold.argtypes = [pointer, number, number, data, pointer, data, pointer, data]
    library.octra_trees_missing.argtypes = [pointer, number]
    library.octra_trees_wanted_keys.argtypes = [pointer, number, data, pointer]
    library.octra_trees_feed.argtypes = [pointer, number, data]
    library.octra_trees_update.argtypes = [pointer]
    library.octra_trees_root.argtypes = [pointer, data]
    library.octra_trees_prove.argtypes = [pointer, data, data, data, data]
    library.octra_trees_changed.argtypes = [pointer]
    library.octra_trees_live.argtypes = [pointer]
    library.octra_trees_live.restype = library.octra_trees_changed.restype = ctypes.c_uint64
    library.octra_trees_make_rows.argtypes = [pointer, pointer]
    library.octra_trees_take_rows.argtypes = [pointer, data, pointer, data, data]
    library.octra_trees_publish.argtypes = [pointer, number]
    for name in ("free", "begin", "hold", "wanted_keys", "make_rows", "take_rows", "publish"):
        getattr(library, f"octra_trees_{name}").restype = None


_COMPILED: Final = Compiled(Path(__file__).parents[1] / "_tree.so", _declare)
available = _COMPILED.available
