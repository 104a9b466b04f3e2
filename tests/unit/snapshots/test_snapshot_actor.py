"""The actor that makes snapshots while blocks go on, and serves them within limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snapshot_double import GENESIS, SERVER, SnapshotMaker

from octra.codec import decode, encode
from octra.consensus.checkpoint import registered_root
from octra.consensus.light import Link
from octra.consensus.snapshot import admit_manifest
from octra.errors import InvalidInput, Malformed
from octra.node import logs
from octra.node.actors.messages import Committed, EpochBegan
from octra.node.actors.ref import RefusalCode
from octra.node.actors.snapshots import ANSWERS_EACH_MAX, SnapshotActor
from octra.node.board import Board
from octra.node.chain import registered_of
from octra.node.clock import LoopClock
from octra.node.config import Config, SnapshotsSection
from octra.node.p2p.messages import ChunkRequest, LinkList, LinksRequest, SnapshotMessage
from octra.node.p2p.short import REFUSED, VALUE, Incoming
from octra.node.p2p.transport import Lane
from octra.node.snapshots import unwrap
from octra.primitives import NodeId
from octra.storage.blocks import BlockStore, CertificateKind, CommitRow
from octra.storage.errors import NotFound
from octra.storage.kv import Batch
from octra.storage.memory import MemoryKeyValue
from octra.storage.state import StateStore

PEER = NodeId(b"\x09" * 32)
COMMITTED = Committed(0, 0, 0, (), (), (), ())


class Node:
    """A full node as far as this actor sees it: real stores, and a context that runs tasks."""

    def __init__(self, home: Path, **settings: Any) -> None:
        store = MemoryKeyValue()
        self.maker = SnapshotMaker(3, store)
        self.maker.state = self.state = StateStore(store, retention=1)
        self.blocks, self.board = BlockStore(store), Board()
        self.store = store
        self.clock, self.log = LoopClock(), logs.get()
        self.tasks: list[asyncio.Task[None]] = []
        self.blamed: list[InvalidInput] = []
        config = Config(snapshots=SnapshotsSection(**{"every_epochs": 1, **settings}))
        facts = SimpleNamespace(
            directory=home, config=config, genesis=GENESIS, keys=SimpleNamespace(node=SERVER, node_id=SERVER.public)
        )
        stores = SimpleNamespace(kv=store, state=self.state, blocks=self.blocks)
        self.actor = SnapshotActor(SimpleNamespace(facts=facts, stores=stores, board=self.board))  # type: ignore[arg-type]

    @contextlib.contextmanager
    def guard(self, message: object) -> Iterator[None]:
        try:
            yield
        except InvalidInput as error:
            self.blamed.append(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    async def settled(self) -> None:
        while self.tasks:
            await self.tasks.pop()

    # --- the life of the node ---

    def grow(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.maker.commit({b"\x01" + bytes([self.maker.height + 1]): b"block"})

    async def close(self) -> Link:
        """An epoch ends; the next one begins with its first block, and pruning looks around."""
        link = self.maker.link()
        rows = Batch()
        self.blocks.put_commit(rows, self.maker.height, CommitRow(encode(self.maker.header), (), ()))
        self.store.write(rows, durable=True)
        closed = self.maker.height
        self.grow()
        await self.actor.receive([EpochBegan(4, closed)])
        return link

    async def checkpoint(self, link: Link, *, kept: bool = True) -> None:
        body = link.checkpoint.body
        rows = Batch()
        if kept:
            self.blocks.put_certificate(rows, CertificateKind.LINK, body.epoch, body.height, encode(link))
        self.store.write(rows, durable=True)
        self.board.checkpointed = body.height
        await self.actor.receive([COMMITTED])
        await self.settled()

    async def ask(self, message: SnapshotMessage, body: bytes = b"") -> tuple[int, bytes]:
        """Kind and body of the answer."""
        answers = self.told(message, body)
        await self.actor.receive([answers[0]])
        await self.settled()
        return answers[1][0] if answers[1] else (-1, b"")

    def told(self, message: SnapshotMessage, body: bytes) -> tuple[Incoming, list[tuple[int, bytes]]]:
        found: list[tuple[int, bytes]] = []
        return Incoming(PEER, Lane.BULK, message, 1, body, lambda _, kind, data: found.append((kind, data))), found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    def call(story: Callable[[Node], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
        async def main() -> Any:
            node = Node(tmp_path, **settings)
            node.grow(5)
            await node.actor.start(node)  # type: ignore[arg-type]
            return await story(node)

        return asyncio.run(main())

    return call


def refused(code: RefusalCode) -> tuple[int, bytes]:
    return REFUSED, bytes([code])


def test_the_close_is_kept_until_its_checkpoint_comes_and_copied_then(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        root = node.state.root()
        link = await node.close()
        node.grow(40)
        while node.state.prune_step():
            pass
        assert await node.ask(SnapshotMessage.OFFER) == refused(RefusalCode.NOT_FOUND)
        await node.checkpoint(link)
        kind, data = await node.ask(SnapshotMessage.OFFER)
        assert kind == VALUE
        manifest, maker = admit_manifest(data)
        assert (manifest.height, manifest.header.state_root, maker) == (4, root, SERVER.public)
        chunk = await node.ask(SnapshotMessage.CHUNK, encode(ChunkRequest(4, 0)))
        assert chunk[0] == VALUE
        assert b"block" in unwrap(chunk[1], 0)
        assert node.state.root(4) == root
        node.grow(2)
        while node.state.prune_step():
            pass
        with pytest.raises(NotFound):  # the pin is gone
            node.state.root(4)

    run(story)


def test_a_later_checkpoint_proves_no_earlier_close(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        await node.close()
        node.grow(3)
        await node.checkpoint(node.maker.link(), kept=False)
        assert await node.ask(SnapshotMessage.OFFER) == refused(RefusalCode.NOT_FOUND)

    run(story)


def test_a_node_may_be_told_to_make_none(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        await node.checkpoint(await node.close())
        assert await node.ask(SnapshotMessage.OFFER) == refused(RefusalCode.NOT_FOUND)

    run(story, make=False)


def test_links_are_handed_out_only_if_they_lead_where_they_are_wanted(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        link = await node.close()
        await node.checkpoint(link)
        founders = registered_root(registered_of(GENESIS))
        kind, data = await node.ask(SnapshotMessage.LINKS, encode(LinksRequest(founders, 0, 3)))
        assert kind == VALUE
        assert decode(data, LinkList).links == (link,)
        for request in (LinksRequest(founders, 0, 4), LinksRequest(founders, 4, 4)):
            assert await node.ask(SnapshotMessage.LINKS, encode(request)) == refused(RefusalCode.NOT_FOUND)
        assert await node.ask(SnapshotMessage.LINK, link.checkpoint.id) == (VALUE, encode(link))
        assert await node.ask(SnapshotMessage.LINK, bytes(32)) == refused(RefusalCode.NOT_FOUND)

    run(story)


def test_what_is_not_there_is_refused_and_what_is_no_question_blamed(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        await node.checkpoint(await node.close())
        for asked in (ChunkRequest(4, 1), ChunkRequest(3, 0), ChunkRequest(4, -1), ChunkRequest(-4, 0)):
            assert await node.ask(SnapshotMessage.CHUNK, encode(asked)) == refused(RefusalCode.NOT_FOUND)
        for message in (SnapshotMessage.CHUNK, SnapshotMessage.LINKS):
            assert await node.ask(message, b"?") == (-1, b"")
        assert [type(error) for error in node.blamed] == [Malformed, Malformed]

    run(story)


def test_one_peer_has_few_answers_in_the_making(run: Callable[..., Any]) -> None:
    async def story(node: Node) -> None:
        await node.checkpoint(await node.close())
        asked = [node.told(SnapshotMessage.OFFER, b"") for _ in range(ANSWERS_EACH_MAX + 2)]
        await node.actor.receive([message for message, _ in asked])
        await node.settled()
        kinds = [answers[0][0] for _, answers in asked]
        assert kinds == [VALUE] * ANSWERS_EACH_MAX + [REFUSED] * 2
        assert asked[-1][1][0] == refused(RefusalCode.BUSY)
        assert (await node.ask(SnapshotMessage.OFFER))[0] == VALUE

    run(story)
