"""The node as its interfaces see it: questions about stores, pool and links, and the few orders they may give."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

from octra import __version__
from octra.circles import gateway
from octra.codec import decode
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import keys
from octra.consensus.ledger.circle_ops import read_asset
from octra.consensus.ledger.params import LedgerParams
from octra.consensus.ledger.receipts import Settlement
from octra.consensus.ledger.records import CircleRecord
from octra.consensus.ledger.state import load
from octra.consensus.ledger.transactions import Unchecked
from octra.consensus.ports import Argument, CallContext, CallOutcome, CircleCall
from octra.crypto.hash import H
from octra.errors import InvalidInput, OctraError
from octra.node.actors.messages import Submit
from octra.node.actors.ref import ActorCode, LocalRef
from octra.node.actors.supervisor import Supervisor
from octra.node.circle_view import StateCircles
from octra.node.evaluation import kernel_name
from octra.node.p2p.address import print_node_id
from octra.node.p2p.hello import Role as WireRole
from octra.node.parts import Parts
from octra.node.rpc.facts import Fate, Level, NetworkFacts, NodeFacts, StatusFacts
from octra.node.rpc.reading import StoredView
from octra.storage.blocks import CertificateKind, TxStatus
from octra.storage.kv import Family
from octra.storage.space import Space, check

SUBMIT_MS = 10_000
VIEW_GAS = 500_000_000
LAG_ROUNDS_SYNCED = 8
NEWS_S = 1.0


class FullNode:
    """`NodeFacade` of a node that holds the state."""

    def __init__(self, parts: Parts, supervisor: Supervisor) -> None:
        self._parts, self._supervisor = parts, supervisor
        self._mempool: LocalRef[Submit] = supervisor.ref(ActorCode.MEMPOOL)
        self._kernel = kernel_name()

    @property
    def genesis(self) -> Genesis:
        return self._parts.facts.genesis

    @property
    def params(self) -> LedgerParams:
        return self._parts.facts.params

    def status(self) -> StatusFacts:
        """The node's own words about itself."""
        facts, board = self._parts.facts, self._parts.board
        peers = len(self._parts.router.peers())
        reasons = []
        alone = len(self._parts.seating.committee.seats) == 1
        if not peers and not alone:
            reasons.append("no peers")
        if board.lag_rounds > LAG_ROUNDS_SYNCED:
            reasons.append(f"{board.lag_rounds} rounds behind")
        if board.certified == 0:
            reasons.append("no certified block yet")
        if check(facts.directory)[0] >= Space.SCARCE:
            reasons.append("disk nearly full")
        return StatusFacts(
            node_id=print_node_id(facts.keys.node_id),
            role=facts.config.node.role.value,
            state="synced" if not reasons else "syncing" if peers else "starting",
            version=__version__,
            kernel=self._kernel,
            peers=peers,
            round=board.round,
            lag=board.lag_rounds,
            ready=not reasons,
            reasons=tuple(reasons),
            finality_p50_ms=board.finality_p50_ms,
            transactions_per_s=board.transactions_per_s(_now_ms()),
            warnings=self._warnings(),
            execution=facts.config.node.execution.value,
            blocks_executed=board.blocks_executed,
            blocks_applied=board.blocks_applied,
        )

    def _warnings(self) -> tuple[str, ...]:
        genesis, found = self.genesis, []
        if genesis.key.origin == "dealer":
            found.append("key: dealer (test network, no secrecy against its operator)")
        if not genesis.key.exists:
            found.append("no network key: this chain has public operations only")
        if genesis.coin.origin == "dealt":
            found.append(
                "coin dealt by one party: it knows every leader in advance. Safety is unaffected; liveness against "
                "that party is not promised."
            )
        if len(genesis.validators) < 4:
            found.append("fewer than 4 validators: no fault is tolerated, and nothing is secret from any of them")
        if self._parts.board.observing:
            found.append("the sign log of this seat was lost: observing until the second epoch boundary")
        return tuple(found)

    def network(self) -> NetworkFacts:
        """This node, its links, and the committee."""
        facts, head = self._parts.facts, self._parts.stores.state.head
        own = facts.keys.node_id
        nodes = [
            NodeFacts(
                own,
                print_node_id(own),
                facts.config.node.role.value,
                self.status().state,
                self._parts.seating.seat,
                head.height if head else None,
                f"octra {__version__}",
                own=True,
            )
        ]
        linked, committee = self._parts.router.peers(), self._parts.seating.committee
        for node_id, peer in sorted(linked.items()):
            role = WireRole(peer.hello.role).name.lower()
            seat = committee.seat_of(node_id)
            nodes.append(
                NodeFacts(node_id, print_node_id(node_id), role, "linked", seat, peer.hello.height, peer.hello.software)
            )
        for seat, node_id in enumerate(committee.seats):
            if node_id != own and node_id not in linked:
                nodes.append(NodeFacts(node_id, print_node_id(node_id), "standard", "known", seat))
        return NetworkFacts(tuple(nodes))

    @contextlib.contextmanager
    def view(self) -> Iterator[StoredView]:
        """Everything at one height."""
        board = self._parts.board
        with self._parts.stores.kv.view() as rows:
            yield StoredView(rows, certified=board.certified, checkpointed=board.checkpointed)

    def pending(self, limit: int) -> Sequence[bytes]:
        """Items that wait for a block, newest first; operations of seats are not for show."""
        newest = self._parts.board.pool.newest(4 * limit)
        return [one.item for one in newest if not one.op.node_op][:limit]

    def pending_count(self) -> int:
        """How many wait."""
        return len(self._parts.board.pool)

    def pending_of(self, address: bytes) -> Sequence[bytes]:
        """Items of one sender that wait for a block."""
        return [one.item for one in self._parts.board.pool.of_sender(address)]

    def pending_item(self, tx_id: bytes) -> bytes | None:
        """The waiting item of that id."""
        waiting = self._parts.board.pool.get(tx_id)
        return None if waiting is None else waiting.item

    def fate(self, tx_id: bytes) -> Fate | None:
        """Why a transaction left the pool without a block."""
        gone = self._parts.board.pool.departed(tx_id)
        return None if gone is None else Fate(gone.item, gone.code, gone.reason, gone.time_ms, gone.dropped)

    def certificate(self, height: int) -> bytes | None:
        """Encoded certificate of a height, if this node saw a quorum publish exactly that height."""
        return self._parts.stores.blocks.certificate(CertificateKind.CERTIFICATE, 0, height)

    async def submit(self, items: Sequence[Unchecked]) -> list[bytes | OctraError]:
        """Admit signed items; answered once all lie in stored batches, were handed to a seat, or are refused."""
        answers = await self._mempool.ask_all([Submit(item) for item in items], timeout_ms=SUBMIT_MS)
        now_ms = _now_ms()
        for answer in answers:
            if isinstance(answer, bytes):
                self._parts.board.submitted(answer, now_ms)
        return answers

    async def wait(self, tx_id: bytes, level: Level, timeout_s: float) -> bool:
        """True once the transaction has reached the level, or its fate is known."""
        deadline = time.monotonic() + timeout_s
        while not self._reached(tx_id, level):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await self._parts.board.news(min(left, NEWS_S))
        return True

    def _reached(self, tx_id: bytes, level: Level) -> bool:
        board = self._parts.board
        if board.pool.departed(tx_id) is not None:
            return True
        place = self._parts.stores.blocks.transaction_place(tx_id)
        if place is None:
            return False
        if level is Level.ORDERED:
            return True
        if place.status is TxStatus.PENDING:
            return False  # its work on ciphertexts is part of it: final means settled
        settlement = self._parts.stores.kv.get(Family.SETTLEMENT, tx_id)
        height = place.height if settlement is None else decode(settlement, Settlement).height
        return height <= (board.certified if level is Level.CERTIFIED else board.checkpointed)

    async def circle_view(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        """Run a view in the executor's own view lane; waits for another process, so in a thread."""
        return await asyncio.to_thread(self._query, circle, method, arguments)

    def _query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        with self.view() as view:
            return query_circle(self._parts, view, circle, method, arguments)

    @contextlib.contextmanager
    def site_view(self) -> Iterator[gateway.SiteView]:
        """What the Circle gateway reads."""
        with self.view() as view:
            yield _Site(self._parts, view)


class _Site:
    def __init__(self, parts: Parts, view: StoredView) -> None:
        self._parts, self._view = parts, view

    def facts(self, circle: bytes) -> gateway.CircleFacts | None:
        found = self._view.circle(circle)
        if found is None:
            return None
        return gateway.CircleFacts(
            name=found.title,
            version=found.version,
            code_hash=found.record.code_hash,
            height=self._view.height,
            root=self._view.state_root,
            usage=found.record.stable_bytes,
            max_stable_bytes=found.max_stable_bytes,
            methods=found.methods,
        )

    def file(self, circle: bytes, path: str) -> gateway.SiteFile | None:
        found = read_asset(self._view.state, circle, path)
        return None if found is None else gateway.SiteFile(found[0].media, found[0].blob, found[1])

    def query(self, circle: bytes, method: str, arguments: tuple[Argument, ...]) -> CallOutcome:
        return query_circle(self._parts, self._view, circle, method, arguments)


class NoSuchCircle(InvalidInput):
    """There is no Circle of that id."""

    oct_code = 4041

    def __init__(self) -> None:
        super().__init__("no such Circle on this chain")


def query_circle(
    parts: Parts, view: StoredView, circle: bytes, method: str, arguments: tuple[Argument, ...]
) -> CallOutcome:
    """Run a view of a Circle; nobody pays, and nothing is written."""
    record = load(view.state, keys.circle(circle), CircleRecord)
    clock = view.clock
    if record is None or clock is None:
        raise NoSuchCircle
    account = view.account(circle)
    call = CircleCall(
        call_id=H("octra.view", circle, method.encode()),
        circle=circle,
        code_hash=record.code_hash,
        method=method,
        arguments=arguments,
        caller=bytes(32),
        origin=bytes(32),
        value=0,
        balance=account.balance if account else 0,
        usage=record.stable_bytes,
        max_stable_bytes=32 << 20,
        gas_limit=VIEW_GAS,
        context=CallContext(parts.facts.genesis.chain_id, clock.height, clock.epoch, clock.time_ms, clock.beacon),
        view=True,
    )
    return parts.engine.query(call, StateCircles(view.state))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
