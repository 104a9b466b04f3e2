"""What the ledger is made from: vertices, batches, commits, receipts, certificates, and the ways to find them.

Nothing is verified here: callers store only what they admitted. Methods that write take the `Batch` to write into,
so that a commit's rows travel together with its state.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from octra.codec import decode, encode
from octra.columns import Column, cut
from octra.errors import Malformed
from octra.storage.errors import CorruptStore
from octra.storage.index import ENTRY, HISTORY, PLACE, Executed, rows_of
from octra.storage.kv import Batch, Family, KeyValue, ReadView, u32, u64

RANGE_VERTICES_MAX: Final = 512  # one answer to a peer that catches up
RANGE_BYTES_MAX: Final = 1 << 20
RECENT_BATCH_BYTES: Final = 8 << 20  # of batches that are checked and executed soon after they were stored
RECENT_BATCHES: Final = 2_048  # of a full committee, one in each vertex of 64 rounds is fewer

_U32_MAX, _U64_MAX = 2**32 - 1, 2**64 - 1


class CertificateKind(IntEnum):
    """What a row of the certificate family is."""

    CHECKPOINT = 1
    EPOCH_RECORD = 2
    CERTIFICATE = 3
    EVIDENCE = 4
    LINK = 5  # a checkpoint with the registered set and the committee that it names


class TxStatus(IntEnum):
    """How an executed transaction ended."""

    OK = 0
    FAILED = 1
    PENDING = 2


class VertexPlace(NamedTuple):
    """Where a vertex stands in the DAG. Places are ordered as sync sends them."""

    epoch: int
    round: int
    author: int
    id: bytes


class VertexRange(NamedTuple):
    """An answer to range sync: vertices in (round, author) order, and where to go on, or `None` at the end."""

    vertices: tuple[tuple[VertexPlace, bytes], ...]
    next: VertexPlace | None


class CommitRow(msgspec.Struct, array_like=True, frozen=True):
    """One height: its header and what it executed, in order."""

    header: bytes
    vertices: tuple[bytes, ...]  # ids in agreed order
    batches: tuple[tuple[bytes, int], ...]  # (id, transaction count) in execution order


class ReceiptRow(msgspec.Struct, array_like=True, frozen=True):
    """All receipts of a height: the index of each transaction, the size of its receipt, and the receipts joined."""

    indices: list[int]
    sizes: list[int]
    joined: bytes


@dataclass(frozen=True, slots=True)
class TxPlace:
    """Where a transaction was executed. `index` counts all transactions of the height's batches, in order."""

    height: int
    index: int
    status: TxStatus


class BlockReader:
    """Finding things, in the store or in one view of it."""

    def __init__(self, view: ReadView) -> None:
        self._view = view

    def vertex(self, vertex_id: bytes) -> bytes | None:
        """Bytes of a vertex."""
        place = self.vertex_place(vertex_id)
        return None if place is None else self._view.get(Family.VERTEX, _vertex_key(place))

    def vertex_place(self, vertex_id: bytes) -> VertexPlace | None:
        """Epoch, round and author of a stored vertex."""
        row = self._view.get(Family.VERTEX_ID, vertex_id)
        return None if row is None else _parse_place(row + vertex_id)

    def vertices(
        self,
        epoch: int,
        first_round: int,
        last_round: int,
        *,
        start: VertexPlace | None = None,
        vertices_max: int = RANGE_VERTICES_MAX,
        bytes_max: int = RANGE_BYTES_MAX,
    ) -> VertexRange:
        """Vertices of some rounds, twins included, until a limit is met; at least one if there is any."""
        lower = u32(epoch) + u32(first_round) if start is None else _vertex_key(start)
        found: list[tuple[VertexPlace, bytes]] = []
        size = 0
        upper = _round_end(epoch, last_round)
        for key, data in self._view.scan(Family.VERTEX, lower, upper, limit=vertices_max + 1):
            place = _parse_place(key)
            if found and (len(found) == vertices_max or size + len(data) > bytes_max):
                return VertexRange(tuple(found), place)
            found.append((place, data))
            size += len(data)
        return VertexRange(tuple(found), None)

    def all_vertices(self, epoch: int, first_round: int = 0) -> Iterator[tuple[VertexPlace, bytes]]:
        """Every stored vertex of an epoch from a round on: the replay at start."""
        lower, upper = u32(epoch) + u32(first_round), _round_end(epoch, _U32_MAX)
        for key, data in self._view.scan(Family.VERTEX, lower, upper, limit=_U64_MAX):
            yield _parse_place(key), data

    def batch(self, batch_id: bytes) -> bytes | None:
        """Bytes of a batch."""
        epoch = self._view.get(Family.BATCH_ID, batch_id)
        return None if epoch is None else self._view.get(Family.BATCH, epoch + batch_id)

    def has_batch(self, batch_id: bytes) -> bool:
        """Whether the bytes of a batch are held, without reading them."""
        return self._view.get(Family.BATCH_ID, batch_id) is not None

    def batch_epoch(self, batch_id: bytes) -> int | None:
        """The epoch whose committee a stored batch was made for."""
        epoch = self._view.get(Family.BATCH_ID, batch_id)
        return None if epoch is None else int.from_bytes(epoch, "big")

    def batches(self, epoch: int) -> Iterator[tuple[bytes, bytes]]:
        """All batches of an epoch, by id."""
        lower = u32(epoch)
        for key, data in self._view.scan(Family.BATCH, lower, _epoch_end(epoch), limit=_U64_MAX):
            yield key[4:], data

    def commit(self, height: int) -> CommitRow | None:
        """The commit of a height."""
        row = self._view.get(Family.COMMIT, u64(height))
        return None if row is None else _decode_commit(row)

    def commits(self, first: int, last: int) -> Iterator[tuple[int, CommitRow]]:
        """Commits of `first..last`, ascending."""
        for key, row in self._view.scan(Family.COMMIT, u64(first), _after(u64(last)), limit=last - first + 1):
            yield int.from_bytes(key, "big"), _decode_commit(row)

    def latest_commits(self, limit: int, *, before: int | None = None) -> Iterator[tuple[int, CommitRow]]:
        """The newest commits first, below height `before` if given."""
        upper = None if before is None else u64(before)
        for key, row in self._view.scan(Family.COMMIT, b"", upper, limit=limit, reverse=True):
            yield int.from_bytes(key, "big"), _decode_commit(row)

    def transaction_place(self, tx_id: bytes) -> TxPlace | None:
        """Where a transaction was executed."""
        row = self._view.get(Family.TX, tx_id)
        if row is None:
            return None
        found, index, status = PLACE.unpack(row)
        return TxPlace(found, index, TxStatus(status))

    def executed(self, tx_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these transactions that a block has executed."""
        rows = self._view.get_many(Family.TX, tx_ids)
        return {tx_id for tx_id, row in zip(tx_ids, rows, strict=True) if row is not None}

    def transaction_batch(self, place: TxPlace) -> tuple[bytes, int] | None:
        """Id of the batch that holds a transaction, and its index in that batch."""
        commit = self.commit(place.height)
        index = place.index
        for batch_id, count in () if commit is None else commit.batches:
            if index < count:
                return batch_id, index
            index -= count
        return None

    def receipt(self, height: int, index: int) -> bytes | None:
        """Bytes of a receipt."""
        return next((receipt for at, receipt in self.receipts(height) if at == index), None)

    def receipts(self, height: int) -> list[tuple[int, bytes]]:
        """All receipts of a height with their indices, in order."""
        row = self._view.get(Family.RECEIPT, u64(height))
        return [] if row is None else _decode_receipts(row)

    def account_transactions(
        self, address: bytes, limit: int, *, before: tuple[int, int] | None = None
    ) -> list[tuple[int, int, bytes]]:
        """(height, index, id) of an account's transactions, newest height first; `before` continues a page."""
        lower = address if before is None else _account_key(address, before[0])
        rows = self._view.scan(Family.ACCOUNT_TX, lower, _after(address), limit=limit + 1)
        entries = ((_height(key), *ENTRY.unpack(entry)) for key, row in rows for entry in cut(row, ENTRY.size))
        if before is not None:
            entries = (entry for entry in entries if entry[0] != before[0] or entry[1] > before[1])
        return list(islice(entries, limit))

    def certificate(self, kind: CertificateKind, epoch: int, height: int) -> bytes | None:
        """A checkpoint, epoch record, certificate or evidence."""
        return self._view.get(Family.CERTIFICATE, bytes([kind]) + u32(epoch) + u64(height))

    def certificates(self, kind: CertificateKind, *, first_epoch: int = 0, limit: int) -> list[tuple[int, int, bytes]]:
        """(epoch, height, bytes) of a kind, oldest first."""
        rows = self._view.scan(Family.CERTIFICATE, bytes([kind]) + u32(first_epoch), bytes([kind + 1]), limit=limit)
        return [_parse_certificate(key, row) for key, row in rows]

    def latest_certificates(self, kind: CertificateKind, limit: int = 1) -> list[tuple[int, int, bytes]]:
        """(epoch, height, bytes) of a kind, newest first."""
        rows = self._view.scan(Family.CERTIFICATE, bytes([kind]), bytes([kind + 1]), limit=limit, reverse=True)
        return [_parse_certificate(key, row) for key, row in rows]


class BlockStore(BlockReader):
    """Adds the rows of new things to a batch, and drops old epochs."""

    def __init__(self, store: KeyValue) -> None:
        super().__init__(store)
        self._store = store
        self._recent: dict[bytes, bytes] = {}  # batches put lately, written or not
        self._recent_size = 0
        self._changing = threading.Lock()

    def batch(self, batch_id: bytes) -> bytes | None:
        """Bytes of a batch, also of one whose rows wait to be written."""
        return self._recent.get(batch_id) or super().batch(batch_id)

    def has_batch(self, batch_id: bytes) -> bool:
        """Whether the bytes of a batch are held, without reading them."""
        return batch_id in self._recent or super().has_batch(batch_id)

    def put_vertex(self, batch: Batch, place: VertexPlace, data: bytes) -> None:
        """Store a vertex; twins of one (author, round) keep separate rows."""
        batch.put(Family.VERTEX, _vertex_key(place), data)
        batch.put(Family.VERTEX_ID, place.id, _vertex_key(place)[:9])

    def put_batch(self, batch: Batch, epoch: int, batch_id: bytes, data: bytes) -> None:
        """Store the bytes of a batch."""
        batch.put(Family.BATCH, u32(epoch) + batch_id, data)
        batch.put(Family.BATCH_ID, batch_id, u32(epoch))
        with self._changing:
            if batch_id not in self._recent:
                self._recent[batch_id] = data
                self._recent_size += len(data)
            while self._recent_size > RECENT_BATCH_BYTES or len(self._recent) > RECENT_BATCHES:
                self._forget(next(iter(self._recent)))

    def put_commit(self, batch: Batch, height: int, commit: CommitRow) -> None:
        """Store what a height consists of."""
        batch.put(Family.COMMIT, u64(height), encode(commit))

    def put_transactions(self, batch: Batch, height: int, executed: Executed) -> None:
        """Store all receipts of a height and make them findable by transaction id, and by the accounts concerned."""
        if not executed.ids:
            return
        receipts = executed.receipts if isinstance(executed.receipts, Column) else Column.of(executed.receipts)
        row = ReceiptRow(list(executed.indices), list(receipts.sizes), bytes(receipts.joined))
        batch.put(Family.RECEIPT, u64(height), encode(row))
        rows = rows_of(height, executed)
        batch.put_many(Family.TX, rows.ids, rows.places, len(rows.ids) * (32 + PLACE.size))
        size = len(rows.histories) * HISTORY.size + len(executed.accounts) // 32 * ENTRY.size
        batch.put_many(Family.ACCOUNT_TX, rows.histories, rows.entries, size)

    def put_place(self, batch: Batch, tx_id: bytes, place: TxPlace) -> None:
        """An executed transaction has ended otherwise than its receipt says."""
        batch.put(Family.TX, tx_id, PLACE.pack(place.height, place.index, place.status))

    def put_certificate(self, batch: Batch, kind: CertificateKind, epoch: int, height: int, data: bytes) -> None:
        """Store a checkpoint, epoch record, certificate or evidence."""
        batch.put(Family.CERTIFICATE, bytes([kind]) + u32(epoch) + u64(height), data)

    def drop_epoch(self, epoch: int, ids_max: int = 20_000) -> bool:
        """Delete vertices and batches of an epoch, a step at a time; true when the epoch is gone."""
        batch = Batch()
        left = ids_max
        for family, index in ((Family.VERTEX, Family.VERTEX_ID), (Family.BATCH, Family.BATCH_ID)):
            rows = list(self._keys(family, epoch, left))
            for key in rows:
                batch.delete(index, key[-32:])
                with self._changing:
                    self._forget(key[-32:])
            if rows:
                batch.delete_range(family, rows[0], _after_key(rows[-1]))
            left -= len(rows)
            if left == 0:
                break
        self._store.write(batch, durable=False)
        return left > 0

    def _forget(self, batch_id: bytes) -> None:
        self._recent_size -= len(self._recent.pop(batch_id, b""))

    def _keys(self, family: Family, epoch: int, limit: int) -> Iterator[bytes]:
        for key, _ in self._store.scan(family, u32(epoch), _epoch_end(epoch), limit=limit):
            yield key


def _vertex_key(place: VertexPlace) -> bytes:
    return u32(place.epoch) + u32(place.round) + bytes([place.author]) + place.id


def _parse_place(key: bytes) -> VertexPlace:
    return VertexPlace(int.from_bytes(key[:4], "big"), int.from_bytes(key[4:8], "big"), key[8], key[9:])


def _parse_certificate(key: bytes, row: bytes) -> tuple[int, int, bytes]:
    return int.from_bytes(key[1:5], "big"), int.from_bytes(key[5:], "big"), row


def _account_key(address: bytes, height: int) -> bytes:
    return HISTORY.pack(address, _U64_MAX - height)


def _height(account_key: bytes) -> int:
    return _U64_MAX - int.from_bytes(account_key[32:], "big")


def _round_end(epoch: int, last_round: int) -> bytes:
    return u32(epoch) + u32(last_round + 1) if last_round < _U32_MAX else _epoch_end(epoch)


def _epoch_end(epoch: int) -> bytes:
    return u32(epoch + 1) if epoch < _U32_MAX else b"\xff" * 5


def _after(fixed: bytes) -> bytes:
    """Above every key that starts with `fixed`: no key part that follows is as long as this."""
    return fixed + b"\xff" * 13


def _after_key(key: bytes) -> bytes:
    return key + b"\0"


def _decode_commit(row: bytes) -> CommitRow:
    try:
        return decode(row, CommitRow)
    except Malformed as error:
        raise CorruptStore("a commit row does not decode") from error


def _decode_receipts(row: bytes) -> list[tuple[int, bytes]]:
    try:
        found = decode(row, ReceiptRow, "receipts")
        return list(zip(found.indices, Column(found.joined, found.sizes).parts(), strict=True))
    except (Malformed, struct.error, ValueError, OverflowError) as error:
        raise CorruptStore("the receipts of a height do not decode") from error
