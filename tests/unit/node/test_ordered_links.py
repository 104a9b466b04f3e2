"""Whoever stores the block that orders a checkpoint stores its link: nobody needs to have heard the votes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from epoch_double import EpochChain
from msgspec.structs import replace
from stored_blocks import Node, certain, ordered

from octra.codec import decode
from octra.consensus.checkpoint import Checkpoint, Validator, registered_root
from octra.consensus.ledger import epochs, ops
from octra.consensus.light import Link, Trusted, follow_all
from octra.node.links import between
from octra.storage.blocks import CertificateKind
from octra.storage.kv import Batch, Family, Puts
from octra.storage.memory import MemoryKeyValue


class RecordedWrites(MemoryKeyValue):
    """Remembers what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[Batch, bool]] = []

    def write(self, batch: Batch, *, durable: bool) -> None:
        self.batches.append((batch, durable))
        super().write(batch, durable=durable)


class Story:
    """A chain with a node that executes its blocks and one that applies them; neither ever hears a vote."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.chain = EpochChain()
        self.founding = Trusted(self.chain.params.chain_id, self.chain.committee(), self.registered(0))
        self.rows = RecordedWrites()
        self.executes = Node(self.chain, self.rows, folder / "executes")
        self.applies = Node(self.chain, MemoryKeyValue(), folder / "applies")
        for node in (self.executes, self.applies):
            stack.callback(node.close)
        self._stored = 0

    def registered(self, epoch: int) -> tuple[Validator, ...]:
        return epochs.registered_at(self.chain.view, epoch) or ()

    def order(self, *checkpoints: Checkpoint, by: int = 0) -> None:
        """One block with these."""
        sender = self.chain.nodes[by].node
        self.chain.step([self.chain.item(sender, ops.Checkpoint(checkpoint)) for checkpoint in checkpoints])

    def store(self) -> None:
        """Both nodes take the blocks that they lack."""
        for commit in self.chain.commits[self._stored :]:
            draft, batches = ordered(commit)
            self.executes.opened = commit.opened
            certified = certain(self.executes.executor.execute(draft, batches, None))
            self.applies.executor.apply(draft, batches, certified, None)
        self._stored = len(self.chain.commits)

    def chains(self) -> Iterator[tuple[Link, ...]]:
        """What each node leads a light node along, from genesis to its newest link."""
        self.store()
        for node in (self.executes, self.applies):
            newest = node.stores.blocks.latest_certificates(CertificateKind.LINK)[0][0]
            yield between(node.stores.blocks, registered_root(self.founding.validators), 0, newest)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with contextlib.ExitStack() as stack:
        yield Story(tmp_path, stack)


def epochs_of(links: Sequence[Link]) -> list[int]:
    return [link.checkpoint.body.epoch for link in links]


def test_ordered_checkpoints_lead_from_genesis_to_later_sets_over_epochs_without_one(story: Story) -> None:
    chain = story.chain
    chain.join(4)
    chain.pass_epoch()
    story.order(chain.checkpoint([0, 1, 3]))
    chain.join(5)
    chain.pass_epoch()
    chain.pass_epoch()  # nobody orders a checkpoint of the close before
    story.order(chain.checkpoint([0, 1, 2, 4]), by=5)
    for links in story.chains():
        assert epochs_of(links) == [0, 2]
        trusted = follow_all(story.founding, links)
        assert (trusted.epoch, trusted.height) == (2, chain.record.close_height)
        assert trusted.validators == story.registered(3)
        assert len(trusted.validators) == 6
        assert trusted.committee.anchor == chain.record.id


def test_link_and_checkpoint_are_part_of_the_durable_write_of_their_block(story: Story) -> None:
    story.chain.pass_epoch()
    story.store()
    story.rows.batches.clear()
    story.order(story.chain.checkpoint([0, 1, 2]))
    story.store()
    ((batch, durable),) = story.rows.batches
    puts = [change for change in batch.changes if isinstance(change, Puts)]
    kinds = [key[0] for change in puts if change.family is Family.CERTIFICATE for key in change.keys]
    assert (kinds, durable) == ([CertificateKind.CHECKPOINT, CertificateKind.LINK], True)
    assert any(change.family is Family.COMMIT for change in puts)


def test_a_block_may_bring_two_checkpoints_though_the_second_ends_the_rows_of_the_first(story: Story) -> None:
    first = story.chain.pass_epoch()
    story.chain.pass_epoch()
    body = epochs.checkpoint_body(first, 4)
    story.order(story.chain.checkpoint([0, 1, 2], body), story.chain.checkpoint([1, 2, 3]))
    story.store()
    for node in (story.executes, story.applies):
        rows = node.stores.blocks.certificates(CertificateKind.LINK, limit=9)
        links = [decode(data, Link) for _, _, data in rows]
        assert epochs_of(links) == [0, 1]
        assert follow_all(story.founding, links).committee.anchor == story.chain.record.id


def test_what_the_rules_refuse_leaves_no_link(story: Story) -> None:
    story.chain.pass_epoch()
    good = story.chain.checkpoint([0, 1, 2])
    story.order(replace(good, signers=b"\x0d"))
    story.store()
    blocks = story.executes.stores.blocks
    assert not blocks.latest_certificates(CertificateKind.LINK)
    story.order(good)
    story.order(story.chain.checkpoint([1, 2, 3], good.body))  # another one of the same close comes too late
    story.store()
    assert [decode(data, Checkpoint) for _, _, data in blocks.latest_certificates(CertificateKind.CHECKPOINT, 9)] == [
        good
    ]
    assert [decode(data, Link).checkpoint for _, _, data in blocks.latest_certificates(CertificateKind.LINK, 9)] == [
        good
    ]
