"""Where trust begins, and how it moves to a newer checkpoint: by links of one peer, each verified as it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from octra.codec import decode
from octra.consensus.checkpoint import CheckpointBody, registered_root
from octra.consensus.errors import InvalidProof
from octra.consensus.genesis import Genesis
from octra.consensus.light import Link, Trusted, follow
from octra.consensus.snapshot import CheckpointRefused, trust_in
from octra.node.chain import committee_of, registered_of
from octra.node.links import LINKS_MAX
from octra.node.p2p.messages import LinkList, LinksRequest

Ask = Callable[[LinksRequest], Awaitable[bytes]]  # raises `Unavailable`


@dataclass(frozen=True, slots=True)
class Trust:
    """Where links may begin: at the founders, or at one checkpoint of which the operator knows the id."""

    founding: Trusted
    checkpoint: bytes | None = None

    @classmethod
    def of(cls, genesis: Genesis, checkpoint: bytes | None = None) -> Trust:
        """Trust in a genesis, and perhaps in a checkpoint of its chain."""
        return cls(Trusted(genesis.chain_id, committee_of(genesis), registered_of(genesis)), checkpoint)

    def start(self, link: Link) -> Trusted:
        """Trust in the link of the known checkpoint; raises `CheckpointRefused` for any other."""
        if link.checkpoint.id != self.checkpoint:
            raise CheckpointRefused("not the checkpoint that is trusted")
        return trust_in(link, self.founding.chain_id)


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
