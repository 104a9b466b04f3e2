"""Arguments of a Circle's method, from words on the command line and back to text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from octra.cli.output import CommandFailed
from octra.consensus.ports import Argument

_WORDS: dict[str, Argument] = {"null": None, "true": True, "false": False}


def parse_all(words: Sequence[str], types: Sequence[str] | None) -> list[Argument]:
    """The values of `words` by the types that the manifest declares; None: it declares nothing, guess each."""
    if types is None:
        return [parse(word, "any") for word in words]
    if len(words) != len(types):
        raise CommandFailed(
            1002, f"the method takes {len(types)} arguments ({', '.join(types) or 'none'}), got {len(words)}"
        )
    return [parse(word, kind) for word, kind in zip(words, types, strict=True)]


def parse(word: str, kind: str) -> Argument:
    """One value: of the named type, or guessed for `any` (hex:00ff is bytes, a decimal number an integer)."""
    match kind:
        case "string":
            return word
        case "bytes":
            return _bytes(word.removeprefix("hex:"))
        case "int":
            return _integer(word)
        case "bool" | "null":
            if word not in _WORDS or (kind == "null") != (word == "null"):
                raise CommandFailed(1002, f"expected {'true or false' if kind == 'bool' else 'null'}")
            return _WORDS[word]
        case _ if word in _WORDS:
            return _WORDS[word]
        case _ if word.startswith("hex:"):
            return _bytes(word[4:])
        case _ if word.lstrip("-").isdecimal() and word.isascii():
            return _integer(word)
        case _:
            return word


def to_json(value: Argument) -> object:
    """As the API takes it: bytes as `{"hex": ...}`."""
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def show(value: object) -> str:
    """A value of the API as one line, alone: scripts read it."""
    match value:
        case {"hex": text} | {"int": text}:
            return str(text)
        case str():
            return value
        case _:
            return json.dumps(value)


def _integer(word: str) -> int:
    try:
        number = int(word)
    except ValueError as error:
        raise CommandFailed(1002, "expected an integer") from error
    if not -(2**63) <= number < 2**63:
        raise CommandFailed(1002, "an integer argument fits 64 bits")
    return number


def _bytes(word: str) -> bytes:
    try:
        return bytes.fromhex(word)
    except ValueError as error:
        raise CommandFailed(1002, "bytes are written in hex, such as hex:00ff") from error
