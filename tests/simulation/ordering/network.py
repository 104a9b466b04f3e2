"""What the links of a run do: how long a message takes, and which links are down when."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from ordering.scenario import Cut

from octra.consensus import coin
from octra.consensus.dag.rule import certified
from octra.consensus.limits import DECIDE_DEPTH, VOTE_DEPTH
from octra.consensus.vertex import Vertex

if TYPE_CHECKING:
    from ordering.world import World

Delay = Callable[["World", int, int, Vertex | None], int]  # source, target, the vertex if it is one -> milliseconds
CALM_MS = (3, 30)  # delays once all faults have ended


def _between(low: int, high: int) -> Delay:
    return lambda world, source, target, vertex: world.random.randrange(low, high)


def _wide_area(world: World, source: int, target: int, vertex: Vertex | None) -> int:
    return world.distance[source][target] + world.random.randrange(20)


def _heavy_tail(world: World, source: int, target: int, vertex: Vertex | None) -> int:
    random = world.random
    tail = random.paretovariate(1.2) * 60 if random.random() < 0.15 else 0
    return min(3_000, int(random.expovariate(1 / 25) + tail)) + 1


def _retransmission(world: World, source: int, target: int, vertex: Vertex | None) -> int:
    """A quarter of all packets is lost, and sent again after a doubling pause."""
    random, delay, pause = world.random, world.random.randrange(5, 40), 120
    while random.random() < 0.25 and pause < 1_000:
        delay, pause = delay + pause, 2 * pause
    return delay


def _starve_some(world: World, source: int, target: int, vertex: Vertex | None) -> int:
    """A moving third is late to most."""
    size, faults = world.scenario.size, world.faults
    late = vertex is not None and (vertex.author * 7 + vertex.round * 5) % size < max(1, faults)
    return world.random.randrange(5, 40) + (250 if late and not _is_near(world, source, target) else 0)


def _aim(shares: Callable[[int, int], int]) -> Delay:
    """Starve the leaders of a round as soon as so many (of n, f) of its coin shares have been shown to anybody.

    Before the vertices of the next four rounds exist, that is the leader's own vertex; later, the votes and
    certificates for it of f + 1 authors, without whom the other seats have no quorum of them.
    """

    def delay(world: World, source: int, target: int, vertex: Vertex | None) -> int:
        needed = shares(world.scenario.size, world.faults)
        late = vertex is not None and not _is_near(world, source, target) and _helps_leader(world, vertex, needed)
        return world.random.randrange(5, 40) + (400 if late else 0)

    return delay


def _helps_leader(world: World, vertex: Vertex, shares: int) -> bool:
    if vertex.author in _known_leaders(world, vertex.round, shares):
        return True
    entry = world.nodes[vertex.author].state.store.entries.get(vertex.id)
    if entry is None or (vertex.author - vertex.round) % world.scenario.size > world.faults:
        return False
    voted = _known_leaders(world, vertex.round - VOTE_DEPTH, shares)
    certifiable = _known_leaders(world, vertex.round - DECIDE_DEPTH, shares)
    return any(entry.supported(vertex.round - VOTE_DEPTH, leader) for leader in voted) or any(
        certified(entry, leader, world.keys.committee.quorum) for leader in certifiable
    )


def _known_leaders(world: World, round: int, shares: int) -> tuple[int, ...]:
    if round < 1 or len(world.shown.get(round + DECIDE_DEPTH, ())) < shares:
        return ()
    committee = world.keys.committee
    return coin.leaders(coin.coin_value(world.keys.signature(round)), committee.size, committee.slots)


def _is_near(world: World, source: int, target: int) -> bool:
    return (target - source) % world.scenario.size <= world.faults


DELAYS: dict[str, Delay] = {
    "uniform": _between(3, 60),
    "local": _between(1, 10),
    "reorder": _between(2, 350),
    "wide_area": _wide_area,
    "heavy_tail": _heavy_tail,
    "retransmission": _retransmission,
    "starve_some": _starve_some,
    "starve_leaders": _aim(lambda size, faults: 0),
    "aim_after_1_share": _aim(lambda size, faults: 1),
    "aim_after_f_plus_1_shares": _aim(lambda size, faults: faults + 1),
    "aim_after_q_shares": _aim(lambda size, faults: size - faults),
}


# --- links that are down ---


def one_way(random: Random, size: int, end_ms: int) -> tuple[Cut, ...]:
    """Half of the seats cannot be heard by the others, who can be heard."""
    left, right = _parts(random, size, size // 2)
    return (Cut(200, end_ms, left, right, one_way=True),)


def split_off_f(random: Random, size: int, end_ms: int) -> tuple[Cut, ...]:
    """f seats on one side, the quorum on the other."""
    left, right = _parts(random, size, (size - 1) // 3)
    return (Cut(200, end_ms, left, right, one_way=False),)


def split_in_halves(random: Random, size: int, end_ms: int) -> tuple[Cut, ...]:
    """No side has a quorum."""
    left, right = _parts(random, size, size // 2)
    return (Cut(200, end_ms, left, right, one_way=False),)


def ring(random: Random, size: int, end_ms: int) -> tuple[Cut, ...]:
    """Each seat has links to two others only."""
    order = random.sample(range(size), size)
    cuts = []
    for place, seat in enumerate(order):
        near = {seat, order[place - 1], order[(place + 1) % size]}
        cuts.append(Cut(200, end_ms, frozenset({seat}), frozenset(range(size)) - near, one_way=True))
    return tuple(cuts)


def flapping(random: Random, size: int, end_ms: int) -> tuple[Cut, ...]:
    """Every 150 ms another partition; between two of them all links are up for a moment."""
    cuts = []
    for start in range(200, end_ms - 150, 150):
        left, right = _parts(random, size, random.randrange(1, size))
        cuts.append(Cut(start, start + random.randrange(80, 150), left, right, one_way=random.random() < 0.3))
    return tuple(cuts)


def eclipse(random: Random, size: int, end_ms: int, faulty: frozenset[int]) -> tuple[Cut, ...]:
    """One honest seat hears nobody but the faulty ones."""
    victim = random.choice([seat for seat in range(size) if seat not in faulty])
    others = frozenset(range(size)) - faulty - {victim}
    return (Cut(200, end_ms, frozenset({victim}), others, one_way=False),)


def _parts(random: Random, size: int, left: int) -> tuple[frozenset[int], frozenset[int]]:
    seats = random.sample(range(size), size)
    return frozenset(seats[:left]), frozenset(seats[left:])
