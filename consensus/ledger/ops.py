"""The operations of transactions: one frozen struct a kind, encoded as the array `[kind, fields...]`.

Kinds are those of the specification's one table. A kind that stands here is enabled; every other one is refused by
name (`Unsupported`), so there is no default operation.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct

from octra.consensus.checkpoint import Checkpoint as SignedCheckpoint
from octra.consensus.coin_dealing import CoinDealing, Complaint
from octra.consensus.limits import COMMITTEE_MAX
from octra.primitives import AMOUNT_MAX

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes48 = Annotated[bytes, Meta(min_length=48, max_length=48)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
Bytes96 = Annotated[bytes, Meta(min_length=96, max_length=96)]
Bytes33 = Annotated[bytes, Meta(min_length=33, max_length=33)]
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX)]
AmountOrZero = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]

MEMO_BYTES_MAX: Final = 256
NOTE_BYTES_MAX: Final = 512
TRANSFERS_MAX: Final = 64
VIEW_HANDLES_MAX: Final = 8
INPUT_BITS_MAX: Final = 2_048
BLOB_PART_BYTES: Final = 131_072  # every part of a blob but the last has exactly this size
BLOB_PARTS_MAX: Final = 8  # 1 MiB: the largest module
ASSET_FILES_MAX: Final = 256
PATH_BYTES_MAX: Final = 200  # it stands in a key of the state
MANIFEST_BYTES_MAX: Final = 65_536
ARGUMENT_BYTES_MAX: Final = 65_536
GAS_MAX: Final = 100_000_000

Memo = Annotated[bytes, Meta(max_length=MEMO_BYTES_MAX)]
Note = Annotated[bytes, Meta(max_length=NOTE_BYTES_MAX)]


class _Op(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What all operations share: `kind` on the wire, `name` for people, and whether a seat sends it free of charge."""

    name: ClassVar[str] = ""
    node_op: ClassVar[bool] = False

    @property
    def kind(self) -> int:
        """The number of the operation in signed bytes."""
        return kind_of(self)


# --- money ---


class Payment(Struct, frozen=True, array_like=True):
    """One item of a multi-transfer."""

    to: Bytes32
    amount: Amount


class Transfer(_Op, tag=0x01, frozen=True, array_like=True):
    """Move `amount` from the sender's public balance to `to`; the memo is public."""

    name: ClassVar[str] = "transfer"
    to: Bytes32
    amount: Amount
    memo: Memo = b""


class MultiTransfer(_Op, tag=0x02, frozen=True, array_like=True):
    """Several transfers from one sender: all or nothing."""

    name: ClassVar[str] = "multi_transfer"
    items: Annotated[tuple[Payment, ...], Meta(min_length=2, max_length=TRANSFERS_MAX)]
    memo: Memo = b""


class Burn(_Op, tag=0x03, frozen=True, array_like=True):
    """Destroy `amount` of the sender's public balance."""

    name: ClassVar[str] = "burn"
    amount: Amount


# --- encrypted balances ---


class InputDealing(Struct, frozen=True, array_like=True):
    """Plaintext bits dealt to the seats of one epoch; the sealed shares travel beside the body as its sidecar."""

    bits: Annotated[int, Meta(ge=1, le=INPUT_BITS_MAX)]
    seat_epoch: Index
    roots: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=1)]  # of the leaves, one a key group
    sidecar: Bytes32  # Merkle root of the sealed bodies


class Encrypt(_Op, tag=0x10, frozen=True, array_like=True):
    """Move a public amount into the sender's encrypted balance."""

    name: ClassVar[str] = "encrypt"
    amount: Amount


class Decrypt(_Op, tag=0x11, frozen=True, array_like=True):
    """Move a public amount out of the sender's encrypted balance, if that holds it."""

    name: ClassVar[str] = "decrypt"
    amount: Amount


class PrivateTransfer(_Op, tag=0x12, frozen=True, array_like=True):
    """Move a hidden amount between encrypted balances; the note is sealed to the receiver."""

    name: ClassVar[str] = "private_transfer"
    to: Bytes32
    input: InputDealing
    note: Note = b""


class Collect(_Op, tag=0x13, frozen=True, array_like=True):
    """Add what others sent to the balance that can be spent."""

    name: ClassVar[str] = "collect"


class ViewRequest(_Op, tag=0x16, frozen=True, array_like=True):
    """Ask the seats to open certified values of the sender for the holder of an X25519 key."""

    name: ClassVar[str] = "view_request"
    handles: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=VIEW_HANDLES_MAX)]
    reader: Bytes32


# --- Circles ---


class CircleDeploy(_Op, tag=0x20, frozen=True, array_like=True):
    """Create a Circle from code that was put before; the sender becomes its owner."""

    name: ClassVar[str] = "circle_deploy"
    package_root: Bytes32
    manifest: Annotated[bytes, Meta(max_length=MANIFEST_BYTES_MAX)]
    code_hash: Bytes32
    assets_root: Bytes32
    rent: AmountOrZero = 0


class CircleCall(_Op, tag=0x21, frozen=True, array_like=True):
    """Call an update method of a Circle; `arguments` is the MessagePack array of its arguments."""

    name: ClassVar[str] = "circle_call"
    circle: Bytes33
    method: Annotated[str, Meta(min_length=1, max_length=64)]
    arguments: Annotated[bytes, Meta(max_length=ARGUMENT_BYTES_MAX)]
    value: AmountOrZero
    gas_limit: Annotated[int, Meta(ge=1, le=GAS_MAX)]
    boots_limit: Annotated[int, Meta(ge=0, le=0)] = 0  # encrypted values in Circles are not enabled yet
    inputs: Annotated[tuple[InputDealing, ...], Meta(max_length=0)] = ()
    session: Annotated[bytes, Meta(max_length=0)] = b""


class CircleUpgrade(_Op, tag=0x22, frozen=True, array_like=True):
    """Replace code, manifest and assets of a Circle of the sender."""

    name: ClassVar[str] = "circle_upgrade"
    circle: Bytes33
    old_code_hash: Bytes32
    package_root: Bytes32
    manifest: Annotated[bytes, Meta(max_length=MANIFEST_BYTES_MAX)]
    code_hash: Bytes32
    assets_root: Bytes32
    rent: AmountOrZero = 0


class Asset(Struct, frozen=True, array_like=True):
    """One file of a Circle's site: its path, media type, content encoding, and the blob that holds it."""

    path: Annotated[str, Meta(min_length=1, max_length=PATH_BYTES_MAX)]
    media: Annotated[str, Meta(min_length=1, max_length=128)]
    encoding: Annotated[str, Meta(max_length=16)]
    blob: Bytes32


class CircleAssets(_Op, tag=0x24, frozen=True, array_like=True):
    """Publish the files behind the assets root of a Circle of the sender; their blobs were put before."""

    name: ClassVar[str] = "circle_assets"
    circle: Bytes33
    files: Annotated[tuple[Asset, ...], Meta(min_length=1, max_length=ASSET_FILES_MAX)]


class CircleBlobPut(_Op, tag=0x25, frozen=True, array_like=True):
    """Stage one part of a blob (code or a file); parts are joined in index order and named by their content."""

    name: ClassVar[str] = "circle_blob_put"
    blob: Bytes32
    index: Annotated[int, Meta(ge=0, lt=BLOB_PARTS_MAX)]
    data: Annotated[bytes, Meta(min_length=1, max_length=BLOB_PART_BYTES)]


# --- node operations: sent by a seat, free, once a task ---

NodeBytes = Annotated[bytes, Meta(max_length=65_536)]


class EvaluationCommit(_Op, tag=0x42, frozen=True, array_like=True):
    """A drawn evaluator binds itself to a result that it does not yet show."""

    name: ClassVar[str] = "eval_commit"
    node_op: ClassVar[bool] = True
    job: Bytes32
    commitment: Bytes32


class EvaluationReveal(_Op, tag=0x43, frozen=True, array_like=True):
    """Opens the evaluator's commitment: the digest of each output ciphertext and the root of its trace."""

    name: ClassVar[str] = "eval_reveal"
    node_op: ClassVar[bool] = True
    job: Bytes32
    digests: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=16)]
    trace: Bytes32
    salt: Bytes32


class DealCheck(_Op, tag=0x61, frozen=True, array_like=True):
    """A seat's masked check values of one input dealing; empty when its sealed body is missing or wrong."""

    name: ClassVar[str] = "deal_check"
    node_op: ClassVar[bool] = True
    input: Bytes32
    values: NodeBytes


class InputPart(_Op, tag=0x65, frozen=True, array_like=True):
    """A seat's share of the ciphertext of a checked input."""

    name: ClassVar[str] = "input_part"
    node_op: ClassVar[bool] = True
    input: Bytes32
    values: NodeBytes


class OpenCommit(_Op, tag=0x6A, frozen=True, array_like=True):
    """A seat binds itself to its share of an opening before it sees another one."""

    name: ClassVar[str] = "open_commit"
    node_op: ClassVar[bool] = True
    request: Bytes32
    commitment: Bytes32


class OpenShare(_Op, tag=0x6B, frozen=True, array_like=True):
    """The committed share: in clear for a public opening, else one box sealed to the reader."""

    name: ClassVar[str] = "open_share"
    node_op: ClassVar[bool] = True
    request: Bytes32
    share: NodeBytes


class OpenBlame(_Op, tag=0x6C, frozen=True, array_like=True):
    """A reader shows the committed share of a seat that is off the polynomial of the others."""

    name: ClassVar[str] = "open_blame"
    request: Bytes32
    seat: Annotated[int, Meta(ge=0, lt=24)]
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    share: NodeBytes


# --- validators: only where committees are drawn (rules version 2) ---


class NodeRegister(_Op, tag=0x50, frozen=True, array_like=True):
    """The sender registers a node of its own, or gives a registered one new keys."""

    name: ClassVar[str] = "node_register"
    node: Bytes32
    bls_key: Bytes96  # checkpoints
    bls_proof: Bytes48  # possession of its secret
    coin_key: Bytes48  # G1, for shares of coins and nothing else: a complaint opens a point under it
    view_key: Bytes32  # X25519: sealed input dealings
    operator: Annotated[bytes, Meta(max_length=32)]  # declared; nodes of one operator share two seats
    proof: Bytes64  # by the node key, over `validators.registration_message`


class Bond(_Op, tag=0x52, frozen=True, array_like=True):
    """Put public money behind a node of the sender: entry and liability, never votes."""

    name: ClassVar[str] = "bond"
    node: Bytes32
    amount: Amount


class Ready(_Op, tag=0x53, frozen=True, array_like=True):
    """A bonded node of the sender follows the chain and may be drawn from now on, after its time as a shadow."""

    name: ClassVar[str] = "ready"
    node: Bytes32


class Exit(_Op, tag=0x54, frozen=True, array_like=True):
    """A node of the sender is drawn no more; seats that it holds already it still serves."""

    name: ClassVar[str] = "exit"
    node: Bytes32


class Withdraw(_Op, tag=0x55, frozen=True, array_like=True):
    """The bond of a node that left comes back, once its time is over and a checkpoint lies above."""

    name: ClassVar[str] = "withdraw"
    node: Bytes32


class CoinDeal(_Op, tag=0x58, frozen=True, array_like=True):
    """An incoming seat deals its part of the coin of `epoch`."""

    name: ClassVar[str] = "coin_deal"
    node_op: ClassVar[bool] = True
    epoch: Index
    dealing: CoinDealing


class CoinAck(_Op, tag=0x59, frozen=True, array_like=True):
    """An incoming seat has checked all dealings of the coin of `epoch`, and shows those that cheat it."""

    name: ClassVar[str] = "coin_ack"
    node_op: ClassVar[bool] = True
    epoch: Index
    complaints: Annotated[tuple[Complaint, ...], Meta(max_length=COMMITTEE_MAX)] = ()


class CoinRepair(_Op, tag=0x5A, frozen=True, array_like=True):
    """A seat proves after the end of a dealing that its share is bad, or shows its own of a dealing proven bad."""

    name: ClassVar[str] = "coin_repair"
    node_op: ClassVar[bool] = True
    epoch: Index
    dealer: Annotated[int, Meta(ge=0, lt=COMMITTEE_MAX)]
    claim: Annotated[tuple[Complaint, ...], Meta(max_length=1)] = ()
    share: Annotated[bytes, Meta(max_length=32)] = b""


class Checkpoint(_Op, tag=0x5B, frozen=True, array_like=True):
    """More than two thirds of all registered validators have signed the close of an epoch."""

    name: ClassVar[str] = "checkpoint"
    node_op: ClassVar[bool] = True
    checkpoint: SignedCheckpoint


Op = (
    Transfer
    | MultiTransfer
    | Burn
    | Encrypt
    | Decrypt
    | PrivateTransfer
    | Collect
    | ViewRequest
    | CircleDeploy
    | CircleCall
    | CircleUpgrade
    | CircleAssets
    | CircleBlobPut
    | EvaluationCommit
    | EvaluationReveal
    | DealCheck
    | InputPart
    | OpenCommit
    | OpenShare
    | OpenBlame
    | NodeRegister
    | Bond
    | Ready
    | Exit
    | Withdraw
    | CoinDeal
    | CoinAck
    | CoinRepair
    | Checkpoint
)

ENABLED: Final[dict[int, type[Op]]] = {
    0x01: Transfer,
    0x02: MultiTransfer,
    0x03: Burn,
    0x10: Encrypt,
    0x11: Decrypt,
    0x12: PrivateTransfer,
    0x13: Collect,
    0x16: ViewRequest,
    0x20: CircleDeploy,
    0x21: CircleCall,
    0x22: CircleUpgrade,
    0x24: CircleAssets,
    0x25: CircleBlobPut,
    0x42: EvaluationCommit,
    0x43: EvaluationReveal,
    0x61: DealCheck,
    0x65: InputPart,
    0x6A: OpenCommit,
    0x6B: OpenShare,
    0x6C: OpenBlame,
    0x50: NodeRegister,
    0x52: Bond,
    0x53: Ready,
    0x54: Exit,
    0x55: Withdraw,
    0x58: CoinDeal,
    0x59: CoinAck,
    0x5A: CoinRepair,
    0x5B: Checkpoint,
}

DRAWN_KINDS: Final = frozenset({0x50, 0x52, 0x53, 0x54, 0x55, 0x58, 0x59, 0x5A, 0x5B})  # from rules version 2 on

# Kinds that the specification names and this version does not enable: refused by name.
NOT_ENABLED: Final[dict[int, str]] = {
    0x14: "view_grant", 0x15: "view_revoke", 0x17: "stealth_transfer", 0x18: "stealth_claim", 0x19: "permit_floor",
    0x23: "circle_system", 0x30: "dsn_intent", 0x31: "dsn_commit", 0x32: "dsn_renew", 0x33: "dsn_grant",
    0x34: "dsn_erase", 0x40: "fhe_job", 0x41: "input_deal", 0x44: "eval_confirm", 0x51: "node_keys",
    0x56: "evidence", 0x57: "unrest", 0x60: "deal_root", 0x62: "complain",
    0x63: "deal_open", 0x64: "deal_ack", 0x66: "dkg_commit", 0x67: "dkg_rows", 0x68: "dkg_open", 0x69: "dkg_abort",
    0x6D: "dsn_audit", 0x6E: "dsn_rebuttal", 0x70: "propose", 0x71: "vote", 0x72: "service_register",
    0x73: "outbox_send", 0x74: "outbox_deliver",
}  # fmt: skip

_KIND: Final = {op: kind for kind, op in ENABLED.items()}


def kind_of(op: object) -> int:
    """The kind number of an operation."""
    return _KIND[type(op)]  # type: ignore[index]  # ENABLED holds every member of the union


def to_builtins(op: Op) -> dict[str, object]:
    """Field names and values, for people and JSON; the operation's name stands under `op`."""
    return {"op": op.name, **{field: getattr(op, field) for field in op.__struct_fields__}}
