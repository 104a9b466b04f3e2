"""The attestation graph: regular, complete, drawn from the beacon."""

from collections import Counter

import pytest

from octra.consensus.graph import attestors


@pytest.mark.parametrize("size", [2, 3, 4, 7, 24])
def test_every_seat_stands_once_at_each_place_and_nobody_attests_himself(size: int) -> None:
    lists = [attestors(b"beacon", size, author) for author in range(size)]
    for author, order in enumerate(lists):
        assert sorted(order) == [seat for seat in range(size) if seat != author]
    for place in range(size - 1):
        assert set(Counter(order[place] for order in lists).values()) == {1}


def test_another_beacon_draws_another_graph() -> None:
    assert attestors(b"one", 24, 0) != attestors(b"two", 24, 0)
    assert attestors(b"one", 24, 0) == attestors(b"one", 24, 0)


def test_a_lone_seat_attests_itself() -> None:
    assert attestors(b"beacon", 1, 0) == (0,)
