"""How a node of an epoch simulation executes ordered blocks: the real rules, over states that all nodes share."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from octra.consensus.effects import CommitDraft
from octra.consensus.events import Executed
from octra.crypto.hash import H

if TYPE_CHECKING:
    from epochs.node import EpochNode


class Blocks:
    """The blocks that wait, of one life of a node."""

    def __init__(self, node: EpochNode) -> None:
        self._node, self._world, self._disk = node, node.world, node.disk
        self._commits: deque[CommitDraft] = deque()
        self._busy = False

    def forget(self) -> None:
        """Another epoch begins: what still waits belongs to the last one."""
        self._commits.clear()

    def commit(self, draft: CommitDraft) -> None:
        """The next block of the order."""
        self._commits.append(draft)
        self.go_on()

    def go_on(self) -> None:
        """Execute the next block, as soon as the bytes of its batches are there."""
        while self._commits and not self._busy:
            draft, height = self._commits[0], self._disk.head[0]
            if draft.height <= height:
                stored = self._disk.blocks.get(draft.height)
                if stored is not None and stored[0] not in (b"", draft.leader):
                    self._node.troubles.append(f"another leader at height {draft.height}")
                self._commits.popleft()
                continue
            if draft.height != height + 1:
                self._node.troubles.append(f"gap before height {draft.height}")
            if any(batch.id not in self._disk.bundles for batch in draft.batches):
                return
            self._busy = True
            self._world.at(self._world.random.randrange(1, 10), self._done, self._node.life, self._node.epoch)

    def _done(self, life: int, epoch: int) -> None:
        node, disk = self._node, self._disk
        if not node.running or node.life != life:
            return
        self._busy = False
        if epoch != node.epoch or not self._commits:
            return
        draft = self._commits.popleft()
        _, parent_id, parent_root = disk.head
        opened = node.record if draft.height == node.record.close_height + 1 and node.epoch else None
        items = tuple((batch.author, disk.bundles[batch.id].items) for batch in draft.batches)
        root = self._world.ledger.execute(parent_root, draft, items, opened, node.committee)
        block_id = H("sim.block.id", parent_id, draft.leader, root)
        disk.blocks[draft.height] = (draft.leader, block_id, root)
        disk.head = (draft.height, block_id, root)
        for batch in draft.batches:
            node.own.pop(batch.id, None)
        node.look_for_share()
        node.feed(Executed(draft.height, block_id, node.claimed(root)))
        node.duties.look()
        self.go_on()
