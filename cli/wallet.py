"""`octra wallet ...` : make, import, list and export wallets."""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from pathlib import Path
from typing import Any

import typer

from octra import keystore
from octra.cli import derive, settings, wallets
from octra.cli.address import check_words
from octra.cli.output import Answer, CommandFailed, confirm_word, table
from octra.crypto.ed25519 import SigningKey
from octra.primitives import address_of, print_address

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, import, list and export wallets.")


@app.command()
def new(
    name: str = typer.Option("default", help="name of the wallet"),
    words: int = typer.Option(12, help="12 or 24 words"),
    hard: bool = typer.Option(False, "--hard", help="256 MiB for each guess at the passphrase instead of 64"),
) -> Answer:
    """Make a wallet. Its words are shown once: whoever has them has the money."""
    if words not in (12, 24):
        raise CommandFailed(1002, "--words is 12 or 24")
    if wallets.path_of(name).exists():
        raise CommandFailed(1109, f"a wallet named {name} exists")
    entropy = os.urandom(16 if words == 12 else 32)
    mnemonic = derive.mnemonic_of(entropy)
    seed = derive.derive(mnemonic)
    secret = keystore.Secret(1, keystore.WALLET_KIND, seed, entropy, derive.DEFAULT_SCHEME)
    wallets.save(name, secret, wallets.new_passphrase(), hard)
    address, key = print_address(address_of(SigningKey(seed).public)), SigningKey(seed).public
    data = {
        "name": name,
        "address": address,
        "public_key": base64.b64encode(key).decode(),
        "check_words": check_words(address_of(key)),
    }
    if settings.current.json:  # never in a machine's output, which ends up in files
        return Answer(data, warnings=["the words are not shown with --json; use octra wallet export on a terminal"])
    text = f"Write these words down. They are shown once, and they are the only backup:\n\n  {mnemonic}\n\n"
    return Answer(data, f"{text}address      {address}\ncheck words  {data['check_words']}")


@app.command("import")
def import_(
    source: str = typer.Argument("-", help="a file, or - for standard input"),
    name: str = typer.Option("default", help="name of the wallet"),
    scheme: str = typer.Option("", help=f"one of {', '.join(derive.SCHEMES)}; default octra2"),
    index: int = typer.Option(0, help="account number of the mnemonic"),
    expect: str = typer.Option("", "--address", help="the address that must come out"),
) -> Answer:
    """Import words, a private key (hex or base64), or another Octra wallet's plain file."""
    if scheme and scheme not in derive.SCHEMES:
        raise CommandFailed(1002, f"--scheme is one of {', '.join(derive.SCHEMES)}")
    text, claimed = _read(source), expect
    document = _json_object(text)
    if document:
        claimed = claimed or str(document.get("addr") or document.get("address") or "")
        text = str(document.get("mnemonic") or document.get("priv") or "")
    candidates = _candidates(text, scheme, index)
    chosen = candidates[0]
    if claimed:
        matching = [candidate for candidate in candidates if _address(candidate) == claimed]
        if not matching:
            raise CommandFailed(1203, "no derivation of this key gives the stated address")
        chosen = matching[0]
    wallets.save(name, chosen, wallets.new_passphrase())
    rows = [[c.scheme or "key", str(c.index), _address(c), "chosen" if c is chosen else ""] for c in candidates]
    listed = [{"scheme": row[0], "index": c.index, "address": row[2]} for row, c in zip(rows, candidates, strict=True)]
    shown = table(rows[: 1 if len(rows) == 1 else None], ["scheme", "index", "address", ""])
    data = {"name": name, "address": _address(chosen), "candidates": listed, "chosen": candidates.index(chosen)}
    return Answer(data, f"{shown}\n\nwallet {name} holds {_address(chosen)}")


@app.command("list")
def list_() -> Answer:
    """Wallets on this machine. No passphrase needed."""
    rows, data = [], []
    for path in sorted(wallets.directory().glob("*.json")):
        try:
            header = wallets.header_of(path.stem)
        except (keystore.KeyFileDamaged, keystore.KeyFileMode, keystore.KeystoreVersion) as error:
            rows.append([path.stem, f"unreadable: {error}", ""])
            continue
        rows.append([path.stem, header.address, header.created_at])
        data.append({"name": path.stem, "address": header.address, "created_at": header.created_at})
    text = table(rows, ["name", "address", "created"]) if rows else "no wallets yet: octra wallet new"
    return Answer({"wallets": data}, text)


@app.command()
def show(name: str = typer.Argument("")) -> Answer:
    """One wallet's address and check words."""
    header = wallets.header_of(name or settings.current.wallet)
    words = check_words(address_of(header.public_key))
    data = {"name": header.name, "address": header.address, "check_words": words,
            "public_key": base64.b64encode(header.public_key).decode()}  # fmt: skip
    return Answer(data, f"{header.name}\naddress      {header.address}\ncheck words  {words}")


@app.command()
def export(name: str = typer.Argument("")) -> Answer:
    """Print the words or the private key. Needs a terminal and a typed word."""
    if settings.current.json:
        raise CommandFailed(1005, "secrets are never printed as JSON")
    if not sys.stdout.isatty():
        raise CommandFailed(1005, "secrets are printed on a terminal only")
    chosen = name or settings.current.wallet
    address = wallets.header_of(chosen).address
    confirm_word(f"Whoever sees the next lines owns {address}.", address[-4:])
    secret = wallets.open_secret(chosen)
    if secret.entropy:
        return Answer({}, f"{derive.mnemonic_of(secret.entropy)}\nscheme {secret.scheme}, index {secret.index}")
    return Answer({}, base64.b64encode(secret.seed).decode())


def _read(source: str) -> str:
    if source == "-":
        return sys.stdin.read(65_536).strip()
    try:
        return Path(source).read_text(errors="strict")[:65_536].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(1205, f"cannot read {source}") from error


def _json_object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(1205, "the file starts like JSON but is none") from error
    return document if isinstance(document, dict) else {}


def _candidates(text: str, scheme: str, index: int) -> list[keystore.Secret]:
    """All keys the text may stand for, the wanted or default one first. Never echoes the text in an error."""
    if len(text.split()) in (12, 24):
        entropy = derive.entropy_of(text)
        wanted = (scheme or derive.DEFAULT_SCHEME, index)
        others = [(s, i) for s in derive.SCHEMES for i in derive.INDICES_TRIED if (s, i) != wanted and not scheme]
        return [
            keystore.Secret(1, keystore.WALLET_KIND, derive.derive(text, s, i), entropy, s, i)
            for s, i in [wanted, *others]
        ]
    raw = _key_bytes(text)
    if raw is None or len(raw) not in (32, 64):
        raise CommandFailed(1205, "this is no mnemonic, hex or base64 key, or wallet file that is known here")
    if len(raw) == 64 and SigningKey(raw[:32]).public != raw[32:]:
        raise CommandFailed(1203, "the two halves of the key do not belong together")
    return [keystore.Secret(1, keystore.WALLET_KIND, raw[:32])]


def _key_bytes(text: str) -> bytes | None:
    if len(text) in (64, 128):
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _address(secret: keystore.Secret) -> str:
    return print_address(address_of(SigningKey(secret.seed).public))
