"""Options that stand before or after any command, and where files live."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from octra.errors import InvalidInput

FLAGS = {"--json": "json", "-y": "yes", "--yes": "yes", "--quiet": "quiet", "--no-color": "no_color", "-v": "verbose"}
VALUES = {
    "--node": "node",
    "--chain": "chain",
    "--home": "home",
    "--wallet": "wallet",
    "--confirm": "confirm",
    "--timeout": "timeout_s",
    "--passphrase-file": "passphrase_file",
}
_VARIABLES = {"OCTRA_NODE": "node", "OCTRA_CHAIN": "chain", "OCTRA_HOME": "home", "OCTRA_WALLET": "wallet"}


class BadOption(InvalidInput):
    """A global option lacks its value, or the value has the wrong form."""

    oct_code = 1002


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved global options. Command-line first, then OCTRA_* variables, then defaults."""

    json: bool = False
    yes: bool = False
    quiet: bool = False
    no_color: bool = False
    verbose: bool = False
    node: str = ""  # empty: the local network's first node if one runs, else http://127.0.0.1:8080
    chain: str = ""
    home: str = ""
    wallet: str = "default"
    confirm: str = ""
    timeout_s: float = 30.0
    timeout_given: bool = False
    passphrase_file: str = ""

    @property
    def directory(self) -> Path:
        """The directory under which everything lives: --home, OCTRA_HOME, or the XDG data directory."""
        if self.home:
            return Path(self.home).expanduser().resolve()
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(data).expanduser() / "octra"


current = Settings()  # set once by `parse`, before any command runs


def parse(arguments: list[str]) -> list[str]:
    """Take the global options out of `arguments` into `current`; returns the rest. Stops at `--`."""
    global current
    found: dict[str, object] = {
        name: os.environ[variable] for variable, name in _VARIABLES.items() if os.environ.get(variable)
    }
    if os.environ.get("NO_COLOR"):
        found["no_color"] = True
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            rest.extend([word, *words])
        elif word in FLAGS:
            found[FLAGS[word]] = True
        elif name in VALUES and (equals or name == word):
            found[VALUES[name]] = value if equals else _value(name, next(words, None))
        else:
            rest.append(word)
    if "timeout_s" in found:
        try:
            found["timeout_s"] = float(str(found["timeout_s"]))
            found["timeout_given"] = True
        except ValueError as error:
            raise BadOption("--timeout takes seconds") from error
    current = replace(Settings(), **found)  # type: ignore[arg-type]  # names and types come from the two tables above
    return rest


def _value(name: str, value: str | None) -> str:
    if value is None:
        raise BadOption(f"{name} needs a value")
    return value
