"""Four whole nodes that split execution: all end with the same blocks and answers, also when an executor lies."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from whole_node import facts_of, node, submit

from octra.codec import decode, encode
from octra.consensus import graph
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.delta import Delta, delta_id, run_id
from octra.consensus.ledger.transactions import build, sign
from octra.consensus.vertex import APPLIED, EXECUTED, NO_DELTA, decode_vertex
from octra.crypto.ed25519 import SigningKey
from octra.node import config, founding
from octra.node.actors import ledger
from octra.node.applying import Fetched
from octra.node.executing import BlockExecutor, StoredBlock
from octra.node.facade import FullNode
from octra.node.p2p.memory import MemoryNetwork
from octra.node.parts import Parts
from octra.node.rpc import present
from octra.node.rpc.facts import Level
from octra.primitives import NodeId, address_of
from octra.storage.kv import Family

ALICE, BOB = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
LIAR = 2  # f = 1
WINDOW = 16  # blocks of one duty, instead of 32
ENOUGH = 4  # blocks that each node applies
PATIENCE_S = 120.0


@dataclass
class Story:
    """What came of the scenario."""

    blocks: list[list[tuple[bytes, ...]]] = field(default_factory=list)  # by node: raw rows of each height
    answers: list[list[Any]] = field(default_factory=list)  # by node: what its API says of each transaction
    executed: list[int] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)
    modes: set[tuple[int, int]] = field(default_factory=set)  # (seat, mode) of claims with a delta
    false: set[bytes] = field(default_factory=set)  # ids of deltas that the liar made up
    taken: set[bytes] = field(default_factory=set)  # ids of deltas that anybody applied
    failed: set[NodeId] = field(default_factory=set)  # seats that gave wrong bytes, or none
    nodes: tuple[NodeId, ...] = ()


def watch(patch: pytest.MonkeyPatch, story: Story, *, lies: bool) -> None:
    """Note what is applied. The liar publishes a false delta of every eighth block and serves false bytes of others."""
    execute, apply, fetch_run = BlockExecutor.execute, BlockExecutor.apply, ledger.fetch_run

    def false_execute(executor: BlockExecutor, *order: Any) -> StoredBlock:
        stored = execute(executor, *order)
        if not lies or executor._facts.seat != LIAR or stored.mark is None:
            return stored
        delta = decode(stored.delta, Delta)
        (key, value), *others = delta.writes
        made_up = encode(replace(delta, writes=((key, (value or b"") + b"\x00"), *others)))
        story.false.add(delta_id(made_up))
        mark = stored.mark
        if stored.header.height % 8 == 0:
            ids = (*mark.ids[:-1], delta_id(made_up))
            mark = replace(mark, ids=ids, execution=replace(mark.execution, delta_id=run_id(ids)))
        return dataclasses.replace(stored, delta=made_up, mark=mark)

    def noted_apply(executor: BlockExecutor, draft: Any, batches: Any, certain: Any, snapshot: Any) -> StoredBlock:
        story.taken.add(certain.id)
        return apply(executor, draft, batches, certain, snapshot)

    async def noted_fetch(*question: Any) -> Fetched:
        fetched = await fetch_run(*question)
        story.failed.update(fetched.failed)
        return fetched

    patch.setattr(BlockExecutor, "execute", false_execute)
    patch.setattr(BlockExecutor, "apply", noted_apply)
    patch.setattr(ledger, "fetch_run", noted_fetch)
    patch.setattr(graph, "EXECUTOR_HEIGHTS", WINDOW)


async def play(directory: Path, story: Story) -> None:
    plan = founding.Plan(
        directory / "net",
        light=0,
        parameters="TEST",
        network_key=False,
        accounts=(address_of(ALICE.public),),
        execution=config.Execution.SPLIT,
    )
    places = founding.found(plan, bytes(32), 1_800_000_000_000, say=lambda _: None)
    network, first = MemoryNetwork(), ""
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[tuple[FullNode, Parts]] = []
        for number, place in enumerate(places):
            nodes.append(await stack.enter_async_context(node(network, number, facts_of(place, first))))
            first = first or nodes[0][1].router.transport.listening()[0]
        story.nodes = tuple(nodes[0][1].seating.committee.seats)
        sent: list[bytes] = []
        while not all(parts.board.blocks_applied > ENOUGH for _, parts in nodes) or len(sent) < 8:
            facade, parts = nodes[len(sent) % 4]
            sent.append(await submit(facade, payment(parts, len(sent) + 1)))
            assert await facade.wait(sent[-1], Level.CERTIFIED, PATIENCE_S)
        height = max(parts.board.certified for _, parts in nodes)
        for _, parts in nodes:
            while parts.board.certified < height:
                await parts.board.news(1)
        for facade, parts in nodes:
            story.blocks.append([rows_of(parts, at) for at in range(1, height + 1)])
            with facade.view() as view:
                found = [view.transaction(name) for name in sent]
            assert all(one is not None for one in found)
            story.answers.append([present.transaction(one) for one in found if one is not None])
            story.executed.append(parts.board.blocks_executed)
            story.applied.append(parts.board.blocks_applied)
        status = nodes[0][0].status()
        assert (status.execution, status.blocks_applied) == ("split", nodes[0][1].board.blocks_applied)
        for _, frame in nodes[0][1].stores.blocks.all_vertices(0):
            vertex = decode_vertex(frame)
            if vertex.body.execution.delta_id != NO_DELTA:
                story.modes.add((vertex.author, vertex.body.execution.mode))


def payment(parts: Parts, nonce: int) -> bytes:
    """Alice pays Bob; every fourth time she calls a Circle that does not exist, which fails and is charged."""
    op: ops.Op = ops.Transfer(address_of(BOB.public), nonce)
    if nonce % 4 == 0:
        op = ops.CircleCall(b"c" * 33, "add", encode([]), 0, 1_000_000)
    fee = fees.minimum_fee(op, parts.facts.params.prices)
    chain = parts.facts.params.chain
    return sign(build(chain=chain, sender=ALICE.public, nonce=nonce, expiry_epoch=500, fee=fee, op=op), ALICE)


def rows_of(parts: Parts, height: int) -> tuple[bytes, ...]:
    """Block and receipts of a height as they lie on disk."""
    kv, name = parts.stores.kv, height.to_bytes(8, "big")
    return tuple(
        value
        for family in (Family.COMMIT, Family.RECEIPT, Family.SETTLEMENT)
        for _, value in kv.scan(family, name, name + b"\xff" * 13, limit=1_000)
    )


def tell(directory: Path, *, lies: bool) -> Story:
    told = Story()
    with pytest.MonkeyPatch.context() as patch:
        watch(patch, told, lies=lies)
        asyncio.run(asyncio.wait_for(play(directory, told), PATIENCE_S))
    return told


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All four do what they should."""
    return tell(tmp_path_factory.mktemp("honest"), lies=False)


@pytest.fixture(scope="module")
def lied_to(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One of the four lies about deltas."""
    return tell(tmp_path_factory.mktemp("lied_to"), lies=True)


def test_seats_that_execute_and_seats_that_apply_have_equal_blocks_and_receipts(honest: Story) -> None:
    assert all(rows == honest.blocks[0] for rows in honest.blocks)
    assert any(len(rows) > 1 for rows in honest.blocks[0])  # receipts, too


def test_they_give_the_same_answers(honest: Story) -> None:
    assert all(answers == honest.answers[0] for answers in honest.answers)
    assert {answer["status"] for answer in honest.answers[0]} == {"ok", "failed"}


def test_every_seat_executes_in_its_turn_and_applies_in_the_others(honest: Story) -> None:
    assert min(honest.executed) > 0
    assert min(honest.applied) > ENOUGH
    assert honest.modes == {(seat, mode) for seat in range(4) for mode in (EXECUTED, APPLIED)}


def test_a_false_delta_is_applied_by_nobody(lied_to: Story) -> None:
    assert lied_to.false
    assert lied_to.taken
    assert not lied_to.false & lied_to.taken
    assert all(rows == lied_to.blocks[0] for rows in lied_to.blocks)


def test_who_serves_false_bytes_is_passed_over(lied_to: Story) -> None:
    assert lied_to.nodes[LIAR] in lied_to.failed
    assert min(applied for seat, applied in enumerate(lied_to.applied) if seat != LIAR) > ENOUGH
