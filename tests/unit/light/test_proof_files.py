"""Proof documents: the light node and the stand-alone script believe the same ones, and refuse the same lies."""

from __future__ import annotations

import json
from base64 import b64decode
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from proof_chain import ALICE, FOUNDERS, LATER, NOBODY, ProofChain, b64, by_id, certify, opened, script, sign_body

from octra.consensus.certificate import BlockHeader, Certificate
from octra.consensus.ledger.receipts import Receipt, Settlement
from octra.consensus.light import EarlierBlock, follow_all
from octra.crypto import ed25519
from octra.errors import InvalidInput
from octra.node import proof_file
from octra.node.light import LightNode, ProofRefused
from octra.primitives import address_of, parse_address, print_address

ALICES = print_address(address_of(ALICE.public))
Document = dict[str, Any]


class Actor:
    """What a light node trusts when it has followed nothing yet."""

    def __init__(self, chain: ProofChain) -> None:
        self.founding = self.trusted = chain.trusted
        self.link = None


@pytest.fixture(scope="session")
def verifier() -> ModuleType:
    return script()


@pytest.fixture(scope="session")
def documents(chain: ProofChain) -> dict[str, Document]:
    """One proof of each shape, by name."""
    account = chain.document("account", ALICES)
    newest = chain.document("transaction", chain.ids[-1].hex())
    return {
        "account": account,
        "absent": chain.document("account", NOBODY),
        "transaction": chain.document("transaction", chain.ids[2].hex()),
        "failed": newest,
        "earlier": chain.document("transaction", chain.ids[6].hex()),
        "by checkpoint": chain.by_checkpoint(chain.document("account", ALICES, 2)),
        "new committee": chain.of_new_committee(account),
        "new committee, transaction": chain.of_new_committee(newest),
        "checkpoint": {"schema": proof_file.SCHEMA, "kind": "checkpoint", "links": [b64(chain.link())]},
    }


NAMES = ("account", "absent", "transaction", "failed", "earlier", "by checkpoint", "new committee")
NAMES += ("new committee, transaction", "checkpoint")


def by_light_node(chain: ProofChain, document: Document) -> str | None:
    """Why the light node refuses it, or None."""
    node = LightNode(None, None, Actor(chain))  # type: ignore[arg-type]  # checking needs neither facts nor links
    try:
        document = dict(proof_file.read(json.dumps(document).encode()))
        if document["kind"] == "checkpoint":
            follow_all(chain.trusted, proof_file.parse_links(document))
        elif document["kind"] == "transaction":
            node.check_transaction(bytes.fromhex(document["id"]), document)
        else:
            node.check_account(parse_address(document["address"]), document)
    except InvalidInput as error:
        return str(error)
    return None


def by_script(verifier: ModuleType, chain: ProofChain, document: Document) -> str | None:
    """Why the script refuses it, or None."""
    try:
        verifier.verify(chain.genesis_file(), document)
    except verifier.Refused as error:
        return str(error)
    return None


def refused(chain: ProofChain, verifier: ModuleType, document: Document, reason: str) -> None:
    """Both refuse for a reason with these words."""
    assert reason in str(by_light_node(chain, document))
    assert reason in str(by_script(verifier, chain, document))


# --- what is true ---


@pytest.mark.parametrize("name", NAMES)
def test_real_proofs_are_believed(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document], name: str
) -> None:
    assert by_light_node(chain, documents[name]) is None
    assert by_script(verifier, chain, documents[name]) is None


def test_the_script_says_what_was_proven(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    said = {name: verifier.verify(chain.genesis_file(), document) for name, document in documents.items()}
    assert f"account {ALICES} holds" in said["account"]
    assert "nonce 9, at height 3" in said["account"]
    assert f"account {NOBODY} does not exist" in said["absent"]
    assert f"{chain.ids[2].hex()}: ok, fee 2000 units, number 2 of height 1" in said["transaction"]
    assert "failed (code 2104)" in said["failed"]
    assert "number 1 of height 2" in said["earlier"]
    assert "5 seats, 5 registered validators" in said["checkpoint"]


def test_the_script_ends_with_0_or_1(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document], tmp_path: Any, capsys: Any
) -> None:
    genesis, proof = tmp_path / "genesis.json", tmp_path / "proof.json"
    genesis.write_text(json.dumps(chain.genesis_file()))
    proof.write_text(json.dumps(documents["transaction"]))
    assert verifier.main([str(genesis), str(proof)]) == 0
    assert capsys.readouterr().out.startswith("proven: transaction")
    proof.write_text(json.dumps(documents["transaction"] | {"index": 1, "id": "00" * 32}))
    assert verifier.main([str(genesis), str(proof)]) == 1
    assert "refused: the receipt is of another transaction" in capsys.readouterr().out
    proof.write_text("[]")
    assert verifier.main([str(genesis), str(proof)]) == 1
    assert verifier.main([str(genesis), str(tmp_path / "missing")]) == 1


def test_settlements_of_other_transactions_do_not_hinder_a_receipt(verifier: ModuleType) -> None:
    chain = ProofChain()
    chain.block(2, certified=True, settlements=(Settlement(b"s" * 32, 1, "ok", 0, 5),))
    document = chain.document("transaction", chain.ids[1].hex())
    assert document["receipt_count"] == 3
    assert by_light_node(chain, document) is None
    assert by_script(verifier, chain, document) is None


def test_every_transaction_of_a_block_is_provable(chain: ProofChain) -> None:
    for tx_id in chain.ids:
        assert by_light_node(chain, chain.document("transaction", tx_id.hex())) is None


# --- what is not ---

PARTS = (
    "header",
    "certificate",
    "checkpoint",
    "value",
    "key",
    "proof",
    "receipt",
    "earlier",
    "links",
    "path",
    "receipt_path",
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_changed_byte_anywhere_and_both_refuse(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document], data: st.DataObject
) -> None:
    document = dict(documents[data.draw(st.sampled_from(NAMES))])
    part = data.draw(st.sampled_from([name for name in PARTS if document.get(name)]))
    whole = document[part]
    text = data.draw(st.sampled_from(whole)) if isinstance(whole, list) else whole
    raw = bytearray(b64decode(text))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed = b64(bytes(raw))
    document[part] = [changed if item == text else item for item in whole] if isinstance(whole, list) else changed
    assert by_light_node(chain, document) is not None
    assert by_script(verifier, chain, document) is not None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_parts_of_different_proofs_do_not_mix(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document], data: st.DataObject
) -> None:
    name, other = data.draw(st.lists(st.sampled_from(NAMES[:-1]), min_size=2, max_size=2, unique=True))
    part = data.draw(st.sampled_from(PARTS))
    document = dict(documents[name]) | {part: documents[other].get(part)}
    verdicts = by_light_node(chain, document), by_script(verifier, chain, document)
    assert (verdicts[0] is None) == (verdicts[1] is None), verdicts


def _certificate(document: Document) -> Certificate:
    return opened(document["certificate"], Certificate)  # type: ignore[no-any-return]


def test_a_certificate_needs_its_quorum_of_distinct_seats(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    document = documents["account"]
    good = _certificate(document)
    for headers, reason in (
        (good.headers[:2], "2 seats"),
        ((*good.headers[:2], good.headers[1]), "not distinct"),
        (good.headers[::-1], "not distinct"),
        ((*good.headers, good.headers[-1]), "4 seats"),
    ):
        refused(chain, verifier, document | {"certificate": b64(replace(good, headers=headers))}, reason)
    swapped = [replace(one, signature=two.signature) for one, two in zip(good.headers, good.headers[::-1], strict=True)]
    refused(chain, verifier, document | {"certificate": b64(replace(good, headers=tuple(swapped)))}, "signature of")


def test_a_forged_header_is_not_what_the_seats_named(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    document = documents["account"]
    header = opened(document["header"], BlockHeader)
    for forged in (replace(header, state_root=b"f" * 32), replace(header, height=9), replace(header, tx_count=7)):
        refused(chain, verifier, document | {"header": b64(forged)}, "certificate names another block")
    elsewhere = replace(header, chain_id="octra:localnet-00000000")
    refused(chain, verifier, document | {"header": b64(elsewhere)}, "block of another chain")
    refused(chain, verifier, document | {"header": b64(chain.headers[0])}, "certificate names another block")
    neither = document | {"certificate": None}
    refused(chain, verifier, neither, "one of certificate and checkpoint")


def test_a_committee_of_strangers_proves_nothing(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    document, header = documents["account"], chain.headers[-1]
    theirs = certify(header, LATER, chain.later_committee)
    refused(chain, verifier, document | {"certificate": b64(theirs)}, "another committee")
    claimed = certify(header, LATER, replace_anchor(chain))
    refused(chain, verifier, document | {"certificate": b64(claimed)}, "signature of")


def replace_anchor(chain: ProofChain) -> Any:
    """Strangers who sign under the anchor of the founders."""
    from dataclasses import replace as with_fields

    return with_fields(chain.later_committee, anchor=chain.committee.anchor, seats=chain.committee.seats)


def test_a_checkpoint_needs_more_than_two_thirds(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    at_2 = chain.document("account", ALICES, 2)
    refused(chain, verifier, chain.by_checkpoint(at_2, 2), " of 4")
    # Exactly two thirds: a registered set of three, whose two signers are right.
    trio = by_id(FOUNDERS)[:3]
    exactly = sign_body(chain.body(), trio, 2)
    of_three = [[node.key.public, node.bls.public()] for node in trio]
    trust = verifier.Trust(chain.genesis_file())
    trust.registered = of_three
    with pytest.raises(verifier.Refused, match="2 of 3"):
        trust.check_checkpoint(verifier.unpack(b64decode(b64(exactly)), "checkpoint"))
    from octra.consensus.checkpoint import verify_checkpoint

    with pytest.raises(InvalidInput, match="2 signers of 3"):
        verify_checkpoint(exactly, [node.validator for node in trio])
    assert trust.check_checkpoint(verifier.unpack(b64decode(b64(sign_body(chain.body(), trio, 3))), "checkpoint"))


def test_a_bitmap_that_names_more_than_signed_is_refused(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    at_2 = chain.document("account", ALICES, 2)
    good = sign_body(chain.body(), FOUNDERS, 3)
    for bits, reason in ((b"\x0f", "aggregate"), (b"\x0b", "aggregate"), (b"\x17", "bitmap"), (b"\x07\0", "bitmap")):
        document = at_2 | {"certificate": None, "checkpoint": b64(replace(good, signers=bits))}
        refused(chain, verifier, document, reason)


def test_forged_links_lead_nowhere(chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]) -> None:
    account, link = documents["account"], chain.link()
    for forged, reason in (
        (chain.link(signers=2), " of 4"),
        (chain.link(nodes=LATER[:4]), "registered set is not the one"),
        (replace(link, validators=link.validators[::-1]), "registered set is not in order"),
        (replace(link, validators=(link.validators[0],) * 5), "registered set is not in order"),
        (replace(link, record=replace(chain.record, seats_next=tuple(n.key.public for n in FOUNDERS))), "epoch record"),
        (replace(link, record=None), "epoch record is missing"),
        (chain.link(chain_id="octra:localnet-00000000"), "another chain"),
        (chain.link(height=0), "not newer"),
    ):
        refused(chain, verifier, chain.of_new_committee(account, forged), reason)
    twice = chain.of_new_committee(account)
    twice["links"] *= 2
    assert by_light_node(chain, twice) is not None
    assert by_script(verifier, chain, twice) is not None


def test_a_receipt_is_of_its_transaction_height_and_outcome(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    document = documents["transaction"]
    receipt = opened(document["receipt"], Receipt)
    for forged, reason in (
        (replace(receipt, status="failed"), "block's receipts"),
        (replace(receipt, fee_charged=1), "block's receipts"),
        (replace(receipt, height=2), "another height"),
        (replace(receipt, index=3), "block's transactions"),
        (replace(receipt, detail="paid in full"), "nobody signe"),
        (replace(receipt, tx=b"\x09" * 32), "another transaction"),
    ):
        refused(chain, verifier, document | {"receipt": b64(forged)}, reason if forged.detail == "" else "nobody sign")
    refused(chain, verifier, document | {"count": 6}, "another number of transactions")


def test_roots_of_an_earlier_block_must_be_in_the_state(
    chain: ProofChain, verifier: ModuleType, documents: dict[str, Document]
) -> None:
    document = documents["earlier"]
    earlier = opened(document["earlier"], EarlierBlock)
    forged = replace(earlier, roots=replace(earlier.roots, receipts_root=b"r" * 32))
    assert by_light_node(chain, document | {"earlier": b64(forged)}) is not None
    assert by_script(verifier, chain, document | {"earlier": b64(forged)}) is not None
    refused(chain, verifier, document | {"earlier": None}, "number of transactions")


def test_a_proof_of_one_account_is_none_of_another(chain: ProofChain, verifier: ModuleType, documents: Any) -> None:
    document = documents["account"] | {"address": NOBODY}
    refused(chain, verifier, document, "another account")
    with pytest.raises(ProofRefused, match="does not lead"):
        LightNode(None, None, Actor(chain)).check_account(  # type: ignore[arg-type]
            parse_address(ALICES), documents["account"] | {"value": None}
        )


def test_the_script_checks_signatures_as_the_node_does(verifier: ModuleType) -> None:
    from pathlib import Path

    vectors = json.loads((Path(__file__).parents[2] / "vectors/crypto/ed25519.json").read_text())
    for reason, key, signature, message, valid in vectors[:: max(1, len(vectors) // 100)]:
        given_bytes = [bytes.fromhex(text) for text in (key, signature, message)]
        assert verifier.ed25519(*given_bytes) == ed25519.verify(*given_bytes) == valid, reason
