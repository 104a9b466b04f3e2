"""The signer's write-ahead record: what was signed once is never signed again with other content.

`reserve` comes before every signature that would be slashable, or contradictory, if said twice differently. What it
returns may be signed and sent. Every record is synced by itself. To reserve rounds ahead would spare syncs (1 ms each
here), but seats that restart together would all be barred from the rounds that are next: nobody could go on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import Struct

from octra.codec import decode, encode
from octra.errors import Malformed
from octra.storage.errors import Closed, DiskFull, EpochClosed, Locked, LogBroken, RoundClosed, SignLogConflict
from octra.storage.kv import u32

PAYLOAD_BYTES_MAX: Final = 64 << 10  # a larger payload lies durable in the database first
EPOCHS_KEPT: Final = 2  # before the newest; nobody asks again for what is older
VERTICES_KEPT: Final = 128  # rounds whose payloads stay at hand: twice what peers can still ask for

_MAGIC = b"OSL1"
_HEAD_SIZE = 12  # magic, size u32, crc32 u32
_RECORD_BYTES_MAX = PAYLOAD_BYTES_MAX + 256


class SignKind(IntEnum):
    """What a signature is for."""

    MARK = 0  # internal: rounds of the subject up to `round` are used, though their records are gone
    VERTEX = 1  # subject: the anchor
    CHECKPOINT = 2
    DEALING = 3
    EVALUATION = 4
    AUDIT = 5


class SignRecord(Struct, array_like=True, frozen=True):
    """One line of the log."""

    kind: int
    epoch: int
    round: int
    subject: bytes
    digest: bytes
    payload: bytes


class SignLog:
    """An append-only journal, one file an epoch, held by one process. Not for use from several threads at once."""

    def __init__(self, directory: Path, sync: Callable[[int], None] = os.fdatasync) -> None:
        """Open or begin the log. `LogBroken` when it is damaged before its end, `Locked` when another holds it."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._sync = directory, sync
        self._lock = _lock(directory / "LOCK")
        self._said: dict[tuple[int, int, int, bytes], SignRecord] = {}
        self._last: dict[bytes, int] = {}  # anchor -> highest vertex round that may have been signed
        self._file: int | None = None
        self._failed = False
        self._epoch = -1
        try:
            self._replay()
        except BaseException:
            self.close()
            raise

    @property
    def empty(self) -> bool:
        """Nothing was ever signed with this log: on a chain that has begun, observe before signing."""
        return self._epoch < 0

    def reserve(self, kind: SignKind, epoch: int, round_: int, subject: bytes, digest: bytes, payload: bytes) -> bytes:
        """The payload that may be signed and sent: this one, or the equal one that was recorded before.

        `SignLogConflict` when another digest is on record (stop), `RoundClosed` when this vertex round may have been
        used already (go on with a later one).
        """
        assert kind is not SignKind.MARK
        assert len(payload) <= PAYLOAD_BYTES_MAX
        record = SignRecord(int(kind), epoch, round_, subject, digest, payload)
        known = self._said.get(_purpose(record))
        if known is not None:
            if known.digest != digest:
                raise SignLogConflict(kind.name.lower(), epoch, round_)
            return known.payload
        if self._failed:
            raise Closed("sign log")
        if kind is SignKind.VERTEX:
            last = self._last.get(subject, 0)
            if round_ <= last:
                raise RoundClosed(round_, last + 1)
        elif epoch < self._epoch - EPOCHS_KEPT:
            raise EpochClosed(epoch)  # its records are gone, so nothing tells what was said
        self._append(record)
        return payload

    def vertices(self, anchor: bytes) -> list[SignRecord]:
        """Own vertices on record, by round: send them again after a restart."""
        records = (r for r in self._said.values() if r.kind == SignKind.VERTEX and r.subject == anchor)
        return sorted(records, key=lambda record: record.round)

    def next_round(self, anchor: bytes) -> int:
        """The lowest round that may be signed."""
        return self._last.get(anchor, 0) + 1

    def sync(self) -> None:
        """Make all records durable."""
        if self._file is not None:
            self._sync(self._file)

    def close(self) -> None:
        """Sync and give the log free."""
        if self._file is not None:
            self.sync()
            os.close(self._file)
            self._file = None
        os.close(self._lock)

    def _append(self, record: SignRecord) -> None:
        try:
            if record.epoch > self._epoch or self._file is None:
                self._begin_segment(max(record.epoch, self._epoch))
            assert self._file is not None
            _write(self._file, _frame(record) + self._seal(record))
            self._sync(self._file)
        except OSError as error:
            # A torn record must stay the last one, or the next start would call the log broken.
            self._failed = True
            raise DiskFull from error
        self._remember(record)

    def _seal(self, record: SignRecord) -> bytes:
        """A mark behind each vertex: a damaged last record must not pass for one that a power cut tore."""
        return _frame(_mark(self._epoch, record.round, record.subject)) if record.kind == SignKind.VERTEX else b""

    def _remember(self, record: SignRecord) -> None:
        if record.kind == SignKind.MARK:
            self._last[record.subject] = max(record.round, self._last.get(record.subject, 0))
            return
        self._said[_purpose(record)] = record
        if record.kind == SignKind.VERTEX:
            self._last[record.subject] = max(record.round, self._last.get(record.subject, 0))
            self._said.pop((record.kind, 0, record.round - VERTICES_KEPT, record.subject), None)

    def _begin_segment(self, epoch: int) -> None:
        """Start the file of an epoch. It opens with all marks in force, so that older files may go."""
        if self._file is not None:
            self._sync(self._file)  # or a power cut could tear the old file below a whole new one
            os.close(self._file)
        path = self._directory / f"{epoch:010}.seg"
        self._file, self._epoch = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), epoch
        for anchor in sorted(self._last):
            _write(self._file, _frame(_mark(epoch, self._last[anchor], anchor)))
        self._sync(self._file)
        _sync_directory(self._directory)
        for path in _segments(self._directory):
            if int(path.stem) < epoch - EPOCHS_KEPT:
                path.unlink()
        for purpose, record in list(self._said.items()):
            if record.kind == SignKind.VERTEX:
                old = record.round <= self._last[record.subject] - VERTICES_KEPT
            else:
                old = record.epoch < epoch - EPOCHS_KEPT
            if old:
                del self._said[purpose]

    def _replay(self) -> None:
        segments = _segments(self._directory)
        for path in segments:
            data = path.read_bytes()
            end = 0
            for record, end in _records(data):  # noqa: B007 - the end of the last whole record is used below
                self._remember(record)
            if end < len(data):
                if path is not segments[-1] or _holds_record(data, end + 1):
                    raise LogBroken(path.name, end)
                _truncate(path, end)
            self._epoch = int(path.stem)
        if segments:
            self._file = os.open(segments[-1], os.O_APPEND | os.O_WRONLY)


def may_sign(log_is_empty: bool, restored: bool, height: int, validators: int, boundaries_seen: int) -> bool:
    """Whether a signer may speak: without its own unbroken log it observes until the second epoch boundary.

    A chain of one validator, and a chain that has not begun, have nobody to contradict.
    """
    if not log_is_empty and not restored:
        return True
    return height == 0 or validators == 1 or boundaries_seen >= 2


def _purpose(record: SignRecord) -> tuple[int, int, int, bytes]:
    """What may be said once. A vertex round belongs to its anchor, whatever epoch the clock shows."""
    epoch = 0 if record.kind == SignKind.VERTEX else record.epoch
    return record.kind, epoch, record.round, record.subject


def _mark(epoch: int, up_to_round: int, anchor: bytes) -> SignRecord:
    return SignRecord(int(SignKind.MARK), epoch, up_to_round, anchor, b"", b"")


def _frame(record: SignRecord) -> bytes:
    body = encode(record)
    return _MAGIC + u32(len(body)) + u32(crc32(body)) + body


def _record_at(data: bytes, offset: int) -> tuple[SignRecord, int] | None:
    """The whole record that starts at `offset`, and where it ends."""
    start = offset + _HEAD_SIZE
    if data[offset : offset + 4] != _MAGIC or start > len(data):
        return None
    size = int.from_bytes(data[offset + 4 : offset + 8], "big")
    if size > _RECORD_BYTES_MAX or start + size > len(data):
        return None
    body = data[start : start + size]
    if crc32(body) != int.from_bytes(data[offset + 8 : start], "big"):
        return None
    try:
        return decode(body, SignRecord), start + size
    except Malformed:
        return None


def _records(data: bytes) -> Iterator[tuple[SignRecord, int]]:
    """Whole records from the start, each with its end, until one is broken."""
    offset = 0
    while found := _record_at(data, offset):
        yield found
        offset = found[1]


def _holds_record(data: bytes, start: int) -> bool:
    """Whether a whole record begins anywhere at or after `start`."""
    offset = data.find(_MAGIC, start)
    while offset >= 0:
        if _record_at(data, offset):
            return True
        offset = data.find(_MAGIC, offset + 1)
    return False


def _segments(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.seg") if path.stem.isdigit())


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _truncate(path: Path, size: int) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(file, size)
        os.fdatasync(file)
    finally:
        os.close(file)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise Locked("sign log") from error
    return handle
