"""What servers of snapshots may try with a node that joins: each lie is refused by name, and another server is asked."""

from __future__ import annotations

import asyncio
import shutil
import zlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from snapshot_double import GENESIS, NODES, STRANGERS, SnapshotMaker

from octra.codec import decode, encode
from octra.consensus.checkpoint import registered_root
from octra.consensus.light import Link
from octra.consensus.snapshot import (
    CHUNK_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    CheckpointRefused,
    ChunkRefused,
    InvalidSnapshot,
    Manifest,
    ManifestRefused,
    RootRefused,
    SnapshotTooOld,
    check_age,
    chunk_hash,
    sign_manifest,
)
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.errors import InvalidInput, Unavailable
from octra.node import joining, logs, starting
from octra.node.actors.ref import RefusalCode, Refused
from octra.node.following import Trust
from octra.node.installing import install, origin_of
from octra.node.joining import Joiner, NobodyServes
from octra.node.p2p.messages import ChunkRequest, LinkList, LinksRequest, SnapshotMessage
from octra.node.snapshots import wrap
from octra.primitives import NodeId
from octra.storage.blocks import BlockStore, CertificateKind
from octra.storage.rocks import open_rocks
from octra.storage.snapshot import rows_at
from octra.storage.state import StateStore


def made(epoch: int = 3, rows: int = 40) -> SnapshotMaker:
    """A state of three chunks."""
    maker = SnapshotMaker(epoch)
    maker.commit({b"\x01" + bytes([n]): bytes([n]) * 50_000 for n in range(rows)})
    maker.circle(b"\x05" * 33, {b"k": b"v"})
    return maker


HONEST = made()


@dataclass
class Server:
    """An honest server; the lies of a test replace parts of it."""

    number: int
    maker: SnapshotMaker = field(default_factory=lambda: HONEST)
    manifest: Manifest = field(init=False)
    chunks: list[bytes] = field(init=False)
    links: tuple[Link, ...] = field(init=False)
    served: int = 0
    offer: Callable[[bytes], bytes] = lambda signed: signed
    chunk: Callable[[bytes], bytes] = lambda stored: stored
    refuses: bool = False

    def __post_init__(self) -> None:
        self.key = SigningKey(H("test.snap.server", bytes([self.number])))
        self.manifest, payloads = self.maker.snapshot()
        self.chunks = [wrap(payload) for payload in payloads]
        self.links = (self.maker.link(),)

    @property
    def id(self) -> NodeId:
        return NodeId(self.key.public)

    def answer(self, message: SnapshotMessage, body: bytes) -> bytes:
        match message:
            case SnapshotMessage.OFFER:
                return self.offer(encode(sign_manifest(self.manifest, self.key)))
            case SnapshotMessage.CHUNK:
                asked = decode(body, ChunkRequest)
                assert asked.height == self.manifest.height
                if self.refuses:
                    raise Refused(RefusalCode.NOT_FOUND)
                self.served += 1
                return self.chunk(self.chunks[asked.index])
            case SnapshotMessage.LINKS:
                decode(body, LinksRequest)
                return encode(LinkList(self.links))
            case SnapshotMessage.LINK:
                return encode(next(link for link in self.links if link.checkpoint.id == body))


class Servers:
    """A network of servers; remembers who was blamed, and for what."""

    def __init__(self, *servers: Server) -> None:
        self.servers = {server.id: server for server in servers}
        self.blamed: list[tuple[int, type[InvalidInput]]] = []

    def peers(self) -> Sequence[NodeId]:
        return tuple(self.servers)

    async def ask(self, peer: NodeId, message: SnapshotMessage, body: bytes) -> bytes:
        await asyncio.sleep(0)
        return self.servers[peer].answer(message, body)

    def blame(self, peer: NodeId, error: InvalidInput) -> None:
        self.blamed.append((self.servers[peer].number, type(error)))


@dataclass
class Attempt:
    """How joining went."""

    network: Servers
    joined: bool
    refused: list[type[Exception]]
    reasons: list[str]


def join(home: Path, *servers: Server, trust: Trust | None = None) -> Attempt:
    """Look for offers and take them, best first, until one is installed."""
    network = Servers(*servers)
    joiner = Joiner(network, trust or Trust.of(GENESIS), GENESIS, home, logs.get())
    refused: list[type[Exception]] = []
    reasons: list[str] = []

    async def run() -> bool:
        for _ in range(3):
            for offer in (await joiner.offers())[0]:
                try:
                    await joiner.take(offer)
                except (InvalidInput, Unavailable) as error:
                    refused.append(type(error))
                    reasons.append(str(error))
                else:
                    return True
        return False

    return Attempt(network, asyncio.run(run()), refused, reasons)


def check(home: Path, maker: SnapshotMaker = HONEST) -> None:
    """The database of `home` holds the state of the maker, and nothing is left of the way to it."""
    store = open_rocks(home / "db")
    try:
        state = StateStore(store)
        assert state.root() == maker.state.root()
        origin = origin_of(store)
        assert origin is not None
        assert (origin.epoch, origin.height) == (maker.epoch, maker.height)
        blocks = BlockStore(store)
        assert blocks.commit(maker.height) is not None
        for kind in (CertificateKind.LINK, CertificateKind.CHECKPOINT, CertificateKind.EPOCH_RECORD):
            assert len(blocks.latest_certificates(kind, 5)) == 1
    finally:
        store.close()
    assert sorted(path.name for path in home.iterdir()) == ["db"]


def test_an_honest_server_is_enough(tmp_path: Path) -> None:
    attempt = join(tmp_path, Server(1))
    assert attempt.joined
    assert attempt.network.blamed == []
    check(tmp_path)


def test_several_servers_share_the_work(tmp_path: Path) -> None:
    servers = [Server(number) for number in range(3)]
    assert join(tmp_path, *servers).joined
    assert sum(server.served for server in servers) == len(servers[0].chunks)
    assert sum(server.served > 0 for server in servers) > 1


# --- lies about a chunk: found as it arrives ---

BOMB = b"\1" + zlib.compress(bytes(64 * CHUNK_BYTES_MAX), 9)
CHUNK_LIES: dict[str, Callable[[bytes], bytes]] = {
    "other bytes": lambda stored: wrap(b"something else"),
    "a bit flipped": lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "truncated": lambda stored: stored[: len(stored) // 2],
    "empty": lambda stored: b"",
    "unknown form": lambda stored: b"\7" + stored[1:],
    "more behind": lambda stored: stored + b"more",
    "inflates without end": lambda stored: BOMB,
    "oversize": lambda stored: b"\0" + bytes(CHUNK_BYTES_MAX + 1),
}


@pytest.mark.parametrize("lie", list(CHUNK_LIES))
def test_a_wrong_chunk_is_refused_and_fetched_from_another_server(tmp_path: Path, lie: str) -> None:
    liar, honest = Server(1, chunk=CHUNK_LIES[lie]), Server(2)
    attempt = join(tmp_path, liar, honest)
    assert attempt.joined
    assert attempt.network.blamed == [(1, ChunkRefused)]
    assert honest.served == len(honest.chunks)


def test_a_chunk_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    liar = Server(1)
    liar.chunks.reverse()
    attempt = join(tmp_path, liar)
    assert not attempt.joined
    assert attempt.refused == [NobodyServes]
    assert attempt.network.blamed == [(1, ChunkRefused)]
    assert not (tmp_path / "db").exists()


# --- lies about the whole: found once all of it is there ---


def forger(number: int, change: Callable[[list[Any]], list[Any]]) -> Server:
    """A server whose chunks and manifest agree, about rows that are not the state's."""
    server = Server(number)
    rows = change(list(rows_at(HONEST.store, HONEST.height)))
    server.manifest, payloads = HONEST.manifest_of(rows)
    server.chunks = [wrap(payload) for payload in payloads]
    return server


ROW_LIES: dict[str, tuple[Callable[[list[Any]], list[Any]], type[Exception]]] = {
    "a value changed": (lambda rows: [(rows[0][0], (rows[0][1][0], b"mine")), *rows[1:]], RootRefused),
    "a row left out": (lambda rows: rows[1:], RootRefused),
    "a Circle left out": (lambda rows: rows[:-1], RootRefused),
    "a Circle's row changed": (lambda rows: [*rows[:-1], (rows[-1][0], (b"k", b"w"))], RootRefused),
    "a Circle added": (lambda rows: [*rows, (b"\x06" * 33, (b"k", b"v"))], RootRefused),
    "rows out of order": (lambda rows: [rows[1], rows[0], *rows[2:]], ChunkRefused),
    "a row twice": (lambda rows: [rows[0], *rows], ChunkRefused),
    "a tree without name": (lambda rows: [*rows, (b"\x06", (b"k", b"v"))], ChunkRefused),
    "a key too long": (lambda rows: [*rows[:-1], (rows[-1][0], (bytes(2_000), b"v"))], ChunkRefused),
    "a record that is none": (
        lambda rows: [(tree, (key, b"?") if key[:1] == b"\x0b" else (key, value)) for tree, (key, value) in rows],
        InvalidSnapshot,
    ),
}


@pytest.mark.parametrize("lie", list(ROW_LIES))
def test_rows_that_no_checkpoint_proves_are_refused_and_all_who_offer_them_blamed(tmp_path: Path, lie: str) -> None:
    change, refusal = ROW_LIES[lie]
    attempt = join(tmp_path, forger(1, change), forger(2, change), Server(3))
    assert attempt.joined
    assert attempt.refused == [refusal]
    assert attempt.network.blamed == [(1, refusal), (2, refusal)]


def test_a_wrong_number_of_rows_is_refused(tmp_path: Path) -> None:
    liar = Server(1)
    liar.manifest = replace(liar.manifest, rows=liar.manifest.rows + 1)
    attempt = join(tmp_path, liar)
    assert attempt.refused == [ManifestRefused]
    assert not (tmp_path / "db").exists()


# --- lies about what is offered: found before anything is fetched ---


def with_manifest(change: Callable[[Manifest], Manifest]) -> Server:
    server = Server(1)
    server.manifest = change(server.manifest)
    return server


def body_changed(manifest: Manifest, **changes: Any) -> Manifest:
    checkpoint = manifest.checkpoint
    return replace(manifest, checkpoint=replace(checkpoint, body=replace(checkpoint.body, **changes)))


OFFER_LIES: dict[str, tuple[Server, type[Exception]]] = {
    "no manifest": (Server(1, offer=lambda _: b"?"), ManifestRefused),
    "oversize": (Server(1, offer=lambda signed: signed + bytes(MANIFEST_BYTES_MAX)), ManifestRefused),
    "truncated": (Server(1, offer=lambda signed: signed[:-1]), ManifestRefused),
    "bad signature": (Server(1, offer=lambda signed: signed[:-1] + bytes([signed[-1] ^ 1])), ManifestRefused),
    "another version": (with_manifest(lambda one: replace(one, version=2)), ManifestRefused),
    "no chunks": (with_manifest(lambda one: replace(one, chunks=())), ManifestRefused),
    "no rows": (with_manifest(lambda one: replace(one, rows=0)), ManifestRefused),
    "another root": (
        with_manifest(lambda one: replace(one, header=replace(one.header, state_root=bytes(32)))),
        ManifestRefused,
    ),
    "another block": (
        with_manifest(lambda one: replace(one, header=replace(one.header, time_ms=1))),
        ManifestRefused,
    ),
    "another height": (
        with_manifest(lambda one: replace(one, header=replace(one.header, height=9))),
        ManifestRefused,
    ),
    "another record": (
        with_manifest(lambda one: replace(one, record=replace(one.record, beacon=bytes(32)))),
        ManifestRefused,
    ),
    "another chain": (
        with_manifest(
            lambda one: body_changed(replace(one, header=replace(one.header, chain_id="octra:x")), chain_id="octra:x")
        ),
        ManifestRefused,  # the id of the block has its chain in it
    ),
    "another set": (with_manifest(lambda one: body_changed(one, registered_count=3)), CheckpointRefused),
    "signed by another": (
        Server(1, offer=lambda _: encode(sign_manifest(HONEST.snapshot()[0], SigningKey(bytes(32))))),
        InvalidSnapshot,
    ),
}


@pytest.mark.parametrize("lie", list(OFFER_LIES))
def test_a_wrong_offer_is_refused_before_a_chunk_is_fetched(tmp_path: Path, lie: str) -> None:
    liar, refusal = OFFER_LIES[lie]
    attempt = join(tmp_path, liar, Server(2))
    assert attempt.joined
    assert attempt.network.blamed == [(1, refusal)]
    assert liar.served == 0


def with_links(maker: SnapshotMaker, *links: Link) -> Server:
    server = Server(1, maker)
    server.links = links
    return server


def rich() -> SnapshotMaker:
    """Another state, under a checkpoint of its own."""
    maker = made()
    maker.commit({b"\x01mine": b"all of it"})
    return maker


def test_a_checkpoint_of_strangers_is_refused(tmp_path: Path) -> None:
    liar = with_links(rich(), rich().link(STRANGERS))
    attempt = join(tmp_path, liar, Server(2))
    assert attempt.network.blamed == [(1, CheckpointRefused)]
    check(tmp_path)


def test_a_checkpoint_of_too_few_is_refused(tmp_path: Path) -> None:
    honest = rich().link()
    few = replace(honest, checkpoint=replace(honest.checkpoint, signers=b"\3"))
    attempt = join(tmp_path, with_links(rich(), few), Server(2))
    assert attempt.network.blamed == [(1, CheckpointRefused)]
    check(tmp_path)


def test_links_that_lead_elsewhere_or_nowhere_are_refused(tmp_path: Path) -> None:
    for links in ((HONEST.link(),), (), (HONEST.link(), HONEST.link())):
        attempt = join(tmp_path, with_links(rich(), *links))
        assert attempt.network.blamed == [(1, CheckpointRefused)]
        assert not attempt.joined


def test_a_set_that_the_checkpoint_does_not_name_is_refused(tmp_path: Path) -> None:
    forged = replace(HONEST.link(), validators=tuple(node.validator for node in STRANGERS))
    attempt = join(tmp_path, with_links(HONEST, forged))
    assert attempt.network.blamed == [(1, CheckpointRefused)]


# --- which checkpoint is trusted ---


def test_a_snapshot_below_the_trusted_checkpoint_is_too_old(tmp_path: Path) -> None:
    newer = made(epoch=5)
    newer.commit({b"\x01later": b"row"})
    link = newer.link()
    trust = Trust.of(GENESIS, link.checkpoint.id)
    old = Server(1)
    old.links = (link,)  # it knows the checkpoint, and offers what lies below
    attempt = join(tmp_path, old, trust=trust)
    assert not attempt.joined
    assert attempt.network.blamed == []  # nobody lied
    with pytest.raises(SnapshotTooOld, match="epoch 3, below the trusted checkpoint of epoch 5"):
        check_age(trust.start(link), old.manifest)
    assert join(tmp_path, old, Server(2, newer), trust=trust).joined
    check(tmp_path, newer)


def test_nothing_but_the_trusted_checkpoint_is_believed(tmp_path: Path) -> None:
    trust = Trust.of(GENESIS, H("another"))

    class Insists(Server):
        def answer(self, message: SnapshotMessage, body: bytes) -> bytes:
            return encode(self.links[0]) if message is SnapshotMessage.LINK else super().answer(message, body)

    attempt = join(tmp_path, Insists(1), trust=trust)
    assert not attempt.joined
    assert attempt.network.blamed == [(1, CheckpointRefused)]


def test_a_trusted_checkpoint_needs_no_signatures_from_genesis_on(tmp_path: Path) -> None:
    server = Server(1)
    link = server.links[0]
    server.links = (replace(link, checkpoint=replace(link.checkpoint, aggregate=bytes(48))),)
    assert join(tmp_path, server, trust=Trust.of(GENESIS, link.checkpoint.id)).joined


def test_the_newest_snapshot_is_taken(tmp_path: Path) -> None:
    newer = made(epoch=4)
    newer.commit({b"\x01later": b"row"})
    assert join(tmp_path, Server(1), Server(2, newer), Server(3)).joined
    check(tmp_path, newer)


# --- when there is nothing to be had ---


@pytest.mark.parametrize("servers", [(), (Server(1, offer=lambda _: b"?"),)])
def test_a_node_without_an_honest_server_replays_unless_it_must_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, servers: tuple[Server, ...]
) -> None:
    for name in ("LOOK_S", "WAIT_S"):
        monkeypatch.setattr(starting, name, 0)
    monkeypatch.setattr(starting, "ALONE_S", 0)
    network = Servers(*servers)
    joiner = Joiner(network, Trust.of(GENESIS), GENESIS, tmp_path, logs.get())

    def until(*, must: bool) -> Coroutine[Any, Any, bool]:
        return starting.until_joined(joiner, lambda: bool(network.servers), logs.get(), must=must)

    async def waits() -> bool:
        waiting = asyncio.create_task(until(must=True))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        network.servers[Server(2).id] = Server(2)  # somebody who has one appears at last
        return await waiting

    assert not asyncio.run(until(must=False))
    assert asyncio.run(waits())


# --- interruptions ---


def test_chunks_that_have_come_are_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "RETRY_S", 0)
    first = Server(1)

    def one_only(stored: bytes) -> bytes:
        if first.served > 1:
            raise Refused(RefusalCode.BUSY)
        return stored

    first.chunk = one_only
    assert join(tmp_path, first).refused == [NobodyServes] * 3
    assert not (tmp_path / "db").exists()
    second = Server(2)
    assert join(tmp_path, second).joined
    assert second.served == len(second.chunks) - 1
    check(tmp_path)


def test_a_damaged_chunk_of_an_earlier_run_is_fetched_anew(tmp_path: Path) -> None:
    server = Server(1)
    folder = tmp_path / joining.FOLDER / server.manifest.content.hex()
    folder.mkdir(parents=True)
    (folder / "00000").write_bytes(server.chunks[0][:100])
    assert join(tmp_path, server).joined
    assert server.served == len(server.chunks)
    check(tmp_path)


def test_a_crash_in_the_middle_leaves_no_state(tmp_path: Path) -> None:
    server = Server(1)
    payloads = HONEST.snapshot()[1]

    class PowerCut(BaseException):
        pass

    def cut() -> Any:
        yield payloads[0]
        shutil.copytree(tmp_path / "db.new", tmp_path / "left")
        raise PowerCut

    with pytest.raises(PowerCut):
        install(tmp_path, GENESIS, server.manifest, server.links, cut())
    assert not (tmp_path / "db").exists()
    (tmp_path / "left").rename(tmp_path / "db.new")  # as the next start finds it after a power cut
    assert join(tmp_path, server).joined
    check(tmp_path)


def test_founders_sign_in_the_order_of_their_ids() -> None:
    assert registered_root([node.validator for node in NODES]) == HONEST.checkpoint().body.registered_root
    assert chunk_hash(HONEST.snapshot()[1][0]) == HONEST.snapshot()[0].chunks[0]
