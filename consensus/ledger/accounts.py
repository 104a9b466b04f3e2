"""Public money: transfers, burning, and the nonce window."""

from __future__ import annotations

from msgspec.structs import replace

from octra.consensus.ledger import ops
from octra.consensus.ledger.errors import NonceTooFar, NonceUsed
from octra.consensus.ledger.execution import Execution
from octra.consensus.ledger.records import Account
from octra.consensus.ledger.transactions import NONCE_WINDOW, Transaction


def check_nonce(account: Account, nonce: int) -> None:
    """Raises `NonceUsed` or `NonceTooFar` unless the nonce is free."""
    ahead = nonce - account.nonce
    if ahead <= 0 or account.used >> (ahead - 1) & 1:
        raise NonceUsed(next_nonce(account), nonce)
    if ahead > NONCE_WINDOW:
        raise NonceTooFar(account.nonce + NONCE_WINDOW, nonce)


def use_nonce(account: Account, nonce: int) -> Account:
    """The account after `nonce`, which was free. The window slides past every used nonce."""
    used, low = account.used | 1 << (nonce - account.nonce - 1), account.nonce
    while used & 1:
        used, low = used >> 1, low + 1
    return replace(account, nonce=low, used=used)


def next_nonce(account: Account) -> int:
    """The lowest free nonce."""
    return account.nonce + 1


def transfer(x: Execution, transaction: Transaction, op: ops.Transfer) -> None:
    """Move public units."""
    x.debit(transaction.sender, op.amount)
    x.credit(op.to, op.amount)


def multi_transfer(x: Execution, transaction: Transaction, op: ops.MultiTransfer) -> None:
    """Move public units to several accounts, or to none."""
    x.debit(transaction.sender, sum(item.amount for item in op.items))
    for item in op.items:
        x.credit(item.to, item.amount)


def burn(x: Execution, transaction: Transaction, op: ops.Burn) -> None:
    """Destroy public units."""
    x.debit(transaction.sender, op.amount)
    x.money.public -= op.amount
    x.money.burned += op.amount


def parties(transaction: Transaction) -> tuple[bytes, ...]:
    """The accounts that a transaction concerns, by which it is found again: sender first, then receivers, each once.

    None for an operation of a seat.
    """
    op = transaction.op
    if op.node_op:
        return ()
    match op:
        case ops.Transfer(to=to) | ops.PrivateTransfer(to=to):
            receivers: tuple[bytes, ...] = (to,)
        case ops.MultiTransfer(items=items):
            receivers = tuple(item.to for item in items)
        case _:
            receivers = ()
    return tuple(dict.fromkeys((transaction.sender, *receivers)))
