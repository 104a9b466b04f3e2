"""Entry of the `octra` command. Help and version are answered from a static table, without importing anything heavy."""

from __future__ import annotations

import sys

from octra.cli.commands import COMMANDS, GLOBAL_HELP


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Called by the installed `octra` script."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in ("--version", "version"):
        from octra import __version__

        print(f"octra {__version__}")
        return 0
    if not words or words[0] in ("--help", "-h", "help"):
        _print_help()
        return 0
    from octra.cli.app import run

    return run(words)


def _print_help() -> None:
    print("octra - a chain whose nodes compute on data that stays encrypted\n\nusage: octra COMMAND ...\n")
    width = max(map(len, COMMANDS))
    for name, (_, text) in COMMANDS.items():
        print(f"  {name.ljust(width)}  {text}")
    print(f"\n{GLOBAL_HELP}")


if __name__ == "__main__":
    sys.exit(main())
