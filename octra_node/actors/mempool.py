"""Admits transactions, makes own batches, keeps and checks those of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from octra.codec import decode, encode
from octra.consensus import limits
from octra.consensus.batch import Batch as BatchBytes
from octra.consensus.batch import admit_items, batch_id, items_of, make_batch
from octra.consensus.errors import InvalidBatch
from octra.consensus.events import BatchStored, OwnBatchReady
from octra.consensus.ledger import fees, keys
from octra.consensus.ledger.errors import DuplicateTransaction
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.state import read
from octra.consensus.ledger.transactions import Transaction, Unchecked, admit_each, decode_item
from octra.consensus.ledger.transition import clock_of
from octra.crypto.hash import H
from octra.errors import InvalidInput, Unavailable
from octra.node.actors.messages import (
    BatchesReferenced,
    Committed,
    EpochBegan,
    FetchedBatch,
    RootCertified,
    SeatsChanged,
    Submit,
    WantBatch,
    WantCheck,
)
from octra.node.actors.ref import ActorCode, Context, RefusalCode
from octra.node.checking import Checking, CheckTick
from octra.node.p2p.messages import MempoolMessage, TransactionList
from octra.node.p2p.short import Incoming
from octra.node.p2p.transport import Lane, Sent
from octra.node.parts import Parts
from octra.primitives import NodeId
from octra.storage.kv import Batch

BATCH_MS = 40  # a transaction waits for company
WAITING_MS = 1_000  # between looks at who still waits for a batch; a vertex that names the last one wakes us before
BATCH_ITEM_BYTES = limits.BATCH_BYTES_MAX - 8_192  # what the frame and its offsets leave
FETCH_MS = 2_000
OWN_OPEN_MAX = 16  # own batches without a block; then transactions, and who sent them, wait: batches grow under load


@dataclass(frozen=True, slots=True)
class BatchTick:
    """Look whether a batch is due."""


Message = (
    Submit
    | WantBatch
    | WantCheck
    | FetchedBatch
    | Committed
    | EpochBegan
    | SeatsChanged
    | RootCertified
    | Incoming
    | BatchTick
    | CheckTick
    | BatchesReferenced
)


class MempoolActor:
    """The pool of this node, and the bytes of all batches."""

    def __init__(self, parts: Parts) -> None:
        self._facts, self._stores, self._router = parts.facts, parts.stores, parts.router
        self._seating = parts.seating
        self.pool = parts.board.pool
        self._own: dict[bytes, tuple[bytes, ...]] = {}  # own batches without a block: their transactions
        self._unreferenced: set[bytes] = set()  # own batches that no vertex of ours names yet
        self._waiting: dict[bytes, list[Submit]] = {}  # by transaction: answered once it lies in a stored batch
        self._asked: set[bytes] = set()
        self._checking = Checking(parts)
        self._sequence = 0
        self._tick_ms: int | None = None  # when the next batch is due
        self._cancel_tick: Callable[[], None] = lambda: None  # there is one tick at most, or each would call others
        self._removed_seen = 0  # of the pool, when it was last asked who waits in vain

    async def start(self, context: Context) -> None:
        """Bring back own batches that no block has executed: their transactions were acknowledged."""
        self._context, self._ordering = context, context.ref(ActorCode.ORDERING)
        self._epoch = clock_of(self._stores.state).epoch
        if self._seating.epoch:  # the end of the last epoch may have caught batches that were acknowledged
            for id, _ in self._stores.blocks.batches(self._seating.epoch - 1):
                self._readmit(id)
        if self._seating.author is None:
            return
        for id, data in self._stores.blocks.batches(self._seating.epoch):
            batch, items = admit_items(data, self._seating.committee)
            if batch.author != self._seating.author:
                continue
            self._sequence = max(self._sequence, batch.sequence)
            ids = tuple(decode_item(item).id for item in items)
            if all(self._stores.blocks.transaction_place(tx_id) is not None for tx_id in ids):
                continue
            self._own[id] = ids
            await self._ordering.tell_all([OwnBatchReady(id, len(items), len(data))])
        self._schedule()
        if self._own:
            context.log.info("own batches without a block are offered again", count=len(self._own))

    async def stop(self, deadline_ms: int) -> None:
        """Put what waits into a last batch, so that a restart finds it."""
        self._make_batches()

    async def receive(self, batch: Sequence[Message]) -> None:
        """Handle what waited: submissions first, and checks of batches together, after those that came with them."""
        if submits := [message for message in batch if isinstance(message, Submit)]:
            self._admit(submits)
            if self._waiting:
                self._schedule()
        for message in batch:
            if not isinstance(message, Submit):
                with self._context.guard(message):
                    self._handle(message)
        if self._checking.is_due(self._context.clock.monotonic_ms()):
            for checked in self._checking.check():
                self._ordering.tell(checked)

    def _handle(self, message: Message) -> None:
        match message:
            case BatchTick():
                self._tick_ms = None
                self._make_batches()
            case WantBatch(id, peer):
                self._want(id, peer)
            case WantCheck(id):
                self._want_check(id)
            case CheckTick():
                pass  # `receive` looks at the clock
            case FetchedBatch(id, data):
                self._asked.discard(id)
                if batch_id(data) == id:
                    self._keep(id, data)
            case Incoming():
                self._incoming(message)
            case Committed():
                self._committed(message)
            case EpochBegan(epoch, _):
                self._epoch = epoch
                self.pool.expire(epoch, self._context.clock.wall_ms())
            case BatchesReferenced(ids):
                self._unreferenced.difference_update(ids)
                if self.pool.ready_count:
                    self._make_batches()
            case SeatsChanged():
                self._seats_changed()
            case RootCertified():
                pass

    # --- transactions ---

    def _admit(self, submits: Sequence[Submit]) -> None:
        """Admit what people sent to the pool, or tell them the rule that forbids it."""
        sent: list[tuple[Submit, Unchecked]] = []
        for message in submits:
            if isinstance(message.item, Unchecked):
                sent.append((message, message.item))
            else:
                with self._context.guard(message):
                    sent.append((message, decode_item(message.item)))
        executed = self._stores.blocks.executed([unchecked.id for _, unchecked in sent])
        fresh: list[tuple[Submit, Unchecked]] = []
        for message, unchecked in sent:
            if unchecked.id in executed:
                message.reply(unchecked.id)
            elif self.pool.get(unchecked.id) is not None:
                self._answer(message, unchecked.id)  # the same bytes again: the same answer
            else:
                fresh.append((message, unchecked))
        found = self._add([unchecked for _, unchecked in fresh])
        for (message, unchecked), refused in zip(fresh, found, strict=True):
            if refused is not None and not isinstance(refused, DuplicateTransaction):  # twice in one mailful
                with self._context.guard(message):
                    raise refused
            else:
                if refused is None and self._seating.author is None:
                    self._forward([unchecked.item])
                self._answer(message, unchecked.id)

    def _is_known(self, tx_id: bytes) -> bool:
        return self.pool.get(tx_id) is not None or self._stores.blocks.transaction_place(tx_id) is not None

    def _answer(self, message: Submit, tx_id: bytes) -> None:
        """Tell the sender that he may rely on it, now or once that is true (docs/decisions/acknowledged.md)."""
        if self._seating.author is None or self.pool.is_batched(tx_id):
            message.reply(tx_id)
        else:
            self._waiting.setdefault(tx_id, []).append(message)

    def _add(self, items: Sequence[bytes | Unchecked]) -> list[InvalidInput | None]:
        """Put items into the pool; of each None, or the rule that forbids it."""
        params, found = self._facts.params, list[InvalidInput | None]()
        judged = admit_each(items, params.static_rules(self._epoch))
        senders = [keys.account(one.sender) for one in judged if isinstance(one, Transaction)]
        rows = iter(self._stores.state.get_many(senders))
        for one in judged:
            try:
                if isinstance(one, InvalidInput):
                    raise one
                row = next(rows)
                account = None if row is None else read(row, Account)
                self.pool.add(one, max(1, fees.minimum_fee(one.op, params.prices)), account)
                found.append(None)
            except InvalidInput as error:
                found.append(error)
        return found

    def _seats_changed(self) -> None:
        """Another committee orders: what the last one has not executed waits for this one."""
        for id, own in self._own.items():
            self.pool.put_back(own)
            self._readmit(id)
        self._own.clear()
        self._unreferenced.clear()
        self._asked.clear()
        self._sequence = 0
        if self._seating.author is not None:
            self._schedule()
            return
        while taken := self.pool.take(limits.BATCH_TX_MAX, BATCH_ITEM_BYTES):
            self._forward([one.item for one in taken])
        self._reply(tuple(self._waiting))

    def _readmit(self, batch: bytes) -> None:
        """Transactions of a batch whose committee is gone come back to the pool, as far as no block has them."""
        data = self._stores.blocks.batch(batch)
        items = [] if data is None else list(items_of(decode(data, BatchBytes)))
        fresh = [item for item in items if not self._is_known(decode_item(item).id)]
        self._add(fresh)  # what a newer rule forbids is left out

    def _forward(self, items: Sequence[bytes]) -> None:
        """A node without a seat hands what it admitted to the seat that the sender's route names, or the next."""
        seats = self._seating.committee.seats
        for item in items:
            first = int.from_bytes(H("octra.route", item)[:4], "big") % len(seats)
            body = encode(TransactionList((item,)))
            for offset in range(len(seats)):
                peer = seats[(first + offset) % len(seats)]
                if (
                    self._router.tell(peer, Lane.DATA, ActorCode.MEMPOOL, MempoolMessage.TRANSACTIONS, body)
                    is Sent.ACCEPTED
                ):
                    break

    # --- own batches ---

    def _schedule(self, within_ms: int | None = None) -> None:
        due_ms = self._context.clock.monotonic_ms() + (BATCH_MS if within_ms is None else within_ms)
        if self._tick_ms is None or due_ms < self._tick_ms:
            self._cancel_tick()
            self._tick_ms, self._cancel_tick = due_ms, self._context.timer(due_ms, BatchTick())

    def _may_make_batch(self) -> bool:
        """One batch for each own vertex: every batch costs all seats the same, whatever is in it."""
        return len(self._own) < OWN_OPEN_MAX and (
            not self._unreferenced or self.pool.ready_count >= limits.BATCH_TX_MAX
        )

    def _make_batches(self) -> None:
        seat = self._seating.author
        if seat is None:
            return
        while self._may_make_batch():
            taken = self.pool.take(limits.BATCH_TX_MAX, BATCH_ITEM_BYTES)
            if not taken:
                break
            self._sequence += 1
            data = make_batch(self._seating.committee.anchor, seat, self._sequence, [one.item for one in taken])
            id = batch_id(data)
            self._own[id] = tuple(one.id for one in taken)
            self._unreferenced.add(id)
            self._stores.kv.write(self._rows(id, data), durable=False)  # before anybody hears of it
            self._router.broadcast(Lane.DATA, ActorCode.MEMPOOL, MempoolMessage.BATCH, data)
            self._ordering.tell(OwnBatchReady(id, len(taken), len(data)))
            self._reply(self._own[id])
        self._answer_departed()
        if self._waiting:
            self._schedule(WAITING_MS)

    def _reply(self, tx_ids: Sequence[bytes]) -> None:
        for tx_id in tx_ids:
            for message in self._waiting.pop(tx_id, ()):
                message.reply(tx_id)

    def _answer_departed(self) -> None:
        """Who waits for a batch, though the pool has his transaction no more, hears what became of it."""
        if self.pool.removed_total == self._removed_seen:
            return
        self._removed_seen = self.pool.removed_total
        for tx_id in [tx_id for tx_id in self._waiting if self.pool.get(tx_id) is None]:
            if self._stores.blocks.transaction_place(tx_id) is not None:
                self._reply([tx_id])
                continue
            for message in self._waiting.pop(tx_id):
                message.refuse(RefusalCode.NOT_FOUND, "another one took its place before it was in a batch")

    def _committed(self, message: Committed) -> None:
        for id in message.batches:
            own = self._own.pop(id, None)
            self._unreferenced.discard(id)
            if own is not None:
                self._close(own, message)
        self.pool.executed(message.transactions)
        if len(self.pool):
            self._schedule()

    def _close(self, own: Sequence[bytes], message: Committed) -> None:
        """An own batch is executed: what it held and the block skipped leaves the pool with its reason."""
        skipped = dict(message.skipped)
        for tx_id in own:
            if tx_id in skipped:
                code, reason = skipped[tx_id]
                self.pool.depart(tx_id, code, reason, self._context.clock.wall_ms(), dropped=False)

    # --- batches of others ---

    def _incoming(self, message: Incoming) -> None:
        match message.message:
            case MempoolMessage.BATCH:
                self._keep(batch_id(message.body), message.body)
            case MempoolMessage.FETCH_BATCH:
                data = self._stores.blocks.batch(message.body)
                if data is None:
                    message.refuse(RefusalCode.NOT_FOUND)
                else:
                    message.reply(data)
            case MempoolMessage.TRANSACTIONS:
                self._add(decode(message.body, TransactionList).items)  # whoever forwarded it may know an older state
                if self._seating.author is not None:
                    self._schedule()
            case _:
                message.refuse(RefusalCode.UNKNOWN)

    def _keep(self, id: bytes, data: bytes) -> None:
        """Store a batch whose form is right, and tell who waits for it."""
        try:
            batch, items = admit_items(data, self._seating.committee)
        except InvalidBatch:
            if self._seating.drawn and decode(data, BatchBytes).anchor != self._seating.committee.anchor:
                return  # of an epoch that is over, or not here yet: then it is fetched once a vertex refers to it
            raise
        self._checking.came(id, batch, items)
        if not self._stores.blocks.has_batch(id):
            self._stores.writes.later(self._rows(id, data))  # with the vertex that vouches for it, if not before
        self._ordering.tell(BatchStored(id, batch.author, len(items), len(data)))

    def _rows(self, id: bytes, data: bytes) -> Batch:
        rows = Batch()
        self._stores.blocks.put_batch(rows, self._seating.epoch, id, data)
        return rows

    def _want(self, id: bytes, peer: NodeId) -> None:
        data = self._stores.blocks.batch(id)
        if data is not None:
            self._keep(id, data)
        elif id not in self._asked:
            self._asked.add(id)
            self._context.spawn(self._fetch(id, peer))

    async def _fetch(self, id: bytes, peer: NodeId) -> None:
        try:
            data = await self._router.ask(
                peer, ActorCode.MEMPOOL, MempoolMessage.FETCH_BATCH, id, timeout_ms=FETCH_MS, lane=Lane.DATA
            )
        except Unavailable:
            self._asked.discard(id)  # the core asks somebody else
            return
        self._context.ref(ActorCode.MEMPOOL).tell(FetchedBatch(id, data))

    def _want_check(self, id: bytes) -> None:
        found = self._checking.found(id)
        if found is not None:
            self._ordering.tell(found)
        elif due_ms := self._checking.add(id, self._context.clock.monotonic_ms()):
            self._context.timer(due_ms, CheckTick())
