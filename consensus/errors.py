"""Typed errors of ordering: the class says who is at fault, the fields say what was wrong."""

from __future__ import annotations

from octra.errors import Corrupt, InvalidInput, Unavailable


class InvalidVertex(InvalidInput):
    """A vertex breaks a rule of form. Its signature is checked last: blame the sender, who should have checked."""


class WrongAnchor(InvalidVertex):
    """The vertex belongs to another chain, epoch or committee."""

    def __init__(self, anchor: bytes) -> None:
        super().__init__(f"vertex of another committee: anchor {anchor.hex()[:16]}")
        self.anchor = anchor


class FutureEpoch(Unavailable):
    """The vertex belongs to a committee that we do not know (yet): hold it."""

    def __init__(self, anchor: bytes) -> None:
        super().__init__(f"vertex of a committee not known yet: anchor {anchor.hex()[:16]}")
        self.anchor = anchor


class UnknownAuthor(InvalidVertex):
    """No seat has this number."""

    def __init__(self, author: int) -> None:
        super().__init__(f"no seat {author} in this committee")
        self.author = author


class TooFewParents(InvalidVertex):
    """Fewer than q parents of the round before (round 1 has none)."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"{got} parents, expected {expected}")
        self.expected, self.got = expected, got


class DuplicateParentAuthor(InvalidVertex):
    """Two parents of one author: a vertex votes at most once per slot."""

    def __init__(self, author: int) -> None:
        super().__init__(f"two parents by seat {author}")
        self.author = author


class WeakTooOld(InvalidVertex):
    """A weak link leaves the window of rounds r - 32 .. r - 2."""

    def __init__(self, round: int) -> None:
        super().__init__(f"weak link to round {round}")
        self.round = round


class TooMany(InvalidVertex):
    """A list of the body is longer than its limit."""

    def __init__(self, what: str, limit: int, got: int) -> None:
        super().__init__(f"{got} {what}, limit {limit}")
        self.what, self.limit, self.got = what, limit, got


class CoinShareMissing(InvalidVertex):
    """Vertices of round 5 and later carry a coin share, earlier ones none."""

    def __init__(self, round: int) -> None:
        super().__init__(f"coin share does not fit round {round}")
        self.round = round


class BadSignature(InvalidVertex):
    """The signature is not the author's; nobody but the sender can be blamed."""

    def __init__(self, author: int) -> None:
        super().__init__(f"signature is not that of seat {author}")
        self.author = author


class InvalidBatch(InvalidInput):
    """A batch breaks a rule of its bytes."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid batch: {reason}")
        self.reason = reason


class InvalidCertificate(InvalidInput):
    """A certificate does not prove what it claims."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid certificate: {reason}")
        self.reason = reason


class InvalidDelta(InvalidInput):
    """Bytes are not the delta that was named, or no delta at all."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid delta: {reason}")
        self.reason = reason


class InvalidDealing(InvalidInput):
    """A dealing of the coin does not fit the committee it is for."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid coin dealing: {reason}")
        self.reason = reason


class InvalidCheckpoint(InvalidInput):
    """A checkpoint is not signed by more than two thirds of the registered validators."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid checkpoint: {reason}")
        self.reason = reason


class InvalidProof(InvalidInput):
    """A light proof does not lead from what is trusted to what is claimed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"invalid proof: {reason}")
        self.reason = reason


class CoinUnavailable(Unavailable):
    """Too few good shares to reveal the coin of a round yet."""

    def __init__(self, round: int, good: int, needed: int) -> None:
        super().__init__(f"coin of round {round}: {good} good shares of {needed}")
        self.round, self.good, self.needed = round, good, needed


class SnapshotUnusable(Corrupt):
    """A snapshot of the ordering state belongs to another committee."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ordering snapshot: {reason}")
        self.reason = reason


class OrderingDiverged(Corrupt):
    """A replay orders other blocks than those stored."""

    def __init__(self, height: int) -> None:
        super().__init__(f"replay gives another block at height {height}")
        self.height = height


class StateDiverged(Corrupt):
    """A quorum publishes another state root than ours."""

    def __init__(self, height: int) -> None:
        super().__init__(f"a quorum has another state root at height {height}")
        self.height = height
