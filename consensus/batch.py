"""The batch: up to 1,000 encoded transactions of one author, read without copying."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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


def batch_id(data: bytes) -> bytes:
    """The name of encoded batch bytes."""
    return H("octra.batch", data)


def make_batch(anchor: bytes, author: int, sequence: int, transactions: Sequence[bytes]) -> bytes:
    """Encoded batch of encoded transactions; raises `InvalidBatch` beyond the limits."""
    if not 1 <= len(transactions) <= limits.BATCH_TX_MAX:
        raise InvalidBatch(f"{len(transactions)} transactions")
    offsets = [0]
    for transaction in transactions:
        offsets.append(offsets[-1] + len(transaction))
    words = b"".join(number.to_bytes(4, "little") for number in (len(transactions), *offsets))
    data = encode(Batch(VERSION, anchor, author, sequence, words + b"".join(transactions)))
    if len(data) > limits.BATCH_BYTES_MAX:
        raise InvalidBatch(f"{len(data)} bytes")
    return data


def admit_batch(data: bytes, committee: Committee) -> Batch:
    """Form only: right committee, author and framing. Raises `Malformed` or `InvalidBatch`.

    Whether each transaction is valid is asked of the ledger's static check, transaction by transaction.
    """
    if len(data) > limits.BATCH_BYTES_MAX:
        raise InvalidBatch(f"{len(data)} bytes")
    batch = decode(data, Batch)
    if batch.version != VERSION:
        raise InvalidBatch(f"version {batch.version}")
    if batch.anchor != committee.anchor:
        raise InvalidBatch("batch of another committee")
    if batch.author >= committee.size:
        raise InvalidBatch(f"no seat {batch.author}")
    split_transactions(batch)
    return batch


def split_transactions(batch: Batch) -> list[memoryview]:
    """The encoded transactions in order, as views into the batch; raises `InvalidBatch` if the framing lies."""
    data = memoryview(batch.transactions)
    if len(data) < 4:
        raise InvalidBatch("no transaction count")
    count = int.from_bytes(data[:4], "little")
    start = 4 + 4 * (count + 1)
    if not 1 <= count <= limits.BATCH_TX_MAX or len(data) < start:
        raise InvalidBatch(f"{count} transactions")
    offsets = [int.from_bytes(data[i : i + 4], "little") for i in range(4, start, 4)]
    if offsets[0] != 0 or offsets[-1] != len(data) - start or any(a >= b for a, b in pairwise(offsets)):
        raise InvalidBatch("offsets")
    return [data[start + a : start + b] for a, b in pairwise(offsets)]
