"""One slot of four seats in every way: all votes of round r + 3, all certificates of round r + 4, all views of them.

Seat 3 is faulty and leads the slot with two vertices; above it has a vertex for each thing that links let it say. So
there is nothing to draw and no seed: what holds here holds for one slot of four seats, whatever the network does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from ordering.dags import make_vertex

from octra.consensus.dag import rule
from octra.consensus.dag.store import Entry, Store
from octra.consensus.limits import DECIDE_DEPTH, VOTE_DEPTH, WAVE

SIZE, QUORUM, FAULTY = 4, 3, 3
ROUND = 1  # of the slot
LEADERS = tuple(Entry(make_vertex(ROUND, FAULTY, twin=twin), [], [], SIZE) for twin in range(2))
VOTES: tuple[Entry | None, ...] = (*LEADERS, None)  # for one of the twins, or blame
SAID = (*VOTES, None)  # by the faulty seat; one thing twice, as more vertices must not count for more

Parents = tuple[Entry, ...]


@dataclass
class Findings:
    """How much was tried, how often a view decided, and what must not be."""

    patterns: int = 0
    views: int = 0
    decisions: int = 0
    problems: list[str] = field(default_factory=list)


def explore_slot(*, stop: bool = False) -> Findings:
    """Try everything, or up to the first problem. Patterns that differ by names of seats and twins only count once."""
    findings = Findings()
    seen = set()
    for votes in product(VOTES, repeat=SIZE - 1):
        if _pattern(votes) in seen or (stop and findings.problems):
            continue
        seen |= {_pattern(votes), _pattern([_other_twin(vote) for vote in votes])}
        _explore_votes(votes, findings)
    return findings


def _pattern(votes: Iterable[Entry | None]) -> tuple[int, ...]:
    return tuple(sorted(VOTES.index(vote) for vote in votes))


def _other_twin(vote: Entry | None) -> Entry | None:
    return None if vote is None else LEADERS[vote is LEADERS[0]]


def _explore_votes(votes: Sequence[Entry | None], findings: Findings) -> None:
    """Each honest certifier takes its own voter and enough others; the faulty seat makes whatever can be made."""
    honest = [_entry(ROUND + VOTE_DEPTH, seat, 0, vote) for seat, vote in enumerate(votes)]
    faulty = [_entry(ROUND + VOTE_DEPTH, FAULTY, twin, vote) for twin, vote in enumerate(SAID)]
    options = [_by_outcome(p for p in parent_sets(honest, faulty) if honest[seat] in p) for seat in range(SIZE - 1)]
    forged = [
        _entry(ROUND + DECIDE_DEPTH, FAULTY, twin, None, parents)
        for twin, parents in enumerate(2 * _by_outcome(parent_sets(honest, faulty)))
    ]
    for chosen in product(*options):
        certifiers = [_entry(ROUND + DECIDE_DEPTH, seat, 0, None, parents) for seat, parents in enumerate(chosen)]
        findings.patterns += 1
        direct = set(decide_views([*honest, *faulty], [*certifiers, *forged], findings))
        problem = contradiction(direct, anchors_say(certifiers, forged, FAULTY))
        if problem:
            findings.problems.append(f"votes {_pattern(votes)}, pattern {findings.patterns}: {problem}")


def _by_outcome(sets: Iterable[Parents]) -> list[Parents]:
    """One parent set for each certificate that can be made of them."""
    found: dict[bytes | None, Parents] = {}
    for parents in sets:
        leader = rule.certified(_entry(ROUND + DECIDE_DEPTH, 0, 0, None, parents), FAULTY, QUORUM)
        found.setdefault(leader and leader.id, parents)
    return list(found.values())


def parent_sets(honest: Sequence[Entry], versions: Sequence[Entry]) -> Iterator[Parents]:
    """All links that a vertex above may have: q authors or more, at most one version of the faulty one."""
    for count in (QUORUM - 1, QUORUM):
        for group in combinations(honest, count):
            if count >= QUORUM:
                yield group
            for version in versions:
                yield (*group, version)


def decide_views(voters: Sequence[Entry], certifiers: Sequence[Entry], findings: Findings) -> Iterator[bytes | None]:
    """What is decided at sight when some voters and some certifiers are there; views need not even be closed."""
    layers = [_subsets(certifiers), _subsets(voters)]
    for above, below in product(*layers):
        store = Store(SIZE, QUORUM)
        store.rounds = {ROUND: {FAULTY: list(LEADERS)}, ROUND + VOTE_DEPTH: below, ROUND + DECIDE_DEPTH: above}
        findings.views += 1
        done, leader = rule.decide_directly(store, ROUND, FAULTY)
        if done:
            findings.decisions += 1
            yield leader and leader.id


def _subsets(entries: Sequence[Entry]) -> list[dict[int, list[Entry]]]:
    """Each subset as a round of a store: author -> versions."""
    found = []
    for count in range(len(entries) + 1):
        for group in combinations(entries, count):
            authors: dict[int, list[Entry]] = {}
            for entry in group:
                authors.setdefault(entry.author, []).append(entry)
            found.append(authors)
    return found


def anchors_say(certifiers: Sequence[Entry], versions: Sequence[Entry], author: int) -> set[bytes | None]:
    """What every vertex that can stand on these certifiers says of the slot, should it be an anchor."""
    said = set()
    for parents in parent_sets(certifiers, versions):
        anchor = _entry(ROUND + WAVE, 0, 0, None, parents)
        leader = rule.decide_by_anchor(ROUND, author, anchor, QUORUM)
        said.add(leader and leader.id)
    return said


def contradiction(direct: set[bytes | None], indirect: set[bytes | None]) -> str:
    """Views decide alike; and what one of them decides at sight, every later anchor says too. Anchors alone may differ."""
    if len(direct) > 1:
        return f"views decide {sorted(id.hex()[:12] if id else 'skip' for id in direct)}"
    if direct and indirect != direct:
        return "a later anchor says something else than what a view has decided at sight"
    return ""


def _entry(round: int, author: int, twin: int, vote: Entry | None, parents: Parents = ()) -> Entry:
    """A vertex of which only the vote in the slot, and the links, matter."""
    entry = Entry(make_vertex(round, author, twin=twin), [], [], SIZE)
    entry.parents, entry.links = list(parents), list(parents)
    if vote is not None:
        entry.support[VOTE_DEPTH - 1][FAULTY] = vote
    return entry
