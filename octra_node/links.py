"""The links of trust that a full node hands out: checkpoints with the registered sets and committees they name.

Where committees are drawn, a link is stored with the block that orders its checkpoint: the state forgets registered
sets after a while. So every node that has the block has the link, and each link is signed by the set of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from octra.codec import decode, encode
from octra.consensus.checkpoint import Checkpoint, registered_root
from octra.consensus.epoch import EpochRecord
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import keys, ops
from octra.consensus.ledger.epoch_records import Registered
from octra.consensus.ledger.outcome import Outcome
from octra.consensus.ledger.receipts import LEDGER
from octra.consensus.ledger.transactions import Body, decode_item
from octra.consensus.light import Link
from octra.consensus.ports import StateView
from octra.node.chain import registered_of
from octra.storage.blocks import BlockReader, BlockStore, CertificateKind
from octra.storage.kv import Batch

LINKS_MAX = 4_096  # epochs that a chain of links is searched in: nine days of 180 s
RECENT_LINKS_MAX = 512  # that one is looked for in: longer ago than bonds are held, nobody vouches for a checkpoint


def heights_of(outcome: Outcome) -> dict[bytes, int]:
    """Heights of the checkpoints that a block has brought into the state, by the transactions that did so."""
    told = ((one.tx, one.event) for one in outcome.events if one.event.source == LEDGER)
    return {tx: decode(event.data, tuple[int, int])[1] for tx, event in told if event.topic == b"checkpoint"}


def ordered(outcome: Outcome, batches: Sequence[Sequence[bytes]], before: StateView) -> tuple[Link, ...]:
    """The links of the checkpoints that a block has brought into the state, in their order.

    `batches` have all of its items; `before` is the state below it, which still holds what the checkpoints name.
    """
    taken = heights_of(outcome)
    if not taken:
        return ()
    items = [item for batch in batches for item in batch]
    found = zip(outcome.receipts, outcome.places, strict=True)

    def row(key: bytes) -> bytes:
        data = before.get(key) or outcome.writes[key]  # of the same block, if everybody was in a hurry
        assert data is not None, "the rules have read it"
        return data

    return tuple(_link(items[place.position], row) for receipt, place in found if receipt.tx in taken)


def _link(item: bytes, row: Callable[[bytes], bytes]) -> Link:
    body = decode_item(item).content
    assert isinstance(body, Body)
    assert isinstance(body.op, ops.Checkpoint)
    checkpoint = body.op.checkpoint
    opened = checkpoint.body.epoch + 1
    registered = decode(row(keys.registered(opened)), Registered)
    return Link(checkpoint, registered.validators, decode(row(keys.epoch_record(opened)), EpochRecord))


def put(rows: Batch, blocks: BlockStore, link: Link) -> None:
    """Store a link, and its checkpoint."""
    body = link.checkpoint.body
    blocks.put_certificate(rows, CertificateKind.CHECKPOINT, body.epoch, body.height, encode(link.checkpoint))
    blocks.put_certificate(rows, CertificateKind.LINK, body.epoch, body.height, encode(link))


def links_of(blocks: BlockReader, genesis: Genesis) -> tuple[Link, ...]:
    """The shortest chain of links from the genesis to the newest checkpoint that is held; empty if there is none."""
    founders = registered_of(genesis)
    if not genesis.drawn:
        newest = blocks.latest_certificates(CertificateKind.CHECKPOINT)
        return tuple(Link(decode(data, Checkpoint), founders) for _, _, data in newest)
    rows = blocks.latest_certificates(CertificateKind.LINK, LINKS_MAX)
    return shortest([decode(data, Link) for _, _, data in reversed(rows)], registered_root(founders))


def between(blocks: BlockReader, root: bytes, from_epoch: int, to_epoch: int) -> tuple[Link, ...]:
    """The shortest chain that leads from the registered set of `root` to the checkpoint of an epoch, as far as held."""
    rows = blocks.certificates(CertificateKind.LINK, first_epoch=from_epoch, limit=LINKS_MAX)
    return shortest([decode(data, Link) for epoch, _, data in rows if epoch <= to_epoch], root)


def by_checkpoint(blocks: BlockReader, id: bytes) -> Link | None:
    """The link of a checkpoint of the last epochs, by its id."""
    rows = blocks.latest_certificates(CertificateKind.LINK, RECENT_LINKS_MAX)
    found = (decode(data, Link) for _, _, data in rows)
    return next((link for link in found if link.checkpoint.id == id), None)


def shortest(links: Sequence[Link], root: bytes) -> tuple[Link, ...]:
    """Those of all links since genesis that still lead to the end: while one set signs, only its last one is needed.

    `root` is that of the set which signs the first of them.
    """
    signed_by = [root, *(link.checkpoint.body.registered_root for link in links)]
    chosen: list[Link] = []
    position = 0
    while True:
        found = [number for number in range(position, len(links)) if signed_by[number] == root]
        if not found:
            return tuple(chosen)
        chosen.append(links[found[-1]])
        position, root = found[-1] + 1, links[found[-1]].checkpoint.body.registered_root
