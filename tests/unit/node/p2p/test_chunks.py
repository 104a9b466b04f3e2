"""Lanes in one stream: the same pieces however they arrive, and turns that are fair."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.node.p2p.chunks import CHUNK_MAX, HEADER_SIZE, Chunks, Turns, UnknownLane
from octra.node.p2p.transport import Lane


@given(
    st.lists(st.tuples(st.sampled_from(Lane), st.binary(min_size=1, max_size=60)), max_size=20),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_chunks_are_the_same_however_their_bytes_arrive(pieces: list[tuple[Lane, bytes]], cuts: list[int]) -> None:
    stream = b"".join(bytes([lane]) + len(data).to_bytes(3, "big") + data for lane, data in pieces)
    ends = sorted(min(cut, len(stream)) for cut in cuts)
    chunks = Chunks()
    seen = []
    for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
        seen += chunks.feed(stream[start:end])
    assert seen == pieces


@pytest.mark.parametrize("header", [b"\x04\0\0\1", b"\0\0\0\0", b"\0" + (CHUNK_MAX + 1).to_bytes(3, "big")])
def test_a_chunk_of_no_lane_without_bytes_or_too_long_is_refused_before_it_arrives(header: bytes) -> None:
    with pytest.raises(UnknownLane):
        Chunks().feed(header)


@given(st.lists(st.tuples(st.sampled_from(Lane), st.integers(1, 3 * CHUNK_MAX)), max_size=8))
def test_what_waits_leaves_in_turns_and_arrives_whole(sizes: list[tuple[Lane, int]]) -> None:
    turns, chunks = Turns(), Chunks()
    sent = dict.fromkeys(Lane, b"")
    for number, (lane, size) in enumerate(sizes):
        data = bytes([number]) * size
        turns.put(lane, data)
        sent[lane] += data
    seen = dict.fromkeys(Lane, b"")
    while turns.size:
        waiting = {lane for lane in Lane if len(seen[lane]) < len(sent[lane])}
        turn = turns.take()
        assert len(turn) <= len(waiting) * (HEADER_SIZE + CHUNK_MAX)
        pieces = chunks.feed(turn)
        assert {lane for lane, _ in pieces} == waiting
        for lane, data in pieces:
            seen[lane] += data
    assert seen == sent
    assert turns.take() == b""
