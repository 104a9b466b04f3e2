"""The values of the global state, one struct each. Their encodings are part of the state root."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct

from octra.codec import encode
from octra.crypto.hash import H
from octra.primitives import CAP_UNITS

WORD: Final = 64  # type of a private word: 64 bits, of which 50 are encrypted
BIT: Final = 1


class Clock(Struct, frozen=True, array_like=True):
    """Where the chain is."""

    height: int
    round: int  # of the last leader
    time_ms: int
    epoch: int
    epoch_start_ms: int
    beacon: bytes  # 32 bytes: from the coin of the commit that started the epoch


class Account(Struct, frozen=True, array_like=True):
    """A public balance. All nonces up to `nonce` are used, and those above it whose bit is set in `used`."""

    balance: int = 0
    nonce: int = 0
    used: int = 0


class Pool(IntEnum):
    """Buckets that pay for kinds of work."""

    ORDER = 0
    FHE = 1
    STORE = 2
    VERIFY = 3
    KEYS = 4


class Supply(Struct, frozen=True, array_like=True):
    """Where all money is. The sum is the cap after every commit."""

    emission_left: int
    public: int  # accounts and Circles
    private_pool: int = 0  # encrypted minus decrypted amounts
    bonded: int = 0
    escrow: int = 0  # fees of unfinished jobs and amounts of undecided decryptions
    pools: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    burned: int = 0

    @property
    def total(self) -> int:
        """What must equal `CAP_UNITS`."""
        return (
            self.emission_left
            + self.public
            + self.private_pool
            + self.bonded
            + self.escrow
            + sum(self.pools)
            + self.burned
        )

    @property
    def difference(self) -> int:
        """Zero, or the software is wrong."""
        return self.total - CAP_UNITS


# --- encrypted values ---


class Source(IntEnum):
    """How a handle came to be: the `op` in its name."""

    CONSTANT = 0
    INPUT = 1
    DEBIT = 2
    CREDIT = 3
    DECRYPT = 4


class HandleStatus(IntEnum):
    """`PENDING` until one of the ends; a frozen value was certified twice with different digests."""

    PENDING = 0
    CERTIFIED = 1
    ALIASED = 2
    FROZEN = 3


class Handle(Struct, frozen=True, array_like=True):
    """An encrypted value: named before anybody has computed it, `digest` once its ciphertext is certified."""

    type: int
    origin: bytes  # the job or the input that makes it; empty for a constant
    status: int = HandleStatus.PENDING
    digest: bytes = b""  # H("octra.fhe.ct", bytes of the ciphertext)
    alias: bytes = b""  # the handle that it stands for
    constant: int | None = None
    readers: tuple[bytes, ...] = ()  # accounts that may have it opened


def handle_name(source: Source, kind: int, inputs: tuple[bytes, ...], context: object) -> bytes:
    """The 32 bytes that name a value before it is computed."""
    return H("octra.handle", encode((int(source), kind, inputs, context)))


def constant_name(value: int, kind: int = WORD) -> bytes:
    """The handle of a public constant."""
    return handle_name(Source.CONSTANT, kind, (), value)


ZERO: Final = constant_name(0)


class Private(Struct, frozen=True, array_like=True):
    """An encrypted balance: what the owner can spend, and what others sent since he last collected."""

    spendable: bytes = ZERO
    incoming: bytes = ZERO
    pending_own: int = 0
    pending_incoming: int = 0


# --- evaluation jobs ---


class Circuit(IntEnum):
    """What a job computes. The program that evaluates it is `octra.consensus.circuits`."""

    DEBIT = 1  # (S, A) -> S', T: T = A if S >= A else 0, S' = S - T
    CREDIT = 2  # (R, T) -> R + T
    DECRYPT = 3  # (S, constant d) -> S', ok: ok = S >= d, S' = S - d if ok else S


class Purpose(IntEnum):
    """Which operation a job serves: decides its fallback."""

    ENCRYPT = 1
    TRANSFER = 2
    RECEIVE = 3
    DECRYPT = 4
    COLLECT = 5


class JobStatus(IntEnum):
    """`WAITING` for inputs, `READY` to draw evaluators, `OPEN`, then an end; `RETRY` waits for the next epoch."""

    WAITING = 0
    READY = 1
    OPEN = 2
    CERTIFIED = 3
    FAILED = 4
    SIMPLIFIED = 5  # no evaluation was needed: an input turned out to be constant
    RETRY = 6


class EvaluatorCommit(Struct, frozen=True, array_like=True):
    """A seat's ordered commitment to an evaluation."""

    seat: int
    commitment: bytes


class EvaluatorReveal(Struct, frozen=True, array_like=True):
    """A seat's opened commitment. `tx` is the signed operation: part of the certificate, or the evidence."""

    seat: int
    digests: tuple[bytes, ...]
    trace: bytes
    tx: bytes


class Job(Struct, frozen=True, array_like=True):
    """Encrypted work that f + 1 seats must do with equal digests."""

    name: bytes
    circuit: int
    purpose: int
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    boots: int
    account: bytes  # whose pending count it stands in
    payer: bytes
    escrow: int  # the fee of this work
    amount: int  # public: what the fallback of an encryption gives back, or what waits for a decryption's verdict
    tx: bytes
    follow: bytes  # the job whose end settles the transaction; empty: this one
    status: int = JobStatus.WAITING
    changed_round: int = 0  # when it became ready
    due_round: int = 0  # its entry in the list of due things
    commit_by: int = 0
    reveal_by: int = 0
    order: tuple[int, ...] = ()  # the drawn permutation of all seats: the escalation order
    width: int = 0  # how many of them are asked
    commits: tuple[EvaluatorCommit, ...] = ()
    reveals: tuple[EvaluatorReveal, ...] = ()
    attempts: int = 0

    @property
    def evaluators(self) -> tuple[int, ...]:
        """The seats that are asked so far."""
        return self.order[: self.width]

    @property
    def held(self) -> int:
        """Money in escrow for it: its fee, and the amount of a decryption that waits for its verdict."""
        return self.escrow + (self.amount if self.purpose == Purpose.DECRYPT else 0)

    def commitment_of(self, seat: int) -> bytes | None:
        """What the seat committed to, or None."""
        return next((commit.commitment for commit in self.commits if commit.seat == seat), None)

    def has_revealed(self, seat: int) -> bool:
        """Did the seat open its commitment?"""
        return any(reveal.seat == seat for reveal in self.reveals)


# --- dealt inputs ---


class InputStage(IntEnum):
    """Where a dealt input is."""

    ORDERED = 0  # waits for a coin that nobody knew when dealing
    CHECK = 1  # seats publish masked check values
    PARTS = 2  # accepted: seats publish their parts
    FORMED = 3
    FAILED = 4


class SeatBytes(Struct, frozen=True, array_like=True):
    """What one seat published."""

    seat: int
    data: bytes


class DealtInput(Struct, frozen=True, array_like=True):
    """Bits that a user shared among the seats, on their way to a ciphertext."""

    name: bytes
    handle: bytes
    tx: bytes
    bits: int
    sidecar: bytes
    ordered_round: int
    deadline: int
    stage: int = InputStage.ORDERED
    due_round: int = 0
    coin: bytes = b""
    checks: tuple[SeatBytes, ...] = ()
    off: tuple[int, ...] = ()  # seats whose check row does not fit: they give no part
    parts: tuple[SeatBytes, ...] = ()
    liars: tuple[int, ...] = ()  # seats that sent a wrong part for an accepted dealing


# --- openings ---


class Opening(Struct, frozen=True, array_like=True):
    """The one opening of a ciphertext: asked for again, seats repeat the same bytes, never with new noise."""

    name: bytes
    handle: bytes
    digest: bytes
    bits: int
    noise_index: int
    attempt: int = 0
    value: int | None = None  # of a public opening that was decoded


class Counters(Struct, frozen=True, array_like=True):
    """Totals that limits look at. `opened_bits` is also the next noise number: each is used once."""

    opened_bits: int = 0  # of this era
    backlog_boots: int = 0  # of unfinished jobs


class RequestStatus(IntEnum):
    """Where a request is."""

    COMMIT = 0
    REVEAL = 1
    DONE = 2


class Request(Struct, frozen=True, array_like=True):
    """A request to open values: for the holder of `reader`, or for everybody when that is empty."""

    name: bytes
    tx: bytes
    owner: bytes
    reader: bytes
    openings: tuple[Opening, ...]
    job: bytes = b""  # the decryption that waits for this verdict
    due_round: int = 0
    status: int = RequestStatus.COMMIT
    commits: tuple[EvaluatorCommit, ...] = ()
    revealed: tuple[int, ...] = ()
    liars: tuple[int, ...] = ()

    @property
    def public(self) -> bool:
        """Is the result for everybody?"""
        return not self.reader

    @property
    def bits(self) -> int:
        """Bits to open."""
        return sum(opening.bits for opening in self.openings)


def request_name(tx: bytes) -> bytes:
    """The name of the request that a transaction makes."""
    return H("octra.request", tx)


def opening_name(digest: bytes, attempt: int) -> bytes:
    """The name under which the seats re-encode a ciphertext: the same for everybody who asks for it."""
    return H("octra.opening", digest, bytes([attempt]))


# --- nodes ---


NO_SEAT: Final = 255


class Node(Struct, frozen=True, array_like=True):
    """What the chain remembers about a node that orders or holds a share of the network key."""

    seat: int  # its share of the network key; `NO_SEAT` where it holds none
    tips: int = 0
    skipped: int = 0  # transactions of its batches that could not run
    certified: int = 0  # jobs certified with its digest
    faults: int = 0


class FaultKind(IntEnum):
    """What was proven."""

    CONTRADICTED_DIGEST = 1
    WRONG_INPUT_PART = 2
    WRONG_OPENING_SHARE = 3
    ORDERING = 4  # evidence that vertices carried
    READER_COMPLAINT = 5  # a reader's word, backed by the seat's own commitment


class Fault(Struct, frozen=True, array_like=True):
    """A proven fault, with what a third party needs to check it again."""

    kind: int
    seat: int
    subject: bytes  # job, input, request or evidence id
    height: int
    got: bytes = b""
    expected: bytes = b""
    tx: bytes = b""  # the signed operation that shows it


# --- Circles ---


class CircleRecord(Struct, frozen=True, array_like=True):
    """A Circle as the global tree knows it."""

    name: bytes  # 33 bytes
    owner: bytes
    version: int
    code_hash: bytes
    manifest_hash: bytes
    stable_root: bytes
    assets_root: bytes
    acl_root: bytes
    stable_bytes: int
    assets_bytes: int
    paid_until: int  # epoch; rent is not collected yet
    active_from: int  # height


class StagedBlob(Struct, frozen=True, array_like=True):
    """A blob that is being put, by its sender."""

    expires: int  # epoch
    parts: int = 0  # bit i: part i is there


class BlobRecord(Struct, frozen=True, array_like=True):
    """A complete blob. Without uses it is dropped when it expires."""

    size: int
    uses: int
    expires: int  # epoch


class AssetRecord(Struct, frozen=True, array_like=True):
    """A file of a Circle's site."""

    media: str
    encoding: str
    blob: bytes
    size: int


class CommitRecord(Struct, frozen=True, array_like=True):
    """What the state keeps of a recent commit."""

    height: int
    receipts_root: bytes
    transactions_root: bytes
