"""From a verified snapshot to the database of a node: it begins to exist in one rename, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.genesis import Genesis
from octra.consensus.light import Link
from octra.consensus.snapshot import Manifest, Unpacking
from octra.storage.blocks import BlockStore, CertificateKind, CommitRow
from octra.storage.kv import Batch, Family, KeyValue, ReadView
from octra.storage.rocks import open_rocks
from octra.storage.snapshot import Installation

DATABASE: Final = "db"
CHAIN_KEY: Final = b"chain"  # whose blocks a database holds: genesis hash, then the name for people
ORIGIN_KEY: Final = b"origin"
_BUILDING: Final = "db.new"


class Origin(Struct, frozen=True, array_like=True):
    """Where the history of a database begins, if not at genesis: the last block of an epoch."""

    epoch: int
    height: int
    checkpoint: bytes  # id


def origin_of(view: ReadView) -> Origin | None:
    """None: the database holds all blocks since genesis."""
    row = view.get(Family.META, ORIGIN_KEY)
    return None if row is None else decode(row, Origin)


def chain_row(genesis: Genesis) -> bytes:
    """What a database says of its chain."""
    return genesis.chain + genesis.chain_id.encode()


def install(home: Path, genesis: Genesis, manifest: Manifest, links: Sequence[Link], payloads: Iterable[bytes]) -> None:
    """Build the database of `home` from a snapshot whose checkpoint is believed; raises `InvalidSnapshot`.

    `links` end with the one of that checkpoint. A crash leaves nothing that counts.
    """
    assert links, "somebody vouches for the checkpoint"
    target, building = home / DATABASE, home / _BUILDING
    assert not target.exists(), "the node has a state already"
    shutil.rmtree(building, ignore_errors=True)
    try:
        store = open_rocks(building)
        try:
            _fill(store, genesis, manifest, links, payloads)
        finally:
            store.close()
        os.rename(building, target)
        _sync(home)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(
    store: KeyValue, genesis: Genesis, manifest: Manifest, links: Sequence[Link], payloads: Iterable[bytes]
) -> None:
    reader, installation = Unpacking(manifest), Installation(store, manifest)
    for payload in payloads:
        installation.add(reader.read(payload))
    reader.end()
    rows, blocks = Batch(), BlockStore(store)
    rows.put(Family.META, CHAIN_KEY, chain_row(genesis))
    checkpoint = links[-1].checkpoint
    rows.put(Family.META, ORIGIN_KEY, encode(Origin(manifest.epoch, manifest.height, checkpoint.id)))
    blocks.put_commit(rows, manifest.height, CommitRow(encode(manifest.header), (), ()))
    record = manifest.record
    blocks.put_certificate(rows, CertificateKind.EPOCH_RECORD, record.epoch, manifest.height, encode(record))
    for link in links:  # this node leads others along them
        body = link.checkpoint.body
        blocks.put_certificate(rows, CertificateKind.LINK, body.epoch, body.height, encode(link))
    blocks.put_certificate(rows, CertificateKind.CHECKPOINT, manifest.epoch, manifest.height, encode(checkpoint))
    installation.finish(rows)


def _sync(directory: Path) -> None:
    """Let the disk have the new name."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
