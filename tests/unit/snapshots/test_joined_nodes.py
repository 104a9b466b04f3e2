"""A node whose state came from a snapshot: it goes on as if it had been there, and says what it does not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from epoch_double import EpochChain
from snapshot_double import GENESIS, NODES, SnapshotMaker

from octra.consensus.certificate import BlockHeader
from octra.consensus.ledger import epochs
from octra.consensus.ledger.transition import LedgerCommit, apply_commit, clock_of, seal_circle_records
from octra.consensus.snapshot import VERSION, Manifest, Unpacking, chunk_hash, pack
from octra.node.daemon import joined_record
from octra.node.installing import ORIGIN_KEY, Origin, install, origin_of
from octra.node.parts import Stores
from octra.node.rpc import service
from octra.node.rpc.errors import BeforeOrigin, NotFound
from octra.node.rpc.reading import StoredView
from octra.node.seating import Seating
from octra.storage.blocks import BlockStore
from octra.storage.kv import Batch, Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.rocks import open_rocks
from octra.storage.snapshot import Installation, rows_at
from octra.storage.state import StateStore


class Joined:
    """A chain with real rules at the close of its first epoch, and a store that was installed from its snapshot."""

    def __init__(self) -> None:
        self.chain = EpochChain()
        self.chain.deal_coin()
        self.source = StateStore(MemoryKeyValue())
        root = self.source.commit(0, sorted(self.chain.view.rows.items()), {}, lambda _: ())
        clock = clock_of(self.chain.view)
        self.header = BlockHeader(
            1, self.chain.params.chain_id, clock.height, clock.epoch, bytes(32), clock.time_ms, bytes(32), bytes(32),
            bytes(32), root, bytes(32), bytes(32), 0,
        )  # fmt: skip
        self.record = epochs.close_record(
            self.chain.view, self.chain.params, self.header.block_id, root, self.chain.beacon()
        )
        self.installed = StateStore(self._install())

    def _install(self) -> MemoryKeyValue:
        chunks = list(pack(rows_at(self.source._store, 0)))
        maker = SnapshotMaker()  # of which only the checkpoint: signatures were judged before this
        maker.commit({b"\x01a": b"b"})
        hashes = tuple(chunk_hash(payload) for payload, _ in chunks)
        rows = sum(count for _, count in chunks)
        manifest = Manifest(VERSION, self.header, maker.checkpoint(), self.record, rows, hashes)
        store = MemoryKeyValue()
        reader, installation = Unpacking(manifest), Installation(store, manifest)
        for payload, _ in chunks:
            installation.add(reader.read(payload))
        reader.end()
        installation.finish(Batch())
        return store


@pytest.fixture(scope="module")
def joined() -> Joined:
    return Joined()


def test_it_seats_the_same_committee(joined: Joined) -> None:
    expected = epochs.committee_of(joined.chain.view, joined.record)
    assert epochs.committee_of(joined.installed, joined.record) == expected


def test_the_first_block_of_the_next_epoch_gives_the_same_root(joined: Joined) -> None:
    chain = joined.chain
    clock = clock_of(chain.view)
    commit = LedgerCommit(clock.height + 1, 1, clock.time_ms + 100, bytes(32), (), (), joined.record)
    roots = []
    for state in (joined.source, joined.installed):
        outcome = apply_commit(state, chain.circles, commit, chain.engine, chain.params, chain.math)
        assert outcome.facts.epoch_started
        assert state.head is not None
        roots.append(
            state.commit(
                state.head.height + 1,
                outcome.writes,
                outcome.circle_writes,
                lambda roots, outcome=outcome: seal_circle_records(outcome, roots),  # type: ignore[misc]
            )
        )
    assert roots[0] == roots[1]


# --- the node around it ---


def installed(home: Path) -> tuple[SnapshotMaker, Any]:
    maker = SnapshotMaker(epoch=3)
    maker.commit({b"\x01a": b"b"})
    maker.commit({b"\x01c": b"d"})
    manifest, payloads = maker.snapshot()
    install(home, GENESIS, manifest, (maker.link(),), payloads)
    return maker, open_rocks(home / "db")


def test_it_begins_with_the_record_of_the_close_until_it_has_a_block_of_its_own(tmp_path: Path) -> None:
    maker, store = installed(tmp_path)
    try:
        state = StateStore(store)
        stores = Stores(store, None, state, BlockStore(store), None, origin_of(store))  # type: ignore[arg-type]
        assert joined_record(stores) == maker.record
        state.commit(maker.height + 1, [(b"\x01e", b"f")], {}, lambda _: ())
        assert joined_record(stores) is None
        assert joined_record(replace(stores, origin=None)) is None
    finally:
        store.close()


def test_what_lies_below_its_origin_is_refused_by_name(tmp_path: Path) -> None:
    maker, store = installed(tmp_path)
    try:
        with store.view() as rows:
            view = StoredView(rows, certified=0, checkpointed=0)
            assert view.origin == Origin(3, maker.height, maker.link().checkpoint.id)
            assert view.block(maker.height) is not None  # the header of the close: what comes next stands on it
            for height in (1, maker.height):
                with pytest.raises(BeforeOrigin) as refused:
                    service.block(view, height)
                assert (refused.value.oct_code, refused.value.origin) == (4101, maker.height)
            with pytest.raises(BeforeOrigin):
                service.epoch(view, 3)
            with pytest.raises(NotFound):
                service.block(view, maker.height + 1)
            facade = SimpleNamespace(pending_item=lambda _: None, fate=lambda _: None)
            with pytest.raises(BeforeOrigin):
                service.transaction(facade, view, bytes(32))  # type: ignore[arg-type]
    finally:
        store.close()


def test_a_node_with_the_whole_history_says_not_found() -> None:
    store = MemoryKeyValue()
    StateStore(store).commit(0, [(b"\x01a", b"b")], {}, lambda _: ())
    with store.view() as rows:
        view = StoredView(rows, certified=0, checkpointed=0)
        assert view.origin is None
        with pytest.raises(NotFound):
            service.block(view, 7)
    assert store.get(Family.META, ORIGIN_KEY) is None


def test_seats_open_the_epoch_behind_the_origin(joined: Joined) -> None:
    """The node starts with the committee of the record, and takes what is of the closed epoch for past."""
    chain = joined.chain
    founders = epochs.committee_of(joined.chain.view, chain.records[0])
    facts = SimpleNamespace(
        genesis=GENESIS,
        committee=founders,
        seat=None,
        keys=SimpleNamespace(node_id=bytes(32), coin=None, coin_dealing_secrets=lambda: (NODES[0].coin, bytes(32))),
    )
    seating = Seating(facts, joined.chain.view, joined.record)  # type: ignore[arg-type]
    assert seating.epoch == joined.record.epoch
    assert seating.committee == epochs.committee_of(joined.chain.view, joined.record)
    assert not seating.check_anchor(chain.records[0].id)
