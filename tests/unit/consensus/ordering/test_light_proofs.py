"""A light node believes signatures and hashes only: one changed byte anywhere and the proof is worth nothing."""

import pytest
from msgspec.structs import replace
from ordering.world import RealKeys

from octra.consensus.certificate import BlockHeader, Certificate, Claim, assemble
from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    registered_root,
    sign_checkpoint,
)
from octra.consensus.light import (
    BlockProof,
    StateProof,
    Trusted,
    follow,
    verify_block,
    verify_block_by_checkpoint,
    verify_state,
)
from octra.consensus.statetree import PRESENT, TreeProof, hash_branch, hash_leaf, path_of, value_hash
from octra.consensus.vertex import Execution, VertexBody, VertexHeader, seal_vertex
from octra.crypto import bls
from octra.crypto.hash import merkle_root
from octra.errors import InvalidInput

CHAIN = "octra-test"
KEY, VALUE = b"\x01alice", b"balance 7"
SECRETS = tuple(bls.SecretScalar.from_seed(bytes([index]) * 32) for index in range(4))
VALIDATORS = tuple(Validator(bytes([index]) * 32, secret.public()) for index, secret in enumerate(SECRETS))
TRANSACTIONS = [bytes([index]) * 32 for index in range(5)]


def _tree() -> tuple[bytes, TreeProof]:
    """The root of a tree of two leaves and the proof of one."""
    path, other = path_of(KEY), path_of(b"\x01bob")
    bit = next(bit for bit in range(256) if (path[bit >> 3] ^ other[bit >> 3]) >> (7 - (bit & 7)) & 1)
    mine, theirs = hash_leaf(path, value_hash(VALUE)), hash_leaf(other, value_hash(b"balance 0"))
    right = path[bit >> 3] >> (7 - (bit & 7)) & 1
    root = hash_branch(bit, theirs, mine) if right else hash_branch(bit, mine, theirs)
    return root, TreeProof(PRESENT, bytes([bit]), theirs)


def _header() -> BlockHeader:
    root, _ = _tree()
    return BlockHeader(
        1, CHAIN, 40, 2, b"l" * 32, 9, b"p" * 32, merkle_root(TRANSACTIONS), bytes(32), root, bytes(32), bytes(32), 5
    )


def _certificate(keys: RealKeys, header: BlockHeader) -> Certificate:
    claim = Claim(header.height, header.block_id, header.state_root)
    signed = []
    for seat in range(3):
        vertex = seal_vertex(
            VertexHeader(1, keys.committee.anchor, seat, 9, bytes(32), *_fields(claim), 0),
            VertexBody((), (), (), (), Execution(0, bytes(32))),
            bytes(48),
            lambda message, seat=seat: keys.sign(seat, message),  # type: ignore[misc]
        )
        signed.append((vertex.header, vertex.signed_header))
    return assemble(keys.committee, signed)


def _fields(claim: Claim) -> tuple[int, bytes, bytes]:
    return claim.height, claim.block_id, claim.state_root


def _checkpoint(header: BlockHeader, anchor: bytes = bytes(32), **changes: object) -> Checkpoint:
    body = CheckpointBody(
        1, CHAIN, 2, header.height, header.block_id, header.state_root, anchor, registered_root(VALIDATORS), 4
    )
    body = replace(body, **changes)
    return assemble_checkpoint(body, VALIDATORS, {index: sign_checkpoint(SECRETS[index], body) for index in range(3)})


@pytest.fixture
def trusted(keys: RealKeys) -> Trusted:
    return Trusted(CHAIN, keys.committee, VALIDATORS)


def test_a_value_is_proven_by_certificate_or_checkpoint(keys: RealKeys, trusted: Trusted) -> None:
    header, (_, path) = _header(), _tree()
    by_certificate = StateProof(BlockProof(header, _certificate(keys, header)), KEY, VALUE, path)
    assert verify_state(by_certificate, trusted) == header
    by_checkpoint = StateProof(BlockProof(header, checkpoint=_checkpoint(header)), KEY, VALUE, path)
    assert verify_state(by_checkpoint, trusted) == header


def test_a_wrong_value_key_or_path_is_refused(keys: RealKeys, trusted: Trusted) -> None:
    header, (_, path) = _header(), _tree()
    certificate = _certificate(keys, header)
    block = BlockProof(header, certificate)
    good = StateProof(block, KEY, VALUE, path)
    flipped = replace(path, siblings=bytes([path.siblings[0] ^ 1]) + path.siblings[1:])
    for proof in (
        replace(good, value=b"balance 8"),
        replace(good, value=None),
        replace(good, key=b"\x01bob"),
        replace(good, path=flipped),
        replace(good, block=replace(block, certificate=None)),
        replace(good, block=replace(block, checkpoint=_checkpoint(header))),
    ):
        with pytest.raises(InvalidInput):
            verify_state(proof, trusted)


def test_a_header_that_the_signers_did_not_name_is_refused(keys: RealKeys, trusted: Trusted) -> None:
    header = _header()
    forged = replace(header, state_root=b"f" * 32)
    with pytest.raises(InvalidInput):
        verify_block(forged, _certificate(keys, header), trusted)
    with pytest.raises(InvalidInput):
        verify_block_by_checkpoint(forged, _checkpoint(header), trusted)
    other_chain = replace(header, chain_id="octra-main")
    with pytest.raises(InvalidInput):
        verify_block(other_chain, _certificate(keys, other_chain), trusted)


def test_a_certificate_of_another_committee_is_refused(keys: RealKeys, trusted: Trusted) -> None:
    header = _header()
    with pytest.raises(InvalidInput):
        verify_block(header, _certificate(RealKeys(5, 4), header), trusted)


def test_trust_moves_forward_only_and_only_to_the_named_set(trusted: Trusted) -> None:
    header = _header()
    anchor = trusted.committee.anchor
    newer = follow(trusted, _checkpoint(header, anchor), VALIDATORS)
    assert (newer.epoch, newer.height) == (2, 40)
    with pytest.raises(InvalidInput):
        follow(newer, _checkpoint(header, anchor), VALIDATORS)
    with pytest.raises(InvalidInput):
        follow(trusted, _checkpoint(header, anchor), VALIDATORS[:3])
    with pytest.raises(InvalidInput):
        follow(trusted, _checkpoint(header, anchor, chain_id="octra-main"), VALIDATORS)
    with pytest.raises(InvalidInput, match="names another committee"):
        follow(trusted, _checkpoint(header), VALIDATORS)
