"""The key-value layer that everything durable stands on: families of sorted rows and atomic batches over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Final, NamedTuple, Protocol

BATCH_BYTES_MAX = 64 << 20  # batch and fuel limits keep one commit well below this
SCAN_PAGE_ROWS = 1_000  # a scan holds no iterator between pages, so a forgotten one cannot keep the lock file
SCAN_PAGE_BYTES = 4 << 20


class Family(Enum):
    """A sorted map of its own inside the one database. Integers in keys are big-endian."""

    META = "meta"  # format, chain, head, signer, oldest, flushed, pin/<name>
    VERTEX = "vertex"  # epoch u32, round u32, author u8, id 32 -> vertex bytes
    VERTEX_ID = "vertex_id"  # id 32 -> epoch, round, author
    BATCH = "batch"  # epoch u32, id 32 -> batch bytes
    BATCH_ID = "batch_id"  # id 32 -> epoch u32
    COMMIT = "commit"  # height u64 -> CommitRow
    TX = "tx"  # tx id 32 -> height u64, index u32, status u8
    RECEIPT = "receipt"  # height u64 -> ReceiptRow
    ACCOUNT_TX = "account_tx"  # address 32, ~height u64 -> index u32 and tx id 32 of each
    SETTLEMENT = "settlement"  # tx id 32 -> how a pending transaction ended
    BLOB = "blob"  # digest 32 -> ciphertext or sealed dealing, kept beside the state that names it
    CERTIFICATE = "certificate"  # kind u8, epoch u32, height u64 -> bytes
    STATE = "state"  # tree 32, raw key -> latest value
    LEAF = "leaf"  # tree 32, path 32 -> raw key: the keys of each tree in the order of its leaves
    NODE = "node"  # tree 32, bit u8, common path -> children of a branch, at the last flushed height
    ROOT = "root"  # tree 32 -> link of its root, at the last flushed height; no row for an empty tree
    HISTORY = "history"  # height u64 -> its state root, and what its writes replaced


# Large values that are written once: kept in blob files, so that compaction does not copy them again and again.
BLOB_FAMILIES: Final = frozenset(
    {Family.VERTEX, Family.BATCH, Family.RECEIPT, Family.BLOB, Family.STATE, Family.HISTORY}
)

# Keys drawn by chance, rows that are hardly ever replaced: each file of such a family spans all of it.
SCATTERED_FAMILIES: Final = frozenset({Family.TX, Family.ACCOUNT_TX})

Row = tuple[bytes, bytes]


class Puts(NamedTuple):
    """Set rows of a family: as many keys as values."""

    family: Family
    keys: Sequence[bytes]
    values: Sequence[bytes]


class Delete(NamedTuple):
    """Remove a row; an absent one is fine."""

    family: Family
    key: bytes


class DeleteRange(NamedTuple):
    """Remove all rows with `lower <= key < upper`."""

    family: Family
    lower: bytes
    upper: bytes


class Batch:
    """Changes that become visible, and survive a crash, all together or not at all. Later ones win."""

    __slots__ = ("changes", "size")

    def __init__(self) -> None:
        self.changes: list[Puts | Delete | DeleteRange] = []
        self.size = 0  # bytes of keys and values

    def put(self, family: Family, key: bytes, value: bytes) -> None:
        """Set a row."""
        self.changes.append(Puts(family, (key,), (value,)))
        self.size += len(key) + len(value)

    def put_many(self, family: Family, keys: Sequence[bytes], values: Sequence[bytes], size: int) -> None:
        """Set many rows of one family, `size` bytes in all; in the order of their keys they are written fastest."""
        assert len(keys) == len(values)
        self.changes.append(Puts(family, keys, values))
        self.size += size

    def delete(self, family: Family, key: bytes) -> None:
        """Remove a row; an absent one is fine."""
        self.changes.append(Delete(family, key))
        self.size += len(key)

    def delete_range(self, family: Family, lower: bytes, upper: bytes) -> None:
        """Remove all rows with `lower <= key < upper`."""
        assert lower <= upper
        self.changes.append(DeleteRange(family, lower, upper))
        self.size += len(lower) + len(upper)

    def extend(self, other: Batch) -> None:
        """Append the changes of `other` after the own ones."""
        self.changes += other.changes
        self.size += other.size

    def __bool__(self) -> bool:
        return bool(self.changes)


class ReadView(Protocol):
    """Reading. From `KeyValue.view()` every answer is of one instant."""

    def get(self, family: Family, key: bytes) -> bytes | None: ...
    def get_many(self, family: Family, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(
        self, family: Family, lower: bytes, upper: bytes | None, *, limit: int, reverse: bool = False
    ) -> Iterator[Row]:
        """At most `limit` rows with `lower <= key < upper`, in key order; `None` is the end of the family."""
        ...


class KeyValue(ReadView, Protocol):
    """The database of a node."""

    def write(self, batch: Batch, *, durable: bool) -> None:
        """Apply atomically over all families; `durable` returns only after the disk has it and all before it."""
        ...

    def view(self) -> AbstractContextManager[ReadView]:
        """Reading at one instant, over all families."""
        ...

    def close(self) -> None:
        """Give the files free. Views that are still open become unusable."""
        ...


def prefix_end(prefix: bytes) -> bytes | None:
    """The smallest key above all keys with this prefix; `None` when there is no such key."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def u32(value: int) -> bytes:
    """Big-endian, so that byte order is number order."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Big-endian, so that byte order is number order."""
    return value.to_bytes(8, "big")
