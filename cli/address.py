"""`octra address ...` and the check words that catch mistyped or swapped addresses."""

from __future__ import annotations

import typer
from mnemonic import Mnemonic

from octra.cli.output import Answer
from octra.crypto.hash import H
from octra.primitives import InvalidAddress, parse_address

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Check an address, show its check words.")


def check_words(account: bytes) -> str:
    """Four words for an account: they catch typing errors and swaps, not a search of 2^44 tries."""
    bits = int.from_bytes(H("octra.words", account)[:6], "big") >> 4
    words = Mnemonic("english").wordlist
    return "-".join(words[bits >> (33 - 11 * place) & 0x7FF] for place in range(4))


@app.command()
def check(address: str) -> Answer:
    """Is this text an address? Exit code 2 when it is not."""
    try:
        account = parse_address(address)
    except InvalidAddress as error:
        return Answer({"valid": False, "reason": error.reason}, f"not an address: {error.reason}", exit=2)
    words = check_words(account)
    return Answer({"valid": True, "address": address, "words": words}, f"valid; check words {words}")


@app.command()
def words(address: str) -> Answer:
    """The check words of an address."""
    found = check_words(parse_address(address))
    return Answer({"address": address, "words": found}, found)
