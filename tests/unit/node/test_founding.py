"""What the founder of a local network writes for each node."""

from __future__ import annotations

from pathlib import Path

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


def test_more_seats_are_founded_without_one_and_the_genesis_says_so(tmp_path: Path) -> None:
    places = found(tmp_path, 11)
    genesis = home.read_genesis(places[0].directory)
    assert (genesis.key.exists, genesis.key.origin, len(genesis.validators)) == (False, "none", 11)
    assert not (tmp_path / "net" / founding.EVALUATION_FILE).exists()
    assert not list((tmp_path / "net").rglob("*.sealed"))
    assert not any(config.load(place.directory).fhe.evaluator for place in places)
