"""What the founder of a local network writes for each node."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from octra.codec import encode
from octra.consensus.genesis import DrawnGenesis, InvalidGenesis, check, load
from octra.crypto import sharing
from octra.node import config, founding, home
from octra.node.p2p.address import PlaceKind, parse_place


def found(directory: Path, validators: int, transport: PlaceKind = PlaceKind.LIBP2P) -> list[founding.NodePlace]:
    plan = founding.Plan(directory / "net", validators, light=1, parameters="TEST", transport=transport)
    return founding.found(plan, bytes(32), time_ms=1, say=lambda text: None)


def test_every_validator_knows_where_all_others_listen_and_a_light_node_knows_one(tmp_path: Path) -> None:
    places = found(tmp_path, 3, PlaceKind.TLS)
    settings = [config.load(place.directory).p2p for place in places]
    listening = [parse_place(one.listen[0]) for one in settings]
    assert {place.kind for place in listening} == {PlaceKind.TLS}
    for number, one in enumerate(settings[:3]):
        others = {place.port for other, place in enumerate(listening[:3]) if other != number}
        assert {parse_place(address).port for address in one.bootstrap} == others
    assert len(settings[3].bootstrap) == 1


def test_up_to_ten_seats_share_a_network_key(tmp_path: Path) -> None:
    places = found(tmp_path, 4)
    genesis = home.read_genesis(places[0].directory)
    assert (genesis.key.exists, genesis.key.origin) == (True, "dealer")
    assert (tmp_path / "net" / founding.EVALUATION_FILE).exists()


def test_a_network_with_drawn_committees_says_so_in_its_genesis(tmp_path: Path) -> None:
    plan = founding.Plan(tmp_path / "net", 4, light=0, parameters="TEST", network_key=False, drawn=True)
    places = founding.found(plan, bytes(32), time_ms=1, say=lambda text: None)
    genesis = home.read_genesis(places[0].directory)
    assert isinstance(genesis, DrawnGenesis)
    assert genesis.drawn
    assert genesis.coin.origin == "distributed"
    assert load(encode(genesis)) == genesis
    own = home.read_keys(places[2].directory).coin_dealing_secrets()[0]
    assert genesis.coin_keys[2] == sharing.point_of(own)


def test_a_genesis_must_mean_one_kind_of_committee(tmp_path: Path) -> None:
    plan = founding.Plan(tmp_path / "net", 1, light=0, parameters="TEST", network_key=False, drawn=True)
    drawn = home.read_genesis(founding.found(plan, bytes(32), 1, say=lambda text: None)[0].directory)
    fixed = home.read_genesis(found(tmp_path / "fixed", 1)[0].directory)
    assert isinstance(drawn, DrawnGenesis)
    for spoiled in (
        replace(drawn, rules_version=1),
        replace(drawn, version=1),
        replace(drawn, coin_keys=()),
        replace(drawn, coin_keys=(bytes(48),)),
        replace(fixed, rules_version=2),
        replace(fixed, version=2),
    ):
        with pytest.raises(InvalidGenesis):
            check(spoiled)


def test_more_seats_are_founded_without_one_and_the_genesis_says_so(tmp_path: Path) -> None:
    places = found(tmp_path, 11)
    genesis = home.read_genesis(places[0].directory)
    assert (genesis.key.exists, genesis.key.origin, len(genesis.validators)) == (False, "none", 11)
    assert not (tmp_path / "net" / founding.EVALUATION_FILE).exists()
    assert not list((tmp_path / "net").rglob("*.sealed"))
    assert not any(config.load(place.directory).fhe.evaluator for place in places)
