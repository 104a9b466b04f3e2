"""Snapshots on the shelf of a node and as files: made, kept, exported, and read back with suspicion."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from snapshot_double import GENESIS, SERVER, SnapshotMaker

from octra.consensus.snapshot import CheckpointRefused, InvalidSnapshot, SnapshotTooOld, admit_manifest
from octra.errors import InvalidInput
from octra.node.config import InvalidConfig
from octra.node.installing import origin_of
from octra.node.joining import install_file
from octra.node.snapshots import Abandoned, Shelf, SnapshotGone, export, unwrap, wrap
from octra.node.starting import parse_checkpoint
from octra.storage.rocks import open_rocks
from octra.storage.state import StateStore


def made(epoch: int = 3) -> SnapshotMaker:
    maker = SnapshotMaker(epoch)
    maker.commit({b"\x01" + bytes([n]): bytes([n]) * 50_000 for n in range(25)})
    maker.commit({b"\x01row": b"of a later block"})
    return maker


def shelved(home: Path, maker: SnapshotMaker) -> Shelf:
    shelf = Shelf(home)
    shelf.make(maker.store, maker.header, (maker.link(),), SERVER, stop=threading.Event(), share=1)
    return shelf


@pytest.fixture(scope="module")
def maker() -> SnapshotMaker:
    return made()


@pytest.fixture(scope="module")
def exported(maker: SnapshotMaker, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = io.BytesIO()
    export(shelved(tmp_path_factory.mktemp("server"), maker), maker.height, file)
    return file.getvalue()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_what_the_shelf_makes_is_what_every_honest_node_makes(tmp_path: Path, maker: SnapshotMaker) -> None:
    shelf = shelved(tmp_path, maker)
    assert shelf.heights() == [maker.height]
    manifest, node = admit_manifest(shelf.manifest(maker.height) or b"")
    expected, payloads = maker.snapshot()
    assert (manifest, node) == (expected, SERVER.public)
    assert [unwrap(shelf.chunk(maker.height, n) or b"", n) for n in range(len(payloads))] == payloads
    assert shelf.links(maker.height) == (maker.link(),)


def test_the_newest_two_are_kept_and_unfinished_ones_removed(tmp_path: Path) -> None:
    maker = SnapshotMaker()
    for number in range(4):
        maker.commit({b"\x01a": bytes([number])})
        shelf = shelved(tmp_path, maker)
    (shelf.path / "000000000099.part").mkdir()
    assert shelf.heights() == [3, 2, 1, 0]
    shelf.tidy()
    assert shelf.heights() == [3, 2]
    assert sorted(path.name for path in shelf.path.iterdir()) == ["000000000002", "000000000003"]
    assert shelf.chunk(0, 0) is shelf.manifest(0) is None


def test_a_node_that_stops_leaves_no_half_snapshot(tmp_path: Path, maker: SnapshotMaker) -> None:
    shelf, stop = Shelf(tmp_path), threading.Event()
    stop.set()
    with pytest.raises(Abandoned):
        shelf.make(maker.store, maker.header, (maker.link(),), SERVER, stop=stop)
    assert shelf.heights() == []


def test_chunks_are_deflated_where_that_pays() -> None:
    dull, noise = bytes(100_000), b"".join(bytes([n * 167 % 251, n * n % 241]) for n in range(120))
    assert len(wrap(dull)) < 1_000
    assert wrap(noise) == b"\0" + noise
    assert unwrap(wrap(dull), 0) == dull
    assert unwrap(wrap(noise), 0) == noise


def test_a_file_starts_a_node(tmp_path: Path, maker: SnapshotMaker, exported: bytes) -> None:
    file = written(tmp_path / "file", exported)
    for name, checkpoint in (("by genesis", None), ("by checkpoint", maker.link().checkpoint.id)):
        home = tmp_path / name
        home.mkdir()
        assert install_file(file, home, GENESIS, checkpoint).height == maker.height
        store = open_rocks(home / "db")
        try:
            assert StateStore(store).root() == maker.state.root()
            origin = origin_of(store)
            assert origin is not None
            assert origin.checkpoint == maker.link().checkpoint.id
        finally:
            store.close()


@pytest.mark.parametrize("where", [0, 3, 9, 40, -1, -500])
def test_a_changed_or_cut_file_is_refused_and_leaves_nothing(tmp_path: Path, exported: bytes, where: int) -> None:
    damaged = bytearray(exported)
    damaged[where] ^= 1
    for data in (bytes(damaged), exported[:where], exported + b"more"):
        with pytest.raises(InvalidInput):
            install_file(written(tmp_path / "file", data), tmp_path, GENESIS)
        assert not (tmp_path / "db").exists()


def test_a_file_of_another_chain_or_another_checkpoint_is_refused(tmp_path: Path, exported: bytes) -> None:
    file = written(tmp_path / "file", exported)
    with pytest.raises(CheckpointRefused):
        install_file(file, tmp_path, replace(GENESIS, time_ms=1))
    with pytest.raises(CheckpointRefused):
        install_file(file, tmp_path, GENESIS, bytes(32))
    assert not (tmp_path / "db").exists()


def test_what_is_not_there_cannot_be_exported(tmp_path: Path, maker: SnapshotMaker) -> None:
    shelf = shelved(tmp_path, maker)
    with pytest.raises(SnapshotGone):
        export(shelf, maker.height + 1, io.BytesIO())
    (shelf.path / f"{maker.height:012}" / "00001").unlink()
    with pytest.raises(SnapshotGone):
        export(shelf, maker.height, io.BytesIO())


def test_a_checkpoint_is_named_by_id_or_file(tmp_path: Path, maker: SnapshotMaker) -> None:
    from octra.codec import encode

    link = maker.link()
    id = link.checkpoint.id
    assert parse_checkpoint("") is None
    assert parse_checkpoint(id.hex()) == id
    assert parse_checkpoint(str(written(tmp_path / "text", id.hex().encode() + b"\n"))) == id
    assert parse_checkpoint(str(written(tmp_path / "link", encode(link)))) == id
    for text in (str(tmp_path / "absent"), str(written(tmp_path / "odd", b"12")), "z" * 64):
        with pytest.raises(InvalidConfig):
            parse_checkpoint(text)


def test_refusals_say_which_rule_is_broken() -> None:
    assert isinstance(SnapshotTooOld(3, 5), InvalidSnapshot)
    assert (SnapshotTooOld(3, 5).epoch, SnapshotTooOld(3, 5).trusted) == (3, 5)
