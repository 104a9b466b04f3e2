"""What a node of the simulation keeps: batches, blocks, and a disk that survives crashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from octra.consensus.effects import CommitDraft
from octra.consensus.limits import DELTA_RUN
from octra.consensus.vertex import Vertex
from octra.crypto.hash import H

GENESIS = (H("sim.block", b"genesis"), H("sim.root", b"genesis"))  # block id, state root


@dataclass(frozen=True)
class SimBatch:
    """A batch of which only the name matters. `good`: would its static check pass?"""

    author: int
    number: int
    good: bool = True
    count: int = 1
    size: int = 100

    @cached_property
    def id(self) -> bytes:
        """A hash of all it is, so that nobody can answer with other bytes."""
        return H("sim.batch", bytes([self.author, self.good]), self.number.to_bytes(4, "little"))


@dataclass(frozen=True)
class Block:
    """An executed block; the state root is a hash chain over the batches."""

    draft: CommitDraft
    digest: bytes
    block_id: bytes
    state_root: bytes

    @property
    def delta(self) -> bytes:
        """The name of what the block changes."""
        return H("sim.delta", self.block_id, self.state_root)


@dataclass
class Disk:
    """What a restart finds."""

    vertices: dict[bytes, Vertex] = field(default_factory=dict)
    rounds: dict[int, list[bytes]] = field(default_factory=dict)
    signed: list[Vertex] = field(default_factory=list)  # the sign log
    synced_signed: int = 0  # entries of the sign log that a power cut leaves
    synced_vertices: int = 0  # entries of `vertices` that it leaves
    reserved_round: int = 0
    batches: dict[bytes, SimBatch] = field(default_factory=dict)
    own_batches: dict[bytes, SimBatch] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    snapshot: bytes | None = None

    def sync(self) -> None:
        """What we sign over must be as durable as our signature: if all seats lose power, nobody else may have it."""
        self.synced_signed, self.synced_vertices = len(self.signed), len(self.vertices)

    def keep(self, vertex: Vertex) -> None:
        """Store an admitted vertex."""
        if vertex.id not in self.vertices:
            self.vertices[vertex.id] = vertex
            self.rounds.setdefault(vertex.round, []).append(vertex.id)

    def lose_power(self, random: Random) -> None:
        """The end of what was written without syncing is gone, and other parts of it may be."""
        unsynced = self.signed[self.synced_signed :]
        lost = {vertex.id for vertex in unsynced[random.randint(0, len(unsynced)) :]}
        self.signed = [vertex for vertex in self.signed if vertex.id not in lost]
        lost |= {id for id in list(self.vertices)[self.synced_vertices :] if random.random() < 0.5}
        for id in lost & self.vertices.keys():
            self.rounds[self.vertices.pop(id).round].remove(id)
        self.sync()

    def round_of(self, round: int) -> list[Vertex]:
        """Stored vertices of a round, by author."""
        here = (self.vertices[id] for id in self.rounds.get(round, ()))
        return sorted(here, key=lambda vertex: (vertex.author, vertex.id))

    @property
    def head(self) -> tuple[bytes, bytes]:
        """Block id and state root of the last executed block."""
        return (self.blocks[-1].block_id, self.blocks[-1].state_root) if self.blocks else GENESIS

    def delta_run(self) -> bytes:
        """The name of the deltas of the last heights."""
        return H("sim.delta.run", *(block.delta for block in self.blocks[-DELTA_RUN:]))

    def executed_batches(self) -> list[bytes]:
        """Every batch that was executed, in order."""
        return [batch.id for block in self.blocks for batch in block.draft.batches]
