"""Twins (arXiv 2004.10617) for four seats: seat 0 runs twice under one key, and each round parts the five instances.

A partition splits the instances in two sides. What the own side sent arrives at once; what the other side sent arrives
after the next vertex is made, unless the own side has too few authors to go on. Partitions are enumerated, not drawn.

`explore_rule` leaves nothing out. A slot depends only on the four partitions behind it: what went before decides
nothing about who supports whom, and what comes after is covered by taking every view and every possible anchor. So all
sequences of four, with every seat as the leader, stand for all 16^8 sequences of eight rounds and all leaders.
`explore_cores` runs the whole core, with shunning, weak links and blocks, through eight rounds and a heal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations, count, permutations, product

from ordering.dags import make_vertex
from ordering.exhaustive import Findings, contradiction
from ordering.world import HashKeys

from octra.codec import encode
from octra.consensus import coin
from octra.consensus.dag import rule
from octra.consensus.dag.core import DagState, OrderingParams, step
from octra.consensus.dag.store import Entry, Store
from octra.consensus.effects import Broadcast, CombineCoin, Commit, FetchVertices, Propose
from octra.consensus.epoch import Pace
from octra.consensus.events import CoinRevealed, Event, Executed, OwnVertexDurable, Ticked, VertexReceived
from octra.consensus.limits import DECIDE_DEPTH, VOTE_DEPTH, WAVE
from octra.consensus.vertex import Vertex, seal_vertex

SIZE, QUORUM = 4, 3
SEATS = (0, 0, 1, 2, 3)  # of the instances
INSTANCES = range(len(SEATS))
PARTITIONS = tuple(frozenset({0, *others}) for size in range(5) for others in combinations(INSTANCES[1:], size))
Partition = frozenset[int]  # the side of instance 0; the others are the other side
SLOT_ROUND = 1
ROUNDS = 8  # under partitions
HEALED = 8  # rounds after them


def sequences(length: int) -> Iterator[tuple[Partition, ...]]:
    """All sequences of partitions, one for each set that renaming the three honest seats makes equal."""
    renamings = [dict(zip(INSTANCES[2:], names, strict=True)) for names in permutations(INSTANCES[2:])]
    numbers = {partition: number for number, partition in enumerate(PARTITIONS)}
    tables = [
        [numbers[frozenset(renaming.get(one, one) for one in partition)] for partition in PARTITIONS]
        for renaming in renamings
    ]
    for sequence in product(range(len(PARTITIONS)), repeat=length):
        if all(sequence <= tuple(table[number] for number in sequence) for table in tables):
            yield tuple(PARTITIONS[number] for number in sequence)


# --- the rule -------------------------------------------------------------------------------------------------------


def explore_rule(stride: int = 1, *, stop: bool = False) -> Findings:
    """Every view of every sequence (of each `stride`-th one), with every seat as leader; or up to the first problem."""
    findings = Findings()
    grown: list[tuple[Partition, list[Entry]]] = []  # the layers above the first, shared by sequences that begin alike
    for number, sequence in enumerate(sequences(DECIDE_DEPTH)):
        if number % stride:
            continue
        if stop and findings.problems:
            break
        while any(partition != wanted for (partition, _), wanted in zip(grown, sequence, strict=False)):
            grown.pop()
        for partition in sequence[len(grown) :]:
            grown.append((partition, _grow([_first(), *(layer for _, layer in grown)], partition)))
        findings.patterns += 1
        layers = [_first(), *(layer for _, layer in grown)]
        for author in range(SIZE):
            problem = contradiction(set(_decide(layers, author, findings)), _anchors_say(layers[-1], author))
            if problem:
                findings.problems.append(f"sequence {number}, leader {author}: {problem}")
    return findings


@lru_cache(maxsize=1)
def _first() -> list[Entry]:
    return [Entry(_vertex(SLOT_ROUND, instance), [], [], SIZE) for instance in INSTANCES]


@cache
def _vertex(round: int, instance: int) -> Vertex:
    return make_vertex(round, SEATS[instance], twin=instance)


def _grow(layers: Sequence[list[Entry]], partition: Partition) -> list[Entry]:
    """The next layer: parents as they arrive, own first; older vertices that they do not cover by weak links."""
    below = layers[-1]
    layer: list[Entry] = []
    for instance in INSTANCES:
        side = [other for other in INSTANCES if (other in partition) == (instance in partition)]
        arrived = sorted(side, key=lambda other: other != instance)
        if len({SEATS[other] for other in side}) < QUORUM:
            arrived += [other for other in INSTANCES if other not in side]
        parents: dict[int, Entry] = {}  # by author, the first that arrives
        for other in arrived:
            parents.setdefault(SEATS[other], below[other])
        covered = _cone(list(parents.values()))
        weak = [entry for older in layers[:-1] for entry in older if entry.id not in covered]
        layer.append(Entry(_vertex(below[0].round + 1, instance), list(parents.values()), weak, SIZE))
    return layer


def _cone(tops: Sequence[Entry]) -> dict[bytes, Entry]:
    cone = {entry.id: entry for entry in tops}
    queue = list(tops)
    for entry in queue:  # grows while we walk
        for link in entry.links:
            if link.id not in cone:
                cone[link.id] = link
                queue.append(link)
    return cone


def _decide(layers: Sequence[list[Entry]], author: int, findings: Findings) -> Iterator[bytes | None]:
    """What views decide at sight: of some certifiers with all below them, of some voters, and of both."""
    voters, certifiers = layers[VOTE_DEPTH], layers[DECIDE_DEPTH]
    for above in _all_subsets(certifiers):
        cone = _cone(above)
        needed = tuple(entry for entry in voters if entry.id in cone)
        for below in dict.fromkeys((needed, tuple(voters))) if above else _all_subsets(voters):
            store = Store(SIZE, QUORUM)
            store.rounds = {
                SLOT_ROUND: _by_author(layers[0]),
                SLOT_ROUND + VOTE_DEPTH: _by_author(below),
                SLOT_ROUND + DECIDE_DEPTH: _by_author(above),
            }
            findings.views += 1
            done, leader = rule.decide_directly(store, SLOT_ROUND, author)
            if done:
                findings.decisions += 1
                yield leader and leader.id


def _anchors_say(certifiers: Sequence[Entry], author: int) -> set[bytes | None]:
    said = set()
    for group in _all_subsets(certifiers):
        if QUORUM <= len({entry.author for entry in group}) == len(group):
            anchor = Entry(make_vertex(SLOT_ROUND + WAVE, 1), list(group), [], SIZE)
            leader = rule.decide_by_anchor(SLOT_ROUND, author, anchor, QUORUM)
            said.add(leader and leader.id)
    return said


def _all_subsets(entries: Sequence[Entry]) -> list[tuple[Entry, ...]]:
    return [group for size in range(len(entries) + 1) for group in combinations(entries, size)]


def _by_author(entries: Sequence[Entry]) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.author, []).append(entry)
    return found


# --- the core -------------------------------------------------------------------------------------------------------

KEYS = HashKeys(7, SIZE)
GENESIS = (b"g" * 32, b"s" * 32)
STEP_MS = 1_000  # longer than any pause of the core
PAIRS = tuple(permutations(range(SIZE), 2))  # the leaders that a round can have


@cache
def _signature_of(pair: tuple[int, int]) -> bytes:
    """A coin that draws these leaders: found by trying."""
    tried = (number.to_bytes(48, "big") for number in count())
    return next(one for one in tried if coin.leaders(coin.coin_value(one), SIZE, len(pair)) == pair)


def explore_cores(stride: int = 1, *, stop: bool = False) -> Findings:
    """Each partition of a sequence holds for two rounds; leaders go round with the number of the sequence."""
    findings = Findings()
    for number, sequence in enumerate(sequences(ROUNDS // 2)):
        if number % stride:
            continue
        if stop and findings.problems:
            break
        instances = run_cores([partition for partition in sequence for _ in range(2)], number)
        findings.patterns += 1
        honest = instances[2:]
        findings.views += len(honest)
        findings.decisions += sum(len(instance.blocks) for instance in honest)
        longest = max((instance.blocks for instance in honest), key=len)
        if any(instance.blocks != longest[: len(instance.blocks)] for instance in honest):
            findings.problems.append(f"sequence {number}: honest seats order differently")
        if min(len(instance.blocks) for instance in honest) < HEALED:
            findings.problems.append(f"sequence {number}: too few blocks after the heal")
    return findings


def run_cores(partitions: Sequence[Partition], first_pair: int) -> list[Instance]:
    """Eight rounds under partitions, then rounds with all together; returns the five instances."""
    everything: dict[bytes, Vertex] = {}
    instances = [Instance(number, everything, first_pair) for number in INSTANCES]
    late: list[tuple[Instance, Vertex]] = []
    for round in range(ROUNDS + HEALED):
        partition = partitions[round] if round < len(partitions) else frozenset(INSTANCES)
        for instance in instances:
            instance.tick(round)
        for target, vertex in late:
            target.receive(vertex)
        sent = [(instance, vertex) for instance in instances for vertex in instance.take_sent()]
        late = []
        for target in instances:
            for sender, vertex in sent:
                if (sender.number in partition) == (target.number in partition):
                    target.receive(vertex)
                else:
                    late.append((target, vertex))
    return instances


class Instance:
    """One running core of a seat, with a network that answers at once and a coin whose leaders are given."""

    def __init__(self, number: int, everything: dict[bytes, Vertex], first_pair: int) -> None:
        self.number, self.seat = number, SEATS[number]
        self.state = DagState.create(KEYS.committee, self.seat, OrderingParams(1_000, Pace(1, 1)))
        self.blocks: list[bytes] = []
        self._everything, self._first_pair = everything, first_pair
        self._sent: list[Vertex] = []
        self._feed(Executed(0, *GENESIS))

    def tick(self, round: int) -> None:
        """Let time pass, a little differently for each, so that twins differ at least by their clocks."""
        self._feed(Ticked(10_000 + STEP_MS * round + self.number))

    def take_sent(self) -> list[Vertex]:
        """What the core has broadcast since the last call."""
        sent, self._sent = self._sent, []
        return sent

    def receive(self, vertex: Vertex) -> None:
        """A vertex arrives."""
        self._feed(VertexReceived(vertex, KEYS.committee.seats[vertex.author]))

    def _feed(self, event: Event) -> None:
        queue = [event]
        for fact in queue:  # grows while we walk
            self.state, effects = step(self.state, fact)
            for effect in effects:
                match effect:
                    case Propose(header, body):
                        share = KEYS.share(self.seat, effect.coin_round) if effect.coin_round else b""
                        queue.append(OwnVertexDurable(seal_vertex(header, body, share, lambda _: bytes(64))))
                    case Broadcast(vertex):
                        self._everything[vertex.id] = vertex
                        self._sent.append(vertex)
                    case FetchVertices(peer, ids):
                        queue += [VertexReceived(self._everything[id], peer) for id in ids]
                    case CombineCoin(round, _):
                        pair = PAIRS[(self._first_pair + 5 * round) % len(PAIRS)]
                        queue.append(CoinRevealed(round, _signature_of(pair)))
                    case Commit(draft):
                        self.blocks.append(encode(draft))
                    case _:
                        pass
