"""The ledger's state: the latest values for execution, and a versioned tree for roots, proofs and old heights.

One height is one WriteBatch: rows, nodes, roots and `head` are all there after a crash, or none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.statetree import EMPTY_TREE, TreeProof
from octra.errors import Corrupt, Malformed, Unavailable
from octra.storage.errors import CorruptStore, NotFound
from octra.storage.kv import Batch, Family, KeyValue, ReadView, Row, prefix_end, u64
from octra.storage.tree import native
from octra.storage.tree.merge import MergeWriter, TreeWriter
from octra.storage.tree.nodes import (
    REF_SIZE,
    STALE_ROOT,
    VERSION_MAX,
    Link,
    NodeCache,
    find_root,
    hash_node,
    load,
    stale_nodes,
    write_root,
)
from octra.storage.tree.path import CIRCLE_KEYS, GLOBAL_TREE, circle_tree, rules_of
from octra.storage.tree.proof import find_leaf, prove

RETENTION_MIN: Final = 256  # versions; a light client may ask for a proof a few minutes after it saw the root
PRUNE_ROWS: Final = 20_000  # rows a step: 30 ms
LATEST_MAX: Final = 65_536  # values that the committing thread remembers: 10 MB of accounts
KEY_BYTES_MAX: Final = 1_024  # of a Circle; ledger keys stay below 512
VALUE_BYTES_MAX: Final = 64 << 10

HEAD_KEY, PRUNE_KEY, _PIN = b"head", b"prune", b"pin/"

Write = tuple[bytes, bytes | None]
Seal = Callable[[Mapping[bytes, bytes]], Sequence[Write]]  # new roots of touched Circles -> their records
Rows = Callable[[bytes], Batch]  # state root -> the commit's other rows: its header names the root


class Head(Struct, array_like=True, frozen=True):
    """The newest height that is completely stored."""

    height: int
    epoch: int
    state_root: bytes
    root_ref: bytes  # of the root node; empty for an empty tree
    leader: bytes = b""  # vertex id of the committed leader


class Proven(NamedTuple):
    """A value, or its absence, with the root and height that the proof holds for."""

    value: bytes | None
    proof: TreeProof
    root: bytes
    height: int


class Writer(Protocol):
    """Where a commit's batch goes: the store itself, or the write queue in front of it."""

    def write(self, batch: Batch, *, durable: bool) -> None: ...


class StateReader:
    """The state as one view shows it: `StateView` and the state half of `CircleView` of the rules."""

    def __init__(self, view: ReadView, cache: NodeCache | None = None) -> None:
        self._view = view
        self._cache = NodeCache() if cache is None else cache

    @property
    def head(self) -> Head | None:
        """The newest stored height, `None` before the first commit."""
        row = self._view.get(Family.META, HEAD_KEY)
        return None if row is None else _decode_head(row)

    def get(self, key: bytes) -> bytes | None:
        """Latest value of a key of the global state."""
        return self._view.get(Family.STATE, GLOBAL_TREE + key)

    def scan(self, prefix: bytes, limit: int) -> Iterator[Row]:
        """Latest rows of the global state whose keys start with `prefix`, in byte order."""
        lower = GLOBAL_TREE + prefix
        return _keys_only(self._view.scan(Family.STATE, lower, prefix_end(lower), limit=limit))

    def circle_get(self, circle: bytes, key: bytes, which: int = CIRCLE_KEYS) -> bytes | None:
        """Latest value of a Circle's own key."""
        return self._view.get(Family.STATE, circle_tree(circle, which) + key)

    def circle_scan(
        self, circle: bytes, start: bytes, end: bytes, limit: int, which: int = CIRCLE_KEYS
    ) -> Iterator[Row]:
        """Latest rows of a Circle with `start <= key < end`, in byte order; an empty `end` is the end of its keys."""
        tree = circle_tree(circle, which)
        upper = tree + end if end else prefix_end(tree)
        if upper is not None and upper <= tree + start:
            return iter(())
        return _keys_only(self._view.scan(Family.STATE, tree + start, upper, limit=limit))

    def root(self, height: int | None = None) -> bytes:
        """State root at a retained height, the newest by default; `NotFound` when it was pruned."""
        return _hash_of(self._find(GLOBAL_TREE, height)[1])

    def circle_root(self, circle: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> bytes:
        """Root of a Circle's tree; a Circle without keys has the empty tree."""
        return _hash_of(self._find(circle_tree(circle, which), height, absent_is_empty=True)[1])

    def value_at(self, key: bytes, height: int) -> bytes | None:
        """Value of a global key at a retained height."""
        leaf = find_leaf(self._view, self._cache, self._find(GLOBAL_TREE, height)[1], rules_of(GLOBAL_TREE).path(key))
        return None if leaf is None else leaf.value

    def prove(self, key: bytes, height: int | None = None) -> Proven:
        """Value of a global key with its proof under the state root of that height."""
        return self._prove(GLOBAL_TREE, key, height, absent_is_empty=False)

    def prove_circle(self, circle: bytes, key: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> Proven:
        """Value of a Circle's key with its proof under the root that stands in the Circle's record at that height."""
        return self._prove(circle_tree(circle, which), key, height, absent_is_empty=True)

    def _prove(self, tree: bytes, key: bytes, height: int | None, *, absent_is_empty: bool) -> Proven:
        at, link = self._find(tree, height, absent_is_empty=absent_is_empty)
        leaf, proof = prove(self._view, self._cache, link, rules_of(tree).path(key))
        return Proven(None if leaf is None else leaf.value, proof, _hash_of(link), at)

    def _find(self, tree: bytes, height: int | None, *, absent_is_empty: bool = False) -> tuple[int, Link | None]:
        """The height asked for, and the root link that was in force then."""
        head = self.head
        newest = -1 if head is None else head.height
        wanted = newest if height is None else height
        if not self._prune_mark()[0] <= wanted <= newest:
            raise NotFound("the state of that height")
        try:
            return wanted, find_root(self._view, tree, wanted)[1]
        except NotFound:
            if absent_is_empty:
                return wanted, None
            raise

    def _prune_mark(self) -> tuple[int, int]:
        """The oldest version whose nodes are all kept, and the first version that may still have stale rows."""
        row = self._view.get(Family.META, PRUNE_KEY) or bytes(16)
        return int.from_bytes(row[:8], "big"), int.from_bytes(row[8:], "big")


class LatestState:
    """The global state for the one thread that commits: it remembers what it read and wrote, so nobody else may use it.

    A reader beside a commit could put an old value back; this thread cannot.
    """

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._young: dict[bytes, bytes | None] = {}
        self._old: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Latest value of a key of the global state."""
        if key in self._young:
            return self._young[key]
        value = self._old[key] if key in self._old else self._reader.get(key)
        self.learn({key: value})
        return value

    def scan(self, prefix: bytes, limit: int) -> Iterator[Row]:
        """Latest rows whose keys start with `prefix`, in byte order."""
        return self._reader.scan(prefix, limit)

    def learn(self, values: Mapping[bytes, bytes | None]) -> None:
        """These are the latest values."""
        self._young.update(values)
        if len(self._young) > LATEST_MAX // 2:  # two generations instead of a list of uses
            self._old, self._young = self._young, {}

    def forget(self) -> None:
        """A commit failed: what the disk holds is unknown."""
        self._young, self._old = {}, {}


class StateStore(StateReader):
    """The state in a database. One thread commits; any may read, each call for itself.

    Use `at_latest` where several answers must be of one height.
    """

    def __init__(self, store: KeyValue, *, writer: Writer | None = None, retention: int = RETENTION_MIN) -> None:
        """Open the state and check that the stored root is the hash of the root node; `CorruptStore` if not."""
        assert retention >= 1
        super().__init__(store, NodeCache())
        self._store, self._writer, self._retention = store, writer or store, retention
        self._native = native.NativeTree(store) if native.available() else None
        self.latest = LatestState(self)  # for the thread that commits
        self._check_root()

    def commit(
        self,
        height: int,
        writes: Sequence[Write],
        circle_writes: Mapping[bytes, Sequence[Write]],
        seal: Seal,
        rows: Batch | Rows = lambda root: Batch(),
        *,
        epoch: int = 0,
        leader: bytes = b"",
    ) -> bytes:
        """Store a height durably and answer its state root.

        The trees of touched Circles come first; `seal` gets their new roots and answers the global writes that hold
        them (the Circle records), which win over `writes`. `rows` are the commit's other rows, or make them from the
        new state root. All of it is one batch.
        """
        head = self.head
        assert head is None or height == head.height + 1, "heights follow each other"
        batch = Batch()
        nodes = MergeWriter(self._store, self._cache, height) if self._native is None else self._native.begin(height)
        roots = {
            circle: _hash_of(self._update(nodes, batch, circle_tree(circle), dict(circle_writes[circle])))
            for circle in sorted(circle_writes)
        }
        changes = dict(writes) | dict(seal(roots))
        link = self._update(nodes, batch, GLOBAL_TREE, changes)
        nodes.write_rows(batch)
        root = _hash_of(link)
        batch.extend(rows(root) if callable(rows) else rows)
        new_head = Head(height, epoch, root, b"" if link is None else link.ref, leader)
        batch.put(Family.META, HEAD_KEY, encode(new_head))
        try:
            self._writer.write(batch, durable=True)
        except (Unavailable, Corrupt):
            self.latest.forget()
            raise
        nodes.publish()
        self.latest.learn(changes)
        return root

    @contextmanager
    def at_latest(self) -> Iterator[StateReader]:
        """A reader of one instant, which commits and pruning beside it do not disturb."""
        with self._store.view() as view:
            yield StateReader(view, self._cache)

    def pin(self, name: str, height: int) -> None:
        """Keep this height, and all after it, until it is unpinned."""
        self._find(GLOBAL_TREE, height)
        batch = Batch()
        batch.put(Family.META, _PIN + name.encode(), u64(height))
        self._writer.write(batch, durable=True)

    def unpin(self, name: str) -> None:
        """Let pruning pass a pinned height."""
        batch = Batch()
        batch.delete(Family.META, _PIN + name.encode())
        self._writer.write(batch, durable=False)

    def prune_step(self, rows_max: int = PRUNE_ROWS) -> int:
        """Delete about `rows_max` rows of versions that need not be kept; zero when nothing is left to do."""
        head = self.head
        pins = [int.from_bytes(row, "big") for _, row in self._store.scan(Family.META, _PIN, b"pin0", limit=1_000)]
        keep = min([-1 if head is None else head.height - self._retention, *pins])
        done, start = self._prune_mark()
        keep = max(keep, done)  # a pin set too late brings nothing back
        batch = Batch()
        count = 0
        finished = True
        for key, row in self._store.scan(Family.STALE, u64(start), u64(keep + 1), limit=rows_max):
            if count >= rows_max:
                finished = False
                break
            dead = stale_nodes(row)  # of a root none: its key says all
            for ref in dead:
                batch.delete(Family.NODE, ref)
            if key[8:9] == STALE_ROOT:
                batch.delete(Family.ROOT, key[9:])
            batch.delete(Family.STALE, key)
            count += max(1, len(dead))
        # When all are gone, the next step need not walk over their graves again.
        first = keep + 1 if finished and count < rows_max else start
        if not count and (keep, first) == (done, start):
            return 0
        batch.put(Family.META, PRUNE_KEY, u64(keep) + u64(first))
        self._writer.write(batch, durable=False)
        return count

    def _update(
        self, nodes: TreeWriter, batch: Batch, tree: bytes, writes: Mapping[bytes, bytes | None]
    ) -> Link | None:
        """Apply the writes to one tree: its root afterwards, with latest values and root row in the batch."""
        try:
            version, root = find_root(self._store, tree, VERSION_MAX)
        except NotFound:
            version, root = -1, None
        for key, value in writes.items():
            assert len(key) <= KEY_BYTES_MAX
            if value is None:
                batch.delete(Family.STATE, tree + key)
            else:
                assert len(value) <= VALUE_BYTES_MAX
                batch.put(Family.STATE, tree + key, value)
        link = nodes.apply(root, rules_of(tree), writes)
        if version < 0 or link is not root:
            write_root(batch, tree, nodes.version, link, version if version >= 0 else None)
        return link

    def _check_root(self) -> None:
        head = self.head
        if head is None:
            return
        if not head.root_ref:
            if head.state_root != EMPTY_TREE:
                raise CorruptStore("the head has a root but no root node")
            return
        if len(head.root_ref) != REF_SIZE:
            raise CorruptStore("the head does not decode")
        if hash_node(load(self._store, NodeCache(), head.root_ref)) != head.state_root:
            raise CorruptStore("the root node is not the one that the head names")


def _decode_head(row: bytes) -> Head:
    try:
        return decode(row, Head)
    except Malformed as error:
        raise CorruptStore("the head does not decode") from error


def _hash_of(link: Link | None) -> bytes:
    return EMPTY_TREE if link is None else link.hash


def _keys_only(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows without the tree name before their keys."""
    for key, value in rows:
        yield key[len(GLOBAL_TREE) :], value
