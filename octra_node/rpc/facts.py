"""The values that questions are answered with. Each skin (JSON-RPC, REST, pages) words them in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from octra.consensus.ledger import ops
from octra.consensus.ledger.receipts import Receipt, Settlement
from octra.consensus.ledger.records import Account, CircleRecord, Private


class Level(IntEnum):
    """How final something is; each level includes those before it."""

    PENDING = 0  # in the pool, or batched and not ordered
    ORDERED = 1  # in a block of this node
    CERTIFIED = 2  # a quorum published the same state root
    CHECKPOINTED = 3  # more than two thirds of all registered validators signed a later root

    @property
    def word(self) -> str:
        """As the API writes it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node as the network map shows it. No host, no place, no operator."""

    node_id: bytes
    name: str  # the printed node id
    role: str  # bootstrap, standard, light
    state: str  # "linked", "known", or the state of this node itself
    seat: int | None = None
    height: int | None = None
    version: str = ""
    own: bool = False


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """A link between two nodes, as far as this node knows."""

    a: bytes
    b: bytes
    latency_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What the map shows."""

    nodes: tuple[NodeFacts, ...]
    edges: tuple[EdgeFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What a node says about itself."""

    node_id: str
    role: str
    state: str  # "synced", "syncing", "starting", or a word for what is wrong
    version: str
    kernel: str  # name of the FHE kernel
    peers: int
    round: int
    lag: int  # heights behind the newest that was heard of
    ready: bool
    reasons: tuple[str, ...] = ()  # why not ready
    finality_p50_ms: int | None = None  # measured by this node over the last minutes
    transactions_per_s: float | None = None
    warnings: tuple[str, ...] = ()
    execution: str = "all"  # or "split": certified deltas are applied where others have the duty to execute
    blocks_executed: int = 0  # since the node started
    blocks_applied: int = 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a transaction that never reached a block; kept for ten minutes."""

    item: bytes
    code: int  # row of the catalogue
    reason: str
    time_ms: int
    dropped: bool  # evicted or expired in the pool; else refused by a rule


@dataclass(frozen=True, slots=True)
class HeightFacts:
    """One block."""

    height: int
    block_id: bytes
    epoch: int
    time_ms: int
    leader: bytes
    parent: bytes
    state_root: bytes
    tx_root: bytes
    receipts_root: bytes
    transactions: int
    level: Level


@dataclass(frozen=True, slots=True)
class EpochFacts:
    """One epoch of the ledger's clock."""

    epoch: int
    first_height: int
    last_height: int  # so far, while it runs
    start_ms: int
    end_ms: int
    transactions: int
    closed: bool
    checkpoint: bytes | None  # encoded, once more than two thirds have signed


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """A transaction wherever it is: waiting, in a block, or gone without one."""

    id: bytes
    item: bytes
    op: ops.Op
    sender: bytes
    sender_key: bytes
    signature: bytes
    nonce: int
    fee: int  # the ceiling that was signed
    expiry_epoch: int | None  # None: legacy form
    timestamp: str | None  # legacy form only: as it was signed
    level: Level
    height: int | None = None
    epoch: int | None = None
    time_ms: int | None = None
    receipt: Receipt | None = None
    settlement: Settlement | None = None
    fate: Fate | None = None

    @property
    def status(self) -> str:
        """One word: pending, ok, working (encrypted work goes on), failed, refused, dropped."""
        if self.fate is not None:
            return "dropped" if self.fate.dropped else "refused"
        if self.receipt is None:
            return "pending"
        if self.settlement is not None:
            return self.settlement.status
        return "working" if self.receipt.status == "pending" else self.receipt.status

    @property
    def code(self) -> int:
        """Row of the catalogue that explains a failure, or 0."""
        if self.fate is not None:
            return self.fate.code
        if self.settlement is not None and self.settlement.code:
            return self.settlement.code
        return self.receipt.code if self.receipt is not None else 0

    @property
    def reason(self) -> str:
        """One line about a failure; empty if there is none."""
        if self.fate is not None:
            return self.fate.reason
        return self.receipt.detail if self.receipt is not None else ""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the chain says in public about an account."""

    address: bytes
    public: Account
    private: Private | None  # handles, never amounts; None: it has no encrypted balance
    pending_nonce: int  # the highest used nonce, the pool included


@dataclass(frozen=True, slots=True)
class CircleFacts:
    """The public part of a Circle."""

    record: CircleRecord
    title: str
    version: str
    balance: int
    max_stable_bytes: int
    methods: Mapping[str, str]  # name -> update or query
    callable: bool  # its activation height has come
    label: str  # of its own web origin
