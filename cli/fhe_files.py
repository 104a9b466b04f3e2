"""Files of the `octra fhe` commands: reading with a limit, writing without destroying a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octra.cli.output import CommandFailed

if TYPE_CHECKING:
    from octra.hfhe.encrypted import EncryptedWords

FILE_MAX: Final = 64 * 2**20  # twice the largest evaluation key
_HEAD: Final = 32  # bytes that tell a ciphertext file from others


def read(name: str) -> bytes:
    """The bytes of a file of these commands."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise CommandFailed(1002, f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > FILE_MAX:
        raise CommandFailed(1002, f"{name} is larger than any file of these commands")
    return data


def write_words(name: str, words: EncryptedWords) -> int:
    """Write a ciphertext file, over an older one if there is one but over nothing else; returns its size."""
    check_output(name)
    return write(Path(name), words.encode())


def check_output(name: str) -> None:
    """Raises where `name` is a file that is no ciphertext: a typing error must not cost anybody a key."""
    from octra.hfhe.encrypted import KIND

    path = Path(name)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if KIND.encode() not in file.read(_HEAD):
                raise CommandFailed(1109, f"{name} exists and is no ciphertext; nothing was written")
    elif path.is_dir() or not path.absolute().parent.is_dir():
        reason = "it is a directory" if path.is_dir() else "no such directory"
        raise CommandFailed(1002, f"cannot write {name}: {reason}")


def write_drawing(name: str, svg: str) -> None:
    """Write an SVG file; its name must say that it is one, so that no other file is lost."""
    if not name.endswith(".svg"):
        raise CommandFailed(1002, "the name of a drawing ends in .svg")
    write(Path(name), svg.encode())


def write(path: Path, data: bytes) -> int:
    """Write a file; returns its size."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandFailed(1002, f"cannot write {path}: {error.strerror or os.strerror(error.errno or 0)}") from error
    return len(data)


def size_text(count: int) -> str:
    """A size for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count:,} bytes"
