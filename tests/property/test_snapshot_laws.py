"""Laws of snapshots: any state comes back as it was; any bytes are a snapshot or refused, and nothing else happens."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from octra.consensus.snapshot import InvalidSnapshot, Manifest, Unpacking, admit_manifest, chunk_hash
from octra.node.snapshots import unwrap, wrap
from octra.storage.kv import Batch
from octra.storage.memory import MemoryKeyValue
from octra.storage.snapshot import Installation
from octra.storage.state import StateStore

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "snapshots"))

from snapshot_double import SnapshotMaker

KEYS = st.binary(min_size=1, max_size=40).map(lambda key: b"\x01" + key)
ROWS = st.dictionaries(KEYS, st.binary(max_size=300), min_size=1, max_size=60)
CIRCLES = st.dictionaries(
    st.binary(min_size=33, max_size=33),
    st.dictionaries(st.binary(max_size=20), st.binary(max_size=50), max_size=8),
    max_size=4,
)


@settings(max_examples=40)
@given(rows=ROWS, gone=st.sets(st.integers(0, 59)), circles=CIRCLES)
def test_every_state_comes_back(
    rows: dict[bytes, bytes], gone: set[int], circles: dict[bytes, dict[bytes, bytes]]
) -> None:
    maker = SnapshotMaker()
    maker.commit(dict(rows))
    for id, own in circles.items():
        maker.circle(id, own)
    maker.commit({key: None for number, key in enumerate(sorted(rows)[1:]) if number in gone})
    manifest, payloads = maker.snapshot()
    store = MemoryKeyValue()
    reader, installation = Unpacking(manifest), Installation(store, manifest)
    for payload in payloads:
        installation.add(reader.read(unwrap(wrap(payload), 0)))
    reader.end()
    installation.finish(Batch())
    state = StateStore(store)
    assert list(state.scan(b"", 1_000)) == list(maker.state.scan(b"", 1_000))
    for id in circles:
        assert list(state.circle_scan(id, b"", b"", 100)) == list(maker.state.circle_scan(id, b"", b"", 100))
    writes = [(b"\x01new", b"row"), *((key, b"other") for key in sorted(rows)[::2])]
    assert state.commit(manifest.height + 1, writes, {}, lambda _: ()) == maker.commit(dict(writes))


BASE = SnapshotMaker()
BASE.commit({b"\x01" + bytes([n]): bytes([n]) for n in range(20)})
MANIFEST, CHUNKS = BASE.snapshot()


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for attempt in (
        lambda: unwrap(data, 0),
        lambda: admit_manifest(data),
        lambda: Unpacking(MANIFEST).read(data),
        lambda: Unpacking(_naming(data)).read(data),
    ):
        try:
            attempt()
        except InvalidSnapshot:
            pass


@given(at=st.integers(0, len(CHUNKS[0]) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_passes_even_under_a_manifest_that_names_it(at: int, bit: int) -> None:
    changed = bytearray(CHUNKS[0])
    changed[at] ^= 1 << bit
    manifest = _naming(bytes(changed))
    installation = Installation(MemoryKeyValue(), manifest)
    try:
        installation.add(Unpacking(manifest).read(bytes(changed)))
        installation.finish(Batch())
    except InvalidSnapshot:
        return
    raise AssertionError("another state under the same root")


def _naming(payload: bytes) -> Manifest:
    return replace(MANIFEST, chunks=(chunk_hash(payload),))
