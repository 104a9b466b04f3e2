"""Trouble on purpose: asked for by the environment, told by a file, refused where people rely on the chain."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog

from octra.crypto.ed25519 import SigningKey
from octra.node.clock import LoopClock
from octra.node.p2p.endpoint import Endpoint
from octra.node.p2p.faulty import FaultyCarrier
from octra.node.p2p.handshake import Identity
from octra.node.p2p.tls import TlsCarrier
from octra.node.p2p.transport import Lane, LinkUp, Received, TransportEvent
from octra.node.trouble import FILE, VARIABLE, SlowStore, Trouble, TroubleRefused, tell
from octra.primitives import NodeId
from octra.storage.kv import Batch, Family
from octra.storage.memory import MemoryKeyValue
from octra.storage.sign_log import SignKind, SignLog

PEER = NodeId(bytes(range(32)))


class CountedTrouble(Trouble):
    """One that counts the waits instead of waiting."""

    waits = 0

    def wait(self) -> None:
        self.waits += 1


def test_without_the_variable_no_file_troubles_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    tell(tmp_path, cut=[PEER], sync_ms=1)
    assert Trouble.if_asked(tmp_path, "devnet-1", localnet=False) is None
    assert Trouble.if_asked(tmp_path, "localnet-1", localnet=True) is None


def test_trouble_is_refused_on_a_chain_that_is_no_localnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    with pytest.raises(TroubleRefused, match="devnet-1"):
        Trouble.if_asked(tmp_path, "devnet-1", localnet=False)


def test_a_node_follows_the_newest_file_and_forgets_the_one_before(tmp_path: Path) -> None:
    trouble = Trouble(tmp_path)
    assert not trouble.faults.is_cut(PEER)
    tell(tmp_path, cut=[PEER], sync_ms=7)
    trouble.look()
    assert trouble.faults.is_cut(PEER)
    assert trouble.sync_ms == 7
    tell(tmp_path)
    trouble.look()
    assert not trouble.faults.is_cut(PEER)
    assert trouble.sync_ms == 0
    tell(tmp_path, cut=[PEER])
    assert Trouble(tmp_path).faults.is_cut(PEER), "a restart heals nothing"
    trouble.look()
    (tmp_path / FILE).unlink()
    trouble.look()
    assert not trouble.faults.is_cut(PEER)


def test_a_slow_disk_delays_durable_writes_and_signatures_and_nothing_else(tmp_path: Path) -> None:
    trouble = CountedTrouble(tmp_path)
    store, row = SlowStore(MemoryKeyValue(), trouble), Batch()
    row.put(Family.META, b"key", b"value")
    store.write(row, durable=False)
    assert store.get(Family.META, b"key") == b"value"
    assert trouble.waits == 0
    store.write(row, durable=True)
    assert trouble.waits == 1
    log = SignLog(tmp_path / "journal", trouble.sync)
    started = trouble.waits
    log.reserve(SignKind.VERTEX, 0, 1, b"anchor", b"digest", b"payload")
    assert trouble.waits > started
    log.close()


def test_a_wait_for_the_disk_takes_as_long_as_was_asked(tmp_path: Path) -> None:
    tell(tmp_path, sync_ms=30)
    trouble, started = Trouble(tmp_path), time.monotonic()
    with (tmp_path / "file").open("wb") as file:
        trouble.sync(file.fileno())
    assert time.monotonic() - started >= 0.03


class Node:
    """An endpoint over TLS whose carrier is in trouble."""

    def __init__(self, directory: Path, number: int) -> None:
        directory.mkdir()
        self.directory, self.trouble = directory, Trouble(directory)
        identity = Identity(SigningKey(bytes([number]) * 32), "localnet-test", b"g" * 32)
        self.id = identity.node_id
        carrier = FaultyCarrier(TlsCarrier(self.id, ("/ip4/127.0.0.1/tcp/0/tls",)), self.trouble.faults)
        self.endpoint = Endpoint(identity, carrier, LoopClock(), structlog.get_logger())
        self.events: list[TransportEvent] = []

    def take(self, events: Sequence[TransportEvent]) -> None:
        self.events += events

    def say(self, other: Node, text: bytes) -> None:
        link = next(event.link for event in self.events if isinstance(event, LinkUp))
        self.endpoint.send(other.id, link, Lane.DATA, [b"\1" + text])

    def heard(self) -> list[bytes]:
        return [frame[1:] for event in self.events if isinstance(event, Received) for frame in event.frames]


async def until(done, what: str) -> None:
    for _ in range(3_000):
        if done():
            return
        await asyncio.sleep(0.01)
    pytest.fail(what)


def test_a_link_is_cut_in_one_direction_by_the_end_that_accepted_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        dialler, acceptor = Node(tmp_path / "one", 1), Node(tmp_path / "two", 2)
        for node in (dialler, acceptor):
            await node.endpoint.start(node.take)
        dialler.endpoint.dial(acceptor.endpoint.listening()[0], acceptor.id)
        await until(lambda: dialler.events and acceptor.events, "no link")
        tell(acceptor.directory, cut=[dialler.id])
        acceptor.trouble.look()
        acceptor.say(dialler, b"held back")
        dialler.say(acceptor, b"one")
        await until(lambda: acceptor.heard() == [b"one"], "the other direction is not cut")
        assert dialler.heard() == []
        tell(acceptor.directory)
        acceptor.trouble.look()
        await until(lambda: dialler.heard() == [b"held back"], "what a cut held back arrives when it heals")
        for node in (dialler, acceptor):
            await node.endpoint.stop(1_000)

    assert os.environ.get(VARIABLE) is None
    asyncio.run(scenario())
