"""The links of trust that a full node hands out: checkpoints with the registered sets and committees they name.

Where committees are drawn, a link is kept with its checkpoint: the state forgets registered sets after a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from octra.codec import decode, encode
from octra.consensus.checkpoint import Checkpoint, registered_root
from octra.consensus.epoch import EpochRecord
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import epochs, keys
from octra.consensus.ledger.state import load
from octra.consensus.light import Link
from octra.consensus.ports import StateView
from octra.node.chain import registered_of
from octra.storage.blocks import BlockReader, BlockStore, CertificateKind
from octra.storage.kv import Batch

LINKS_MAX = 4_096  # epochs that a chain of links is searched in: nine days of 180 s
RECENT_LINKS_MAX = 512  # that one is looked for in: longer ago than bonds are held, nobody vouches for a checkpoint


def keep(rows: Batch, blocks: BlockStore, state: StateView, checkpoint: Checkpoint) -> None:
    """Store the link of a checkpoint beside it, while the state still holds what it names."""
    body = checkpoint.body
    registered = epochs.registered_at(state, body.epoch + 1)
    record = load(state, keys.epoch_record(body.epoch + 1), EpochRecord)
    if registered is not None and record is not None:
        link = encode(Link(checkpoint, registered, record))
        blocks.put_certificate(rows, CertificateKind.LINK, body.epoch, body.height, link)


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
