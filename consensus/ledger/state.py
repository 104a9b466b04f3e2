"""The state during one commit: reads fall through to the committed view, writes stay here until the end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import eq, ne
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from octra.codec import decoder_of
from octra.consensus.ports import StateView

T = TypeVar("T", bound=Struct)
Write = tuple[bytes, bytes | None]

_encoder = msgspec.msgpack.Encoder()


def read(data: bytes, kind: type[T]) -> T:
    """A value that the ledger itself wrote; what comes from outside goes through `octra.codec.decode` instead."""
    return decoder_of(kind).decode(data)


def load(view: StateView, key: bytes, kind: type[T]) -> T | None:
    """The value at `key` of a view, or None."""
    data = view.get(key)
    return None if data is None else read(data, kind)


class Changes(NamedTuple):
    """What a commit changes, as columns by ascending key."""

    keys: list[bytes]
    before: list[bytes | None]
    after: list[bytes | None]

    def of(self, prefix: bytes) -> Changes:
        """Those of the keys that start with this one byte."""
        first, end = bisect_left(self.keys, prefix), bisect_left(self.keys, bytes([prefix[0] + 1]))
        return Changes(self.keys[first:end], self.before[first:end], self.after[first:end])

    @property
    def writes(self) -> dict[bytes, bytes | None]:
        """Keys with what they hold now."""
        return dict(zip(self.keys, self.after, strict=True))


class Overlay:
    """A `StateView` with writes on top, and one savepoint for the operation that is running.

    What was read alone is remembered: the view does not change during a commit.
    """

    __slots__ = ("_journal", "_reads", "_view", "_writes", "touched")

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._reads: dict[bytes, bytes | None] = {}
        self._writes: dict[bytes, bytes | None] = {}
        self._journal: dict[bytes, tuple[bool, bytes | None]] | None = None
        self.touched: list[bytes] = []  # keys written one by one, for who keeps values beside; he may clear it

    def get(self, key: bytes) -> bytes | None:
        """The bytes at `key` as of now."""
        return self._writes[key] if key in self._writes else self.before(key)

    def before(self, key: bytes) -> bytes | None:
        """The bytes at `key` before the commit."""
        if key not in self._reads:
            self._reads[key] = self._view.get(key)
        return self._reads[key]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The bytes at these keys as of now. They are many: to ask the view again costs less than to remember them."""
        values, writes = self._view.get_many(keys), self._writes
        if writes.keys().isdisjoint(keys):
            return values
        return list(map(writes.get, keys, values))

    def put(self, key: bytes, value: bytes) -> None:
        """Set the bytes at `key`."""
        self._note(key)
        self._writes[key] = value

    def put_many(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Set the bytes at these keys; not while an operation runs."""
        assert self._journal is None
        self._writes.update(rows)

    def delete(self, key: bytes) -> None:
        """Remove `key`."""
        self._note(key)
        self._writes[key] = None

    def load(self, key: bytes, kind: type[T]) -> T | None:
        """The value at `key`, or None."""
        data = self.get(key)
        return None if data is None else read(data, kind)

    def require(self, key: bytes, kind: type[T]) -> T:
        """The value at `key`, which our own rules put there."""
        value = self.load(key, kind)
        assert value is not None, kind.__name__
        return value

    def store(self, key: bytes, value: Struct) -> None:
        """Set the value at `key`."""
        self.put(key, _encoder.encode(value))

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """Up to `limit` rows below `prefix` in key order, writes included."""
        own = sorted(key for key in self._writes if key.startswith(prefix))
        below = self._view.scan(prefix, limit + len(own))
        rows = {key: value for key, value in below if key not in self._writes}
        rows.update((key, value) for key in own if (value := self._writes[key]) is not None)
        return iter(sorted(rows.items())[:limit])

    def savepoint(self) -> None:
        """Start of an operation that may be undone. Savepoints do not nest."""
        assert self._journal is None
        self._journal = {}

    def keep(self) -> None:
        """The operation holds."""
        self._journal = None

    def undo(self) -> None:
        """Take back all writes since the savepoint."""
        assert self._journal is not None
        for key, (written, value) in self._journal.items():
            if written:
                self._writes[key] = value
            else:
                del self._writes[key]
        self._journal = None

    def changes(self) -> Changes:
        """What this commit changes; writes that change nothing are left out."""
        writes = self._writes
        keys = sorted(writes)
        before, after = self._view.get_many(keys), [writes[key] for key in keys]
        if any(map(eq, before, after)):
            changed = list(map(ne, before, after))
            keys = list(compress(keys, changed))
            before, after = list(compress(before, changed)), list(compress(after, changed))
        return Changes(keys, before, after)

    def _note(self, key: bytes) -> None:
        self.touched.append(key)
        if self._journal is not None and key not in self._journal:
            self._journal[key] = (key in self._writes, self._writes.get(key))
