"""Who a node says it is: the first message of each side of a link."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

VERSION_MIN, VERSION_MAX = 1, 1

Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Role(IntEnum):
    """What a node does for the network."""

    LIGHT = 0
    STANDARD = 1
    BOOTSTRAP = 2


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """Claims of one side, proven by the `Proof` that follows. `instance` is fresh for each start of the process."""

    version_min: Natural
    version_max: Natural
    chain_id: Annotated[str, Meta(max_length=64)]
    genesis_hash: Bytes32
    node_id: Bytes32
    instance: Bytes16
    role: Role
    features: Natural
    listen: Annotated[tuple[Annotated[str, Meta(max_length=160)], ...], Meta(max_length=8)]
    height: Natural
    epoch: Natural
    checkpoint_id: Bytes32
    wall_ms: Natural
    window: Annotated[int, Meta(ge=0, le=1)]  # WindowClass asked for
    nonce: Bytes32
    software: Annotated[str, Meta(max_length=64)]
