"""The peers actor: dials known places, keeps links, backs off from failing ones, and trades signed addresses."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta, Struct

from octra.codec import decode, encode
from octra.crypto import ed25519
from octra.crypto.hash import H
from octra.errors import InvalidInput, Unavailable
from octra.node.actors.ref import ActorCode, Context, LocalRef, RefusalCode
from octra.node.p2p.address import parse_place
from octra.node.p2p.handshake import Identity
from octra.node.p2p.hello import Bytes32, Hello, Natural, Role
from octra.node.p2p.router import Incoming, Router
from octra.node.p2p.transport import DialFailed, DownReason
from octra.primitives import NodeId

GET_PEERS = 2  # ask: empty body; answer: encoded list of records

TICK_MS = 250
BACKOFF_FIRST_MS, BACKOFF_MAX_MS = 250, 60_000
BACKOFF_WANTED_MAX_MS = 5_000  # whom we need is dialled more often: a seat behind a healed cut holds the quorum up
BACKOFF_WRONG_CHAIN_MS = 3_600_000
STEADY_MS = 60_000  # a link that lived so long forgives earlier failures
PATIENCE_MS = 1_500  # the higher NodeId of a pair lets the lower one dial first,
PATIENCE_MAX_MS = 15_000  # for longer while links keep coming up: who dials us may have many others to dial
LINKS_WANTED = 8
BOOK_MAX = 4_096
RECORDS_MAX = 32
RECORD_SIZE_MAX = 1_024
RECORD_LIFE_MS = 86_400_000
EXCHANGE_MS = 300_000
EXCHANGE_HUNGRY_MS = 15_000  # while links are missing
ASK_TIMEOUT_MS = 5_000
ANY_HOST = ("0.0.0.0", "::")  # where we listen, but nobody can dial it

Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
AddressText = Annotated[str, Meta(max_length=160)]


class PeerRecord(Struct, frozen=True, array_like=True):
    """Where a node says it can be dialled, signed by it. The highest `sequence` of a node counts."""

    node_id: Bytes32
    addresses: Annotated[tuple[AddressText, ...], Meta(min_length=1, max_length=8)]
    role: Role
    sequence: Natural
    expires_ms: Natural  # wall time
    signature: Signature

    def signed_hash(self, genesis_hash: bytes) -> bytes:
        """What the signature covers: everything else, on this chain only."""
        unsigned = [self.node_id, self.addresses, self.role, self.sequence, self.expires_ms]
        return H("octra.peer", genesis_hash, encode(unsigned))


class InvalidRecord(InvalidInput):
    """A peer record breaks a rule."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"peer record: {rule}")
        self.rule = rule


def make_record(identity: Identity, addresses: Sequence[str], wall_ms: int) -> PeerRecord:
    """The record of this node."""
    blank = PeerRecord(
        identity.node_id, tuple(addresses[:8]), identity.role, wall_ms, wall_ms + RECORD_LIFE_MS, bytes(64)
    )
    signature = identity.key.sign(blank.signed_hash(identity.genesis_hash))
    return PeerRecord(blank.node_id, blank.addresses, blank.role, blank.sequence, blank.expires_ms, signature)


def check_record(record: PeerRecord, genesis_hash: bytes, wall_ms: int) -> None:
    """Raises `InvalidRecord` or `InvalidPlace` unless the record can be believed and dialled."""
    if len(encode(record)) > RECORD_SIZE_MAX:
        raise InvalidRecord("too long")
    if not wall_ms < record.expires_ms <= wall_ms + 2 * RECORD_LIFE_MS:
        raise InvalidRecord("expired, or valid for too long")
    for address in record.addresses:
        if parse_place(address).node_id != record.node_id:
            raise InvalidRecord("an address of somebody else")
    if not ed25519.verify(record.node_id, record.signature, record.signed_hash(genesis_hash)):
        raise InvalidRecord("signature")


@dataclass(slots=True)
class _Entry:
    addresses: tuple[str, ...]
    wanted: bool  # from our configuration or the committee: always kept linked
    record: PeerRecord | None = None
    failures: int = 0
    dial_at_ms: int = 0
    turn: int = 0  # which of the addresses is next
    patient_until_ms: int = 0  # the other side is to dial first


class PeerBook:
    """Whom we know, and when to dial whom. Decides only; time and chance are values."""

    def __init__(self, own: NodeId, seed: int) -> None:
        self._own = own
        self._rng = random.Random(seed)
        self._entries: dict[NodeId, _Entry] = {}
        self._linked_at_ms: dict[NodeId, int] = {}

    def want(self, node_id: NodeId, addresses: Sequence[str], now_ms: int) -> None:
        """Keep a link to this node whenever possible."""
        self._put(node_id, tuple(addresses), wanted=True, now_ms=now_ms)

    def is_news(self, record: PeerRecord) -> bool:
        """Does the record, checked or not, claim to be of another node and newer than what is known?"""
        known = self._entries.get(NodeId(record.node_id))
        older = known is not None and known.record is not None and known.record.sequence >= record.sequence
        return record.node_id != self._own and not older

    def learn(self, record: PeerRecord, now_ms: int) -> bool:
        """Remember a checked record; False when it is not newer than what is known, or the book is full."""
        node_id = NodeId(record.node_id)
        known = self._entries.get(node_id)
        if not self.is_news(record) or (known is None and len(self._entries) >= BOOK_MAX):
            return False
        self._put(node_id, record.addresses, wanted=known is not None and known.wanted, now_ms=now_ms).record = record
        return True

    def records(self, count: int, wall_ms: int) -> list[PeerRecord]:
        """Records to pass on, drawn at random."""
        valid = [entry.record for entry in self._entries.values() if entry.record and entry.record.expires_ms > wall_ms]
        return self._rng.sample(valid, min(count, len(valid)))

    def due(self, now_ms: int, links_free: int) -> list[tuple[NodeId, str]]:
        """Whom to dial now: all wanted ones, and others while links are free. Each is due again after its pause."""
        chosen: list[tuple[NodeId, str]] = []
        order = sorted(self._entries.items(), key=lambda item: (not item[1].wanted, item[1].failures, item[0]))
        for node_id, entry in order:
            if node_id in self._linked_at_ms or now_ms < entry.dial_at_ms or not entry.addresses:
                continue
            if not entry.wanted and links_free <= 0:
                break
            links_free -= 1
            chosen.append((node_id, entry.addresses[entry.turn % len(entry.addresses)]))
            entry.turn += 1
            entry.patient_until_ms = 0
            entry.dial_at_ms = now_ms + BACKOFF_MAX_MS  # until the outcome is known
        return chosen

    def linked(self, node_id: NodeId, now_ms: int) -> None:
        """A link came up, whoever dialled."""
        self._linked_at_ms[node_id] = now_ms
        for entry in self._entries.values():
            if entry.dial_at_ms < entry.patient_until_ms:
                entry.dial_at_ms = min(now_ms + PATIENCE_MS, entry.patient_until_ms)

    def lost(self, node_id: NodeId, now_ms: int) -> None:
        """The link went down."""
        linked_at_ms = self._linked_at_ms.pop(node_id, now_ms)
        if (entry := self._entries.get(node_id)) is not None:
            if now_ms - linked_at_ms >= STEADY_MS:
                entry.failures = 0
            self._pause(entry, now_ms)

    def failed(self, node_id: NodeId, reason: DownReason, now_ms: int) -> None:
        """A dial gave no link."""
        if (entry := self._entries.get(node_id)) is None or node_id in self._linked_at_ms:
            return
        if reason is DownReason.WRONG_CHAIN:
            entry.dial_at_ms = now_ms + BACKOFF_WRONG_CHAIN_MS
        else:
            self._pause(entry, now_ms)

    def _pause(self, entry: _Entry, now_ms: int) -> None:
        most_ms = BACKOFF_WANTED_MAX_MS if entry.wanted else BACKOFF_MAX_MS
        pause_ms = min(BACKOFF_FIRST_MS << min(entry.failures, 16), most_ms)
        entry.failures += 1
        entry.dial_at_ms = now_ms + pause_ms + self._rng.randrange(pause_ms // 2 + 1)

    def _put(self, node_id: NodeId, addresses: tuple[str, ...], *, wanted: bool, now_ms: int) -> _Entry:
        entry = self._entries.get(node_id)
        if entry is None:
            entry = self._entries[node_id] = _Entry(addresses, wanted)
            if self._own > node_id:
                entry.dial_at_ms, entry.patient_until_ms = now_ms + PATIENCE_MS, now_ms + PATIENCE_MAX_MS
        entry.addresses, entry.wanted = addresses or entry.addresses, entry.wanted or wanted
        return entry


@dataclass(frozen=True, slots=True)
class LinkCameUp:
    """From the router."""

    peer: NodeId
    hello: Hello


@dataclass(frozen=True, slots=True)
class LinkWentDown:
    """From the router."""

    peer: NodeId
    reason: DownReason


@dataclass(frozen=True, slots=True)
class WantPeers:
    """Keep links to these nodes, such as the committee of the epoch."""

    addresses: Mapping[NodeId, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _GotRecords:
    peer: NodeId
    records: tuple[PeerRecord, ...]


class _Tick:
    """Look whom to dial."""


PeersMessage = Incoming | LinkCameUp | LinkWentDown | DialFailed | WantPeers | _GotRecords | _Tick


def connect_peers(router: Router, ref: LocalRef[PeersMessage]) -> None:
    """Lead what the router tells of links, dials and `GetPeers` into the peers actor; called once."""
    router.register_actor(ActorCode.PEERS, ref)
    router.on_link(
        lambda peer, hello: _must(ref, LinkCameUp(peer, hello)),
        lambda peer, reason: _must(ref, LinkWentDown(peer, reason)),
    )
    router.on_dial_failed(lambda event: _must(ref, event))


def _must(ref: LocalRef[PeersMessage], message: PeersMessage) -> None:
    ref.mailbox.offer_control(message)  # few, and none may be lost: a lost LinkWentDown is a peer never dialled again


@dataclass
class PeersActor:
    """Keeps this node linked. `bootstrap` are multiaddrs that end in `/p2p/<peer id>`.

    A link to each of `members` is kept once an address is known, however many there are: seats speak to all seats.
    """

    identity: Identity
    router: Router
    bootstrap: Collection[str]
    members: Collection[NodeId] = ()
    announce: Sequence[str] = ()  # addresses to tell others; default: where we listen
    links_wanted: int = LINKS_WANTED
    seed: int = 0
    _links: dict[NodeId, int] = field(default_factory=dict)  # when we asked each for its peers
    _own_record: PeerRecord | None = None

    async def start(self, context: Context) -> None:
        """Begin to dial; after a crash, links that live on are taken over."""
        self._context = context
        self._book = PeerBook(self.identity.node_id, self.seed)
        now_ms = context.clock.monotonic_ms()
        for address in self.bootstrap:
            place = parse_place(address)
            if place.node_id is not None and place.node_id != self.identity.node_id:
                self._book.want(place.node_id, (address,), now_ms)
        for peer in self.router.peers():
            self._link_up(peer, now_ms)
        self._tick()

    async def receive(self, batch: Sequence[PeersMessage]) -> None:
        """Events of links, and questions of peers."""
        for message in batch:
            with self._context.guard(message):
                self._handle(message)

    async def stop(self, deadline_ms: int) -> None:
        """Nothing to put down: the book is learnt anew."""

    def _handle(self, message: PeersMessage) -> None:
        now_ms = self._context.clock.monotonic_ms()
        match message:
            case _Tick():
                self._tick()
            case LinkCameUp(peer=peer):
                self._link_up(peer, now_ms)
                self._context.log.info("link up", peer=_short(peer), links=len(self._links))
            case LinkWentDown(peer=peer, reason=reason):
                self._links.pop(peer, None)
                self._book.lost(peer, now_ms)
                self._context.log.info("link down", peer=_short(peer), reason=reason.name, links=len(self._links))
            case DialFailed(expected=peer, error=error):
                self._book.failed(peer, error.reason, now_ms)
                self._context.log.debug("no link", peer=_short(peer), reason=error.reason.name, detail=error.detail)
            case WantPeers(addresses=addresses):
                for peer, places in addresses.items():
                    if peer != self.identity.node_id:
                        self._book.want(peer, places, now_ms)
            case _GotRecords(peer=peer, records=records):
                self._learn(records, now_ms)
            case Incoming(message=kind) if kind == GET_PEERS:
                message.reply(encode(self._answer()))
            case Incoming():
                message.refuse(RefusalCode.UNKNOWN)

    def _link_up(self, peer: NodeId, now_ms: int) -> None:
        self._links[peer] = now_ms - EXCHANGE_MS
        self._book.linked(peer, now_ms)

    def _tick(self) -> None:
        now_ms = self._context.clock.monotonic_ms()
        for node_id, address in self._book.due(now_ms, self.links_wanted - len(self._links)):
            self.router.transport.dial(address, node_id)
        pause_ms = EXCHANGE_MS if len(self._links) >= self.links_wanted else EXCHANGE_HUNGRY_MS
        for peer, asked_ms in self._links.items():
            if now_ms - asked_ms >= pause_ms:
                self._links[peer] = now_ms
                self._context.spawn(self._exchange(peer))
        self._context.timer(now_ms + TICK_MS, _Tick())

    async def _exchange(self, peer: NodeId) -> None:
        try:
            body = await self.router.ask(peer, ActorCode.PEERS, GET_PEERS, b"", timeout_ms=ASK_TIMEOUT_MS)
            records = decode(body, tuple[PeerRecord, ...], "peer records")
        except (Unavailable, InvalidInput):
            return  # asked again after the next interval
        self._context.ref(ActorCode.PEERS).tell(_GotRecords(peer, records[:RECORDS_MAX]))

    def _learn(self, records: Iterable[PeerRecord], now_ms: int) -> None:
        wall_ms = self._context.clock.wall_ms()
        for record in filter(self._book.is_news, records):  # a check costs a signature, and all peers tell of all
            check_record(record, self.identity.genesis_hash, wall_ms)
            self._book.learn(record, now_ms)
            if record.node_id in self.members:
                self._book.want(NodeId(record.node_id), record.addresses, now_ms)

    def _answer(self) -> list[PeerRecord]:
        wall_ms = self._context.clock.wall_ms()
        listening = [parse_place(address) for address in self.router.transport.listening()]
        own = tuple(self.announce or (str(place) for place in listening if place.host not in ANY_HOST))
        return self._mine(own[:8], wall_ms) + self._book.records(RECORDS_MAX - 1, wall_ms)

    def _mine(self, addresses: tuple[str, ...], wall_ms: int) -> list[PeerRecord]:
        """Our own record, the same for many askers: who has it from one of them need not check it again."""
        if not addresses:
            return []
        known = self._own_record
        if known is None or known.addresses != addresses or known.expires_ms < wall_ms + RECORD_LIFE_MS // 2:
            known = self._own_record = make_record(self.identity, addresses, wall_ms)
        return [known]


def _short(peer: NodeId) -> str:
    return peer.hex()[:8]
