"""What a node without state checks: from the genesis it trusts, by signatures and hashes, to one fact of the chain.

genesis -> links (checkpoint, registered set, committee) -> block -> state root -> value, or transaction and receipt

docs/spec/proofs.md describes the same for other programs; docs/verify_proof.py is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader, Certificate, verify_certificate
from octra.consensus.checkpoint import Checkpoint, CheckpointBody, Validator, registered_root, verify_checkpoint
from octra.consensus.epoch import Committee, EpochRecord
from octra.consensus.errors import InvalidProof
from octra.consensus.ledger import keys
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import CommitRecord
from octra.consensus.statetree import TreeProof, verify_key
from octra.crypto.hash import merkle_verify
from octra.primitives import NodeId


class Trusted(Struct, frozen=True):
    """What a light node holds: the committee and registered set of genesis, or of the last checkpoint it followed."""

    chain_id: str
    committee: Committee
    validators: tuple[Validator, ...]
    epoch: int = 0
    height: int = 0


class Link(Struct, frozen=True, array_like=True):
    """A step of trust: the checkpoint, and what it names by hash."""

    checkpoint: Checkpoint
    validators: tuple[Validator, ...]  # who sign the next checkpoint, by node id
    record: EpochRecord | None = None  # opens the next epoch; None: the committee stays, as on a chain of fixed seats


class BlockProof(Struct, frozen=True, array_like=True):
    """A block with what proves it: links that lead to its committee, then exactly one certificate or checkpoint."""

    header: BlockHeader
    certificate: Certificate | None = None
    checkpoint: Checkpoint | None = None
    links: tuple[Link, ...] = ()


class StateProof(Struct, frozen=True, array_like=True):
    """One key of the global state: its value (None: it is absent) and the path to the block's state root."""

    block: BlockProof
    key: bytes
    value: bytes | None
    path: TreeProof


class Place(Struct, frozen=True, array_like=True):
    """Where a leaf stands in a Merkle tree of `count` leaves; its index is the one in the receipt."""

    count: int
    path: tuple[bytes, ...]


class EarlierBlock(Struct, frozen=True, array_like=True):
    """The roots of a block below the proven one: the state keeps those of the last 65,536 heights."""

    roots: CommitRecord
    path: TreeProof


class TransactionProof(Struct, frozen=True, array_like=True):
    """A transaction with its receipt: both stand, at one index, under the roots of one block."""

    block: BlockProof
    receipt: Receipt  # without its text for people, which nobody signs
    transaction: Place
    outcome: Place  # of the receipt: settlements of other transactions may follow the receipts
    earlier: EarlierBlock | None = None  # None: it is the proven block itself


# --- trust ---


def follow(
    trusted: Trusted, checkpoint: Checkpoint, validators: Sequence[Validator], record: EpochRecord | None = None
) -> Trusted:
    """Move trust to a newer checkpoint, signed by the set trusted so far; raises `InvalidInput`.

    `validators` is the set that the checkpoint names for the next one, `record` the epoch record that it names: it
    says who sits next. Without a record the committee must be the one that is trusted already.
    """
    body = verify_checkpoint(checkpoint, trusted.validators)
    if body.chain_id != trusted.chain_id:
        raise InvalidProof("checkpoint of another chain")
    if body.epoch < trusted.epoch or body.height <= trusted.height:
        raise InvalidProof("checkpoint is not newer than what is trusted")
    if record is not None:
        return trust_named(body, validators, record)
    _check_set(body, validators)
    if body.epoch_record != trusted.committee.anchor:
        raise InvalidProof("the checkpoint names another committee, and its epoch record is missing")
    return Trusted(trusted.chain_id, trusted.committee, tuple(validators), body.epoch, body.height)


def trust_named(body: CheckpointBody, validators: Sequence[Validator], record: EpochRecord) -> Trusted:
    """Trust in a checkpoint that was verified: the set and the committee that it names; raises `InvalidProof`."""
    _check_set(body, validators)
    if record.id != body.epoch_record:
        raise InvalidProof("epoch record is not the one the checkpoint names")
    seats = tuple(NodeId(seat) for seat in record.seats_next)
    committee = Committee(record.id, seats, record.coin_group_key_next, ())
    return Trusted(body.chain_id, committee, tuple(validators), body.epoch, body.height)


def _check_set(body: CheckpointBody, validators: Sequence[Validator]) -> None:
    nodes = [validator.node for validator in validators]
    if nodes != sorted(set(nodes)):
        raise InvalidProof("registered set is not in order")
    if body.registered_count != len(validators) or body.registered_root != registered_root(validators):
        raise InvalidProof("registered set is not the one the checkpoint names")


def follow_all(trusted: Trusted, links: Sequence[Link]) -> Trusted:
    """Trust after the last link; raises `InvalidInput`."""
    for link in links:
        trusted = follow(trusted, link.checkpoint, link.validators, link.record)
    return trusted


# --- blocks ---


def verify_block(header: BlockHeader, certificate: Certificate, trusted: Trusted) -> bytes:
    """The state root of a block that a quorum of the committee stands behind; raises `InvalidInput`.

    A quorum that names a block names its state root too: both must be those of the header.
    """
    _check_chain(header, trusted)
    claim = verify_certificate(certificate, trusted.committee)
    if (claim.height, claim.block_id, claim.state_root) != (header.height, header.block_id, header.state_root):
        raise InvalidProof("the certificate names another block")
    return header.state_root


def verify_block_by_checkpoint(header: BlockHeader, checkpoint: Checkpoint, trusted: Trusted) -> bytes:
    """The state root of a block that over two thirds of the registered validators signed; raises `InvalidInput`."""
    _check_chain(header, trusted)
    body = verify_checkpoint(checkpoint, trusted.validators)
    if body.chain_id != trusted.chain_id:
        raise InvalidProof("checkpoint of another chain")
    if (body.height, body.block_id, body.state_root) != (header.height, header.block_id, header.state_root):
        raise InvalidProof("the checkpoint names another block")
    return header.state_root


def verify_block_proof(proof: BlockProof, trusted: Trusted) -> BlockHeader:
    """The header, once links and signatures lead to it from what is trusted; raises `InvalidInput`."""
    trusted = follow_all(trusted, proof.links)
    if proof.checkpoint is not None and proof.certificate is None:
        verify_block_by_checkpoint(proof.header, proof.checkpoint, trusted)
    elif proof.certificate is not None and proof.checkpoint is None:
        verify_block(proof.header, proof.certificate, trusted)
    else:
        raise InvalidProof("exactly one of certificate and checkpoint proves a block")
    return proof.header


# --- facts ---


def verify_state(proof: StateProof, trusted: Trusted) -> BlockHeader:
    """The block at which the key has the value; raises `InvalidInput` for anything less than a proof."""
    header = verify_block_proof(proof.block, trusted)
    if not verify_key(header.state_root, proof.key, proof.value, proof.path):
        raise InvalidProof("the path does not lead to the state root")
    return header


def verify_transaction(tx_id: bytes, proof: TransactionProof, trusted: Trusted) -> BlockHeader:
    """The proven block at or above the one that executed the transaction as its receipt says; raises `InvalidInput`."""
    header, receipt, earlier = verify_block_proof(proof.block, trusted), proof.receipt, proof.earlier
    if receipt.tx != tx_id or receipt.detail:
        raise InvalidProof("the receipt is of another transaction, or carries what nobody signed")
    if earlier is None:
        roots = CommitRecord(header.height, header.receipts_root, header.tx_root)
        if proof.transaction.count != header.tx_count:
            raise InvalidProof("the block holds another number of transactions")
    else:
        roots = earlier.roots
        if not verify_key(header.state_root, keys.commit_record(roots.height), encode(roots), earlier.path):
            raise InvalidProof("the roots of the earlier block are not in the state")
    if receipt.height != roots.height:
        raise InvalidProof("the receipt is of another height")
    if not _stands(roots.transactions_root, tx_id, receipt.index, proof.transaction):
        raise InvalidProof("the path does not lead to the block's transactions")
    if not _stands(roots.receipts_root, encode(receipt), receipt.index, proof.outcome):
        raise InvalidProof("the path does not lead to the block's receipts")
    return header


def signed_part(receipt: bytes | Receipt) -> Receipt:
    """A receipt as the block commits to it: without its text for people."""
    return replace(decode(receipt, Receipt) if isinstance(receipt, bytes) else receipt, detail="")


def _stands(root: bytes, leaf: bytes, index: int, place: Place) -> bool:
    return merkle_verify(root, leaf, index, place.count, place.path)


def _check_chain(header: BlockHeader, trusted: Trusted) -> None:
    if header.chain_id != trusted.chain_id:
        raise InvalidProof("block of another chain")
