"""Which transactions a node keeps, and in which order it batches them. Policy of one node: no validator compares it."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from octra.consensus.ledger import ops
from octra.consensus.ledger.accounts import check_nonce
from octra.consensus.ledger.errors import DuplicateTransaction, FeeTooLow, InsufficientBalance, NoSuchAccount, PoolFull
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.transactions import NONCE_WINDOW, Transaction

COUNT_MAX, BYTES_MAX = 100_000, 64 * 1024 * 1024
SENDER_MAX = NONCE_WINDOW  # more could not execute in one go anyway
REPLACE_PERCENT = 110
FATE_MS, FATES_MAX = 600_000, 10_000


@dataclass(frozen=True, slots=True)
class Departed:
    """Why a transaction left the pool without a block."""

    item: bytes
    code: int
    reason: str
    time_ms: int
    dropped: bool  # evicted or expired; else refused by a rule when its turn came


_Place = tuple[bool, int, int]


@dataclass(slots=True)
class _Entry:
    transaction: Transaction
    place: _Place
    spends: int
    batched: bool = False


def _place(transaction: Transaction, minimum: int, arrival: int) -> _Place:
    """Sorts operations of seats first; then the higher fee for the work, then the earlier.

    Two fees for work below 2^64 that differ at all differ by 2^-128 at least, so whole numbers tell them apart.
    """
    assert minimum < 1 << 64
    return not transaction.op.node_op, -((transaction.fee << 128) // minimum), arrival


@dataclass(slots=True)
class Pool:
    """Transactions on their way to a block. Operations of seats pass here too, before all others."""

    count_max: int = COUNT_MAX
    bytes_max: int = BYTES_MAX
    removed_total: int = 0  # have left, to a block or for another reason
    _entries: dict[bytes, _Entry] = field(default_factory=dict)
    _by_sender: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    _ready: list[tuple[_Place, _Entry]] = field(default_factory=list)  # no two places are equal
    _departed: OrderedDict[bytes, Departed] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _arrivals: int = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tx_id: bytes) -> Transaction | None:
        """The waiting transaction of that id."""
        entry = self._entries.get(tx_id)
        return None if entry is None else entry.transaction

    def is_batched(self, tx_id: bytes) -> bool:
        """Does it lie in a batch of this node, and wait for a block?"""
        entry = self._entries.get(tx_id)
        return entry is not None and entry.batched

    @property
    def ready_count(self) -> int:
        """About how many wait for a batch; never fewer than really do."""
        return len(self._ready)

    def newest(self, limit: int) -> list[Transaction]:
        """Waiting transactions, newest first."""
        return [entry.transaction for entry in list(self._entries.values())[: -limit - 1 : -1]]

    def of_sender(self, sender: bytes) -> list[Transaction]:
        """One sender's waiting transactions, by nonce."""
        slots = self._by_sender.get(sender, {})
        return [self._entries[slots[nonce]].transaction for nonce in sorted(slots)]

    def departed(self, tx_id: bytes) -> Departed | None:
        """Why a transaction is no longer here."""
        return self._departed.get(tx_id)

    def add(self, transaction: Transaction, minimum: int, account: Account | None) -> None:
        """Keep an admitted transaction; raises the rule of window, balance or room that forbids it.

        `minimum`: the smallest fee for its operation. `account`: what its sender has now.
        """
        if transaction.id in self._entries:
            raise DuplicateTransaction
        if transaction.op.node_op:
            self._insert(transaction, 1)
            return
        slots = self._by_sender.get(transaction.sender, {})
        if account is None:
            raise NoSuchAccount
        check_nonce(account, transaction.nonce)
        replaced = slots.get(transaction.nonce)
        if replaced is not None:
            old = self._entries[replaced]
            needed = -(-old.transaction.fee * REPLACE_PERCENT // 100)
            if old.batched or transaction.fee < needed:
                raise FeeTooLow(needed, transaction.fee)
        others = [self._entries[slots[nonce]].spends for nonce in slots if nonce != transaction.nonce]
        if len(others) >= SENDER_MAX:
            raise PoolFull("too many of one sender")
        spent = sum(others) + spending(transaction)
        if account.balance < spent:
            raise InsufficientBalance(spent, account.balance)
        self._check_room(transaction, minimum)
        if replaced is not None:
            self._remove(replaced)
        self._insert(transaction, minimum)

    def take(self, count_max: int, bytes_max: int) -> list[Transaction]:
        """The next transactions for a batch: best first, never past a sender's own earlier nonce. They stay known."""
        taken: list[Transaction] = []
        size = 0
        held_back: list[_Entry] = []
        while self._ready and len(taken) < count_max:
            _, entry = heapq.heappop(self._ready)
            if self._entries.get(entry.transaction.id) is not entry or entry.batched:
                continue
            if size + len(entry.transaction.item) > bytes_max:
                held_back.append(entry)
                break
            entry.batched = True
            size += len(entry.transaction.item)
            taken.append(entry.transaction)
        for entry in held_back:
            heapq.heappush(self._ready, (entry.place, entry))
        return sorted(taken, key=lambda one: (not one.op.node_op, one.sender, one.nonce))

    def put_back(self, ids: Iterable[bytes]) -> None:
        """Their batch expired without a block: they wait again."""
        for tx_id in ids:
            entry = self._entries.get(tx_id)
            if entry is not None and entry.batched:
                entry.batched = False
                heapq.heappush(self._ready, (entry.place, entry))

    def executed(self, ids: Iterable[bytes]) -> None:
        """They are in a block: most of them have never been here."""
        if self._entries:
            for tx_id in [tx_id for tx_id in ids if tx_id in self._entries]:
                self._remove(tx_id)

    def depart(self, tx_id: bytes, code: int, reason: str, now_ms: int, *, dropped: bool) -> None:
        """A transaction leaves without a block; why is kept for ten minutes."""
        entry = self._entries.get(tx_id)
        if entry is None:
            return
        self._remove(tx_id)
        self._departed[tx_id] = Departed(entry.transaction.item, code, reason, now_ms, dropped)
        while self._departed and (
            len(self._departed) > FATES_MAX or next(iter(self._departed.values())).time_ms < now_ms - FATE_MS
        ):
            self._departed.popitem(last=False)

    def expire(self, epoch: int, now_ms: int) -> None:
        """A new epoch: what may no longer execute goes."""
        expired = [
            tx_id
            for tx_id, entry in self._entries.items()
            if entry.transaction.expiry_epoch is not None
            and entry.transaction.expiry_epoch < epoch
            and not entry.transaction.op.node_op
        ]
        for tx_id in expired:
            self.depart(tx_id, 2119, "its last epoch has passed", now_ms, dropped=True)

    def _check_room(self, transaction: Transaction, minimum: int) -> None:
        """A fuller pool asks for more: the minimum, twice that from 80 % on, five times from 95 %."""
        full = max(100 * len(self._entries) // self.count_max, 100 * self._bytes // self.bytes_max)
        factor = 1 if full < 80 else 2 if full < 95 else 5
        if transaction.fee < factor * minimum:
            raise FeeTooLow(factor * minimum, transaction.fee)
        if full >= 100:
            raise PoolFull("no room")

    def _insert(self, transaction: Transaction, minimum: int) -> None:
        self._arrivals += 1
        entry = _Entry(transaction, _place(transaction, minimum, self._arrivals), spending(transaction))
        self._entries[transaction.id] = entry
        self._bytes += len(transaction.item)
        if not transaction.op.node_op:
            self._by_sender.setdefault(transaction.sender, {})[transaction.nonce] = transaction.id
        heapq.heappush(self._ready, (entry.place, entry))

    def _remove(self, tx_id: bytes) -> None:
        entry = self._entries.pop(tx_id, None)
        if entry is None:
            return
        self.removed_total += 1
        self._bytes -= len(entry.transaction.item)
        slots = self._by_sender.get(entry.transaction.sender)
        if slots is not None and slots.get(entry.transaction.nonce) == tx_id:
            del slots[entry.transaction.nonce]
            if not slots:
                del self._by_sender[entry.transaction.sender]


def spending(transaction: Transaction) -> int:
    """What the sender must hold in public for it: the fee, and the public amount that leaves."""
    match transaction.op:
        case (
            ops.Transfer(amount=amount) | ops.Burn(amount=amount) | ops.Encrypt(amount=amount) | ops.Bond(amount=amount)
        ):
            return transaction.fee + amount
        case ops.MultiTransfer(items=items):
            return transaction.fee + sum(item.amount for item in items)
        case ops.CircleCall(value=value):
            return transaction.fee + value
        case ops.CircleDeploy(rent=rent) | ops.CircleUpgrade(rent=rent):
            return transaction.fee + rent
        case _:
            return transaction.fee
