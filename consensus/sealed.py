"""What each sealed box is bound to: a box that was copied to another place, seat or chain does not open there.

Users, seats and readers compute the same context; `octra.crypto.seal` authenticates it with the box.
"""

from __future__ import annotations

from octra.codec import encode
from octra.crypto.hash import H


def dealt_body_context(chain: bytes, seat_epoch: int, input_id: bytes, seat: int) -> bytes:
    """Of the box that carries a dealt body to `seat` (from 0), under its view key."""
    return H("octra.box.deal", encode((chain, seat_epoch, input_id, seat)))


def opening_share_context(chain: bytes, request: bytes, seat: int) -> bytes:
    """Of the box that carries the share of `seat` (from 0) to the reader of a view request."""
    return H("octra.box.open", encode((chain, request, seat)))


def note_context(chain: bytes, sender_key: bytes, nonce: int) -> bytes:
    """Of the note of a private transfer, sealed to its receiver's view key."""
    return H("octra.box.note", encode((chain, sender_key, nonce)))
