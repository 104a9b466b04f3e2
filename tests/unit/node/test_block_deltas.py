"""A block that is applied from its delta leaves the same database behind as one that is executed, row for row."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ledger_double import ALICE, BOB, CAROL, NOBODY, Chain, CounterEngine, address, arguments
from msgspec.structs import replace
from stored_blocks import Node, certain, ordered

from octra.codec import encode
from octra.consensus.circles import blob_hash, circle_id
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.delta import delta_id, run_id
from octra.consensus.ledger.outcome import LedgerCommit, Outcome
from octra.consensus.limits import DELTA_RUN, DELTA_STEP, DELTAS_KEPT
from octra.consensus.vertex import APPLIED, EXECUTED, NO_DELTA, Execution
from octra.crypto.hash import EMPTY_ROOT, H
from octra.node import deltas
from octra.node.applying import CertainDelta
from octra.node.deltas import DeltaShelf, Mark, mark_after, read_mark
from octra.node.executing import DeltaMisfit
from octra.storage.kv import Family, KeyValue
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks

CODE = CounterEngine.CODE
METHODS = {"add": {"kind": "update"}, "pay": {"kind": "update", "payable": True}, "fail": {"kind": "update"}}
MANIFEST = encode({"circle": {"name": "counter"}, "limits": {"max_stable_bytes": 1_000}, "methods": METHODS})
DEPLOY = ops.CircleDeploy(bytes([8]) * 32, MANIFEST, H("test.code"), EMPTY_ROOT)


class OneBlock(Chain):
    """The chain double, which also gives each of its commits as an ordered block."""

    commits: list[LedgerCommit]

    def apply(self, commit: LedgerCommit) -> Outcome:
        self.commits.append(commit)
        return super().apply(commit)


@pytest.fixture(params=["memory", "rocks"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OneBlock, Node, Node]]:
    """A source of blocks, a node that executes them and one that applies."""
    chain = OneBlock()
    chain.commits = []
    with contextlib.ExitStack() as stack:
        nodes = []
        for name in ("executes", "applies"):
            kv: KeyValue = MemoryKeyValue() if request.param == "memory" else open_rocks(tmp_path / name / "db")
            node = Node(chain, kv, tmp_path / name / "journal")
            stack.callback(node.close)
            nodes.append(node)
        yield chain, nodes[0], nodes[1]


def history(chain: OneBlock, seed: int, blocks: int) -> list[LedgerCommit]:
    """Blocks with everything in them: transfers, failures, private work, Circles, a new epoch."""
    drawn = random.Random(seed)
    circle = circle_id(address(ALICE), 2, DEPLOY.package_root)
    chain.submit(ALICE, ops.CircleBlobPut(blob_hash(CODE), 0, CODE))
    chain.step()
    chain.submit(ALICE, replace(DEPLOY, code_hash=_code_hash()), fee=203_000)
    for _ in range(3):
        chain.step()
    for number in range(blocks):
        for _ in range(drawn.randrange(5)):
            amount = drawn.randrange(1, 500)
            match drawn.randrange(9):
                case 0 | 1:
                    chain.submit(ALICE, ops.Transfer(address(BOB), amount))
                case 2:
                    chain.submit(BOB, ops.Burn(10**15))  # fails
                case 3:
                    chain.submit(ALICE, ops.Encrypt(amount))
                case 4:
                    chain.send_private(ALICE, address(CAROL), amount)
                case 5:
                    chain.submit(BOB, ops.CircleCall(circle, "add", arguments(amount), 0, 10_000_000))
                case 6:
                    chain.submit(BOB, ops.CircleCall(circle, "fail", arguments(amount), 0, 10_000_000))
                case 7:
                    chain.queue.append(b"\xc1")
                case 8:
                    chain.submit(NOBODY, ops.Transfer(address(BOB), amount))
        chain.step(dt_ms=25_000 if number == blocks // 2 else 500)
    return chain.commits


def _code_hash() -> bytes:
    from hashlib import sha256

    return sha256(CODE).digest()


def test_every_row_of_an_applied_chain_is_that_of_an_executed_one(pair: tuple[OneBlock, Node, Node]) -> None:
    chain, executes, applies = pair
    for commit in history(chain, 7, 40):
        draft, batches = ordered(commit)
        snapshot = b"ordering" if commit.height % 16 == 0 else None
        stored = executes.executor.execute(draft, batches, snapshot)
        applied = applies.executor.apply(draft, batches, certain(stored), snapshot)
        assert applied.header == stored.header
        assert stored.mark is not None
        assert applied.mark is not None
        assert stored.mark.execution.delta_id == applied.mark.execution.delta_id
        if commit.height >= DELTA_STEP:
            assert (stored.mark.execution.mode, applied.mark.execution.mode) == (EXECUTED, APPLIED)
        if commit.height % DELTA_STEP == 0:
            assert stored.mark.execution.delta_id == run_id(stored.mark.ids)
    assert executes.rows() == applies.rows()
    kinds = {family for family, _ in executes.rows()}
    assert {Family.TX, Family.RECEIPT, Family.SETTLEMENT, Family.BLOB, Family.ACCOUNT_TX} <= kinds
    circle = circle_id(address(ALICE), 2, DEPLOY.package_root)
    assert applies.stores.state.circle_get(circle, b"n") == chain.circles.get(circle, b"n") is not None
    assert applies.stores.state.get(keys.circle(circle)) is not None


def test_a_seat_may_apply_and_execute_in_turn(pair: tuple[OneBlock, Node, Node]) -> None:
    chain, executes, changes = pair
    for commit in history(chain, 8, 20):
        draft, batches = ordered(commit)
        stored = executes.executor.execute(draft, batches, None)
        if commit.height // 3 % 2:
            other = changes.executor.execute(draft, batches, None)
        else:
            other = changes.executor.apply(draft, batches, certain(stored), None)
        assert other.header.block_id == stored.header.block_id
        assert stored.mark is not None
        assert other.mark is not None
        assert other.mark.ids == stored.mark.ids
    assert executes.rows() == changes.rows()


@pytest.mark.parametrize("lie", ["balance", "root", "block", "previous", "time", "circle"])
def test_a_delta_that_does_not_lead_to_the_agreed_block_changes_nothing(
    pair: tuple[OneBlock, Node, Node], lie: str
) -> None:
    chain, executes, applies = pair
    commits = history(chain, 9, 3)
    for commit in commits[:-1]:
        draft, batches = ordered(commit)
        applies.executor.apply(draft, batches, certain(executes.executor.execute(draft, batches, None)), None)
    circle = circle_id(address(ALICE), 2, DEPLOY.package_root)
    chain.submit(BOB, ops.CircleCall(circle, "add", arguments(5), 0, 10_000_000))
    draft, batches = ordered(commits[-1])
    stored = executes.executor.execute(draft, batches, None)
    if lie == "circle":
        applies.executor.apply(draft, batches, certain(stored), None)
        chain.step()
        draft, batches = ordered(chain.commits[-1])
        stored = executes.executor.execute(draft, batches, None)
    good = certain(stored)
    before, delta = applies.rows(), good.delta
    (key, value), *others = delta.writes
    match lie:
        case "balance":
            false = replace(delta, writes=((key, (value or b"") + b"\x00"), *others))
        case "root":
            false = replace(delta, root=H("test.other"))
        case "previous":
            false = replace(delta, previous_root=H("test.other"))
        case "time":
            false = replace(delta, facts=replace(delta.facts, time_ms=delta.facts.time_ms + 1))
        case "circle":
            changed = replace(delta.circles[0], writes=((b"n", b"all mine"),))
            false = replace(delta, circles=(changed,))
        case _:
            false = replace(delta, block_id=H("test.other"))
    with pytest.raises(DeltaMisfit):
        applies.executor.apply(draft, batches, CertainDelta(good.id, good.data, false), None)
    assert applies.rows() == before
    assert applies.executor.execute(draft, batches, None).header == stored.header  # and it goes on by itself
    assert applies.rows() == executes.rows()


# --- what is published and served ---


NOTHING = Execution(EXECUTED, NO_DELTA)


def test_a_run_is_published_only_when_all_of_it_is_known() -> None:
    mark = Mark(100, (), NOTHING)
    for number in range(DELTA_RUN):
        assert mark.execution == NOTHING
        mark = mark_after(mark, EXECUTED, bytes([number + 1]) * 32)
    assert mark.execution == Execution(EXECUTED, run_id(mark.ids))


def test_what_is_published_changes_at_every_fourth_height() -> None:
    mark, said = Mark(0, (), NOTHING), []
    for number in range(8):  # the first blocks have no others below them
        mark = mark_after(mark, APPLIED if number in (3, 4) else EXECUTED, bytes([number + 1]) * 32)
        said.append(mark.execution)
    first, second = Execution(APPLIED, run_id(mark.ids[:4])), Execution(EXECUTED, run_id(mark.ids))
    assert said == [*[NOTHING] * 3, *[first] * 4, second]
    for number in range(8, 12):
        mark = mark_after(mark, EXECUTED, NO_DELTA if number == 11 else bytes([number + 1]) * 32)
    assert mark.execution == NOTHING  # the last block is too large for a delta


def test_a_restarted_node_says_of_its_head_what_it_said_before(pair: tuple[OneBlock, Node, Node]) -> None:
    chain, executes, applies = pair
    for commit in history(chain, 3, 1):
        draft, batches = ordered(commit)
        stored = executes.executor.execute(draft, batches, None)
        applied = applies.executor.apply(draft, batches, certain(stored), None)
        for node, block in ((executes, stored), (applies, applied)):
            assert read_mark(node.kv, commit.height) == block.mark
    assert read_mark(executes.kv, 999) == Mark(999, (), NOTHING)


def shelf_of(sizes: Sequence[int]) -> tuple[DeltaShelf, list[Mark]]:
    shelf, mark, marks = DeltaShelf(), Mark(0, (), NOTHING), []
    for size in sizes:
        data = bytes([len(marks) % 251]) * size
        mark = mark_after(mark, EXECUTED, delta_id(data))
        marks.append(mark)
        shelf.keep(mark, data)
    return shelf, marks


class Question:
    """A peer's question, and what it was answered."""

    def __init__(self, top: int, height: int, offset: int = 0) -> None:
        self.message = deltas.LedgerMessage.FETCH_DELTA
        self.body = encode(deltas.DeltaRequest(top, height, offset))
        self.answers: list[bytes] = []
        self.refusals: list[deltas.RefusalCode] = []

    def reply(self, body: bytes) -> None:
        self.answers.append(body)

    def refuse(self, code: deltas.RefusalCode, reason: str = "") -> None:
        self.refusals.append(code)


def asked(shelf: DeltaShelf, top: int, height: int, offset: int = 0) -> Question:
    question = Question(top, height, offset)
    questions: Any = [question]
    shelf.serve(questions)
    return question


def test_a_shelf_forgets_the_oldest() -> None:
    shelf, _ = shelf_of([100] * (DELTAS_KEPT + 5))
    assert asked(shelf, DELTAS_KEPT + 5, 5).refusals == [deltas.RefusalCode.NOT_FOUND]
    assert asked(shelf, 5, 6).refusals == [deltas.RefusalCode.NOT_FOUND]
    assert len(asked(shelf, DELTAS_KEPT + 5, 6).answers) == 1
    large, _ = shelf_of([5 << 20] * 9)
    kept = [height for height in range(1, 10) if asked(large, 9, height).answers]
    assert kept == [7, 8, 9]  # 15 of 16 MiB


def test_offsets_beyond_the_end_and_other_messages_are_refused() -> None:
    shelf, _ = shelf_of([100])
    for offset in (-1, 100, 2**40):
        assert asked(shelf, 1, 1, offset).refusals == [deltas.RefusalCode.INVALID]
    question: Any = Question(1, 1)
    question.message = 77
    shelf.serve([question])
    assert question.refusals == [deltas.RefusalCode.UNKNOWN]
