"""Who attests whom: a regular directed graph over the seats, drawn from the epoch's beacon."""

from __future__ import annotations

from octra.consensus.coin import permutation


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
