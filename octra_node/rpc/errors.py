"""What the interfaces themselves refuse. Everything else they pass on, under the code that it carries."""

from __future__ import annotations

from octra.errors import Corrupt, InvalidInput, Unavailable


class NotFound(InvalidInput):
    """There is no such thing on this chain, or not yet."""

    oct_code = 4041

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what} on this chain")
        self.what = what


class BeforeOrigin(InvalidInput):
    """This node began with a snapshot: what was executed up to then is known to others only."""

    oct_code = 4101

    def __init__(self, what: str, origin: int) -> None:
        super().__init__(f"no such {what} here: this node holds blocks above height {origin} only")
        self.what, self.origin = what, origin


class UnknownAccount(InvalidInput):
    """No transaction has ever touched this account."""

    oct_code = 2100

    def __init__(self) -> None:
        super().__init__("no transaction has touched this account")


class BadRequest(InvalidInput):
    """The request breaks its format; the message names the part and never repeats its content."""

    oct_code = 4001

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BodyTooLarge(InvalidInput):
    """The body of a request exceeds the limit."""

    oct_code = 4131

    def __init__(self, size_max: int) -> None:
        super().__init__(f"a body has at most {size_max} bytes")
        self.size_max = size_max


class AnswerTooLarge(InvalidInput):
    """The answer would exceed the limit."""

    oct_code = 4132

    def __init__(self, size_max: int) -> None:
        super().__init__(f"an answer has at most {size_max} bytes: ask for less at once")
        self.size_max = size_max


class Busy(Unavailable):
    """The node limits requests."""

    oct_code = 4291

    def __init__(self) -> None:
        super().__init__("too many requests; wait a moment")


class TooSlow(Unavailable):
    """A request took longer than the limit."""

    oct_code = 5041

    def __init__(self, seconds: int) -> None:
        super().__init__(f"no answer within {seconds} s")
        self.seconds = seconds


class NotOffered(Unavailable):
    """This node does not offer that."""

    oct_code = 5031

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: not offered by this node")
        self.what = what


class NoNetworkKey(InvalidInput):
    """The chain was founded without a network key, so nothing on it can be encrypted."""

    oct_code = 2116

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation}: this chain has no network key, so it offers public operations only")
        self.operation = operation


class Internal(Corrupt):
    """The node met a state that it did not expect."""

    oct_code = 5001

    def __init__(self) -> None:
        super().__init__("the node met a state that it did not expect")
