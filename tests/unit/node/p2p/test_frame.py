"""Frames: any cut of the bytes gives the same frames, and no bytes make us keep more than one frame."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.node.p2p.frame import FORMS, LIMITS, FrameTooLong, Splitter, UnknownForm, pack
from octra.node.p2p.transport import FRAME_OVERHEAD, Lane

frames = st.lists(
    st.builds(lambda form, rest: bytes([form]) + rest, st.sampled_from(sorted(FORMS)), st.binary(max_size=300))
)


@given(frames, st.lists(st.integers(0, 400)))
def test_frames_do_not_depend_on_how_the_bytes_were_cut(sent: list[bytes], cuts: list[int]) -> None:
    data, splitter, got = pack(sent), Splitter(Lane.DATA), []
    for size in [*cuts, len(data)]:
        got += splitter.feed(data[:size])
        data = data[size:]
    assert got + splitter.feed(data) == sent
    assert splitter.pending == 0


@pytest.mark.parametrize("lane", Lane)
def test_the_largest_frame_passes_and_one_byte_more_is_refused_by_its_length_alone(lane: Lane) -> None:
    limit = LIMITS[lane].frame_max
    assert Splitter(lane).feed(pack([b"\1" * limit])) == [b"\1" * limit]
    with pytest.raises(FrameTooLong):
        Splitter(lane).feed((limit + 1).to_bytes(4, "big"))


def test_an_empty_frame_and_an_unknown_form_are_refused_at_once() -> None:
    with pytest.raises(FrameTooLong):
        Splitter(Lane.DATA).feed(bytes(4))
    with pytest.raises(UnknownForm):
        Splitter(Lane.DATA).feed(b"\0\0\1\0\7")


def test_a_length_and_a_form_are_judged_with_the_byte_that_completes_them() -> None:
    too_long = (LIMITS[Lane.DATA].frame_max + 1).to_bytes(4, "big")
    for start, error in ((too_long, FrameTooLong), (b"\0\0\1\0\7", UnknownForm)):
        splitter = Splitter(Lane.DATA)
        for byte in start[:-1]:
            assert splitter.feed(bytes([byte])) == []
        with pytest.raises(error):
            splitter.feed(start[-1:])


def test_a_long_frame_in_many_pieces_arrives_with_its_last_byte_and_what_follows_is_kept() -> None:
    splitter = Splitter(Lane.DATA)
    sent = [b"\1" + bytes(100_000), b"\2next"]
    data = pack(sent)
    for start in range(0, 100_000, 1_000):
        assert splitter.feed(data[start : start + 1_000]) == []
        assert splitter.pending == start + 1_000
    assert splitter.feed(data[100_000:-2]) == sent[:1]
    assert splitter.pending == len(pack(sent[1:])) - 2
    assert splitter.feed(data[-2:]) == sent[1:]


@pytest.mark.parametrize("lane", Lane)
def test_the_largest_frame_fits_every_window(lane: Lane) -> None:
    limits = LIMITS[lane]
    assert limits.frame_max + FRAME_OVERHEAD <= limits.window_guest <= limits.window_full
    assert limits.frame_max + FRAME_OVERHEAD <= limits.queue_max


def test_ten_thousand_hostile_streams_end_in_frames_or_a_typed_error_and_leave_memory_flat() -> None:
    rng = random.Random(5)
    tracemalloc.start()
    try:
        refused = 0
        for i in range(10_000):
            if i == 500:
                before = tracemalloc.get_traced_memory()[0]
            good = pack([bytes([rng.randrange(3)]) + rng.randbytes(rng.randrange(200)) for _ in range(3)])
            place = rng.randrange(len(good))
            data = rng.choice(
                [rng.randbytes(rng.randrange(64)), good[:place] + rng.randbytes(2) + good[place + 2 :], good[place:]]
            )
            splitter = Splitter(rng.choice(list(Lane)))
            try:
                while data:
                    size = rng.randrange(1, 40)
                    splitter.feed(data[:size])
                    data = data[size:]
            except InvalidInput:
                refused += 1
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused > 1_000
    assert after - before < 64 * 1_024
    assert peak - before < 256 * 1_024
