"""`KeyValue` in memory: the twin of RocksDB for tests and simulations, and the wrapper that cuts its power."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from octra.storage.errors import Closed, DiskFull
from octra.storage.kv import BATCH_BYTES_MAX, Batch, Delete, DeleteRange, Family, KeyValue, Puts, ReadView, Row


class _Table:
    """One family: rows and their sorted keys. A shared table is copied before it changes."""

    __slots__ = ("keys", "rows", "shared")

    def __init__(self, rows: dict[bytes, bytes] | None = None, keys: list[bytes] | None = None) -> None:
        self.rows = {} if rows is None else rows
        self.keys = [] if keys is None else keys
        self.shared = False

    def copy(self) -> _Table:
        return _Table(dict(self.rows), list(self.keys))

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.rows:
            insort(self.keys, key)
        self.rows[key] = value

    def delete(self, key: bytes) -> None:
        if self.rows.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def delete_range(self, lower: bytes, upper: bytes) -> None:
        start, end = bisect_left(self.keys, lower), bisect_left(self.keys, upper)
        for key in self.keys[start:end]:
            del self.rows[key]
        del self.keys[start:end]

    def scan(self, lower: bytes, upper: bytes | None, limit: int, reverse: bool) -> list[Row]:
        start = bisect_left(self.keys, lower)
        end = len(self.keys) if upper is None else bisect_left(self.keys, upper)
        keys = self.keys[start:end]
        if reverse:
            keys.reverse()
        return [(key, self.rows[key]) for key in keys[: max(limit, 0)]]


class _MemoryView:
    """The tables as they were when the view was made."""

    def __init__(self, tables: dict[Family, _Table]) -> None:
        self._tables = tables

    def get(self, family: Family, key: bytes) -> bytes | None:
        return self._table(family).rows.get(key)

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        rows = self._table(family).rows
        return [rows.get(key) for key in keys]

    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        yield from self._table(family).scan(lower, upper, limit, reverse)

    def drop(self) -> None:
        self._tables = {}

    def _table(self, family: Family) -> _Table:
        table = self._tables.get(family)
        if table is None:
            raise Closed("view")
        return table


class MemoryKeyValue(_MemoryView):
    """Sorted rows in memory; a view costs nothing until the next write of a family copies its table."""

    def __init__(self) -> None:
        super().__init__({family: _Table() for family in Family})

    def write(self, batch: Batch, *, durable: bool) -> None:
        """Apply all changes; memory knows no durability."""
        assert _size(batch) == batch.size <= BATCH_BYTES_MAX, batch.size
        for change in batch.changes:
            table = self._own(change.family)
            match change:
                case Puts(_, keys, values):
                    for key, value in zip(keys, values, strict=True):
                        table.put(key, value)
                case Delete(_, key):
                    table.delete(key)
                case DeleteRange(_, lower, upper):
                    table.delete_range(lower, upper)

    @contextmanager
    def view(self) -> Iterator[ReadView]:
        """The rows of this instant."""
        for table in self._tables.values():
            table.shared = True
        view = _MemoryView(dict(self._tables))
        try:
            yield view
        finally:
            view.drop()

    def copy(self) -> MemoryKeyValue:
        """An independent store with the same rows."""
        twin = MemoryKeyValue()
        twin._tables = {family: table.copy() for family, table in self._tables.items()}
        return twin

    def close(self) -> None:
        """Forget everything."""
        self.drop()

    def _own(self, family: Family) -> _Table:
        table = self._table(family)
        if table.shared:
            table = self._tables[family] = table.copy()
        return table


def _size(batch: Batch) -> int:
    """Bytes of all keys and values, counted."""
    size = 0
    for change in batch.changes:
        match change:
            case Puts(_, keys, values):
                size += sum(map(len, keys)) + sum(map(len, values))
            case Delete(_, key):
                size += len(key)
            case DeleteRange(_, lower, upper):
                size += len(lower) + len(upper)
    return size


class PowerCut(Exception):
    """The machine went dark in the middle of a write."""


class FaultyKeyValue:
    """A store whose disk fills up, syncs slowly, or loses power at a chosen write.

    After a `PowerCut`, `recover` gives the store as the next start would find it: everything up to the last durable
    batch, and any prefix of those written since (the log is sequential, so a later batch never outlives an earlier).
    """

    def __init__(
        self,
        store: MemoryKeyValue,
        *,
        power_cut_at: int | None = None,
        disk_full_at: int | None = None,
        on_sync: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._durable = store.copy()
        self._since: list[Batch] = []
        self._power_cut_at, self._disk_full_at, self._on_sync = power_cut_at, disk_full_at, on_sync
        self._failed: Exception | None = None
        self.writes = 0

    def get(self, family: Family, key: bytes) -> bytes | None:
        return self._store.get(family, key)

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._store.get_many(family, keys)

    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        return self._store.scan(family, lower, upper, limit=limit, reverse=reverse)

    def view(self) -> AbstractContextManager[ReadView]:
        return self._store.view()

    def write(self, batch: Batch, *, durable: bool) -> None:
        """Apply the batch, unless this is the write that the plan breaks; after that nothing is written."""
        if self._failed is not None:
            raise self._failed
        index, self.writes = self.writes, self.writes + 1
        if index == self._disk_full_at:
            self._failed = DiskFull()
            raise self._failed
        if index == self._power_cut_at:
            self._since.append(batch)  # may have reached the disk, though nobody was told so
            self._failed = PowerCut()
            raise self._failed
        self._store.write(batch, durable=durable)
        self._since.append(batch)
        if durable:
            self._on_sync()
            for written in self._since:
                self._durable.write(written, durable=True)
            self._since.clear()

    def unsynced(self) -> int:
        """How many batches a power cut now may take."""
        return len(self._since)

    def recover(self, survivors: int) -> MemoryKeyValue:
        """What the next start finds when the first `survivors` batches after the last sync reached the disk."""
        found = self._durable.copy()
        for batch in self._since[:survivors]:
            found.write(batch, durable=True)
        return found

    def close(self) -> None:
        self._store.close()


def _conforms(memory: MemoryKeyValue, faulty: FaultyKeyValue) -> tuple[KeyValue, KeyValue]:
    """Checked by mypy: both classes offer the whole Protocol."""
    return memory, faulty
