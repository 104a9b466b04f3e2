"""What the committing thread remembers is what it would read."""

from __future__ import annotations

import random

import pytest

from octra.storage import latest
from octra.storage.latest import LatestState
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateStore


def test_values_read_one_by_one_and_many_at_a_time_are_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "LATEST_MAX", 16)  # generations change all the time
    chance = random.Random(8)
    state, values = StateStore(MemoryKeyValue()), dict[bytes, bytes]()
    names = [b"key %d" % number for number in range(60)]
    for height in range(80):
        for _ in range(4):
            some = chance.sample(names, chance.randrange(12))
            assert state.latest.get_many(some) == [values.get(name) for name in some]
            assert state.latest.get(names[height % 60]) == values.get(names[height % 60])
        writes = {name: chance.choice([None, b"%d" % height]) for name in chance.sample(names, 9)}
        state.commit(height, list(writes.items()), {}, lambda roots: [])
        for name, value in writes.items():
            values.pop(name, None) if value is None else values.update({name: value})


def test_after_a_failed_commit_the_disk_is_asked_again() -> None:
    state = StateStore(MemoryKeyValue())
    state.commit(0, [(b"a", b"1")], {}, lambda roots: [])
    remembering = LatestState(state)
    remembering.learn({b"a": b"lost", b"b": b"lost"})
    assert remembering.get_many([b"a", b"b"]) == [b"lost", b"lost"]
    remembering.forget()
    assert remembering.get_many([b"a", b"b"]) == [b"1", None]


def test_what_is_written_once_and_never_read_takes_no_room() -> None:
    state = StateStore(MemoryKeyValue())
    for height in range(50):
        account = b"account", b"%d" % height
        state.commit(height, [account, (b"block %d" % height, b"record")], {}, lambda roots: [])
        assert state.latest.get(b"account") == b"%d" % height
    assert len(state.latest) == 1
    assert state.latest.get(b"block 7") == b"record"
    state.commit(50, [(b"block 7", None), (b"block 8", b"again")], {}, lambda roots: [])
    assert state.latest.get_many([b"block 7", b"block 8"]) == [None, b"again"]
