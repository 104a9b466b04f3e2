"""The messages that actors of different nodes exchange, and their bodies."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from octra.consensus.fields import Hash32
from octra.consensus.light import Link


class OrderingMessage(IntEnum):
    """To the ordering actor."""

    VERTICES = 2  # tell: VertexList
    FETCH_VERTICES = 3  # tell: IdList; answered by VERTICES
    FETCH_RANGE = 4  # ask: RangeRequest -> RangeAnswer
    FETCH_EPOCH_RANGE = 5  # ask: EpochRangeRequest -> RangeAnswer; where each epoch has an order of its own


class MempoolMessage(IntEnum):
    """To the mempool."""

    BATCH = 2  # tell: bytes of a batch, from its author
    FETCH_BATCH = 3  # ask: id -> bytes of the batch
    TRANSACTIONS = 4  # tell: transactions on their way to an author, TransactionList


class LedgerMessage(IntEnum):
    """To the ledger."""

    FETCH_DELTA = 2  # ask: DeltaRequest -> DeltaPart; NOT_FOUND where it is not kept


class EvaluatorMessage(IntEnum):
    """To the evaluator."""

    FETCH_CIPHERTEXT = 2  # ask: digest -> bytes


class SyncMessage(IntEnum):
    """To the sync actor: what light nodes and checkpoints need."""

    CHECKPOINT_VOTE = 2  # tell: CheckpointVote
    LATEST = 3  # ask: empty -> LatestAnswer
    PROVE = 4  # ask: ProofRequest -> a proof document in JSON (docs/spec/proofs.md)
    SUBMIT = 5  # ask: wire bytes of a transaction -> its id
    VALIDATOR_VOTE = 6  # tell: ValidatorVote, where committees are drawn


class SnapshotMessage(IntEnum):
    """To the storage actor: what a node needs that starts from the state of a checkpoint. On the bulk lane."""

    OFFER = 2  # ask: empty -> a signed manifest, the newest one
    CHUNK = 3  # ask: ChunkRequest -> a chunk as it is stored
    LINKS = 4  # ask: LinksRequest -> LinkList
    LINK = 5  # ask: id of a checkpoint -> Link


class VertexList(Struct, frozen=True, array_like=True):
    """Sealed vertices, in the order in which the sender inserted them."""

    frames: tuple[bytes, ...]


class IdList(Struct, frozen=True, array_like=True):
    """Hashes of things that the sender wants."""

    ids: tuple[bytes, ...]


class RangeRequest(Struct, frozen=True, array_like=True):
    """All vertices of some rounds."""

    from_round: int
    to_round: int


class EpochRangeRequest(Struct, frozen=True, array_like=True):
    """All vertices of some rounds of an epoch."""

    epoch: int
    from_round: int
    to_round: int


class RangeAnswer(Struct, frozen=True, array_like=True):
    """Vertices in (round, author) order, complete up to and with `to_round`."""

    frames: tuple[bytes, ...]
    to_round: int


class TransactionList(Struct, frozen=True, array_like=True):
    """Encoded transactions."""

    items: tuple[bytes, ...]


class DeltaRequest(Struct, frozen=True, array_like=True):
    """Bytes from `offset` on of the delta of `height`, which belongs to the run that was published for `top`."""

    top: int
    height: int
    offset: int


class DeltaPart(Struct, frozen=True, array_like=True):
    """Ids of all deltas of the run, oldest first, and a part of the `size` bytes of the one asked for."""

    ids: tuple[Hash32, ...]
    size: int
    data: bytes


class CheckpointVote(Struct, frozen=True, array_like=True):
    """A validator's signature over a checkpoint body."""

    body: bytes
    seat: int
    signature: bytes


class ValidatorVote(Struct, frozen=True, array_like=True):
    """A registered validator's signature over the checkpoint body of an epoch's close."""

    body: bytes
    node: bytes
    signature: bytes


class LatestAnswer(Struct, frozen=True, array_like=True):
    """The newest block that a quorum certified, with what proves it; and the newest checkpoint, if there is one."""

    header: bytes
    certificate: bytes
    checkpoint: bytes = b""


class ProofRequest(Struct, frozen=True, array_like=True):
    """Prove a thing by its kind and printed name."""

    kind: str
    name: str


class ChunkRequest(Struct, frozen=True, array_like=True):
    """A chunk of the snapshot of a height."""

    height: int
    index: int


class LinksRequest(Struct, frozen=True, array_like=True):
    """Links that lead from a registered set to the checkpoint of an epoch."""

    root: bytes  # of the set that signs the first of them
    from_epoch: int
    to_epoch: int


class LinkList(Struct, frozen=True, array_like=True):
    """Some links in their order; those that did not fit are asked for from the last one on."""

    links: tuple[Link, ...]
