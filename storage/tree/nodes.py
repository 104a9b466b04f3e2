"""Rows of tree nodes: their bytes, a cache of decoded ones, and the collector of a commit's new and dead rows."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from octra.consensus.statetree import EMPTY_TREE, hash_branch, hash_leaf
from octra.storage.errors import CorruptStore, NotFound
from octra.storage.kv import Batch, Family, ReadView, u32, u64

CACHE_BYTES: Final = 64 << 20  # about 200,000 branches
REF_SIZE: Final = 12
NODE_OVERHEAD: Final = 200  # bytes that a decoded node costs beside its value
STALE_NODES, STALE_ROOT = b"\0", b"\1"  # kind of a stale row
VERSION_MAX: Final = 2**64 - 1

_LEAF, _BRANCH = 1, 2
_LEAF_HEAD, BRANCH_SIZE = 67, 123  # bytes of rows

# Nodes hold no cycles; without `gc=False` a full cache makes the collector stop a commit for 100 ms.


class Link(Struct, frozen=True, gc=False):
    """Where a node is stored, and its hash: a parent holds both, so that an update reads only its own path."""

    ref: bytes  # version u64, sequence u32; local, never hashed
    hash: bytes


class Leaf(Struct, frozen=True, gc=False):
    """A key with its value; old versions and snapshots need both."""

    path: bytes
    value_hash: bytes
    key: bytes
    value: bytes


class Branch(Struct, frozen=True, gc=False):
    """Two subtrees whose paths first differ at `bit`."""

    bit: int
    path: bytes  # any path below: tells the common prefix
    left: Link
    right: Link


Node = Leaf | Branch


def encode_node(node: Node) -> bytes:
    """The row of a node."""
    if isinstance(node, Leaf):
        head = bytes([_LEAF]) + node.path + node.value_hash
        return head + len(node.key).to_bytes(2, "big") + node.key + node.value
    left, right = node.left, node.right
    return b"".join(
        (bytes([_BRANCH]), node.bit.to_bytes(2, "big"), node.path, left.ref, left.hash, right.ref, right.hash)
    )


def decode_node(row: bytes) -> Node:
    """The node of a row; `CorruptStore` when it is none."""
    if len(row) == BRANCH_SIZE and row[0] == _BRANCH:
        left, right = Link(row[35:47], row[47:79]), Link(row[79:91], row[91:123])
        return Branch(int.from_bytes(row[1:3], "big"), row[3:35], left, right)
    if len(row) >= _LEAF_HEAD and row[0] == _LEAF:
        end = _LEAF_HEAD + int.from_bytes(row[65:67], "big")
        if end <= len(row):
            return Leaf(row[1:33], row[33:65], row[_LEAF_HEAD:end], row[end:])
    raise CorruptStore("a tree node does not decode")


def hash_node(node: Node) -> bytes:
    """The hash that the parent, or the root row, must hold."""
    if isinstance(node, Leaf):
        return hash_leaf(node.path, node.value_hash)
    return hash_branch(node.bit, node.left.hash, node.right.hash)


class NodeCache:
    """Recently used nodes, by bytes. Two generations instead of a list of uses: a full young one becomes the old."""

    def __init__(self, size_bytes: int = CACHE_BYTES) -> None:
        self._limit = size_bytes // 2
        self._size = 0
        self._young: dict[bytes, Node] = {}
        self._old: dict[bytes, Node] = {}

    def get(self, ref: bytes) -> Node | None:
        """The node, moved to the young generation."""
        node = self._young.get(ref)
        if node is None:
            node = self._old.get(ref)
            if node is not None:
                self.put(ref, node)
        return node

    def put(self, ref: bytes, node: Node) -> None:
        """Remember a node. Refs are never used twice, so nothing has to be forgotten for correctness."""
        self._young[ref] = node
        self._size += NODE_OVERHEAD + (len(node.key) + len(node.value) if isinstance(node, Leaf) else 0)
        if self._size > self._limit:
            self._old, self._young, self._size = self._young, {}, 0


def load(view: ReadView, cache: NodeCache, ref: bytes) -> Node:
    """The node behind a ref; `CorruptStore` when its row is gone."""
    node = cache.get(ref)
    if node is None:
        row = view.get(Family.NODE, ref)
        if row is None:
            raise CorruptStore("a tree node is missing")
        node = decode_node(row)
        cache.put(ref, node)
    return node


class NodeWriter:
    """Collects what a commit adds and what it makes stale, over all trees that it touches."""

    def __init__(self, view: ReadView, cache: NodeCache, version: int) -> None:
        self._view, self._cache, self.version = view, cache, version
        self._prefix = u64(version)
        self._nodes: list[tuple[bytes, Node]] = []
        self._dead: list[bytes] = []

    def load(self, link: Link) -> Node:
        """A node of an earlier version."""
        return load(self._view, self._cache, link.ref)

    def add(self, node: Node) -> Link:
        """Store a new node; refs grow, so rows are appended in key order."""
        ref = self._prefix + u32(len(self._nodes))
        self._nodes.append((ref, node))
        return Link(ref, hash_node(node))

    def kill(self, link: Link) -> None:
        """The node belongs only to earlier versions from now on."""
        self._dead.append(link.ref)

    def write_rows(self, batch: Batch) -> None:
        """Put the new and stale rows into the commit's batch."""
        for ref, node in self._nodes:
            batch.put(Family.NODE, ref, encode_node(node))
        put_stale(batch, self.version, b"".join(self._dead))

    def publish(self) -> None:
        """Fill the cache. Only after the write: a commit that failed leaves its refs free for another."""
        for ref, node in self._nodes:
            self._cache.put(ref, node)


def put_stale(batch: Batch, version: int, refs: bytes) -> None:
    """Note which nodes are of no use from this version on: joined refs, one row."""
    if refs:
        batch.put(Family.STALE, u64(version) + STALE_NODES, refs)


def stale_nodes(row: bytes) -> list[bytes]:
    """The refs of such a row."""
    return [row[at : at + REF_SIZE] for at in range(0, len(row), REF_SIZE)]


def find_root(view: ReadView, tree: bytes, version: int) -> tuple[int, Link | None]:
    """Version and link of the newest root at or below `version`; `None` for an empty tree, `NotFound` for none."""
    upper = tree + u64(version + 1) if version < VERSION_MAX else tree + b"\xff" * 9
    for key, row in view.scan(Family.ROOT, tree, upper, limit=1, reverse=True):
        link = Link(row[:REF_SIZE], row[REF_SIZE:]) if len(row) > len(EMPTY_TREE) else None
        return int.from_bytes(key[32:], "big"), link
    raise NotFound("the tree at that height")


def write_root(batch: Batch, tree: bytes, version: int, link: Link | None, replaced: int | None) -> None:
    """Store a tree's new root, and note from when on the replaced one is of no use."""
    row = EMPTY_TREE if link is None else link.ref + link.hash
    batch.put(Family.ROOT, tree + u64(version), row)
    if replaced is not None:
        batch.put(Family.STALE, u64(version) + STALE_ROOT + tree + u64(replaced), b"")
