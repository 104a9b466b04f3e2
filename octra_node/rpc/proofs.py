"""Makes proof documents (docs/spec/proofs.md) from a node's store: for RPC, REST and light nodes alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from octra.circles.identity import parse_circle
from octra.codec import decode, encode
from octra.consensus.certificate import Certificate
from octra.consensus.genesis import Genesis
from octra.consensus.ledger import keys
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.ledger.records import CommitRecord
from octra.consensus.light import EarlierBlock, Link, Place, signed_part
from octra.consensus.statetree import TreeProof
from octra.crypto.hash import merkle_path
from octra.node.links import links_of
from octra.node.proof_file import SCHEMA
from octra.node.rpc.errors import BadRequest, NotFound
from octra.node.rpc.present import Json, b64
from octra.node.rpc.reading import StoredView
from octra.node.rpc.service import parse_id
from octra.primitives import parse_address
from octra.storage.blocks import CertificateKind

CERTIFICATES_LOOKED_AT: Final = 8
KEY_BYTES_MAX: Final = 512  # of the global state


class Source(Protocol):
    """What a proof needs of the node beside its store."""

    @property
    def genesis(self) -> Genesis: ...
    def certificate(self, height: int) -> bytes | None: ...


def document(source: Source, view: StoredView, kind: str, name: str, height: int | None = None) -> Json:
    """The proof of a thing by its kind and printed name; raises `BadRequest`, `NotFound` or the name's own error."""
    match kind:
        case "transaction":
            return _of_transaction(prove_transaction(source, view, parse_id(name)))
        case "checkpoint":
            return _of_checkpoint(prove_checkpoint(source, view))
        case _:
            return _of_state(prove(source, view, kind, name, height))


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """A block with all that a light node needs to believe it, beside the genesis. Parts as bytes, as they are stored.

    Without certificate and checkpoint nothing proves the block just now.
    """

    height: int
    header: bytes | None  # BlockHeader
    certificate: bytes | None = None
    checkpoint: bytes | None = None  # where there is no certificate
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class StateProof:
    """A state value, or its absence, under the state root of a block."""

    kind: str
    name: str
    key: bytes
    value: bytes | None
    proof: TreeProof
    state_root: bytes
    block: ProvenBlock


def prove(source: Source, view: StoredView, kind: str, name: str, height: int | None = None) -> StateProof:
    """Prove a part of the state: at a height, or at the newest one that is itself proven."""
    key = state_key(kind, name)
    block = _proven_block(source, view, height)
    proven = view.prove(key, block.height)
    return StateProof(kind, name, key, proven.value, proven.proof, proven.root, block)


def prove_checkpoint(source: Source, view: StoredView) -> tuple[Link, ...]:
    """The links from the genesis to the newest checkpoint; raises `NotFound` before the first."""
    links = links_of(view.blocks, source.genesis)
    if not links:
        raise NotFound("checkpoint")
    return links


def _proven_block(source: Source, view: StoredView, height: int | None) -> ProvenBlock:
    """A height with its certificate, else with a checkpoint of just that height; by default the newest such height."""
    links = links_of(view.blocks, source.genesis) if source.genesis.drawn else ()
    held = [
        (h, data)
        for _, h, data in view.blocks.latest_certificates(CertificateKind.CERTIFICATE, CERTIFICATES_LOOKED_AT)
        if h <= view.height and _is_of(data, links)
    ]
    certificate: bytes | None
    if height is None and held:
        height, certificate = held[0]
    else:
        if height is None:
            height = links[-1].checkpoint.body.height if links else view.height
        found = next((data for h, data in held if h == height), None) or source.certificate(height)
        certificate = found if found is not None and _is_of(found, links) else None
    commit = view.blocks.commit(height)
    header = None if commit is None else commit.header
    if certificate is not None:
        return ProvenBlock(height, header, certificate, None, links)
    signed = view.blocks.latest_certificates(CertificateKind.CHECKPOINT, CERTIFICATES_LOOKED_AT)
    checkpoint = next((data for _, h, data in signed if h == height), None)
    below = tuple(link for link in links if link.checkpoint.body.height < height)
    return ProvenBlock(height, header, None, checkpoint, below)


def _is_of(certificate: bytes, links: tuple[Link, ...]) -> bool:
    """Is it of the committee that the links lead to? Where none lead anywhere, the committee is the first."""
    record = links[-1].record if links else None
    return record is None or decode(certificate, Certificate).anchor == record.id


def state_key(kind: str, name: str) -> bytes:
    """Key of the global state for a kind of thing and its printed name; raises `BadRequest` or the name's own error."""
    match kind:
        case "account":
            return keys.account(parse_address(name))
        case "private":
            return keys.private(parse_address(name))
        case "handle":
            return keys.handle(parse_id(name))
        case "circle":
            return keys.circle(parse_circle(name))
        case "state":
            return parse_key(name)
        case _:
            raise BadRequest("a proof is of an account, private, handle, circle, state, transaction or checkpoint")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A transaction and its receipt: one place under the transaction root and the receipts root of a height."""

    receipt: Receipt  # as signed: without its text for people
    count: int
    path: tuple[bytes, ...]
    outcome: Place
    block: ProvenBlock
    earlier: EarlierBlock | None  # where only a later block is proven, whose state holds the roots of that height


def prove_transaction(source: Source, view: StoredView, tx_id: bytes) -> InclusionProof:
    """Prove that a transaction was executed, and with what outcome; raises `NotFound`."""
    found = view.transaction(tx_id)
    commit = None if found is None or found.height is None else view.blocks.commit(found.height)
    if found is None or found.receipt is None or found.height is None or commit is None:
        raise NotFound("executed transaction")
    receipts = [signed_part(receipt) for receipt in view.receipts(found.height)]
    index = found.receipt.index
    block, earlier = _proven_block(source, view, found.height), None
    if block.certificate is None and (
        block.checkpoint is None or _proven_block(source, view, None).height > found.height
    ):
        block, earlier = _in_later_block(source, view, found.height)  # who follows the chain believes no old checkpoint
    ids = [receipt.tx for receipt in receipts]
    leaves = [encode(item) for item in (*receipts, *view.settlements(found.height))]
    return InclusionProof(
        receipt=receipts[index],
        count=len(ids),
        path=merkle_path(ids, index),
        outcome=Place(len(leaves), merkle_path(leaves, index)),
        block=block,
        earlier=earlier,
    )


def _in_later_block(source: Source, view: StoredView, height: int) -> tuple[ProvenBlock, EarlierBlock]:
    """The newest proven block, whose state holds the roots of `height`."""
    block = _proven_block(source, view, None)
    proven = view.prove(keys.commit_record(height), block.height)
    roots = None if proven.value is None else decode(proven.value, CommitRecord)
    if roots is None or roots.height != height or block.height <= height:
        raise NotFound("proof of that block")
    return block, EarlierBlock(roots, proven.proof)


def parse_key(text: str) -> bytes:
    """A state key of lower-case hex digits; raises `BadRequest`."""
    if not text or len(text) > 2 * KEY_BYTES_MAX or len(text) % 2 or not set(text) <= set("0123456789abcdef"):
        raise BadRequest("a state key is lower-case hex digits")
    return bytes.fromhex(text)


# --- documents ---


def _of_state(proof: StateProof) -> Json:
    """A proof document of one state key (docs/spec/proofs.md)."""
    named = {"address": proof.name} if proof.kind == "account" else {}
    return {
        "schema": SCHEMA,
        "kind": proof.kind,
        **named,
        "key": b64(proof.key),
        "value": None if proof.value is None else b64(proof.value),
        "height": proof.block.height,
        "state_root": proof.state_root.hex(),
        "proof": b64(encode(proof.proof)),
        **_of_block(proof.block),
    }


def _of_transaction(proof: InclusionProof) -> Json:
    """A proof document of a transaction with its receipt."""
    return {
        "schema": SCHEMA,
        "kind": "transaction",
        "id": proof.receipt.tx.hex(),
        "height": proof.receipt.height,
        "index": proof.receipt.index,
        "count": proof.count,
        "path": [b64(node) for node in proof.path],
        "receipt": b64(encode(proof.receipt)),
        "receipt_count": proof.outcome.count,
        "receipt_path": [b64(node) for node in proof.outcome.path],
        "earlier": None if proof.earlier is None else b64(encode(proof.earlier)),
        **_of_block(proof.block),
    }


def _of_checkpoint(links: tuple[Link, ...]) -> Json:
    """A proof document of the newest checkpoint, with the committee and the registered set that it names."""
    body = links[-1].checkpoint.body
    return {
        "schema": SCHEMA,
        "kind": "checkpoint",
        "height": body.height,
        "epoch": body.epoch,
        "links": [b64(encode(link)) for link in links],
    }


def _of_block(block: ProvenBlock) -> Json:
    parts = {"header": block.header, "certificate": block.certificate, "checkpoint": block.checkpoint}
    encoded = {name: None if data is None else b64(data) for name, data in parts.items()}
    return encoded | {"links": [b64(encode(link)) for link in block.links]}
