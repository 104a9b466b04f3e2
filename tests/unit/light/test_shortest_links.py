"""A chain of links is as long as the registered set had changes, not as the chain had epochs."""

from msgspec.structs import replace
from proof_chain import ProofChain

from octra.consensus.light import Link
from octra.node.links import shortest


def _links(chain: ProofChain, sets: str) -> list[Link]:
    """One link an epoch; the letter names the set that its checkpoint hands over to."""
    link = chain.link()
    bodies = [
        replace(link.checkpoint.body, epoch=epoch, registered_root=letter.encode() * 32)
        for epoch, letter in enumerate(sets)
    ]
    return [replace(link, checkpoint=replace(link.checkpoint, body=body)) for body in bodies]


def test_only_the_last_link_of_each_set_is_needed(chain: ProofChain) -> None:
    for sets, epochs in (
        ("", []),
        ("a", [0]),
        ("aaaa", [3]),
        ("aabbb", [2, 4]),
        ("abc", [1, 2]),
        ("ababa", [3, 4]),
        ("bc", [0, 1]),
        ("bbac", [3]),
    ):
        chosen = shortest(_links(chain, sets), b"a" * 32)
        assert [link.checkpoint.body.epoch for link in chosen] == epochs, sets
