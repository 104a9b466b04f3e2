"""`octra explain CODE`: what an error means, whose fault it is, and what to do. Works offline."""

from __future__ import annotations

from dataclasses import asdict

import typer

from octra import catalogue
from octra.cli.output import Answer, CommandFailed, table

app = typer.Typer(add_completion=False)


@app.command(help="What an error code means and what to do about it.")
def explain(
    code: str = typer.Argument("", help="such as OCT-2104 or 2104"),
    list_all: bool = typer.Option(False, "--list", help="all codes"),
) -> Answer:
    """One row of the catalogue, or all."""
    if list_all or not code:
        rows = [[row.text, row.name, row.fault, row.title] for row in catalogue.ROWS.values()]
        return Answer({"codes": [asdict(row) for row in catalogue.ROWS.values()]},
                      table(rows, ["code", "name", "fault", "title"]))  # fmt: skip
    digits = code.upper().removeprefix("OCT-")
    row = catalogue.ROWS.get(int(digits)) if digits.isdecimal() else None
    if row is None:
        raise CommandFailed(1006, f"no error code {code}")
    meaning = catalogue.EXIT_MEANINGS[row.exit]
    text = (
        f"{row.text} {row.title}\n\n{row.cause}\n{row.remedy}\n\nfault: {row.fault}; exit code {row.exit} ({meaning})"
    )
    return Answer({**asdict(row), "text": row.text}, text)
