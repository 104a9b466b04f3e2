"""Blobs: code and files on their way into the state, staged part by part and named by their content."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from octra.consensus.circles import blob_hash
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.errors import InvalidTarget, NotFound
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import BlobRecord, StagedBlob
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transactions import Transaction
from octra.consensus.ports import StateView

PIECE_BYTES: Final = 32_768  # a value of the state holds 64 KiB at most


def put(x: Execution, transaction: Transaction, op: ops.CircleBlobPut) -> None:
    """Stage a part for its sender; the part that completes the content makes the blob."""
    if x.state.get(keys.blob(op.blob)) is not None:
        raise InvalidTarget("the blob is complete")
    staged_key = keys.staged(transaction.sender, op.blob)
    staged = x.state.load(staged_key, StagedBlob) or StagedBlob(x.clock.epoch + x.params.limits.blob_epochs)
    if staged.parts >> op.index & 1:
        raise InvalidTarget("the part was put before")
    if not staged.parts:
        x.state.put(keys.blob_expiry(staged.expires, staged_key), b"")
    staged = replace(staged, parts=staged.parts | 1 << op.index)
    x.state.store(staged_key, staged)
    _write_pieces(x, keys.staged_part(transaction.sender, op.blob, op.index), op.data)
    if staged.parts & (staged.parts + 1):
        return  # a part below is still missing
    count = staged.parts.bit_length()
    content = b"".join(
        _read_pieces(x.state, keys.staged_part(transaction.sender, op.blob, index)) for index in range(count)
    )
    if blob_hash(content) == op.blob:
        _delete_all(x, staged_key)
        x.state.delete(keys.blob_expiry(staged.expires, staged_key))
        _make(x, op.blob, content)


def read_blob(view: StateView, name: bytes) -> bytes | None:
    """The content of a complete blob, or None."""
    return None if view.get(keys.blob(name)) is None else _read_pieces(view, keys.blob_pieces(name))


def read_code(view: StateView, code_hash: bytes) -> bytes | None:
    """The code with this SHA-256, or None: what `CircleView.code` answers."""
    name = view.get(keys.code(code_hash))
    return None if name is None else read_blob(view, name)


def size_of(view: StateView, name: bytes) -> int:
    """Size of a complete blob; raises `NotFound`."""
    record = load(view, keys.blob(name), BlobRecord)
    if record is None:
        raise NotFound("blob")
    return record.size


def use(x: Execution, name: bytes, change: int) -> None:
    """A Circle starts (+1) or stops (-1) using a blob; raises `NotFound`."""
    record = x.state.load(keys.blob(name), BlobRecord)
    if record is None:
        raise NotFound("blob")
    uses = record.uses + change
    expires = record.expires
    if not uses:
        expires = x.clock.epoch + x.params.limits.blob_epochs
        x.state.put(keys.blob_expiry(expires, keys.blob(name)), b"")
    x.state.store(keys.blob(name), BlobRecord(record.size, uses, expires))


def expire(x: Execution) -> None:
    """A new epoch: what nobody used in time is dropped."""
    for key, _ in list(x.state.scan(keys.BLOB_EXPIRY, x.params.limits.due_per_commit)):
        epoch, subject = int.from_bytes(key[1:9], "big"), key[9:]
        if epoch >= x.clock.epoch:
            return
        x.state.delete(key)
        if subject[:1] == keys.STAGED:
            _delete_all(x, subject)
        else:
            _drop_unused(x, subject[1:], epoch)


def _make(x: Execution, name: bytes, content: bytes) -> None:
    expires = x.clock.epoch + x.params.limits.blob_epochs
    x.state.store(keys.blob(name), BlobRecord(len(content), 0, expires))
    x.state.put(keys.blob_expiry(expires, keys.blob(name)), b"")
    x.state.put(keys.code(sha256(content).digest()), name)
    _write_pieces(x, keys.blob_pieces(name), content)


def _drop_unused(x: Execution, name: bytes, epoch: int) -> None:
    record = x.state.load(keys.blob(name), BlobRecord)
    if record is None or record.uses or record.expires != epoch:
        return
    content = read_blob(x.state, name)
    assert content is not None
    x.state.delete(keys.code(sha256(content).digest()))
    _delete_all(x, keys.blob_pieces(name))
    x.state.delete(keys.blob(name))


def _write_pieces(x: Execution, prefix: bytes, data: bytes) -> None:
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        x.state.put(prefix + bytes([number]), data[start : start + PIECE_BYTES])


def _read_pieces(view: StateView, prefix: bytes) -> bytes:
    return b"".join(value for _, value in view.scan(prefix, 256))


def _delete_all(x: Execution, prefix: bytes) -> None:
    for key, _ in list(x.state.scan(prefix, 1_024)):
        x.state.delete(key)
