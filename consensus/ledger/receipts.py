"""What a commit reports: receipts, later settlements, events; their root enters the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octra.codec import encode
from octra.crypto.hash import H, merkle_root

OK: Final = "ok"
FAILED: Final = "failed"
PENDING: Final = "pending"
LEDGER: Final = b""  # source of the ledger's own events


class Event(Struct, frozen=True, array_like=True):
    """Something that happened: `source` is a Circle's 33 bytes, or empty for the ledger itself."""

    source: bytes
    topic: bytes
    data: bytes


class Receipt(Struct, frozen=True, array_like=True):
    """The outcome of one executed transaction. A `pending` one is followed by one `Settlement`."""

    tx: bytes
    height: int
    index: int
    status: str
    code: int  # 0, or the row of the catalogue that explains the failure
    detail: str  # one line for people, which no validator compares; holds no secret and no plaintext
    fee_charged: int
    gas: int = 0
    jobs: tuple[bytes, ...] = ()
    result: bytes = b""  # of a Circle call: hash of its whole outcome
    events_root: bytes = bytes(32)


class Settlement(Struct, frozen=True, array_like=True):
    """The end of a pending transaction: all its encrypted work is done, or has fallen back."""

    tx: bytes
    height: int
    status: str
    code: int
    refunded: int


def ledger_event(topic: str, *fields: object) -> Event:
    """An event of the ledger itself; `fields` become one MessagePack array."""
    return Event(LEDGER, topic.encode(), encode(list(fields)))


def events_root(events: Sequence[Event]) -> bytes:
    """Root over the events of one transaction."""
    return merkle_root([encode(event) for event in events])


def receipts_root(receipts: Sequence[Receipt], settlements: Sequence[Settlement]) -> bytes:
    """Root over what a commit reports, receipts first, without the texts for people."""
    plain = [replace(receipt, detail="") if receipt.detail else receipt for receipt in receipts]
    return merkle_root([encode(item) for item in (*plain, *settlements)])


def outcome_hash(outcome: Struct) -> bytes:
    """Hash of everything that validators compare about a Circle call."""
    return H("octra.outcome", encode(outcome))
