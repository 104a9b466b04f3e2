"""What a commit reports: receipts, later settlements, events; their root enters the state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

from msgspec import Struct
from msgspec.structs import replace

from octra.codec import decoder_of, encode
from octra.consensus.ledger import native
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


class Receipts(Sequence[Receipt]):
    """The receipts of a block, kept as they are stored: encoded, and decoded again when somebody looks at one."""

    __slots__ = ("_compared", "encoded", "ids")

    def __init__(self, receipts: Iterable[Receipt] = ()) -> None:
        self.ids: list[bytes] = []  # of the transactions
        self.encoded: list[bytes] = []
        self._compared: dict[int, bytes] = {}  # of those with a text for people: the encoding without it
        for receipt in receipts:
            self.append(receipt)

    def append(self, receipt: Receipt) -> None:
        """One more."""
        self.ids.append(receipt.tx)
        self.encoded.append(b"")
        self.change(len(self) - 1, receipt)

    def extend(self, ids: Sequence[bytes], encoded: Sequence[bytes]) -> None:
        """Several more, encoded already and without texts."""
        self.ids += ids
        self.encoded += encoded

    def change(self, index: int, receipt: Receipt) -> None:
        """The receipt of this transaction is another one."""
        assert receipt.tx == self.ids[index]
        self.encoded[index] = encode(receipt)
        self._compared.pop(index, None)
        if receipt.detail:
            self._compared[index] = encode(replace(receipt, detail=""))

    def compared(self) -> list[bytes]:
        """What validators compare: the encodings without the texts for people."""
        compared = self._compared
        return [compared.get(i, data) for i, data in enumerate(self.encoded)] if compared else self.encoded

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...

    @overload
    def __getitem__(self, index: slice) -> list[Receipt]: ...

    def __getitem__(self, index: int | slice) -> Receipt | list[Receipt]:
        read = decoder_of(Receipt).decode
        return list(map(read, self.encoded[index])) if isinstance(index, slice) else read(self.encoded[index])

    def __iter__(self) -> Iterator[Receipt]:
        return map(decoder_of(Receipt).decode, self.encoded)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipts) and self.encoded == other.encoded

    def __repr__(self) -> str:
        return f"Receipts({list(self)})"


def ledger_event(topic: str, *fields: object) -> Event:
    """An event of the ledger itself; `fields` become one MessagePack array."""
    return Event(LEDGER, topic.encode(), encode(list(fields)))


def events_root(events: Sequence[Event]) -> bytes:
    """Root over the events of one transaction."""
    return merkle_root([encode(event) for event in events])


def transactions_root(receipts: Receipts) -> bytes:
    """Root over the ids of a block's transactions."""
    return _root(receipts.ids)


def receipts_root(receipts: Receipts, settlements: Sequence[Settlement]) -> bytes:
    """Root over what a commit reports, receipts first, without the texts for people."""
    return _root([*receipts.compared(), *map(encode, settlements)])


def _root(leaves: Sequence[bytes]) -> bytes:
    return native.merkle_root(leaves) if native.available() else merkle_root(leaves)


def outcome_hash(outcome: Struct) -> bytes:
    """Hash of everything that validators compare about a Circle call."""
    return H("octra.outcome", encode(outcome))
