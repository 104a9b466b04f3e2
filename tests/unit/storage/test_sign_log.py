"""Nothing is signed twice with different content, across restarts, torn files and forgotten records."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from octra.storage.errors import Closed, DiskFull, EpochClosed, Locked, LogBroken, RoundClosed, SignLogConflict
from octra.storage.sign_log import SignKind, SignLog, may_sign

ANCHOR = b"\x11" * 32
OTHER_ANCHOR = b"\x12" * 32


def vertex(log: SignLog, round_: int, content: bytes = b"vertex", epoch: int = 0, anchor: bytes = ANCHOR) -> bytes:
    return log.reserve(SignKind.VERTEX, epoch, round_, anchor, content * 2, content)


def segment(directory: Path, epoch: int = 0) -> Path:
    return directory / f"{epoch:010}.seg"


def reopened(log: SignLog, directory: Path) -> SignLog:
    log.close()
    return SignLog(directory)


def test_the_same_vertex_again_gives_the_stored_payload_also_after_a_restart(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    assert log.empty
    assert vertex(log, 1) == vertex(log, 1) == b"vertex"
    log = reopened(log, tmp_path)
    assert not log.empty
    assert vertex(log, 1) == b"vertex"
    assert [record.round for record in log.vertices(ANCHOR)] == [1]


def test_another_vertex_of_the_same_round_is_a_conflict(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    vertex(log, 5)
    with pytest.raises(SignLogConflict):
        vertex(log, 5, b"other")
    with pytest.raises(SignLogConflict):
        vertex(log, 5, b"other", epoch=1)  # the epoch is only a clock; the anchor is what the round belongs to
    with pytest.raises(SignLogConflict):
        vertex(reopened(log, tmp_path), 5, b"other")


def test_a_lower_round_than_the_last_is_closed(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    vertex(log, 5)
    with pytest.raises(RoundClosed) as caught:
        vertex(log, 4)
    assert caught.value.next_round == log.next_round(ANCHOR) == 6
    vertex(log, 1, anchor=OTHER_ANCHOR)


def test_after_a_restart_the_next_round_is_free_and_used_ones_are_closed(tmp_path: Path) -> None:
    """Seats that restart together must all be able to sign the round that is next."""
    log = SignLog(tmp_path)
    vertex(log, 3)
    vertex(log, 7)
    log = reopened(log, tmp_path)
    assert log.next_round(ANCHOR) == 8
    for round_ in (4, 6):
        with pytest.raises(RoundClosed):
            vertex(log, round_)
    assert vertex(log, 7) == b"vertex"
    vertex(log, 8)


def test_every_vertex_is_synced_before_it_may_be_sent(tmp_path: Path) -> None:
    sizes: list[int] = []
    log = SignLog(tmp_path, lambda _: sizes.append(segment(tmp_path).stat().st_size))
    vertex(log, 1)
    sizes.clear()
    for round_ in range(2, 6):
        vertex(log, round_)
        assert sizes[-1] == segment(tmp_path).stat().st_size  # nothing was written after the sync
    assert len(sizes) == 4


def test_a_torn_vertex_was_never_sent_and_its_round_is_free(tmp_path: Path) -> None:
    """Cut the file at any byte: what is whole stays on record, the round after it may be signed."""
    log = SignLog(tmp_path)
    ends = []
    for round_ in range(1, 6):
        vertex(log, round_)
        ends.append(segment(tmp_path).stat().st_size)
    log.close()
    whole = segment(tmp_path).read_bytes()
    for size in range(0, len(whole), 17):
        segment(tmp_path).write_bytes(whole[:size])
        log = SignLog(tmp_path)
        rounds = [record.round for record in log.vertices(ANCHOR)]
        assert len(rounds) >= sum(end <= size for end in ends)
        assert rounds == list(range(1, len(rounds) + 1))
        assert log.next_round(ANCHOR) == len(rounds) + 1
        log.close()


def test_a_torn_last_record_is_cut_off_and_the_log_goes_on(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    log.reserve(SignKind.CHECKPOINT, 0, 0, b"chain", b"digest", b"payload")
    log.close()
    whole = segment(tmp_path).read_bytes()
    for tail in (b"OSL1", whole[:-1], b"\0" * 300, b"\xff" * 5):
        segment(tmp_path).write_bytes(whole + tail)
        log = SignLog(tmp_path)
        assert log.reserve(SignKind.CHECKPOINT, 0, 0, b"chain", b"digest", b"x") == b"payload"
        log.reserve(SignKind.CHECKPOINT, 0, len(tail), b"chain", b"new", b"new")
        log.close()
        again = SignLog(tmp_path)
        assert again.reserve(SignKind.CHECKPOINT, 0, len(tail), b"chain", b"new", b"x") == b"new"
        again.close()


def test_a_log_broken_before_its_end_stops_the_signer(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    for subject in (b"a", b"b", b"c"):
        log.reserve(SignKind.EVALUATION, 0, 0, subject, b"digest", b"payload")
    log.close()
    whole = segment(tmp_path).read_bytes()
    last = whole.rindex(b"OSL1")
    chance = random.Random(4)
    for _ in range(60):
        position = chance.randrange(last)
        broken = bytearray(whole)
        broken[position] ^= 1 << chance.randrange(8)
        segment(tmp_path).write_bytes(broken)
        with pytest.raises(LogBroken):
            SignLog(tmp_path)
        assert segment(tmp_path).read_bytes() == broken  # left as it is, for people to look at
    segment(tmp_path).write_bytes(whole[:40] + whole[41:])
    with pytest.raises(LogBroken):
        SignLog(tmp_path)


def test_an_older_segment_with_a_torn_end_is_broken(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    vertex(log, 1)
    vertex(log, 2, epoch=1)
    log.close()
    old = segment(tmp_path, 0)
    old.write_bytes(old.read_bytes()[:-1])
    with pytest.raises(LogBroken):
        SignLog(tmp_path)


def test_marks_outlive_the_files_of_old_epochs(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    vertex(log, 100)
    for epoch in range(1, 6):
        log.reserve(SignKind.CHECKPOINT, epoch, 0, b"chain", b"d%d" % epoch, b"")
    assert sorted(path.name for path in tmp_path.glob("*.seg")) == [segment(tmp_path, e).name for e in (3, 4, 5)]
    log = reopened(log, tmp_path)
    assert log.next_round(ANCHOR) == 101
    with pytest.raises(RoundClosed):
        vertex(log, 100, b"other", epoch=5)
    with pytest.raises(SignLogConflict):
        log.reserve(SignKind.CHECKPOINT, 4, 0, b"chain", b"other", b"")
    with pytest.raises(EpochClosed):
        log.reserve(SignKind.CHECKPOINT, 2, 0, b"chain", b"other", b"")


def test_different_purposes_do_not_meet(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    for kind in (SignKind.CHECKPOINT, SignKind.DEALING, SignKind.EVALUATION, SignKind.AUDIT):
        for round_, subject in ((0, b"a"), (1, b"a"), (0, b"b")):
            digest = b"%d %d" % (kind, round_) + subject
            assert log.reserve(kind, 0, round_, subject, digest, digest) == digest


def test_old_vertex_payloads_are_forgotten_but_their_rounds_stay_closed(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    for round_ in range(1, 400):
        vertex(log, round_)
    assert len(log.vertices(ANCHOR)) <= 129
    with pytest.raises(RoundClosed):
        vertex(log, 3, b"other")


def test_a_full_disk_ends_signing_and_the_torn_tail_is_repaired_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SignLog(tmp_path)
    vertex(log, 1)
    write = os.write

    def full(file: int, data: bytes) -> int:
        write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DiskFull):
            vertex(log, 2)
    with pytest.raises(Closed):
        vertex(log, 3)
    log = reopened(log, tmp_path)
    vertex(log, 2, b"other")  # the first one was never sent


def test_two_processes_cannot_hold_the_same_log(tmp_path: Path) -> None:
    log = SignLog(tmp_path)
    with pytest.raises(Locked):
        SignLog(tmp_path)
    log.close()
    SignLog(tmp_path).close()


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ((False, False, 10, 4, 0), True),
        ((True, False, 10, 4, 0), False),
        ((True, False, 10, 4, 1), False),
        ((True, False, 10, 4, 2), True),
        ((False, True, 10, 4, 1), False),
        ((True, False, 10, 1, 0), True),
        ((True, False, 0, 4, 0), True),
    ],
)
def test_a_signer_without_its_own_log_observes_until_the_second_epoch_boundary(
    facts: tuple[bool, bool, int, int, int], allowed: bool
) -> None:
    assert may_sign(*facts) is allowed


def test_every_single_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """After any one flipped bit the log is refused, or whatever it still allows agrees with what was signed."""
    log = SignLog(tmp_path)
    vertex(log, 1, b"one")
    log.close()
    whole = segment(tmp_path).read_bytes()
    attempts: list[Callable[[SignLog], bytes]] = [lambda log: vertex(log, 1, b"two")]
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        segment(tmp_path).write_bytes(broken)
        try:
            log = SignLog(tmp_path)
        except LogBroken:
            continue
        for attempt in attempts:
            with pytest.raises((SignLogConflict, RoundClosed)):
                attempt(log)
        log.close()
