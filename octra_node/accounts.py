"""Which accounts a transaction concerns: by these it is found in their histories."""

from __future__ import annotations

from octra.consensus.ledger import ops
from octra.consensus.ledger.transactions import Body, Unchecked
from octra.primitives import address_of


def accounts_of(transaction: Unchecked) -> tuple[bytes, ...]:
    """Sender first, then receivers; none for an operation of a seat."""
    op = transaction.content.op
    if op.node_op:
        return ()
    found = [sender_of(transaction)]
    match op:
        case ops.Transfer(to=to) | ops.PrivateTransfer(to=to):
            found.append(to)
        case ops.MultiTransfer(items=items):
            found.extend(item.to for item in items)
        case _:
            pass
    return tuple(dict.fromkeys(found))


def sender_of(transaction: Unchecked) -> bytes:
    """The account that sent it."""
    content = transaction.content
    return address_of(content.sender if isinstance(content, Body) else content.public_key)
