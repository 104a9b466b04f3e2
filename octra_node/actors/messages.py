"""What the actors of one node tell each other."""

from __future__ import annotations

from dataclasses import dataclass

from octra.consensus.effects import CommitDraft
from octra.consensus.ledger.transactions import Unchecked
from octra.node.actors.ref import Ask
from octra.primitives import NodeId


@dataclass(frozen=True, slots=True)
class WantBatch:
    """To the mempool: get the bytes of a batch, from this peer if they are not held."""

    id: bytes
    peer: NodeId


@dataclass(frozen=True, slots=True)
class WantCheck:
    """To the mempool: run the static check of a stored batch."""

    id: bytes


@dataclass(frozen=True, slots=True)
class BatchesReferenced:
    """To the mempool: an own vertex names these own batches."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BatchHeld:
    """To the ledger: the bytes of a batch have come."""

    id: bytes


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """To the mempool: bytes that a peer sent for a batch that was wanted."""

    id: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Execute:
    """To the ledger: the next block. `snapshot` is the ordering's own state as of this height, on some heights."""

    draft: CommitDraft
    snapshot: bytes | None


@dataclass(frozen=True, slots=True)
class RootCertified:
    """To ledger and sync: a quorum published equal roots up to this height."""

    height: int


@dataclass(frozen=True, slots=True)
class Committed:
    """From the ledger to all who work on its state: a block is stored."""

    height: int
    epoch: int
    time_ms: int
    transactions: tuple[bytes, ...]  # ids executed in it
    settled: tuple[bytes, ...]  # ids of earlier ones that ended in it
    batches: tuple[bytes, ...]  # ids of the batches it executed
    skipped: tuple[tuple[bytes, tuple[int, str]], ...]  # transactions that could not run: (id, (code, reason))


@dataclass(frozen=True, slots=True)
class EpochBegan:
    """From the ledger: its clock entered an epoch; `close_height` is the last block of the one before."""

    epoch: int
    close_height: int


@dataclass(frozen=True, slots=True)
class SeatsChanged:
    """From the ordering: an epoch opened, and with it another committee (or the same one anew)."""


@dataclass(slots=True, eq=False)
class Submit(Ask[bytes]):
    """To the mempool: a transaction, its encoded item (wire and sidecar) or what was read of it.

    Answered with its id, or the rule it breaks.
    """

    item: bytes | Unchecked
    own: bool = False  # an operation of this node's seat
