"""What RocksDB's own threads spend on the rows of transfers, when blocks come for long: no node, rows made up at random.

python benchmarks/rows.py [--blocks 400] [--transactions 5000]

The rows have the families, sizes and order of a node's; half of the accounts are in each block. Both ways of merging
files run in one process, one after the other: by levels, as RocksDB does if not told otherwise, and as nodes do.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from octra.storage import rocks
from octra.storage.index import ENTRY, HISTORY, PLACE
from octra.storage.kv import Batch, Family, u32, u64

ACCOUNTS = 10_000
RECORD = 50  # bytes of an account
RECEIPT, REPLACED, SIGNED = 88, 68, 210  # bytes for each transfer in the large rows of a block
AUTHORS = 5  # whose batches are in a block
SETTLE_S = 5.0  # for what is merged after the last block


def main() -> None:
    """Print microseconds of each kind of thread, and bytes written, for each transfer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=400)
    parser.add_argument("--transactions", type=int, default=5_000, help="in each block")
    options = parser.parse_args()
    with patch.object(rocks, "SCATTERED_FAMILIES", frozenset()):
        report("levels", options.blocks, options.transactions)
    report("as nodes do", options.blocks, options.transactions)


def report(name: str, blocks: int, transactions: int) -> None:
    """Write so many blocks to a new database, and say what it took."""
    with tempfile.TemporaryDirectory() as folder, closing(rocks.open_rocks(Path(folder) / "db")) as store:
        accounts = sorted(os.urandom(32) for _ in range(ACCOUNTS))
        before, written = ticks_by_thread(), bytes_written()
        for height in range(blocks):
            store.write(block(height, accounts[height % 2 :: 2][:transactions], transactions), durable=True)
        time.sleep(SETTLE_S)
        spent, written = ticks_by_thread() - before, bytes_written() - written
    total = blocks * transactions
    tick_us = 1e6 / os.sysconf("SC_CLK_TCK")
    flushing, merging = (spent[f"rocksdb:{kind}"] * tick_us / total for kind in ("high", "low"))
    print(
        f"{name:12} flushing {flushing:.1f} us, merging {merging:.1f} us, {written // total} bytes to files a transfer"
    )


def block(height: int, touched: list[bytes], transactions: int) -> Batch:
    """The rows of a block whose transfers concern these accounts."""
    batch = Batch()
    ids = sorted(os.urandom(32) for _ in range(transactions))
    places = [PLACE.pack(height, index, 0) for index in range(transactions)]
    batch.put_many(Family.TX, ids, places, transactions * (32 + PLACE.size))
    histories = [HISTORY.pack(account, 2**64 - 1 - height) for account in touched]
    entries = [os.urandom(2 * ENTRY.size) for _ in touched]
    batch.put_many(Family.ACCOUNT_TX, histories, entries, len(touched) * (HISTORY.size + 2 * ENTRY.size))
    records = [os.urandom(RECORD) for _ in touched]
    batch.put_many(Family.STATE, [bytes(32) + account for account in touched], records, len(touched) * (64 + RECORD))
    batch.put(Family.RECEIPT, u64(height), os.urandom(RECEIPT * transactions))
    batch.put(Family.HISTORY, u64(height), os.urandom(REPLACED * transactions))
    for _ in range(AUTHORS):
        id = os.urandom(32)
        batch.put(Family.BATCH, u32(0) + id, os.urandom(SIGNED * transactions // AUTHORS))
        batch.put(Family.BATCH_ID, id, u32(0))
    return batch


def ticks_by_thread() -> Counter[str]:
    """Processor time of this process's threads so far in ticks of the kernel, by name."""
    spent: Counter[str] = Counter()
    for stat in Path("/proc/self/task").glob("*/stat"):
        head, fields = stat.read_text().rsplit(") ", 1)
        spent[head.partition("(")[2]] += sum(map(int, fields.split()[11:13]))
    return spent


def bytes_written() -> int:
    """What this process has given to files so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


if __name__ == "__main__":
    main()
