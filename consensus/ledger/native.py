"""The compiled part of the ledger: plain transfers read, prepared for the signature check and executed; Merkle roots.

`python -m octra.native_build` compiles it in place; wheels bring it. Without it `transactions` and `transfers`, which
are the reference, do the same. What is no plain transfer, or breaks a rule, goes through them in any case.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from octra.columns import Column, cut
from octra.compiled import Compiled, Room

ACCOUNT_KEY: Final = 33  # bytes: `keys.account` of an address
_Words: Final = ctypes.c_uint64 * 2


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
    ids: bytes  # 32 of each
    parties: bytes  # sender and receiver of each: 64
    receipts: Column  # encoded


@dataclass(frozen=True, slots=True)
class Settled:
    """What executed transfers have changed."""

    keys: tuple[bytes, ...]  # of accounts, ascending
    rows: tuple[bytes, ...]
    tips: array[int]  # units, of each batch


def signed_transfers(framed: bytes, chain: bytes, minimum_fee: int) -> Signed:
    """The plain transfers of framed items that keep every static rule but the signature's. Only where `available()`."""
    count = int.from_bytes(framed[:4], "little")
    plain, keys, signatures = Room(count), Room(32 * count), Room(64 * count)
    messages = Room(len(framed) + 16 * count)
    offsets = array("Q", bytes(8 * (count + 1)))
    found = _COMPILED.library.octra_ledger_signed(
        framed, len(framed), chain, minimum_fee, plain, keys, signatures, messages, offsets.buffer_info()[0]
    )
    assert found >= 0, "the framing was checked"
    del offsets[found + 1 :]
    return Signed(
        plain.first(count),
        keys.first(32 * found),
        signatures.first(64 * found),
        messages.first(offsets[-1]),
        offsets,
    )


def merkle_root(leaves: Column) -> bytes:
    """`octra.crypto.hash.merkle_root`. Only where `available()`."""
    root = Room(32)
    _COMPILED.library.octra_ledger_root(bytes(leaves.joined), leaves.sizes.buffer_info()[0], len(leaves), root)
    return root.first(32)


def address_of(key: bytes, *, portable: bool) -> bytes:
    """`octra.primitives.address_of`; if `portable`, as on a processor that has no instructions for it."""
    address = Room(32)
    _COMPILED.library.octra_ledger_address(key, portable, address)
    return address.first(32)


def sum_of_balances(rows: Iterable[bytes | None]) -> int:
    """What these rows of accounts, as far as they exist, hold together. Only where `available()`."""
    joined = b"".join(filter(None, rows))
    words = _Words()
    known = _COMPILED.library.octra_ledger_balances(joined, len(joined), words)
    assert known, "the ledger itself wrote these rows"
    return words[0] | words[1] << 64


class Accounts:
    """The accounts that the transfers of one block use. Only where `available()`.

    First all batches are taken and the rows of their accounts put; items are numbered through all batches.
    """

    def __init__(self, *, height: int, epoch: int, required_fee: int, secret: int) -> None:
        """`secret`: 64 bits that nobody knew when the transfers were ordered; they scatter the table."""
        self._library = _COMPILED.library
        self._handle = self._library.octra_ledger_new(height, epoch, required_fee, secret)
        self._taken: list[bytes] = []  # the library reads them

    def __del__(self) -> None:
        self._library.octra_ledger_free(self._handle)

    def take(self, framed: bytes, chain: bytes, minimum_fee: int, operator: bytes) -> None:
        """Take the next batch. `operator`: the account that gets its tips."""
        self._taken.append(framed)
        known = self._library.octra_ledger_add(self._handle, framed, len(framed), chain, minimum_fee, operator)
        assert known, "the framing was checked"

    def needed(self) -> tuple[bytes, ...]:
        """The keys of the accounts that the batches need: what the state holds there must be put."""
        keys = Room(ACCOUNT_KEY * self._library.octra_ledger_needed(self._handle, None))
        count = self._library.octra_ledger_needed(self._handle, keys)
        return cut(keys.first(ACCOUNT_KEY * count), ACCOUNT_KEY)

    def put(self, keys: Sequence[bytes], rows: Sequence[bytes | None]) -> None:
        """What the state holds at these keys of accounts; those that no transfer uses are left out."""
        held = Column.of([row or b"" for row in rows])
        sizes = held.sizes.buffer_info()[0]
        self._library.octra_ledger_load(self._handle, len(keys), b"".join(keys), bytes(held.joined), sizes)

    def run(self, start: int, number: int) -> Ran:
        """Execute from item `start` on until one must go the general way; the first receipt has this number."""
        size = ctypes.c_uint64()
        end = self._library.octra_ledger_execute(self._handle, start, number, ctypes.byref(size))
        count = end - start
        if not count:
            return Ran(end, b"", b"", Column())
        ids, parties, receipts = Room(32 * count), Room(64 * count), Room(size.value)
        sizes = array("I", bytes(4 * count))
        self._library.octra_ledger_report(self._handle, ids, parties, receipts, sizes.buffer_info()[0])
        return Ran(end, ids.first(32 * count), parties.first(64 * count), Column(receipts.first(size.value), sizes))

    def settle(self) -> Settled:
        """What changed since the last call."""
        size = ctypes.c_uint64()
        count = self._library.octra_ledger_settle(self._handle, ctypes.byref(size))
        keys, rows = Room(ACCOUNT_KEY * count), Room(size.value)
        sizes, tips = array("I", bytes(4 * count)), array("Q", bytes(8 * len(self._taken)))
        addresses = sizes.buffer_info()[0], tips.buffer_info()[0]
        self._library.octra_ledger_settled(self._handle, keys, rows, *addresses)
        return Settled(
            cut(keys.first(ACCOUNT_KEY * count), ACCOUNT_KEY), Column(rows.first(size.value), sizes).parts(), tips
        )


def _declare(library: ctypes.CDLL) -> None:
    pointer, data, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint64
    told = ctypes.POINTER(ctypes.c_uint64)
    library.octra_ledger_signed.argtypes = [data, size, data, size, data, data, data, data, pointer]
    library.octra_ledger_signed.restype = number
    library.octra_ledger_root.argtypes = [data, pointer, size, data]
    library.octra_ledger_root.restype = None
    library.octra_ledger_address.argtypes = [data, number, data]
    library.octra_ledger_address.restype = None
    library.octra_ledger_balances.argtypes = [data, size, told]
    library.octra_ledger_balances.restype = number
    library.octra_ledger_new.argtypes = [size, size, size, size]
    library.octra_ledger_new.restype = pointer
    library.octra_ledger_add.argtypes = [pointer, data, size, data, size, data]
    library.octra_ledger_add.restype = number
    library.octra_ledger_needed.argtypes = [pointer, data]
    library.octra_ledger_needed.restype = size
    library.octra_ledger_load.argtypes = [pointer, size, data, data, pointer]
    library.octra_ledger_execute.argtypes = [pointer, size, size, told]
    library.octra_ledger_execute.restype = size
    library.octra_ledger_report.argtypes = [pointer, data, data, data, pointer]
    library.octra_ledger_settle.argtypes = [pointer, told]
    library.octra_ledger_settle.restype = size
    library.octra_ledger_settled.argtypes = [pointer, data, data, pointer, pointer]
    library.octra_ledger_free.argtypes = [pointer]
    for name in ("free", "load", "report", "settled"):
        getattr(library, f"octra_ledger_{name}").restype = None


_COMPILED: Final = Compiled(Path(__file__).parents[1] / "_ledger.so", _declare)
available = _COMPILED.available
