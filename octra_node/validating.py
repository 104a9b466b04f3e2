"""What a registered validator says besides vertices, where committees are drawn: coins, and votes for checkpoints."""

from __future__ import annotations

from octra.codec import encode
from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    is_enough,
    sign_checkpoint,
    verify_part,
)
from octra.consensus.epoch import EpochRecord
from octra.consensus.ledger import epochs, keys, ops
from octra.consensus.ledger.coin_holder import CoinDuty, CoinHolder
from octra.consensus.ledger.state import load
from octra.consensus.ports import StateView
from octra.crypto import bls

SAY_AGAIN_HEIGHTS = 40  # an operation not ordered by then was lost with its batch
EPOCHS_KEPT = 4  # of votes


class CoinDuties:
    """Which duties are to be answered now: each once, and again when it stays open for long."""

    def __init__(self, holder: CoinHolder) -> None:
        self._holder = holder
        self._again: dict[CoinDuty, int] = {}

    def due(self, view: StateView, height: int) -> list[ops.Op]:
        """The operations to send as of this height."""
        owed = self._holder.duties(view)
        self._again = {duty: again for duty, again in self._again.items() if duty in owed}
        due = [duty for duty in owed if height >= self._again.get(duty, 0)]
        self._again |= dict.fromkeys(due, height + SAY_AGAIN_HEIGHTS)
        return [self._holder.answer(view, duty) for duty in due]


class Votes:
    """Parts of checkpoints by the epoch that they close, until one is complete."""

    def __init__(self, node: bytes, secret: bls.SecretScalar | None) -> None:
        self._node, self._secret = node, secret
        self._parts: dict[int, dict[bytes, bytes]] = {}  # closed epoch -> node -> signature
        self.latest: tuple[CheckpointBody, bytes] | None = None  # the own newest vote

    def body_at(self, view: StateView, opened: int) -> CheckpointBody | None:
        """What the close below the record that opened an epoch is signed as, while the state knows of it."""
        record, registered = load(view, keys.epoch_record(opened), EpochRecord), epochs.registered_at(view, opened)
        return None if record is None or registered is None else epochs.checkpoint_body(record, len(registered))

    def vote(self, view: StateView, opened: int) -> tuple[CheckpointBody, bytes] | None:
        """The own part, if this node is one of those who sign. Ask the sign log before it is sent."""
        body, signers = self.body_at(view, opened), _signers(view)
        if body is None or self._secret is None or all(signer.node != self._node for signer in signers):
            return None
        self.latest = body, sign_checkpoint(self._secret, body)
        return self.latest

    def take(self, view: StateView, body: CheckpointBody, node: bytes, signature: bytes) -> Checkpoint | None:
        """Keep a valid part of a close that we know; the checkpoint in the moment in which it is complete."""
        parts = self._parts.get(body.epoch, {})
        state, signers = epochs.epoch_of(view), _signers(view)
        signer = next((one for one in signers if one.node == node), None)
        if state is None or signer is None or node in parts or body.epoch < state.signed_epoch:
            return None
        if self.body_at(view, body.epoch + 1) != body or not verify_part(signer, body, signature):
            return None
        self._parts.setdefault(body.epoch, {})[node] = signature
        for old in [epoch for epoch in self._parts if epoch < body.epoch - EPOCHS_KEPT]:
            del self._parts[old]
        return self.complete(view, body)

    def complete(self, view: StateView, body: CheckpointBody) -> Checkpoint | None:
        """The checkpoint, if enough of those who sign by now have done so."""
        parts, signers = self._parts.get(body.epoch, {}), _signers(view)
        good = {index: parts[one.node] for index, one in enumerate(signers) if one.node in parts}
        return assemble_checkpoint(body, signers, good) if is_enough(len(good), len(signers)) else None


def vote_bytes(body: CheckpointBody) -> bytes:
    """The body as it stands in the sign log and in votes."""
    return encode(body)


def _signers(view: StateView) -> tuple[Validator, ...]:
    """The registered set of the last checkpoint."""
    state = epochs.epoch_of(view)
    return (epochs.registered_at(view, state.signed_epoch) or ()) if state is not None else ()
