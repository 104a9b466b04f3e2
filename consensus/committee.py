"""The draw: who sits in the committee, from the registered candidates, their scores and the beacon.

All seats if they are few; else a fixed number from each quarter of the ranking and the rest from everybody, so that
good service raises the chance of a seat, but nobody buys one. Integers and hashes only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from octra.consensus.coin import permutation
from octra.consensus.fields import U8, Hash32
from octra.consensus.limits import COMMITTEE_MAX, REGISTERED_MAX
from octra.crypto.hash import H
from octra.primitives import NodeId

STRATUM_SEATS = (5, 4, 4, 3)  # from the best quarter to the worst; steeper would help attackers with good scores
FREE_SEATS = COMMITTEE_MAX - sum(STRATUM_SEATS)  # from all that are left
OPERATOR_SEATS = 2  # of one declared operator


class Candidate(Struct, frozen=True, array_like=True):
    """A validator that may be drawn. `operator` is what its owner declares; empty: stands for itself."""

    node: Hash32
    operator: bytes
    score: U8  # 0 .. 15; 8 and more looks honest


def draw(candidates: Sequence[Candidate], beacon: bytes) -> tuple[NodeId, ...]:
    """The seats in order. The same for every order of `candidates`, whose nodes are distinct."""
    assert len(candidates) <= REGISTERED_MAX
    ranked = sorted(candidates, key=lambda one: (-one.score, H("octra.rank", beacon, one.node)))
    chosen = ranked if len(ranked) <= COMMITTEE_MAX else _choose(ranked, beacon)
    by_node = sorted(chosen, key=lambda one: one.node)
    return tuple(NodeId(by_node[place].node) for place in permutation(beacon, "octra.seats", len(by_node)))


def strata(ranked: Sequence[Candidate]) -> list[list[Candidate]]:
    """The ranking in four parts of equal size, give or take one."""
    parts: list[list[Candidate]] = [[] for _ in STRATUM_SEATS]
    for rank, candidate in enumerate(ranked):
        parts[rank * len(parts) // len(ranked)].append(candidate)
    return parts


def _choose(ranked: Sequence[Candidate], beacon: bytes) -> list[Candidate]:
    """Quarter by quarter, then from all that are left; whoever would be an operator's third is passed over."""
    chosen: list[Candidate] = []
    operators: Counter[bytes] = Counter()
    for number, (stratum, seats) in enumerate(zip(strata(ranked), STRATUM_SEATS, strict=True)):
        _take(chosen, operators, _shuffled(stratum, beacon, f"octra.stratum{number}"), seats)
    rest = _shuffled(_without(ranked, chosen), beacon, "octra.free")
    _take(chosen, operators, rest, COMMITTEE_MAX - len(chosen))
    # Too few operators to fill the seats: an empty seat would protect nobody, so the cap yields.
    chosen += _without(rest, chosen)[: COMMITTEE_MAX - len(chosen)]
    return chosen


def _take(chosen: list[Candidate], operators: Counter[bytes], order: Iterable[Candidate], seats: int) -> None:
    for candidate in order:
        if not seats:
            return
        operator = candidate.operator or candidate.node
        if operators[operator] < OPERATOR_SEATS:
            operators[operator] += 1
            chosen.append(candidate)
            seats -= 1


def _shuffled(candidates: Sequence[Candidate], beacon: bytes, tag: str) -> list[Candidate]:
    return [candidates[place] for place in permutation(beacon, tag, len(candidates))]


def _without(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    taken = {candidate.node for candidate in chosen}
    return [candidate for candidate in candidates if candidate.node not in taken]
