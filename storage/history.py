"""What each height replaced in the state: by it older heights are read, and the trees brought up to date after a crash.

The row of a height holds its state root and, for every key it wrote, the value before. Going back from the newest
values, row by row, gives the state of any height whose later rows are all kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from octra.codec import decode, encode
from octra.errors import Malformed
from octra.storage.errors import CorruptStore, NotFound
from octra.storage.kv import Batch, Family, ReadView, u64


class TreeChange(Struct, array_like=True, frozen=True, gc=False):
    """What a height replaced in one tree: keys, and the value of each before; None: it had none."""

    tree: bytes
    keys: list[bytes]
    before: list[bytes | None]

    @property
    def created(self) -> list[bytes]:
        """The keys that had no value."""
        return [key for key, value in zip(self.keys, self.before, strict=True) if value is None]


class History(Struct, array_like=True, frozen=True, gc=False):
    """One height: its state root, and what it replaced."""

    root: bytes
    changes: list[TreeChange]


def put_history(batch: Batch, height: int, history: History) -> None:
    """Store the row of a height."""
    batch.put(Family.HISTORY, u64(height), encode(history))


def history_of(view: ReadView, height: int) -> History:
    """The row of a height; `NotFound` when it was pruned."""
    row = view.get(Family.HISTORY, u64(height))
    if row is None:
        raise NotFound("the state of that height")
    return _decode(row)


def later(view: ReadView, height: int, head: int) -> Iterator[tuple[int, History]]:
    """The rows above `height` up to `head`, newest first; `CorruptStore` if one is missing."""
    expected = head
    for key, row in view.scan(Family.HISTORY, u64(height + 1), u64(head + 1), limit=head - height, reverse=True):
        if key != u64(expected):
            break
        yield expected, _decode(row)
        expected -= 1
    if expected != height:
        raise CorruptStore(f"the history of height {expected} is missing")


def touched(view: ReadView, height: int, head: int) -> dict[bytes, set[bytes]]:
    """The keys written above `height`, by tree."""
    found: dict[bytes, set[bytes]] = {}
    for _, history in later(view, height, head):
        for change in history.changes:
            found.setdefault(change.tree, set()).update(change.keys)
    return found


def values_at(view: ReadView, tree: bytes, height: int, *, base: int, head: int) -> dict[bytes, bytes | None]:
    """Of every key of a tree that was written above `height` or `base`, the value it had at `height`."""
    values: dict[bytes, bytes | None] = {}
    current: set[bytes] = set()  # not written above `height`: they have their newest value
    for at, history in later(view, min(base, height), head):
        for change in history.changes:
            if change.tree != tree:
                continue
            if at > height:
                # The row nearest to `height` comes last, and holds.
                values.update(zip(change.keys, change.before, strict=True))
            else:
                current.update(change.keys)
    keys = sorted(current - values.keys())
    rows = view.get_many(Family.STATE, [tree + key for key in keys])
    return values | dict(zip(keys, rows, strict=True))


def _decode(row: bytes) -> History:
    try:
        return decode(row, History)
    except Malformed as error:
        raise CorruptStore("a row of the history does not decode") from error
