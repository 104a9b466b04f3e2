"""The delta of a block: all that executing it changed and reported, so that others store the same without executing.

What its bytes say is certain when f + 1 seats that executed the block name them; and the state root is computed again
by whoever applies them. Format: docs/spec/ordering.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.errors import InvalidDelta
from octra.consensus.fields import U8, Hash32
from octra.consensus.ledger.outcome import BlockFacts, Outcome, Place, Places, Skipped, TransactionEvent
from octra.consensus.ledger.receipts import Receipt, Receipts, Settlement
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.ledger.state import Write
from octra.consensus.limits import DELTA_RUN
from octra.consensus.vertex import NO_DELTA
from octra.crypto.hash import H
from octra.errors import Malformed

VERSION = 1


class CircleDelta(Struct, frozen=True, array_like=True):
    """What changed inside one Circle. `record` still has the root of its keys before this block."""

    record: CircleRecord
    writes: tuple[Write, ...]


class Delta(Struct, frozen=True, array_like=True):
    """An executed block as values. Writes are sorted by key, Circles by name, blobs by digest; None deletes."""

    version: U8
    previous_root: Hash32  # state root that the writes build on
    root: Hash32  # state root that they lead to
    block_id: Hash32  # of the block, and so of the whole chain below
    facts: BlockFacts
    writes: tuple[Write, ...]  # of the global state, but for the records of `circles`: their new roots follow
    circles: tuple[CircleDelta, ...]
    receipts: tuple[Receipt, ...]
    places: tuple[Place, ...]  # of the receipts
    settlements: tuple[Settlement, ...]
    events: tuple[TransactionEvent, ...]
    skipped: tuple[Skipped, ...]
    blobs: tuple[tuple[Hash32, bytes], ...]


def delta_of(outcome: Outcome, previous_root: bytes, root: bytes, block_id: bytes) -> bytes:
    """The bytes of an executed block's delta."""
    circles = outcome.circle_writes
    return encode(
        Delta(
            version=VERSION,
            previous_root=previous_root,
            root=root,
            block_id=block_id,
            facts=outcome.facts,
            writes=tuple(outcome.writes.items()),
            circles=tuple(CircleDelta(outcome.circle_records[name], circles[name]) for name in sorted(circles)),
            receipts=tuple(outcome.receipts),
            places=tuple(outcome.places),
            settlements=outcome.settlements,
            events=outcome.events,
            skipped=outcome.skipped,
            blobs=tuple(sorted(outcome.blobs.items())),
        )
    )


def delta_id(data: bytes) -> bytes:
    """The name of a delta's bytes."""
    return H("octra.delta", data)


def run_id(ids: Sequence[bytes]) -> bytes:
    """What vertices publish: the deltas of up to `DELTA_RUN` heights in a row, oldest first.

    A block too large for a delta has `NO_DELTA` in its place; a run that ends so is not published.
    """
    assert 1 <= len(ids) <= DELTA_RUN
    return NO_DELTA if ids[-1] == NO_DELTA else H("octra.delta.run", *ids)


def admit_delta(data: bytes, id: bytes, height: int) -> Delta:
    """The delta of these bytes; raises `InvalidDelta` unless they are those that `id` names, for that height."""
    if delta_id(data) != id:
        raise InvalidDelta("not the bytes that were named")
    try:
        delta = decode(data, Delta, "delta")
    except Malformed as error:
        raise InvalidDelta(str(error)) from error
    if delta.version != VERSION or delta.facts.height != height:
        raise InvalidDelta("another version or height")
    if len(delta.places) != len(delta.receipts):
        raise InvalidDelta("receipts without a place")
    names = [circle.record.name for circle in delta.circles]
    tables = (delta.writes, delta.blobs, *(circle.writes for circle in delta.circles))
    for keys in (names, *([key for key, _ in table] for table in tables)):
        if any(low >= high for low, high in pairwise(keys)):
            raise InvalidDelta("not sorted")
    return delta


def outcome_of(delta: Delta) -> Outcome:
    """What executing the block gave, but for the answers of Circle calls, which nobody keeps."""
    return Outcome(
        writes=dict(delta.writes),
        circle_writes={circle.record.name: circle.writes for circle in delta.circles},
        circle_records={circle.record.name: circle.record for circle in delta.circles},
        receipts=Receipts(delta.receipts),
        places=Places(delta.places),
        settlements=delta.settlements,
        events=delta.events,
        skipped=delta.skipped,
        calls={},
        blobs=dict(delta.blobs),
        facts=delta.facts,
    )
