"""The light node: holds no state. It follows certificates and checkpoints, and believes only what it can verify.

It asks linked full nodes, checks every answer, and says what it checked. What fails is refused with the reason, and
another peer is asked. Trust begins at the genesis, or at a checkpoint that the operator names; where committees are
drawn it moves along links, epoch by epoch, and never back: what a past committee signs is refused, since its members
may have sold their keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from octra import __version__
from octra.circles.gateway import SiteView
from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader, Certificate
from octra.consensus.checkpoint import Checkpoint
from octra.consensus.epoch import Committee
from octra.consensus.errors import InvalidProof
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import keys as state_keys
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.transactions import Unchecked
from octra.consensus.light import (
    BlockProof,
    Link,
    Trusted,
    follow_all,
    verify_block,
    verify_state,
    verify_transaction,
)
from octra.consensus.ports import Argument, CallOutcome
from octra.consensus.snapshot import trust_in
from octra.errors import InvalidInput, OctraError, Unavailable
from octra.node import logs, proof_file
from octra.node.actors.ref import ActorCode, Context
from octra.node.actors.supervisor import Supervisor
from octra.node.clock import LoopClock
from octra.node.following import Trust, fetch_links
from octra.node.gate import Gate
from octra.node.p2p.address import print_node_id
from octra.node.p2p.messages import LatestAnswer, LinksRequest, ProofRequest, SnapshotMessage, SyncMessage
from octra.node.p2p.peers import PeersActor, connect_peers
from octra.node.p2p.router import Router
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane
from octra.node.parts import Facts
from octra.node.rpc.errors import NotOffered
from octra.node.rpc.facts import Fate, Level, NetworkFacts, NodeFacts, StatusFacts
from octra.node.rpc.reading import StoredView
from octra.primitives import NodeId, print_address

T = TypeVar("T")

POLL_MS = 1_000
ASK_MS = 5_000
TRUST_FILE = "trust.bin"  # how far trust has moved


class ProofRefused(InvalidInput):
    """A proof does not lead from the genesis to the claimed value; `reason` says where it breaks."""

    oct_code = 3010

    def __init__(self, reason: str) -> None:
        super().__init__(f"proof refused: {reason}")
        self.reason = reason


class NobodyAnswers(Unavailable):
    """No linked full node gave a usable answer."""

    oct_code = 3001

    def __init__(self) -> None:
        super().__init__("no full node is linked that answers")


@dataclass(frozen=True, slots=True)
class VerifiedAccount:
    """A public account with the block that proves it. `account` is None when its absence was proven."""

    account: Account | None
    header: BlockHeader
    signers: int  # seats or validators whose signatures were checked


@dataclass(frozen=True, slots=True)
class VerifiedTransaction:
    """The receipt of a transaction with the block that proves it: its own, or a later one."""

    receipt: Receipt
    header: BlockHeader
    signers: int


@dataclass(frozen=True, slots=True)
class _Poll:
    """Ask for news."""


class _Kept(Struct, frozen=True, array_like=True):
    """What lies on disk. Another checkpoint that the operator names later comes before it."""

    begun: bytes  # the id of the checkpoint that trust began at; empty: at the genesis
    link: Link  # the newest one that was followed


class LightActor:
    """Follows the chain's head: verifies what peers say is newest, and moves trust along checkpoints."""

    def __init__(self, facts: Facts, router: Router, trust: Trust) -> None:
        self._facts, self._router, self._trust = facts, router, trust
        self.founding = self.trusted = trust.founding
        self.looking = trust.checkpoint is not None  # for the checkpoint to begin at: nothing else is believed
        self.link: Link | None = None  # that led to what is trusted
        self.head: BlockHeader | None = None
        self.refused = 0
        self.on_move: list[Callable[[Committee], None]] = []  # told of each new committee

    async def start(self, context: Context) -> None:
        """Go on from the newest checkpoint that was followed before."""
        self._context = context
        with contextlib.suppress(FileNotFoundError, InvalidInput):
            kept = decode((self._facts.directory / TRUST_FILE).read_bytes(), _Kept, "trust")
            if not self.looking or kept.begun == self._trust.checkpoint:
                drawn = self._facts.genesis.drawn  # then the sets that lead to it are not kept: our disk vouches for it
                trusted = trust_in(kept.link, self.founding.chain_id) if drawn else None
                self._move(kept.link, trusted or follow_all(self.founding, (kept.link,)))
                self.looking = False
        self._poll()

    async def stop(self, deadline_ms: int) -> None:
        """Nothing to put down."""

    async def receive(self, batch: Sequence[_Poll | Incoming]) -> None:
        """Time to ask again. What peers tell unasked is of no interest."""
        if any(isinstance(message, _Poll) for message in batch):
            self._context.spawn(self._ask_all())
            self._poll()

    def _poll(self) -> None:
        self._context.timer(self._context.clock.monotonic_ms() + POLL_MS, _Poll())

    async def _ask_all(self) -> None:
        for peer in full_nodes(self._router):
            try:
                await self._take(peer)
            except Unavailable:
                continue
            except InvalidInput as error:
                self.refused += 1
                self._context.log.warning("a peer's answer was refused", peer=peer.hex()[:8], reason=str(error))

    async def _take(self, peer: NodeId) -> None:
        """What one peer says is newest: first trust, then the head. Raises `Unavailable`; `InvalidInput` for a lie."""
        if self.looking:
            await self._begin(peer)
        body = await self._router.ask(peer, ActorCode.SYNC, SyncMessage.LATEST, b"", timeout_ms=ASK_MS)
        answer = decode(body, LatestAnswer)
        if answer.checkpoint:
            await self._follow(peer, decode(answer.checkpoint, Checkpoint))
        header, certificate = decode(answer.header, BlockHeader), decode(answer.certificate, Certificate)
        if self._facts.genesis.drawn and certificate.anchor != self.trusted.committee.anchor:
            return  # of an epoch whose opening no checkpoint proves yet, or of one that is over
        if self.head is None or header.height > self.head.height:
            verify_block(header, certificate, self.trusted)
            self.head = header

    async def _begin(self, peer: NodeId) -> None:
        """Take the checkpoint that the operator names; raises as `_take`."""
        assert self._trust.checkpoint is not None
        where = peer, ActorCode.STORAGE, SnapshotMessage.LINK
        body = await self._router.ask(*where, self._trust.checkpoint, timeout_ms=ASK_MS, lane=Lane.BULK)
        link = decode(body, Link)
        trusted = self._trust.start(link)
        if self.looking:  # no other peer was faster
            self._move(link, trusted)
            self.looking = False
            self._keep(link)

    async def _follow(self, peer: NodeId, checkpoint: Checkpoint) -> None:
        """Move trust to a checkpoint that is ahead; where committees are drawn, along links that its peer holds."""
        body = checkpoint.body
        if body.height <= self.trusted.height:
            return
        if self._facts.genesis.drawn:

            async def ask(wanted: LinksRequest) -> bytes:
                where = peer, ActorCode.STORAGE, SnapshotMessage.LINKS
                return await self._router.ask(*where, encode(wanted), timeout_ms=ASK_MS, lane=Lane.BULK)

            try:
                links, trusted = await fetch_links(ask, self.trusted, body)
            except Unavailable:
                return  # the block that orders it is still to come, or lies before this peer joined
        else:
            links = (Link(checkpoint, self.trusted.validators),)
            trusted = follow_all(self.trusted, links)
        if links[-1].checkpoint.body != body:
            raise InvalidProof("the links lead to another checkpoint of that epoch")
        if trusted.height <= self.trusted.height:
            return  # another peer was faster
        self._move(links[-1], trusted)
        self._keep(links[-1])

    def _keep(self, link: Link) -> None:
        kept = _Kept(self._trust.checkpoint or b"", link)
        _replace(self._facts.directory / TRUST_FILE, encode(kept))
        self._context.log.info("checkpoint followed", epoch=self.trusted.epoch, height=self.trusted.height)

    def _move(self, link: Link, trusted: Trusted) -> None:
        self.link, self.trusted = link, trusted
        for tell in self.on_move:
            tell(trusted.committee)


class LightNode:
    """What a light node's interfaces offer: its own state, verified accounts, and passing transactions on."""

    def __init__(self, facts: Facts, router: Router, actor: LightActor) -> None:
        self._facts, self._router, self._actor = facts, router, actor

    @property
    def genesis(self) -> Genesis:
        return self._facts.genesis

    @property
    def params(self) -> LedgerParams:
        return self._facts.params

    def status(self) -> StatusFacts:
        """Ready once a certified block was verified."""
        ready = self._actor.head is not None
        missing = "no certified block verified yet"
        if self._actor.looking:
            missing = "no peer has shown the checkpoint to begin at"
        return StatusFacts(
            node_id=print_node_id(self._facts.keys.node_id),
            role=self._facts.config.node.role.value,
            state="synced" if ready else "starting",
            version=__version__,
            kernel="none",
            peers=len(self._router.peers()),
            round=0,
            lag=0,
            ready=ready,
            reasons=() if ready else (missing,),
            warnings=("light node: holds no state, verifies what others prove",),
        )

    def network(self) -> NetworkFacts:
        """This node and its links."""
        own = self._facts.keys.node_id
        height = self._actor.head.height if self._actor.head else None
        nodes = [NodeFacts(own, print_node_id(own), "light", self.status().state, None, height, __version__, own=True)]
        for node_id, peer in sorted(self._router.peers().items()):
            seat = self.trusted.committee.seat_of(node_id)
            role = peer.hello.role.name.lower()
            nodes.append(NodeFacts(node_id, print_node_id(node_id), role, "linked", seat, peer.hello.height))
        return NetworkFacts(tuple(nodes))

    async def verified_account(self, address: bytes) -> VerifiedAccount:
        """An account proven by a peer and checked here; raises `NobodyAnswers` or `ProofRefused`."""
        return await self._ask("account", print_address(address), lambda found: self.check_account(address, found))

    async def verified_transaction(self, tx_id: bytes) -> VerifiedTransaction:
        """A transaction with its receipt, proven by a peer and checked here; raises as `verified_account`."""
        return await self._ask("transaction", tx_id.hex(), lambda found: self.check_transaction(tx_id, found))

    async def _ask(self, kind: str, name: str, check: Callable[[proof_file.Document], T]) -> T:
        """The first answer of a linked full node that holds."""
        refused: InvalidInput | None = None
        for peer in full_nodes(self._router):
            try:
                return check(await ask_proof(self._router, peer, kind, name))
            except Unavailable:
                continue
            except InvalidInput as error:
                refused = error
        raise refused or NobodyAnswers()

    def check_account(self, address: bytes, document: proof_file.Document) -> VerifiedAccount:
        """The account that a proof document shows, checked from what is trusted on; raises `ProofRefused`."""
        with _refusing():
            proof = proof_file.parse_state(document)
            if proof.key != state_keys.account(address):
                raise InvalidProof("it is of another account")
            block, start = self._under(proof.block)
            header = verify_state(replace(proof, block=block), start)
            account = None if proof.value is None else decode(proof.value, Account)
            return VerifiedAccount(account, header, _signers(proof.block))

    def check_transaction(self, tx_id: bytes, document: proof_file.Document) -> VerifiedTransaction:
        """The transaction that a proof document shows, checked from what is trusted on; raises `ProofRefused`."""
        with _refusing():
            proof = proof_file.parse_transaction(document)
            block, start = self._under(proof.block)
            header = verify_transaction(tx_id, replace(proof, block=block), start)
            return VerifiedTransaction(proof.receipt, header, _signers(proof.block))

    def _under(self, block: BlockProof) -> tuple[BlockProof, Trusted]:
        """The proof with those of its links that lead ahead of what is trusted, and the trust with which they begin."""
        trusted, followed = self._actor.trusted, self._actor.link
        if followed is None or (block.checkpoint is not None and block.checkpoint.body == followed.checkpoint.body):
            return block, self._actor.founding  # of the very checkpoint that is trusted: the set before signed it
        ahead = tuple(link for link in block.links if link.checkpoint.body.height > trusted.height)
        return replace(block, links=ahead), trusted

    @property
    def trusted(self) -> Trusted:
        """What this node has verified so far."""
        return self._actor.trusted

    @property
    def head(self) -> BlockHeader | None:
        """The newest certified block that this node has verified."""
        return self._actor.head

    # --- the rest of the facade: a light node passes transactions on, and holds nothing else ---

    def view(self) -> contextlib.AbstractContextManager[StoredView]:
        raise NotOffered("reading the state")

    def pending(self, limit: int) -> Sequence[bytes]:
        return ()

    def pending_count(self) -> int:
        return 0

    def pending_of(self, address: bytes) -> Sequence[bytes]:
        return ()

    def pending_item(self, tx_id: bytes) -> bytes | None:
        return None

    def fate(self, tx_id: bytes) -> Fate | None:
        return None

    def certificate(self, height: int) -> bytes | None:
        return None

    async def submit(self, items: Sequence[Unchecked]) -> list[bytes | OctraError]:
        """Hand signed items to full nodes; answers with the ids that they gave."""
        return list(await asyncio.gather(*(self._submit(one.item) for one in items)))

    async def _submit(self, item: bytes) -> bytes | OctraError:
        for peer in full_nodes(self._router):
            with contextlib.suppress(Unavailable):
                return await self._router.ask(peer, ActorCode.SYNC, SyncMessage.SUBMIT, item, timeout_ms=ASK_MS)
        return NobodyAnswers()

    async def wait(self, tx_id: bytes, level: Level, timeout_s: float) -> bool:
        raise NotOffered("waiting for a transaction")

    async def circle_view(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        raise NotOffered("running a Circle")

    def site_view(self) -> contextlib.AbstractContextManager[SiteView]:
        raise NotOffered("serving Circles")


def full_nodes(router: Router) -> Iterator[NodeId]:
    """Linked peers that hold the state."""
    for node_id, peer in tuple(router.peers().items()):
        if peer.hello.role.name != "LIGHT":
            yield node_id


async def ask_proof(router: Router, peer: NodeId, kind: str, name: str) -> proof_file.Document:
    """A peer's proof document, not checked; raises `Unavailable` or `Malformed`."""
    request = encode(ProofRequest(kind, name))
    body = await router.ask(peer, ActorCode.SYNC, SyncMessage.PROVE, request, timeout_ms=ASK_MS)
    return proof_file.read(body)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Whatever a proof lacks is `ProofRefused`, with the reason."""
    try:
        yield
    except InvalidInput as error:
        raise ProofRefused(str(error)) from error


def _signers(block: BlockProof) -> int:
    """Whose signatures prove the block; called once they are verified."""
    if block.certificate is not None:
        return len(block.certificate.headers)
    assert block.checkpoint is not None
    return int.from_bytes(block.checkpoint.signers, "little").bit_count()


async def run_light(facts: Facts, trust: Trust, stop: asyncio.Event) -> None:
    """Run a light node until told to stop."""
    from octra.node.daemon import identity_of, network, running, until_stopped
    from octra.node.serving import serving

    log = logs.get(node=facts.keys.node_id.hex()[:8])
    clock = LoopClock()
    gate = Gate(facts.committee, clock, log)
    supervisor = Supervisor(clock, log, blame=gate.blame)
    identity = identity_of(facts)
    async with network(facts, identity, supervisor, gate) as router:
        actor = LightActor(facts, router, trust)
        supervisor.add(ActorCode.SYNC, lambda: actor)
        peers = supervisor.add(ActorCode.PEERS, lambda: PeersActor(identity, router, facts.config.p2p.bootstrap))
        router.set_members(frozenset(facts.committee.seats))
        actor.on_move += [gate.seat, lambda committee: router.set_members(committee.seats)]
        connect_peers(router, peers)
        await router.start()
        async with running(supervisor):
            log.info("light node started", version=__version__, chain=facts.genesis.chain_id)
            async with serving(LightNode(facts, router, actor), facts.config):
                await until_stopped(supervisor, stop)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
