"""What the ordering core orders its shell to do: a closed union, performed in tuple order."""

from __future__ import annotations

from msgspec import Struct

from octra.consensus.certificate import Certificate
from octra.consensus.evidence import Evidence
from octra.consensus.fields import U8, U32, U63, Hash32
from octra.consensus.vertex import Vertex, VertexBody, VertexHeader
from octra.primitives import NodeId


class OrderedVertex(Struct, frozen=True, array_like=True, gc=False):
    """A vertex in the agreed order. `void`: a twin of an earlier one, so its content is ignored."""

    id: Hash32
    round: U32
    author: U8
    void: bool


class MaturedBatch(Struct, frozen=True, array_like=True, gc=False):
    """A batch to execute now: referenced, and attested by f + 1 seats, so an honest one checked and holds it."""

    id: Hash32
    author: U8  # who referenced it first in the agreed order
    count: U32
    size: U32


class CommitDraft(Struct, frozen=True, array_like=True):
    """A committed leader and all that it brings into the order: the block before execution. Heights start at 1."""

    height: U63
    leader: Hash32
    leader_author: U8
    leader_round: U32
    time_ms: U63
    coin: Hash32  # of the leader's round
    ordering_id: Hash32  # at every 16th height, else zeros
    vertices: tuple[OrderedVertex, ...]
    batches: tuple[MaturedBatch, ...]
    evidence: tuple[bytes, ...]  # as carried by the vertices, each once; `evidence.judge` decides


class Propose(Struct, frozen=True):
    """Make an own vertex: reserve its round durably, `seal_vertex` with the coin share of `coin_round` (0: none),
    log it, then feed `OwnVertexDurable`. `beacon`: the epoch has closed, so the beacon share goes in, too."""

    header: VertexHeader
    body: VertexBody
    coin_round: int
    beacon: bool = False


class Broadcast(Struct, frozen=True):
    """Send an own vertex to all peers."""

    vertex: Vertex


class SendVertices(Struct, frozen=True):
    """Send vertices to one peer."""

    peer: NodeId
    vertices: tuple[Vertex, ...]


class FetchVertices(Struct, frozen=True):
    """Ask a peer for vertices by id. The core repeats and asks others by itself."""

    peer: NodeId
    ids: tuple[bytes, ...]


class FetchRange(Struct, frozen=True):
    """We lag: ask a peer for all vertices of `from_round` .. `to_round`, in (round, author) order."""

    peer: NodeId
    from_round: int
    to_round: int


class FetchBatch(Struct, frozen=True):
    """Ask a peer for a batch; if our own store holds it, feed `BatchStored` at once instead."""

    peer: NodeId
    id: bytes


class CheckBatch(Struct, frozen=True):
    """Run the static check of a stored batch, then feed `BatchChecked`."""

    id: bytes


class CombineCoin(Struct, frozen=True):
    """Call `coin.reveal` with these shares (seat, bytes) and feed its answer."""

    round: int
    shares: tuple[tuple[int, bytes], ...]


class CombineBeacon(Struct, frozen=True):
    """Call `coin.reveal_beacon` with these shares (seat, bytes) and feed its answer."""

    shares: tuple[tuple[int, bytes], ...]


class CloseEpoch(Struct, frozen=True):
    """The block of this height is the last of its epoch. Nothing of this committee is ordered behind it."""

    height: int


class EpochEnded(Struct, frozen=True):
    """Root and beacon of the closed epoch are certain: make the record, store it, and feed `EpochOpened`."""

    height: int
    certificate: Certificate
    beacon_signature: bytes


class Commit(Struct, frozen=True):
    """Execute the next block. Heights come in order and without gaps; a replay repeats heights already stored."""

    draft: CommitDraft


class Certified(Struct, frozen=True):
    """q seats published roots that agree with our own chain up to this height."""

    height: int


class CertificateReady(Struct, frozen=True):
    """q equal headers were seen: the proof that a light node takes."""

    height: int
    certificate: Certificate


class DeltaCertified(Struct, frozen=True):
    """f + 1 seats executed this height with the same result: apply it instead, unless the own seat has the duty.

    `seats` published it and serve the deltas; `delta_id` names those of the heights just below, too.
    """

    height: int
    delta_id: bytes
    seats: tuple[int, ...]


class DeltaOverdue(Struct, frozen=True):
    """No certain delta came in time for the next height: execute it, whoever has the duty."""

    height: int


class Diverged(Struct, frozen=True):
    """q other seats published another root at this height. Own roots are no longer signed; ordering goes on."""

    height: int


class RecordEvidence(Struct, frozen=True):
    """Keep a proof of misbehaviour."""

    evidence: Evidence


class Prune(Struct, frozen=True):
    """The core dropped everything of rounds <= floor; ordered bytes stay in block storage."""

    floor: int


class Halt(Struct, frozen=True):
    """Stop the node: our own seat signs elsewhere."""

    reason: str


Effect = (
    Propose
    | Broadcast
    | SendVertices
    | FetchVertices
    | FetchRange
    | FetchBatch
    | CheckBatch
    | CombineCoin
    | CombineBeacon
    | Commit
    | CloseEpoch
    | EpochEnded
    | Certified
    | CertificateReady
    | DeltaCertified
    | DeltaOverdue
    | Diverged
    | RecordEvidence
    | Prune
    | Halt
)
