"""Hand-made and random DAGs without a network, and what the rule decides on causally closed views of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from octra.consensus.dag import rule
from octra.consensus.dag.order import Ordering
from octra.consensus.dag.rule import Decisions, Slot
from octra.consensus.dag.store import Entry, Store
from octra.consensus.effects import CommitDraft
from octra.consensus.limits import DECIDE_DEPTH, VOTE_DEPTH
from octra.consensus.vertex import BatchRef, Execution, ParentLink, Vertex, VertexBody, VertexHeader, WeakLink
from octra.crypto.hash import H

_ZEROS = bytes(32)
_EXECUTION = Execution(0, _ZEROS)


def make_vertex(
    round: int,
    author: int,
    parents: Iterable[Vertex] = (),
    weak: Iterable[Vertex] = (),
    *,
    twin: int = 0,
    time_ms: int = 0,
    batches: Iterable[BatchRef] = (),
    attested: Iterable[bytes] = (),
    evidence: Iterable[bytes] = (),
) -> Vertex:
    """A vertex for the rule: unsigned, its id tells round, author and twin."""
    id = round.to_bytes(4, "big") + bytes([author, twin]) + H("sim.vertex", bytes([author, twin]))[:26]
    header = VertexHeader(1, _ZEROS, author, round, _ZEROS, 0, _ZEROS, _ZEROS, time_ms)
    body = VertexBody(
        parents=tuple(ParentLink(parent.author, parent.id) for parent in parents),
        weak=tuple(WeakLink(link.round, link.author, link.id) for link in weak),
        batches=tuple(batches),
        attested=tuple(sorted(attested)),
        execution=_EXECUTION,
        evidence=tuple(evidence),
    )
    return Vertex(id, header, body, b"", b"", b"")


def full_round(below: Sequence[Vertex], size: int, *, skip: Iterable[int] = ()) -> list[Vertex]:
    """One vertex per author (but `skip`) that links to everything in the round below, own first."""
    round = below[0].round + 1 if below else 1
    return [
        make_vertex(round, author, sorted(below, key=lambda vertex: vertex.author != author))
        for author in range(size)
        if author not in set(skip)
    ]


def insert_all(size: int, vertices: Iterable[Vertex], random: Random | None = None) -> Store:
    """A store that holds the vertices, which must be causally closed; those of a round come by id, or in any order."""
    store = Store(size, size - (size - 1) // 3)
    for vertex in sorted(vertices, key=lambda vertex: (vertex.round, random.random() if random else vertex.id)):
        store.receive(vertex)
    assert not store.waiting
    return store


def decisions_of(store: Store, leaders: Mapping[int, tuple[int, ...]]) -> dict[Slot, bytes | None]:
    """What is decided on a store when the coins of `leaders` are known: vertex id, or None for skip."""
    decisions: Decisions = {}
    rule.decide(store, leaders, decisions, Slot(1, 0), None)
    return {slot: leader.id if leader else None for slot, leader in decisions.items()}


def blocks_of(store: Store, leaders: Mapping[int, tuple[int, ...]]) -> list[CommitDraft]:
    """The blocks that the decided prefix gives."""
    decisions: Decisions = {}
    rule.decide(store, leaders, decisions, Slot(1, 0), None)
    prefix, _ = rule.output(leaders, decisions, Slot(1, 0))
    ordering = Ordering((store.size - 1) // 3, 0)
    drafts = []
    for slot, leader in prefix:
        if leader is not None:
            after = rule.slot_after(slot, len(leaders[slot.round]))
            drafts.append(ordering.commit(store, leader, after, _ZEROS))
    return drafts


def closed(tips: Iterable[Vertex], known: Mapping[bytes, Vertex]) -> list[Vertex]:
    """The tips and everything below them."""
    seen = {tip.id: tip for tip in tips}
    queue = list(seen.values())
    for vertex in queue:  # grows while we walk
        for link in (*vertex.body.parents, *vertex.body.weak):
            if link.id not in seen:
                seen[link.id] = known[link.id]
                queue.append(known[link.id])
    return queue


@dataclass
class FuzzResult:
    """How many DAGs were tried, and the seeds on which two views disagree."""

    dags: int = 0
    decisions: int = 0
    bad: list[int] = field(default_factory=list)


def fuzz(kind: str, seeds: Iterable[int], size: int) -> FuzzResult:
    """Random valid DAGs with equivocators; all causally closed views must decide every slot alike and cut equal blocks."""
    result = FuzzResult()
    grow = {"wide": _grow_wide, "intent": _grow_intent}[kind]
    for seed in seeds:
        random = Random(f"{kind} {size} {seed}")
        layers, leaders = grow(random, size)
        result.dags += 1
        views = _views(random, layers, size)
        decided: dict[Slot, bytes | None] = {}
        chains: list[list[CommitDraft]] = []
        agree = True
        for view in views:
            store = insert_all(size, view, random)
            for slot, leader in decisions_of(store, leaders).items():
                result.decisions += 1
                agree &= decided.setdefault(slot, leader) == leader
            if agree:
                chains.append(blocks_of(store, leaders))
        longest = max(chains, key=len, default=[])
        agree &= all(chain == longest[: len(chain)] for chain in chains)
        if not agree:
            result.bad.append(seed)
    return result


def _views(random: Random, layers: list[list[Vertex]], size: int) -> list[list[Vertex]]:
    """Causally closed parts of the DAG, each seen from a few random tips near its own end."""
    known = {vertex.id: vertex for layer in layers for vertex in layer}
    last = len(layers)
    views = []
    for _ in range(6):
        end = random.randint(DECIDE_DEPTH + 2, last)
        share = random.choice((0.15, 0.3, 0.6, 1.0))
        tips = [v for layer in layers[max(0, end - 3) : end] for v in layer if random.random() < share]
        views.append(closed(tips or layers[-1], known))
    return views


def _grow_wide(random: Random, size: int) -> tuple[list[list[Vertex]], dict[int, tuple[int, ...]]]:
    """Each round starves one author, mostly a leader; the faulty seats make one to three vertices of any parents.

    Some vertices link weakly to older ones, covered or not: that gives support, but never a vote.
    """
    faults = (size - 1) // 3
    quorum = size - faults
    faulty = set(random.sample(range(size), max(1, faults)))
    rounds = 11
    leaders = {round: tuple(random.sample(range(size), min(2, size))) for round in range(1, rounds + 1)}
    layers = [[make_vertex(1, a, twin=t) for a in range(size) for t in range(_twins(random, a in faulty))]]
    for round in range(2, rounds + 1):
        by_author = _by_author(layers[-1])
        victim = random.choice(leaders[round - 1]) if random.random() < 0.8 else random.randrange(size)
        layer = []
        for author in range(size):
            for twin in range(_twins(random, author in faulty)):
                wanted = [other for other in by_author if other != victim or random.random() < 0.25]
                random.shuffle(wanted)
                count = quorum if random.random() < 0.7 else random.randint(quorum, len(by_author))
                chosen = wanted[:count] if len(wanted) >= quorum else random.sample(sorted(by_author), quorum)
                if author not in chosen and author in by_author:
                    chosen[-1] = author
                older = [vertex for layer in layers[max(0, round - 5) : -1] for vertex in layer]
                weak = random.sample(older, random.choice((0, 0, 1, 2))) if round > 2 else []
                layer.append(_pick(random, round, author, twin, chosen, by_author, weak))
        layers.append(layer)
    return layers, leaders


def _grow_intent(random: Random, size: int) -> tuple[list[list[Vertex]], dict[int, tuple[int, ...]]]:
    """One target slot: each vertex tries to support or avoid it, to certify it or not, to carry its certificate or not.

    Few supporters one round above, more after two, about half after three: the area where thresholds matter. Twins
    of the faulty seats take opposite sides.
    """
    faults = (size - 1) // 3
    quorum, rounds = size - faults, 12
    faulty = set(random.sample(range(size), max(1, faults)))
    leaders = {round: tuple(random.sample(range(size), 2)) for round in range(1, rounds + 1)}
    target = random.randint(1, 2)
    author_aimed = random.choice(leaders[target])
    sparse = random.random() < 0.6
    wish = {
        target + 1: random.choice((0.0, 0.1, 0.25)) if sparse else 0.7,
        target + 2: random.choice((0.1, 0.25, 0.4)) if sparse else 0.7,
        target + 3: random.choice((0.35, 0.5, 0.65)) if sparse else 0.7,
        target + 4: random.choice((0.3, 0.5, 0.7)),
    }
    carry = random.choice((0.15, 0.3, 0.5))
    store = Store(size, quorum)
    carries: dict[bytes, bool] = {}
    layers = [[make_vertex(1, a, twin=t) for a in range(size) for t in range(_twins(random, a in faulty))]]
    for vertex in layers[0]:
        store.receive(vertex)
    for round in range(2, rounds + 1):
        by_author = _by_author(layers[-1])
        layer = []
        for author in range(size):
            base = random.random() < wish.get(round, carry)
            for twin in range(_twins(random, author in faulty)):
                want = base if twin == 0 or random.random() < 0.2 else not base
                vertex = None
                for _ in range(1 if round <= target else 10):
                    count = quorum if random.random() < 0.7 else random.randint(quorum, len(by_author))
                    others = [other for other in by_author if other != author]
                    random.shuffle(others)
                    chosen = [author, *others[: count - 1]]
                    vertex = _pick(random, round, author, twin, chosen, by_author)
                    if round <= target or _serves(store, vertex, target, author_aimed, carries) == want:
                        break
                assert vertex is not None
                if round > target:
                    carries[vertex.id] = _serves(store, vertex, target, author_aimed, carries)
                layer.append(vertex)
        for vertex in layer:
            store.receive(vertex)
        layers.append(layer)
    return layers, leaders


def _serves(store: Store, vertex: Vertex, target: int, author: int, carries: dict[bytes, bool]) -> bool:
    """Does the vertex support, certify or carry the certificate of the target slot, as its round asks?"""
    parents = [store.entries[link.id] for link in vertex.body.parents]
    if vertex.round > target + DECIDE_DEPTH:
        return any(carries[parent.id] for parent in parents)
    entry = Entry(vertex, parents, [], store.size)
    if vertex.round == target + DECIDE_DEPTH:
        return rule.certified(entry, author, store.quorum) is not None
    return vertex.round <= target + VOTE_DEPTH and entry.supported(target, author) is not None


def _by_author(layer: list[Vertex]) -> dict[int, list[Vertex]]:
    found: dict[int, list[Vertex]] = {}
    for vertex in layer:
        found.setdefault(vertex.author, []).append(vertex)
    return found


def _pick(
    random: Random,
    round: int,
    author: int,
    twin: int,
    chosen: Sequence[int],
    by_author: dict[int, list[Vertex]],
    weak: Iterable[Vertex] = (),
) -> Vertex:
    """A vertex whose parents are one version of each chosen author, own first, the others in any order."""
    order = sorted(chosen, key=lambda other: (other != author, random.random()))
    return make_vertex(round, author, [random.choice(by_author[other]) for other in order], weak, twin=twin)


def _twins(random: Random, faulty: bool) -> int:
    return random.choice((1, 2, 2, 3)) if faulty else 1
