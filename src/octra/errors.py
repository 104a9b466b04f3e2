"""Whose fault is it? Every error of this project derives from one of the three classes here.

A package derives its own errors, with the facts as fields, from `InvalidInput` (the sender's fault: reject and
blame), `Unavailable` (the world's: try again later) or `Corrupt` (our own disk or arithmetic: stop the node).
An error may carry the number of its row in `octra.catalogue`, which explains it to people.
"""

from __future__ import annotations


class OctraError(Exception):
    """Root of all errors that this project raises on purpose. `oct_code` names the row of the catalogue."""

    oct_code: int = 9002


class InvalidInput(OctraError):
    """The sender's bytes or request break a rule: reject, and blame the sender."""

    oct_code = 4001


class Unavailable(OctraError):
    """The world does not allow it now (a peer, a timeout, a full queue): try again later."""

    oct_code = 5031


class Corrupt(OctraError):
    """Our own disk or arithmetic contradicts itself: stop, and never sign from unknown state."""

    oct_code = 9001


class Malformed(InvalidInput):
    """Bytes do not decode, or decode to a value whose canonical encoding is different."""

    oct_code = 2105

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"malformed {what}: {reason}")
        self.what, self.reason = what, reason
