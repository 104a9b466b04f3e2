"""The ledger's state: the latest values for execution, and trees over them for roots and proofs.

One height is one WriteBatch: values, what they replaced, and `head` are all there after a crash, or none of them. The
trees follow from the values, so their rows are written every few heights only: docs/decisions/state-tree.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress
from operator import eq
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.statetree import EMPTY as EMPTY_PROOF
from octra.consensus.statetree import OTHER_LEAF, PRESENT, TreeProof, hash_leaf
from octra.errors import Corrupt, Malformed, Unavailable
from octra.storage.errors import CorruptStore, NotFound
from octra.storage.history import History, TreeChange, history_of, put_history, touched, values_at
from octra.storage.kv import Batch, Family, KeyValue, ReadView, Row, prefix_end, u64
from octra.storage.latest import LatestState
from octra.storage.tree.merge import Trees
from octra.storage.tree.native import open_trees
from octra.storage.tree.path import CIRCLE_KEYS, GLOBAL_TREE, circle_tree, rules_of

RETENTION_MIN: Final = 256  # heights; a light client may ask for a proof a few minutes after it saw the root
FLUSH_HEIGHTS: Final = 32  # so many are applied again after a crash, and for the proof of an old height
FLUSH_BRANCHES: Final = 32_768  # 5 MB of rows: a commit that writes them takes 0.1 s longer
PRUNE_ROWS: Final = 1_000  # heights a step
KEY_BYTES_MAX: Final = 1_024  # of a Circle; ledger keys stay below 512
VALUE_BYTES_MAX: Final = 64 << 10

HEAD_KEY, OLDEST_KEY, FLUSHED_KEY, _PIN = b"head", b"oldest", b"flushed", b"pin/"

Write = tuple[bytes, bytes | None]
Seal = Callable[[Mapping[bytes, bytes]], Sequence[Write]]  # new roots of touched Circles -> their records
Rows = Callable[[bytes], Batch]  # state root -> the commit's other rows: its header names the root


class Head(Struct, array_like=True, frozen=True):
    """The newest height that is completely stored."""

    height: int
    epoch: int
    state_root: bytes
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

    def __init__(self, view: ReadView) -> None:
        self._view = view

    @property
    def head(self) -> Head | None:
        """The newest stored height, `None` before the first commit."""
        row = self._view.get(Family.META, HEAD_KEY)
        return None if row is None else _decode_head(row)

    def get(self, key: bytes) -> bytes | None:
        """Latest value of a key of the global state."""
        return self._view.get(Family.STATE, GLOBAL_TREE + key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Latest values of keys of the global state, in their order."""
        return self._view.get_many(Family.STATE, [GLOBAL_TREE + key for key in keys])

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
        head, wanted = self._retained(height)
        return head.state_root if wanted == head.height else history_of(self._view, wanted).root

    def circle_root(self, circle: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> bytes:
        """Root of a Circle's tree; a Circle without keys has the empty tree."""
        tree = circle_tree(circle, which)
        head, wanted = self._retained(height)
        return self._trees_at(tree, self._changes(tree, wanted, head)).root(tree)

    def prove(self, key: bytes, height: int | None = None) -> Proven:
        """Value of a global key with its proof under the state root of that height."""
        proven = self._prove(GLOBAL_TREE, key, height)
        if proven.root != self.root(proven.height):
            raise CorruptStore(f"the state of height {proven.height} does not have its root")
        return proven

    def prove_circle(self, circle: bytes, key: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> Proven:
        """Value of a Circle's key with its proof under the root that stands in the Circle's record at that height."""
        return self._prove(circle_tree(circle, which), key, height)

    def values_at(self, tree: bytes, height: int) -> dict[bytes, bytes | None]:
        """Of every key of a tree that was written above a retained height, the value at that height."""
        head, wanted = self._retained(height)
        return values_at(self._view, tree, wanted, base=wanted, head=head.height)

    def _prove(self, tree: bytes, key: bytes, height: int | None) -> Proven:
        head, wanted = self._retained(height)
        changes = self._changes(tree, wanted, head)
        trees, rules = self._trees_at(tree, changes), rules_of(tree)
        path, root = rules.path(key), trees.root(tree)
        way = trees.prove(tree, path)
        if way is None:
            return Proven(None, TreeProof(EMPTY_PROOF, b"", b""), root, wanted)
        found = key if way.path == path else self._key_at(tree, way.path, changes)
        value = changes[found] if found in changes else self._view.get(Family.STATE, tree + found)
        hashed = b"" if value is None else rules.value_hash(found, value)
        if value is None or hash_leaf(way.path, hashed) != way.hash:
            raise CorruptStore("a leaf of the tree is not the value of its key")
        if way.path == path:
            return Proven(value, TreeProof(PRESENT, way.bits, way.siblings), root, wanted)
        return Proven(None, TreeProof(OTHER_LEAF, way.bits, way.siblings, way.path + hashed), root, wanted)

    def _changes(self, tree: bytes, height: int, head: Head) -> dict[bytes, bytes | None]:
        """The values at a height of all keys in which the tree on disk may differ from it."""
        return values_at(self._view, tree, height, base=self._flushed(), head=head.height)

    def _trees_at(self, tree: bytes, changes: Mapping[bytes, bytes | None]) -> Trees:
        """One tree as it was when those were its values."""
        trees = open_trees(self._view)
        trees.begin()
        trees.apply(tree, changes)
        return trees

    def _key_at(self, tree: bytes, path: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
        """The key of a leaf: one that there is now, or one that was there before the changes."""
        key = self._view.get(Family.LEAF, tree + path)
        if key is None:
            key = next((old for old in changes if rules_of(tree).path(old) == path), None)
        if key is None:
            raise CorruptStore("the key of a leaf is missing")
        return key

    def _retained(self, height: int | None) -> tuple[Head, int]:
        """The head, and the height asked for; `NotFound` when its state is not kept."""
        head = self.head
        if head is None:
            raise NotFound("the state of that height")
        wanted = head.height if height is None else height
        if not self._oldest() <= wanted <= head.height:
            raise NotFound("the state of that height")
        return head, wanted

    def _oldest(self) -> int:
        """The oldest height whose state is kept."""
        return int.from_bytes(self._view.get(Family.META, OLDEST_KEY) or b"", "big")

    def _flushed(self) -> int:
        """The height whose trees are on disk."""
        row = self._view.get(Family.META, FLUSHED_KEY)
        if row is None:
            raise CorruptStore("no height has its trees on disk")
        return int.from_bytes(row, "big")


class StateStore(StateReader):
    """The state in a database. One thread commits; any may read, each call for itself.

    Use `at_latest` where several answers must be of one height.
    """

    def __init__(
        self,
        store: KeyValue,
        *,
        writer: Writer | None = None,
        retention: int = RETENTION_MIN,
        flush_heights: int = FLUSH_HEIGHTS,
    ) -> None:
        """Open the state and bring its trees up to its head; `CorruptStore` if that does not give the stored root."""
        assert retention >= 1
        super().__init__(store)
        self._store, self._writer = store, writer or store
        self._retention, self._flush_heights = retention, flush_heights
        self._trees = open_trees(store)
        self.latest = LatestState(self)  # for the thread that commits
        self._flushed_height = -1
        self._catch_up()

    def commit(
        self,
        height: int,
        writes: Mapping[bytes, bytes | None] | Iterable[Write],
        circle_writes: Mapping[bytes, Sequence[Write]],
        seal: Seal,
        rows: Batch | Rows = lambda root: Batch(),
        *,
        epoch: int = 0,
        leader: bytes = b"",
        before: Sequence[bytes | None] | None = None,
    ) -> bytes:
        """Store a height durably and answer its state root.

        The trees of touched Circles come first; `seal` gets their new roots and answers the global writes that hold
        them (the Circle records), which win over `writes`. `rows` are the commit's other rows, or make them from the
        new state root. All of it is one batch. `before` is what `latest` holds at the keys of `writes`, if the caller
        has read it.
        """
        head = self.head
        assert head is None or height == head.height + 1, "heights follow each other"
        batch, changes = Batch(), list[TreeChange]()
        self._trees.begin()
        roots = {
            circle: self._update(batch, changes, circle_tree(circle), dict(circle_writes[circle]))
            for circle in sorted(circle_writes)
        }
        written = dict(writes)
        sealed = seal(roots)
        written.update(sealed)
        root = self._update(batch, changes, GLOBAL_TREE, written, None if sealed else before)
        batch.extend(rows(root) if callable(rows) else rows)
        put_history(batch, height, History(root, changes))
        batch.put(Family.META, HEAD_KEY, encode(Head(height, epoch, root, leader)))
        flushed = self._flush_is_due(head, height)
        if flushed:
            self._trees.rows(batch)
            batch.put(Family.META, FLUSHED_KEY, u64(height))
            if head is None:
                batch.put(Family.META, OLDEST_KEY, u64(height))
        try:
            self._writer.write(batch, durable=True)
        except (Unavailable, Corrupt):
            self.latest.forget()
            raise
        self._trees.publish(flushed=flushed)
        if flushed:
            self._flushed_height = height
        self.latest.learn(written)
        if changes and changes[-1].tree == GLOBAL_TREE:
            self.latest.drop(changes[-1].created)  # each block leaves a record of itself that hardly anybody reads
        return root

    @contextmanager
    def at_latest(self) -> Iterator[StateReader]:
        """A reader of one instant, which commits and pruning beside it do not disturb."""
        with self._store.view() as view:
            yield StateReader(view)

    def circle_root(self, circle: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> bytes:
        """Root of a Circle's tree; a Circle without keys has the empty tree."""
        with self.at_latest() as reader:
            return reader.circle_root(circle, height, which)

    def prove(self, key: bytes, height: int | None = None) -> Proven:
        """Value of a global key with its proof under the state root of that height."""
        with self.at_latest() as reader:
            return reader.prove(key, height)

    def prove_circle(self, circle: bytes, key: bytes, height: int | None = None, which: int = CIRCLE_KEYS) -> Proven:
        """Value of a Circle's key with its proof under the root that stands in the Circle's record at that height."""
        with self.at_latest() as reader:
            return reader.prove_circle(circle, key, height, which)

    def pin(self, name: str, height: int) -> None:
        """Keep this height, and all after it, until it is unpinned."""
        self._retained(height)
        batch = Batch()
        batch.put(Family.META, _PIN + name.encode(), u64(height))
        self._writer.write(batch, durable=True)

    def unpin(self, name: str) -> None:
        """Let pruning pass a pinned height."""
        batch = Batch()
        batch.delete(Family.META, _PIN + name.encode())
        self._writer.write(batch, durable=False)

    def prune_step(self, rows_max: int = PRUNE_ROWS) -> int:
        """Delete the history of at most `rows_max` heights that need not be kept; zero when nothing is left to do."""
        head = self.head
        if head is None:
            return 0
        pins = [int.from_bytes(row, "big") for _, row in self._store.scan(Family.META, _PIN, b"pin0", limit=1_000)]
        oldest = max(min([head.height - self._retention, *pins]), self._oldest())  # a late pin brings nothing back
        # The rows above the flushed height are needed at the next start, however few are asked for.
        end = min(oldest, self._flushed())
        batch = Batch()
        keys = [key for key, _ in self._store.scan(Family.HISTORY, b"", u64(end), limit=rows_max)]
        for key in keys:
            batch.delete(Family.HISTORY, key)
        if oldest != self._oldest():
            batch.put(Family.META, OLDEST_KEY, u64(oldest))
        if batch:
            self._writer.write(batch, durable=False)
        return len(keys)

    def _flush_is_due(self, head: Head | None, height: int) -> bool:
        due = height >= self._flushed_height + self._flush_heights or self._trees.changed >= FLUSH_BRANCHES
        return head is None or due

    def _update(
        self,
        batch: Batch,
        changes: list[TreeChange],
        tree: bytes,
        writes: Mapping[bytes, bytes | None],
        stored: Sequence[bytes | None] | None = None,
    ) -> bytes:
        """Apply the writes to one tree: its root, with the new values in the batch and those before in `changes`.

        `stored`: what the tree holds at these keys, if that is known.
        """
        if stored is None:
            stored = self._stored(tree, list(writes))
        assert len(stored) == len(writes)
        if any(map(eq, writes.values(), stored)):
            changed = [value != before for value, before in zip(writes.values(), stored, strict=True)]
            writes, stored = dict(compress(writes.items(), changed)), list(compress(stored, changed))
        if not writes:
            return self._trees.root(tree)
        sizes = list(map(len, writes))
        assert max(sizes) <= KEY_BYTES_MAX
        names, values = list(writes), [value for value in writes.values() if value is not None]
        if len(values) < len(names):
            for key in [key for key, value in writes.items() if value is None]:
                batch.delete(Family.STATE, tree + key)
                batch.delete(Family.LEAF, tree + rules_of(tree).path(key))
            names = [key for key, value in writes.items() if value is not None]
            sizes = list(map(len, names))
        if not all(stored):
            for key, before in zip(writes, stored, strict=True):
                if before is None:
                    batch.put(Family.LEAF, tree + rules_of(tree).path(key), key)
        value_sizes = list(map(len, values))
        assert max(value_sizes, default=0) <= VALUE_BYTES_MAX
        size = len(names) * len(tree) + sum(sizes) + sum(value_sizes)
        batch.put_many(Family.STATE, [tree + key for key in names], values, size)
        changes.append(TreeChange(tree, list(writes), list(stored)))
        return self._trees.apply(tree, writes)

    def _stored(self, tree: bytes, keys: Sequence[bytes]) -> list[bytes | None]:
        """What these keys of a tree hold, by the last commit."""
        if tree == GLOBAL_TREE:
            return self.latest.get_many(keys)
        return self._store.get_many(Family.STATE, [tree + key for key in keys])

    def _catch_up(self) -> None:
        """Apply to the trees what was committed since they were written, and compare the root."""
        head = self.head
        if head is None:
            return
        self._flushed_height = self._flushed()
        self._trees.begin()
        for tree, keys in touched(self._store, self._flushed_height, head.height).items():
            names = list(keys)
            values = self._store.get_many(Family.STATE, [tree + name for name in names])
            self._trees.apply(tree, dict(zip(names, values, strict=True)))
        if self._trees.root(GLOBAL_TREE) != head.state_root:
            raise CorruptStore("the state does not have the root that the head names")
        self._trees.prove(GLOBAL_TREE, GLOBAL_TREE)  # the root's own row, and a way down
        self._trees.publish(flushed=False)


def _decode_head(row: bytes) -> Head:
    try:
        return decode(row, Head)
    except Malformed as error:
        raise CorruptStore("the head does not decode") from error


def _keys_only(rows: Iterator[Row]) -> Iterator[Row]:
    """Rows without the tree name before their keys."""
    for key, value in rows:
        yield key[len(GLOBAL_TREE) :], value
