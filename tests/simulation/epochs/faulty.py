"""Faulty nodes of an epoch simulation by name. Each is the real node with one bad habit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from epoch_double import NodeKeys
from epochs.node import EpochNode
from msgspec.structs import replace

from octra.consensus import coin, coin_dealing
from octra.consensus.certificate import Certificate
from octra.consensus.effects import Propose
from octra.consensus.epoch import EpochRecord
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.coin_holder import AckCoin, CoinDuty, CoinHolder, DealCoin
from octra.consensus.ledger.coin_rules import dealing_of, progress_of
from octra.consensus.vertex import Vertex, seal_vertex
from octra.crypto import bls
from octra.crypto.hash import H
from octra.primitives import address_of

if TYPE_CHECKING:
    from epochs.world import EpochWorld

REPLAYED = 24  # old vertices that are sent again when an epoch opens
DOUBLE_SPEND = 5  # units, promised to two accounts
PAYEES = tuple(address_of(bytes([90 + number]) * 32) for number in range(2))


class FaultyNode(EpochNode):
    """A node that checks do not ask."""

    honest = False


class Silent(FaultyNode):
    """Never starts."""

    def start(self) -> None:
        pass


class Twins(FaultyNode):
    """Two vertices in every sixth round."""

    def broadcast(self, vertex: Vertex) -> None:
        super().broadcast(vertex)
        if vertex.round % 6 == 3:
            header = replace(vertex.header, time_ms=vertex.header.time_ms + 1)
            share, beacon = vertex.body.coin_share, vertex.body.beacon_share
            twin = seal_vertex(header, vertex.body, share, self.keys.node.sign, beacon)
            for peer in self.world.audience(self.committee)[::2]:
                self.send_vertex(peer, twin)


# --- shares, roots, votes ---


class BadShares(FaultyNode):
    """Mostly its shares of coin and beacon are those of another key."""

    def seal(self, order: Propose) -> Vertex:
        if not self.is_wrong(order):
            return super().seal(order)
        wrong, anchor = bls.SecretScalar(77), self.committee.anchor
        share = coin.make_share(wrong, anchor, order.coin_round) if order.coin_round else b""
        beacon = coin.make_beacon_share(wrong, anchor) if order.beacon else b""
        return seal_vertex(order.header, order.body, share, self.keys.node.sign, beacon)

    def is_wrong(self, order: Propose) -> bool:
        """Are the shares of this vertex wrong?"""
        return self.world.random.random() < 0.7


class EarlyBeaconShare(FaultyNode):
    """Shows its share of the beacon from the first vertex of the epoch on."""

    def seal(self, order: Propose) -> Vertex:
        return super().seal(replace(order, beacon=True))


class NoBeaconShare(FaultyNode):
    """Keeps its share of the beacon to itself."""

    def seal(self, order: Propose) -> Vertex:
        return super().seal(replace(order, beacon=False))


class WrongRoot(FaultyNode):
    """Publishes another state than that which its blocks give."""

    def claimed(self, root: bytes) -> bytes:
        return H("sim.lie", root)


class BadVotes(FaultyNode):
    """Its parts of checkpoints are no signatures."""

    def checkpoint_part(self, part: bytes) -> bytes:
        return bytes(48)


class TurnsAtTheEdge(BadShares):
    """Honest until the last block of the epoch is decided; then it lies about root and beacon, to half of the seats."""

    def claimed(self, root: bytes) -> bytes:
        return H("sim.lie", root) if self._at_the_edge() else root

    def is_wrong(self, order: Propose) -> bool:
        return order.beacon

    def broadcast(self, vertex: Vertex) -> None:
        if not self._at_the_edge():
            super().broadcast(vertex)
            return
        for peer in self.world.audience(self.committee)[::2]:
            self.send_vertex(peer, vertex)

    def _at_the_edge(self) -> bool:
        return self.state is not None and self.state.closing.decided


# --- coins of the next epoch ---


class BadDealing(FaultyNode):
    """Deals some seats a share that is none."""

    def coin_answer(self, duty: CoinDuty) -> ops.Op:
        op = super().coin_answer(duty)
        if isinstance(duty, DealCoin) and isinstance(op, ops.CoinDeal):
            masked = tuple(bytes(32) if self._cheats(place) else one for place, one in enumerate(op.dealing.masked))
            return replace(op, dealing=replace(op.dealing, masked=masked))
        return op

    def _cheats(self, place: int) -> bool:
        return place % 2 == 1


class BadDealingToOne(BadDealing):
    """Deals one victim a share that is none."""

    def _cheats(self, place: int) -> bool:
        return place == 0


class FalseComplaints(FaultyNode):
    """Complains of good dealings."""

    def coin_answer(self, duty: CoinDuty) -> ops.Op:
        op = super().coin_answer(duty)
        if isinstance(duty, AckCoin) and isinstance(op, ops.CoinAck):
            progress = progress_of(self.view, duty.epoch)
            assert progress is not None
            dealings = [(dealer, dealing_of(self.view, duty.epoch, dealer)) for dealer in progress.dealers]
            lies = tuple(coin_dealing.complain(dealing, dealer, self.keys.coin) for dealer, dealing in dealings)
            return replace(op, complaints=lies)
        return op


class TwoDealings(FaultyNode):
    """Deals twice, and gives the second dealing to another seat to be ordered."""

    def coin_answer(self, duty: CoinDuty) -> ops.Op:
        if isinstance(duty, DealCoin):
            other = CoinHolder(self.keys.id, self.keys.coin, H("sim.other", self.keys.dealing_seed))
            item = self.node_item(other.answer(self.view, duty))
            for peer in self.world.sample(2):
                self.world.send(self.number, peer, "submit_forwarded", item)
        return super().coin_answer(duty)


# --- across epochs ---


class ReplaysEpochs(FaultyNode):
    """When an epoch opens, it sends vertices of the last one again: as they were, and under the new anchor."""

    def _open(self, record: EpochRecord, certificate: Certificate) -> None:
        old = list(self.disk.vertices.get(self.record.id, {}).values())[-REPLAYED:]
        super()._open(record, certificate)
        for vertex in old:
            moved = replace(vertex.header, anchor=record.id)
            body, share, beacon = vertex.body, vertex.body.coin_share, vertex.body.beacon_share
            forged = seal_vertex(moved, body, share, partial(_old_signature, vertex), beacon)
            for peer in self.world.audience(self.committee):
                self.send_vertex(peer, vertex)
                self.send_vertex(peer, forged)


def _old_signature(vertex: Vertex, _: bytes) -> bytes:
    return vertex.signature


class UnknownEpochs(FaultyNode):
    """Besides its own vertices, some of epochs that nobody knows."""

    def broadcast(self, vertex: Vertex) -> None:
        super().broadcast(vertex)
        header = replace(vertex.header, anchor=self.world.random.randbytes(32))
        stray = seal_vertex(header, vertex.body, vertex.body.coin_share, self.keys.node.sign)
        for peer in self.world.audience(self.committee):
            self.send_vertex(peer, stray)


class FalseHandOver(FaultyNode):
    """Tells everybody of ends of epochs that did not happen, and of states that no quorum stands behind."""

    def _make_bundle(self) -> None:
        super()._make_bundle()
        record, certificate = self.record, self.certificate
        if certificate is None:
            return
        lie = replace(
            record,
            epoch=record.epoch + 1,
            previous=record.id,
            close_height=self.disk.head[0],
            close_block=self.disk.head[1],
            state_root=self.disk.head[2],
            beacon_signature=bytes(48),
            seats_next=(self.keys.id,) * len(record.seats_next),
        )
        half = replace(certificate, headers=certificate.headers[: self.committee.faults + 1])
        for peer in self.world.audience(self.committee):
            self.world.send(self.number, peer, "receive_hand_over", lie, self.world.random.choice((certificate, half)))


# --- money and scores ---


class DoubleSpends(FaultyNode):
    """Seats with this habit order two payments of the same money, one each."""

    spent = False

    def _make_bundle(self) -> None:
        if not self.spent and self.seat is not None:
            self.spent = True
            accomplices = sorted(self.world.plan.habits)
            payer = self.world.nodes[accomplices[0]].keys.owner
            op = ops.Transfer(PAYEES[accomplices.index(self.number) % 2], DOUBLE_SPEND)
            params = self.world.ledger.params
            body = tx.build(
                chain=params.chain,
                sender=payer.public,
                nonce=1,
                expiry_epoch=1_000,
                fee=fees.minimum_fee(op, params.prices),
                op=op,
            )
            self.submit(tx.sign(body, payer))
        super()._make_bundle()


class GamesScores(FaultyNode):
    """Leaves and comes back, registers twice, and names an operator as it suits: a fresh row would be a full score."""

    def owner_ops(self) -> list[ops.Op]:
        """What its owner sends, one after the other."""
        again = self.keys.register(self.world.ledger.params.chain, b"another operator")
        return [ops.Exit(self.keys.id), again, ops.Ready(self.keys.id), ops.Exit(self.keys.id), again]


HABITS: dict[str, type[FaultyNode]] = {
    "silent": Silent,
    "twins": Twins,
    "bad_shares": BadShares,
    "early_beacon_share": EarlyBeaconShare,
    "no_beacon_share": NoBeaconShare,
    "wrong_root": WrongRoot,
    "bad_votes": BadVotes,
    "turns_at_the_edge": TurnsAtTheEdge,
    "bad_dealing": BadDealing,
    "bad_dealing_to_one": BadDealingToOne,
    "false_complaints": FalseComplaints,
    "two_dealings": TwoDealings,
    "replay_of_epochs": ReplaysEpochs,
    "unknown_epochs": UnknownEpochs,
    "false_hand_over": FalseHandOver,
    "double_spend": DoubleSpends,
    "score_gaming": GamesScores,
}


def make_node(world: EpochWorld, number: int, keys: NodeKeys) -> EpochNode:
    """The node of a number, honest or with the habit that the plan gives it."""
    habit = world.plan.habits.get(number)
    return EpochNode(world, number, keys) if habit is None else HABITS[habit](world, number, keys)
