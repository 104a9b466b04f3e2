"""The store: links, waiting vertices, twins, the floor."""

from ordering.dags import full_round, make_vertex

from octra.consensus import limits
from octra.consensus.dag.store import Store
from octra.consensus.vertex import Vertex

N, Q = 4, 3


def _store(*layers: list[Vertex]) -> Store:
    store = Store(N, Q)
    for layer in layers:
        for vertex in layer:
            store.receive(vertex)
    return store


def _layers(count: int) -> list[list[Vertex]]:
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layers.append(full_round(layers[-1] if layers else [], N))
    return layers


def test_a_vertex_waits_for_its_links_and_all_waiters_follow() -> None:
    layers = _layers(4)
    store = _store(layers[0][1:], layers[1], layers[2], layers[3])
    assert len(store.entries) == 3
    assert len(store.waiting) == 12
    inserted = store.receive(layers[0][0])
    assert len(inserted) == 13
    assert not store.waiting
    assert [entry.round for entry in inserted] == sorted(entry.round for entry in inserted)


def test_arrival_order_does_not_change_support() -> None:
    layers = _layers(5)
    forward, backward = _store(*layers), Store(N, Q)
    for layer in reversed(layers):
        for vertex in reversed(layer):
            backward.receive(vertex)
    for id, entry in forward.entries.items():
        other = backward.entries[id]
        for row, twin_row in zip(entry.support, other.support, strict=True):
            assert [e and e.id for e in row] == [e and e.id for e in twin_row]


def test_an_id_that_resolves_to_another_author_or_round_is_missing() -> None:
    layers = _layers(2)
    store = _store(layers[0])
    stranger = make_vertex(1, 3)
    for wrong in (
        make_vertex(2, 0, [layers[0][0], layers[0][1], _renamed(stranger, author=2)], twin=1),
        make_vertex(3, 0, layers[1][:3], weak=[_renamed(layers[1][3], round=1)], twin=2),
    ):
        for vertex in layers[1]:
            store.receive(vertex)
        assert store.receive(wrong) == []
        assert wrong.id in store.waiting
        assert len(store.missing(wrong)) == 1


def _renamed(vertex: Vertex, *, author: int | None = None, round: int | None = None) -> Vertex:
    other = make_vertex(vertex.round if round is None else round, vertex.author if author is None else author)
    return Vertex(vertex.id, other.header, other.body, b"", b"", b"")


def test_a_mismatched_link_is_satisfied_once_the_floor_reaches_it() -> None:
    layers = _layers(4)
    store = _store(*layers)
    ghost = _renamed(make_vertex(2, 3), author=2)
    vertex = make_vertex(4, 0, layers[2][:3], weak=[_renamed(ghost, author=1)], twin=1)
    assert store.receive(vertex) == []
    assert store.raise_floor(1) == []
    ready = store.raise_floor(2)
    assert ready == [vertex]
    assert [entry.id for entry in store.receive(vertex)] == [vertex.id]


def test_raising_the_floor_drops_entries_and_waiters_below() -> None:
    layers = _layers(6)
    store = _store(*layers)
    late = make_vertex(3, 1, [make_vertex(2, 0, twin=9), *layers[1][1:]], twin=1)
    store.receive(late)
    assert late.id in store.waiting
    store.raise_floor(3)
    assert late.id not in store.waiting
    assert sorted({entry.round for entry in store.entries.values()}) == [4, 5, 6]
    assert store.raise_floor(3) == []
    assert store.raise_floor(2) == []
    assert store.floor == 3


def test_a_vertex_just_above_the_floor_needs_no_parents() -> None:
    layers = _layers(5)
    store = Store(N, Q)
    store.raise_floor(3)
    for vertex in layers[3]:
        assert len(store.receive(vertex)) == 1
    assert store.quorum_round == 4
    assert len(store.receive(layers[4][0])) == 1


def test_two_twins_are_stored_and_a_third_only_when_linked_to() -> None:
    one = _layers(1)[0]
    store = _store(one)
    twins = [make_vertex(1, 3, twin=t) for t in (1, 2)]
    assert store.has_room(twins[0])
    store.receive(twins[0])
    assert not store.has_room(twins[1])
    linker = make_vertex(2, 0, [one[0], one[1], twins[1]])
    store.receive(linker)
    assert store.has_room(twins[1])
    assert [entry.id for entry in store.receive(twins[1])] == [twins[1].id, linker.id]


def test_the_number_of_waiting_vertices_is_bounded() -> None:
    store = Store(N, Q)
    bound = N * limits.AHEAD_ROUNDS * limits.TWINS_STORED
    kept = 0
    for round in range(2, 400):
        for author in range(N):
            vertex = make_vertex(round, author, [make_vertex(round - 1, a, twin=7) for a in range(3)])
            if store.has_room(vertex):
                store.receive(vertex)
                kept += 1
    assert kept == len(store.waiting) <= bound + N * limits.AHEAD_ROUNDS


def test_twins_waiting_for_links_prove_equivocation_too() -> None:
    store = Store(N, Q)
    first = make_vertex(2, 1, [make_vertex(1, a) for a in range(3)])
    second = make_vertex(2, 1, [make_vertex(1, a) for a in (1, 2, 3)], twin=1)
    store.receive(first)
    assert store.other_vertex(second) == first
    assert store.other_vertex(first) is None


def test_the_quorum_round_is_the_highest_with_q_authors_whatever_lies_between() -> None:
    layers = _layers(3)
    store = _store(layers[0], layers[1][:2])
    assert store.quorum_round == 1
    store.receive(layers[1][2])
    assert store.quorum_round == 2
    twin = make_vertex(3, 0, layers[1][:3], twin=1)
    store.receive(make_vertex(3, 0, layers[1][:3]))
    store.receive(twin)
    store.receive(make_vertex(3, 1, layers[1][:3]))
    assert store.quorum_round == 2  # two authors, three vertices
