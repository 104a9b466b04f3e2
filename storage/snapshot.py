"""The state in and out as a snapshot: read from the versioned tree while commits go on, and built up without history.

What a snapshot is and when it is to be believed says `octra.consensus.snapshot`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from octra.codec import encode
from octra.consensus.snapshot import GLOBAL, InvalidSnapshot, Manifest, RootRefused, Row, Section, circle_of
from octra.consensus.statetree import EMPTY_TREE
from octra.errors import Malformed
from octra.storage.kv import Batch, Family, KeyValue, ReadView, u32, u64
from octra.storage.state import HEAD_KEY, PRUNE_KEY, Head
from octra.storage.tree.build import TreeBuilder
from octra.storage.tree.nodes import Leaf, Link, Node, encode_node, find_root, hash_node, write_root
from octra.storage.tree.path import GLOBAL_TREE, circle_tree, rules_of
from octra.storage.tree.walk import leaves


def rows_at(view: ReadView, height: int) -> Iterator[tuple[bytes, Row]]:
    """(tree, row) of the whole state at a retained height, in the order of a snapshot. Pin the height meanwhile."""
    circles = []
    for leaf in leaves(view, find_root(view, GLOBAL_TREE, height)[1]):
        row = leaf.key, leaf.value
        if (circle := circle_of(row)) is not None:
            circles.append(circle[0])
        yield GLOBAL, row
    for id in sorted(circles):
        for leaf in leaves(view, find_root(view, circle_tree(id), height)[1]):
            yield id, (leaf.key, leaf.value)


class Installation:
    """Builds the state of a snapshot in an empty store. Until `finish` the store has no head: it is of no use."""

    def __init__(self, store: KeyValue, manifest: Manifest) -> None:
        self._store, self._manifest = store, manifest
        self._height = manifest.height
        self._nodes = 0
        self._batch = Batch()
        self._tree: bytes | None = None
        self._builder = TreeBuilder(self._add)
        self._root: Link | None = None
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
        ref = b"" if self._root is None else self._root.ref
        head = Head(header.height, header.epoch, header.state_root, ref, header.leader)
        self._batch.put(Family.META, PRUNE_KEY, u64(self._height) + u64(self._height))
        self._batch.extend(rows)
        self._batch.put(Family.META, HEAD_KEY, encode(head))
        self._write(durable=True)

    def _put(self, section: Section) -> None:
        tree = _name(section.tree)
        rules = rules_of(tree)
        for key, value in section.rows:
            if section.tree == GLOBAL:
                self._expect(key, value)
            self._batch.put(Family.STATE, tree + key, value)
            self._builder.push(Leaf(rules.path(key), rules.value_hash(key, value), key, value))

    def _expect(self, key: bytes, value: bytes) -> None:
        try:
            circle = circle_of((key, value))
        except Malformed as error:
            raise InvalidSnapshot("the record of a Circle does not decode") from error
        if circle is not None:
            self._circles[circle[0]] = circle[1]

    def _close(self) -> None:
        """The tree that was read last is complete: its root must be the one that is proven."""
        link, self._builder = self._builder.finish(), TreeBuilder(self._add)
        root = EMPTY_TREE if link is None else link.hash
        if self._tree is None:
            return
        if self._tree == GLOBAL:
            expected, self._root = self._manifest.header.state_root, link
        else:
            expected = self._circles.pop(self._tree, EMPTY_TREE)
        if root != expected:
            raise RootRefused(self._tree)
        write_root(self._batch, _name(self._tree), self._height, link, None)

    def _add(self, node: Node) -> Link:
        ref = u64(self._height) + u32(self._nodes)
        self._nodes += 1
        self._batch.put(Family.NODE, ref, encode_node(node))
        return Link(ref, hash_node(node))

    def _write(self, *, durable: bool) -> None:
        self._store.write(self._batch, durable=durable)
        self._batch = Batch()


def _name(tree: bytes) -> bytes:
    """The local name of a tree by its name in snapshots."""
    return GLOBAL_TREE if tree == GLOBAL else circle_tree(tree)
