"""Ids, labels and roots: frozen vectors, and that each spelling has one inverse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.circles.identity import InvalidCircleId, origin_label, parse_circle, parse_label, print_account, print_circle
from octra.consensus.circles import blob_hash, circle_id, file_leaf, fit44, legacy_hash, tree_root
from octra.crypto.hash import EMPTY_ROOT, H
from octra.primitives import base58_decode, base58_encode, print_address

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "circles" / "identity.json").read_text("utf-8"))
IDS = st.integers(0, 58**44 - 1).map(lambda number: number.to_bytes(33, "big"))


@pytest.mark.parametrize("vector", VECTORS["circles"], ids=lambda vector: vector["name"])
def test_ids_have_their_frozen_text_and_label(vector: dict[str, str]) -> None:
    circle = circle_id(bytes.fromhex(vector["deployer"]), int(vector["nonce"]), bytes.fromhex(vector["payload"]))
    assert circle.hex() == vector["raw"]
    assert print_circle(circle) == vector["text"]
    assert origin_label(circle) == vector["label"]


def test_one_vector_is_of_a_hash_that_is_short_in_base58() -> None:
    (vector,) = (vector for vector in VECTORS["circles"] if vector["name"] == "short in base58")
    account = print_address(bytes.fromhex(vector["deployer"])).encode()
    nonce = int(vector["nonce"]).to_bytes(8, "big")
    digest = legacy_hash("octra:circle_deploy_id:v1", account, nonce, vector["payload"].encode())
    digits = base58_encode(int.from_bytes(digest, "big"))
    assert len(digits) < 44
    assert vector["text"] == "oct" + digits + digits[: 44 - len(digits)], "repeated, where an address is padded"


@pytest.mark.parametrize("vector", VECTORS["blobs"], ids=lambda vector: str(vector["size"]))
def test_blobs_have_their_frozen_names(vector: dict[str, str]) -> None:
    assert blob_hash(b"\xab" * int(vector["size"])).hex() == vector["blob"]


@given(IDS)
def test_text_and_label_read_back(circle: bytes) -> None:
    assert parse_circle(print_circle(circle)) == circle
    assert parse_label(origin_label(circle)) == circle
    assert len(origin_label(circle)) == 53 <= 63, "legal in DNS"


@pytest.mark.parametrize(
    "text", ["", "oct", "oct" + "1" * 43, "oct" + "1" * 45, "oct" + "0" * 44, "OCT" + "1" * 44, "oct" + "1" * 44 + "\n"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    with pytest.raises(InvalidCircleId):
        parse_circle(text)


@pytest.mark.parametrize("label", ["", "a" * 52, "a" * 54, "A" * 53, "1" * 53, "7" * 53, "a" * 52 + "b"])
def test_other_labels_are_no_ids(label: str) -> None:
    with pytest.raises(InvalidCircleId):
        parse_label(label)


def test_fit44_cuts_or_repeats_from_the_start() -> None:
    digits = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTU"
    assert len(digits) == 44
    assert fit44(digits + "V") == digits
    assert fit44(digits[:43]) == digits[:43] + "a"
    assert fit44("xyz") == ("xyz" * 15)[:44]


def test_legacy_hash_delimits_its_parts() -> None:
    assert legacy_hash("t", b"ab", b"c") != legacy_hash("t", b"a", b"bc")


def test_the_tree_promotes_an_odd_node() -> None:
    a, b, c = (H("octra.c.chunk", letter) for letter in (b"a", b"b", b"c"))
    assert tree_root([]) == EMPTY_ROOT
    assert tree_root([a]) == a
    assert tree_root([a, b, c]) == H("octra.c.node", H("octra.c.node", a, b), c)


def test_a_leaf_commits_to_each_of_its_fields() -> None:
    leaves = {
        file_leaf("/a", "text/plain", "", bytes(32)),
        file_leaf("/b", "text/plain", "", bytes(32)),
        file_leaf("/a", "text/html", "", bytes(32)),
        file_leaf("/a", "text/plain", "gzip", bytes(32)),
        file_leaf("/a", "text/plain", "", b"\1" * 32),
    }
    assert len(leaves) == 5


def test_accounts_print_by_their_size() -> None:
    assert print_account(b"\1" * 32) == print_address(b"\1" * 32)
    assert print_account(b"\1" * 33) == print_circle(b"\1" * 33)
    assert base58_decode(print_circle(bytes(33))[3:]) == 0
