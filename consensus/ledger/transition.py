"""What a commit does to the state: one pure function, the same on every node.

Order inside a commit: clock, evidence, things due, then the batches; Circle calls run after all transactions and are
settled in commit order. The supply is checked before anything leaves this function.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.ledger import blobs, epochs, inputs, keys, openings, validators, work
from octra.consensus.ledger.committee_math import CommitteeMath
from octra.consensus.ledger.execute import Run, execute_batches, execute_calls, keep_events
from octra.consensus.ledger.execution import Execution, Money
from octra.consensus.ledger.outcome import BlockFacts, LedgerBatch, LedgerCommit, Outcome, SeatFault
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.receipts import receipts_root, transactions_root
from octra.consensus.ledger.records import (
    CircleRecord,
    Clock,
    CommitRecord,
    DealtInput,
    Fault,
    FaultKind,
    Job,
    Request,
    Supply,
)
from octra.consensus.ledger.state import Overlay, Write, load
from octra.consensus.ports import CallOutcome, CircleEngine, CircleView, StateView
from octra.crypto.hash import H

__all__ = ["LedgerBatch", "LedgerCommit", "Outcome", "SeatFault", "apply_commit", "clock_of", "seal_circle_records"]


def apply_commit(
    view: StateView,
    circle_view: CircleView,
    commit: LedgerCommit,
    engine: CircleEngine,
    params: LedgerParams,
    math: CommitteeMath,
) -> Outcome:
    """The effects of a commit on the state of `view`. Raises only for the node's own trouble, never for a sender's."""
    state, epoch = Overlay(view), epochs.epoch_of(view)
    before = state.require(keys.CLOCK, Clock)
    if epoch is None:
        authors = params.seats
        clock, epoch_started = _advance(before, commit, params)
    else:
        authors = epochs.authors_of(view, commit.opened.seats_next if commit.opened else epoch.seats)
        clock, epoch_started = _advance_drawn(before, commit, epoch.base_round), commit.opened is not None
    supply = state.require(keys.SUPPLY, Supply)
    x = Execution(state, view, params, clock, commit.coin, math, Money.of(supply), authors)
    state.store(keys.CLOCK, clock)
    run = Run(x, engine, params.static_rules(None))
    if commit.opened is not None:
        epochs.open_epoch(x, commit.opened)
    for fault in commit.evidence:
        _take_evidence(x, fault)
    if epoch_started:
        x.emit("epoch_started", clock.epoch)
        blobs.expire(x)
        work.retry_all(x)
        work.settle_woken(x)
    _settle_due(x)
    keep_events(run, b"")
    execute_batches(run, commit.batches)
    calls = execute_calls(run, circle_view)
    return _close(run, calls, epoch_started)


def seal_circle_records(outcome: Outcome, roots: Mapping[bytes, bytes]) -> list[Write]:
    """The records of the Circles that changed, with the new roots of their keys: written after their trees."""
    return [
        (keys.circle(circle), encode(replace(outcome.circle_records[circle], stable_root=root)))
        for circle, root in sorted(roots.items())
    ]


# --- the clock ---


def _advance(before: Clock, commit: LedgerCommit, params: LedgerParams) -> tuple[Clock, bool]:
    """The clock of this commit. A new epoch starts with the first commit past the end of the last one."""
    assert commit.height == before.height + 1
    assert commit.time_ms > before.time_ms
    started = commit.time_ms >= before.epoch_start_ms + params.epoch_ms
    return (
        Clock(
            height=commit.height,
            round=commit.leader_round,
            time_ms=commit.time_ms,
            epoch=before.epoch + started,
            epoch_start_ms=commit.time_ms if started else before.epoch_start_ms,
            beacon=H("octra.beacon", commit.coin) if started else before.beacon,
        ),
        started,
    )


def _advance_drawn(before: Clock, commit: LedgerCommit, base_round: int) -> Clock:
    """The same where each epoch has an order of its own, which begins at round 1 again."""
    assert commit.height == before.height + 1
    assert commit.time_ms > before.time_ms
    opened = commit.opened
    if opened is None:
        round = base_round + commit.leader_round
        return replace(before, height=commit.height, round=round, time_ms=commit.time_ms)
    assert (opened.epoch, opened.close_height) == (before.epoch + 1, before.height)
    return Clock(
        height=commit.height,
        round=before.round + commit.leader_round,
        time_ms=commit.time_ms,
        epoch=opened.epoch,
        epoch_start_ms=opened.close_time_ms,
        beacon=opened.beacon,
    )


def _take_evidence(x: Execution, fault: SeatFault) -> None:
    """Keep the fault; where committees are drawn, it decides who may be drawn again, and how often."""
    node = x.authors[fault.seat].node_id
    kept = x.record_fault(Fault(FaultKind.ORDERING, fault.seat, fault.proof, x.clock.height), node)
    if kept and fault.equivocation:
        validators.remove_for_equivocation(x, node)
    elif kept:
        validators.lower_score(x, node)


def _settle_due(x: Execution) -> None:
    """Timeouts and draws, in the order of their rounds; what is beyond the limit waits for the next commit."""
    for key, kind in list(x.state.scan(keys.DUE, x.params.limits.due_per_commit)):
        round, name = int.from_bytes(key[1:9], "big"), key[9:]
        if round > x.clock.round:
            return
        if x.state.get(key) is None:
            continue  # something before it in this list ended it
        match kind:
            case b"i":
                inputs.on_due(x, x.state.require(keys.dealt_input(name), DealtInput))
            case b"j":
                work.on_due(x, x.state.require(keys.job(name), Job))
            case _:
                openings.on_due(x, x.state.require(keys.request(name), Request))
        work.settle_woken(x)


# --- the end ---


def _close(run: Run, calls: dict[bytes, CallOutcome], epoch_started: bool) -> Outcome:
    x = run.x
    root = receipts_root(run.receipts, x.settlements)
    ids_root = transactions_root(run.receipts)
    x.state.store(keys.commit_record(x.clock.height), CommitRecord(x.clock.height, root, ids_root))
    changes = x.close_supply()
    return Outcome(
        writes=changes.writes,
        circle_writes={circle: tuple(sorted(diff.items())) for circle, diff in sorted(run.queue.diffs.items())},
        circle_records={c: x.state.require(keys.circle(c), CircleRecord) for c in sorted(run.queue.diffs)},
        receipts=run.receipts,
        places=run.places,
        settlements=tuple(x.settlements),
        events=tuple(run.events),
        skipped=tuple(run.skipped),
        calls=calls,
        blobs=dict(sorted(x.blobs.items())),
        facts=BlockFacts(
            height=x.clock.height,
            epoch=x.clock.epoch,
            epoch_started=epoch_started,
            time_ms=x.clock.time_ms,
            transactions_root=ids_root,
            receipts_root=root,
            transaction_count=len(run.receipts),
        ),
        before=changes.before,
    )


def clock_of(view: StateView) -> Clock:
    """Where the chain of this state is."""
    clock = load(view, keys.CLOCK, Clock)
    assert clock is not None, "genesis writes a clock"
    return clock
