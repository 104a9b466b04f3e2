"""RocksDB and its memory twin give the same answers to the same operations."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from octra.storage.kv import Batch, Family, ReadView
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks

FAMILIES = (Family.TX, Family.STATE, Family.HISTORY)  # HISTORY and STATE keep large values in blob files
families = st.sampled_from(FAMILIES)
keys = st.binary(max_size=3) | st.sampled_from([b"", b"\xff", b"\xff\xff", b"a", b"a\0", b"b"])
values = st.binary(max_size=20) | st.sampled_from([b"", b"x" * 20_000])
changes = st.one_of(
    st.tuples(st.just("put"), families, keys, values),
    st.tuples(st.just("delete"), families, keys),
    st.tuples(st.just("range"), families, keys, keys),
)


def rows_of(view: ReadView, family: Family, lower: bytes, upper: bytes | None, limit: int, reverse: bool) -> list:
    return list(view.scan(family, lower, upper, limit=limit, reverse=reverse))


class Twins(RuleBasedStateMachine):
    """Every answer is compared; views are kept open over later writes."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.memory = MemoryKeyValue()
        self.rocks = open_rocks(self.directory, cache_bytes=1 << 20, write_buffer_bytes=1 << 16)
        self.views: list[tuple[ReadView, ReadView]] = []
        self.open_views = ExitStack()

    @rule(operations=st.lists(changes, max_size=6), durable=st.booleans())
    def write(self, operations: list, durable: bool) -> None:
        batch = Batch()
        for name, family, *rest in operations:
            match name:
                case "put":
                    batch.put(family, *rest)
                case "delete":
                    batch.delete(family, *rest)
                case "range":
                    batch.delete_range(family, min(rest), max(rest))
        self.memory.write(batch, durable=durable)
        self.rocks.write(batch, durable=durable)

    @rule(family=families, asked=st.lists(keys, max_size=5))
    def get(self, family: Family, asked: list[bytes]) -> None:
        for memory, rocks in self.readers():
            assert memory.get_many(family, asked) == rocks.get_many(family, asked)
            for key in asked:
                assert memory.get(family, key) == rocks.get(family, key)

    @rule(family=families, ends=st.tuples(keys, st.none() | keys), limit=st.integers(0, 8), reverse=st.booleans())
    def scan(self, family: Family, ends: tuple[bytes, bytes | None], limit: int, reverse: bool) -> None:
        lower, upper = ends
        if upper is not None:
            lower, upper = min(lower, upper), max(lower, upper)
        for memory, rocks in self.readers():
            found = rows_of(memory, family, lower, upper, limit, reverse)
            assert found == rows_of(rocks, family, lower, upper, limit, reverse)

    @rule()
    def open_view(self) -> None:
        if len(self.views) < 3:
            memory = self.open_views.enter_context(self.memory.view())
            self.views.append((memory, self.open_views.enter_context(self.rocks.view())))

    @rule()
    def flush(self) -> None:
        self.rocks.flush()

    @rule()
    def compact(self) -> None:
        self.rocks.compact()

    @rule()
    def reopen(self) -> None:
        """In the same process, with views still open: the lock file must be given free all the same."""
        self.rocks.close()
        self.open_views.close()
        self.views.clear()
        self.rocks = open_rocks(self.directory, cache_bytes=1 << 20, write_buffer_bytes=1 << 16)

    @invariant()
    def whole_families_agree(self) -> None:
        for family in FAMILIES:
            for memory, rocks in self.readers():
                everything = rows_of(memory, family, b"", None, 1_000, False)
                assert everything == rows_of(rocks, family, b"", None, 1_000, False)
                assert everything[::-1] == rows_of(rocks, family, b"", None, 1_000, True)

    def readers(self) -> list[tuple[ReadView, ReadView]]:
        return [(self.memory, self.rocks), *self.views]

    def teardown(self) -> None:
        self.rocks.close()
        self.open_views.close()
        shutil.rmtree(self.directory)


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
