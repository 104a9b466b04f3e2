"""From decided leaders to blocks: sub-DAG order, void twins, maturity, expiry, time, digests."""

from collections.abc import Iterable

from ordering.dags import blocks_of, full_round, insert_all, make_vertex

from octra.consensus import limits
from octra.consensus.dag.order import Ordering
from octra.consensus.dag.rule import Slot
from octra.consensus.dag.store import Store
from octra.consensus.effects import CommitDraft, MaturedBatch
from octra.consensus.vertex import BatchRef, Vertex

N, Q = 4, 3
BATCH = BatchRef(b"b" * 32, 3, 500)


def _chain(count: int, special: Iterable[Vertex] = ()) -> list[list[Vertex]]:
    """Full rounds, with some vertices replaced by special ones of the same round and author."""
    wanted = {(vertex.round, vertex.author): vertex for vertex in special}
    layers: list[list[Vertex]] = []
    for _ in range(count):
        layer = full_round(layers[-1] if layers else [], N)
        layers.append([wanted.get((vertex.round, vertex.author), vertex) for vertex in layer])
    return layers


def _commit(store: Store, ordering: Ordering, id: bytes) -> CommitDraft:
    leader = store.entries[id]
    return ordering.commit(store, leader, Slot(leader.round, 1), bytes(32))


def _single(layers: list[list[Vertex]]) -> Store:
    return insert_all(N, [vertex for layer in layers for vertex in layer])


def test_a_block_holds_the_leaders_cone_sorted_by_round_author_and_id() -> None:
    layers = _chain(4)
    store, ordering = _single(layers), Ordering(1, 0)
    first = _commit(store, ordering, layers[2][1].id)
    assert [(v.round, v.author) for v in first.vertices] == [(r, a) for r in (1, 2) for a in range(N)] + [(3, 1)]
    second = _commit(store, ordering, layers[3][0].id)
    assert [(v.round, v.author) for v in second.vertices] == [(3, 0), (3, 2), (3, 3), (4, 0)]
    assert (first.height, second.height) == (1, 2)


def test_blocks_do_not_depend_on_the_order_in_which_vertices_came() -> None:
    layers = _chain(5)
    drafts = []
    for backwards in (False, True):
        store = Store(N, Q)
        for layer in layers:
            for vertex in sorted(layer, key=lambda vertex: vertex.author, reverse=backwards):
                store.receive(vertex)
        ordering = Ordering(1, 0)
        drafts.append([_commit(store, ordering, layers[round][1].id) for round in (1, 3, 4)])
    assert drafts[0] == drafts[1]


def test_a_vertex_64_rounds_below_its_leader_is_never_ordered() -> None:
    lone = make_vertex(1, 3)
    layers: list[list[Vertex]] = [full_round([], N)[:3]]
    while len(layers) < limits.GC_ROUNDS + 1:
        layers.append(full_round(layers[-1], N, skip=(3,)))
    reach = make_vertex(30, 3, layers[28], weak=[lone])
    for rounds, expected in ((limits.GC_ROUNDS, True), (limits.GC_ROUNDS + 1, False)):
        stack = [*layers[:29], [*layers[29], reach]]
        while len(stack) < rounds:
            stack.append(full_round(stack[-1], N, skip=(3,)))
        store = insert_all(N, [lone, *(v for layer in stack for v in layer)])
        draft = _commit(store, Ordering(1, 0), stack[-1][0].id)
        assert (lone.id in {v.id for v in draft.vertices}) == expected


def test_the_second_twin_in_the_order_is_void_and_its_content_ignored() -> None:
    one = full_round([], N)
    twin = make_vertex(1, 3, twin=1, batches=[BATCH], attested=[b"c" * 32])
    two = [make_vertex(2, 0, one), make_vertex(2, 1, [one[1], one[0], twin]), make_vertex(2, 2, one)]
    top = make_vertex(3, 0, two)
    store, ordering = insert_all(N, [*one, twin, *two, top]), Ordering(1, 0)
    draft = _commit(store, ordering, top.id)
    twins = [vertex for vertex in draft.vertices if (vertex.round, vertex.author) == (1, 3)]
    assert [vertex.void for vertex in twins] == [False, True]
    assert twins[0].id < twins[1].id
    assert BATCH.id not in ordering.batches


def test_a_twin_ordered_in_a_later_block_is_void() -> None:
    one = full_round([], N)
    twin = make_vertex(1, 3, twin=1)
    two = full_round(one, N)
    three = full_round(two, N)
    late = make_vertex(3, 1, two, weak=[twin], twin=1)
    four = make_vertex(4, 0, [three[0], late, three[2]])
    store, ordering = insert_all(N, [*one, twin, *two, *three, late, four]), Ordering(1, 0)
    _commit(store, ordering, three[0].id)
    draft = _commit(store, ordering, four.id)
    assert {vertex.id for vertex in draft.vertices if vertex.void} == {twin.id}


def test_a_batch_matures_when_reference_and_f_plus_1_seats_are_ordered() -> None:
    reference = make_vertex(1, 0, batches=[BATCH])
    layers = _chain(2, [reference])
    alone, with_one = Ordering(1, 0), Ordering(1, 0)
    store = _single(layers)
    assert _commit(store, alone, layers[1][1].id).batches == ()
    attesting = make_vertex(2, 1, [layers[0][1], *layers[0][2:], reference], attested=[BATCH.id], twin=1)
    store.receive(attesting)
    draft = _commit(store, with_one, attesting.id)
    assert draft.batches == (MaturedBatch(BATCH.id, 0, 3, 500),)


def test_attestations_before_the_reference_count_but_do_not_mature_alone() -> None:
    layers = _chain(1, [make_vertex(1, author, attested=[BATCH.id]) for author in (1, 2, 3)])
    two = full_round(layers[0], N)
    reference = make_vertex(2, 0, [layers[0][0], *layers[0][1:]], batches=[BATCH], twin=1)
    store, ordering = insert_all(N, [*layers[0], *two, reference]), Ordering(1, 0)
    assert _commit(store, ordering, two[1].id).batches == ()
    assert [batch.id for batch in _commit(store, ordering, reference.id).batches] == [BATCH.id]


def test_one_seat_attesting_twice_counts_once() -> None:
    layers = _chain(1, [make_vertex(1, 0, batches=[BATCH])])
    again = make_vertex(2, 0, layers[0], attested=[BATCH.id])
    store = insert_all(N, [*layers[0], again])
    assert _commit(store, Ordering(1, 0), again.id).batches == ()


def test_a_matured_batch_does_not_mature_again() -> None:
    layers = _chain(1, [make_vertex(1, 0, batches=[BATCH])])
    two = full_round(layers[0], N)
    two[1] = make_vertex(2, 1, layers[0], attested=[BATCH.id])
    three = [make_vertex(3, 0, two, batches=[BATCH]), make_vertex(3, 2, two, attested=[BATCH.id])]
    four = make_vertex(4, 0, [*three, make_vertex(3, 1, two)])
    store, ordering = insert_all(N, [*layers[0], *two, *three, make_vertex(3, 1, two), four]), Ordering(1, 0)
    assert len(_commit(store, ordering, two[1].id).batches) == 1
    assert _commit(store, ordering, four.id).batches == ()


def test_an_unattested_reference_expires_and_a_new_one_starts_afresh() -> None:
    layers = _chain(1, [make_vertex(1, 0, batches=[BATCH])])
    while len(layers) < limits.GC_ROUNDS + 2:
        layers.append(full_round(layers[-1], N))
    again = make_vertex(67, 0, layers[-1], batches=[BATCH])
    attest = make_vertex(67, 1, layers[-1], attested=[BATCH.id])
    three = [again, attest, make_vertex(67, 2, layers[-1])]
    top = make_vertex(68, 0, three)
    store, ordering = insert_all(N, [*(v for layer in layers for v in layer), *three, top]), Ordering(1, 0)
    _commit(store, ordering, layers[63][0].id)
    assert ordering.is_referenced(BATCH.id)
    _commit(store, ordering, layers[64][0].id)
    assert not ordering.is_referenced(BATCH.id)
    assert [batch.id for batch in _commit(store, ordering, top.id).batches] == [BATCH.id]


def test_commit_time_is_the_lower_median_of_the_parents_clocks_and_never_goes_back() -> None:
    one = [make_vertex(1, author, time_ms=time) for author, time in enumerate((5_000, 9_000, 7_000, 2**48 - 1))]
    two = [make_vertex(2, author, one, time_ms=6_000) for author in range(N)]
    three = [make_vertex(3, author, two[:3], time_ms=1) for author in range(N)]
    four = make_vertex(4, 0, three)
    store, ordering = insert_all(N, [*one, *two, *three, four]), Ordering(1, 100)
    times = [_commit(store, ordering, id).time_ms for id in (one[0].id, two[0].id, three[0].id, four.id)]
    assert times == [101, 7_000, 7_001, 7_002]


def test_evidence_is_carried_once_in_order() -> None:
    one = [make_vertex(1, 0, evidence=[b"x", b"y"]), make_vertex(1, 1, evidence=[b"y", b"a"]), make_vertex(1, 2)]
    top = make_vertex(2, 0, one)
    store = insert_all(N, [*one, top])
    assert _commit(store, Ordering(1, 0), top.id).evidence == (b"x", b"y", b"a")


def test_every_sixteenth_block_carries_a_digest_that_follows_the_ordered_past() -> None:
    leaders = {round: (round % 4, (round + 1) % 4) for round in range(1, 30)}
    plain = blocks_of(_single(_chain(24)), leaders)
    other = blocks_of(_single(_chain(24, [make_vertex(1, 2, batches=[BATCH])])), leaders)
    assert [draft.height for draft in plain if any(draft.ordering_id)] == [16, 32]
    assert plain[15].ordering_id != other[15].ordering_id


def test_restored_marks_and_batches_give_the_same_blocks() -> None:
    layers = _chain(20, [make_vertex(r, 0, full_round([], N)[:0], batches=[BATCH]) for r in (1,)])
    store = _single(layers)
    ids = [layers[round][round % 4].id for round in range(2, 20, 2)]
    whole, first, second = Ordering(1, 0), Ordering(1, 0), Ordering(1, 0)
    expected = [_commit(store, whole, id) for id in ids]
    for id in ids[:4]:
        _commit(store, first, id)
    second.height, second.time_ms = first.height, first.time_ms
    second.restore_marks(first.marks())
    second.restore_batches(dict(first.table()))
    assert [_commit(store, second, id) for id in ids[4:]] == expected[4:]


def test_one_committed_leader_is_one_block_even_without_new_content() -> None:
    leaders = {1: (0, 1), 2: (2, 3)}
    drafts = blocks_of(_single(_chain(6)), leaders)
    assert [draft.leader_author for draft in drafts] == [0, 1, 2, 3]
    assert [len(draft.vertices) for draft in drafts] == [1, 1, 3, 1]
