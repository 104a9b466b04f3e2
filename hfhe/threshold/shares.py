"""What one seat holds of the network key. The type that carries it prints nothing and refuses to pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec

from octra.codec import decode, encode
from octra.hfhe import params as sets
from octra.hfhe.errors import UnsupportedVersion
from octra.hfhe.params import ParameterSet
from octra.hfhe.threshold import field, prss
from octra.hfhe.threshold.committee import committee
from octra.hfhe.threshold.errors import MalformedShare
from octra.hfhe.threshold.field import U64Array

SHARE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeatShare:
    """One seat's shares of the ring key z [M] and of the LWE key s [n], and its keys for shared noise."""

    params: ParameterSet
    key_id: bytes
    n_seats: int
    seat: int
    ring: U64Array
    lwe: U64Array
    noise_keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "<sealed>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a seat's share is not pickled: use to_bytes and keep the bytes encrypted")

    def to_bytes(self) -> bytes:
        """Secret bytes; whoever stores them must encrypt them."""
        return encode(
            _Stored(
                SHARE_VERSION,
                self.params.set_id,
                self.key_id,
                self.n_seats,
                self.seat,
                field.pack(self.ring),
                field.pack(self.lwe),
                self.noise_keys,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, allow_insecure: bool = False) -> SeatShare:
        """The inverse of `to_bytes`. Raises `Malformed`, `MalformedShare` or an error of the parameter set."""
        stored = decode(data, _Stored, "seat share")
        if stored.version != SHARE_VERSION:
            raise UnsupportedVersion("seat share", SHARE_VERSION, stored.version)
        params = sets.get(stored.set_id, allow_insecure=allow_insecure)
        seats = committee(stored.n_seats)
        if stored.seat not in seats.seats or len(stored.key_id) != 32:
            raise MalformedShare("seat share", "no such seat, or no key id")
        held = sum(stored.seat in members for members in prss.subsets(stored.n_seats))
        if len(stored.noise_keys) != held or any(len(key) != prss.KEY_SIZE for key in stored.noise_keys):
            raise MalformedShare("seat share", "number or size of noise keys")
        return cls(
            params,
            stored.key_id,
            stored.n_seats,
            stored.seat,
            field.unpack(stored.ring, params.M, "ring key share"),
            field.unpack(stored.lwe, params.n, "LWE key share"),
            stored.noise_keys,
        )


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    version: int
    set_id: int
    key_id: bytes
    n_seats: int
    seat: int
    ring: bytes
    lwe: bytes
    noise_keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "<sealed>"
