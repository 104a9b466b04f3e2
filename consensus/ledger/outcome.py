"""What goes into a transition and what comes out of it: values only."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import NamedTuple, overload

from msgspec import Struct

from octra.columns import cut
from octra.consensus.epoch import EpochRecord
from octra.consensus.ledger.receipts import Event, Receipts, Settlement
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.ledger.state import Write
from octra.consensus.ports import CallOutcome


class LedgerBatch(Struct, frozen=True, array_like=True):
    """A matured batch: its items as ordered, best as `Items`. Attestors have verified the signatures."""

    author_seat: int
    transactions: Sequence[bytes]


class SeatFault(Struct, frozen=True, array_like=True):
    """Evidence that vertices carried, judged already: whose fault, and the hash of the proof."""

    seat: int
    proof: bytes
    equivocation: bool = False


class LedgerCommit(Struct, frozen=True, array_like=True):
    """All that the ledger needs of a committed leader."""

    height: int
    leader_round: int
    time_ms: int
    coin: bytes
    batches: tuple[LedgerBatch, ...]
    evidence: tuple[SeatFault, ...] = ()
    opened: EpochRecord | None = None  # in the first block of an epoch, where committees are drawn


class BlockFacts(Struct, frozen=True, array_like=True):
    """What a block header says about the execution."""

    height: int
    epoch: int
    epoch_started: bool
    time_ms: int
    transactions_root: bytes
    receipts_root: bytes
    transaction_count: int


class TransactionEvent(Struct, frozen=True, array_like=True):
    """An event with the transaction that caused it; empty for what the commit itself did."""

    tx: bytes
    event: Event


class Skipped(Struct, frozen=True, array_like=True):
    """A transaction that did not run: no fee, no receipt. `code` explains it to its sender."""

    tx: bytes  # empty when the item does not even decode
    author_seat: int
    code: int
    detail: str


class Place(NamedTuple):
    """Where an executed transaction stood among all items of the commit, and the accounts that it concerns."""

    position: int
    accounts: tuple[bytes, ...]  # sender first, each once; none for an operation of a seat


class Places(Sequence[Place]):
    """The places of a block's receipts, as columns."""

    __slots__ = ("accounts", "counts", "positions")

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.positions = array("I")
        self.counts = array("I")  # of accounts
        self.accounts = bytearray()  # 32 bytes each
        for place in places:
            self.append(place)

    def append(self, place: Place) -> None:
        """One more."""
        self.positions.append(place.position)
        self.counts.append(len(place.accounts))
        self.accounts += b"".join(place.accounts)
        assert len(place.accounts) == 0 or set(map(len, place.accounts)) == {32}

    def extend(self, positions: range, parties: bytes) -> None:
        """Those of transfers. `parties`: sender and receiver of each, joined."""
        assert len(parties) == 64 * len(positions)
        self.positions.extend(positions)
        self.counts.extend(repeat(2, len(positions)))
        self.accounts += parties

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> Place: ...

    @overload
    def __getitem__(self, index: slice) -> list[Place]: ...

    def __getitem__(self, index: int | slice) -> Place | list[Place]:
        return list(self)[index]

    def __iter__(self) -> Iterator[Place]:
        names = iter(cut(self.accounts, 32))
        for position, count in zip(self.positions, self.counts, strict=True):
            yield Place(position, tuple(islice(names, count)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places) and list(self) == list(other)

    def __repr__(self) -> str:
        return f"Places({list(self)})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Values only: the caller stores the writes, computes the roots and keeps the blobs."""

    writes: dict[bytes, bytes | None]  # by ascending key
    circle_writes: dict[bytes, tuple[Write, ...]]
    circle_records: dict[bytes, CircleRecord]  # of the Circles in `circle_writes`, with the roots before this commit
    receipts: Receipts
    places: Places  # of the receipts
    settlements: tuple[Settlement, ...]
    events: tuple[TransactionEvent, ...]
    skipped: tuple[Skipped, ...]
    calls: dict[bytes, CallOutcome]  # by transaction id
    blobs: dict[bytes, bytes]  # content that nodes keep beside the state, by digest
    facts: BlockFacts
    before: Sequence[bytes | None] | None = field(default=None, compare=False)  # what `writes` replace, if it was read
