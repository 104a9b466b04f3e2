"""Proofs out of stored nodes; `octra.consensus.statetree` verifies them without a store."""

from __future__ import annotations

from octra.consensus.statetree import EMPTY, OTHER_LEAF, PRESENT, TreeProof, bit_of
from octra.storage.kv import ReadView
from octra.storage.tree.nodes import Leaf, Link, NodeCache, load


def find_leaf(view: ReadView, cache: NodeCache, root: Link | None, path: bytes) -> Leaf | None:
    """The leaf at `path`, or `None`."""
    leaf, _ = _walk(view, cache, root, path)
    return leaf if leaf is not None and leaf.path == path else None


def prove(view: ReadView, cache: NodeCache, root: Link | None, path: bytes) -> tuple[Leaf | None, TreeProof]:
    """The leaf at `path` with its inclusion proof, or `None` with a proof that there is none."""
    leaf, steps = _walk(view, cache, root, path)
    if leaf is None:
        return None, TreeProof(EMPTY, b"", b"")
    bits, siblings = bytes(bit for bit, _ in steps), b"".join(sibling for _, sibling in steps)
    if leaf.path == path:
        return leaf, TreeProof(PRESENT, bits, siblings)
    return None, TreeProof(OTHER_LEAF, bits, siblings, leaf.path + leaf.value_hash)


def _walk(
    view: ReadView, cache: NodeCache, root: Link | None, path: bytes
) -> tuple[Leaf | None, list[tuple[int, bytes]]]:
    """Follow the bits of `path` to the leaf at their end; on the way, each branch bit and the hash not taken."""
    steps: list[tuple[int, bytes]] = []
    if root is None:
        return None, steps
    node = load(view, cache, root.ref)
    while not isinstance(node, Leaf):
        taken, other = (node.right, node.left) if bit_of(path, node.bit) else (node.left, node.right)
        steps.append((node.bit, other.hash))
        node = load(view, cache, taken.ref)
    return node, steps
