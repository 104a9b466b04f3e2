"""Clock, links, clients and faulty nodes of an epoch simulation, and everything that must hold at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from random import Random
from typing import Any

from clock import Clock
from epoch_double import EpochChain
from epochs.faulty import DOUBLE_SPEND, PAYEES, GamesScores, make_node
from epochs.node import EpochNode
from epochs.shared import SharedCoins, SharedLedger

from octra.consensus.committee import OPERATOR_SEATS, Candidate, draw
from octra.consensus.epoch import Committee, EpochRules
from octra.consensus.errors import BadSignature
from octra.consensus.ledger import epochs, fees, keys, ops
from octra.consensus.ledger import transactions as tx
from octra.consensus.ledger.epoch_records import ValidatorStatus
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.state import load
from octra.consensus.ledger.validators import all_validators
from octra.consensus.limits import COMMITTEE_MAX
from octra.consensus.vertex import Vertex, check_vertex, signed
from octra.crypto import bls
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.primitives import address_of

LARGE_PLAN_HABITS = ("silent", "twins", "bad_dealing", "false_complaints", "wrong_root", "bad_shares", "bad_votes")


@dataclass(frozen=True)
class Plan:
    """One run."""

    seed: int
    founders: int = 4
    joiners: int = 0  # become validators one after the other
    leavers: int = 0  # founders that leave
    epochs: int = 4
    epoch_ms: int = 10_000
    habits: dict[int, str] = field(default_factory=dict)  # faulty nodes
    crashes: tuple[tuple[int, int, int], ...] = ()  # node, when, when back
    crash_at_edges: int = 0  # nodes that crash in the moment in which they decide the last block of an epoch
    transfers: int = 6
    follow: bool = False  # do nodes outside the committee run the whole order?
    loss: float = 0.0
    joins_per_epoch: int = 2
    pace_ms: int = 200
    checkpointed: int = 0  # the run goes on until the close before this epoch is checkpointed


def large_plan(seed: int, epochs: int = 10) -> Plan:
    """24 founders, 96 newcomers, 24 dishonest ones among all."""
    habits = {number: LARGE_PLAN_HABITS[number // 5 % len(LARGE_PLAN_HABITS)] for number in range(2, 120, 5)}
    return Plan(
        seed,
        founders=24,
        joiners=96,
        leavers=2,
        epochs=epochs,
        epoch_ms=20_000,  # 24 seats at this pace need some seconds to order what they deal
        habits=habits,
        crashes=tuple((number, 4_000 + 900 * number, 9_000 + 900 * number) for number in range(0, 40, 5)),
        crash_at_edges=4,
        transfers=60,
        loss=0.005,
        joins_per_epoch=40,
        pace_ms=300,
    )


class EpochWorld(Clock):
    """One run's clock and links."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.random = plan, Random(f"epochs {plan.seed}")
        self.follow = plan.follow
        rules = EpochRules(bond_units=1_000_000_000, shadow_epochs=1, unbonding_epochs=2)
        chain = EpochChain(founders=plan.founders, others=plan.joiners, rules=rules, epoch_ms=plan.epoch_ms)
        self.genesis_record, self._dealt = chain.record, dict(zip(chain.record.seats_next, chain.dealt, strict=True))
        self.ledger, self.coins = SharedLedger(chain), SharedCoins()
        super().__init__(now_ms=chain.record.close_time_ms, check_ms=500)
        self.start_ms = self.now_ms
        self.nodes = [make_node(self, number, one) for number, one in enumerate(chain.nodes)]
        self._numbers = {node.keys.id: node.number for node in self.nodes}
        self.deliveries = 0
        self.trace = blake2b(digest_size=16)
        self._parts: dict[bytes, bool] = {}
        self._admitted: set[tuple[bytes, bytes]] = set()
        self.clients: list[Client] = []
        self.edge_crashes_left = plan.crash_at_edges

    # --- time and links ---

    def admit(self, vertex: Vertex, committee: Committee) -> None:
        """The border: rules and signature. Asked by all nodes, answered once; raises `InvalidVertex`."""
        name = (vertex.id, vertex.signature)
        if name not in self._admitted:
            check_vertex(vertex, committee)
            if signed([vertex], committee) != [True]:
                raise BadSignature(vertex.author)
            self._admitted.add(name)

    def send(self, source: int, target: int, message: str, *arguments: Any) -> None:
        """One message: a method of the target, called after a delay unless it is lost or the target is down."""
        if source == target or (self.plan.loss and self.random.random() < self.plan.loss):
            return
        self.at(
            self.random.randrange(5, 40), self._deliver, source, target, self.nodes[target].life, message, arguments
        )

    def _deliver(self, source: int, target: int, life: int, message: str, arguments: tuple[Any, ...]) -> None:
        node = self.nodes[target]
        if node.running and node.life == life:
            self.deliveries += 1
            self.trace.update(b"%d %d %d" % (self.now_ms, source, target))
            getattr(node, message)(*arguments)

    def number_of(self, node: bytes) -> int:
        """The number of a node."""
        return self._numbers[node]

    def sample(self, count: int) -> list[int]:
        """Some nodes."""
        return self.random.sample(range(len(self.nodes)), min(count, len(self.nodes)))

    def audience(self, committee: Committee) -> list[int]:
        """Who gets vertices and batches."""
        return list(range(len(self.nodes))) if self.follow else [self._numbers[node] for node in committee.seats]

    def dealt_coin(self, node: bytes) -> bls.SecretScalar:
        """A founder's share of the first coin."""
        return self._dealt[node]

    def part_holds(self, validator: Any, body: Any, part: bytes, verify: Callable[..., bool]) -> bool:
        """Is it a good part of a checkpoint? All seats ask the same: verified once."""
        name = H("sim.part", validator.node, part, body.epoch_record)
        if name not in self._parts:
            self._parts[name] = verify(validator, body, part)
        return self._parts[name]

    @property
    def honest(self) -> list[EpochNode]:
        return [node for node in self.nodes if node.honest]

    @property
    def furthest(self) -> EpochNode:
        """The honest node that knows most."""
        return max(self.honest, key=lambda node: (node.epoch, node.disk.head[0]))


class Client:
    """One account that sends operations one after the other, through whatever nodes answer.

    `honest`: must all that it sends be executed?
    """

    def __init__(self, world: EpochWorld, key: SigningKey, *, honest: bool = True) -> None:
        self.honest = honest
        self.world, self.key, self.waiting = world, key, list[ops.Op]()
        self.nonce, self.sent_ms = 0, -10_000
        self.item = b""
        self.outcomes: list[str] = []
        world.clients.append(self)

    def look(self) -> None:
        """Go on once the last operation is executed; repeat it while it is not."""
        account = load(self.world.furthest.view, keys.account(address_of(self.key.public)), Account)
        assert account is not None
        if self.item and account.nonce >= self.nonce:
            self.item = b""
        if not self.item and self.waiting:
            op = self.waiting.pop(0)
            self.nonce += 1
            params = self.world.ledger.params
            fee = fees.minimum_fee(op, params.prices)
            body = tx.build(
                chain=params.chain, sender=self.key.public, nonce=self.nonce, expiry_epoch=1_000, fee=fee, op=op
            )
            self.item, self.sent_ms = tx.sign(body, self.key), -10_000
        if self.item and self.world.now_ms >= self.sent_ms + 2_000:
            self.sent_ms = self.world.now_ms
            for number in self.world.sample(3):
                if self.world.nodes[number].running:
                    self.world.nodes[number].submit(self.item)
        self.world.at(300, self.look)

    @property
    def done(self) -> bool:
        return not self.waiting and not self.item


@dataclass(frozen=True)
class Result:
    """What one run showed. `unsafe` and `stalled` are empty when every check holds."""

    unsafe: tuple[str, ...]
    stalled: tuple[str, ...]
    proofs: Counter[str]  # against dishonest nodes, by kind
    refused: Counter[str]  # messages, by class of error
    trace: str
    epochs: int
    height: int
    signed_epoch: int
    committees: tuple[int, ...]
    faulty_seats: tuple[int, ...]
    removed: int
    kept: int  # epochs whose committee stayed because the next coin was not ready
    deliveries: int
    virtual_ms: int
    cpu_seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """All that went wrong."""
        return self.unsafe + self.stalled


def run_plan(plan: Plan) -> Result:
    """Run until the planned number of epochs has passed everywhere, then check."""
    started = time.process_time()
    world = EpochWorld(plan)
    for node in world.nodes:
        node.start()
    for number, at_ms, back_ms in plan.crashes:
        world.at(at_ms, _crash, world, number, back_ms - at_ms)
    if plan.crash_at_edges:
        world.at(100, _crash_at_edge, world)
    _plan_clients(world)
    target = plan.epochs

    def done() -> bool:
        return (
            all(node.epoch >= target for node in world.honest)
            and all(client.done for client in world.clients if client.honest)
            and _signed_epoch(world) >= plan.checkpointed
        )

    finished = world.run_until(done, world.start_ms + (plan.epochs + 3) * 3 * plan.epoch_ms)
    best = world.furthest
    stalled = []
    if not finished:
        behind = [node.number for node in world.honest if node.epoch < target]
        waiting = sum(not client.done for client in world.clients)
        stalled.append(f"not all reached epoch {target}: {behind}, clients open {waiting}")
    records = [record for record, _ in best.disk.handed]
    signed_epoch = _signed_epoch(world)
    if signed_epoch < max(plan.checkpointed, best.epoch - 2):
        stalled.append(f"only epoch {signed_epoch} of {best.epoch} is checkpointed")
    faulty = {node.keys.id for node in world.nodes if not node.honest}
    rows = [row for row in all_validators(best.view) if row.status == ValidatorStatus.REMOVED]
    return Result(
        unsafe=tuple(_check(world)),
        stalled=tuple(stalled),
        proofs=Counter(kind for _, kind in sorted({proof for node in world.honest for proof in node.accused})),
        refused=sum((node.refused for node in world.honest), Counter()),
        trace=world.trace.hexdigest(),
        epochs=best.epoch,
        height=best.disk.head[0],
        signed_epoch=signed_epoch,
        committees=tuple(len(record.seats_next) for record in records),
        faulty_seats=tuple(len(faulty & set(record.seats_next)) for record in records),
        removed=len(rows),
        kept=sum(a.coin_group_key_next == b.coin_group_key_next for a, b in pairwise(records)),
        deliveries=world.deliveries,
        virtual_ms=world.now_ms - world.start_ms,
        cpu_seconds=time.process_time() - started,
    )


def _signed_epoch(world: EpochWorld) -> int:
    state = epochs.epoch_of(world.furthest.view)
    assert state is not None
    return state.signed_epoch


# --- load and churn ---


def _plan_clients(world: EpochWorld) -> None:
    plan, random = world.plan, world.random
    chain = world.ledger.params.chain
    for node in world.nodes:
        client = Client(world, node.keys.owner, honest=node.honest)
        if isinstance(node, GamesScores):
            client.waiting += node.owner_ops()
        joins_ms = 0
        if node.number >= plan.founders:
            place = node.number - plan.founders
            joins_ms = place * plan.epoch_ms // plan.joins_per_epoch
            operator = b"farm" if place % 5 == 0 else b""
            client.waiting += [
                node.keys.register(chain, operator),
                ops.Bond(node.keys.id, 1_000_000_000),
                ops.Ready(node.keys.id),
            ]
        elif node.number >= plan.founders - plan.leavers:
            joins_ms = plan.epoch_ms * (1 + node.number % max(1, plan.epochs - 2))
            client.waiting.append(ops.Exit(node.keys.id))
        world.at(joins_ms + random.randrange(500), client.look)
    payer = Client(world, SigningKey(bytes([1]) * 32))
    payer.waiting += [ops.Transfer(address_of(bytes([9]) * 32), 1 + number) for number in range(plan.transfers)]
    world.at(200, payer.look)


def _crash(world: EpochWorld, number: int, away_ms: int) -> None:
    node = world.nodes[number]
    if node.running:
        node.crash()
        world.at(away_ms, _restart, world, number)


def _restart(world: EpochWorld, number: int) -> None:
    world.nodes[number].start()
    for node in world.nodes:
        if node.number != number and node.running:
            node.connected(number)
            world.nodes[number].connected(node.number)


def _crash_at_edge(world: EpochWorld) -> None:
    """Whoever has just decided the last block of an epoch, but does not yet know its end, may die."""
    for node in world.honest:
        if node.running and node.state is not None and node.state.closing.share_wanted:
            world.edge_crashes_left -= 1
            _crash(world, node.number, world.random.choice((50, 1_500, world.plan.epoch_ms)))
            break
    if world.edge_crashes_left:
        world.at(40, _crash_at_edge, world)


# --- checks ---


def _check(world: EpochWorld) -> list[str]:
    problems = [f"node {node.number}: {trouble}" for node in world.honest for trouble in node.troubles]
    best = world.furthest
    for node in world.honest:
        for epoch, ((mine, _), (theirs, _)) in enumerate(zip(node.disk.handed, best.disk.handed, strict=False)):
            if mine.id != theirs.id:
                problems.append(f"node {node.number}: another record opens epoch {epoch}")
                break
    roots: dict[int, set[bytes]] = {}
    for node in world.honest:
        for height, (_, _, root) in node.disk.blocks.items():
            roots.setdefault(height, set()).add(root)
    problems += [f"height {height} has {len(found)} roots" for height, found in roots.items() if len(found) > 1]
    problems += _check_committees(world, best)
    honest, habits = {node.keys.id for node in world.honest}, set(world.plan.habits.values())
    wrongly = sorted(kind for node in world.honest for one, kind in node.accused if one in honest)
    if wrongly:
        problems.append(f"honest nodes are accused of {wrongly}")
    paid = load(best.view, keys.account(address_of(bytes([9]) * 32)), Account)
    count = world.plan.transfers
    if count and (paid is None or paid.balance != count * (count + 1) // 2):
        problems.append(f"transfers lost or doubled: {paid}")
    spent = [load(best.view, keys.account(payee), Account) for payee in PAYEES]
    if sum(account.balance for account in spent if account) != (DOUBLE_SPEND if "double_spend" in habits else 0):
        problems.append(f"money was spent twice or never: {spent}")
    return problems


def _check_committees(world: EpochWorld, best: EpochNode) -> list[str]:
    """Recompute every draw from the rows of the states at the closes."""
    problems = []
    records = [record for record, _ in best.disk.handed]
    frozen = {0: _standing(world.ledger.states[world.ledger.genesis_root], 0)}
    for before, record in pairwise(records):
        now = _standing(world.ledger.states[record.state_root], record.epoch)
        frozen[record.epoch] = now
        here = {one.node for one in now}
        candidates = [one for one in frozen[before.epoch] if one.node in here]
        if record.seats_after_next != draw(candidates, record.beacon):
            problems.append(f"the record that opens {record.epoch} draws otherwise than the rule")
        if len(record.seats_after_next) != min(COMMITTEE_MAX, len(candidates)):
            problems.append(f"{len(record.seats_after_next)} seats of {len(candidates)} candidates")
        if len(candidates) > COMMITTEE_MAX:
            seated = Counter(one.operator for one in candidates if one.node in record.seats_after_next and one.operator)
            if seated and max(seated.values()) > OPERATOR_SEATS:
                problems.append("an operator has too many seats")
        stayed = record.coin_group_key_next == before.coin_group_key_next
        if record.seats_next != (before.seats_next if stayed else before.seats_after_next):
            problems.append(f"epoch {record.epoch} is not that of the seats that were drawn")
    return problems


def _standing(view: Any, epoch: int) -> list[Candidate]:
    return [
        Candidate(row.node, row.operator, row.score)
        for row in all_validators(view)
        if row.status == ValidatorStatus.ACTIVE and row.since <= epoch
    ]
