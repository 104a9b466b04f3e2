"""Runs one command: global options, the command's own module, then its answer or error in the wanted form."""

from __future__ import annotations

import difflib
import importlib
import sys

import typer

from octra import catalogue
from octra.cli import output, settings
from octra.cli.commands import COMMANDS, GROUPS
from octra.errors import OctraError

# Newer typer carries its own copy of click, older ones import it: the base of all usage errors, wherever it lives.
UsageProblem: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run(arguments: list[str]) -> int:
    """The exit code of the command that `arguments` spell."""
    settings.current = settings.Settings(json="--json" in arguments)  # so that even a bad option is told in JSON
    name = "octra"
    try:
        words = settings.parse(arguments)
        if not words:
            raise output.CommandFailed(1002, "no command given; see octra --help")
        name = words[0]
        if name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f"; did you mean {near[0]}?" if near else "; see octra --help"
            raise output.CommandFailed(1002, f"no command {name!r}{hint}")
        module = importlib.import_module(COMMANDS[name][0])
        app: typer.Typer = module.app
        app.rich_markup_mode = None  # plain help: the rich one imports for half a second
        group = name in GROUPS
        if group and len(words) > 1 and not words[1].startswith("-"):
            name = f"{name} {words[1]}"
        command = typer.main.get_command(app)
        # A module with several top-level commands (money) is one typer app: its own name selects the command.
        rest = words[1:] if group or not hasattr(command, "commands") else words
        prefix = f"octra {words[0]}" if rest is not words else "octra"
        answer = command.main(args=rest, prog_name=prefix, standalone_mode=False)
    except OctraError as error:
        return output.fail(name, error)
    except UsageProblem as problem:
        text = str(problem.format_message())  # type: ignore[attr-defined]  # every ClickException has it
        if type(problem).__name__ == "NoArgsIsHelpError":
            print(text, file=sys.stderr)
            return catalogue.USAGE
        return output.fail(name, output.CommandFailed(1002, text))
    except (typer.Abort, KeyboardInterrupt):  # Ctrl-C; typer gives it a name of its own
        print("interrupted", file=sys.stderr)
        return 130
    if isinstance(answer, output.Answer):
        return output.finish(name, answer)
    return int(answer) if isinstance(answer, int) else 0
