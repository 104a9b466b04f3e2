"""Peer ids, places and Octra addresses: one text for one thing, and any other text is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octra.errors import InvalidInput
from octra.node.p2p.address import (
    AddressKind,
    InvalidPlace,
    OctraAddress,
    Place,
    PlaceKind,
    parse_node_id,
    parse_octra_address,
    parse_peer_id,
    parse_place,
    peer_id,
    print_node_id,
)

node_ids = st.binary(min_size=32, max_size=32)


@given(node_ids)
def test_a_node_id_survives_both_printed_forms(node_id: bytes) -> None:
    assert peer_id(node_id).startswith("12D3Koo")
    assert parse_peer_id(peer_id(node_id)) == node_id
    assert parse_node_id(print_node_id(node_id)) == node_id


@given(st.ip_addresses(), st.integers(0, 65_535), st.booleans(), st.none() | node_ids)
def test_a_place_survives_printing(ip: object, port: int, tls: bool, node_id: bytes | None) -> None:
    if getattr(ip, "scope_id", None) or ("." in str(ip).replace(".", "", 3) and ":" in str(ip)):
        return
    place = Place(PlaceKind.TLS if tls else PlaceKind.LIBP2P, str(ip), port, node_id)  # type: ignore[arg-type]
    assert parse_place(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/080",
        "/ip4/127.0.0.256/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip4/127.0.0.1/udp/1/quic-v1",
        "/dns4/example.org/tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p/12D3Koo",
        "/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "/memory/1" + "0" * 200,
        "/memory/-1",
    ],
)
def test_what_this_node_cannot_dial_is_no_place(text: str) -> None:
    with pytest.raises(InvalidPlace):
        parse_place(text)


def test_octra_addresses_survive_printing() -> None:
    node = print_node_id(b"\5" * 32)
    for text in (
        f"octra:localnet-5b33b241/node/{node}/evaluator",
        "octra:devnet/any/evaluator/evaluator",
        "octra:devnet/chain/-/ledger",
        "octra:devnet/service/prices/feed/btc",
    ):
        assert str(parse_octra_address(text)) == text
    assert parse_octra_address("octra:devnet/chain/-/ledger") == OctraAddress(
        "devnet", AddressKind.CHAIN, "-", "ledger"
    )


@pytest.mark.parametrize(
    "text",
    [
        "octra:devnet/node/short/actor",
        "octra:devnet/chain/x/ledger",
        "octra:devnet/any/-/ledger",
        "octra:devnet/any/a",
        "octra:devnet/any/a/b/",
        "octra:devnet/any/a/b/c/d",
        "octra:dev net/any/a/b",
        "octra:devnet/thing/a/b",
        "devnet/any/a/b",
    ],
)
def test_broken_octra_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidPlace):
        parse_octra_address(text)


def test_ten_thousand_changed_texts_are_parsed_back_exactly_or_refused() -> None:
    rng = random.Random(3)
    valid = [
        f"/ip4/127.0.0.1/tcp/9000/p2p/{peer_id(bytes(32))}",
        "/ip6/::1/tcp/1/tls",
        "/memory/7",
        f"octra:devnet/node/{print_node_id(bytes(32))}/sync",
    ]
    for _ in range(10_000):
        text = list(rng.choice(valid))
        for _ in range(rng.randrange(1, 4)):
            text[rng.randrange(len(text))] = chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x110000 - 0x2100)]))
        changed = "".join(text)
        for parse in (parse_place, parse_octra_address, parse_peer_id, parse_node_id):
            try:
                parsed = parse(changed)
            except InvalidInput:
                continue
            if parse in (parse_place, parse_octra_address):
                assert parse(str(parsed)) == parsed
