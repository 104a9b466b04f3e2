"""The compiled part of the ledger: plain transfers read, prepared for the signature check and executed; Merkle roots.

`python -m octra.native_build` compiles it in place; wheels bring it. Without it `transactions` and `transfers`, which
are the reference, do the same. What is no plain transfer, or breaks a rule, goes through them in any case.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final

LIBRARY: Final = Path(__file__).parents[1] / "_ledger.so"
ACCOUNT_KEY: Final = 33  # bytes: `keys.account` of an address


@dataclass(frozen=True, slots=True)
class Signed:
    """What remains to be verified of the plain transfers among a batch's items: an argument of `verify_joined`."""

    plain: bytes  # of each item: 1 or 0
    keys: bytes
    signatures: bytes
    messages: bytes
    offsets: array[int]


@dataclass(frozen=True, slots=True)
class Ran:
    """Transfers that succeeded, from one item to the one before `end`."""

    end: int
    ids: list[bytes]
    senders: list[bytes]
    receivers: list[bytes]
    receipts: list[bytes]  # encoded
    tips: int  # units, of all together


def available() -> bool:
    """Was the library built, and not switched off by OCTRA_NO_KERNEL=1?"""
    return os.environ.get("OCTRA_NO_KERNEL") != "1" and _loaded() is not None


def signed_transfers(framed: bytes, chain: bytes, minimum_fee: int) -> Signed:
    """The plain transfers of framed items that keep every static rule but the signature's. Only where `available()`."""
    count = int.from_bytes(framed[:4], "little")
    plain, keys, signatures = (ctypes.create_string_buffer(max(1, size * count)) for size in (1, 32, 64))
    messages = ctypes.create_string_buffer(len(framed) + 16 * count)
    offsets = array("Q", bytes(8 * (count + 1)))
    found = _library().octra_ledger_signed(
        framed, len(framed), chain, minimum_fee, plain, keys, signatures, messages, offsets.buffer_info()[0]
    )
    assert found >= 0, "the framing was checked"
    del offsets[found + 1 :]
    return Signed(
        plain.raw[:count], keys.raw[: 32 * found], signatures.raw[: 64 * found], messages.raw[: offsets[-1]], offsets
    )


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """`octra.crypto.hash.merkle_root`. Only where `available()`."""
    root = ctypes.create_string_buffer(32)
    _library().octra_ledger_merkle(b"".join(leaves), _ends(leaves), len(leaves), root)
    return root.raw


def sum_of_balances(rows: Iterable[bytes | None]) -> int:
    """What these rows of accounts, as far as they exist, hold together. Only where `available()`."""
    joined = b"".join(filter(None, rows))
    words = (ctypes.c_uint64 * 2)()
    known = _library().octra_ledger_balances(joined, len(joined), words)
    assert known, "the ledger itself wrote these rows"
    return words[0] | words[1] << 64


class Accounts:
    """The accounts that the transfers of one block use. Only where `available()`."""

    def __init__(self, *, height: int, epoch: int, required_fee: int, secret: int) -> None:
        """`secret`: 64 bits that nobody knew when the transfers were ordered; they scatter the table."""
        self._library = _library()
        self._handle = self._library.octra_ledger_new(height, epoch, required_fee, secret)
        self._framed = b""  # the library reads it until the next batch

    def __del__(self) -> None:
        self._library.octra_ledger_free(self._handle)

    def take(self, framed: bytes, chain: bytes, minimum_fee: int, operator: bytes) -> list[bytes]:
        """Begin a batch; answers the keys of the accounts that it needs and that are not in the table."""
        self._framed = framed
        missing = self._library.octra_ledger_take(self._handle, framed, len(framed), chain, minimum_fee, operator)
        assert missing >= 0, "the framing was checked"
        keys = ctypes.create_string_buffer(max(1, ACCOUNT_KEY * missing))
        self._library.octra_ledger_missing(self._handle, keys)
        return _pieces(keys.raw, ACCOUNT_KEY, missing)

    def put(self, keys: Sequence[bytes], rows: Sequence[bytes | None]) -> None:
        """What the state holds at these keys of accounts; those that no transfer uses are left out."""
        held = [row or b"" for row in rows]
        self._library.octra_ledger_put(self._handle, len(keys), b"".join(keys), b"".join(held), _ends(held))

    def run(self, start: int, number: int) -> Ran:
        """Execute from item `start` on until one must go the general way; the first receipt has this number."""
        tips, size = ctypes.c_uint64(), ctypes.c_uint64()
        end = self._library.octra_ledger_run(self._handle, start, number, ctypes.byref(tips), ctypes.byref(size))
        count = end - start
        if not count:
            return Ran(end, [], [], [], [], 0)
        ids, parties = ctypes.create_string_buffer(32 * count), ctypes.create_string_buffer(64 * count)
        receipts = ctypes.create_string_buffer(size.value)
        ends = array("I", bytes(4 * count))
        self._library.octra_ledger_reports(self._handle, ids, parties, receipts, ends.buffer_info()[0])
        both = _pieces(parties.raw, 32, 2 * count)
        return Ran(end, _pieces(ids.raw, 32, count), both[::2], both[1::2], _parts(receipts.raw, ends), tips.value)

    def settle(self) -> list[tuple[bytes, bytes]]:
        """Keys and new rows of the accounts that changed since the last call."""
        size = ctypes.c_uint64()
        count = self._library.octra_ledger_settle(self._handle, ctypes.byref(size))
        if not count:
            return []
        keys, rows = ctypes.create_string_buffer(ACCOUNT_KEY * count), ctypes.create_string_buffer(size.value)
        ends = array("I", bytes(4 * count))
        self._library.octra_ledger_changes(self._handle, keys, rows, ends.buffer_info()[0])
        return list(zip(_pieces(keys.raw, ACCOUNT_KEY, count), _parts(rows.raw, ends), strict=True))


def _pieces(joined: bytes, size: int, count: int) -> list[bytes]:
    return [joined[at : at + size] for at in range(0, size * count, size)]


def _parts(joined: bytes, ends: array[int]) -> list[bytes]:
    return [joined[start:end] for start, end in pairwise([0, *ends])]


def _ends(parts: Sequence[bytes]) -> bytes:
    """Where each of the joined parts ends, as the library reads it: u32 of this machine."""
    return array("I", accumulate(map(len, parts))).tobytes()


def _library() -> ctypes.CDLL:
    library = _loaded()
    assert library is not None
    return library


@lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(LIBRARY))
        _declare(library)
    except (OSError, AttributeError):  # not built, or from other sources
        return None
    return library


def _declare(library: ctypes.CDLL) -> None:
    pointer, data, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint64
    told = ctypes.POINTER(ctypes.c_uint64)
    library.octra_ledger_signed.argtypes = [data, size, data, size, data, data, data, data, pointer]
    library.octra_ledger_signed.restype = number
    library.octra_ledger_merkle.argtypes = [data, data, size, data]
    library.octra_ledger_merkle.restype = None
    library.octra_ledger_balances.argtypes = [data, size, told]
    library.octra_ledger_balances.restype = number
    library.octra_ledger_new.argtypes = [size, size, size, size]
    library.octra_ledger_new.restype = pointer
    library.octra_ledger_take.argtypes = [pointer, data, size, data, size, data]
    library.octra_ledger_take.restype = number
    library.octra_ledger_missing.argtypes = [pointer, data]
    library.octra_ledger_put.argtypes = [pointer, size, data, data, data]
    library.octra_ledger_run.argtypes = [pointer, size, size, told, told]
    library.octra_ledger_run.restype = size
    library.octra_ledger_reports.argtypes = [pointer, data, data, data, pointer]
    library.octra_ledger_settle.argtypes = [pointer, told]
    library.octra_ledger_settle.restype = size
    library.octra_ledger_changes.argtypes = [pointer, data, data, pointer]
    for name in ("free", "missing", "put", "reports", "changes"):
        getattr(library, f"octra_ledger_{name}").restype = None
    library.octra_ledger_free.argtypes = [pointer]
