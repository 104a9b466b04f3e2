"""The one key file format, for wallets, node keys and FHE secret keys: argon2id, then XChaCha20-Poly1305.

The file is JSON. Everything but the ciphertext is authenticated as associated data, so no field can be swapped.
The plaintext is padded to 256 bytes: the size of a file does not tell what is inside.
"""

from __future__ import annotations

import base64
import json
import os
import unicodedata
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nacl.bindings as sodium
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from nacl.exceptions import CryptoError

from octra.codec import decode, encode
from octra.errors import Corrupt, InvalidInput, Unavailable

VERSION = 1
WALLET_KIND, NODE_KIND, BLS_KIND, FHE_KIND = "octra-keystore", "octra-node-key", "octra-bls-key", "octra-fhe-key"
KINDS = frozenset({WALLET_KIND, NODE_KIND, BLS_KIND, FHE_KIND})
FILE_MAX = 64 * 1024  # a hostile file must exhaust neither memory nor time, hence all four caps
MEMORY_KIB_MAX, PASSES_MAX, LANES_MAX = 1024 * 1024, 10, 4
_PADDED = 256
PASSPHRASE_MIN = 12


@dataclass(frozen=True, slots=True)
class Stretching:
    """Cost of one guess at the passphrase: argon2id memory and passes, one lane."""

    memory_kib: int = 65_536
    passes: int = 3


STANDARD = Stretching()
HARD = Stretching(memory_kib=262_144)
# For a passphrase that is 32 random bytes itself (unattended nodes): stretching would add nothing but start-up time.
RANDOM_PASSPHRASE = Stretching(memory_kib=1_024, passes=1)


class WrongPassphrase(InvalidInput):
    """The passphrase does not open the file, or the file was changed."""

    oct_code = 1101

    def __init__(self) -> None:
        super().__init__("wrong passphrase, or the key file was changed")


class WeakPassphrase(InvalidInput):
    """Too short to protect a key."""

    oct_code = 1106

    def __init__(self) -> None:
        super().__init__(f"a passphrase has at least {PASSPHRASE_MIN} characters or 5 words")


class KeyFileMode(InvalidInput):
    """Other users of the machine can read the key file."""

    oct_code = 1103

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} can be read by others; run: chmod 600 {path}")


class KeystoreVersion(InvalidInput):
    """The file says a version that this program does not know."""

    oct_code = 1104


class KdfOverLimit(InvalidInput):
    """The file asks for more memory or passes than any honest file does."""

    oct_code = 1105


class KeyFileMissing(Unavailable):
    """There is no such key file."""

    oct_code = 1107

    def __init__(self, path: Path) -> None:
        super().__init__(f"no key file at {path}")


class KeyFileDamaged(Corrupt):
    """The file is not a keystore of this format."""

    oct_code = 1108


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """What a key file protects. Prints as `<secret>`."""

    version: int
    kind: str
    seed: bytes  # 32 bytes: Ed25519 seed, BLS scalar or FHE key seed
    entropy: bytes = b""  # of the mnemonic, empty when there is none
    scheme: str = ""
    index: int = 0
    path: str = ""

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True, slots=True)
class Header:
    """The public part of a key file: readable without the passphrase."""

    name: str
    kind: str
    address: str
    public_key: bytes
    created_at: str


def seal(secret: Secret, header: Header, passphrase: str, stretching: Stretching = STANDARD) -> bytes:
    """Bytes of a key file. The caller has checked the passphrase with `check_passphrase`."""
    salt, nonce = os.urandom(16), os.urandom(24)
    document: dict[str, Any] = {  # JSON: mixed types by nature
        "version": VERSION,
        "kind": header.kind,
        "id": str(uuid.uuid4()),
        "name": header.name,
        "address": header.address,
        "public_key": base64.b64encode(header.public_key).decode(),
        "created_at": header.created_at,
        "kdf": {
            "name": "argon2id",
            "version": 19,
            "memory_kib": stretching.memory_kib,
            "passes": stretching.passes,
            "lanes": 1,
            "salt": base64.b64encode(salt).decode(),
        },
        "cipher": {"name": "xchacha20-poly1305-ietf", "nonce": base64.b64encode(nonce).decode()},
    }
    key = _stretch(passphrase, salt, stretching.memory_kib, stretching.passes, 1)
    plaintext = encode(secret)
    assert len(plaintext) < _PADDED
    padded = plaintext.ljust(_PADDED, b"\0")
    box = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, _associated(document), nonce, key)
    document["ciphertext"] = base64.b64encode(box).decode()
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def read_header(data: bytes) -> Header:
    """The public fields of a key file."""
    document = _parse(data)
    try:
        return Header(
            name=str(document["name"]),
            kind=str(document["kind"]),
            address=str(document["address"]),
            public_key=base64.b64decode(document["public_key"], validate=True),
            created_at=str(document["created_at"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise KeyFileDamaged("the key file lacks a field") from error


def open_sealed(data: bytes, passphrase: str) -> Secret:
    """The secret of a key file; raises `WrongPassphrase`, `KdfOverLimit`, `KeystoreVersion` or `KeyFileDamaged`."""
    document = _parse(data)
    try:
        kdf, cipher = document["kdf"], document["cipher"]
        if (kdf["name"], kdf["version"], cipher["name"]) != ("argon2id", 19, "xchacha20-poly1305-ietf"):
            raise KeystoreVersion("the key file names ciphers that this version does not know")
        memory_kib, passes, lanes = int(kdf["memory_kib"]), int(kdf["passes"]), int(kdf["lanes"])
        salt = base64.b64decode(kdf["salt"], validate=True)
        nonce = base64.b64decode(cipher["nonce"], validate=True)
        box = base64.b64decode(document["ciphertext"], validate=True)
    except (KeyError, ValueError, TypeError, OverflowError) as error:  # int() of JSON's Infinity overflows
        raise KeyFileDamaged("the key file lacks a field") from error
    if memory_kib > MEMORY_KIB_MAX or passes > PASSES_MAX or lanes > LANES_MAX or min(memory_kib, passes, lanes) < 1:
        raise KdfOverLimit("the key file asks for more work than any honest file does")
    try:
        key = _stretch(passphrase, salt, memory_kib, passes, lanes)
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(box, _associated(document), nonce, key)
    except CryptoError as error:
        raise WrongPassphrase from error
    except (HashingError, ValueError, TypeError) as error:  # a salt or nonce of the wrong length
        raise KeyFileDamaged("the key file lacks a field") from error
    # The last field is a text, and no path holds a NUL: so the zeros at the end are exactly the padding.
    return decode(padded.rstrip(b"\0"), Secret, "key file")


def write_file(path: Path, data: bytes) -> None:
    """Write a key file readable by its owner only: to a sibling first, then renamed, both synced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_file(path: Path) -> bytes:
    """Bytes of a key file; raises `KeyFileMissing`, `KeyFileMode`."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyFileMode(path)
            return file.read(FILE_MAX + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise KeyFileMissing(path) from error
    except PermissionError as error:
        raise KeyFileMissing(path) from error


def check_passphrase(passphrase: str) -> None:
    """Raises `WeakPassphrase` for fewer than 12 characters and fewer than 5 words."""
    if len(passphrase) < PASSPHRASE_MIN and len(passphrase.split()) < 5:
        raise WeakPassphrase


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > FILE_MAX:
        raise KeyFileDamaged("the key file is larger than any honest one")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KeyFileDamaged("the key file is not JSON") from error
    if not isinstance(document, dict) or str(document.get("kind")) not in KINDS:
        raise KeyFileDamaged("the file is not an octra keystore")
    if document.get("version") != VERSION:
        raise KeystoreVersion("the key file was written by a newer version")
    return document


def _stretch(passphrase: str, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    normal = unicodedata.normalize("NFKD", passphrase).encode()
    return hash_secret_raw(normal, salt, passes, memory_kib, lanes, 32, Type.ID, 19)


def _associated(document: dict[str, Any]) -> bytes:
    public = {key: value for key, value in document.items() if key != "ciphertext"}
    return json.dumps(public, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
