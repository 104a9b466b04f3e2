"""From what is trusted to a newer checkpoint: links are asked of one peer, and each is verified as it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from octra.codec import decode
from octra.consensus.checkpoint import CheckpointBody, registered_root
from octra.consensus.errors import InvalidProof
from octra.consensus.light import Link, Trusted, follow
from octra.node.links import LINKS_MAX
from octra.node.p2p.messages import LinkList, LinksRequest

Ask = Callable[[LinksRequest], Awaitable[bytes]]  # raises `Unavailable`


async def fetch_links(ask: Ask, trusted: Trusted, target: CheckpointBody) -> tuple[tuple[Link, ...], Trusted]:
    """The links that lead from what is trusted to the height of a checkpoint, and the trust at their end.

    The last of them may be of another body of that height: compare. Raises `Unavailable` when the peer has none, and
    `InvalidInput` when his do not hold.
    """
    chain: list[Link] = []
    while trusted.height < target.height:
        first = trusted.epoch + 1 if trusted.height else 0
        answer = await ask(LinksRequest(registered_root(trusted.validators), first, target.epoch))
        links = decode(answer, LinkList).links
        if not links or len(chain) + len(links) > LINKS_MAX:
            raise InvalidProof("links lead nowhere")
        for link in links:
            trusted = follow(trusted, link.checkpoint, link.validators, link.record)
        chain += links
    return tuple(chain), trusted
