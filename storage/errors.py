"""What storage refuses, and whose fault it is."""

from __future__ import annotations

from octra.errors import Corrupt, InvalidInput, Unavailable


class NotFound(InvalidInput):
    """Asked for a thing that this node does not hold: never stored, or already pruned."""

    oct_code = 4041

    def __init__(self, what: str) -> None:
        super().__init__(f"not found: {what}")
        self.what = what


class DiskFull(Unavailable):
    """The file system has no room left. The store takes no further write; restart when there is space."""

    oct_code = 1112

    def __init__(self) -> None:
        super().__init__("no space left on the device that holds the data directory")


class Locked(Unavailable):
    """Another process has the same directory open."""

    oct_code = 1102

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is in use by another process")
        self.what = what


class Closed(Unavailable):
    """The store or its writer was closed, or stopped after a failed write."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is closed")
        self.what = what


class RoundClosed(Unavailable):
    """A vertex of this round may have been signed already: skip to `next_round`."""

    def __init__(self, round_: int, next_round: int) -> None:
        super().__init__(f"round {round_} is closed for signing; the next free round is {next_round}")
        self.round, self.next_round = round_, next_round


class EpochClosed(Unavailable):
    """What was signed in this old epoch is no longer on record, so nothing may be signed for it."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"epoch {epoch} is closed for signing")
        self.epoch = epoch


class CorruptStore(Corrupt):
    """The database contradicts itself, or a write failed: stop, and let the restart replay."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"corrupt store: {reason}")
        self.reason = reason


class FormatTooNew(Corrupt):
    """A newer program wrote this database."""

    oct_code = 3002

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"database format {found} is newer than this program, which knows {known}")
        self.found, self.known = found, known


class LogBroken(Corrupt):
    """The sign log is damaged before its end: what was signed is unknown, so nothing may be signed."""

    def __init__(self, segment: str, offset: int) -> None:
        super().__init__(f"sign log {segment} is broken at byte {offset}")
        self.segment, self.offset = segment, offset


class SignLogConflict(Corrupt):
    """Something else was signed before for the same purpose: signing this would be a slashable offence."""

    def __init__(self, kind: str, epoch: int, round_: int) -> None:
        super().__init__(f"another {kind} was already signed for epoch {epoch}, round {round_}")
        self.kind, self.epoch, self.round = kind, epoch, round_
