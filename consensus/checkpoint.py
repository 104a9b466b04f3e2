"""Checkpoints: more than two thirds of all registered validators sign the state at the close of an epoch.

The committee is a draw and may be bad by bad luck; nothing irreversible happens before a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from octra.codec import encode
from octra.consensus.errors import InvalidCheckpoint
from octra.consensus.fields import U8, U16, U32, U63, Hash32
from octra.crypto import bls
from octra.crypto.hash import H, merkle_root, tag16

VERSION = 1
_TAG = tag16("octra.checkpoint")


class Validator(Struct, frozen=True, array_like=True):
    """A registered validator. Possession of `bls_key` was proven when it registered, or sums could be forged."""

    node: Hash32
    bls_key: bytes


class CheckpointBody(Struct, frozen=True, array_like=True):
    """What is signed. `registered_*` name the set that will sign the next checkpoint."""

    version: U8
    chain_id: str
    epoch: U32
    height: U63
    block_id: Hash32
    state_root: Hash32
    epoch_record: Hash32
    registered_root: Hash32
    registered_count: U16


class Checkpoint(Struct, frozen=True, array_like=True):
    """A body, a bit per registered validator in order of node id (lowest bit first), and the sum of signatures."""

    body: CheckpointBody
    signers: bytes
    aggregate: bytes

    @property
    def id(self) -> bytes:
        """The name of the checkpoint, whoever signed it."""
        return H("octra.checkpoint", encode(self.body))


def checkpoint_message(body: CheckpointBody) -> bytes:
    """The bytes that validators sign: a prefix of its own, so that no other signature can serve as one."""
    return _TAG + encode(body)


def sign_checkpoint(secret: bls.SecretScalar, body: CheckpointBody) -> bytes:
    """A validator's part. It signs at most one body per epoch: ask the sign log first."""
    return secret.sign(checkpoint_message(body))


def verify_part(validator: Validator, body: CheckpointBody, signature: bytes) -> bool:
    """Is it this validator's signature of the body?"""
    return bls.verify(validator.bls_key, signature, checkpoint_message(body))


def good_parts(body: CheckpointBody, validators: Sequence[Validator], parts: Mapping[int, bytes]) -> dict[int, bytes]:
    """The parts, by index in the set, that their validators signed: one check if all are good.

    Parts that are bad alone and good together come from validators who wanted that: a checkpoint holds their sum.
    """
    keys = [validators[index].bls_key for index in parts]
    try:
        together = bls.aggregate(list(parts.values()))
    except bls.InvalidPoint:
        together = b""
    if bls.verify_aggregate(keys, together, checkpoint_message(body)):
        return dict(parts)
    return {index: part for index, part in parts.items() if verify_part(validators[index], body, part)}


def registered_root(validators: Sequence[Validator]) -> bytes:
    """Merkle root over the registered set, sorted by node id."""
    assert _is_sorted(validators)
    return merkle_root([encode(validator) for validator in validators])


def is_enough(signers: int, registered: int) -> bool:
    """More than two thirds; exactly two thirds is not enough."""
    return 3 * signers > 2 * registered


def assemble_checkpoint(
    body: CheckpointBody, validators: Sequence[Validator], parts: Mapping[int, bytes]
) -> Checkpoint:
    """The checkpoint from checked parts, by index in the sorted set; raises `InvalidCheckpoint` if they are too few."""
    if not is_enough(len(parts), len(validators)):
        raise InvalidCheckpoint(f"{len(parts)} signers of {len(validators)}")
    bits = bytearray((len(validators) + 7) // 8)
    for index in parts:
        bits[index // 8] |= 1 << index % 8
    return Checkpoint(body, bytes(bits), bls.aggregate([parts[index] for index in sorted(parts)]))


def verify_checkpoint(checkpoint: Checkpoint, validators: Sequence[Validator]) -> CheckpointBody:
    """The body, if more than two thirds of `validators` (the set that the checkpoint before named) signed it.

    Raises `InvalidCheckpoint`.
    """
    if checkpoint.body.version != VERSION:
        raise InvalidCheckpoint(f"version {checkpoint.body.version}")
    signers = signer_indices(checkpoint.signers, len(validators))
    if not is_enough(len(signers), len(validators)):
        raise InvalidCheckpoint(f"{len(signers)} signers of {len(validators)}")
    keys = [validators[index].bls_key for index in signers]
    if not bls.verify_aggregate(keys, checkpoint.aggregate, checkpoint_message(checkpoint.body)):
        raise InvalidCheckpoint("aggregate signature")
    return checkpoint.body


def signer_indices(bits: bytes, count: int) -> list[int]:
    """Indices set in a bitmap of exactly `count` bits; raises `InvalidCheckpoint`."""
    if len(bits) != (count + 7) // 8 or int.from_bytes(bits, "little") >> count:
        raise InvalidCheckpoint("bitmap does not fit the registered set")
    return [index for index in range(count) if bits[index // 8] >> index % 8 & 1]


def _is_sorted(validators: Sequence[Validator]) -> bool:
    nodes = [validator.node for validator in validators]
    return nodes == sorted(set(nodes))
