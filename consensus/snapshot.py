"""Snapshots: the whole state at the close of an epoch, in chunks that a stranger may serve.

checkpoint (over two thirds of all validators) -> state root -> all rows. docs/spec/snapshots.md has the bytes.
Everything here is a function of the closing state, so that honest nodes make equal chunks: a joiner may take one from
here, another from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec import Struct

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import Checkpoint
from octra.consensus.epoch import EpochRecord
from octra.consensus.errors import InvalidProof
from octra.consensus.fields import U8, U63, Hash32
from octra.consensus.ledger import keys
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.light import Link, Trusted, follow_all, trust_named
from octra.consensus.statetree import EMPTY_TREE, circle_path_of, path_of
from octra.crypto import ed25519
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H, tag16
from octra.errors import InvalidInput, Malformed

VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 1 << 20  # one BULK frame
MANIFEST_BYTES_MAX: Final = 1 << 20  # likewise: hashes of 30 GB of rows
CHUNKS_MAX: Final = 30_000
KEY_BYTES_MAX: Final = 1_024
VALUE_BYTES_MAX: Final = 64 << 10
ROW_BYTES, SECTION_BYTES = 16, 48  # what a row and a section count beside their content; their frames are below it
_ROOM: Final = CHUNK_BYTES_MAX - 64
_CIRCLE_SIZE: Final = 33
_CIRCLE_KEY: Final = keys.circle(b"")
_SIGN_TAG = tag16("octra.snapshot")

GLOBAL: Final = b""  # Section.tree of the global state
Row = tuple[bytes, bytes]


class InvalidSnapshot(InvalidInput):
    """A snapshot, or a part of one, is not what it has to be; `reason` says where."""

    oct_code = 3012

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid snapshot: {reason}")
        self.reason = reason


class ManifestRefused(InvalidSnapshot):
    """The manifest contradicts itself, or the checkpoint that it carries."""


class CheckpointRefused(InvalidSnapshot):
    """No links lead from what is trusted to the checkpoint of the snapshot."""


class SnapshotTooOld(InvalidSnapshot):
    """The snapshot lies below the checkpoint that is trusted already."""

    def __init__(self, epoch: int, trusted: int) -> None:
        super().__init__(f"it is of epoch {epoch}, below the trusted checkpoint of epoch {trusted}")
        self.epoch, self.trusted = epoch, trusted


class ChunkRefused(InvalidSnapshot):
    """The bytes are not those of the chunk that the manifest names, or break its format."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"chunk {index}: {reason}")
        self.index = index


class RootRefused(InvalidSnapshot):
    """The rows have another root than the checkpoint, or a Circle's record, says. `tree` is empty for the state's."""

    def __init__(self, tree: bytes) -> None:
        super().__init__(f"the rows of Circle {tree.hex()} have another root" if tree else "the state has another root")
        self.tree = tree


class Manifest(Struct, frozen=True, array_like=True):
    """What a snapshot is of, and the hashes of its chunks. The header is that of the block that closed the epoch."""

    version: U8
    header: BlockHeader
    checkpoint: Checkpoint
    record: EpochRecord  # opens the next epoch: a joiner starts with its committee, in an empty DAG
    rows: U63
    chunks: tuple[Hash32, ...]

    @property
    def epoch(self) -> int:
        """The epoch that the state closes."""
        return self.checkpoint.body.epoch

    @property
    def height(self) -> int:
        """The height of the state."""
        return self.header.height

    @property
    def content(self) -> bytes:
        """Equal for two nodes whose chunks may be mixed: they differ at most in who signed the checkpoint."""
        return H("octra.snapshot", encode([self.checkpoint.body, self.rows, self.chunks]))


class SignedManifest(Struct, frozen=True, array_like=True):
    """A manifest with the name of the node that made it. It tells whom to blame; nobody believes it for that."""

    manifest: bytes
    node: Hash32
    signature: bytes


class Section(Struct, frozen=True, array_like=True):
    """Rows of one tree, in the order of their paths: a Circle's by its 33-byte id, or the global one."""

    tree: bytes
    rows: tuple[Row, ...]


# --- manifests ---


def sign_manifest(manifest: Manifest, key: SigningKey) -> SignedManifest:
    """The manifest as a node hands it out."""
    data = encode(manifest)
    return SignedManifest(data, key.public, key.sign(_SIGN_TAG + data))


def admit_manifest(data: bytes) -> tuple[Manifest, bytes]:
    """The manifest in a signed one, and the node that signed; raises `ManifestRefused`.

    It is consistent then. Whether its checkpoint is to be believed says `follow_to`.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise ManifestRefused(f"it has more than {MANIFEST_BYTES_MAX} bytes")
    try:
        signed = decode(data, SignedManifest, "signed manifest")
        manifest = decode(signed.manifest, Manifest, "manifest")
    except Malformed as error:
        raise ManifestRefused(str(error)) from error
    if not ed25519.verify(signed.node, signed.signature, _SIGN_TAG + signed.manifest):
        raise ManifestRefused("signature of the node that made it")
    header, body, record = manifest.header, manifest.checkpoint.body, manifest.record
    if manifest.version != VERSION:
        raise ManifestRefused(f"version {manifest.version}")
    if (header.chain_id, header.epoch, header.height) != (body.chain_id, body.epoch, body.height):
        raise ManifestRefused("the block is not the one that the checkpoint names")
    if (header.block_id, header.state_root) != (body.block_id, body.state_root):
        raise ManifestRefused("the block is not the one that the checkpoint names")
    if record.id != body.epoch_record or record.epoch != body.epoch + 1:
        raise ManifestRefused("the epoch record is not the one that the checkpoint names")
    if (record.close_height, record.close_block, record.state_root) != (body.height, body.block_id, body.state_root):
        raise ManifestRefused("the epoch record closes another block")
    if not 1 <= len(manifest.chunks) <= CHUNKS_MAX or not manifest.rows:
        raise ManifestRefused("a snapshot has rows")
    return manifest, signed.node


def follow_to(start: Trusted, links: Sequence[Link], manifest: Manifest) -> Trusted:
    """Trust at the checkpoint of a manifest, by links from what is trusted already.

    Raises `SnapshotTooOld` or `CheckpointRefused`.
    """
    body = manifest.checkpoint.body
    check_age(start, manifest)
    try:
        trusted = follow_all(start, links)
    except InvalidInput as error:
        raise CheckpointRefused(str(error)) from error
    if (trusted.epoch, trusted.height, trusted.committee.anchor) != (body.epoch, body.height, manifest.record.id):
        raise CheckpointRefused("the links lead elsewhere")
    if links and links[-1].checkpoint.body != body:
        raise CheckpointRefused("the links lead to another checkpoint of that epoch")
    return trusted


def check_age(start: Trusted, manifest: Manifest) -> None:
    """Can links from here lead to this manifest? Raises `SnapshotTooOld` or `CheckpointRefused`."""
    body = manifest.checkpoint.body
    if body.chain_id != start.chain_id:
        raise CheckpointRefused("another chain")
    if body.height < start.height:
        raise SnapshotTooOld(body.epoch, start.epoch)


def trust_in(link: Link, chain_id: str) -> Trusted:
    """Trust in a checkpoint that somebody vouches for by other means than signatures, such as a file from a friend.

    Only that the sets and the record are those that it names is checked; raises `CheckpointRefused`.
    """
    body, record = link.checkpoint.body, link.record
    if body.chain_id != chain_id:
        raise CheckpointRefused("another chain")
    if record is None:
        raise CheckpointRefused("its epoch record is missing")
    try:
        return trust_named(body, link.validators, record)
    except InvalidProof as error:
        raise CheckpointRefused(str(error)) from error


# --- chunks ---


def chunk_hash(payload: bytes) -> bytes:
    """What the manifest holds of a chunk."""
    return H("octra.snap.chunk", payload)


def pack(rows: Iterator[tuple[bytes, Row]]) -> Iterator[tuple[bytes, int]]:
    """Chunks, with the number of their rows, from (tree, row) in the order of the snapshot.

    Greedy: a row that has no room any more begins the next chunk. So all nodes cut alike.
    """
    taken: list[tuple[bytes, Row]] = []
    size, tree = 0, None
    for name, row in rows:
        cost = ROW_BYTES + len(row[0]) + len(row[1])
        if size + cost + (SECTION_BYTES if name != tree else 0) > _ROOM:
            yield _payload(taken), len(taken)
            taken, size, tree = [], 0, None
        size += cost + (SECTION_BYTES if name != tree else 0)
        tree = name
        taken.append((name, row))
    if taken:
        yield _payload(taken), len(taken)


def _payload(rows: Sequence[tuple[bytes, Row]]) -> bytes:
    groups = groupby(rows, key=lambda item: item[0])
    return encode([Section(tree, tuple(row for _, row in group)) for tree, group in groups])


def check_chunk(manifest: Manifest, index: int, payload: bytes) -> None:
    """Is it the chunk that the manifest names? Raises `ChunkRefused`."""
    if len(payload) > CHUNK_BYTES_MAX:
        raise ChunkRefused(index, f"more than {CHUNK_BYTES_MAX} bytes")
    if chunk_hash(payload) != manifest.chunks[index]:
        raise ChunkRefused(index, "its hash is not the one in the manifest")


class Unpacking:
    """Reads chunks one after the other and checks the order of all rows. Roots are the caller's part."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._next = 0
        self._tree: bytes | None = None
        self._path = b""
        self.rows = 0

    def read(self, payload: bytes) -> list[Section]:
        """The sections of the next chunk; raises `ChunkRefused`."""
        index = self._next
        check_chunk(self._manifest, index, payload)
        self._next += 1
        try:
            sections = decode(payload, list[Section], "chunk")
        except Malformed as error:
            raise ChunkRefused(index, str(error)) from error
        if not sections:
            raise ChunkRefused(index, "no rows")
        for number, section in enumerate(sections):
            self._check(index, section, continues=number == 0 and section.tree == self._tree)
        return sections

    def end(self) -> None:
        """All chunks were read; raises `ManifestRefused` if they hold another number of rows than it says."""
        if (self._next, self.rows) != (len(self._manifest.chunks), self._manifest.rows):
            raise ManifestRefused("it counts other rows or chunks than there are")

    def _check(self, index: int, section: Section, *, continues: bool) -> None:
        if not section.rows:
            raise ChunkRefused(index, "an empty section")
        if not continues:
            if section.tree != GLOBAL if self._tree is None else section.tree <= self._tree:
                raise ChunkRefused(index, "trees are not in order")
            if section.tree != GLOBAL and len(section.tree) != _CIRCLE_SIZE:
                raise ChunkRefused(index, "no Circle has such an id")
            self._tree, self._path = section.tree, b""
        path_rule = path_of if section.tree == GLOBAL else circle_path_of
        for key, value in section.rows:
            if len(key) > KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
                raise ChunkRefused(index, "a key or value is too long")
            path = path_rule(key)
            if path <= self._path:
                raise ChunkRefused(index, "rows are not in the order of their paths")
            self._path = path
        self.rows += len(section.rows)


def circle_of(row: Row) -> tuple[bytes, bytes] | None:
    """Id and root of a Circle that has rows of its own, if a row of the global state is the record of one.

    Raises `Malformed` for a row in the place of a record that is none.
    """
    key, value = row
    if key[:1] != _CIRCLE_KEY or len(key) != len(_CIRCLE_KEY) + _CIRCLE_SIZE:
        return None
    root = decode(value, CircleRecord).stable_root
    return None if root == EMPTY_TREE else (key[len(_CIRCLE_KEY) :], root)
