"""The batch: up to 1,000 encoded transactions of one author, read without copying."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from operator import ge
from typing import overload

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.epoch import Committee
from octra.consensus.errors import InvalidBatch
from octra.consensus.fields import U8, U32, Hash32
from octra.crypto.hash import H

VERSION = 1


class Batch(Struct, frozen=True, array_like=True):
    """`transactions` = u32le count, u32le offsets[count + 1] from the first transaction, joined encodings."""

    version: U8
    anchor: Hash32
    author: U8
    sequence: U32
    transactions: bytes


class Items(Sequence[bytes]):
    """The encoded transactions of a batch, copied out of its framing one by one when they are asked for."""

    __slots__ = ("_ends", "framed")

    def __init__(self, framed: bytes) -> None:
        """`framed`: as in `Batch.transactions`. Raises `InvalidBatch` if the framing lies."""
        self.framed = framed
        if len(framed) < 4:
            raise InvalidBatch("no transaction count")
        count = int.from_bytes(framed[:4], "little")
        start = 4 + 4 * (count + 1)
        if not 1 <= count <= limits.BATCH_TX_MAX or len(framed) < start:
            raise InvalidBatch(f"{count} transactions")
        self._ends = _words(framed[4:start])  # from the first transaction on; before it: 0
        if self._ends[0] != 0 or self._ends[-1] != len(framed) - start or any(map(ge, self._ends, self._ends[1:])):
            raise InvalidBatch("offsets")

    @property
    def ends(self) -> array[int]:
        """Where each transaction ends among them all."""
        return self._ends[1:]

    @property
    def joined(self) -> bytes:
        """The transactions without their framing."""
        return self.framed[4 * (len(self) + 2) :]

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        start = 4 * (len(self) + 2)
        return self.framed[start + self._ends[at] : start + self._ends[at + 1]]

    def __iter__(self) -> Iterator[bytes]:
        framed, start = self.framed, 4 * (len(self) + 2)
        return (framed[start + one : start + other] for one, other in pairwise(self._ends))


def batch_id(data: bytes) -> bytes:
    """The name of encoded batch bytes."""
    return H("octra.batch", data)


def make_batch(anchor: bytes, author: int, sequence: int, transactions: Sequence[bytes]) -> bytes:
    """Encoded batch of encoded transactions; raises `InvalidBatch` beyond the limits."""
    if not 1 <= len(transactions) <= limits.BATCH_TX_MAX:
        raise InvalidBatch(f"{len(transactions)} transactions")
    data = encode(Batch(VERSION, anchor, author, sequence, frame(transactions)))
    if len(data) > limits.BATCH_BYTES_MAX:
        raise InvalidBatch(f"{len(data)} bytes")
    return data


def admit_batch(data: bytes, committee: Committee) -> Batch:
    """Form only: right committee, author and framing. Raises `Malformed` or `InvalidBatch`.

    Whether each transaction is valid is asked of the ledger's static check, transaction by transaction.
    """
    batch, _ = admit_items(data, committee)
    return batch


def admit_items(data: bytes, committee: Committee) -> tuple[Batch, Items]:
    """`admit_batch`, and its transactions: their framing has been read anyway."""
    if len(data) > limits.BATCH_BYTES_MAX:
        raise InvalidBatch(f"{len(data)} bytes")
    batch = decode(data, Batch)
    if batch.version != VERSION:
        raise InvalidBatch(f"version {batch.version}")
    if batch.anchor != committee.anchor:
        raise InvalidBatch("batch of another committee")
    if batch.author >= committee.size:
        raise InvalidBatch(f"no seat {batch.author}")
    return batch, items_of(batch)


def items_of(batch: Batch) -> Items:
    """The encoded transactions in order; raises `InvalidBatch` if the framing lies."""
    return Items(batch.transactions)


def frame(transactions: Sequence[bytes]) -> bytes:
    """Joined transactions behind their count and offsets, as they stand in a batch."""
    words = array("I", [len(transactions), *accumulate(map(len, transactions), initial=0)])
    return _bytes(words) + b"".join(transactions)


def joined_frame(batches: Sequence[Items]) -> bytes:
    """`frame` of the transactions of all `batches`, without cutting them out."""
    if len(batches) == 1:
        return batches[0].framed
    words, size = array("I", [sum(map(len, batches)), 0]), 0
    for items in batches:
        words.extend([size + end for end in items.ends])
        size = words[-1]
    return b"".join([_bytes(words), *[items.joined for items in batches]])


def _bytes(words: array[int]) -> bytes:
    if sys.byteorder == "big":
        words = words[:]
        words.byteswap()
    return words.tobytes()


def _words(data: bytes) -> array[int]:
    words = array("I", data)
    if sys.byteorder == "big":
        words.byteswap()
    return words
