"""What may happen to the ordering core: a closed union of past facts."""

from __future__ import annotations

from msgspec import Struct

from octra.consensus.epoch import Committee, OrderingParams
from octra.consensus.vertex import EXECUTED, NO_DELTA, Vertex
from octra.primitives import NodeId


class Ticked(Struct, frozen=True):
    """Time passed. Before the first tick the core neither proposes nor fetches, so a replay is silent."""

    now_ms: int  # the wall clock; it may be set back


class VertexReceived(Struct, frozen=True):
    """An admitted vertex came from a peer, or from our own store during a replay (`sender` None)."""

    vertex: Vertex
    sender: NodeId | None


class RangeEnded(Struct, frozen=True):
    """A peer has sent all it will send for a `FetchRange`; vertices went before as `VertexReceived`."""

    sender: NodeId
    to_round: int  # last round that the answer covered completely


class PeerConnected(Struct, frozen=True):
    """A link to a seat of the committee is up (again): what was sent before may be lost."""

    peer: NodeId


class BatchStored(Struct, frozen=True):
    """The bytes of a batch are held; `author` is the one inside the bytes."""

    id: bytes
    author: int
    count: int
    size: int


class BatchChecked(Struct, frozen=True):
    """The static check of a stored batch ended: None, or the index of the first invalid transaction."""

    id: bytes
    invalid_index: int | None


class OwnBatchReady(Struct, frozen=True):
    """An own, stored and checked batch waits for a reference."""

    id: bytes
    count: int
    size: int


class OwnVertexDurable(Struct, frozen=True):
    """The vertex of the last `Propose` is signed and in the sign log: now, and only now, it may be sent."""

    vertex: Vertex


class CoinRevealed(Struct, frozen=True):
    """The combined and verified coin signature of a round; shares of `rejected` seats were bad."""

    round: int
    signature: bytes
    rejected: tuple[int, ...] = ()


class CoinSharesRejected(Struct, frozen=True):
    """Too few of the shares were good: those of `authors` are bad, more are needed."""

    round: int
    authors: tuple[int, ...]


class BeaconRevealed(Struct, frozen=True):
    """The combined and verified signature of the epoch's beacon; shares of `rejected` seats were bad."""

    signature: bytes
    rejected: tuple[int, ...] = ()


class BeaconSharesRejected(Struct, frozen=True):
    """Too few of the beacon shares were good: those of `authors` are bad, more are needed."""

    authors: tuple[int, ...]


class LaterEpochSeen(Struct, frozen=True):
    """A peer speaks in an epoch that we do not know: he can give us what ours still lacks."""

    peer: NodeId


class EpochOpened(Struct, frozen=True):
    """The record of the closed epoch is stored: its committee begins, with an empty DAG. Feed `Executed` next."""

    committee: Committee
    own_seat: int | None
    params: OrderingParams
    resume_round: int = 0  # of the sign log for the new anchor: after a restart it may have begun already


class Executed(Struct, frozen=True):
    """A block is stored; the next own vertex publishes its root. Fed once at start for the head.

    `mode` and `delta_id`: see `vertex.Execution`.
    """

    height: int
    block_id: bytes
    state_root: bytes
    delta_id: bytes = NO_DELTA
    mode: int = EXECUTED


FactOfEpoch = (
    Ticked
    | VertexReceived
    | RangeEnded
    | PeerConnected
    | BatchStored
    | BatchChecked
    | OwnBatchReady
    | OwnVertexDurable
    | CoinRevealed
    | CoinSharesRejected
    | BeaconRevealed
    | BeaconSharesRejected
    | LaterEpochSeen
    | Executed
)
Event = FactOfEpoch | EpochOpened
