"""The newest values in memory, for the one thread that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from octra.storage.kv import Row

LATEST_MAX: Final = 65_536  # values that are remembered: 10 MB of accounts


class Reader(Protocol):
    """The newest values on disk."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(self, prefix: bytes, limit: int) -> Iterator[Row]: ...


class LatestState:
    """The global state for the one thread that commits: it remembers what it read and wrote, so nobody else may use it.

    A reader beside a commit could put an old value back; this thread cannot.
    """

    def __init__(self, reader: Reader) -> None:
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

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Latest values of keys of the global state, in their order."""
        young, old = self._young, self._old
        with suppress(KeyError):
            return [young[key] for key in keys]
        others = [key for key in keys if key not in young]
        unknown = [key for key in others if key not in old]
        read = dict(zip(unknown, self._reader.get_many(unknown), strict=True))
        learnt = {key: read[key] if key in read else old[key] for key in others}
        values = [learnt[key] if key in learnt else young[key] for key in keys]
        self.learn(learnt)
        return values

    def scan(self, prefix: bytes, limit: int) -> Iterator[Row]:
        """Latest rows whose keys start with `prefix`, in byte order."""
        return self._reader.scan(prefix, limit)

    def learn(self, values: Mapping[bytes, bytes | None]) -> None:
        """These are the latest values."""
        self._young.update(values)
        if len(self._young) > LATEST_MAX // 2:  # two generations instead of a list of uses
            self._old, self._young = self._young, {}

    def drop(self, keys: Iterable[bytes]) -> None:
        """Remember these no longer; they are read again when somebody asks."""
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def __len__(self) -> int:
        """How many values are remembered."""
        return len(self._young.keys() | self._old.keys())

    def forget(self) -> None:
        """A commit failed: what the disk holds is unknown."""
        self._young, self._old = {}, {}
