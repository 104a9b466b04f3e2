"""The few facts of a Circle's manifest that the chain itself needs before it enters a program."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from octra.codec import decoder_of
from octra.consensus.ledger.errors import CircleFailed, InvalidOp
from octra.consensus.ledger.nesting import check_nesting
from octra.crypto.hash import H

STABLE_BYTES_MAX: Final = 32 << 20
METHODS_MAX: Final = 128
DEPTH_MAX, ITEMS_MAX = 8, 16_384  # of 64 KiB of manifest: everything that its schema can hold


class MethodFacts(Struct, frozen=True):
    """How a method may be called."""

    kind: Literal["update", "query", "callback"]
    payable: bool = False
    allow: tuple[str, ...] = ("any",)


class LimitFacts(Struct, frozen=True):
    """The Circle's own limits."""

    max_stable_bytes: int = STABLE_BYTES_MAX


class UpgradeFacts(Struct, frozen=True):
    """Who may replace the code."""

    mode: Literal["immutable", "owner"] = "owner"


class ManifestFacts(Struct, frozen=True):
    """The manifest as the chain reads it: a MessagePack map with the names of `circle.toml`; more keys are allowed."""

    methods: dict[str, MethodFacts] = {}
    limits: LimitFacts = LimitFacts()
    upgrade: UpgradeFacts = UpgradeFacts()


def manifest_hash(data: bytes) -> bytes:
    """What the Circle's record says about its manifest."""
    return H("octra.c.manifest", data)


def read_manifest(data: bytes) -> ManifestFacts:
    """The facts of manifest bytes; raises `InvalidOp` or `Malformed`."""
    check_nesting(data, DEPTH_MAX, ITEMS_MAX, "manifest")
    try:
        facts = decoder_of(ManifestFacts).decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidOp(f"manifest: {error}") from error
    if len(facts.methods) > METHODS_MAX or not 0 <= facts.limits.max_stable_bytes <= STABLE_BYTES_MAX:
        raise InvalidOp("manifest: a limit is above the chain's")
    return facts


def check_call(facts: ManifestFacts, method: str, value: int, *, is_owner: bool) -> None:
    """The gate before a program: raises `CircleFailed` with the word for what forbids the call."""
    declared = facts.methods.get(method)
    if declared is None:
        raise CircleFailed("method_unsupported", "the manifest declares no such method")
    if declared.kind != "update":
        raise CircleFailed("method_kind", f"a transaction calls update methods, this one is {declared.kind}")
    if value and not declared.payable:
        raise CircleFailed("not_payable", "the method takes no value")
    if "any" not in declared.allow and not (is_owner and "owner" in declared.allow):
        raise CircleFailed("denied", "the manifest does not allow this caller")
