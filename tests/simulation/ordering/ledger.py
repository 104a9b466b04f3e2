"""How a node of the simulation comes from ordered blocks to state roots: by executing them or by certain deltas."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ordering.disk import Block

from octra.codec import encode
from octra.consensus.dag.deltas import run_top
from octra.consensus.effects import CommitDraft
from octra.consensus.events import Executed
from octra.consensus.limits import DELTA_RUN
from octra.consensus.vertex import APPLIED, EXECUTED, NO_DELTA
from octra.crypto.hash import H

if TYPE_CHECKING:
    from ordering.node import SimNode


class SimLedger:
    """The blocks that wait, of one life of a node. Its node says how: `way`, `execute`."""

    def __init__(self, node: SimNode) -> None:
        self._node, self._world, self._disk = node, node.world, node.disk
        self._commits: deque[CommitDraft] = deque()
        self._busy = False
        self._certain: list[bytes] = []  # runs of deltas that f + 1 seats stand behind
        self._overdue = 0  # this height is executed, whoever has the duty
        self._published = NO_DELTA, EXECUTED
        self._snapshot: tuple[int, bytes] | None = None  # to be stored with the block of its height

    def commit(self, draft: CommitDraft) -> None:
        """The next block of the order."""
        self._commits.append(draft)
        self.go_on()

    def delta_certified(self, run: bytes) -> None:
        """f + 1 seats stand behind these deltas."""
        self._certain.append(run)
        self.go_on()

    def delta_overdue(self, height: int) -> None:
        """No certain delta came in time."""
        self._overdue = height
        self.go_on()

    def keep_snapshot(self, height: int, snapshot: bytes) -> None:
        """The state of the ordering as of a height."""
        self._snapshot = (height, snapshot)

    def is_overdue(self, height: int) -> bool:
        """Must everybody execute this height?"""
        return self._overdue >= height

    def applied_root(self, height: int) -> bytes | None:
        """The state that a certain delta leads to, if one names this height."""
        deltas = self._world.deltas
        return next((deltas[run][height] for run in self._certain if height in deltas[run]), None)

    def go_on(self) -> None:
        """Take the next block, as soon as the bytes of its batches or its delta are there."""
        disk, node = self._disk, self._node
        while self._commits and not self._busy:
            draft = self._commits[0]
            if draft.height <= len(disk.blocks):  # a replay
                if disk.blocks[draft.height - 1].digest != H("sim.draft", encode(draft)):
                    node.troubles.append(f"replay diverged at {draft.height}")
                self._commits.popleft()
                continue
            if draft.height != len(disk.blocks) + 1:
                node.troubles.append(f"gap before height {draft.height}")
            way = node.way(draft.height)
            lacking = any(batch.id not in disk.batches for batch in draft.batches)
            if way is None or (way == EXECUTED and lacking):
                return
            self._busy = True
            self._world.at(self._world.random.randrange(1, 8), self._done, node.life, way)

    def _done(self, life: int, way: int) -> None:
        node, disk = self._node, self._disk
        if not node.running or node.life != life:
            return
        draft = self._commits.popleft()
        parent_id, parent_root = disk.head
        digest = H("sim.draft", encode(draft))
        root = self.applied_root(draft.height) if way == APPLIED else node.execute(parent_root, draft)
        assert root is not None
        block = Block(draft, digest, H("sim.block", parent_id, digest, root), root)
        disk.blocks.append(block)
        if self._snapshot is not None and self._snapshot[0] <= draft.height:
            disk.snapshot, self._snapshot = self._snapshot[1], None
        self._world.note(node.seat, draft.height, block.block_id)
        self._busy = False
        if run_top(draft.height) == draft.height:
            self._published = disk.delta_run(), way
            deltas = {one.draft.height: one.state_root for one in disk.blocks[-DELTA_RUN:]}
            self._world.deltas[self._published[0]] = deltas
        node.feed(Executed(draft.height, block.block_id, root, *self._published))
        self.go_on()
