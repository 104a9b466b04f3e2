"""Makes a local network: genesis, keys and data directories of its nodes, dealt by this one process.

The dealer knows the network key and every coin. That is said wherever the network shows itself, and such a genesis
is refused under any other name than `localnet`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from octra import keystore
from octra.consensus import genesis as chain
from octra.consensus.epoch import DRAWN_RULES, EpochRules
from octra.crypto import bls, sharing
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.hfhe import params, wire
from octra.hfhe.threshold import dealer, prss
from octra.node import config, home
from octra.node.localnet_seed import FIRST_HTTP_PORT, FIRST_P2P_PORT
from octra.node.p2p.address import Place, PlaceKind
from octra.primitives import UNITS_PER_OCT, Address, NodeId, address_of

ACCOUNT_UNITS = 10_000 * UNITS_PER_OCT
FAUCET_UNITS = 1_000_000 * UNITS_PER_OCT
EVALUATION_FILE = "evaluation.key"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the founder decides."""

    directory: Path
    validators: int = 4
    light: int = 1
    parameters: str = "T"
    epoch_ms: int = 20_000
    p2p_port: int = FIRST_P2P_PORT  # of the first node; the others follow
    http_port: int = FIRST_HTTP_PORT
    accounts: tuple[Address, ...] = ()  # that own something at height 0, beside the faucet
    transport: PlaceKind = PlaceKind.LIBP2P
    network_key: bool = True  # without one the chain has public operations only, as with more than ten validators
    execution: config.Execution = config.Execution.ALL
    drawn: bool = False  # are committees drawn for each epoch from all who register?
    hosts: tuple[str, ...] = ()  # IPv4 address of each node; empty: all on this machine's loopback

    def host(self, number: int) -> str:
        """Where node `number` listens."""
        return self.hosts[number] if self.hosts else "127.0.0.1"

    def listen(self, number: int, node_id: NodeId | None = None) -> str:
        """The address at which others reach node `number`."""
        return str(Place(self.transport, self.host(number), self.p2p_port + number, node_id))


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where one node of the network lives."""

    name: str
    role: config.Role
    directory: Path
    http: str  # host:port


def faucet_key(seed: bytes) -> SigningKey:
    """The key of the localnet's faucet: as public as the seed it comes from."""
    return SigningKey(H("octra.faucet", seed))


def found(plan: Plan, seed: bytes, time_ms: int, say: Callable[[str], None] = print) -> list[NodePlace]:
    """Write everything under `plan.directory`; the answer lists the nodes, validators first."""
    node_keys = [
        home.NodeKeys(
            SigningKey(os.urandom(32)), bls.SecretScalar.from_seed(os.urandom(32)), None
        )
        for _ in range(plan.validators)
    ]  # fmt: skip
    faults = (plan.validators - 1) // 3
    coin_secret = bls.SecretScalar.from_seed(os.urandom(32))
    coefficients = [int.from_bytes(bls.SecretScalar.from_seed(os.urandom(32)).to_bytes(), "big") for _ in range(faults)]
    coin_shares = bls.deal(int.from_bytes(coin_secret.to_bytes(), "big"), faults, plan.validators, coefficients)

    key = _deal_key(plan, say)
    coin = chain.GenesisCoin(
        "distributed" if plan.drawn else "dealt",
        coin_secret.public(),
        tuple(share.public() for share in coin_shares),
    )
    genesis = chain.check(
        (partial(chain.DrawnGenesis, **_drawn(node_keys)) if plan.drawn else partial(chain.Genesis, version=1))(
            name=chain.LOCALNET,
            time_ms=time_ms,
            validators=tuple(
                chain.GenesisValidator(
                    keys.node.public,
                    keys.checkpoint.public(),
                    keys.checkpoint.prove_possession(),
                    keys.view_pair()[1],
                )
                for keys in node_keys
                if keys.checkpoint
            ),
            accounts=_accounts(seed, plan.accounts),
            coin=coin,
            key=key.public,
            epoch_ms=plan.epoch_ms,
            legacy_signing=True,
        )
    )
    plan.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if key.evaluation:
        (plan.directory / EVALUATION_FILE).write_bytes(key.evaluation)

    reached = tuple(plan.listen(number, keys.node_id) for number, keys in enumerate(node_keys))
    places: list[NodePlace] = []
    for number in range(plan.validators + plan.light):
        validator = number < plan.validators
        keys = (
            home.NodeKeys(node_keys[number].node, node_keys[number].checkpoint, coin_shares[number])
            if validator
            else home.NodeKeys(SigningKey(os.urandom(32)))
        )
        place = _place(plan, number)
        others = tuple(address for other, address in enumerate(reached) if other != number)
        _write_node(plan, place, number, genesis, keys, bootstrap=others if validator else reached[:1])
        if validator and key.shares:
            home.write_seat(place.directory, keys, 0, key.shares[number])
        places.append(place)
    return places


@dataclass(frozen=True, slots=True)
class _DealtKey:
    public: chain.GenesisKey
    evaluation: bytes = b""
    shares: tuple[bytes, ...] = ()  # by seat


def _deal_key(plan: Plan, say: Callable[[str], None]) -> _DealtKey:
    """The network key, or none for more seats than can share one (docs/decisions/no-network-key.md)."""
    if plan.validators > prss.SEATS_MAX or not plan.network_key:
        say(f"no network key (at most {prss.SEATS_MAX} seats can share one): public operations only")
        return _DealtKey(chain.GenesisKey(chain.NO_KEY, plan.parameters, bytes(32), bytes(32)))
    say(f"dealing the network key (set {plan.parameters}) to {plan.validators} seats")
    parameters = params.get(plan.parameters, allow_insecure=True)
    key = dealer.deal(parameters, os.urandom(32), plan.validators)
    evaluation = wire.encode_evaluation_key(key.evaluation)
    public = chain.GenesisKey("dealer", plan.parameters, key.key_id, H("octra.fhe.eval", evaluation))
    return _DealtKey(public, evaluation, tuple(share.to_bytes() for share in key.seats))


def _drawn(nodes: Sequence[home.NodeKeys]) -> dict[str, Any]:
    """What the genesis of a chain with drawn committees says besides. Times are short: it is for one's own machine."""
    coin_keys = tuple(sharing.point_of(keys.coin_dealing_secrets()[0]) for keys in nodes)
    rules = EpochRules(bond_units=1_000 * UNITS_PER_OCT, shadow_epochs=1, unbonding_epochs=4)
    return {"version": 2, "rules_version": DRAWN_RULES, "epochs": rules, "coin_keys": coin_keys}


def _accounts(seed: bytes, extra: Sequence[Address]) -> tuple[chain.GenesisAccount, ...]:
    faucet = chain.GenesisAccount(address_of(faucet_key(seed).public), FAUCET_UNITS)
    return (faucet, *(chain.GenesisAccount(address, ACCOUNT_UNITS) for address in extra))


def _place(plan: Plan, number: int) -> NodePlace:
    if number >= plan.validators:
        role, name = config.Role.LIGHT, f"light{number - plan.validators}"
    else:
        role, name = (config.Role.BOOTSTRAP if number == 0 else config.Role.STANDARD), f"node{number}"
    return NodePlace(name, role, plan.directory / name, f"{plan.host(number)}:{plan.http_port + number}")


def _write_node(
    plan: Plan, place: NodePlace, number: int, genesis: chain.Genesis, keys: home.NodeKeys, bootstrap: tuple[str, ...]
) -> None:
    evaluator = genesis.key.exists and place.role is not config.Role.LIGHT
    settings = config.Config(
        node=config.NodeSection(role=place.role, execution=plan.execution),
        p2p=config.P2PSection(listen=(plan.listen(number),), bootstrap=bootstrap),
        http=config.HttpSection(listen=place.http, public=bool(plan.hosts)),
        fhe=config.FheSection(evaluator=evaluator, evaluation_key=f"../{EVALUATION_FILE}"),
    )
    place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place.directory / config.CONFIG_FILE).write_text(config.dump(settings))
    home.write_genesis(place.directory, genesis)
    passphrase = home.write_random_passphrase(place.directory)
    home.write_keys(place.directory, keys, passphrase, keystore.RANDOM_PASSPHRASE)
