"""Numbers of `octra fhe`: typed, encrypted by a public key, and decrypted again."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from octra.cli import fhe_keys, output
from octra.cli.fhe_files import FILE_MAX, check_output, read, size_text, write_words
from octra.cli.fhe_keys import Owner
from octra.cli.output import Answer, CommandFailed
from octra.hfhe import wire
from octra.hfhe.encrypted import EncryptedWords, decode_words, decrypt_words, encrypt_words

_NUMBER = re.compile(r"[+-]?(0x[0-9a-f_]+|0b[01_]+|[0-9_]+)", re.IGNORECASE)
NUMBER_MAX = 96  # characters; 64 binary digits, separated


def encrypt(values: Sequence[str], *, key: str, kind: str, out: str, source: str) -> Answer:
    """Numbers of the command line, a file or standard input into one ciphertext file."""
    public = wire.decode_public_key(read(key))
    check_output(out)
    if source and values:
        raise CommandFailed(1002, "give numbers or --from FILE, not both")
    numbers = typed(kind, _texts(values, source))
    if not numbers:
        raise CommandFailed(1002, "there is no number to encrypt")
    words = encrypt_words(public, numbers, os.urandom(32))
    size, bits = write_words(out, words), sum(part.count for part in words.packed)
    data = {
        "file": out,
        "type": kind,
        "count": len(numbers),
        "bits": bits,
        "bytes": size,
        "key_id": public.key_id.hex(),
    }
    shown = "bit" if kind == "bits" else kind
    return Answer(data, f"{len(numbers)} x {shown} in {out}, {size_text(size)}")


def decrypt(file: str, key: str) -> Answer:
    """The numbers of a ciphertext file."""
    words = decode_words(read(file))
    return shown(words, fhe_keys.open_secret(key, words.key_id))


def shown(words: EncryptedWords, owner: Owner) -> Answer:
    """Decrypted words as an answer, with a warning where their noise is too large."""
    numbers, report = decrypt_words(owner.secret, words, owner.key_id)
    values = [
        {"name": name, "type": kind, "value": value if abs(value) < 2**53 else str(value)}  # JSON readers round larger
        for name, kind, value in zip(words.names, words.types, numbers, strict=True)
    ]
    ratio = round(report.max_ratio, 6)
    lines = [f"{name} = {number}" for name, number in zip(words.names, numbers, strict=True)]
    lines.append(f"noise ratio {ratio} (0 is clean, 1 is the decision line)")
    warnings = ["a bit is damaged or overspent its noise budget: do not rely on the result"] if report.damaged else []
    return Answer({"values": values, "noise_ratio": ratio}, "\n".join(lines), warnings=warnings)


def typed(kind: str, texts: Sequence[str]) -> list[tuple[str, int]]:
    """Numbers with their type; a text of type `bits` is one bit for each digit."""
    if kind != "bits":
        return [(kind, number(text)) for text in texts]
    if any(set(text) - {"0", "1"} for text in texts):
        raise CommandFailed(1002, "a value of type bits is a text of 0 and 1, such as 0110")
    return [("bit", int(digit)) for text in texts for digit in text]


def number(text: str) -> int:
    """A number as people type it: decimal, 0x or 0b, `_` between digits, with a sign."""
    if not looks_like_number(text):
        # The text itself is not repeated, unless it is an option: it may be a mistyped secret.
        reason = f"no such option: {text:.40}" if text.startswith("--") else "a number is decimal, 0x... or 0b..."
        raise CommandFailed(1002, reason)
    digits = text.replace("_", "").lower()
    return int(digits, 16 if "x" in digits else 2 if digits.lstrip("+-").startswith("0b") else 10)


def looks_like_number(text: str) -> bool:
    """Whether `number` takes the text."""
    return len(text) <= NUMBER_MAX and _NUMBER.fullmatch(text) is not None and text.strip("+-_") != ""


def _texts(values: Sequence[str], source: str) -> list[str]:
    if source:
        return read(source).decode("utf-8", "replace").split()
    if values and list(values) != ["-"]:
        return list(values)
    if sys.stdin.isatty():
        output.say("numbers, one a line; Ctrl-D ends")
    return sys.stdin.read(FILE_MAX).split()
