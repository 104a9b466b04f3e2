"""Which public keys may sign, and to which keys a message can be sealed."""

from __future__ import annotations

from typing import Final

import nacl.bindings as sodium
from nacl.exceptions import RuntimeError as SodiumRuntimeError

_P: Final = 2**255 - 19
# y coordinates of the eight points of small order; a key there verifies signatures that nobody made.
_SMALL_ORDER_Y: Final = frozenset(
    (
        0,
        1,
        _P - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)
_PROBE: Final = bytes([9]) * 32


def is_usable_signer(key: bytes) -> bool:
    """Is the Ed25519 key canonical and not of small order? (Being a point at all is the signature check's question.)"""
    y = int.from_bytes(key, "little") & (2**255 - 1)
    return y < _P and y not in _SMALL_ORDER_Y


def is_usable_reader(key: bytes) -> bool:
    """Can a message be sealed to this X25519 key? False for points of small order."""
    try:
        sodium.crypto_scalarmult(_PROBE, key)
    except SodiumRuntimeError:
        return False
    return True
