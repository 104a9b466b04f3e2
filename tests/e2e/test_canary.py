"""Secrets with marks in them are used on the network, then searched for wherever they must not be."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from octra import keystore
from octra.cli import derive
from octra.primitives import print_amount

pytestmark = pytest.mark.process

MEMO = "canary-memo-3f7a9c51e8"
AMOUNT = 0x1A2B3C4D5E6F7  # more than anybody has: it moves nothing, and still travels through everything
COVERED = 31_415_926  # and one that does move


def marks(world) -> dict[str, bytes]:
    """Every secret in every form in which it could leak."""
    seed = secret_seed(world, "uma")
    words = derive.mnemonic_of(secret_entropy(world, "uma"))
    texts = {
        "memo": MEMO,
        "passphrase": (world.home / "passphrase").read_text().strip(),
        "amount in OCT": print_amount(AMOUNT),
        "amount in units": str(AMOUNT),
        "covered amount in OCT": print_amount(COVERED),
        "covered amount in units": str(COVERED),
        "mnemonic": words,
    }
    found: dict[str, bytes] = {}
    for name, text in texts.items():
        raw = text.encode()
        found |= {name: raw, f"{name}, hex": raw.hex().encode(), f"{name}, reversed": raw[::-1]}
        found[f"{name}, base64"] = base64.b64encode(raw).rstrip(b"=")[:-1]
    for name, raw in {
        "seed": seed,
        "amount": AMOUNT.to_bytes(7, "big"),
        "amount, little": AMOUNT.to_bytes(7, "little"),
    }.items():
        found |= {name: raw, f"{name}, as hex": raw.hex().encode()}
    found["seed, as base64"] = base64.b64encode(seed).rstrip(b"=")[:-1]
    return found


def secret_seed(world, name: str) -> bytes:
    return open_wallet(world, name).seed


def secret_entropy(world, name: str) -> bytes:
    return open_wallet(world, name).entropy


def open_wallet(world, name: str) -> keystore.Secret:
    data = keystore.read_file(world.home / "wallets" / f"{name}.json")
    return keystore.open_sealed(data, (world.home / "passphrase").read_text().strip())


def test_secrets_appear_in_no_log_database_page_answer_or_command_line(world) -> None:
    uma, vic = world.person("uma"), world.person("vic")
    world.octra("send", uma, "1", wallet="vic")  # the chain knows both keys from here on: notes are sealed
    world.octra("encrypt", "60", wallet="uma")
    told: list[bytes] = []
    ids = []
    for amount in (COVERED, AMOUNT):
        process = world.start("send", vic, "-", "--private", "--memo", "", wallet="uma")
        told.append(command_lines())
        ids.append(world.end(process, print_amount(amount)).data["tx_id"])
    ids.append(world.pay("uma", vic, "1", "--memo", MEMO).data["tx_id"])
    assert world.private("vic") == COVERED + 1_000_000
    assert world.private("uma") == 59_000_000 - COVERED
    time.sleep(2)  # what is buffered reaches its file

    places = {
        "command lines": b"".join([*told, command_lines()]),
        **answers(world, [uma, vic], ids),
        **dict(files(world.home / "localnet")),
    }
    assert len(places) > 30, "the search itself must find something to search"
    secrets = marks(world)
    hits = [(name, place) for place, data in places.items() for name, mark in secrets.items() if mark in data]
    assert hits == []


def test_the_search_would_find_what_it_looks_for(world, tmp_path: Path) -> None:
    """A search that cannot fail proves nothing: what is public is found in the very same places."""
    address = world.people.get("uma") or world.person("uma")
    public = world.octra("send", address, "1", "--memo", "public-mark-55aa", wallet="vic").data["tx_id"]
    time.sleep(2)
    assert any(b"public-mark-55aa" in data for _, data in files(world.home / "localnet"))
    assert any(b"public-mark-55aa" in data for data in answers(world, [address], [public]).values())
    assert b"octra.cli.launcher" in command_lines()


def command_lines() -> bytes:
    """Command lines of all processes that we may see."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Logs, databases and everything else that the nodes wrote; their key files hold secrets by purpose."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "evaluation.key" and "keys" not in path.parts:
            yield str(path.relative_to(directory)), path.read_bytes()


def answers(world, addresses: list[str], ids: list[str]) -> dict[str, bytes]:
    """Pages, REST and JSON-RPC answers about these accounts and transactions."""
    found: dict[str, bytes] = {}
    paths = ["/", "/metrics", "/health", "/readyz", "/network", "/epochs", "/txs", "/circles", "/api/v1/chain"]
    paths += [f"/address/{one}" for one in addresses] + [f"/tx/{one}" for one in ids]
    paths += [f"/api/v1/accounts/{one}" for one in addresses] + [f"/api/v1/transactions/{one}" for one in ids]
    for path in paths:
        request = urllib.request.Request(world.url() + path)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found[path] = answer.read() + str(answer.headers).encode()
        except urllib.error.HTTPError as error:
            found[path] = error.read() + str(error.headers).encode()
    calls = [("octra_getTransaction", one) for one in ids] + [("octra_getAccount", one) for one in addresses]
    calls += [("octra_transactionsByAddress", one) for one in addresses] + [("octra_status",), ("octra_network",)]
    for method, *parameters in calls:
        found[f"{method} {parameters}"] = json.dumps(world.ask(method, *parameters)).encode()
    return found
