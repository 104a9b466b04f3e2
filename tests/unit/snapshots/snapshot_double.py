"""A state of any rows, closed by an epoch record and a checkpoint that real validators signed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import (
    Checkpoint,
    CheckpointBody,
    Validator,
    assemble_checkpoint,
    registered_root,
    sign_checkpoint,
)
from octra.consensus.epoch import EpochRecord
from octra.consensus.genesis import (
    DrawnGenesis,
    GenesisAccount,
    GenesisCoin,
    GenesisKey,
    GenesisValidator,
    check,
)
from octra.consensus.ledger import keys
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.light import Link, Trusted
from octra.consensus.snapshot import VERSION, Manifest, Row, SignedManifest, chunk_hash, pack, sign_manifest
from octra.crypto import bls, sharing
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.node.chain import committee_of, genesis_record, registered_of
from octra.storage.memory import MemoryKeyValue
from octra.storage.snapshot import rows_at
from octra.storage.state import StateStore

START_MS = 1_700_000_000_000
SERVER = SigningKey(H("test.snap.server"))


class Node:
    """The secrets of one founder."""

    def __init__(self, number: int) -> None:
        seed = H("test.snap.node", bytes([number]))
        self.key, self.bls = SigningKey(seed), bls.SecretScalar.from_seed(H("test.snap.bls", seed))
        self.coin = sharing.scalar_from(seed)

    @cached_property
    def validator(self) -> Validator:
        return Validator(self.key.public, self.bls.public())


NODES = sorted((Node(number) for number in range(4)), key=lambda node: node.key.public)
STRANGERS = sorted((Node(number) for number in range(10, 14)), key=lambda node: node.key.public)


def make_genesis() -> DrawnGenesis:
    share = bls.SecretScalar(5).public()
    genesis = DrawnGenesis(
        version=2,
        name="localnet",
        time_ms=START_MS,
        validators=tuple(
            GenesisValidator(node.key.public, node.bls.public(), node.bls.prove_possession(), bytes(32))
            for node in NODES
        ),
        accounts=(GenesisAccount(b"\x01" * 32, 10**9),),
        coin=GenesisCoin("distributed", share, (share,) * 4),
        key=GenesisKey("none", "TEST", bytes(32), bytes(32)),
        epoch_ms=20_000,
        legacy_signing=False,
        rules_version=2,
        coin_keys=tuple(sharing.point_of(node.coin) for node in NODES),
    )
    check(genesis)
    return genesis


GENESIS = make_genesis()
FOUNDING = Trusted(GENESIS.chain_id, committee_of(GENESIS), registered_of(GENESIS))


class SnapshotMaker:
    """Commits rows of no meaning, and makes the snapshot of the newest height as if it closed `epoch`."""

    def __init__(self, epoch: int = 3, store: MemoryKeyValue | None = None) -> None:
        self.epoch, self.store = epoch, store or MemoryKeyValue()
        self.state = StateStore(self.store)
        self._made: dict[int, tuple[Manifest, list[bytes]]] = {}

    def copy(self) -> SnapshotMaker:
        return SnapshotMaker(self.epoch, self.store.copy())

    @property
    def height(self) -> int:
        return -1 if self.state.head is None else self.state.head.height

    def commit(self, writes: Mapping[bytes, bytes | None]) -> bytes:
        return self.state.commit(self.height + 1, list(writes.items()), {}, lambda _: ())

    commit_again = commit

    def circle(self, id: bytes, rows: Mapping[bytes, bytes]) -> None:
        """A Circle with rows of its own."""

        def seal(roots: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
            record = CircleRecord(id, bytes(32), 1, *(bytes(32),) * 2, roots[id], *(bytes(32),) * 2, 0, 0, 0, 0)
            return [(keys.circle(id), encode(record))]

        self.state.commit(self.height + 1, [], {id: list(rows.items())}, seal)

    # --- the close ---

    @property
    def header(self) -> BlockHeader:
        return BlockHeader(
            1, GENESIS.chain_id, self.height, self.epoch, bytes(32), START_MS, bytes(32), bytes(32), bytes(32),
            self.state.root(), bytes(32), bytes(32), 0,
        )  # fmt: skip

    @property
    def record(self) -> EpochRecord:
        header, first = self.header, genesis_record(GENESIS)
        return replace(
            first,
            epoch=self.epoch + 1,
            previous=first.id,
            close_height=header.height,
            close_block=header.block_id,
            state_root=header.state_root,
        )

    def checkpoint(self, nodes: list[Node] = NODES, **changes: object) -> Checkpoint:
        """Signed by all `nodes`."""
        header, validators = self.header, [node.validator for node in NODES]
        body = CheckpointBody(
            1, GENESIS.chain_id, self.epoch, header.height, header.block_id, header.state_root, self.record.id,
            registered_root(validators), len(validators),
        )  # fmt: skip
        body = replace(body, **changes)
        parts = {index: sign_checkpoint(node.bls, body) for index, node in enumerate(nodes)}
        return assemble_checkpoint(body, [node.validator for node in nodes], parts)

    def link(self, nodes: list[Node] = NODES) -> Link:
        """From the genesis to the close."""
        checkpoint = self.snapshot()[0].checkpoint if nodes is NODES else self.checkpoint(nodes)
        return Link(checkpoint, tuple(node.validator for node in NODES), self.record)

    # --- snapshots ---

    def snapshot(self) -> tuple[Manifest, list[bytes]]:
        if self.height not in self._made:
            self._made[self.height] = self.manifest_of(rows_at(self.store, self.height))
        return self._made[self.height]

    def manifest_of(self, rows: Iterable[tuple[bytes, Row]]) -> tuple[Manifest, list[bytes]]:
        """A snapshot of these rows, right or wrong, under the honest close."""
        chunks = list(pack(iter(rows)))
        hashes = tuple(chunk_hash(payload) for payload, _ in chunks)
        count = sum(rows for _, rows in chunks)
        return Manifest(VERSION, self.header, self.checkpoint(), self.record, count, hashes), [one for one, _ in chunks]


def signed(manifest: Manifest, key: SigningKey = SERVER) -> SignedManifest:
    return sign_manifest(manifest, key)
