"""The sealed input dealing that travels beside a transaction: one box a seat, bound by two roots in the body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from octra.codec import decode, encode
from octra.consensus.ledger.ops import Bytes32, InputDealing
from octra.crypto.hash import H, merkle_root
from octra.errors import Malformed

BOX_BYTES_MAX: Final = 16_384
BOX_BYTES, BOX_BYTES_PER_BIT = 256, 8  # two elements of 27 bits for each dealt bit, and what surrounds them
SEATS_MAX: Final = 24


class Sidecar(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Leaf k commits to the plaintext body of seat k, box k is that body sealed to seat k's key."""

    leaves: Annotated[tuple[Bytes32, ...], Meta(max_length=SEATS_MAX)]
    boxes: Annotated[tuple[Annotated[bytes, Meta(max_length=BOX_BYTES_MAX)], ...], Meta(max_length=SEATS_MAX)]


def pack_sidecar(leaves: Sequence[bytes], boxes: Sequence[bytes]) -> bytes:
    """Sidecar bytes."""
    return encode(Sidecar(tuple(leaves), tuple(boxes)))


def describe_dealing(bits: int, seat_epoch: int, leaves: Sequence[bytes], boxes: Sequence[bytes]) -> InputDealing:
    """What the body says about a sidecar of these leaves and boxes."""
    return InputDealing(bits, seat_epoch, (merkle_root(leaves),), merkle_root(boxes))


def check_sidecar(dealing: InputDealing, data: bytes, seats: int) -> Sidecar:
    """The sidecar that `dealing` announces for `seats` seats; raises `Malformed`."""
    sidecar = decode(data, Sidecar, "sidecar")
    if len(sidecar.leaves) != seats or len(sidecar.boxes) != seats:
        raise Malformed("sidecar", f"one leaf and one box for each of {seats} seats")
    if len({len(box) for box in sidecar.boxes}) > 1:
        raise Malformed("sidecar", "boxes of different sizes")
    if len(sidecar.boxes[0]) > BOX_BYTES + BOX_BYTES_PER_BIT * dealing.bits:
        raise Malformed("sidecar", "boxes larger than the dealing of so many bits")
    if (merkle_root(sidecar.leaves),) != dealing.roots or merkle_root(sidecar.boxes) != dealing.sidecar:
        raise Malformed("sidecar", "it does not match the roots in the body")
    return sidecar


def input_id(*, sender: bytes, nonce: int, index: int, era: int, bits: int) -> bytes:
    """The name of a dealt input: known to the sender before he deals. `sender` is his Ed25519 key."""
    return H("octra.input", encode((sender, nonce, index, era, bits)))


def box_context(chain: bytes, input_name: bytes, seat: int) -> bytes:
    """What a box is bound to, so that it opens for one seat, one input and one chain. Seats count from 0."""
    return b"octra.deal.box" + chain + input_name + bytes([seat])


def share_context(chain: bytes, request: bytes, seat: int) -> bytes:
    """What the box with a seat's share of a private opening is bound to."""
    return b"octra.open.box" + chain + request + bytes([seat])
