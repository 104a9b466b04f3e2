"""A chain in memory whose committees are drawn: the real rules, real keys, real coins; ordering is a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger_double import ALICE, CounterEngine, MemoryCircles, MemoryView, PlainMath, make_params
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus import coin
from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    registered_root,
    sign_checkpoint,
)
from octra.consensus.coin_dealing import CoinKey
from octra.consensus.epoch import Committee, EpochRecord, EpochRules
from octra.consensus.ledger import coin_rules, epochs, fees, keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.coin_holder import CoinHolder
from octra.consensus.ledger.epoch_records import CoinProgress, EpochState, ValidatorRecord
from octra.consensus.ledger.genesis_state import genesis_writes
from octra.consensus.ledger.params import Seat
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import Supply
from octra.consensus.ledger.registration import registration_message
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transition import LedgerBatch, LedgerCommit, Outcome, SeatFault, apply_commit, clock_of
from octra.crypto import bls, sharing
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import EMPTY_ROOT, H, merkle_root
from octra.crypto.seal import view_key
from octra.primitives import address_of

START_MS = 1_700_000_000_000
OWNED = 10**13
RULES = EpochRules(bond_units=1_000_000_000, shadow_epochs=1, unbonding_epochs=3)


class NodeKeys:
    """All secrets of one validator, from its number."""

    def __init__(self, number: int) -> None:
        seed = H("test.validator", number.to_bytes(4, "little"))
        self.node = SigningKey(seed)
        self.bls = bls.SecretScalar.from_seed(H("test.bls", seed))
        self.coin = sharing.scalar_from(seed)
        self.dealing_seed = H("test.dealing", seed)
        self.owner = SigningKey(H("test.owner", seed))
        self.holder = CoinHolder(self.node.public, self.coin, self.dealing_seed)

    @property
    def id(self) -> bytes:
        return self.node.public

    def register(self, chain: bytes, operator: bytes = b"", owner: SigningKey | None = None) -> ops.NodeRegister:
        """The operation by which this node's owner registers it."""
        op = ops.NodeRegister(
            self.id,
            self.bls.public(),
            self.bls.prove_possession(),
            sharing.point_of(self.coin),
            view_key(self.id),
            operator,
            bytes(64),
        )
        message = registration_message(chain, address_of((owner or self.owner).public), op)
        return replace(op, proof=self.node.sign(message))


@dataclass
class EpochChain:
    """The double. `step` makes a commit, `close` the record, and the next `step` opens the epoch."""

    founders: int = 4
    others: int = 4
    rules: EpochRules = RULES
    epoch_ms: int = 20_000
    queue: list[bytes] = field(default_factory=list)
    commits: list[LedgerCommit] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    silent: set[bytes] = field(default_factory=set)  # nodes that answer no coin duty
    opened: EpochRecord | None = None

    def __post_init__(self) -> None:
        self.nodes = [NodeKeys(number) for number in range(self.founders + self.others)]
        founders = self.nodes[: self.founders]
        self.by_id = {node.id: node for node in self.nodes}
        seats = tuple(
            Seat(one.id, one.bls.public(), view_key(one.id), address_of(one.owner.public)) for one in founders
        )
        self.params = replace(make_params(self.founders), seats=seats, rules_version=2, epoch_ms=self.epoch_ms)
        degree = (self.founders - 1) // 3
        coefficients = [sharing.scalar_from(bytes(32), bytes([power])) for power in range(degree + 1)]
        self.dealt = [bls.SecretScalar(sharing.evaluate(coefficients, seat + 1)) for seat in range(self.founders)]
        key = CoinKey(coefficients[0].public(), tuple(share.public() for share in self.dealt))
        registered = sorted((Validator(one.id, one.bls.public()) for one in founders), key=lambda one: one.node)
        ids = tuple(one.id for one in founders)
        record = EpochRecord(
            1, self.params.chain_id, 0, self.params.chain, 0, EMPTY_ROOT, EMPTY_ROOT, START_MS,
            H("octra.beacon", self.params.chain), b"", ids, key.group_key, merkle_root(list(key.share_keys)), ids,
            registered_root(registered), EMPTY_ROOT, EMPTY_ROOT,
        )  # fmt: skip
        rows = epochs.genesis_rows(
            record, self.rules, self.params, key, [sharing.point_of(one.coin) for one in founders]
        )
        accounts = {address_of(key.public): OWNED for key in (ALICE, *(node.owner for node in self.nodes))}
        self.view = MemoryView(genesis_writes(self.params, accounts, START_MS, rows))
        self.circles, self.engine, self.math = MemoryCircles(self.view), CounterEngine(), PlainMath(self.founders)
        self.nonces: Counter[bytes] = Counter()
        self.record = record
        self.records = [record]
        self.round = 0

    # --- transactions ---

    def item(self, key: SigningKey, op: ops.Op) -> bytes:
        """A signed item, checked as a node checks it at its border."""
        if op.node_op:
            nonce, fee = 1, 0
        else:
            self.nonces[key.public] += 1
            nonce, fee = self.nonces[key.public], fees.minimum_fee(op, self.params.prices)
        body = tx.build(
            chain=self.params.chain, sender=key.public, nonce=nonce, expiry_epoch=self.epoch + 64, fee=fee, op=op
        )
        item = tx.sign(body, key)
        tx.admit(item, self.params.static_rules(self.epoch))
        return item

    def run(self, key: SigningKey, op: ops.Op) -> Receipt:
        """One transaction in a block of its own."""
        item = self.item(key, op)
        outcome = self.step([item])
        return next(receipt for receipt in outcome.receipts if receipt.tx == tx.decode_item(item).id)

    def send(self, key: SigningKey, op: ops.Op) -> Outcome:
        """One node operation in a block of its own."""
        return self.step([self.item(key, op)])

    def join(self, number: int, operator: bytes = b"") -> None:
        """Register, bond and ready."""
        node = self.nodes[number]
        for op in (
            node.register(self.params.chain, operator),
            ops.Bond(node.id, self.rules.bond_units),
            ops.Ready(node.id),
        ):
            receipt = self.run(node.owner, op)
            assert receipt.status == "ok", receipt.detail

    # --- blocks ---

    def step(self, items: Sequence[bytes] = (), *, dt_ms: int = 100, evidence: Sequence[SeatFault] = ()) -> Outcome:
        """One commit."""
        clock = clock_of(self.view)
        self.round = 1 if self.opened else self.round + 1
        commit = LedgerCommit(
            height=clock.height + 1,
            leader_round=self.round,
            time_ms=clock.time_ms + dt_ms,
            coin=H("test.coin", clock.height.to_bytes(8, "big")),
            batches=(LedgerBatch(clock.height % len(self.state.seats), tuple(items)),) if items else (),
            evidence=tuple(evidence),
            opened=self.opened,
        )
        self.opened = None
        outcome = apply_commit(self.view, self.circles, commit, self.engine, self.params, self.math)
        self.view.apply(outcome.writes.items())
        self.commits.append(commit)
        self.outcomes.append(outcome)
        return outcome

    def answer_duties(self) -> Outcome:
        """Every node says what it owes to coins."""
        items = []
        for node in self.nodes:
            if node.id not in self.silent:
                for duty in node.holder.duties(self.view):
                    items.append(self.item(node.node, node.holder.answer(self.view, duty)))
        return self.step(items)

    def deal_coin(self) -> None:
        """Deal, let the time for dealings pass, acknowledge."""
        self.answer_duties()
        self.step(dt_ms=self.params.epoch_ms // 2)
        self.answer_duties()

    def close(self) -> EpochRecord:
        """The record of the running epoch, with a beacon by its seats; the next step opens what it says."""
        head = self.root()
        self.record = epochs.close_record(self.view, self.params, H("test.block", head), head, self.beacon())
        self.records.append(self.record)
        self.opened = self.record
        return self.record

    def pass_epoch(self) -> EpochRecord:
        """A whole epoch: coin, close, first block of the next."""
        self.deal_coin()
        record = self.close()
        self.step()
        return record

    def beacon(self) -> bytes:
        """The combined signature of f + 1 seats."""
        committee = self.committee()
        message = coin.beacon_message(committee.anchor)
        shares = {}
        for seat, node in enumerate(committee.seats):
            secret = self.coin_secret(node, seat)
            if secret is not None and len(shares) <= committee.faults:
                shares[seat + 1] = secret.sign(message)
        signature = bls.combine(shares)
        assert bls.verify(committee.coin_group_key, signature, message)
        return signature

    def coin_secret(self, node: bytes, seat: int) -> bls.SecretScalar | None:
        """A node's share of the coin in use."""
        if self.state.coin_epoch == 0:
            return self.dealt[seat]
        return self.by_id[node].holder.coin_secret(self.view, self.state.coin_epoch)

    # --- checkpoints ---

    def checkpoint(self, signers: Sequence[int], body: CheckpointBody | None = None) -> Checkpoint:
        """The checkpoint of the last close, signed by these of the set that the checkpoint before named."""
        registered = epochs.registered_at(self.view, self.state.signed_epoch)
        count = len(epochs.registered_at(self.view, self.record.epoch) or ())
        assert registered is not None
        body = body or epochs.checkpoint_body(self.record, count)
        parts = {index: sign_checkpoint(self.by_id[registered[index].node].bls, body) for index in signers}
        return assemble_checkpoint(body, registered, parts)

    # --- looking ---

    @property
    def state(self) -> EpochState:
        state = epochs.epoch_of(self.view)
        assert state is not None
        return state

    @property
    def epoch(self) -> int:
        return clock_of(self.view).epoch

    def committee(self) -> Committee:
        """The committee that orders now."""
        return epochs.committee_of(self.view, self.record)

    def progress(self) -> CoinProgress:
        """The coin in the making."""
        progress = coin_rules.progress_of(self.view, self.epoch + 1)
        assert progress is not None
        return progress

    def validator(self, number: int) -> ValidatorRecord | None:
        return load(self.view, keys.validator(self.nodes[number].id), ValidatorRecord)

    def supply(self) -> Supply:
        supply = load(self.view, keys.SUPPLY, Supply)
        assert supply is not None
        assert supply.difference == 0
        return supply

    def root(self) -> bytes:
        return H("test.root", encode(sorted(self.view.rows.items())))
