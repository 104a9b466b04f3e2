"""Budgets: exact in the long run, generous for one burst, and nothing for a lane that is not for the peer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octra.node.p2p.budget import RATES, Bucket, PeerClass, buckets
from octra.node.p2p.transport import Lane


@given(
    st.integers(1, 10_000_000), st.integers(1, 1_000_000), st.lists(st.integers(0, 500_000), min_size=1, max_size=50)
)
def test_waiting_as_told_keeps_a_peer_to_its_rate(rate: int, burst: int, sizes: list[int]) -> None:
    bucket, now_ms = Bucket(rate, burst, 0), 0
    for size in sizes:
        wait_ms = bucket.take(size, now_ms)
        assert wait_ms is not None
        now_ms += wait_ms
    spent = sum(sizes)
    assert spent * 1_000 <= burst * 1_000 + rate * now_ms
    if now_ms:
        assert (now_ms - len(sizes)) * rate <= max(0, spent - burst) * 1_000 + rate * len(sizes)


def test_a_burst_passes_at_once_and_idle_time_is_not_hoarded() -> None:
    bucket = Bucket(1_000, 5_000, 0)
    assert bucket.take(5_000, 1_000_000) == 0
    assert bucket.take(1_000, 1_000_000) == 1_000


def test_strangers_have_no_consensus_lane() -> None:
    assert buckets(PeerClass.STRANGER, 0)[Lane.CONSENSUS].take(1, 0) is None
    assert buckets(PeerClass.COMMITTEE, 0)[Lane.CONSENSUS].take(1, 0) == 0


def test_every_class_has_a_rate_for_every_lane() -> None:
    assert {kind: set(rates) for kind, rates in RATES.items()} == {kind: set(Lane) for kind in PeerClass}
