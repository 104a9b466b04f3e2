"""`KeyValue` on RocksDB. Every odd rule here answers a trap of the binding; each has a test.

* Raw mode for options and batches: without it the binding pickles keys and values.
* `items()` ends silently at a damaged block, as if the family ended there: only `iter()` with `status()` tells.
* `set_iterate_lower_bound` sets the upper bound: a scan backwards checks its lower end itself.
* Iterators of a snapshot ignore it and show later writes; a plain iterator stays at the instant it was made. So a view
  reads single rows from snapshots and scans with iterators, both made under the lock that holds writers off.
* Errors are plain `Exception`: a snapshot raises one for a missing key, too.
* A log that is used again keeps old rows behind its end; its records carry its number, so they are not read.
* The lock file stays taken while any snapshot, iterator or family object lives: all are owned here, and dropped.
"""

from __future__ import annotations

import gc
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn
from weakref import WeakSet

import rocksdict

from octra.errors import Corrupt, Unavailable
from octra.storage.errors import Closed, CorruptStore, DiskFull, FormatTooNew, Locked
from octra.storage.kv import (
    BATCH_BYTES_MAX,
    BLOB_FAMILIES,
    SCAN_PAGE_BYTES,
    SCAN_PAGE_ROWS,
    SCATTERED_FAMILIES,
    Batch,
    Delete,
    DeleteRange,
    Family,
    Puts,
    ReadView,
    Row,
)

CACHE_BYTES = 8 << 20  # one LRU shared by all families; what a commit reads it keeps itself, files the page cache
WAL_BYTES_MAX = 64 << 20
LOGS_REUSED = 4  # overwritten instead of deleted: fresh pages cost more than what is copied into them
WRITE_BUFFERS_BYTES = 48 << 20  # of all families together; many nodes may share a machine
SCATTERED_FILES = 8  # of a scattered family, before some are merged: each merge of a few rewrites rows for little
OPEN_FILES_MAX = 512
BLOOM_BITS = 10
BLOB_BYTES_MIN = 16 << 10
BACKGROUND_JOBS = 2
LOG_FILES_KEPT = 4  # RocksDB writes its own text log

# The binding has no type stubs that mypy can follow with `follow_imports = "skip"`.
_Database = Any
_Family = Any
_Snapshot = Any
_Cursor = Any


FORMAT: Final = 4  # of keys and values; those before were never released
_FORMAT_FILE = "FORMAT"  # beside the rows, so that a newer database is recognised before it is opened
_FORMAT_KEY = b"format"
_CLOSED_FILE = "CLOSED"  # beside the rows: name and size of the manifest when the database was closed last


def open_rocks(path: Path, *, cache_bytes: int = CACHE_BYTES, write_buffer_bytes: int = 16 << 20) -> RocksKeyValue:
    """The database in `path`, made when absent. Raises `Locked`, `DiskFull`, `FormatTooNew` or `CorruptStore`."""
    path.mkdir(parents=True, exist_ok=True)
    format_file = path / _FORMAT_FILE
    known = format_file.exists()
    if known:
        _check_format(format_file.read_bytes())
    _check_manifest(path)
    options = partial(_options, cache=rocksdict.Cache(cache_bytes), write_buffer_bytes=write_buffer_bytes)
    names = {family.value: options(family) for family in Family}
    names["default"] = options(None)
    whole = options(None)
    whole.set_use_direct_io_for_flush_and_compaction(_knows_direct_io(path))
    try:
        if (path / "CURRENT").exists():
            for name in rocksdict.Rdict.list_cf(str(path), options(None)):
                names.setdefault(name, options(None))  # of a newer program
        database = rocksdict.Rdict(str(path), options=whole, column_families=names)
    except Exception as error:  # the binding raises nothing narrower
        _translate(error)
    store = RocksKeyValue(database, path)
    try:
        _settle_format(store, format_file, known)
    except (Unavailable, Corrupt):
        store.close()
        raise
    return store


class RocksKeyValue:
    """`KeyValue` over an open database. Reads may come from any thread; writes go one after the other."""

    def __init__(self, database: _Database, path: Path) -> None:
        self._database: _Database | None = database
        self._path = path
        self._families: dict[Family, _Family] = {f: database.get_column_family(f.value) for f in Family}
        self._handles: dict[Family, Any] = {f: database.get_column_family_handle(f.value) for f in Family}
        self._views: WeakSet[_RocksView] = WeakSet()
        # Held while a batch is written and while snapshots are taken, so that those of all families agree.
        self._lock = threading.Lock()
        self._failure: Unavailable | Corrupt | None = None

    def get(self, family: Family, key: bytes) -> bytes | None:
        """The value of a row."""
        try:
            value: bytes | None = self._families[family].get(key)
        except KeyError:
            raise Closed("database") from None
        except Exception as error:  # the binding raises nothing narrower
            _translate(error)
        return value

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many rows, in the order of `keys`."""
        if not keys:
            return []
        try:
            values: list[bytes | None] = self._families[family].get(list(keys))
        except KeyError:
            raise Closed("database") from None
        except Exception as error:  # the binding raises nothing narrower
            _translate(error)
        return values

    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        """Rows in key order. One page of 1,000 rows is of one instant; use `view` where more must agree."""

        def cursor() -> _Cursor:
            source = self._families.get(family)
            if source is None:
                raise Closed("database")
            options = rocksdict.ReadOptions()
            if upper is not None:
                options.set_iterate_upper_bound(upper)  # else the end of a scan may walk over many deleted rows
            return source.iter(options)

        return _pages(cursor, lower, upper, limit, reverse)

    def write(self, batch: Batch, *, durable: bool) -> None:
        """Apply atomically. After a failed write the store takes no other: what the disk holds is unknown."""
        assert batch.size <= BATCH_BYTES_MAX, batch.size
        rows = rocksdict.WriteBatch(raw_mode=True)
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._database is None:
                raise Closed("database")
            for change in batch.changes:
                handle = self._handles[change.family]
                match change:
                    case Puts(_, keys, values):
                        rows.set_default_column_family(handle)
                        for key, value in zip(keys, values, strict=True):
                            rows[key] = value  # a fifth less than `put` with a family
                    case Delete(_, key):
                        rows.delete(key, handle)
                    case DeleteRange(_, lower, upper):
                        rows.delete_range(lower, upper, handle)
            options = rocksdict.WriteOptions()
            options.sync = durable
            try:
                self._database.write(rows, options)
            except Exception as error:  # the binding raises nothing narrower
                try:
                    _translate(error)
                except (Unavailable, Corrupt) as translated:
                    self._failure = translated
                    raise

    @contextmanager
    def view(self) -> Iterator[ReadView]:
        """Reading at the instant between two batches, for one thread at a time."""
        with self._lock:
            if self._database is None:
                raise Closed("database")
            families = self._families.items()
            view = _RocksView(
                {name: family.snapshot() for name, family in families},
                {name: family.iter() for name, family in families},
            )
            self._views.add(view)
        try:
            yield view
        finally:
            view.drop()

    def compact(self) -> None:
        """Merge the files of all families now."""
        for family in self._families.values():
            family.compact_range(None, None)

    def flush(self) -> None:
        """Write the memory tables into files."""
        for family in self._families.values():
            family.flush()

    def close(self) -> None:
        """Drop every object of the binding, then the database: only so is the lock file given free."""
        with self._lock:
            if self._database is None:
                return
            for view in list(self._views):
                view.drop()
            self._families.clear()
            self._handles.clear()
            gc.collect()
            self._database.close()
            self._database = None
            _note_manifest(self._path)
        gc.collect()


class _RocksView:
    """Snapshots and iterators of all families, made at one instant."""

    def __init__(self, snapshots: dict[Family, _Snapshot], cursors: dict[Family, _Cursor]) -> None:
        self._snapshots, self._cursors = snapshots, cursors

    def get(self, family: Family, key: bytes) -> bytes | None:
        return self.get_many(family, [key])[0]

    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]:
        snapshot = self._snapshots.get(family)
        if snapshot is None:
            raise Closed("view")
        values: list[bytes | None] = []
        for key in keys:
            try:
                values.append(snapshot[key])
            except Exception as error:  # the binding raises nothing narrower
                if str(error) != "key not found":
                    _translate(error)
                values.append(None)
        return values

    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        def cursor() -> _Cursor:
            found = self._cursors.get(family)
            if found is None:
                raise Closed("view")
            return found

        return _pages(cursor, lower, upper, limit, reverse)

    def drop(self) -> None:
        self._snapshots.clear()
        self._cursors.clear()


def _pages(
    cursor: Callable[[], _Cursor], lower: bytes, upper: bytes | None, limit: int, reverse: bool
) -> Iterator[Row]:
    """Read page after page; no cursor is held while the caller looks at rows."""
    while limit > 0:
        rows, more = _page(cursor(), lower, upper, min(limit, SCAN_PAGE_ROWS), reverse)
        yield from rows
        limit -= len(rows)
        if not more:
            return
        if reverse:
            upper = rows[-1][0]
        else:
            lower = rows[-1][0] + b"\0"


def _page(cursor: _Cursor, lower: bytes, upper: bytes | None, limit: int, reverse: bool) -> tuple[list[Row], bool]:
    """The next rows, and whether there may be more."""
    rows: list[Row] = []
    size = 0
    try:
        if not reverse:
            cursor.seek(lower)
        elif upper is None:
            cursor.seek_to_last()
        else:
            cursor.seek_for_prev(upper)
            if cursor.valid() and cursor.key() == upper:
                cursor.prev()
        step = cursor.prev if reverse else cursor.next
        while cursor.valid():
            key = cursor.key()
            if (reverse and key < lower) or (upper is not None and key >= upper):
                return rows, False
            value = cursor.value()
            rows.append((key, value))
            size += len(key) + len(value)
            if len(rows) == limit or size >= SCAN_PAGE_BYTES:
                return rows, True
            step()
        cursor.status()  # raises when the end is damage, not the end
    except Exception as error:  # the binding raises nothing narrower
        _translate(error)
    return rows, False


def _check_format(text: bytes) -> None:
    """Raise unless these are the digits of a format that this program reads."""
    if not text.isdigit():
        raise CorruptStore("the format of the database is not a number")
    if int(text) > FORMAT:
        raise FormatTooNew(int(text), FORMAT)
    if int(text) < FORMAT:
        raise CorruptStore(f"database format {int(text)} is too old for this program; remove it and sync again")


def _settle_format(store: RocksKeyValue, file: Path, known: bool) -> None:
    """Mark a new database; refuse an old one without its mark."""
    row = store.get(Family.META, _FORMAT_KEY)
    if row is not None:
        _check_format(row)
    elif known:
        raise CorruptStore("the database has lost its rows")
    else:
        batch = Batch()
        batch.put(Family.META, _FORMAT_KEY, b"%d" % FORMAT)
        store.write(batch, durable=True)
    if not known:
        file.write_bytes(b"%d" % FORMAT)


def _note_manifest(path: Path) -> None:
    """For `_check_manifest`. If the disk refuses, the next start goes without."""
    new = path / (_CLOSED_FILE + ".new")
    with suppress(OSError):
        name = (path / "CURRENT").read_text().strip()
        with new.open("w") as file:
            file.write(f"{name} {(path / name).stat().st_size}")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path / _CLOSED_FILE)


def _check_manifest(path: Path) -> None:
    """Raise `CorruptStore` if the list of files is shorter than when the database was closed.

    RocksDB takes a cut-off manifest for an unfinished write and opens an older, even empty database without a word.
    Each start begins another manifest, so after a crash there is nothing to compare.
    """
    closed, current = path / _CLOSED_FILE, path / "CURRENT"
    if not closed.exists() or not current.exists():
        return
    name, _, size = closed.read_text(errors="replace").partition(" ")
    if not size.isdigit():
        raise CorruptStore("the note of the last close does not decode")
    manifest = path / name
    if name != current.read_text(errors="replace").strip() or not manifest.exists():
        return  # of a later start, or RocksDB says so itself
    if manifest.stat().st_size < int(size):
        raise CorruptStore("the list of the database's files was cut off")


def _knows_direct_io(folder: Path) -> bool:
    """Whether files there can be written past the page cache: not every file system has that."""
    flag = getattr(os, "O_DIRECT", 0)  # Linux
    file = folder / "direct"
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | flag, 0o600)
        try:
            os.write(number, mmap.mmap(-1, mmap.PAGESIZE))
        finally:
            os.close(number)
    except OSError:
        return False
    finally:
        file.unlink(missing_ok=True)
    return flag != 0


def _options(family: Family | None, *, cache: Any, write_buffer_bytes: int) -> Any:
    """Options of one family, or of the database itself."""
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_bloom_filter(BLOOM_BITS, False)
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(table)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
    options.set_max_total_wal_size(WAL_BYTES_MAX)
    options.set_recycle_log_file_num(LOGS_REUSED)
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_max_background_jobs(BACKGROUND_JOBS)
    options.set_keep_log_file_num(LOG_FILES_KEPT)
    options.set_write_buffer_size(write_buffer_bytes)
    options.set_allow_concurrent_memtable_write(False)  # there is one writer: an eighth less for a row
    options.set_compression_type(rocksdict.DBCompressionType.lz4())
    if family in SCATTERED_FAMILIES:
        # Levels would rewrite all rows for every few files that are added; here files of like age are merged.
        options.set_compaction_style(rocksdict.DBCompactionStyle.universal())
        options.set_level_zero_file_num_compaction_trigger(SCATTERED_FILES)
    if family in BLOB_FAMILIES:
        options.set_enable_blob_files(True)
        options.set_min_blob_size(BLOB_BYTES_MIN)
        options.set_enable_blob_gc(True)
        options.set_blob_compression_type(rocksdict.DBCompressionType.none())
    return options


def _translate(error: Exception) -> NoReturn:
    """Raise what the binding's text means."""
    text = str(error)
    if isinstance(error, rocksdict.DbClosedError):
        raise Closed("database") from error
    if "No space left on device" in text:
        raise DiskFull from error
    if "lock" in text.lower() and "LOCK" in text:
        raise Locked("database") from error
    raise CorruptStore(text) from error
