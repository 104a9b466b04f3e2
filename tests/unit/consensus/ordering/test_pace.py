"""How long a seat pauses: short with little work, longer where a round brings much, and no liar decides it alone."""

from ordering.dags import full_round, make_vertex

from octra.consensus import limits
from octra.consensus.dag.propose import Proposer, default_pace
from octra.consensus.dag.store import Store
from octra.consensus.vertex import BatchRef

N, Q = 7, 5


def _store(*counts: int) -> Store:
    """Two rounds; the seats of the second name so many transactions."""
    store = Store(N, Q)
    first = full_round([], N)
    for vertex in first:
        store.receive(vertex)
    for author, count in enumerate(counts):
        batches = [BatchRef(bytes([author]) * 32, count, 100)] if count else []
        store.receive(make_vertex(2, author, first, batches=batches))
    return store


def _pause(store: Store, *, work_pending: bool = True, size: int = N) -> int:
    return Proposer(0, default_pace(size), 0).interval_ms(store, work_pending)


def test_the_pause_grows_with_what_a_round_brings_up_to_a_limit() -> None:
    least, busy = limits.MIN_INTERVAL_MS, limits.BUSY_SEAT_MS * (N - 4)
    assert _pause(_store(0, 0, 0, 0, 0)) == least
    assert _pause(_store(1, 1, 0, 0, 0)) == least + 2 * limits.BUSY_TRANSACTION_MS
    assert busy <= _pause(_store(9, 9, 9, 9, 9)) < busy * 21 // 20
    assert _pause(_store(9, 9, 9, 9, 9), work_pending=False) == limits.IDLE_INTERVAL_SEAT_MS * N
    assert _pause(_store(9, 9, 9, 9, 9), size=4) == least, "few seats have no reason to wait"


def test_a_network_that_can_hardly_do_more_makes_rounds_still_longer_up_to_a_limit() -> None:
    busy, each = limits.BUSY_SEAT_MS * (N - 4), limits.FULL_TRANSACTIONS // Q
    assert _pause(_store(*[each] * Q)) == 2 * busy
    assert _pause(_store(*[9 * each] * Q)) == limits.FULL_PAUSES * busy


def test_what_f_seats_claim_does_not_slow_a_round_down() -> None:
    assert _pause(_store(0, 0, 0, 0, 0, 1_000, 1_000)) == limits.MIN_INTERVAL_MS
