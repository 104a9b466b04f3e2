"""Who attests whom, and who executes: a regular directed graph over the seats, drawn from the epoch's beacon."""

from __future__ import annotations

from octra.consensus.coin import permutation
from octra.consensus.limits import EXECUTOR_HEIGHTS
from octra.crypto.hash import H


def attestors(beacon: bytes, size: int, author: int) -> tuple[int, ...]:
    """All other seats in the order in which they are asked to attest the author's batches.

    The first f + 1 are his neighbours; the rest is the order of escalation. Over all authors every seat stands
    equally often at each place. A lone seat attests itself.
    """
    if size == 1:
        return (0,)
    places = permutation(beacon + b"pos", "octra.graph", size)
    steps = [step + 1 for step in permutation(beacon + b"off", "octra.graph", size - 1)]
    start = places.index(author)
    return tuple(places[(start + step) % size] for step in steps)


def executors(beacon: bytes, size: int, height: int) -> tuple[int, ...]:
    """The f + 1 seats that must execute a block where execution is split: neighbours of one seat, in turn.

    Over n windows of `EXECUTOR_HEIGHTS` blocks every seat has the duty equally often.
    """
    faults = (size - 1) // 3
    return attestors(beacon, size, height // EXECUTOR_HEIGHTS % size)[: faults + 1]


def rechecks(beacon: bytes, node: bytes, height: int) -> bool:
    """Does a node without a seat execute this block itself? About every fourth; each node others."""
    return H("octra.recheck", beacon, node, height.to_bytes(8, "big"))[0] % 4 == 0
