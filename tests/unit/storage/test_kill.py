"""A process that commits, reserves and acknowledges is killed at random moments; nothing acknowledged is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octra.storage.blocks import BlockStore, CommitRow
from octra.storage.errors import RoundClosed, SignLogConflict
from octra.storage.kv import Batch, Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks
from octra.storage.sign_log import SignKind, SignLog
from octra.storage.state import StateStore, Write
from octra.storage.write_queue import WriteQueue

CIRCLE = b"\x05" * 33
ANCHOR = b"\x01" * 32


def writes_of(height: int) -> list[Write]:
    """A pure function of the height, so that the test can work out every root by itself."""
    chance = random.Random(height)
    values: list[bytes | None] = [b"%d" % height, b"x" * 5_000, None]
    return [(b"key %d" % chance.randrange(200), chance.choice(values)) for _ in range(30)] + [(b"h", b"%d" % height)]


def commit(state: StateStore, height: int) -> bytes:
    circle_writes: list[Write] = [(b"n", b"%d" % height)]

    def rows(root: bytes) -> Batch:
        batch = Batch()
        BlockStore(MemoryKeyValue()).put_commit(batch, height, CommitRow(b"header of " + root, (), ()))
        return batch

    return state.commit(
        height, writes_of(height), {CIRCLE: circle_writes}, lambda roots: [(b"record", roots[CIRCLE])], rows
    )


def child(directory: Path) -> None:
    """Commit for ever, prune beside it; say each height and each signed round after it is safe."""
    store = open_rocks(directory / "db", write_buffer_bytes=1 << 16)  # small: flushes and compactions happen
    queue, log = WriteQueue(store), SignLog(directory / "journal")
    state = StateStore(store, writer=queue, retention=4, flush_heights=5)
    height = 0 if state.head is None else state.head.height + 1
    round_ = log.next_round(ANCHOR)
    while True:
        commit(state, height)
        print(f"height {height}", flush=True)
        log.reserve(SignKind.VERTEX, 0, round_, ANCHOR, b"digest %d" % round_, b"vertex")
        print(f"round {round_}", flush=True)
        state.prune_step()
        height, round_ = height + 1, round_ + 1


def run_and_kill(directory: Path, seconds: float) -> tuple[int, list[int]]:
    """Highest height and all rounds that the child acknowledged before it was killed."""
    process = subprocess.Popen([sys.executable, __file__, str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()  # the start takes longest: count from here
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = (first + process.stdout.read()).splitlines(keepends=True)
    process.wait()
    process.stdout.close()
    whole = [line.split() for line in lines if line.endswith("\n")]
    heights = [int(number) for name, number in whole if name == "height"]
    return max(heights, default=-1), [int(number) for name, number in whole if name == "round"]


def check(directory: Path, kills: int) -> None:
    chance = random.Random(7)
    twin = StateStore(MemoryKeyValue())
    roots: list[bytes] = []
    acknowledged, signed = -1, set[int]()
    for _ in range(kills):
        height, rounds = run_and_kill(directory, chance.random() * 0.15)
        acknowledged = max(acknowledged, height)
        assert not signed & set(rounds), "a round was used twice"
        signed |= set(rounds)

        store = open_rocks(directory / "db")
        state = StateStore(store)  # compares the root with the head's
        head = state.head
        assert head is not None
        assert acknowledged <= head.height <= acknowledged + 1
        while len(roots) <= head.height:
            roots.append(commit(twin, len(roots)))
        assert state.root() == head.state_root == roots[head.height]
        assert list(state.scan(b"", 1_000)) == list(twin.scan(b"", 1_000))
        blocks = BlockStore(store)
        assert blocks.commit(head.height) == CommitRow(b"header of " + head.state_root, (), ())
        assert blocks.commit(head.height + 1) is None
        assert not list(store.scan(Family.HISTORY, (head.height + 1).to_bytes(8, "big"), None, limit=1))
        for key in (b"h", b"key 7", b"key 8"):
            assert state.prove(key).value == state.get(key)
        for old in range(max(0, head.height - 4), head.height):
            assert state.prove(b"h", old).value == b"%d" % old
        store.close()

        log = SignLog(directory / "journal")
        assert log.next_round(ANCHOR) > max(signed, default=0)
        for round_ in rounds[-20:]:
            with pytest.raises((SignLogConflict, RoundClosed)):
                log.reserve(SignKind.VERTEX, 0, round_, ANCHOR, b"another digest", b"other")
        log.close()


def test_kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_torn_height(tmp_path: Path) -> None:
    check(tmp_path, kills=8)


@pytest.mark.long
def test_two_hundred_kills(tmp_path: Path) -> None:
    check(tmp_path, kills=200)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
