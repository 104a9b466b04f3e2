"""Proof documents (docs/spec/proofs.md): the JSON that `octra_proof` answers and proof files hold, as checked types."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, TypeVar

from octra.codec import decode
from octra.consensus.certificate import BlockHeader, Certificate
from octra.consensus.checkpoint import Checkpoint
from octra.consensus.ledger.receipts import Receipt
from octra.consensus.light import BlockProof, EarlierBlock, Link, Place, StateProof, TransactionProof
from octra.consensus.statetree import TreeProof
from octra.errors import Malformed

SCHEMA = "octra.proof-file/v1"
DOCUMENT_BYTES_MAX = 1 << 20  # 4,096 links without changes of the registered set are one; 1 MiB holds 60 sets of 128
LINKS_MAX, PATH_MAX = 4_096, 32

T = TypeVar("T")
Document = Mapping[str, Any]  # JSON: nothing is known of it until it is parsed


def read(data: bytes) -> Document:
    """The document in JSON bytes, not looked into yet; raises `Malformed`."""
    if len(data) > DOCUMENT_BYTES_MAX:
        raise Malformed("proof", f"it is longer than {DOCUMENT_BYTES_MAX} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("proof", "it is not JSON") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise Malformed("proof", f"its schema is not {SCHEMA}")
    return document


def parse_state(document: Document) -> StateProof:
    """The proof of a state key; raises `Malformed`."""
    value = None if document.get("value") is None else _bytes(document, "value")
    return StateProof(_block(document), _bytes(document, "key"), value, _part(document, "proof", TreeProof))


def parse_transaction(document: Document) -> TransactionProof:
    """The proof of a transaction and its receipt; raises `Malformed`."""
    earlier = None if document.get("earlier") is None else _part(document, "earlier", EarlierBlock)
    return TransactionProof(
        block=_block(document),
        receipt=_part(document, "receipt", Receipt),
        transaction=Place(_count(document, "count"), _path(document, "path")),
        outcome=Place(_count(document, "receipt_count"), _path(document, "receipt_path")),
        earlier=earlier,
    )


def parse_links(document: Document) -> tuple[Link, ...]:
    """The links from the genesis on; raises `Malformed`."""
    items = document.get("links", [])
    if not isinstance(items, list) or len(items) > LINKS_MAX:
        raise Malformed("proof", "links is no list of links")
    return tuple(_part({"link": item}, "link", Link) for item in items)


def _block(document: Document) -> BlockProof:
    certificate, checkpoint = (document.get(name) for name in ("certificate", "checkpoint"))
    return BlockProof(
        header=_part(document, "header", BlockHeader),
        certificate=None if certificate is None else _part(document, "certificate", Certificate),
        checkpoint=None if checkpoint is None else _part(document, "checkpoint", Checkpoint),
        links=parse_links(document),
    )


def _part(document: Document, name: str, kind: type[T]) -> T:
    return decode(_bytes(document, name), kind, name)


def _bytes(document: Document, name: str) -> bytes:
    text = document.get(name)
    if not isinstance(text, str):
        raise Malformed("proof", f"{name} is missing")
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("proof", f"{name} is not base64") from error


def _count(document: Document, name: str) -> int:
    count = document.get(name)
    if type(count) is not int or not 0 < count < 2**32:
        raise Malformed("proof", f"{name} is no count")
    return count


def _path(document: Document, name: str) -> tuple[bytes, ...]:
    items = document.get(name)
    if not isinstance(items, list) or len(items) > PATH_MAX:
        raise Malformed("proof", f"{name} is no path")
    return tuple(_bytes({name: item}, name) for item in items)
