"""Group commit, order, failure; and what a node may do with how much disk."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from octra.storage.errors import Closed, DiskFull
from octra.storage.kv import Batch, Family, KeyValue, u32
from octra.storage.memory import FaultyKeyValue, MemoryKeyValue, PowerCut
from octra.storage.space import STOP_BYTES, Space, check, classify, default_reserve
from octra.storage.state import StateStore
from octra.storage.write_queue import LATER_BYTES_MAX, WriteQueue


def one_row(number: int) -> Batch:
    batch = Batch()
    batch.put(Family.TX, u32(number), b"%d" % number)
    return batch


def test_every_batch_is_stored_and_its_future_done(store: KeyValue) -> None:
    queue = WriteQueue(store)
    futures = [queue.submit(one_row(number), durable=number % 3 == 0) for number in range(200)]
    for future in futures:
        future.result(timeout=10)
    queue.close()
    assert len(list(store.scan(Family.TX, b"", None, limit=999))) == 200


def test_writers_that_wait_share_one_sync() -> None:
    gate = threading.Event()
    faulty = FaultyKeyValue(MemoryKeyValue(), on_sync=lambda: gate.wait(10) and None)
    queue = WriteQueue(faulty)
    futures = [queue.submit(one_row(number)) for number in range(50)]
    gate.set()
    for future in futures:
        future.result(timeout=10)
    queue.close()
    assert queue.groups <= 3  # the first batch alone, or with those that were faster than the thread; then the rest


def test_what_may_be_written_later_goes_with_the_next_batch_and_before_it() -> None:
    store = MemoryKeyValue()
    queue = WriteQueue(store)
    for value in (b"first", b"second"):
        batch = Batch()
        batch.put(Family.META, b"key", value)
        queue.later(batch)
    assert queue.groups == 0
    queue.write(one_row(0))
    assert (queue.groups, store.get(Family.META, b"key")) == (1, b"second")
    queue.close()


def test_much_that_may_be_written_later_is_written_and_so_is_all_at_the_end() -> None:
    store = MemoryKeyValue()
    queue = WriteQueue(store)
    large = Batch()
    large.put(Family.META, b"large", bytes(LATER_BYTES_MAX + 1))
    queue.later(large)
    while store.get(Family.META, b"large") is None:
        time.sleep(0.001)
    queue.later(one_row(7))
    queue.close()
    assert store.get(Family.TX, u32(7)) == b"7"


def test_a_failure_of_what_was_written_later_reaches_the_next_writer() -> None:
    def full() -> None:
        raise DiskFull

    queue = WriteQueue(FaultyKeyValue(MemoryKeyValue(), on_sync=full))
    queue.later(one_row(0))
    with pytest.raises(DiskFull):
        queue.write(one_row(1))
    with pytest.raises(DiskFull):
        queue.later(one_row(2))
    queue.close()


def test_later_batches_win_within_a_group() -> None:
    store, gate = MemoryKeyValue(), threading.Event()
    queue = WriteQueue(FaultyKeyValue(store, on_sync=lambda: gate.wait(10) and None))
    queue.submit(one_row(0))
    for value in (b"first", b"second", b"last"):
        batch = Batch()
        batch.put(Family.META, b"key", value)
        done = queue.submit(batch)
    gate.set()
    done.result(timeout=10)
    queue.close()
    assert store.get(Family.META, b"key") == b"last"


def test_after_a_full_disk_every_waiting_and_later_writer_is_told_and_nothing_more_is_written() -> None:
    store = MemoryKeyValue()
    queue = WriteQueue(FaultyKeyValue(store, disk_full_at=0))
    first = queue.submit(one_row(1))
    with pytest.raises(DiskFull):
        first.result(timeout=10)
    with pytest.raises(DiskFull):
        queue.write(one_row(2))
    queue.close()
    assert store.get(Family.TX, u32(1)) is None


def test_a_commit_on_a_full_disk_leaves_the_last_height_whole() -> None:
    faulty = FaultyKeyValue(MemoryKeyValue(), disk_full_at=1)
    state = StateStore(faulty, writer=WriteQueue(faulty))
    root = state.commit(0, [(b"a", b"1"), (b"b", b"2")], {}, lambda roots: [])
    with pytest.raises(DiskFull):
        state.commit(1, [(b"a", b"2")], {}, lambda roots: [])
    again = StateStore(faulty.recover(faulty.unsynced()))
    assert (again.root(), again.get(b"a")) == (root, b"1")
    assert again.commit(1, [(b"a", b"2")], {}, lambda roots: []) != root


def test_a_writer_that_dies_leaves_nobody_waiting() -> None:
    queue = WriteQueue(FaultyKeyValue(MemoryKeyValue(), power_cut_at=0))
    with pytest.raises(PowerCut):
        queue.submit(one_row(1)).result(timeout=10)
    queue.close()


def test_a_closed_queue_takes_nothing_but_has_written_everything() -> None:
    store = MemoryKeyValue()
    queue = WriteQueue(store)
    futures = [queue.submit(one_row(number)) for number in range(20)]
    queue.close()
    assert all(future.done() for future in futures)
    with pytest.raises(Closed):
        queue.submit(one_row(99))


def test_a_power_cut_takes_a_suffix_of_the_unsynced_batches_only() -> None:
    faulty = FaultyKeyValue(MemoryKeyValue(), power_cut_at=5)
    for number in range(5):
        faulty.write(one_row(number), durable=number == 2)
    with pytest.raises(PowerCut):
        faulty.write(one_row(5), durable=True)
    assert faulty.unsynced() == 3
    for survivors in range(4):
        found = faulty.recover(survivors)
        keys = [key for key, _ in found.scan(Family.TX, b"", None, limit=9)]
        assert keys == [u32(number) for number in range(3 + survivors)]


def test_less_room_allows_less(tmp_path: Path) -> None:
    reserve = default_reserve(100 << 30)
    levels = [classify(free, reserve) for free in (5 * reserve, 2 * reserve - 1, reserve - 1, STOP_BYTES - 1)]
    assert levels == [Space.PLENTY, Space.LOW, Space.SCARCE, Space.EXHAUSTED]
    assert default_reserve(10 << 40) == (10 << 40) // 100
    assert check(tmp_path, reserve_bytes=0)[1] > 0
