"""Wallet files on disk and the passphrases that open them."""

from __future__ import annotations

import getpass
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from octra import keystore
from octra.cli import output, settings
from octra.crypto.ed25519 import SigningKey
from octra.primitives import Address, address_of, print_address

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Wallet:
    """An opened wallet: able to sign."""

    name: str
    key: SigningKey
    seed: bytes

    @property
    def address(self) -> Address:
        """The account of this wallet."""
        return address_of(self.key.public)

    def __repr__(self) -> str:
        return f"Wallet({self.name}, <secret>)"


def directory() -> Path:
    """Where wallet files live."""
    return settings.current.directory / "wallets"


def path_of(name: str) -> Path:
    """The file of a wallet; raises for a name that is no file name."""
    if not _NAME.fullmatch(name):
        raise output.CommandFailed(1002, "a wallet name is lower-case letters, digits, _ and -, 32 at most")
    return directory() / f"{name}.json"


def new_passphrase() -> str:
    """A passphrase for a new key: from --passphrase-file or OCTRA_PASSPHRASE_FD, else typed twice."""
    given = _given_passphrase()
    if given is None:
        given = _ask("Passphrase for the new key: ")
        if _ask("Once more: ") != given:
            raise output.CommandFailed(1002, "the two passphrases differ; nothing was written")
    keystore.check_passphrase(given)
    return given


def passphrase_for(what: str) -> str:
    """The passphrase of an existing key. Never taken from arguments or a plain variable."""
    given = _given_passphrase()
    return _ask(f"Passphrase of {what}: ") if given is None else given


def save(name: str, secret: keystore.Secret, passphrase: str, hard: bool = False) -> Path:
    """Write a new wallet file; an existing one is never overwritten."""
    path = path_of(name)
    if path.exists():
        raise output.CommandFailed(1109, f"a wallet named {name} exists")
    key = SigningKey(secret.seed)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    address = print_address(address_of(key.public))
    header = keystore.Header(name, keystore.WALLET_KIND, address, key.public, created)
    stretching = keystore.HARD if hard else keystore.STANDARD
    keystore.write_file(path, keystore.seal(secret, header, passphrase, stretching))
    return path


def open_secret(name: str) -> keystore.Secret:
    """Ask for the passphrase and open the wallet's file."""
    data = keystore.read_file(path_of(name))
    keystore.read_header(data)  # a damaged file is told before a passphrase is asked for
    try:
        return keystore.open_sealed(data, passphrase_for(f"wallet {name}"))
    except keystore.WrongPassphrase:
        time.sleep(1)  # slows guessing at this prompt
        raise


def open_wallet() -> Wallet:
    """The wallet that --wallet names, ready to sign."""
    secret = open_secret(settings.current.wallet)
    return Wallet(settings.current.wallet, SigningKey(secret.seed), secret.seed)


def header_of(name: str) -> keystore.Header:
    """The public part of a wallet's file."""
    return keystore.read_header(keystore.read_file(path_of(name)))


def _given_passphrase() -> str | None:
    if settings.current.passphrase_file:
        try:
            return Path(settings.current.passphrase_file).read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text"
            raise output.CommandFailed(1107, f"cannot read the passphrase file: {reason}") from error
    descriptor = os.environ.get("OCTRA_PASSPHRASE_FD")
    if descriptor:
        with os.fdopen(int(descriptor), closefd=False) as file:
            return file.read().rstrip("\n")
    return None


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise output.CommandFailed(1005, "a passphrase is needed and there is no terminal; use --passphrase-file")
    return getpass.getpass(prompt)
