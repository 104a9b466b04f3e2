"""What a commit reports: receipts, later settlements, events; their root enters the state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, overload

from msgspec import Struct
from msgspec.structs import replace

from octra.codec import decoder_of, encode
from octra.columns import Column
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
    """The receipts of a block, kept as they are stored: encoded, and decoded again when somebody looks at one.

    Those that did not simply succeed stay decoded beside it: they are few, may change, and have texts for people.
    """

    __slots__ = ("_changed", "_encoded", "_others", "ids")

    def __init__(self, receipts: Iterable[Receipt] = ()) -> None:
        self.ids: list[bytes] = []  # of the transactions
        self._encoded = Column()
        self._others: dict[int, Receipt] = {}
        self._changed: set[int] = set()  # of them those whose encoding is an old one
        for receipt in receipts:
            self.append(receipt)

    def append(self, receipt: Receipt) -> None:
        """One more."""
        if receipt.status != OK or receipt.detail:
            self._others[len(self)] = receipt
        self.ids.append(receipt.tx)
        self._encoded.append(encode(receipt))

    def extend(self, ids: Sequence[bytes], encoded: Column) -> None:
        """Several more that succeeded, encoded already and without texts."""
        self.ids += ids
        self._encoded.extend(encoded)

    def change(self, index: int, receipt: Receipt) -> None:
        """The receipt of this transaction is another one."""
        assert receipt.tx == self.ids[index]
        self._others[index] = receipt
        self._changed.add(index)

    @property
    def encoded(self) -> Column:
        """The receipts as they are stored."""
        if self._changed:
            self._encoded = _replaced(self._encoded, {index: encode(self._others[index]) for index in self._changed})
            self._changed.clear()
        return self._encoded

    def compared(self) -> Column:
        """What validators compare: the encodings without the texts for people."""
        texts = {index: receipt for index, receipt in self._others.items() if receipt.detail}
        if not texts:
            return self.encoded
        return _replaced(self.encoded, {at: encode(replace(receipt, detail="")) for at, receipt in texts.items()})

    def statuses(self) -> dict[int, str]:
        """How those ended that are not OK, by index."""
        return {index: receipt.status for index, receipt in self._others.items() if receipt.status != OK}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Receipt: ...

    @overload
    def __getitem__(self, index: slice) -> list[Receipt]: ...

    def __getitem__(self, index: int | slice) -> Receipt | list[Receipt]:
        if isinstance(index, slice):
            return list(self)[index]
        at = range(len(self))[index]
        return self._others[at] if at in self._others else decoder_of(Receipt).decode(self.encoded[at])

    def __iter__(self) -> Iterator[Receipt]:
        return map(decoder_of(Receipt).decode, self.encoded)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipts) and self.encoded == other.encoded

    def __repr__(self) -> str:
        return f"Receipts({list(self)})"


def _replaced(column: Column, others: Mapping[int, bytes]) -> Column:
    parts = list(column)
    for index, data in others.items():
        parts[index] = data
    return Column.of(parts)


def ledger_event(topic: str, *fields: object) -> Event:
    """An event of the ledger itself; `fields` become one MessagePack array."""
    return Event(LEDGER, topic.encode(), encode(list(fields)))


def events_root(events: Sequence[Event]) -> bytes:
    """Root over the events of one transaction."""
    return merkle_root([encode(event) for event in events])


def transactions_root(receipts: Receipts) -> bytes:
    """Root over the ids of a block's transactions."""
    return _root(Column.of(receipts.ids))


def receipts_root(receipts: Receipts, settlements: Sequence[Settlement]) -> bytes:
    """Root over what a commit reports, receipts first, without the texts for people."""
    leaves = receipts.compared()
    if settlements:
        leaves = Column.of([*leaves, *map(encode, settlements)])
    return _root(leaves)


def _root(leaves: Column) -> bytes:
    return native.merkle_root(leaves) if native.available() else merkle_root(leaves.parts())


def outcome_hash(outcome: Struct) -> bytes:
    """Hash of everything that validators compare about a Circle call."""
    return H("octra.outcome", encode(outcome))
