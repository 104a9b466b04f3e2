"""What a node owes by itself: its part in the coins of the epochs, and its signature under every close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octra.consensus.checkpoint import (
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    is_enough,
    sign_checkpoint,
    verify_part,
)
from octra.consensus.ledger import epochs, ops, validators
from octra.consensus.ledger.coin_holder import CoinDuty

if TYPE_CHECKING:
    from epochs.node import EpochNode

RETRY_MS = 2_500


class Duties:
    """The duties of one node, and the parts of checkpoints that it has heard."""

    def __init__(self, node: EpochNode) -> None:
        self._node, self._world = node, node.world
        self._parts: dict[int, dict[bytes, bytes]] = {}  # closed epoch -> node -> signature
        self._due_ms: dict[CoinDuty, int] = {}
        self._checkpoint_due_ms = 0

    def restart(self) -> None:
        """After a crash everything is said again."""
        self._due_ms.clear()

    def look(self) -> None:
        """Say what the state asks for and was not said lately."""
        node, now_ms = self._node, self._world.now_ms
        if validators.all_validators(node.view) and node.running:
            for duty in node.keys.holder.duties(node.view):
                if now_ms >= self._due_ms.get(duty, 0):
                    self._due_ms[duty] = now_ms + RETRY_MS
                    node.submit(node.node_item(node.coin_answer(duty)))
        self._try_checkpoint()

    def vote(self) -> None:
        """Sign the close, and send the part to three seats."""
        node, record = self._node, self._node.record
        standing = validators.standing(self._world.ledger.states[record.state_root], record.epoch)
        body = epochs.checkpoint_body(record, len(standing))
        part = node.checkpoint_part(sign_checkpoint(node.keys.bls, body))
        seats = [self._world.number_of(seat) for seat in node.committee.seats]
        for peer in self._world.random.sample(seats, min(3, len(seats))):
            self._world.send(node.number, peer, "receive_part", record.epoch, node.keys.id, part)
        if node.seat is not None:
            node.receive_part(record.epoch, node.keys.id, part)

    def receive_part(self, opened: int, signer: bytes, part: bytes) -> None:
        """A part of a checkpoint; seats pass it on once, so that one of them has enough."""
        node, parts = self._node, self._parts.setdefault(opened, {})
        if signer not in parts:
            parts[signer] = part
            if node.seat is not None:
                for peer in self._world.random.sample(range(node.committee.size), min(4, node.committee.size)):
                    number = self._world.number_of(node.committee.seats[peer])
                    self._world.send(node.number, number, "receive_part", opened, signer, part)

    def _try_checkpoint(self) -> None:
        node, record = self._node, self._node.record
        state = epochs.epoch_of(node.view)
        assert state is not None
        if node.seat is None or state.record != record.id or state.signed_epoch >= record.epoch:
            return
        if self._world.now_ms < self._checkpoint_due_ms:
            return
        registered = epochs.registered_at(node.view, state.signed_epoch)
        count = len(epochs.registered_at(node.view, record.epoch) or ())
        assert registered is not None
        parts = self._parts.get(record.epoch, {})
        if not is_enough(sum(validator.node in parts for validator in registered), len(registered)):
            return
        self._checkpoint_due_ms = self._world.now_ms + RETRY_MS
        body = epochs.checkpoint_body(record, count)
        good = {i: parts[v.node] for i, v in enumerate(registered) if v.node in parts and self._holds(v, body, parts)}
        if is_enough(len(good), len(registered)):
            node.submit(node.node_item(ops.Checkpoint(assemble_checkpoint(body, registered, good))))

    def _holds(self, validator: Validator, body: CheckpointBody, parts: dict[bytes, bytes]) -> bool:
        return self._world.part_holds(validator, body, parts[validator.node], verify_part)
