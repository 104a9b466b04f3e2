"""A light node over a fake link: whatever a full node forges is refused with its reason, and an honest one is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from msgspec.structs import replace
from proof_chain import ALICE, FOUNDERS, LATER, NOBODY, ProofChain, b64, certify, opened, sign_body

from octra.codec import decode, encode
from octra.consensus.certificate import BlockHeader
from octra.consensus.checkpoint import Checkpoint, registered_root
from octra.consensus.light import Link
from octra.errors import OctraError
from octra.node.following import Trust
from octra.node.light import LightActor, LightNode, NobodyAnswers, ProofRefused
from octra.node.p2p.messages import LatestAnswer, ProofRequest, SyncMessage
from octra.primitives import address_of, parse_address

Forge = Callable[[dict[str, Any]], dict[str, Any]]
ADDRESS = address_of(ALICE.public)


class FakeLink:
    """Peers by name, each a function from a message to its answer: the link that a light node asks over."""

    def __init__(self, peers: dict[bytes, Callable[[IntEnum, bytes], bytes]]) -> None:
        self._peers = peers

    def peers(self) -> dict[bytes, Any]:
        return {
            name: SimpleNamespace(hello=SimpleNamespace(role=SimpleNamespace(name="STANDARD"))) for name in self._peers
        }

    async def ask(self, peer: bytes, actor: int, message: IntEnum, body: bytes, **_: object) -> bytes:
        return self._peers[peer](message, body)


def server(chain: ProofChain, forge: Forge = lambda document: document, **latest: bytes) -> Any:
    """A full node that proves what it is asked for, after `forge` has been at it."""

    def answer(message: IntEnum, body: bytes) -> bytes:
        if message is SyncMessage.LATEST:
            honest = LatestAnswer(encode(chain.headers[-1]), chain.certificate(3) or b"")
            return encode(replace(honest, **latest))
        assert message is SyncMessage.PROVE
        request = decode(body, ProofRequest)
        return json.dumps(forge(chain.document(request.kind, request.name))).encode()

    return answer


def light(chain: ProofChain, tmp_path: Path, *servers: Any) -> tuple[LightNode, LightActor]:
    link: Any = FakeLink({bytes([number]) * 32: one for number, one in enumerate(servers)})
    facts: Any = SimpleNamespace(genesis=chain.genesis, committee=chain.committee, directory=tmp_path)
    actor = LightActor(facts, link, Trust(chain.trusted))
    actor._context = SimpleNamespace(log=structlog.get_logger())  # type: ignore[assignment]  # all that asking needs
    return LightNode(facts, link, actor), actor


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def forgeries(chain: ProofChain) -> list[tuple[Forge, str]]:
    newest = chain.headers[-1]
    strangers = b64(certify(newest, LATER, chain.later_committee))

    def forged_header(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"header": b64(replace(opened(document["header"], BlockHeader), time_ms=1))}

    return [
        (forged_header, "certificate names another block"),
        (lambda d: d | {"header": b64(chain.headers[0])}, "certificate names another block"),
        (lambda d: d | {"certificate": strangers}, "another committee"),
        (lambda d: d | {"certificate": None}, "exactly one of"),
        (lambda d: d | {"links": [b64(chain.link(signers=2))]}, "2 signers of 4"),
        (lambda d: chain.of_new_committee(d, replace(chain.link(), record=None)), "epoch record is missing"),
        (lambda d: chain.of_new_committee(d, chain.link(nodes=LATER[:4])), "registered set"),
        (lambda d: d | {"header": "not base64!"}, "base64"),
        (lambda d: d | {"schema": "other"}, "schema"),
    ]


def test_forged_accounts_are_refused_with_the_reason(chain: ProofChain, tmp_path: Path) -> None:
    own: list[tuple[Forge, str]] = [
        (lambda d: d | {"value": b64([10**15, 9, 0])}, "state root"),
        (lambda d: d | {"value": None}, "state root"),
        (lambda d: chain.document("account", NOBODY), "another account"),
    ]
    for forge, reason in forgeries(chain) + own:
        node, _ = light(chain, tmp_path, server(chain, forge))
        with pytest.raises(OctraError, match=reason):
            run(node.verified_account(ADDRESS))


def test_forged_transactions_are_refused_with_the_reason(chain: ProofChain, tmp_path: Path) -> None:
    own: list[tuple[Forge, str]] = [
        (lambda d: chain.document("transaction", chain.ids[0].hex()), "another transaction"),
        (lambda d: d | {"receipt_path": [b64(bytes(32))]}, "block's receipts"),
        (lambda d: d | {"count": 2}, "another number of transactions"),
    ]
    for forge, reason in forgeries(chain) + own:
        node, _ = light(chain, tmp_path, server(chain, forge))
        with pytest.raises(OctraError, match=reason):
            run(node.verified_transaction(chain.ids[-1]))


def test_behind_a_liar_an_honest_node_is_asked(chain: ProofChain, tmp_path: Path) -> None:
    liar = server(chain, lambda document: document | {"certificate": None})
    node, _ = light(chain, tmp_path, liar, server(chain))
    assert run(node.verified_account(ADDRESS)).account.nonce == 9
    assert run(node.verified_account(parse_address(NOBODY))).account is None
    assert run(node.verified_transaction(chain.ids[6])).receipt.height == 2
    with pytest.raises(ProofRefused):
        run(light(chain, tmp_path, liar)[0].verified_account(ADDRESS))
    with pytest.raises(NobodyAnswers):
        run(light(chain, tmp_path)[0].verified_account(ADDRESS))


def fixed_checkpoint(chain: ProofChain, signers: int = 3) -> Checkpoint:
    """Of the second block: set and committee stay."""
    founders = registered_root(chain.trusted.validators)
    body = chain.body(epoch_record=chain.committee.anchor, registered_root=founders, registered_count=4)
    return sign_body(body, FOUNDERS, signers)


def test_news_of_a_liar_moves_neither_head_nor_trust(chain: ProofChain, tmp_path: Path) -> None:
    newest = chain.headers[-1]
    for one in (
        server(chain, header=encode(replace(newest, height=99))),
        server(chain, certificate=encode(certify(newest, LATER, chain.later_committee))),
        server(chain, checkpoint=encode(fixed_checkpoint(chain, signers=2))),
        server(chain, checkpoint=encode(chain.link().checkpoint)),  # names another committee
        server(chain, checkpoint=b"none"),
    ):
        _, actor = light(chain, tmp_path, one)
        run(actor._ask_all())
        assert actor.refused == 1
        assert actor.trusted == chain.trusted
        assert actor.head is None


def test_honest_news_move_head_and_trust_and_are_kept(chain: ProofChain, tmp_path: Path) -> None:
    checkpoint = fixed_checkpoint(chain)
    _, actor = light(chain, tmp_path, server(chain, checkpoint=encode(checkpoint)))
    run(actor._ask_all())
    assert actor.refused == 0
    assert actor.head == chain.headers[-1]
    assert (actor.trusted.height, actor.trusted.committee) == (2, chain.committee)
    assert (tmp_path / "trust.bin").read_bytes() == encode([b"", Link(checkpoint, chain.trusted.validators)])
