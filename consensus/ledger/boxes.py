"""What sealed boxes are bound to: a box of one dealing or opening opens in no other place."""

from __future__ import annotations

from octra.codec import encode


def dealing_context(chain: bytes, input_id: bytes, seat: int) -> bytes:
    """Of the body that a user seals to seat number `seat` (from 0) for the input `input_id`."""
    return encode(["octra.box.deal", chain, input_id, seat])


def share_context(chain: bytes, request: bytes, seat: int) -> bytes:
    """Of the share that seat number `seat` (from 0) seals to the reader of an opening."""
    return encode(["octra.box.share", chain, request, seat])
