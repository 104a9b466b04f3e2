"""Each odd rule of `rocks.py` answers a trap of the binding; these tests fall into it on purpose."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import pytest

from octra.storage.errors import Closed, CorruptStore, FormatTooNew, Locked
from octra.storage.kv import SCAN_PAGE_ROWS, Batch, Family, prefix_end, u32
from octra.storage.rocks import FORMAT, RocksKeyValue, open_rocks

SOURCES = Path(__file__).parents[3] / "storage"


def filled(path: Path, rows: int, value: bytes = b"v" * 100) -> RocksKeyValue:
    store, batch = open_rocks(path), Batch()
    for number in range(rows):
        batch.put(Family.TX, u32(number), value + u32(number))
    store.write(batch, durable=True)
    return store


def test_values_are_stored_raw_and_not_pickled(tmp_path: Path) -> None:
    store = filled(tmp_path, 3, b"find these very bytes")
    store.flush()
    store.close()
    assert any(b"find these very bytes" in path.read_bytes() for path in tmp_path.glob("*.sst"))
    for source in SOURCES.rglob("*.py"):
        assert not re.search(r"load_latest|set_loads|set_dumps|disable_wal", source.read_text()), source


def test_closing_frees_the_lock_even_while_views_and_scans_are_open(tmp_path: Path) -> None:
    store = filled(tmp_path, 2_500)
    context = store.view()
    view = context.__enter__()
    scans = [view.scan(Family.TX, b"", None, limit=9_999), store.scan(Family.TX, b"", None, limit=9_999)]
    assert [len(next(scan)) for scan in scans] == [2, 2]
    store.close()
    reopened = open_rocks(tmp_path)
    assert reopened.get(Family.TX, u32(1)) is not None
    for scan in scans:
        with pytest.raises(Closed):
            list(scan)
    for use in (lambda: store.get(Family.TX, b""), lambda: view.get(Family.TX, b""), lambda: store.view().__enter__()):
        with pytest.raises(Closed):
            use()
    with pytest.raises(Closed):
        store.write(Batch(), durable=False)
    store.close()
    reopened.close()


def test_a_second_open_says_locked(tmp_path: Path) -> None:
    store = open_rocks(tmp_path)
    with pytest.raises(Locked):
        open_rocks(tmp_path)
    store.close()


def test_a_family_that_this_program_does_not_know_does_not_hinder_opening(tmp_path: Path) -> None:
    import rocksdict

    filled(tmp_path, 1).close()
    options = rocksdict.Options(raw_mode=True)
    names = dict.fromkeys(rocksdict.Rdict.list_cf(str(tmp_path), options), options)
    database = rocksdict.Rdict(str(tmp_path), options=options, column_families=names)
    database.create_column_family("of_the_future", options)
    database.close()
    del database
    gc.collect()
    store = open_rocks(tmp_path)
    assert store.get(Family.TX, u32(0)) is not None
    store.close()


def test_scans_longer_than_a_page_are_whole_in_both_directions(tmp_path: Path) -> None:
    count = 2 * SCAN_PAGE_ROWS + 5
    store = filled(tmp_path, count)
    for rows_max in (SCAN_PAGE_ROWS, count, count + 1):
        keys = [key for key, _ in store.scan(Family.TX, b"", None, limit=rows_max)]
        assert keys == [u32(number) for number in range(min(rows_max, count))]
        keys = [key for key, _ in store.scan(Family.TX, u32(3), u32(count), limit=rows_max, reverse=True)]
        assert keys == [u32(number) for number in range(count - 1, 2, -1)][:rows_max]
    store.close()


def test_a_view_shows_neither_later_rows_nor_misses_deleted_ones(tmp_path: Path) -> None:
    """The binding's own snapshot iterators do both."""
    store = filled(tmp_path, 10)
    with store.view() as view:
        batch = Batch()
        batch.delete(Family.TX, u32(0))
        batch.put(Family.TX, u32(99), b"later")
        batch.put(Family.META, b"other family", b"later")
        store.write(batch, durable=False)
        store.compact()
        assert [key for key, _ in view.scan(Family.TX, b"", None, limit=99)] == [u32(n) for n in range(10)]
        assert next(view.scan(Family.TX, b"", None, limit=1, reverse=True))[0] == u32(9)
        assert view.get(Family.TX, u32(0)) is not None
        assert view.get_many(Family.TX, [u32(99), u32(1)])[0] is None
        assert view.get(Family.META, b"other family") is None
    with pytest.raises(Closed):
        view.get(Family.TX, u32(0))
    store.close()


def test_a_flipped_bit_in_a_file_is_found_by_reads_and_never_shortens_a_scan(tmp_path: Path) -> None:
    store = filled(tmp_path, 20_000)
    store.flush()
    store.close()
    path = max(tmp_path.glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    store = open_rocks(tmp_path)
    for reverse in (False, True):
        with pytest.raises(CorruptStore):
            list(store.scan(Family.TX, b"", None, limit=20_000, reverse=reverse))
    with pytest.raises(CorruptStore):
        all(store.get(Family.TX, u32(number)) for number in range(20_000))
    with store.view() as view, pytest.raises(CorruptStore):
        list(view.scan(Family.TX, b"", None, limit=20_000))
    store.close()


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*"])
@pytest.mark.parametrize("eighths", range(8))
def test_a_truncated_file_stops_the_start_or_the_first_read(tmp_path: Path, pattern: str, eighths: int) -> None:
    store = filled(tmp_path, 5_000)
    store.flush()
    store.close()
    path = max(tmp_path.glob(pattern), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * eighths // 8])

    def read() -> None:
        store = open_rocks(tmp_path)
        try:
            list(store.scan(Family.TX, b"", None, limit=5_000))
        finally:
            store.close()

    with pytest.raises(CorruptStore):
        read()


def test_a_damaged_note_of_the_last_close_is_told_and_a_missing_one_is_not_needed(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    (tmp_path / "CLOSED").unlink()
    open_rocks(tmp_path).close()
    (tmp_path / "CLOSED").write_text("junk")
    with pytest.raises(CorruptStore, match="last close"):
        open_rocks(tmp_path)


@pytest.mark.parametrize("flag", [0, os.O_DIRECTORY])  # no such thing on this system; the file system refuses it
def test_without_direct_writes_the_files_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: int
) -> None:
    monkeypatch.setattr(os, "O_DIRECT", flag)
    store = filled(tmp_path, 3_000)
    store.flush()
    store.compact()
    store.close()
    assert not (tmp_path / "direct").exists()
    monkeypatch.undo()
    store = open_rocks(tmp_path)
    assert len(list(store.scan(Family.TX, b"", None, limit=9_999))) == 3_000
    store.close()


def copied(path: Path, name: str) -> Path:
    """What is on the disk while the database is open."""
    copy = path.parent / name
    copy.mkdir()
    for file in path.iterdir():
        if file.name != "LOCK" and file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_a_torn_end_of_the_log_loses_only_the_last_batches(tmp_path: Path) -> None:
    store = open_rocks(tmp_path)
    for number in range(50):
        batch = Batch()
        batch.put(Family.TX, u32(number), b"a")
        batch.put(Family.RECEIPT, u32(number), b"b")
        store.write(batch, durable=True)
    copy = copied(tmp_path, "copy")
    store.close()
    log = max(copy.glob("*.log"), key=lambda path: path.stat().st_size)
    log.write_bytes(log.read_bytes()[: log.stat().st_size * 2 // 3])
    store = open_rocks(copy)
    found = [key for key, _ in store.scan(Family.TX, b"", None, limit=99)]
    assert 0 < len(found) < 50
    assert found == [u32(number) for number in range(len(found))]
    assert found == [key for key, _ in store.scan(Family.RECEIPT, b"", None, limit=99)]
    store.close()


def test_old_rows_behind_the_end_of_a_used_log_do_not_come_back(tmp_path: Path) -> None:
    store = open_rocks(tmp_path, write_buffer_bytes=1 << 16)

    def write(name: bytes, numbers: range) -> None:
        for number in numbers:
            batch = Batch()
            batch.put(Family.TX, name + u32(number), name * 100)
            store.write(batch, durable=True)

    def newest_log() -> Path:
        return max(tmp_path.glob("*.log"), key=lambda path: int(path.stem))

    write(b"old", range(1_000))
    batch = Batch()
    batch.delete_range(Family.TX, b"old", b"ole")
    store.write(batch, durable=True)
    for number in range(10):
        store.flush()  # which begins another log
        before = newest_log().read_bytes()
        if b"old" in before:
            break
        write(b"other", range(number, number + 1))
    write(b"new", range(50))
    after, name = newest_log().read_bytes(), newest_log().name
    assert after.rindex(b"new") < before.rindex(b"old")
    whole, torn = copied(tmp_path, "whole"), copied(tmp_path, "torn")
    store.close()
    half = after.index(b"new" + u32(25))
    (torn / name).write_bytes(after[:half] + before[half:])  # the rest had not reached the disk
    for path, count in ((whole, 50), (torn, 25)):
        store = open_rocks(path)
        assert [key for key, _ in store.scan(Family.TX, b"", b"other", limit=9_999)] == [
            b"new" + u32(number) for number in range(count)
        ]
        store.close()


def test_a_newer_or_older_format_is_refused_before_the_database_is_touched(tmp_path: Path) -> None:
    open_rocks(tmp_path).close()
    (tmp_path / "FORMAT").write_text(str(FORMAT + 1))
    with pytest.raises(FormatTooNew):
        open_rocks(tmp_path)
    (tmp_path / "FORMAT").write_text(str(FORMAT - 1))
    with pytest.raises(CorruptStore, match="too old"):
        open_rocks(tmp_path)
    (tmp_path / "FORMAT").write_text("junk")
    with pytest.raises(CorruptStore):
        open_rocks(tmp_path)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"", None), (b"a", b"b"), (b"a\xff", b"b"), (b"\xff", None), (b"\0\xff\xff", b"\1")]
)
def test_prefix_end_is_the_first_key_above_all_with_the_prefix(prefix: bytes, end: bytes | None) -> None:
    assert prefix_end(prefix) == end
