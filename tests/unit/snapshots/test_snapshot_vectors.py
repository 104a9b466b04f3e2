"""Frozen bytes of a small snapshot: what one version writes, every later one reads and writes alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from snapshot_double import FOUNDING, SERVER, SnapshotMaker, signed

from octra.codec import decode, encode
from octra.consensus.light import Link
from octra.consensus.snapshot import Unpacking, admit_manifest, chunk_hash, follow_to
from octra.node.snapshots import unwrap
from octra.storage.kv import Batch
from octra.storage.memory import MemoryKeyValue
from octra.storage.snapshot import Installation

FILE = Path(__file__).parents[2] / "vectors" / "consensus" / "snapshot.json"


def made() -> SnapshotMaker:
    maker = SnapshotMaker(epoch=7)
    maker.commit({b"\x01" + bytes([n]) * 32: bytes([n]) * n for n in range(1, 6)})
    maker.circle(b"\x0a" * 33, {b"count": b"\x07", b"owner": b"alice"})
    maker.circle(b"\x0b" * 33, {})
    return maker


def document() -> dict[str, Any]:
    """What the file holds."""
    maker = made()
    manifest, chunks = maker.snapshot()
    return {
        "chain_id": manifest.header.chain_id,
        "state_root": manifest.header.state_root.hex(),
        "checkpoint": manifest.checkpoint.id.hex(),
        "chunks": [{"payload": payload.hex(), "hash": chunk_hash(payload).hex()} for payload in chunks],
        "content": manifest.content.hex(),
        "signed_manifest": encode(signed(manifest)).hex(),
        "links": [encode(maker.link()).hex()],
    }


@pytest.fixture(scope="module")
def frozen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def test_the_same_state_gives_the_frozen_bytes(frozen: dict[str, Any]) -> None:
    assert document() == frozen


def test_the_frozen_bytes_are_a_snapshot_that_the_founders_prove(frozen: dict[str, Any]) -> None:
    manifest, node = admit_manifest(bytes.fromhex(frozen["signed_manifest"]))
    assert node == SERVER.public
    assert manifest.content.hex() == frozen["content"]
    links = [decode(bytes.fromhex(text), Link) for text in frozen["links"]]
    assert follow_to(FOUNDING, links, manifest).epoch == 7
    reader, installation = Unpacking(manifest), Installation(MemoryKeyValue(), manifest)
    for index, chunk in enumerate(frozen["chunks"]):
        payload = bytes.fromhex(chunk["payload"])
        assert manifest.chunks[index].hex() == chunk["hash"]
        installation.add(reader.read(unwrap(b"\0" + payload, index)))
    reader.end()
    installation.finish(Batch())
