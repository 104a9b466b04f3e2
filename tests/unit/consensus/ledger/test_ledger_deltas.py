"""Deltas: applying what a block changed gives what executing it gives, whatever the block holds; bytes are strict."""

from __future__ import annotations

import json
from dataclasses import replace as but
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_double import ALICE, BOB, CAROL, NOBODY, Chain, CounterEngine, address, arguments
from msgspec.structs import replace

from octra.codec import decode, encode
from octra.consensus.circles import blob_hash, circle_id
from octra.consensus.errors import InvalidDelta
from octra.consensus.ledger import ops
from octra.consensus.ledger.delta import Delta, admit_delta, delta_id, delta_of, outcome_of, run_id
from octra.consensus.ledger.outcome import Outcome, SeatFault
from octra.consensus.ledger.receipts import receipts_root
from octra.consensus.ledger.transition import seal_circle_records
from octra.consensus.limits import DELTA_RUN
from octra.consensus.vertex import NO_DELTA
from octra.crypto.hash import EMPTY_ROOT, H, merkle_root

VECTORS = Path(__file__).parents[3] / "vectors" / "consensus" / "deltas.json"
METHODS = {"add": {"kind": "update"}, "pay": {"kind": "update", "payable": True}, "fail": {"kind": "update"}}
MANIFEST = encode({"circle": {"name": "counter"}, "limits": {"max_stable_bytes": 1_000}, "methods": METHODS})
DEPLOY = ops.CircleDeploy(bytes([8]) * 32, MANIFEST, sha256(CounterEngine.CODE).digest(), EMPTY_ROOT)
CIRCLE = circle_id(address(ALICE), 2, DEPLOY.package_root)


class Pair:
    """A chain that executes, and its twin that hears of deltas only."""

    def __init__(self) -> None:
        self.chain, self.twin = Chain(), Chain()
        self.blocks: list[bytes] = []

    def step(self, *, extra: tuple[bytes, ...] = (), evidence: tuple[SeatFault, ...] = (), dt_ms: int = 500) -> None:
        """One block: executed here, applied there, equal in everything that a node stores."""
        before = self.chain.view.root()
        outcome = self.chain.step(extra=extra, evidence=evidence, dt_ms=dt_ms)
        after = self.chain.view.root()
        data = delta_of(outcome, before, after, H("test.block", after))
        self.blocks.append(data)
        delta = admit_delta(data, delta_id(data), outcome.facts.height)
        applied = outcome_of(delta)
        assert applied == but(outcome, calls={})
        self.apply(applied)
        assert delta.previous_root == before
        assert self.twin.view.root() == delta.root == after
        assert receipts_root(applied.receipts, applied.settlements) == applied.facts.receipts_root
        assert merkle_root([receipt.tx for receipt in applied.receipts]) == applied.facts.transactions_root

    def apply(self, outcome: Outcome) -> None:
        """What a store does with it."""
        twin = self.twin
        twin.view.apply(outcome.writes.items())
        twin.view.apply(seal_circle_records(outcome, twin.circles.apply(outcome.circle_writes)))


ACTIONS = ("transfer", "burn", "encrypt", "private", "decrypt", "collect", "add", "pay", "fail", "blob", "junk", "poor")


def submit(chain: Chain, action: str, amount: int) -> None:
    """One transaction, good or bad."""
    match action:
        case "transfer":
            chain.submit(ALICE, ops.Transfer(address(BOB), amount))
        case "burn":
            chain.submit(BOB, ops.Burn(amount))
        case "encrypt":
            chain.submit(ALICE, ops.Encrypt(amount))
        case "private":
            chain.send_private(ALICE, address(CAROL), amount)
        case "decrypt":
            chain.submit(ALICE, ops.Decrypt(amount))
        case "collect":
            chain.submit(CAROL, ops.Collect())
        case "add" | "fail":
            chain.submit(BOB, ops.CircleCall(CIRCLE, action, arguments(amount), 0, 10_000_000))
        case "pay":
            chain.submit(BOB, ops.CircleCall(CIRCLE, action, arguments(address(CAROL), 1), amount, 10_000_000))
        case "blob":
            content = amount.to_bytes(4, "big") * 50
            chain.submit(CAROL, ops.CircleBlobPut(blob_hash(content), 0, content))
        case "junk":
            chain.queue.append(b"\xc1" + bytes(amount % 7))
        case "poor":
            chain.submit(NOBODY, ops.Transfer(address(BOB), amount))


def with_circle() -> Pair:
    """Both have Alice's counter, in three blocks and more."""
    pair = Pair()
    pair.chain.submit(ALICE, ops.CircleBlobPut(blob_hash(CounterEngine.CODE), 0, CounterEngine.CODE))
    pair.step()
    pair.chain.submit(ALICE, DEPLOY, fee=203_000)
    for _ in range(1 + pair.chain.params.limits.circle_activation):
        pair.step()
    return pair


block = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 900)), max_size=5)


@settings(max_examples=40)
@given(blocks=st.lists(block, min_size=1, max_size=8), late=st.booleans(), faulty=st.booleans())
def test_applying_a_delta_gives_what_executing_gives(
    blocks: list[list[tuple[str, int]]], late: bool, faulty: bool
) -> None:
    pair = with_circle()
    for number, actions in enumerate(blocks):
        for action, amount in actions:
            submit(pair.chain, action, amount)
        fault = (SeatFault(1, H("test.proof")),) if faulty and number == 0 else ()
        pair.step(evidence=fault, dt_ms=25_000 if late and number == 2 else 500)
    for _ in range(4):  # what the seats owe to private work
        pair.step()


def test_a_delta_carries_circles_blobs_settlements_and_skipped_transactions() -> None:
    pair = with_circle()
    for action in ACTIONS:
        submit(pair.chain, action, 7)
    for _ in range(60):
        pair.step()
    deltas = [decode(data, Delta) for data in pair.blocks]
    for filled in ("circles", "blobs", "settlements", "events", "skipped", "receipts", "places"):
        assert any(getattr(delta, filled) for delta in deltas), filled
    assert any(value is None for delta in deltas for _, value in delta.writes)


# --- strict bytes ---


@pytest.fixture(scope="module")
def data() -> bytes:
    """The delta of a block with a transfer and a Circle call."""
    pair = with_circle()
    submit(pair.chain, "transfer", 5)
    submit(pair.chain, "add", 5)
    pair.step()
    return pair.blocks[-1]


def refuse(data: bytes, delta: Delta) -> str:
    height = decode(data, Delta).facts.height
    altered = encode(delta)
    with pytest.raises(InvalidDelta) as refused:
        admit_delta(altered, delta_id(altered), height)
    return refused.value.reason


def test_other_bytes_than_those_named_are_refused(data: bytes) -> None:
    height = decode(data, Delta).facts.height
    for place in range(0, len(data), 13):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(InvalidDelta, match="not the bytes"):
            admit_delta(altered, delta_id(data), height)
    with pytest.raises(InvalidDelta, match="height"):
        admit_delta(data, delta_id(data), height + 1)


def test_a_delta_has_one_encoding(data: bytes) -> None:
    delta = decode(data, Delta)
    (circle,) = delta.circles
    twice = replace(circle, writes=(*circle.writes, *circle.writes))
    assert refuse(data, replace(delta, writes=delta.writes[::-1])) == "not sorted"
    assert refuse(data, replace(delta, writes=(*delta.writes, delta.writes[-1]))) == "not sorted"
    assert refuse(data, replace(delta, circles=(circle, circle))) == "not sorted"
    assert refuse(data, replace(delta, circles=(twice,))) == "not sorted"
    assert refuse(data, replace(delta, blobs=((b"b" * 32, b""), (b"a" * 32, b"")))) == "not sorted"
    assert refuse(data, replace(delta, places=delta.places[1:])) == "receipts without a place"
    assert refuse(data, replace(delta, version=2)) == "another version or height"
    assert "canonical" in _malformed(data + b"\x00") or "trailing" in _malformed(data + b"\x00")
    assert "malformed delta" in _malformed(b"")


def _malformed(data: bytes) -> str:
    with pytest.raises(InvalidDelta) as refused:
        admit_delta(data, delta_id(data), 1)
    return refused.value.reason


def test_a_run_names_each_of_its_deltas_and_their_order() -> None:
    ids = [bytes([k]) * 32 for k in range(1, DELTA_RUN + 1)]
    names = {run_id(ids), run_id(ids[::-1]), run_id(ids[1:]), run_id(ids[-1:]), run_id([NO_DELTA, *ids[1:]])}
    assert len(names) == 5
    assert run_id([*ids[1:], NO_DELTA]) == NO_DELTA  # who holds no delta publishes none


def test_frozen_bytes() -> None:
    vector = json.loads(VECTORS.read_text())
    pair = with_circle()
    for action in ("transfer", "add", "junk", "poor", "encrypt"):
        submit(pair.chain, action, 5)
    pair.step()
    ids = [delta_id(data) for data in pair.blocks]
    assert [data.hex() for data in pair.blocks] == vector["deltas"]
    assert [id.hex() for id in ids] == vector["ids"]
    assert run_id(ids).hex() == vector["run_id"]
