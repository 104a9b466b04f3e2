"""Public transfers in a row: the rule of `execute` and `accounts.transfer`, on accounts that stay decoded in between.

Most transactions are transfers that succeed, and most of their cost was reading and writing the same few records. Only
those are done here; one that would fail, or be skipped, is left to the general way, which knows the reasons.
`Transfers` is the reference; `CompiledTransfers` does the same for whole batches in the compiled library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from octra.consensus.batch import Items, frame
from octra.consensus.ledger import fees, keys, native, ops
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.outcome import LedgerBatch
from octra.consensus.ledger.receipts import OK, Receipt
from octra.consensus.ledger.records import Account, Node, Pool
from octra.consensus.ledger.transactions import (
    ANY_TRANSFER,
    EXPIRY_EPOCHS_MAX,
    NONCE_WINDOW,
    StaticRules,
    Transaction,
)
from octra.crypto.hash import EMPTY_ROOT
from octra.primitives import AMOUNT_MAX


class _Open(Struct):
    """An account in use."""

    balance: int
    nonce: int
    used: int
    changed: bool = False


class Transfers:
    """The transfers of one commit since the last `settle`."""

    def __init__(self, x: Execution) -> None:
        self._x = x
        self._required = fees.minimum_fee(ANY_TRANSFER, x.params.prices)
        self._open: dict[bytes, _Open] = {}
        self._tips: dict[int, int] = {}  # by seat
        self._fees = 0  # how many required fees were paid

    def take(self, transaction: Transaction, op: ops.Transfer, author_seat: int, index: int) -> Receipt | None:
        """Execute a transfer and answer its receipt, the block's `index`-th; or None, with nothing changed."""
        x, fee, expiry = self._x, transaction.fee, transaction.expiry_epoch
        if expiry is None or not x.clock.epoch <= expiry <= x.clock.epoch + EXPIRY_EPOCHS_MAX:
            return None
        tip = fee - self._required
        sender, receiver = self._account(transaction.sender), self._account(op.to)
        ahead = transaction.nonce - sender.nonce
        if tip < 0 or not 0 < ahead <= NONCE_WINDOW or sender.used >> (ahead - 1) & 1:
            return None
        if sender.balance < fee + op.amount or receiver.balance + op.amount > AMOUNT_MAX:
            return None
        if tip:
            operator = self._account(x.authors[author_seat].operator)
            if operator.balance + op.amount + tip > AMOUNT_MAX:
                return None
            operator.balance, operator.changed = operator.balance + tip, True
            self._tips[author_seat] = self._tips.get(author_seat, 0) + tip
        sender.balance, sender.changed = sender.balance - fee - op.amount, True
        receiver.balance, receiver.changed = receiver.balance + op.amount, True
        used, low = sender.used | 1 << (ahead - 1), sender.nonce
        while used & 1:
            used, low = used >> 1, low + 1
        sender.used, sender.nonce = used, low
        self._fees += 1
        return Receipt(transaction.id, x.clock.height, index, OK, 0, "", fee, events_root=EMPTY_ROOT)

    def settle(self) -> None:
        """Write down what the transfers so far have changed; whoever reads the state next sees it."""
        x = self._x
        for address, account in self._open.items():
            if account.changed:
                x.state.store(keys.account(address), Account(account.balance, account.nonce, account.used))
        self._open.clear()
        _keep_fees(x, self._required, self._fees, self._tips)
        self._fees = 0
        self._tips.clear()

    def _account(self, address: bytes) -> _Open:
        account = self._open.get(address)
        if account is None:
            stored = self._x.account(address)
            account = self._open[address] = _Open(stored.balance, stored.nonce, stored.used)
        return account


class CompiledTransfers:
    """The transfers of one commit, by the compiled library: only where `native.available()`."""

    def __init__(self, x: Execution, rules: StaticRules) -> None:
        self._x, self._chain = x, rules.chain
        self._required, self._minimum = fees.minimum_fee(ANY_TRANSFER, x.params.prices), rules.minimum_fee(ANY_TRANSFER)
        self._accounts = native.Accounts(
            height=x.clock.height,
            epoch=x.clock.epoch,
            required_fee=self._required,
            secret=int.from_bytes(x.coin[:8], "little"),
        )
        self._author_seats: list[int] = []  # by batch

    def begin(self, batches: Sequence[LedgerBatch]) -> None:
        """All batches of the commit; their items are numbered through."""
        x, accounts = self._x, self._accounts
        for batch in batches:
            items = batch.transactions
            framed = items.framed if isinstance(items, Items) else frame(items)
            accounts.take(framed, self._chain, self._minimum, x.authors[batch.author_seat].operator)
            self._author_seats.append(batch.author_seat)
        needed = accounts.needed()
        accounts.put(needed, x.state.get_many(needed))
        x.state.touched.clear()

    def run(self, start: int, index: int) -> native.Ran:
        """Execute from item `start` on until one must go the general way; the first receipt is the block's `index`-th.

        What they changed is written down at the end, for whoever reads the state next.
        """
        x, accounts = self._x, self._accounts
        if x.state.touched:
            others = sorted({key for key in x.state.touched if len(key) == native.ACCOUNT_KEY and key[0] == 1})
            accounts.put(others, x.state.get_many(others))
            x.state.touched.clear()
        ran = accounts.run(start, index)
        if ran.end > start:
            settled = accounts.settle()
            x.state.put_many(zip(settled.keys, settled.rows, strict=True))
            tips: dict[int, int] = {}
            for seat, units in zip(self._author_seats, settled.tips, strict=True):
                if units:
                    tips[seat] = tips.get(seat, 0) + units
            _keep_fees(x, self._required, ran.end - start, tips)
        return ran


def _keep_fees(x: Execution, required: int, times: int, tips: Mapping[int, int]) -> None:
    """Required fees go where all fees go, what is above them to the authors, by seat."""
    x.money.spend(required, Pool.ORDER, times=times)
    for seat, units in tips.items():
        name = x.authors[seat].node_id
        node = x.node(name)
        x.store_node(name, Node(node.seat, node.tips + units, node.skipped, node.certified, node.faults))
