"""A light node follows a chain whose committees are drawn: from epoch to epoch, never back, past all who lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from proof_chain import ALICE, FOUNDERS, LATER, NODES, Node, ProofChain, b64, by_id, certify, sign_body

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import registered_root
from octra.consensus.epoch import Committee, EpochRecord
from octra.consensus.light import Link, follow_all
from octra.node import links
from octra.node.actors.ref import RefusalCode, Refused
from octra.node.chain import genesis_record
from octra.node.following import Trust
from octra.node.light import LightActor, LightNode, ProofRefused
from octra.node.p2p.messages import LatestAnswer, LinkList, LinksRequest, SnapshotMessage, SyncMessage
from octra.primitives import NodeId, address_of, print_address
from octra.storage.blocks import BlockStore, CertificateKind
from octra.storage.kv import Batch
from octra.storage.memory import MemoryKeyValue

# Who sits and signs in each epoch: the founders come back, then are gone.
SETS: tuple[Sequence[Node], ...] = (FOUNDERS, NODES[1:5], FOUNDERS, LATER, NODES[3:])
Answer = Callable[[IntEnum, bytes], bytes]


class Epochs:
    """Five epochs of ten blocks; each close is signed by the set that the one before named."""

    def __init__(self, chain: ProofChain) -> None:
        self.chain = chain
        self.store = MemoryKeyValue()
        self.blocks = BlockStore(self.store)
        rows = Batch()
        self.links = [self.link(epoch) for epoch in range(len(SETS) - 1)]
        for link in self.links:
            links.put(rows, self.blocks, link)
        self.store.write(rows, durable=True)

    def header(self, height: int, epoch: int) -> BlockHeader:
        return replace(self.chain.headers[-1], height=height, epoch=epoch)

    def record(self, epoch: int) -> EpochRecord:
        """Opens an epoch."""
        seats = tuple(node.key.public for node in SETS[epoch])
        return replace(genesis_record(self.chain.genesis), epoch=epoch, close_height=10 * epoch, seats_next=seats)

    def committee(self, epoch: int) -> Committee:
        if epoch == 0:
            return self.chain.committee
        return Committee(self.record(epoch).id, tuple(NodeId(node.key.public) for node in SETS[epoch]), b"", ())

    def link(self, epoch: int, *, signers: int | None = None, **changes: Any) -> Link:
        """From the set of an epoch to the next one."""
        header, record = self.header(10 * (epoch + 1), epoch), self.record(epoch + 1)
        registered = tuple(node.validator for node in by_id(SETS[epoch + 1]))
        body = self.chain.body(
            epoch=epoch, height=header.height, block_id=header.block_id, epoch_record=record.id,
            registered_root=registered_root(registered), registered_count=len(registered), **changes,
        )  # fmt: skip
        signing = SETS[epoch]
        return Link(sign_body(body, signing, signers or len(signing)), registered, record)

    def named(self, id: bytes) -> Link:
        """The link of the checkpoint with this id."""
        for link in self.links:
            if link.checkpoint.id == id:
                return link
        raise Refused(RefusalCode.NOT_FOUND)

    def server(self, epoch: int, *, height: int = 0, told: Link | None = None, given: Sequence[Link] = ()) -> Answer:
        """A full node whose newest checkpoint opened `epoch`; a liar tells or gives what it is told to."""
        header = self.header(height or 10 * epoch + 5, epoch)
        certificate = certify(header, SETS[epoch], self.committee(epoch))
        newest = told or (self.links[epoch - 1] if epoch else None)
        latest = LatestAnswer(encode(header), encode(certificate), encode(newest.checkpoint) if newest else b"")

        def answer(message: IntEnum, body: bytes) -> bytes:
            if message is SyncMessage.LATEST:
                return encode(latest)
            if message is SnapshotMessage.LINK:
                return encode(self.named(body))
            assert message is SnapshotMessage.LINKS
            wanted = decode(body, LinksRequest)
            found = given or links.between(self.blocks, wanted.root, wanted.from_epoch, wanted.to_epoch)
            return encode(LinkList(tuple(found)[:1]))  # one at a time, as if each were large

        return answer


class Light:
    """A light node over a link of functions, and what its log says."""

    def __init__(self, chain: ProofChain, home: Path, checkpoint: bytes | None = None) -> None:
        self.warnings: list[dict[str, Any]] = []
        self.servers: dict[bytes, Answer] = {}
        genesis = SimpleNamespace(chain_id=chain.genesis.chain_id, validators=chain.genesis.validators, drawn=True)
        facts: Any = SimpleNamespace(genesis=genesis, committee=chain.committee, directory=home)
        router: Any = self
        self.actor = LightActor(facts, router, Trust(chain.trusted, checkpoint))
        self.node = LightNode(facts, router, self.actor)
        self.anchors: list[bytes] = []
        self.actor.on_move.append(lambda committee: self.anchors.append(committee.anchor))
        context: Any = SimpleNamespace(
            log=SimpleNamespace(info=lambda *_, **__: None, warning=lambda _, **facts: self.warnings.append(facts)),
            clock=SimpleNamespace(monotonic_ms=lambda: 0),
            timer=lambda *_: None,
        )
        asyncio.run(self.actor.start(context))

    def peers(self) -> dict[bytes, Any]:
        hello = SimpleNamespace(role=SimpleNamespace(name="STANDARD"))
        return {name: SimpleNamespace(hello=hello) for name in self.servers}

    async def ask(self, peer: bytes, actor: int, message: IntEnum, body: bytes, **_: object) -> bytes:
        return self.servers[peer](message, body)

    def look(self, *servers: Answer) -> None:
        """Ask these once."""
        self.servers = {bytes([number]) * 32: server for number, server in enumerate(servers)}
        asyncio.run(self.actor._ask_all())


@pytest.fixture(scope="module")
def epochs(chain: ProofChain) -> Epochs:
    return Epochs(chain)


@pytest.fixture
def light(chain: ProofChain, tmp_path: Path) -> Light:
    return Light(chain, tmp_path)


def test_trust_moves_with_each_checkpoint_and_the_head_is_of_its_committee(epochs: Epochs, light: Light) -> None:
    for epoch in range(len(SETS)):
        light.look(epochs.server(epoch))
        assert light.actor.trusted.committee.anchor == epochs.committee(epoch).anchor
        assert light.actor.trusted.height == 10 * epoch
        assert light.actor.head == epochs.header(10 * epoch + 5, epoch)
    assert not light.warnings
    assert light.anchors == [epochs.committee(epoch).anchor for epoch in range(1, len(SETS))]


def test_who_was_away_goes_on_where_it_was_even_if_its_set_came_and_went(
    epochs: Epochs, chain: ProofChain, light: Light, tmp_path: Path
) -> None:
    light.look(epochs.server(1))
    again = Light(chain, tmp_path)
    assert again.actor.trusted == light.actor.trusted
    again.look(epochs.server(4))
    assert again.actor.trusted.committee.anchor == epochs.committee(4).anchor
    assert len(again.anchors) == 2, "what is on disk, and the last"
    (tmp_path / "trust.bin").write_bytes(b"broken")
    assert Light(chain, tmp_path).actor.trusted.height == 0


def test_trust_can_begin_at_a_checkpoint_that_the_operator_names(
    epochs: Epochs, chain: ProofChain, tmp_path: Path
) -> None:
    id = epochs.links[2].checkpoint.id
    light = Light(chain, tmp_path, id)

    def without(message: IntEnum, body: bytes) -> bytes:
        if message is SnapshotMessage.LINK:
            raise Refused(RefusalCode.NOT_FOUND)
        return epochs.server(2)(message, body)

    def another(message: IntEnum, body: bytes) -> bytes:
        return encode(epochs.links[1]) if message is SnapshotMessage.LINK else epochs.server(2)(message, body)

    light.look(without, another)
    assert (light.actor.trusted.height, light.actor.head) == (0, None), "nothing below it is believed"
    (warning,) = light.warnings
    assert "not the checkpoint that is trusted" in warning["reason"]
    assert light.actor.looking
    light.look(epochs.server(4))
    assert light.anchors == [epochs.committee(epoch).anchor for epoch in (3, 4)]
    assert light.actor.head == epochs.header(45, 4)

    again = Light(chain, tmp_path, id)
    assert not again.actor.looking, "it is asked for once"
    assert again.actor.trusted == light.actor.trusted
    other = Light(chain, tmp_path, epochs.links[3].checkpoint.id)
    assert other.actor.looking, "what the operator names now comes before what was followed"
    assert other.actor.trusted.height == 0


def test_what_a_past_committee_certifies_is_not_looked_at(epochs: Epochs, light: Light) -> None:
    light.look(epochs.server(3))
    head = light.actor.head
    light.look(epochs.server(2, height=99))
    assert (light.actor.head, light.actor.trusted.height) == (head, 30)


def test_a_liar_is_refused_by_name_and_another_peer_is_believed(
    epochs: Epochs, chain: ProofChain, light: Light
) -> None:
    light.look(epochs.server(3))
    good = epochs.links[3]
    later, few = epochs.link(3, state_root=bytes(32)), epochs.link(3, signers=3)
    sold = sign_body(replace(good.checkpoint.body, epoch=9, height=999), FOUNDERS, 4)
    forged = Link(sold, good.validators, good.record)
    assert follow_all(chain.trusted, (forged,)).height == 999, "the founders' old keys would do for who begins there"
    lies: list[tuple[Answer, str]] = [
        (epochs.server(4, told=forged, given=[forged]), "bitmap|signers|aggregate"),
        (epochs.server(4, told=few, given=[few]), "3 signers of 5"),
        (epochs.server(4, given=[replace(good, validators=good.validators[:3])]), "registered set"),
        (epochs.server(4, given=[replace(good, record=epochs.record(2))]), "epoch record is not"),
        (epochs.server(4, given=[replace(good, record=None)]), "epoch record is missing"),
        (epochs.server(4, given=[epochs.links[1]]), "signers of 5|bitmap|aggregate|not newer"),
        (epochs.server(4, given=[later]), "another checkpoint of that epoch"),
        (epochs.server(4, told=replace(good, checkpoint=sold)), "lead nowhere"),
    ]
    trusted, head = light.actor.trusted, light.actor.head
    for number, (liar, reason) in enumerate(lies):
        light.look(liar)
        assert (light.actor.trusted, light.actor.head) == (trusted, head), reason
        assert len(light.warnings) == light.actor.refused == number + 1
        assert light.warnings[-1]["peer"] == "00000000"
        assert any(words in light.warnings[-1]["reason"] for words in reason.split("|")), light.warnings[-1]
    light.look(lies[0][0], epochs.server(4))
    assert light.actor.trusted.committee.anchor == epochs.committee(4).anchor
    assert light.actor.head == epochs.header(45, 4)


def test_a_peer_that_has_no_links_yet_is_not_blamed(epochs: Epochs, light: Light) -> None:
    def without(message: IntEnum, body: bytes) -> bytes:
        if message is SnapshotMessage.LINKS:
            raise Refused(RefusalCode.NOT_FOUND)
        return epochs.server(1)(message, body)

    light.look(epochs.server(0), without)
    assert light.actor.trusted.height == 0
    assert light.actor.head == epochs.header(5, 0)
    light.look(without, epochs.server(1))
    assert light.actor.trusted.height == 10
    assert not light.warnings


def test_proofs_are_believed_under_the_current_committee_only(chain: ProofChain, light: Light) -> None:
    address = address_of(ALICE.public)
    of_founders = chain.document("account", print_address(address))
    of_later = chain.of_new_committee(of_founders)
    assert light.node.check_account(address, of_founders).header == chain.headers[-1]
    assert light.node.check_account(address, of_later).header == chain.headers[-1], "links lead ahead"
    link = chain.link()
    light.actor._move(link, follow_all(chain.trusted, (link,)))
    assert light.node.check_account(address, of_later).header == chain.headers[-1]
    with pytest.raises(ProofRefused, match="another committee"):
        light.node.check_account(address, of_founders)
    sold = sign_body(replace(link.checkpoint.body, epoch=9, height=999), FOUNDERS, 4)
    with pytest.raises(ProofRefused, match="aggregate signature"):
        light.node.check_account(address, chain.of_new_committee(of_founders, replace(link, checkpoint=sold)))


def test_the_checkpoint_that_is_trusted_proves_its_block_though_an_older_set_signed_it(
    chain: ProofChain, light: Light
) -> None:
    address = address_of(ALICE.public)
    proof = chain.by_checkpoint(chain.document("account", print_address(address), 2))
    link = chain.link()
    light.actor._move(link, follow_all(chain.trusted, (link,)))
    assert light.node.check_account(address, proof).header == chain.headers[1]
    other = sign_body(chain.body(epoch=1), FOUNDERS, 3)
    with pytest.raises(ProofRefused, match=r"bitmap|signers|aggregate"):
        light.node.check_account(address, proof | {"checkpoint": b64(other)})


def test_a_transaction_below_an_old_checkpoint_is_proven_by_the_newest_certificate() -> None:
    chain = ProofChain().grown()
    rows = Batch()
    checkpoint = encode(sign_body(chain.body(), FOUNDERS, 3))
    chain.blocks.put_certificate(rows, CertificateKind.CHECKPOINT, 0, 2, checkpoint)
    chain.rows.write(rows, durable=True)
    found = chain.document("transaction", chain.ids[6].hex())
    assert (found["height"], found["checkpoint"], found["certificate"]) == (2, None, b64(chain.certificate(3)))
    assert found["earlier"] is not None
