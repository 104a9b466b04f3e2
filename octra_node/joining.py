"""How a node with an empty directory comes to a state: asks who has a snapshot, believes no one, takes the newest.

genesis, or a checkpoint that its operator trusts -> links -> checkpoint -> manifest -> chunks -> database.
What fails is refused by name and counted against the peer that sent it; then another one is asked.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import structlog

from octra.codec import decode, encode
from octra.consensus.genesis import Genesis
from octra.consensus.light import Link
from octra.consensus.snapshot import (
    CheckpointRefused,
    InvalidSnapshot,
    Manifest,
    SnapshotTooOld,
    admit_manifest,
    check_age,
    check_chunk,
    follow_to,
)
from octra.errors import InvalidInput, Unavailable
from octra.node.actors.ref import Refused
from octra.node.following import Trust, fetch_links
from octra.node.installing import install
from octra.node.p2p.messages import ChunkRequest, LinksRequest, SnapshotMessage
from octra.node.snapshots import read_file, unwrap
from octra.primitives import NodeId

FOLDER: Final = "joining"  # chunks that have come; a restart goes on with them
PEERS_MAX: Final = 4  # that chunks of one snapshot are fetched from
EACH_MAX: Final = 2  # chunks asked from one peer at a time
TRIES_MAX: Final = 20  # of one peer for one chunk, while it is busy
RETRY_S: Final = 0.5


class NobodyServes(Unavailable):
    """No peer that offered the snapshot serves it any more."""

    def __init__(self) -> None:
        super().__init__("nobody serves the snapshot any more")


class Network(Protocol):
    """The peers of a joining node."""

    def peers(self) -> Sequence[NodeId]: ...
    async def ask(self, peer: NodeId, message: SnapshotMessage, body: bytes) -> bytes:
        """A peer's answer; raises `Unavailable`."""
        ...

    def blame(self, peer: NodeId, error: InvalidInput) -> None: ...


@dataclass(slots=True)
class Offer:
    """A snapshot with a checkpoint that was verified, and all who offer the same chunks."""

    manifest: Manifest
    links: tuple[Link, ...]
    peers: list[NodeId] = field(default_factory=list)


class Joiner:
    """One attempt after the other, until a snapshot stands in the database of `home`."""

    def __init__(
        self, network: Network, trust: Trust, genesis: Genesis, home: Path, log: structlog.stdlib.BoundLogger
    ) -> None:
        self._network, self._trust, self._genesis = network, trust, genesis
        self._home, self._log = home, log
        self._trusted_link: Link | None = None
        self._chains: dict[bytes, tuple[Link, ...]] = {}  # by id of the checkpoint that they lead to, verified
        self._useless: set[bytes] = set()  # contents with a wrong root
        self._liars: set[NodeId] = set()

    async def offers(self) -> tuple[list[Offer], int]:
        """What is offered, the best first; and how many peers have answered at all, if only with lies."""
        found: dict[bytes, Offer] = {}
        answered = 0
        for peer in self._network.peers():
            offer = None
            if peer not in self._liars:
                try:
                    offer = await self._offer_of(peer)
                except SnapshotTooOld as error:
                    self._log.info("a snapshot is too old", peer=peer.hex()[:8], reason=str(error))
                except InvalidInput as error:
                    self._refuse(peer, error)
                except Refused:
                    pass  # he has none
                except Unavailable:
                    continue
            answered += 1
            if offer is not None and offer.manifest.content not in self._useless:
                found.setdefault(offer.manifest.content, offer).peers.append(peer)
        best = sorted(found.values(), key=lambda offer: (-offer.manifest.height, -len(offer.peers)))
        return best, answered

    async def take(self, offer: Offer) -> None:
        """Fetch, verify and install; raises `InvalidSnapshot` or `NobodyServes`, then nothing is installed."""
        await self._fetch(offer)
        payloads = self._payloads(offer.manifest)
        try:
            await asyncio.to_thread(install, self._home, self._genesis, offer.manifest, offer.links, payloads)
        except InvalidSnapshot as error:
            self._useless.add(offer.manifest.content)
            for peer in offer.peers:  # every chunk is what their manifest names: it is the manifest that lies
                self._refuse(peer, error)
            raise
        finally:
            if (self._home / "db").exists() or offer.manifest.content in self._useless:
                shutil.rmtree(self._home / FOLDER, ignore_errors=True)

    # --- trust ---

    async def _offer_of(self, peer: NodeId) -> Offer:
        manifest, node = admit_manifest(await self._network.ask(peer, SnapshotMessage.OFFER, b""))
        if node != peer:
            raise InvalidSnapshot("the manifest is signed by another node than offers it")
        id = manifest.checkpoint.id
        if id not in self._chains:
            self._chains[id] = await self._chain(peer, manifest)
        return Offer(manifest, self._chains[id])

    async def _chain(self, peer: NodeId, manifest: Manifest) -> tuple[Link, ...]:
        """The links to the checkpoint of a snapshot, verified."""
        chain: list[Link] = []
        trusted = self._trust.founding
        if self._trust.checkpoint is not None:
            chain.append(await self._link_of_trust(peer))
            trusted = self._trust.start(chain[0])
        check_age(trusted, manifest)

        async def ask(wanted: LinksRequest) -> bytes:
            return await self._network.ask(peer, SnapshotMessage.LINKS, encode(wanted))

        try:
            links, trusted = await fetch_links(ask, trusted, manifest.checkpoint.body)
        except InvalidInput as error:
            raise CheckpointRefused(str(error)) from error
        follow_to(trusted, (), manifest)
        chain += links
        if chain[-1].checkpoint.body != manifest.checkpoint.body:
            raise CheckpointRefused("the links lead to another checkpoint of that epoch")
        return tuple(chain)

    async def _link_of_trust(self, peer: NodeId) -> Link:
        assert self._trust.checkpoint is not None
        if self._trusted_link is None:
            link = decode(await self._network.ask(peer, SnapshotMessage.LINK, self._trust.checkpoint), Link)
            self._trust.start(link)
            self._trusted_link = link
        return self._trusted_link

    # --- chunks ---

    async def _fetch(self, offer: Offer) -> None:
        folder = self._folder(offer.manifest)
        for other in (self._home / FOLDER).glob("*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        missing = [index for index in range(len(offer.manifest.chunks)) if not self._held(offer.manifest, index)]
        missing.reverse()
        sources = offer.peers[:]
        self._log.info(
            "fetching a snapshot", height=offer.manifest.height, chunks=len(missing), peers=len(offer.peers)
        )  # fmt: skip
        while missing:
            if not sources:
                raise NobodyServes
            await asyncio.gather(
                *(self._drain(offer, sources, peer, missing) for _ in range(EACH_MAX) for peer in sources[:PEERS_MAX])
            )

    async def _drain(self, offer: Offer, sources: list[NodeId], peer: NodeId, missing: list[int]) -> None:
        """Take chunks from one peer until there are no more, or he fails: then he is no source any longer."""
        tries = 0
        while missing and peer in sources:
            index = missing.pop()
            try:
                await self._fetch_one(offer.manifest, peer, index)
                tries = 0
                continue
            except InvalidInput as error:
                if peer in offer.peers:  # the other question to him may have found it out already
                    offer.peers.remove(peer)
                    self._refuse(peer, error)
                failed = True
            except Unavailable:
                tries += 1
                failed = tries == TRIES_MAX
            missing.append(index)
            if failed and peer in sources:
                sources.remove(peer)
            elif not failed:
                await asyncio.sleep(RETRY_S)

    async def _fetch_one(self, manifest: Manifest, peer: NodeId, index: int) -> None:
        request = encode(ChunkRequest(manifest.height, index))
        stored = await self._network.ask(peer, SnapshotMessage.CHUNK, request)
        check_chunk(manifest, index, unwrap(stored, index))
        self._file(manifest, index).write_bytes(stored)

    def _held(self, manifest: Manifest, index: int) -> bool:
        """Has an earlier run fetched this chunk whole?"""
        try:
            check_chunk(manifest, index, unwrap(self._file(manifest, index).read_bytes(), index))
        except (FileNotFoundError, InvalidSnapshot):
            return False
        return True

    def _payloads(self, manifest: Manifest) -> Iterator[bytes]:
        for index in range(len(manifest.chunks)):
            yield unwrap(self._file(manifest, index).read_bytes(), index)

    def _folder(self, manifest: Manifest) -> Path:
        return self._home / FOLDER / manifest.content.hex()

    def _file(self, manifest: Manifest, index: int) -> Path:
        return self._folder(manifest) / f"{index:05}"

    def _refuse(self, peer: NodeId, error: InvalidInput) -> None:
        self._liars.add(peer)
        self._log.warning("a peer's snapshot was refused", peer=peer.hex()[:8], reason=str(error))
        self._network.blame(peer, error)


def install_file(path: Path, home: Path, genesis: Genesis, checkpoint: bytes | None = None) -> Manifest:
    """Start `home` from an exported snapshot, verified like one of a peer; raises `InvalidInput`."""
    trust = Trust.of(genesis, checkpoint)
    with path.open("rb") as file:
        links, manifest, payloads = read_file(file)
        start = trust.founding
        if checkpoint is not None:
            known = [number for number, link in enumerate(links) if link.checkpoint.id == checkpoint]
            if not known:
                raise CheckpointRefused("the file does not lead over the checkpoint that is trusted")
            links = links[known[0] :]
            start = trust.start(links[0])
        follow_to(start, links if checkpoint is None else links[1:], manifest)
        if not links:
            raise CheckpointRefused("the file holds no links")
        install(home, genesis, manifest, links, payloads)
    return manifest
