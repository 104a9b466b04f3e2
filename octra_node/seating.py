"""Who orders now, as this node knows it: the committee of the running epoch, and the node's own place in it.

Where the committee is fixed, nothing here ever changes. Else the ordering actor opens one epoch after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from octra.consensus.epoch import Committee, EpochRecord, OrderingParams
from octra.consensus.errors import FutureEpoch
from octra.consensus.ledger import epochs, keys
from octra.consensus.ledger.coin_holder import CoinHolder
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transition import clock_of
from octra.consensus.ports import StateView
from octra.crypto import bls
from octra.node.chain import genesis_record
from octra.node.config import Execution
from octra.node.facts import Facts


class Seating:
    """Written by the ordering actor alone, read by all others."""

    def __init__(self, facts: Facts, view: StateView, joined: EpochRecord | None = None) -> None:
        """`joined`: the state is the close of an epoch that this node did not see; with this record begins the next."""
        self._facts = facts
        self.drawn = facts.genesis.drawn
        self.holder = CoinHolder(facts.keys.node_id, *facts.keys.coin_dealing_secrets()) if self.drawn else None
        self.epoch = 0  # under which vertices and batches are stored
        self.record = genesis_record(facts.genesis)
        self.committee: Committee = facts.committee
        self.seat = facts.seat
        self.coin: bls.SecretScalar | None = facts.keys.coin
        self.on_open: list[Callable[[Committee], None]] = []  # told of each new committee
        self._past: set[bytes] = set()  # anchors of epochs that this process has seen the end of
        if self.drawn:
            record = load(view, keys.epoch_record(clock_of(view).epoch), EpochRecord)
            assert record is not None, "the state holds the record of its epoch"
            self.open(record, view)
            if joined is not None:
                self.open(joined, view)

    def open(self, record: EpochRecord, view: StateView) -> None:
        """A committee begins. `view`: the state that the record closes, or a later one of its epoch."""
        self._past.add(self.committee.anchor)
        self.record, self.epoch = record, record.epoch
        self.committee = epochs.committee_of(view, record)
        self.seat = self.committee.seat_of(self._facts.keys.node_id)
        self.coin = self._coin_secret(view) if self.seat is not None else None
        for tell in self.on_open:
            tell(self.committee)

    @property
    def author(self) -> int | None:
        """The seat in whose name this node makes vertices and batches; None without a seat, or a share of its coin."""
        return self.seat if self.coin is not None else None

    @property
    def params(self) -> OrderingParams:
        """When the running order begins and ends."""
        record, genesis = self.record, self._facts.genesis
        split = self._facts.config.node.execution is Execution.SPLIT
        secret = self._facts.keys.audit_secret()
        if not self.drawn:
            return OrderingParams(start_time_ms=genesis.time_ms, split=split, audit_secret=secret)
        start_ms = record.close_time_ms
        close_ms = start_ms + genesis.epoch_ms
        return OrderingParams(start_ms, None, record.close_height, close_ms, split=split, audit_secret=secret)

    def opened_by(self, height: int) -> EpochRecord | None:
        """The record that the block of this height brings into the state, if it is the first of its epoch."""
        first = self.drawn and self.epoch > 0 and height == self.record.close_height + 1
        return self.record if first else None

    def check_anchor(self, anchor: bytes) -> bool:
        """Does something belong to the running order? Raises `FutureEpoch` for what may do so later.

        Where the committee is fixed every anchor passes: the checks behind this one blame the sender of a wrong one.
        """
        if not self.drawn or anchor == self.committee.anchor:
            return True
        if anchor in self._past:
            return False
        raise FutureEpoch(anchor)

    def _coin_secret(self, view: StateView) -> bls.SecretScalar | None:
        """This node's share of the coin of the committee: the founder dealt the first, later ones were made by all."""
        state = epochs.epoch_of(view)
        assert state is not None
        assert self.holder is not None
        handed_over = self.record.coin_group_key_next != state.coin.group_key  # its epoch has no block yet
        dealt_for = self.record.epoch if handed_over else state.coin_epoch
        return self.holder.coin_secret(view, dealt_for) if dealt_for else self._facts.keys.coin
