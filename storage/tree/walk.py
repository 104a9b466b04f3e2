"""All leaves of a tree at one version, in the order of their paths, out of stored nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from octra.storage.errors import CorruptStore
from octra.storage.kv import Family, ReadView
from octra.storage.tree.nodes import Branch, Leaf, Link, decode_node

PAGE: Final = 128  # nodes a read; some leaves wait in memory meanwhile


def leaves(view: ReadView, root: Link | None) -> Iterator[Leaf]:
    """Every leaf below a root. Reads ahead of the order, so memory holds a page for each level and no more."""
    stack: list[bytes | Leaf] = [] if root is None else [root.ref]  # what comes next stands last
    while stack:
        last = stack[-1]
        if isinstance(last, Leaf):
            stack.pop()
            yield last
            continue
        page = stack[-PAGE:]
        del stack[-PAGE:]
        refs = [item for item in page if not isinstance(item, Leaf)]
        rows = dict(zip(refs, view.get_many(Family.NODE, refs), strict=True))
        for item in page:
            node = item if isinstance(item, Leaf) else _decode(rows[item])
            if isinstance(node, Branch):
                stack += (node.right.ref, node.left.ref)
            else:
                stack.append(node)


def _decode(row: bytes | None) -> Leaf | Branch:
    if row is None:
        raise CorruptStore("a tree node is missing")
    return decode_node(row)
