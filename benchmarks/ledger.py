"""What a block of signed transfers costs one node: check, execute, state tree, disk. One process, real RocksDB.

python benchmarks/ledger.py [--accounts 10000] [--transactions 300] [--blocks 20] [--split] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from octra.consensus.batch import admit_batch, batch_id, items_of, make_batch
from octra.consensus.effects import CommitDraft, MaturedBatch
from octra.consensus.ledger import fees, ops
from octra.consensus.ledger.delta import admit_delta, delta_id
from octra.consensus.ledger.genesis_state import genesis_writes
from octra.consensus.ledger.params import LedgerParams, Limits, Seat
from octra.consensus.ledger.transactions import build, first_invalid, sign
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node.applying import CertainDelta
from octra.node.event_loop import collect_seldom
from octra.node.executing import BlockExecutor
from octra.node.parts import Stores
from octra.primitives import UNITS_PER_OCT, address_of
from octra.storage.blocks import BlockStore
from octra.storage.rocks import open_rocks
from octra.storage.sign_log import SignLog
from octra.storage.state import StateStore
from octra.storage.write_queue import WriteQueue

CHAIN = bytes(32)
SEED = 20_26


@dataclass(frozen=True)
class Options:
    """What to measure."""

    accounts: int
    transactions: int
    batches: int
    blocks: int
    split: bool
    profile: bool


def main() -> None:
    """Print microseconds of processor time per transaction, by step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--transactions", type=int, default=300, help="in each block")
    parser.add_argument("--batches", type=int, default=1, help="in each block, which share its transactions")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--split", action="store_true", help="make deltas, and have a second node apply them")
    parser.add_argument("--profile", action="store_true", help="show where execution spends its time")
    collect_seldom()  # as a node does
    with tempfile.TemporaryDirectory() as folder:
        _measure(Options(**vars(parser.parse_args())), Path(folder))


def _measure(options: Options, folder: Path) -> None:
    keys = [SigningKey(H("bench.key", number.to_bytes(4, "big"))) for number in range(options.accounts)]
    seat = keys[0]
    params = LedgerParams(
        chain=CHAIN,
        chain_id="octra:localnet-00000000",
        seats=(Seat(seat.public, bytes(96), bytes(32), address_of(seat.public)),),
        key_id=bytes(32),
        key_set="TEST",
        failure_bits=128,
        prices=fees.Prices(evaluators=1),
        epoch_ms=20_000,
        legacy_signing=False,
        limits=Limits(),
    )
    accounts: dict[bytes, int] = {address_of(key.public): 1_000 * UNITS_PER_OCT for key in keys}
    facts: Any = SimpleNamespace(params=params, genesis=SimpleNamespace(chain_id=params.chain_id))
    seating: Any = SimpleNamespace(committee=_Lone(), opened_by=lambda height: None)
    engine: Any = None  # no block here calls a Circle
    nodes = [_open(folder / name, params, accounts) for name in ("executes", "applies")[: 1 + options.split]]
    executor, *appliers = (
        BlockExecutor(facts, stores, engine, engine, seating, split=options.split) for stores in nodes
    )

    randomness = random.Random(SEED)
    blocks = [_block(options, params, keys, randomness, height) for height in range(1, options.blocks + 1)]
    rules = params.static_rules(None)
    checking, executing, applying = time.process_time(), 0.0, 0.0
    for batches in blocks:
        items = [items_of(admit_batch(data, seating.committee)) for data in batches]
        assert first_invalid(items, rules) == [None] * len(items)
    checking = time.process_time() - checking
    profile = cProfile.Profile()
    started = time.perf_counter()
    for height, batches in enumerate(blocks, 1):
        matured = tuple(MaturedBatch(batch_id(data), 0, options.transactions, len(data)) for data in batches)
        draft = CommitDraft(height, bytes(32), 0, height, 10 * height, bytes(32), bytes(32), (), matured, ())
        before = time.process_time()
        if options.profile:
            profile.enable()
        stored = executor.execute(draft, batches, None)
        profile.disable()
        executing += time.process_time() - before
        assert len(stored.outcome.receipts) == options.transactions, stored.outcome.skipped[:3]
        before = time.process_time()
        for applier in appliers:
            name = delta_id(stored.delta)
            delta = admit_delta(stored.delta, name, height)
            assert applier.apply(draft, batches, CertainDelta(name, stored.delta, delta), None).header == stored.header
        applying += time.process_time() - before
    wall = time.perf_counter() - started
    total = options.transactions * options.blocks
    print(f"check {checking / total * 1e6:.1f} us, execute and store {executing / total * 1e6:.1f} us per transaction")
    if options.split:
        print(f"with deltas; from them, read and store {applying / total * 1e6:.1f} us per transaction")
    print(f"{wall / options.blocks * 1e3:.1f} ms a block of {options.transactions}, {options.accounts} accounts")
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    for stores in nodes:
        stores.signed.close()
        stores.writes.close()
        stores.kv.close()


def _open(folder: Path, params: LedgerParams, accounts: Mapping[bytes, int]) -> Stores:
    """The stores of a node at height 0."""
    kv = open_rocks(folder / "db")
    writes = WriteQueue(kv)
    stores = Stores(kv, writes, StateStore(kv, writer=writes), BlockStore(kv), SignLog(folder / "journal"))
    stores.state.commit(0, genesis_writes(params, accounts, 1), {}, lambda roots: [])
    return stores


def _block(
    options: Options, params: LedgerParams, keys: list[SigningKey], randomness: random.Random, height: int
) -> list[bytes]:
    """Batches of signed transfers between random accounts, each sender once."""
    items = []
    for number in randomness.sample(range(len(keys)), options.transactions):
        key, receiver = keys[number], keys[(number + randomness.randrange(1, len(keys))) % len(keys)]
        op = ops.Transfer(address_of(receiver.public), randomness.randrange(1, 1_000), b"")
        fee = fees.minimum_fee(op, params.prices)
        body = build(chain=CHAIN, sender=key.public, nonce=height, expiry_epoch=100, fee=fee, op=op)
        items.append(sign(body, key))
    shares = [items[number :: options.batches] for number in range(options.batches)]
    return [
        make_batch(_Lone.anchor, 0, height * options.batches + number, share) for number, share in enumerate(shares)
    ]


class _Lone:
    """A committee of one, as far as executing a block asks."""

    anchor = bytes(32)
    size = 1


if __name__ == "__main__":
    main()
