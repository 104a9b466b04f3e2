"""Makes snapshots of the state at the ends of epochs, and serves them to nodes that join."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import registered_root
from octra.consensus.light import Link
from octra.consensus.snapshot import InvalidSnapshot, Manifest
from octra.errors import InvalidInput
from octra.node import links
from octra.node.actors.messages import Committed, EpochBegan
from octra.node.actors.ref import Context, RefusalCode
from octra.node.chain import registered_of
from octra.node.config import Role
from octra.node.p2p.budget import MIB, Bucket
from octra.node.p2p.messages import ChunkRequest, LinkList, LinksRequest, SnapshotMessage
from octra.node.p2p.short import Incoming
from octra.node.parts import Parts
from octra.node.snapshots import Abandoned, Shelf
from octra.primitives import NodeId
from octra.storage.blocks import CertificateKind

PIN = "snapshot"  # the height that is being copied, or waits for its checkpoint
EVERY_EPOCHS = {Role.BOOTSTRAP: 1, Role.STANDARD: 8}  # unless the settings say otherwise
ANSWERS_MAX, ANSWERS_EACH_MAX = 8, 4  # being read or waiting for their turn: 1 MiB of memory each
RATE = 8 * MIB  # bytes a second to all joiners together: ordering has the rest of the line
LINKS_BYTES_MAX = 512 * 1024  # of one answer

Message = Committed | EpochBegan | Incoming


class SnapshotActor:
    """One snapshot at a time, in a thread. Only where committees are drawn: there an epoch starts with a fresh DAG."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._board = parts.facts, parts.stores, parts.board
        self._shelf = Shelf(parts.facts.directory)
        role = parts.facts.config.node.role
        self._every = parts.facts.config.snapshots.every_epochs or EVERY_EPOCHS[role]
        self._phase = int.from_bytes(parts.facts.keys.node_id[:4], "big") % self._every
        self._waiting: tuple[int, int] | None = None  # epoch and its last height, pinned: a checkpoint is to come
        self._making = False
        self._stop = threading.Event()
        self._open: Counter[NodeId] = Counter()

    async def start(self, context: Context) -> None:
        """What an earlier run has not finished is gone."""
        self._context = context
        self._bucket = Bucket(RATE, RATE, context.clock.monotonic_ms())
        await asyncio.to_thread(self._shelf.tidy)
        await asyncio.to_thread(self._stores.state.unpin, PIN)

    async def stop(self, deadline_ms: int) -> None:
        """A snapshot in the making is given up."""
        self._stop.set()

    async def receive(self, batch: Sequence[Message]) -> None:
        """Ends of epochs, and questions of peers."""
        for message in batch:
            with self._context.guard(message):
                match message:
                    case EpochBegan(epoch, close_height):
                        await self._closed(epoch - 1, close_height)
                    case Committed():
                        self._look()
                    case Incoming():
                        self._incoming(message)

    # --- making ---

    async def _closed(self, epoch: int, height: int) -> None:
        """An epoch is over: keep its last state until a checkpoint proves it."""
        if self._facts.config.snapshots.make and not self._making and epoch % self._every == self._phase:
            await asyncio.to_thread(self._stores.state.pin, PIN, height)
            self._waiting = epoch, height

    def _look(self) -> None:
        """Has the checkpoint come that the pinned height waits for? A later one does not prove it."""
        if self._waiting is None or self._board.checkpointed < self._waiting[1]:
            return
        link = self._stores.blocks.certificate(CertificateKind.LINK, *self._waiting)
        if link is not None:
            self._making = True
            self._context.spawn(self._make(decode(link, Link)))
        if link is not None or self._board.checkpointed > self._waiting[1]:
            self._waiting = None

    async def _make(self, link: Link) -> None:
        began = time.monotonic()
        try:
            made = await asyncio.to_thread(self._write, link)
            seconds = round(time.monotonic() - began, 1)
            self._context.log.info(
                "snapshot made", height=made.height, rows=made.rows, chunks=len(made.chunks), seconds=seconds
            )
        except Abandoned:
            pass
        except (InvalidSnapshot, OSError) as error:  # too large, or no room on disk: the node itself goes on
            self._context.log.warning("no snapshot was made", reason=str(error))
        finally:
            self._making = False
        await asyncio.to_thread(self._stores.state.unpin, PIN)

    def _write(self, link: Link) -> Manifest:
        blocks, body = self._stores.blocks, link.checkpoint.body
        row = blocks.commit(body.height)
        assert row is not None, "a link is kept for what this node has executed itself"
        founders = registered_root(registered_of(self._facts.genesis))
        chain = links.between(blocks, founders, 0, body.epoch)
        if not chain or chain[-1].checkpoint.body != body:
            chain = (link,)  # others are missing here: good for those who trust a later checkpoint than the genesis
        header = decode(row.header, BlockHeader)
        with self._stores.kv.view() as view:
            made = self._shelf.make(view, header, chain, self._facts.keys.node, stop=self._stop)
        self._shelf.tidy()
        return made

    # --- serving ---

    def _incoming(self, message: Incoming) -> None:
        match message.message:
            case SnapshotMessage.OFFER:
                self._answer(message, self._offer)
            case SnapshotMessage.CHUNK:
                asked = decode(message.body, ChunkRequest)
                self._answer(message, lambda: self._shelf.chunk(asked.height, asked.index))
            case SnapshotMessage.LINKS:
                wanted = decode(message.body, LinksRequest)
                self._answer(message, lambda: self._links(wanted))
            case SnapshotMessage.LINK:
                self._answer(message, lambda: self._link(message.body))
            case _:
                message.refuse(RefusalCode.UNKNOWN)

    def _answer(self, message: Incoming, read: Callable[[], bytes | None]) -> None:
        if self._open[message.peer] >= ANSWERS_EACH_MAX or self._open.total() >= ANSWERS_MAX:
            message.refuse(RefusalCode.BUSY)
        else:
            self._open[message.peer] += 1
            self._context.spawn(self._send(message, read))

    async def _send(self, message: Incoming, read: Callable[[], bytes | None]) -> None:
        """Read in a thread, and let the answer wait for its turn."""
        try:
            data = await asyncio.to_thread(read)
            if data is None:
                message.refuse(RefusalCode.NOT_FOUND)
                return
            wait_ms = self._bucket.take(len(data), self._context.clock.monotonic_ms())
            await asyncio.sleep((wait_ms or 0) / 1_000)
            message.reply(data)
        except InvalidInput as error:
            message.refuse(RefusalCode.INVALID, str(error))
        finally:
            self._open[message.peer] -= 1
            self._open += Counter()  # forgets who waits for nothing

    def _offer(self) -> bytes | None:
        heights = self._shelf.heights()
        return self._shelf.manifest(heights[0]) if heights else None

    def _links(self, wanted: LinksRequest) -> bytes | None:
        """The first of them; none if this node was not there for all: no one is to be led astray."""
        chain = links.between(self._stores.blocks, wanted.root, wanted.from_epoch, wanted.to_epoch)
        if not chain or chain[-1].checkpoint.body.epoch != wanted.to_epoch:
            return None
        answer: list[Link] = []
        size = 0
        for link in chain:
            size += len(encode(link))
            if answer and size > LINKS_BYTES_MAX:
                break
            answer.append(link)
        return encode(LinkList(tuple(answer)))

    def _link(self, id: bytes) -> bytes | None:
        found = links.by_checkpoint(self._stores.blocks, id)
        return None if found is None else encode(found)
