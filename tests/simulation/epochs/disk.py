"""What a node of an epoch simulation keeps: batches of items, blocks, records, and a disk that survives crashes."""

from __future__ import annotations

from dataclasses import dataclass, field

from octra.consensus.certificate import Certificate
from octra.consensus.epoch import EpochRecord
from octra.consensus.vertex import Vertex

GENESIS_BLOCK = bytes(32)


@dataclass(frozen=True)
class Bundle:
    """A batch: items of one author for one committee."""

    id: bytes
    anchor: bytes
    author: int
    items: tuple[bytes, ...]


@dataclass
class Disk:
    """What a restart finds. Vertices are kept by anchor, and so is the mark of the sign log."""

    vertices: dict[bytes, dict[bytes, Vertex]] = field(default_factory=dict)
    signed_round: dict[bytes, int] = field(default_factory=dict)
    bundles: dict[bytes, Bundle] = field(default_factory=dict)
    blocks: dict[int, tuple[bytes, bytes, bytes]] = field(default_factory=dict)  # height -> leader, block id, root
    handed: list[tuple[EpochRecord, Certificate | None]] = field(default_factory=list)  # by epoch
    head: tuple[int, bytes, bytes] = (0, GENESIS_BLOCK, b"")  # height, block id, root
