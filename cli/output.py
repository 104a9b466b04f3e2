"""How commands answer: data on stdout (or one JSON envelope), talk on stderr, one clear line for each error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from octra import __version__, catalogue
from octra.cli import settings
from octra.errors import InvalidInput, OctraError

SCHEMA = "octra.cli/v1"
_started = time.monotonic()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found. `text` is the human form of `data`; `exit` is 0 unless the command says otherwise."""

    data: dict[str, Any]  # JSON values
    text: str = ""
    exit: int = catalogue.OK
    warnings: list[str] = field(default_factory=list)


class CommandFailed(OctraError):
    """A command's own failure, with the row of the catalogue that explains it."""

    def __init__(self, code: int, message: str, **details: object) -> None:
        super().__init__(message)
        self.oct_code, self.details = code, details


class ConfirmationNeeded(InvalidInput):
    """The command signs or destroys, and nobody said yes."""

    oct_code = 1005

    def __init__(self) -> None:
        super().__init__("this needs a yes, and there is no terminal to ask")


meta: dict[str, Any] = {"version": __version__, "chain_id": None, "node": None, "height": None, "epoch": None}


def say(text: str) -> None:
    """Talk for people, on stderr; silent with --quiet and --json."""
    if not settings.current.quiet and not settings.current.json:
        print(text, file=sys.stderr, flush=True)


def confirm(question: str) -> None:
    """Ask on the terminal; raises `ConfirmationNeeded` on a no or without a terminal, unless --yes was given."""
    if settings.current.yes:
        return
    if not sys.stdin.isatty():
        raise ConfirmationNeeded
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandFailed(1005, "not confirmed; nothing was done")


def confirm_word(question: str, word: str) -> None:
    """Ask for a typed word (or --confirm WORD): for what cannot be undone. --yes is not enough."""
    if settings.current.confirm:
        given = settings.current.confirm
    elif sys.stdin.isatty():
        print(f"{question} Type {word} to go on: ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline().strip()
    else:
        raise ConfirmationNeeded
    if given != word:
        raise CommandFailed(1005, f"confirmation word does not match; expected --confirm {word}")


def table(rows: list[list[str]], header: list[str]) -> str:
    """Columns aligned by spaces; the first row names them."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = "  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)).rstrip()
    return "\n".join([paint(head, "1"), *lines])


def paint(text: str, code: str) -> str:
    """`text` in an ANSI style, where stdout is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and not settings.current.no_color and os.environ.get("TERM") != "dumb"
    return f"\033[{code}m{text}\033[0m" if wanted else text


def finish(command: str, answer: Answer) -> int:
    """Print an answer in the wanted form; returns the exit code."""
    if settings.current.json:
        _print_envelope(command, True, answer.data, None, answer.warnings)
    else:
        for warning in answer.warnings:
            say(f"warning: {warning}")
        if answer.text:
            print(answer.text, flush=True)
    return answer.exit


def fail(command: str, error: OctraError) -> int:
    """Print one clear line and what to do about it; returns the documented exit code."""
    row = catalogue.row(error.oct_code)
    message = " ".join(str(error).split()) or row.title
    if settings.current.json:
        body = {
            "code": row.text,
            "message": message,
            "hint": row.remedy,
            "docs": f"octra explain {row.code}",
            "details": getattr(error, "details", {}),
        }
        _print_envelope(command, False, None, body, [])
    else:
        print(f"{paint_error('error')}: {message} ({row.text})\n  {row.remedy}", file=sys.stderr, flush=True)
    return row.exit


def paint_error(text: str) -> str:
    """`text` in red where stderr is a terminal that wants colours."""
    return f"\033[31m{text}\033[0m" if sys.stderr.isatty() and not settings.current.no_color else text


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for `total` steps, gone when done; call what it gives with the number of steps done.

    Silent without a terminal, and with --quiet or --json.
    """
    if settings.current.json or settings.current.quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console  # costs as much as all other imports of a command
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, no_color=settings.current.no_color)
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda done: bars.update(task, completed=done)


def _print_envelope(command: str, ok: bool, data: object, error: object, warnings: list[str]) -> None:
    envelope = {
        "schema": SCHEMA,
        "command": command,
        "ok": ok,
        "data": data,
        "error": error,
        "warnings": [{"code": "", "message": warning} for warning in warnings],
        "meta": {**meta, "elapsed_ms": int((time.monotonic() - _started) * 1000)},
    }
    print(json.dumps(envelope, ensure_ascii=False), flush=True)
