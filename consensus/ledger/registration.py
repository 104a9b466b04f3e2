"""What makes a registration valid whatever the state is: the node agrees, and its keys are keys."""

from __future__ import annotations

from octra.codec import encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.errors import BadSignature, InvalidOp
from octra.consensus.ledger.points import is_usable_reader, is_usable_signer
from octra.crypto import bls, ed25519, sharing
from octra.crypto.hash import tag16
from octra.primitives import Address


def registration_message(chain: bytes, owner: bytes, op: ops.NodeRegister) -> bytes:
    """What the node signs, so that nobody registers somebody else's node."""
    keys = (op.bls_key, op.coin_key, op.view_key, op.operator)
    return tag16("octra.register") + encode((chain, owner, op.node, *keys))


def check_registration(op: ops.NodeRegister, owner: Address, chain: bytes) -> None:
    """Raises `InvalidOp` or `BadSignature`."""
    if not is_usable_signer(op.node):
        raise InvalidOp("the node key is not one that may sign")
    if not is_usable_reader(op.view_key):
        raise InvalidOp("the view key cannot receive sealed messages")
    if not sharing.is_point(op.coin_key):
        raise InvalidOp("the coin key is not a point")
    if not ed25519.verify(op.node, op.proof, registration_message(chain, owner, op)):
        raise BadSignature("the node has not signed its registration")
    if not bls.verify_possession(op.bls_key, op.bls_proof):
        raise BadSignature("possession of the BLS key is not proven")
