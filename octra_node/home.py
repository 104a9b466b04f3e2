"""A node's data directory: whose it is, which chain it belongs to, and its keys.

config.toml  genesis.json  LOCK  passphrase (unattended nodes)  evaluation.key
keys/node.json keys/bls.json keys/coin.json   db/   journal/   seats/0.sealed   logs/   run/node.json
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from octra import keystore
from octra.codec import encode
from octra.consensus.genesis import Genesis
from octra.consensus.genesis import load as load_genesis
from octra.crypto import bls, seal, sharing
from octra.crypto.ed25519 import SigningKey
from octra.crypto.hash import H
from octra.errors import Corrupt, InvalidInput, Unavailable
from octra.node.p2p.address import print_node_id
from octra.primitives import NodeId

GENESIS_FILE, LOCK_FILE, PASSPHRASE_FILE = "genesis.json", "LOCK", "passphrase"


class OtherChain(InvalidInput):
    """The directory belongs to another genesis."""

    oct_code = 1004

    def __init__(self, directory: Path, holds: str, wanted: str) -> None:
        super().__init__(f"{directory} holds data of {holds}, not of {wanted}")


class DirectoryInUse(Unavailable):
    """Another process runs with this directory: two of them would sign against each other."""

    oct_code = 1007

    def __init__(self, directory: Path) -> None:
        super().__init__(f"another node runs with {directory}")


class SeatFileDamaged(Corrupt):
    """The sealed seat share does not open with this node's key."""


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """All secrets of a node. A light or following node has only the first."""

    node: SigningKey
    checkpoint: bls.SecretScalar | None = None
    coin: bls.SecretScalar | None = None

    @property
    def node_id(self) -> NodeId:
        """The node's public identity."""
        return NodeId(self.node.public)

    def view_pair(self) -> tuple[bytes, bytes]:
        """X25519 (secret, public) for input dealings sealed to this node's seat."""
        return seal.view_pair(self.node.seed())

    def coin_dealing_secrets(self) -> tuple[bls.SecretScalar, bytes]:
        """What opens the shares of coins sealed to this node, and the seed from which its own dealings follow."""
        seed = self.node.seed()
        return sharing.scalar_from(H("octra.coin.key", seed)), H("octra.coin.deal", seed)

    def audit_secret(self) -> bytes:
        """What chooses the batches that this node checks though it did not attest them."""
        return H("octra.audit.key", self.node.seed())

    def __repr__(self) -> str:
        return "<secret>"


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the directory for this process; raises `DirectoryInUse`. Released by the system if the process dies."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DirectoryInUse(directory) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def write_genesis(directory: Path, genesis: Genesis) -> None:
    """Write the genesis, readable for people, with its canonical bytes; refuses to replace another chain's."""
    path = directory / GENESIS_FILE
    if path.exists() and (held := read_genesis(directory)).chain != genesis.chain:
        raise OtherChain(directory, held.chain_id, genesis.chain_id)
    document = {
        "schema": "octra.genesis/v1",
        "chain_id": genesis.chain_id,
        "chain": genesis.chain.hex(),
        "validators": [print_node_id(validator.node_id) for validator in genesis.validators],
        "network_key": {"origin": genesis.key.origin, "parameters": genesis.key.parameters},
        "bytes": base64.b64encode(encode(genesis)).decode(),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_genesis(directory: Path) -> Genesis:
    """The checked genesis of a directory. Only its canonical bytes count; the rest is for reading."""
    try:
        document = json.loads((directory / GENESIS_FILE).read_text())
        genesis = load_genesis(base64.b64decode(document["bytes"], validate=True))
    except FileNotFoundError as error:
        raise NoGenesis(directory) from error
    except (ValueError, KeyError, TypeError) as error:
        raise NoGenesis(directory, "is not a genesis file") from error
    if document.get("chain") != genesis.chain.hex():
        raise OtherChain(directory, genesis.chain_id, str(document.get("chain_id")))
    return genesis


class NoGenesis(InvalidInput):
    """There is no usable genesis in the directory."""

    oct_code = 1003

    def __init__(self, directory: Path, reason: str = "is missing") -> None:
        super().__init__(f"{directory / GENESIS_FILE} {reason}")


def write_keys(directory: Path, keys: NodeKeys, passphrase: str, stretching: keystore.Stretching) -> None:
    """Write the node's key files; existing ones are never overwritten."""
    secrets_of = {
        "node": (keystore.NODE_KIND, keys.node.seed(), keys.node.public),
        "bls": (keystore.BLS_KIND, *_scalar(keys.checkpoint)),
        "coin": (keystore.BLS_KIND, *_scalar(keys.coin)),
    }
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for name, (kind, secret, public) in secrets_of.items():
        path = directory / "keys" / f"{name}.json"
        if not secret:
            continue
        assert not path.exists(), path
        header = keystore.Header(name, kind, print_node_id(keys.node_id), public, created)
        keystore.write_file(path, keystore.seal(keystore.Secret(1, kind, secret), header, passphrase, stretching))


def read_keys(directory: Path, passphrase: str | None = None) -> NodeKeys:
    """Open the node's keys with the given passphrase, else with the directory's own passphrase file."""
    if passphrase is None:
        passphrase = keystore.read_file(directory / PASSPHRASE_FILE).decode().strip()

    def secret(name: str) -> bytes | None:
        path = directory / "keys" / f"{name}.json"
        return keystore.open_sealed(keystore.read_file(path), passphrase).seed if path.exists() else None

    node = secret("node")
    if node is None:
        raise keystore.KeyFileMissing(directory / "keys" / "node.json")
    checkpoint, coin = secret("bls"), secret("coin")
    return NodeKeys(
        SigningKey(node),
        bls.SecretScalar(int.from_bytes(checkpoint, "big")) if checkpoint else None,
        bls.SecretScalar(int.from_bytes(coin, "big")) if coin else None,
    )


def write_random_passphrase(directory: Path) -> str:
    """Make the passphrase of an unattended node: 32 random bytes in a file that only its owner reads."""
    passphrase = secrets.token_hex(32)
    keystore.write_file(directory / PASSPHRASE_FILE, passphrase.encode())
    return passphrase


def write_seat(directory: Path, keys: NodeKeys, epoch: int, share: bytes) -> None:
    """Keep a seat share on disk, sealed under the node key, so that a restart of most nodes loses no ciphertext."""
    nonce = os.urandom(24)
    box = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(share, str(epoch).encode(), nonce, _seat_key(keys))
    keystore.write_file(directory / "seats" / f"{epoch}.sealed", nonce + box)


def read_seat(directory: Path, keys: NodeKeys, epoch: int) -> bytes | None:
    """The seat share of an epoch, or None when this node holds no seat; raises `SeatFileDamaged`."""
    path = directory / "seats" / f"{epoch}.sealed"
    if not path.exists():
        return None
    data = path.read_bytes()
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            data[24:], str(epoch).encode(), data[:24], _seat_key(keys)
        )
    except (CryptoError, ValueError, TypeError) as error:
        raise SeatFileDamaged(f"{path} does not open with this node's key") from error


def _seat_key(keys: NodeKeys) -> bytes:
    return H("octra.seat.key", keys.node.seed())


def _scalar(scalar: bls.SecretScalar | None) -> tuple[bytes, bytes]:
    return (scalar.to_bytes(), scalar.public()) if scalar else (b"", b"")
