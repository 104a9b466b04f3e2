"""Private amounts at the user's end: dealing their bits to the seats, and reading what the seats open for him.

Nothing leaves in clear: an amount goes out as sealed shares, one box a seat, and comes back the same way. The
mathematics (numpy) is imported where it is used, so that other commands start at once.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from octra.cli.network import Network, OddAnswer
from octra.codec import decode, encode
from octra.consensus.ledger import ops
from octra.consensus.ledger.records import EvaluatorCommit, Opening, Request
from octra.crypto import seal
from octra.crypto.hash import H
from octra.errors import Unavailable

if TYPE_CHECKING:
    from octra.consensus.ledger.client import Opened

NOTE_BYTES = 320  # every note has this size before it is sealed: its length tells nothing
MEMO_BYTES_MAX = 256


class SharesMissing(Unavailable):
    """Too few seats have answered, or too many of them lied: more answers may still come."""

    oct_code = 8008

    def __init__(self, have: int, seats: int) -> None:
        super().__init__(f"{have} of {seats} seats have answered, and that does not decide the value yet")


def deal_amount(chain: Network, sender_key: bytes, nonce: int, units: int) -> tuple[ops.InputDealing, bytes]:
    """The amount in shares, one sealed to each seat: what the body says of them, and the sidecar that carries them.

    Only this transaction can use it: the name of the input holds sender and nonce. Every call draws new shares.
    """
    from octra.consensus.ledger import client

    return client.deal_amount(
        units,
        chain=chain.chain,
        sender_key=sender_key,
        nonce=nonce,
        view_keys=chain.view_keys,
        seed=os.urandom(32),
    )


def open_shares(chain: Network, request: bytes, reader_secret: bytes, answer: dict[str, Any]) -> Opened:
    """The values behind the seats' answer to a request; raises `SharesMissing` while too little has come.

    The seats' commitments come from the same node as their shares. A lying node can therefore keep a value from its
    owner, but not show him another one: that takes shares of more seats than may lie.
    """
    from octra.consensus.ledger import client
    from octra.hfhe.threshold.errors import NotDecodable, NotEnough

    try:
        asked = _request(request, answer)
        shares = {int(item["seat"]): base64.b64decode(item["share"], validate=True) for item in answer["shares"]}
    except (KeyError, TypeError, ValueError) as error:
        raise OddAnswer("octra_request") from error
    seats = len(chain.view_keys)
    try:
        return client.open_view(asked, shares, chain=chain.chain, reader_secret=reader_secret, seats=seats)
    except (NotEnough, NotDecodable) as error:
        raise SharesMissing(len(shares), seats) from error


def seal_note(chain: Network, sender_key: bytes, nonce: int, receiver_key: bytes, units: int, memo: str) -> bytes:
    """The claimed amount and a memo for the receiver's eyes. A claim: only an opening shows what really came."""
    text = encode((units, memo))
    padded = (len(text).to_bytes(2, "big") + text).ljust(NOTE_BYTES, b"\0")
    assert len(padded) == NOTE_BYTES
    return seal.seal(seal.view_key(receiver_key), padded, _note_context(chain, sender_key, nonce))


def open_note(chain: Network, sender_key: bytes, nonce: int, seed: bytes, note: bytes) -> tuple[int, str]:
    """Claimed units and memo of a received note; raises `BoxNotOpened` or `Malformed`."""
    secret, _ = seal.view_pair(seed)
    padded = seal.open_box(secret, note, _note_context(chain, sender_key, nonce))
    size = int.from_bytes(padded[:2], "big")
    return decode(padded[2 : 2 + size], tuple[int, str], "note")


def _note_context(chain: Network, sender_key: bytes, nonce: int) -> bytes:
    return H("octra.note", encode((chain.chain, sender_key, nonce)))


def _request(name: bytes, answer: dict[str, Any]) -> Request:
    """The parts of a request that opening needs. The rest of it says nothing about the value."""
    openings = tuple(
        Opening(
            bytes.fromhex(item["name"]),
            bytes.fromhex(item["handle"]),
            bytes.fromhex(item["digest"]),
            int(item["bits"]),
            int(item["noise_index"]),
            int(item["attempt"]),
        )
        for item in answer["openings"]
    )
    commits = tuple(
        EvaluatorCommit(int(item["seat"]), base64.b64decode(item["commitment"], validate=True))
        for item in answer["committed"]
    )
    return Request(name, b"", b"", b"", openings, commits=commits)
