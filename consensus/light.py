"""What a node without state checks: from the genesis it trusts, by signatures and hashes, to one fact of the chain.

genesis -> committee -> certificate -> block header -> state root -> tree proof -> value
genesis -> registered set -> checkpoint ---------------^
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from octra.consensus.certificate import BlockHeader, Certificate, verify_certificate
from octra.consensus.checkpoint import Checkpoint, Validator, registered_root, verify_checkpoint
from octra.consensus.epoch import Committee
from octra.consensus.errors import InvalidProof
from octra.consensus.statetree import TreeProof, verify_key
from octra.crypto.hash import merkle_verify


class Trusted(Struct, frozen=True):
    """What a light node holds: the committee and registered set of genesis, or of the last checkpoint it followed."""

    chain_id: str
    committee: Committee
    validators: tuple[Validator, ...]
    epoch: int = 0
    height: int = 0


class TransactionProof(Struct, frozen=True, array_like=True):
    """Where a transaction id stands among the transactions of a block."""

    index: int
    path: tuple[bytes, ...]


class StateProof(Struct, frozen=True, array_like=True):
    """Proof of one key of the global state: the block, what proves the block, and the path in the state tree."""

    header: BlockHeader
    proof: TreeProof
    certificate: Certificate | None = None
    checkpoint: Checkpoint | None = None


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


def verify_state(key: bytes, value: bytes | None, proof: StateProof, trusted: Trusted) -> BlockHeader:
    """The block at which `key` has `value` (None: is absent); raises `InvalidInput` for anything less than a proof."""
    if proof.checkpoint is not None and proof.certificate is None:
        root = verify_block_by_checkpoint(proof.header, proof.checkpoint, trusted)
    elif proof.certificate is not None and proof.checkpoint is None:
        root = verify_block(proof.header, proof.certificate, trusted)
    else:
        raise InvalidProof("exactly one of certificate and checkpoint proves a block")
    if not verify_key(root, key, value, proof.proof):
        raise InvalidProof("the path does not lead to the state root")
    return proof.header


def verify_transaction(transaction_id: bytes, proof: TransactionProof, header: BlockHeader) -> None:
    """Raises `InvalidProof` unless the (already verified) block holds the transaction."""
    if not merkle_verify(header.tx_root, transaction_id, proof.index, header.tx_count, proof.path):
        raise InvalidProof("the path does not lead to the block's transactions")


def follow(trusted: Trusted, checkpoint: Checkpoint, validators: Sequence[Validator]) -> Trusted:
    """Move trust to a newer checkpoint, signed by the set trusted so far; raises `InvalidInput`.

    `validators` is the set that the checkpoint names for the next one.
    """
    body = verify_checkpoint(checkpoint, trusted.validators)
    if body.chain_id != trusted.chain_id:
        raise InvalidProof("checkpoint of another chain")
    if body.epoch < trusted.epoch or body.height <= trusted.height:
        raise InvalidProof("checkpoint is not newer than what is trusted")
    if body.registered_count != len(validators) or body.registered_root != registered_root(validators):
        raise InvalidProof("registered set is not the one the checkpoint names")
    return Trusted(trusted.chain_id, trusted.committee, tuple(validators), body.epoch, body.height)


def _check_chain(header: BlockHeader, trusted: Trusted) -> None:
    if header.chain_id != trusted.chain_id:
        raise InvalidProof("block of another chain")
