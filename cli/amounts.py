"""Amounts as people type them; `-` reads one from standard input, so that no shell history keeps it."""

from __future__ import annotations

import sys

from octra.cli.output import CommandFailed
from octra.primitives import AMOUNT_MAX, parse_amount, print_amount

PRIVATE_BITS = 50  # width of an encrypted balance: all money there is fits
PRIVATE_MAX = 2**PRIVATE_BITS - 1


def read(text: str, *, private: bool = False, zero: bool = False) -> int:
    """Units of an OCT amount; raises `InvalidAmount`, or `CommandFailed` when it is out of range."""
    if text == "-":
        text = sys.stdin.readline(64).strip()
    if len(text.partition(".")[0]) > 10 and text.replace(".", "", 1).isdecimal():
        raise _too_large(private)
    units = parse_amount(text)
    if units > (PRIVATE_MAX if private else AMOUNT_MAX):
        raise _too_large(private)
    if not units and not zero:
        raise CommandFailed(1002, "the amount is zero")
    return units


def _too_large(private: bool) -> CommandFailed:
    if private:
        return CommandFailed(
            1002,
            f"a private amount has {PRIVATE_BITS} bits: at most {print_amount(PRIVATE_MAX)} OCT, all money there is",
        )
    return CommandFailed(1002, f"the amount is above {print_amount(AMOUNT_MAX)} OCT")
