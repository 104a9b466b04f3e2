"""Whole nodes in one process, over memory links, with real shares and stores: one seat lies wherever it can."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec.structs import replace
from whole_node import facts_of, node, submit

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.ledger import client, duties, fees, keys, ops
from octra.consensus.ledger import seat as seat_rules
from octra.consensus.ledger.records import Account, DealtInput, Fault, FaultKind, Private, Request, SeatBytes
from octra.consensus.ledger.records import request_name as name_of_request
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transactions import build, sign
from octra.consensus.vertex import VERSION, Execution, VertexBody, VertexHeader, encode_vertex, seal_vertex
from octra.crypto import seal
from octra.crypto.ed25519 import SigningKey
from octra.node import daemon, evaluation, founding
from octra.node.actors import joint
from octra.node.actors import seat as seat_actor
from octra.node.actors.ref import ActorCode
from octra.node.actors.workers import InlineWorkers
from octra.node.clock import LoopClock
from octra.node.facade import FullNode
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.memory import MemoryNetwork
from octra.node.p2p.messages import OrderingMessage, VertexList
from octra.node.p2p.router import Router
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.node.parts import Facts, Parts
from octra.node.rpc.facts import Level
from octra.primitives import address_of

LIAR = 2  # gives wrong shares; who lies about an evaluation is the one who computes it first
LAST = 3  # gives its parts after the liar: three suffice, and a liar that comes later is not asked
ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
ENCRYPTED, SENT, DECRYPTED = 100, 30, 20
PATIENCE_S = 300.0  # a busy machine is no failure


@dataclass
class Story:
    """What came of the scenario."""

    faults: dict[tuple[int, FaultKind], int] = field(default_factory=dict)  # (seat, kind) -> how often
    lied: set[bytes] = field(default_factory=set)  # jobs whose first evaluator lied
    opened: client.Opened | None = None
    before: int = 0  # public units of Alice before and after the decryption; the fees in between
    after: int = 0
    fees: int = 0


class Network:
    """All four, and what a wallet does with them."""

    def __init__(self, nodes: list[tuple[FullNode, Parts]]) -> None:
        self.facade, self.parts = nodes[0]
        self.params = self.parts.facts.params
        self.nonce = 0
        self.fees = 0

    async def run(self, op: ops.Op, sidecar: bytes = b"") -> bytes:
        """An operation of Alice's, settled with effect; its id."""
        self.nonce += 1
        fee = fees.minimum_fee(op, self.params.prices)
        body = build(
            chain=self.params.chain, sender=ALICE.public, nonce=self.nonce, expiry_epoch=500, fee=fee, op=op
        )  # fmt: skip
        tx_id = await submit(self.facade, sign(body, ALICE) + sidecar)
        assert await self.facade.wait(tx_id, Level.CERTIFIED, PATIENCE_S)
        with self.facade.view() as view:
            found = view.transaction(tx_id)
        assert found is not None
        assert found.receipt is not None
        assert found.status == "ok", (found.status, found.reason)
        self.fees += found.receipt.fee_charged - (found.settlement.refunded if found.settlement else 0)
        return tx_id

    async def pay(self, units: int) -> None:
        """A private transfer to Bob."""
        dealing, sidecar = client.deal_amount(
            units,
            chain=self.params.chain,
            sender_key=ALICE.public,
            nonce=self.nonce + 1,
            view_keys=[seat.view_key for seat in self.params.seats],
            seed=os.urandom(32),
        )
        await self.run(ops.PrivateTransfer(address_of(BOB.public), dealing), sidecar)

    async def look(self) -> client.Opened:
        """Alice's spendable balance, once all four seats have answered her."""
        state = self.parts.stores.state
        private = load(state, keys.private(address_of(ALICE.public)), Private)
        assert private is not None
        secret, public = seal.generate()
        request = name_of_request(await self.run(ops.ViewRequest((private.spendable,), public)))
        shares: dict[int, bytes] = {}
        while len(shares) < 4:
            await self.parts.board.news(1)
            rows = {number: load(state, keys.share(request, number), SeatBytes) for number in range(4)}
            shares = {number: row.data for number, row in rows.items() if row is not None}
        asked = load(state, keys.request(request), Request)
        assert asked is not None
        return client.open_view(asked, shares, chain=self.params.chain, reader_secret=secret, seats=4)

    def public_units(self) -> int:
        """Alice's public balance."""
        account = load(self.parts.stores.state, keys.account(address_of(ALICE.public)), Account)
        assert account is not None
        return account.balance

    def faults(self) -> dict[tuple[int, FaultKind], int]:
        """All faults on record."""
        found: dict[tuple[int, FaultKind], int] = {}
        for number, seat in enumerate(self.params.seats):
            for _, row in self.parts.stores.state.scan(keys.fault(seat.node_id, b""), 100):
                fault = decode(row, Fault)
                found[number, FaultKind(fault.kind)] = found.get((number, FaultKind(fault.kind)), 0) + 1
        return found


def lie(patch: pytest.MonkeyPatch, story: Story) -> None:
    """Make seat `LIAR` alter its shares, and the first evaluator of each job its result."""
    honest_part, honest_opening, honest_jobs = seat_rules.make_part, seat_rules.opening_part, evaluation.evaluate_jobs
    honest_duties = duties._for_input

    def make_part(seat: seat_rules.SeatSecrets, *rest: Any) -> ops.InputPart:
        part = honest_part(seat, *rest)
        return replace(part, values=_altered(part.values)) if seat.number == LIAR else part

    def for_input(record: DealtInput, seat: int) -> list[duties.Duty]:
        waits = seat == LAST and all(row.seat != LIAR for row in record.parts)
        owed = honest_duties(record, seat)
        return [duty for duty in owed if not (waits and isinstance(duty, duties.MakeInputPart))]

    def opening_part(seat: seat_rules.SeatSecrets, *rest: Any) -> bytes:
        part = honest_opening(seat, *rest)
        return _altered(part) if seat.number == LIAR else part

    def evaluate_jobs(data: bytes) -> bytes:
        tasks = decode(data, evaluation.EvaluateTasks)
        answers = decode(honest_jobs(data), list[evaluation.Evaluated])
        for number, task in enumerate(tasks.jobs):
            if task.job not in story.lied:
                story.lied.add(task.job)
                outputs = answers[number].outputs
                answers[number] = replace(answers[number], outputs=(_altered(outputs[0]), *outputs[1:]))
        return encode(answers)

    patch.setattr(duties, "_for_input", for_input)
    patch.setattr(seat_rules, "make_part", make_part)
    patch.setattr(seat_rules, "opening_part", opening_part)
    patch.setattr(joint, "evaluate_jobs", evaluate_jobs)
    patch.setattr(seat_actor, "ProcessWorkers", lambda count: InlineWorkers())


def _altered(data: bytes) -> bytes:
    """One bit of the middle is another one: still a value of the field, and not the right one."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


async def play(directory: Path, story: Story) -> None:
    accounts = (address_of(ALICE.public),)
    plan = founding.Plan(directory / "net", light=0, parameters="TEST", accounts=accounts)
    places = founding.found(plan, bytes(32), 1_700_000_000_000, say=lambda _: None)
    network, first = MemoryNetwork(), ""
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for number, place in enumerate(places):
            facts = facts_of(place, first)
            nodes.append(await stack.enter_async_context(node(network, number, facts)))
            first = first or nodes[0][1].router.transport.listening()[0]
        chain_of_four = Network(nodes)
        await chain_of_four.run(ops.Encrypt(ENCRYPTED))
        await chain_of_four.pay(SENT)
        story.opened = await chain_of_four.look()
        story.before, chain_of_four.fees = chain_of_four.public_units(), 0
        await chain_of_four.run(ops.Decrypt(DECRYPTED))
        while (LIAR, FaultKind.WRONG_OPENING_SHARE) not in chain_of_four.faults():  # its share may come after the end
            await chain_of_four.parts.board.news(1)
        story.after, story.fees, story.faults = chain_of_four.public_units(), chain_of_four.fees, chain_of_four.faults()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    told = Story()
    with pytest.MonkeyPatch.context() as patch:
        lie(patch, told)
        asyncio.run(asyncio.wait_for(play(tmp_path_factory.mktemp("four"), told), PATIENCE_S))
    return told


def test_a_wrong_part_of_a_hidden_amount_is_corrected_and_its_seat_named(story: Story) -> None:
    assert story.faults[LIAR, FaultKind.WRONG_INPUT_PART] == 1


def test_a_wrong_result_is_refused_and_more_seats_are_asked(story: Story) -> None:
    """Each job of the story was computed wrongly by the first evaluator, and certified all the same."""
    contradicted = sum(count for (_, kind), count in story.faults.items() if kind is FaultKind.CONTRADICTED_DIGEST)
    assert len(story.lied) == 2
    assert contradicted == 2


def test_the_owner_reads_the_right_balance_and_learns_who_lied(story: Story) -> None:
    assert story.opened == client.Opened((ENCRYPTED - SENT,), (LIAR,))


def test_a_wrong_share_of_a_public_opening_is_corrected_and_its_seat_named(story: Story) -> None:
    assert story.after == story.before - story.fees + DECRYPTED
    assert story.faults[LIAR, FaultKind.WRONG_OPENING_SHARE] == 1


def test_no_honest_seat_is_blamed_for_a_share(story: Story) -> None:
    shares = {seat for seat, kind in story.faults if kind is not FaultKind.CONTRADICTED_DIGEST}
    assert shares == {LIAR}


# --- twins ---


def twin(facts: Facts, number: int) -> bytes:
    """The frame of a vertex of round 1; another number, another vertex."""
    header = VertexHeader(
        version=VERSION,
        anchor=facts.committee.anchor,
        author=facts.committee.seats.index(facts.keys.node_id),
        round=1,
        body_id=bytes(32),
        height=0,
        block_id=bytes(32),
        state_root=bytes(32),
        time_ms=1_700_000_000_001 + number,
    )
    body = VertexBody(parents=(), weak=(), batches=(), attested=(), execution=Execution(0, bytes(32)))
    return encode_vertex(seal_vertex(header, body, b"", facts.keys.node.sign))


async def flood(directory: Path, count: int) -> list[bytes]:
    """Seat 3 sends `count` twins to node 0; what node 0 has stored of it afterwards."""
    plan = founding.Plan(directory / "net", light=0, parameters="TEST")
    places = founding.found(plan, bytes(32), 1_700_000_000_000, say=lambda _: None)
    network = MemoryNetwork()
    async with node(network, 0, facts_of(places[0], "")) as (_, parts):
        liar, clock = facts_of(places[3], ""), LoopClock()
        identity = daemon.identity_of(liar)
        endpoint = Endpoint(identity, network.carrier(3, identity.node_id), clock, structlog.get_logger())
        router = Router(endpoint, clock, structlog.get_logger(), blame=lambda *_: None)
        heard: asyncio.Queue[Incoming] = asyncio.Queue()
        router.register(ActorCode.ORDERING, lambda batch: [heard.put_nowait(item) for item in batch])
        await router.start()
        try:
            target = parts.facts.keys.node_id
            router.transport.dial(parts.router.transport.listening()[0], target)
            await heard.get()  # the first vertex of node 0: the link is up
            last = twin(facts_of(places[2], ""), 0)  # an honest vertex behind the flood
            for frame in (*(twin(liar, number) for number in range(count)), last):
                body = encode(VertexList((frame,)))
                router.tell(target, Lane.CONSENSUS, ActorCode.ORDERING, OrderingMessage.VERTICES, body)
            while not stored_of(parts, 2):
                await parts.board.news(0.05)
        finally:
            await router.stop()
        return stored_of(parts, 3)


def stored_of(parts: Parts, author: int) -> list[bytes]:
    """Frames of a seat's vertices of round 1 that a node has stored."""
    return [frame for place, frame in parts.stores.blocks.vertices(0, 1, 1).vertices if place.author == author]


def test_a_seat_that_makes_twins_without_end_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat_actor, "ProcessWorkers", lambda count: InlineWorkers())
    assert len(asyncio.run(flood(tmp_path, 12))) == limits.TWINS_STORED
