"""The state in and out as a snapshot: read from the versioned tree while commits go on, and built up without history.

What a snapshot is and when it is to be believed says `octra.consensus.snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Final

from octra.codec import encode
from octra.consensus.snapshot import GLOBAL, InvalidSnapshot, Manifest, RootRefused, Row, Section, circle_of
from octra.consensus.statetree import EMPTY_TREE, hash_leaf
from octra.errors import Malformed
from octra.storage.errors import CorruptStore
from octra.storage.history import History, put_history
from octra.storage.kv import Batch, Family, KeyValue, ReadView, prefix_end, u64
from octra.storage.state import FLUSHED_KEY, HEAD_KEY, OLDEST_KEY, Head, StateReader
from octra.storage.tree.build import TreeBuilder
from octra.storage.tree.nodes import Children, Link, encode_children, encode_link, position
from octra.storage.tree.path import GLOBAL_TREE, circle_tree, rules_of

PAGE: Final = 128  # values a read
KEYS_MAX: Final = 2**63  # no limit


def rows_at(view: ReadView, height: int) -> Iterator[tuple[bytes, Row]]:
    """(tree, row) of the whole state at a retained height, in the order of a snapshot. The view is of one instant."""
    circles = []
    for row in _rows_of(view, GLOBAL_TREE, height):
        if (circle := circle_of(row)) is not None:
            circles.append(circle[0])
        yield GLOBAL, row
    for id in sorted(circles):
        for row in _rows_of(view, circle_tree(id), height):
            yield id, row


def _rows_of(view: ReadView, tree: bytes, height: int) -> Iterator[Row]:
    """One tree's rows at a height, in the order of their paths: the newest ones, but for what changed since."""
    values = StateReader(view).values_at(tree, height)
    changed = sorted((rules_of(tree).path(key), key) for key in values)
    newest = view.scan(Family.LEAF, tree, prefix_end(tree), limit=KEYS_MAX)
    unchanged = ((name[len(tree) :], key) for name, key in newest if key not in values)
    leaves = merge(unchanged, changed)
    while page := [key for _, key in islice(leaves, PAGE)]:
        stored = [key for key in page if key not in values]
        found = dict(zip(stored, view.get_many(Family.STATE, [tree + key for key in stored]), strict=True))
        for key in page:
            value = values[key] if key in values else found[key]
            if value is not None:
                yield key, value
            elif key in found:
                raise CorruptStore("the value of a key is missing")


class Installation:
    """Builds the state of a snapshot in an empty store. Until `finish` the store has no head: it is of no use."""

    def __init__(self, store: KeyValue, manifest: Manifest) -> None:
        self._store, self._manifest = store, manifest
        self._height = manifest.height
        self._batch = Batch()
        self._tree: bytes | None = None
        self._builder = TreeBuilder(self._branch)
        self._circles: dict[bytes, bytes] = {}  # id -> root, of those whose rows have not come yet

    def add(self, sections: Sequence[Section]) -> None:
        """The rows of the next chunk; raises `InvalidSnapshot` once a tree is complete and not what it has to be."""
        for section in sections:
            if section.tree != self._tree:
                self._close()
                self._tree = section.tree
            self._put(section)
        self._write(durable=False)

    def finish(self, rows: Batch) -> None:
        """All chunks were added: if every root is right, the state begins to exist, together with `rows`."""
        self._close()
        if self._circles:
            raise RootRefused(min(self._circles))
        header = self._manifest.header
        head = Head(header.height, header.epoch, header.state_root, header.leader)
        put_history(self._batch, self._height, History(header.state_root, []))
        for key in (OLDEST_KEY, FLUSHED_KEY):
            self._batch.put(Family.META, key, u64(self._height))
        self._batch.extend(rows)
        self._batch.put(Family.META, HEAD_KEY, encode(head))
        self._write(durable=True)

    def _put(self, section: Section) -> None:
        tree = _name(section.tree)
        rules = rules_of(tree)
        for key, value in section.rows:
            if section.tree == GLOBAL:
                self._expect(key, value)
            path = rules.path(key)
            self._batch.put(Family.STATE, tree + key, value)
            self._batch.put(Family.LEAF, tree + path, key)
            self._builder.push(path, hash_leaf(path, rules.value_hash(key, value)))

    def _expect(self, key: bytes, value: bytes) -> None:
        try:
            circle = circle_of((key, value))
        except Malformed as error:
            raise InvalidSnapshot("the record of a Circle does not decode") from error
        if circle is not None:
            self._circles[circle[0]] = circle[1]

    def _close(self) -> None:
        """The tree that was read last is complete: its root must be the one that is proven."""
        link, self._builder = self._builder.finish(), TreeBuilder(self._branch)
        root = EMPTY_TREE if link is None else link.hash
        if self._tree is None:
            return
        if self._tree == GLOBAL:
            expected = self._manifest.header.state_root
        else:
            expected = self._circles.pop(self._tree, EMPTY_TREE)
        if root != expected:
            raise RootRefused(self._tree)
        if link is not None:
            self._batch.put(Family.ROOT, _name(self._tree), encode_link(link))

    def _branch(self, link: Link, children: Children) -> None:
        assert self._tree is not None
        self._batch.put(Family.NODE, position(_name(self._tree), link), encode_children(children))

    def _write(self, *, durable: bool) -> None:
        self._store.write(self._batch, durable=durable)
        self._batch = Batch()


def _name(tree: bytes) -> bytes:
    """The local name of a tree by its name in snapshots."""
    return GLOBAL_TREE if tree == GLOBAL else circle_tree(tree)
