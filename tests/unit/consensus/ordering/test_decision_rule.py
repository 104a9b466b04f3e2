"""The rule, one hand-drawn DAG per clause; thresholds are asserted exactly."""

from itertools import combinations, product

import pytest
from ordering.dags import decisions_of, full_round, insert_all, make_vertex

from octra.consensus.dag import rule
from octra.consensus.dag.rule import Slot
from octra.consensus.dag.store import Store
from octra.consensus.vertex import Vertex

N, Q = 4, 3


def _rounds(count: int, size: int = N) -> list[list[Vertex]]:
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layers.append(full_round(layers[-1] if layers else [], size))
    return layers


def _flat(layers: list[list[Vertex]]) -> list[Vertex]:
    return [vertex for layer in layers for vertex in layer]


def _by(layer: list[Vertex], *authors: int) -> list[Vertex]:
    return [next(vertex for vertex in layer if vertex.author == author) for author in authors]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 10])
def test_a_full_dag_commits_both_slots_of_a_round_after_five_rounds(size: int) -> None:
    leaders = {1: (0, 1)[: min(2, size)]}
    five = insert_all(size, _flat(_rounds(5, size)))
    ids = [next(entry.id for entry in five.at(1) if entry.author == seat) for seat in leaders[1]]
    assert decisions_of(five, leaders) == {Slot(1, k): id for k, id in enumerate(ids)}
    assert decisions_of(insert_all(size, _flat(_rounds(4, size))), leaders) == {}


def test_nothing_is_decided_without_the_coin() -> None:
    assert decisions_of(insert_all(N, _flat(_rounds(9))), {}) == {}


def test_commit_needs_q_certificates_not_fewer() -> None:
    layers = _rounds(4)
    top = full_round(layers[3], N)
    for count in range(1, N + 1):
        decided = decisions_of(insert_all(N, [*_flat(layers), *top[:count]]), {1: (0, 1)})
        assert (Slot(1, 0) in decided) == (count >= Q)


def test_commit_needs_certificates_of_q_authors_however_many_twins_certify() -> None:
    layers = _rounds(4)
    top = full_round(layers[3], N)[:2]
    twins = [make_vertex(5, 0, layers[3], twin=twin) for twin in (1, 2, 3)]
    assert Slot(1, 0) not in decisions_of(insert_all(N, [*_flat(layers), *top, *twins]), {1: (0, 1)})


def test_a_silent_leader_is_skipped_by_q_blames_not_fewer() -> None:
    layers = [[vertex for vertex in _rounds(1)[0] if vertex.author != 3]]
    for _ in range(2):
        layers.append(full_round(layers[-1], N, skip=(3,)))
    voters = full_round(layers[-1], N, skip=(3,))
    for count in range(1, len(voters) + 1):
        decided = decisions_of(insert_all(N, [*_flat(layers), *voters[:count]]), {1: (3, 0)})
        assert (decided.get(Slot(1, 0), b"") is None) == (count >= Q)


def _with_votes(votes: list[bool]) -> tuple[list[Vertex], list[Vertex]]:
    """A DAG whose voters of round 4 support seat 3's vertex of round 1 or not, as told; and the voters."""
    one = _rounds(1)[0]
    leader = one[3]
    two = [make_vertex(2, a, _by(one, a, *[o for o in range(3) if o != a])) for a in range(3)]
    carrier = make_vertex(2, 3, _by(one, 3, 0, 1, 2))
    three_without = [make_vertex(3, a, _by(two, a, *[o for o in range(3) if o != a])) for a in range(3)]
    three_with = make_vertex(3, 3, [carrier, *two])
    below = [*one, *two, carrier, *three_without, three_with]
    voters = []
    for author, yes in enumerate(votes):
        parents = [three_with, *three_without[:2]] if yes else three_without
        voters.append(make_vertex(4, author, parents))
    assert leader.author == 3
    return below, voters


@pytest.mark.parametrize("votes", list(product((False, True), repeat=4)))
def test_a_certificate_needs_q_votes_among_its_parents(votes: tuple[bool, ...]) -> None:
    below, voters = _with_votes(list(votes))
    for chosen in (*combinations(range(4), 3), (0, 1, 2, 3)):
        top = make_vertex(5, 0, [voters[i] for i in chosen])
        store = insert_all(N, [*below, *voters, top])
        certificate = rule.certified(store.entries[top.id], 3, Q)
        assert (certificate is not None) == (sum(votes[i] for i in chosen) >= Q)


def test_votes_by_weak_links_never_certify() -> None:
    below, voters = _with_votes([True, True, False, False])
    supporter = next(vertex for vertex in below if (vertex.round, vertex.author) == (3, 3))
    top = make_vertex(5, 0, voters[:3], weak=[supporter])
    store = insert_all(N, [*below, *voters, top])
    assert rule.certified(store.entries[top.id], 3, Q) is None


def test_the_first_link_in_stored_order_decides_the_vote_between_twins() -> None:
    one = _rounds(1)[0]
    twin = make_vertex(1, 3, twin=1)
    left = make_vertex(2, 0, [one[0], one[1], one[3]])
    right = make_vertex(2, 1, [one[1], one[0], twin])
    third = make_vertex(2, 2, [one[2], one[0], one[1]])
    for parents, expected in (((left, right, third), one[3]), ((right, left, third), twin)):
        top = make_vertex(3, 0, parents)
        store = insert_all(N, [*one, twin, left, right, third, top])
        supported = store.entries[top.id].supported(1, 3)
        assert supported is not None
        assert supported.id == expected.id


def test_a_vote_counts_for_one_twin_even_if_both_lie_below_it() -> None:
    one = _rounds(1)[0]
    twin = make_vertex(1, 3, twin=1)
    two = [make_vertex(2, 0, [one[0], one[1], one[3]]), make_vertex(2, 1, [one[1], one[0], twin])]
    two.append(make_vertex(2, 2, [one[2], one[0], one[1]]))
    three = [make_vertex(3, a, [*_by(two, a), *_by(two, *(o for o in (1, 0, 2) if o != a))]) for a in range(3)]
    four = [make_vertex(4, a, [*_by(three, a), *_by(three, *(o for o in range(3) if o != a))]) for a in range(3)]
    top = make_vertex(5, 0, four)
    store = insert_all(N, [*one, twin, *two, *three, *four, top])
    votes = [store.entries[vertex.id].supported(1, 3) for vertex in four]
    assert [vote and vote.id for vote in votes] == [one[3].id, twin.id, twin.id]
    assert rule.certified(store.entries[top.id], 3, Q) is None


def test_own_parent_of_the_slot_round_wins_over_what_others_support() -> None:
    one = _rounds(1)[0]
    twin = make_vertex(1, 3, twin=1)
    base = [make_vertex(2, a, [one[a], *[one[o] for o in range(3) if o != a]]) for a in range(3)]
    weak = make_vertex(3, 0, base, weak=[twin])
    store = insert_all(N, [*one, twin, *base, weak])
    supported = store.entries[weak.id].supported(1, 3)
    assert supported is not None
    assert supported.id == twin.id  # nobody else supports one: the weak link does, for the order


def test_skip_needs_blames_of_q_authors_however_many_voters_or_twins_there_are() -> None:
    leaders = {1: (3, 0)}
    for votes in product((False, True), repeat=4):
        below, voters = _with_votes(list(votes))
        decided = decisions_of(insert_all(N, [*below, *voters]), leaders)
        assert (decided.get(Slot(1, 0), b"") is None) == (votes.count(False) >= Q)
    below, voters = _with_votes([True, False, False])
    twin_parents = [vertex for vertex in below if vertex.round == 3 and vertex.author != 3]
    twins = [make_vertex(4, 1, twin_parents, twin=twin) for twin in (1, 2)]
    decided = decisions_of(insert_all(N, [*below, *voters, *twins]), leaders)
    assert Slot(1, 0) not in decided  # four blaming vertices, two authors


def test_votes_for_one_twin_are_no_blame_because_another_twin_has_none() -> None:
    below, voters = _with_votes([True, True, True])
    late = [make_vertex(1, 3, twin=twin) for twin in (1, 200)]
    assert Slot(1, 0) not in decisions_of(insert_all(N, [*below, *late, *voters]), {1: (3, 0)})


def test_a_twin_cannot_make_a_slot_both_committed_and_skipped() -> None:
    """Mutant `skip when any twin has q non-votes` forks here: the late twin has no votes at all."""
    layers = _rounds(5)
    twin = make_vertex(1, 3, twin=1)
    with_twin = insert_all(N, [*_flat(layers), twin])
    assert decisions_of(with_twin, {1: (3, 0)})[Slot(1, 0)] == layers[0][3].id


def test_an_undecided_slot_follows_the_certificate_in_the_anchors_cone() -> None:
    below, voters = _with_votes([True, True, True, False])
    certifying = make_vertex(5, 0, [voters[0], voters[1], voters[2]])
    others = [make_vertex(5, a, [voters[a], voters[3], voters[(a + 1) % 3]]) for a in (1, 2, 3)]
    layer = [certifying, *others]
    with_it, without_it = [layer], [others]
    for stack in (with_it, without_it):
        for _ in range(5):
            stack.append(full_round(stack[-1], N, skip=() if stack is with_it else (0,)))
    leaders = {1: (3, 0), 6: (1, 2)}
    seen = decisions_of(insert_all(N, [*below, *voters, *_flat(with_it)]), leaders)
    unseen = decisions_of(insert_all(N, [*below, *voters, *_flat(without_it)]), leaders)
    assert seen[Slot(1, 0)] == make_vertex(1, 3).id
    assert unseen[Slot(1, 0)] is None


def test_an_undecided_slot_blocks_the_anchor_search() -> None:
    store = insert_all(N, _flat(_rounds(8)))
    leaders = {6: (0, 1), 7: (2, 3)}
    committed = next(store.at(7))
    assert rule.find_anchor(store, leaders, {Slot(7, 0): committed}, 1) is None
    assert rule.find_anchor(store, leaders, {Slot(6, 0): None, Slot(7, 0): committed}, 1) is None
    decisions: rule.Decisions = {Slot(6, 0): None, Slot(6, 1): None, Slot(7, 0): committed}
    assert rule.find_anchor(store, leaders, decisions, 1) is committed
    assert rule.find_anchor(store, {7: (2, 3)}, decisions, 1) is None  # the coin of round 6 is not known yet


def test_the_anchor_lies_at_least_five_rounds_above() -> None:
    store = insert_all(N, _flat(_rounds(8)))
    committed = next(store.at(5))
    leaders = dict.fromkeys(range(5, 8), (0, 1))
    assert rule.find_anchor(store, leaders, {Slot(5, 0): committed}, 1) is None


def test_output_stops_at_the_first_undecided_slot() -> None:
    leader = insert_all(N, _flat(_rounds(1))).entries[make_vertex(1, 0).id]
    leaders = {1: (0, 1), 2: (2, 3)}
    decisions: rule.Decisions = {Slot(1, 0): leader, Slot(1, 1): None, Slot(2, 1): None}
    prefix, after = rule.output(leaders, decisions, Slot(1, 0))
    assert prefix == [(Slot(1, 0), leader), (Slot(1, 1), None)]
    assert after == Slot(2, 0)


def test_decisions_are_the_same_whether_vertices_come_one_by_one_or_at_once() -> None:
    layers = _rounds(12)
    for layer in layers[4:8]:
        layer.pop(2)
    kept: list[list[Vertex]] = []
    for layer in layers:
        authors = [vertex.author for vertex in layer]
        kept.append(full_round(kept[-1] if kept else [], N, skip=[a for a in range(N) if a not in authors]))
    leaders = {round: ((round * 3) % 4, (round * 3 + 1) % 4) for round in range(1, 9)}
    store = Store(N, Q)
    decisions: rule.Decisions = {}
    for vertex in _flat(kept):
        for entry in store.receive(vertex):
            rule.decide(store, leaders, decisions, Slot(1, 0), {entry.round - 3, entry.round - 4})
    stepwise = {slot: entry.id if entry else None for slot, entry in decisions.items()}
    assert stepwise == decisions_of(insert_all(N, _flat(kept)), leaders)
    assert len(stepwise) == 16
