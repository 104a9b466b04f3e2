"""What can go wrong with shares: the sender's fault, or too few good rows so far."""

from __future__ import annotations

from octra.errors import InvalidInput, Unavailable


class MalformedShare(InvalidInput):
    """Bytes are no packed row of field elements; the reason never shows a value."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"malformed {what}: {reason}")
        self.what, self.reason = what, reason


class NoSuchCommittee(InvalidInput):
    """A committee has 1 to `COMMITTEE_MAX` seats, numbered from 1."""

    def __init__(self, seats: int, seats_max: int) -> None:
        super().__init__(f"a committee of {seats} seats: 1 to {seats_max} are possible")
        self.seats, self.seats_max = seats, seats_max


class PrssTooLarge(InvalidInput):
    """Pseudo-random shared noise needs one key for each set of n - t seats: past the limit there are too many."""

    def __init__(self, seats: int, seats_max: int) -> None:
        super().__init__(f"pseudo-random shared noise for {seats} seats: at most {seats_max}")
        self.seats, self.seats_max = seats, seats_max


class NotEnough(Unavailable):
    """Fewer good rows than must agree before a value counts as opened: more have to arrive."""

    def __init__(self, have: int, need: int) -> None:
        super().__init__(f"{have} rows agree, {need} must")
        self.have, self.need = have, need


class NotDecodable(Unavailable):
    """The rows contradict each other and are too few to tell who lies: more have to arrive."""

    def __init__(self, rows: int, degree: int) -> None:
        super().__init__(f"{rows} rows contradict each other on a polynomial of degree {degree}: more rows are needed")
        self.rows, self.degree = rows, degree
