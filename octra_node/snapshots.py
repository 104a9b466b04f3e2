"""Snapshots on disk: a folder for each, made beside the running node; and a whole one as a single file.

snapshots/000000000420/    manifest  links  00000 00001 ...
FILE                       8 bytes of magic, then links, signed manifest and all chunks, each behind its u32 length
"""

from __future__ import annotations

import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.light import Link
from octra.consensus.snapshot import (
    CHUNK_BYTES_MAX,
    CHUNKS_MAX,
    MANIFEST_BYTES_MAX,
    VERSION,
    ChunkRefused,
    InvalidSnapshot,
    Manifest,
    admit_manifest,
    chunk_hash,
    pack,
    sign_manifest,
)
from octra.crypto.ed25519 import SigningKey
from octra.errors import Unavailable
from octra.storage.kv import ReadView
from octra.storage.snapshot import rows_at

FOLDER: Final = "snapshots"
KEPT: Final = 2  # a joiner that began with one finishes with it while the next is made
SHARE: Final = 10  # making a snapshot takes a tenth of one core, however large the state is
LINKS_BYTES_MAX: Final = 64 << 20  # 4,096 links of 128 validators
MAGIC: Final = b"OCTSNAP1"

_RAW, _DEFLATED = b"\0", b"\1"
_MANIFEST, _LINKS, _UNFINISHED = "manifest", "links", ".part"


class Abandoned(Unavailable):
    """The node stopped while it made a snapshot."""

    def __init__(self) -> None:
        super().__init__("the node stops")


# --- chunks as they lie on disk and travel ---


def wrap(payload: bytes) -> bytes:
    """A chunk as it is stored and sent: deflated if that saves a sixteenth. Its name is the hash of the payload."""
    deflated = zlib.compress(payload, 1)
    return _DEFLATED + deflated if len(deflated) * 16 < len(payload) * 15 else _RAW + payload


def unwrap(stored: bytes, index: int) -> bytes:
    """The payload; raises `ChunkRefused`. Never more than a chunk holds, whatever the bytes would grow to."""
    if stored[:1] == _RAW:
        return stored[1:]
    if stored[:1] != _DEFLATED:
        raise ChunkRefused(index, "unknown form")
    reader = zlib.decompressobj()
    try:
        payload = reader.decompress(stored[1:], CHUNK_BYTES_MAX)
    except zlib.error as error:
        raise ChunkRefused(index, "it does not inflate") from error
    if not reader.eof or reader.unused_data:
        raise ChunkRefused(index, "it inflates to more, or less, than a chunk")
    return payload


# --- a folder of them ---


class Shelf:
    """The finished snapshots of a data directory."""

    def __init__(self, home: Path) -> None:
        self.path = home / FOLDER

    def heights(self) -> list[int]:
        """Of finished ones, newest first."""
        names = (entry.name for entry in self.path.iterdir()) if self.path.exists() else iter(())
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def manifest(self, height: int) -> bytes | None:
        """The signed manifest."""
        return _read(self._folder(height) / _MANIFEST)

    def chunk(self, height: int, index: int) -> bytes | None:
        """A stored chunk."""
        return _read(self._folder(height) / _chunk_name(index))

    def links(self, height: int) -> tuple[Link, ...]:
        """The links from the genesis to the snapshot's checkpoint, or those of them that this node holds."""
        data = _read(self._folder(height) / _LINKS)
        return () if data is None else decode(data, tuple[Link, ...], "links")

    def make(
        self,
        view: ReadView,
        header: BlockHeader,
        links: Sequence[Link],
        key: SigningKey,
        *,
        stop: threading.Event,
        share: int = SHARE,
    ) -> Manifest:
        """Write the snapshot of a closing height, whose link is the last one. The height stays pinned meanwhile.

        For a thread of its own: it rests most of the time. Raises `Abandoned` once `stop` is set.
        """
        assert links[-1].record is not None
        unfinished = self._folder(header.height).with_suffix(_UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        hashes: list[bytes] = []
        rows, began = 0, time.monotonic()
        for payload, count in pack(rows_at(view, header.height)):
            (unfinished / _chunk_name(len(hashes))).write_bytes(wrap(payload))
            hashes.append(chunk_hash(payload))
            rows += count
            if len(hashes) > CHUNKS_MAX:
                raise InvalidSnapshot(f"the state needs more than {CHUNKS_MAX} chunks")
            if stop.wait((share - 1) * (time.monotonic() - began)):
                raise Abandoned
            began = time.monotonic()
        manifest = Manifest(VERSION, header, links[-1].checkpoint, links[-1].record, rows, tuple(hashes))
        (unfinished / _LINKS).write_bytes(encode(tuple(links)))
        (unfinished / _MANIFEST).write_bytes(encode(sign_manifest(manifest, key)))
        shutil.rmtree(self._folder(header.height), ignore_errors=True)
        unfinished.rename(self._folder(header.height))
        return manifest

    def tidy(self, kept: int = KEPT) -> None:
        """Remove all but the newest, and what was never finished."""
        for height in self.heights()[kept:]:
            shutil.rmtree(self._folder(height), ignore_errors=True)
        for unfinished in self.path.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def _folder(self, height: int) -> Path:
        return self.path / f"{height:012}"


def _chunk_name(index: int) -> str:
    return f"{index:05}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


# --- one file ---


class SnapshotGone(Unavailable):
    """There is no such snapshot, or no more: only the newest ones are kept."""

    oct_code = 4041

    def __init__(self, what: str) -> None:
        super().__init__(f"no {what}")


def export(shelf: Shelf, height: int, file: BinaryIO) -> Manifest:
    """Write a snapshot of the shelf into one file; raises `SnapshotGone` if it is not there, or removed meanwhile."""
    signed = shelf.manifest(height)
    if signed is None:
        raise SnapshotGone(f"snapshot of height {height}")
    manifest, _ = admit_manifest(signed)
    file.write(MAGIC)
    for part in (encode(shelf.links(height)), signed):
        file.write(len(part).to_bytes(4, "big") + part)
    for index in range(len(manifest.chunks)):
        chunk = shelf.chunk(height, index)
        if chunk is None:
            raise SnapshotGone(f"chunk {index} of height {height}")
        file.write(len(chunk).to_bytes(4, "big") + chunk)
    return manifest


def read_file(file: BinaryIO) -> tuple[tuple[Link, ...], Manifest, Iterator[bytes]]:
    """Links, manifest and payloads of an exported snapshot; raises `InvalidSnapshot`. Nothing is believed yet."""
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidSnapshot("not a snapshot file")
    links = decode(_part(file, LINKS_BYTES_MAX), tuple[Link, ...], "links")
    manifest, _ = admit_manifest(_part(file, MANIFEST_BYTES_MAX))
    return links, manifest, _payloads(file, len(manifest.chunks))


def _payloads(file: BinaryIO, count: int) -> Iterator[bytes]:
    for index in range(count):
        yield unwrap(_part(file, CHUNK_BYTES_MAX + 1), index)
    if file.read(1):
        raise InvalidSnapshot("the file goes on behind its last chunk")


def _part(file: BinaryIO, size_max: int) -> bytes:
    size = int.from_bytes(file.read(4), "big")
    data = file.read(size) if size <= size_max else b""
    if not size or len(data) != size:
        raise InvalidSnapshot("the file is cut off")
    return data
